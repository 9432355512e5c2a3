/* SPDX-License-Identifier: Apache-2.0 */
/* ctl.c - moonfence ctl: a thin client of the daemon: words become one request, its answer is printed */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/question.h"
#include "daemon/client.h"
#include "daemon/config.h"
#include "daemon/question.h"

enum { OPT_SOCKET = 1, OPT_DATA, OPT_RAW, OPT_SESSIONS, OPT_FORCE, OPT_GRACE };

static const struct mf_option options[] = {
	{ OPT_SOCKET, 's', "socket", "PATH",
	  "the daemon's control socket (default: as the daemon's)" },
	{ OPT_DATA, 'd', "data", "JSON", "body of a request; @FILE reads it, @- from stdin" },
	{ OPT_SESSIONS, 'S', "sessions", NULL,
	  "policy activate, rollback: in the sessions that judge by the same policies, too" },
	{ OPT_FORCE, 'f', "force", NULL,
	  "sessions end: what is left of it after its grace is killed" },
	{ OPT_GRACE, 'g', "grace", "SECONDS",
	  "the same, with so many seconds from SIGTERM to SIGKILL: 0 to 300 (default: 10)" },
	{ OPT_RAW, 'r', "raw", NULL, "print answers as they come, JSON too" },
};

static const struct mf_usage usage = {
	.name = "ctl",
	.synopsis = "[OPTION]... WHAT [ARGUMENT]...",
	.text = "Asks the daemon of this host. WHAT is one of:\n"
		"  health, version, metrics  how it is\n"
		"  decide KIND TARGET [FIELD=VALUE]...\n"
		"                            judge a request; words as of policy explain\n"
		"  policy [load [PATH]... | test | activate | rollback [NUMBER] | reload]\n"
		"                            generations of policies, and the candidate\n"
		"  sessions [ID | start | end ID | maps ID | flows ID | approvals ID | allow ID N "
		"| deny ID "
		"N]\n"
		"                            what runs; start wants --data; approvals: what waits "
		"in "
		"it,\n"
		"                            allow, deny: the answer to number N of it; end: "
		"SIGTERM,\n"
		"                            with --force SIGKILL after a grace\n"
		"  approvals [allow ID N | deny ID N]\n"
		"                            what waits for an answer in any session, and the "
		"answer; "
		"--data\n"
		"                            with a scope to remember it\n"
		"  services [ID | restart ID | stop ID | reload]\n"
		"                            what moonfence.yaml has it run\n"
		"  events [NAME=VALUE]...    what happens, live: kind=dns verdict=deny after=ID\n"
		"  trash DIR [show TOKEN | restore TOKEN | purge TOKEN]\n"
		"                            what was lost in DIR\n"
		"  METHOD PATH               any request of the API, such as GET /v1/health, with "
		"--data\n"
		"Exit status: 0 answered well, 1 the daemon says what is wrong, 2 wrong usage, 125 "
		"no daemon.\n",
	.example = "  moonfence ctl decide connect api.example:443 process.name=curl\n"
		   "  moonfence ctl GET /v1/openapi.json\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct ctl {
	const char *socket, *data;
	const char *grace;
	bool raw, sessions, force;
	char path[MF_PATH_MAX];
	char *text; /* body, ours */
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

static bool is_json(const struct mf_client_answer *a)
{
	return strncmp(a->type, "application/json", 16) == 0 ||
	       strncmp(a->type, "application/problem+json", 24) == 0;
}

static bool print_piece(void *ctx, struct mf_span bytes)
{
	(void)ctx;
	return fwrite(bytes.ptr, 1, bytes.len, stdout) == bytes.len && fflush(stdout) == 0;
}

static int print_wrong(const struct mf_client_answer *a)
{
	json_t *problem = is_json(a) ? json_loadb(a->body.str, a->body.len, 0, NULL) : NULL;
	const char *detail = json_string_value(json_object_get(problem, "detail"));
	const char *pointer = json_string_value(json_object_get(problem, "pointer"));
	struct mf_err err = { .code = MF_E_INVAL };
	const char *file = json_string_value(json_object_get(problem, "file"));

	err.line = (unsigned)json_integer_value(json_object_get(problem, "line"));
	err.column = (unsigned)json_integer_value(json_object_get(problem, "column"));
	snprintf(err.file, sizeof(err.file), "%s", file ? file : "");
	snprintf(err.msg, sizeof(err.msg), "%s%s%s%s", pointer && *pointer ? pointer : "",
		 pointer && *pointer ? ": " : "",
		 detail ? detail : "the daemon answered with status ", "");
	if (!detail)
		snprintf(err.msg, sizeof(err.msg), "the daemon answered with status %d", a->status);
	mf_output_problem(&err);
	json_decref(problem);
	return MF_EXIT_FAULT;
}

static int print_answer(const struct ctl *c, const struct mf_client_answer *a)
{
	json_t *json = NULL;

	if (a->body.len && is_json(a) && !c->raw)
		json = json_loadb(a->body.str, a->body.len, JSON_DECODE_ANY, NULL);
	if (json)
		return mf_output_json(json);
	fwrite(a->body.str ? a->body.str : "", 1, a->body.len, stdout);
	return MF_EXIT_GOOD;
}

static int ask(struct ctl *c, const char *method, const char *target)
{
	struct mf_client_request q = { .method = method, .target = target };
	struct mf_client_answer a;
	struct mf_err err = { 0 };
	int status;

	if (c->text)
		q.body = mf_span_str(c->text);
	if (c->raw)
		q.piece = print_piece;
	if (!c->socket && !(c->socket = mf_paths_control(c->path)))
		return mf_options_wrong(&usage, "which daemon? Give --socket");
	if (mf_client_call(c->socket, &q, &a, &err) < 0) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
		return MF_EXIT_SETUP;
	}
	status = a.status >= 200 && a.status < 300 ? print_answer(c, &a) : print_wrong(&a);
	mf_client_answer_done(&a);
	return status;
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

static char *read_all(FILE *file)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_CLIENT_ANSWER_MAX);
	char bytes[65536];
	size_t n;

	while ((n = fread(bytes, 1, sizeof(bytes), file)) > 0)
		mf_strbuf_add(&b, bytes, n);
	if (!b.str && !b.failed)
		return strdup("");
	return b.str;
}

/* Return: 0, or an exit status */
static int read_data(struct ctl *c)
{
	FILE *file;

	if (!c->data)
		return 0;
	if (c->data[0] != '@') {
		c->text = strdup(c->data);
		return c->text ? 0 : MF_EXIT_SETUP;
	}
	file = strcmp(c->data, "@-") == 0 ? stdin : fopen(c->data + 1, "rb");
	if (file)
		c->text = read_all(file);
	if (file && file != stdin)
		fclose(file);
	return c->text ? 0 : mf_options_wrong(&usage, "cannot read %s", c->data + 1);
}

static int decide(struct ctl *c, char *const *words, int cnt)
{
	struct mf_err err = { 0 };
	struct mf_question q;
	char target[64];
	json_t *json;

	if (mf_question_parse(cnt, words, &q, &err) < 0)
		return mf_options_wrong(&usage, "%s", err.msg);
	json = mf_question_json(q.request);
	c->text = json ? json_dumps(json, JSON_COMPACT) : NULL;
	json_decref(json);
	snprintf(target, sizeof(target), "/v1/decide/%s", mf_kind_name(q.kind));
	mf_question_done(&q);
	return c->text ? ask(c, "POST", target) : MF_EXIT_SETUP;
}

static int load_policy(struct ctl *c, char *const *words, int cnt)
{
	json_t *paths = json_array(), *body = NULL;
	char path[MF_PATH_MAX];

	for (int i = 0; i < cnt; i++) {
		const char *what = mf_paths_policy(words[i]);

		if (!what || !mf_paths_absolute(what, path, sizeof(path))) {
			json_decref(paths);
			return mf_options_wrong(&usage, "nobody knows where %s is", words[i]);
		}
		json_array_append_new(paths, json_string(path));
	}
	if (cnt)
		body = json_pack("{s:O}", "paths", paths);
	c->text = body ? json_dumps(body, JSON_COMPACT) : NULL;
	json_decref(paths);
	json_decref(body);
	return cnt && !c->text ? MF_EXIT_SETUP : ask(c, "POST", "/v1/policy/load");
}

static int rollback_policy(struct ctl *c, const char *number)
{
	size_t len = number ? strlen(number) : 0;
	char body[64];

	if (number && (len == 0 || len > 18 || strspn(number, "0123456789") != len))
		return mf_options_wrong(&usage, "rollback wants a generation's number: '%s'",
					number);
	snprintf(body, sizeof(body), "{%s%s%s%s}", number ? "\"to\": " : "", number ? number : "",
		 number && c->sessions ? ", " : "", c->sessions ? "\"sessions\": true" : "");
	if ((number || c->sessions) && !(c->text = strdup(body)))
		return MF_EXIT_SETUP;
	return ask(c, "POST", "/v1/policy/rollback");
}

static int policy(struct ctl *c, char *const *words, int cnt)
{
	static const char *const plain[] = { "test", "activate", "reload" };
	char target[64];

	if (cnt == 0)
		return ask(c, "GET", "/v1/policy");
	if (strcmp(words[0], "load") == 0)
		return load_policy(c, words + 1, cnt - 1);
	if (strcmp(words[0], "rollback") == 0 && cnt <= 2)
		return rollback_policy(c, cnt == 2 ? words[1] : NULL);
	for (size_t i = 0; i < MF_ARRAY_SIZE(plain); i++) {
		if (strcmp(words[0], plain[i]) != 0 || cnt != 1)
			continue;
		if (c->sessions && strcmp(words[0], "activate") == 0 &&
		    !(c->text = strdup("{\"sessions\": true}")))
			return MF_EXIT_SETUP;
		snprintf(target, sizeof(target), "/v1/policy/%s", plain[i]);
		return ask(c, "POST", target);
	}
	return mf_options_wrong(&usage, "ctl policy: '%s' is not to be understood", words[cnt - 1]);
}

static void add_encoded(struct mf_strbuf *b, const char *text)
{
	for (; *text; text++) {
		unsigned char ch = (unsigned char)*text;

		if ((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') ||
		    (ch >= '0' && ch <= '9') || strchr("-._~,", ch))
			mf_strbuf_addc(b, (char)ch);
		else
			mf_strbuf_addf(b, "%%%02X", ch);
	}
}

/* Ask for what @b is, which it ends. */
static int ask_for(struct ctl *c, const char *method, struct mf_strbuf *b)
{
	int status = b->failed ? mf_options_wrong(&usage, "too much is asked for")
			       : ask(c, method, b->str);

	mf_strbuf_done(b);
	return status;
}

static int sessions(struct ctl *c, char *const *words, int cnt)
{
	bool end = cnt == 2 && strcmp(words[0], "end") == 0;
	bool flows = cnt == 2 && strcmp(words[0], "flows") == 0;
	bool look =
		cnt == 2 && (strcmp(words[0], "maps") == 0 || strcmp(words[0], "approvals") == 0);
	bool answer = cnt == 3 && (strcmp(words[0], "allow") == 0 || strcmp(words[0], "deny") == 0);
	struct mf_strbuf b = MF_STRBUF_INIT(4096);

	if (cnt == 1 && strcmp(words[0], "start") == 0) {
		int status = c->data ? read_data(c)
				     : mf_options_wrong(&usage, "sessions start wants --data");

		return status ? status : ask(c, "POST", "/v1/sessions");
	}
	if (cnt > 1 && !end && !look && !flows && !answer)
		return mf_options_wrong(
			&usage,
			"sessions knows start, end ID, maps ID, flows ID, approvals ID, "
			"allow ID N, deny ID N, and ID, not '%s'",
			words[0]);
	if (answer) {
		char body[32];

		snprintf(body, sizeof(body), "{\"answer\": \"%s\"}", words[0]);
		if (!(c->text = strdup(body)))
			return MF_EXIT_SETUP;
	}
	mf_strbuf_adds(&b, "/v1/sessions");
	if (cnt) {
		mf_strbuf_addc(&b, '/');
		add_encoded(&b, words[cnt > 1 ? 1 : 0]);
	}
	if (look || answer)
		mf_strbuf_addf(&b, "/%s", look ? words[0] : "approvals");
	if (flows)
		mf_strbuf_adds(&b, "/maps/flows");
	if (answer) {
		mf_strbuf_addc(&b, '/');
		add_encoded(&b, words[2]);
	}
	if (end && c->force)
		mf_strbuf_adds(&b, "?force=true");
	if (end && c->grace) {
		mf_strbuf_adds(&b, "&grace_s=");
		add_encoded(&b, c->grace);
	}
	return ask_for(c, end ? "DELETE" : answer ? "POST" : "GET", &b);
}

static int approvals(struct ctl *c, char *const *words, int cnt)
{
	struct mf_strbuf b = MF_STRBUF_INIT(4096);
	char body[32];

	if (cnt == 0)
		return ask(c, "GET", "/v1/approvals");
	if (cnt != 3 || (strcmp(words[0], "allow") != 0 && strcmp(words[0], "deny") != 0))
		return mf_options_wrong(
			&usage, "approvals knows allow ID N and deny ID N, not '%s'", words[0]);
	snprintf(body, sizeof(body), "{\"answer\": \"%s\"}", words[0]);
	if (!(c->text = strdup(body)))
		return MF_EXIT_SETUP;
	mf_strbuf_adds(&b, "/v1/approvals/");
	add_encoded(&b, words[1]);
	mf_strbuf_addc(&b, '/');
	add_encoded(&b, words[2]);
	return ask_for(c, "POST", &b);
}

static int services(struct ctl *c, char *const *words, int cnt)
{
	bool act = cnt == 2 && (strcmp(words[0], "restart") == 0 || strcmp(words[0], "stop") == 0);
	struct mf_strbuf b = MF_STRBUF_INIT(4096);

	if (cnt == 1 && strcmp(words[0], "reload") == 0)
		return ask(c, "POST", "/v1/config/reload");
	if (cnt > 1 && !act)
		return mf_options_wrong(&usage,
					"services knows restart ID, stop ID, reload, and ID, not "
					"'%s'",
					words[0]);
	mf_strbuf_adds(&b, "/v1/services");
	if (cnt) {
		mf_strbuf_addc(&b, '/');
		add_encoded(&b, words[cnt - 1]);
	}
	if (act)
		mf_strbuf_addf(&b, "/%s", words[0]);
	return ask_for(c, act ? "POST" : "GET", &b);
}

static int events(struct ctl *c, char *const *words, int cnt)
{
	struct mf_strbuf b = MF_STRBUF_INIT(16384);

	mf_strbuf_adds(&b, "/v1/events");
	for (int i = 0; i < cnt; i++) {
		const char *value = strchr(words[i], '=');

		if (!value) {
			mf_strbuf_done(&b);
			return mf_options_wrong(&usage, "events wants NAME=VALUE: '%s'", words[i]);
		}
		mf_strbuf_addf(&b, "%c%.*s=", i ? '&' : '?', (int)(value - words[i]), words[i]);
		add_encoded(&b, value + 1);
	}
	c->raw = true; // as they come
	return ask_for(c, "GET", &b);
}

static int trash(struct ctl *c, char *const *words, int cnt)
{
	const char *what = cnt == 3 ? words[1] : "";
	bool restore = strcmp(what, "restore") == 0, purge = strcmp(what, "purge") == 0;
	struct mf_strbuf b = MF_STRBUF_INIT(16384);
	char dir[MF_PATH_MAX];

	if ((cnt != 1 && !restore && !purge && strcmp(what, "show") != 0) ||
	    !mf_paths_absolute(words[0], dir, sizeof(dir)))
		return mf_options_wrong(
			&usage, "trash wants DIR, or DIR show, restore or purge, and a token");
	mf_strbuf_adds(&b, "/v1/trash");
	if (cnt == 3) {
		mf_strbuf_addc(&b, '/');
		add_encoded(&b, words[2]);
	}
	mf_strbuf_adds(&b, restore ? "/restore?source=" : "?source=");
	add_encoded(&b, dir);
	return ask_for(c, restore ? "POST" : purge ? "DELETE" : "GET", &b);
}

static int dispatch(struct ctl *c, char *const *words, int cnt)
{
	static const char *const plain[] = { "health", "version", "metrics" };
	char target[64];

	if (cnt == 0)
		return mf_options_wrong(&usage, "what shall the daemon be asked?");
	if (strcmp(words[0], "decide") == 0)
		return decide(c, words + 1, cnt - 1);
	if (strcmp(words[0], "policy") == 0)
		return policy(c, words + 1, cnt - 1);
	if (strcmp(words[0], "sessions") == 0)
		return sessions(c, words + 1, cnt - 1);
	if (strcmp(words[0], "approvals") == 0)
		return approvals(c, words + 1, cnt - 1);
	if (strcmp(words[0], "services") == 0)
		return services(c, words + 1, cnt - 1);
	if (strcmp(words[0], "events") == 0)
		return events(c, words + 1, cnt - 1);
	if (strcmp(words[0], "trash") == 0 && cnt > 1)
		return trash(c, words + 1, cnt - 1);
	for (size_t i = 0; i < MF_ARRAY_SIZE(plain); i++) {
		if (strcmp(words[0], plain[i]) != 0 || cnt != 1)
			continue;
		snprintf(target, sizeof(target), "/v1/%s", plain[i]);
		return ask(c, "GET", target);
	}
	if (words[0][0] >= 'A' && words[0][0] <= 'Z' && cnt == 2 && words[1][0] == '/' &&
	    !strpbrk(words[1], " \r\n") && !strpbrk(words[0], " \r\n")) {
		int status = read_data(c);

		return status ? status : ask(c, words[0], words[1]);
	}
	return mf_options_wrong(&usage, "the daemon cannot be asked '%s%s%s'", words[0],
				cnt > 1 ? " " : "", cnt > 1 ? words[1] : "");
}

int mf_cmd_ctl(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct ctl c = { 0 };
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		if (opt == OPT_SOCKET)
			c.socket = value;
		else if (opt == OPT_DATA)
			c.data = value;
		else if (opt == OPT_SESSIONS)
			c.sessions = true;
		else if (opt == OPT_FORCE)
			c.force = true;
		else if (opt == OPT_GRACE)
			c.grace = value, c.force = true;
		else
			c.raw = true;
	}
	if (opt < 0)
		return o.status;
	status = dispatch(&c, o.operands, o.operand_cnt);
	free(c.text);
	return status;
}
