/* SPDX-License-Identifier: Apache-2.0 */
/* policy_repl.c - moonfence policy repl: questions to policies, one line after the other */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/explain.h"
#include "cli/line_edit.h"
#include "cli/options.h"
#include "cli/output.h"
#include "core/base/err.h"
#include "core/policy/request.h"

#define WORDS_MAX 64
#define VALUE_MAX 65536

enum { OPT_VAR = 1 };

static const struct mf_option options[] = {
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
};

static const struct mf_usage usage = {
	.name = "policy repl",
	.synopsis = "[--var NAME=VALUE]... PATH...",
	.text = "Load policies and ask them what is typed: questions as 'policy explain' takes "
		"them, "
		"= EXPRESSION\n"
		"(Lua, in the words of policies; q is the last question), :facts, :reload, "
		":policies, "
		":help, :quit.\n"
		"Exit status: 0 good, 1 the policies do not load, or a line of a pipe did not "
		"work, 2 "
		"wrong usage.\n",
	.example = "  moonfence policy repl policies/\n"
		   "  echo 'connect api.example:443' | moonfence policy repl my.lua\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct repl {
	const char *const *paths;
	size_t path_cnt;
	struct mf_variables variables;
	struct mf_policies *policies;
	struct mf_question last; /* request: NULL without */
	bool failed;		 /* a line did not work */
};

static void complain(struct repl *r, const struct mf_err *err)
{
	fflush(stdout);
	mf_output_problem(err);
	r->failed = true;
}

/* --- words ------------------------------------------------------------------------------------------------------------------ */

/* Cut @line into words, in place. Return: how many; MF_E_SYNTAX: a quote is open; MF_E_LIMIT */
static int cut_words(char *line, char *words[WORDS_MAX])
{
	char *from = line, *to;
	int cnt = 0;

	for (;;) {
		bool quoted = false;

		from += strspn(from, " \t");
		if (!*from)
			return cnt;
		if (cnt == WORDS_MAX)
			return MF_E_LIMIT;
		words[cnt++] = to = from;
		for (; *from && (quoted || (*from != ' ' && *from != '\t')); from++) {
			if (*from == '"')
				quoted = !quoted;
			else if (*from == '\\' && quoted && (from[1] == '"' || from[1] == '\\'))
				*to++ = *++from;
			else
				*to++ = *from;
		}
		if (quoted)
			return MF_E_SYNTAX;
		if (*from)
			from++;
		*to = '\0';
	}
}

/* --- what may be typed -------------------------------------------------------------------------------------------------------- */

static void ask(struct repl *r, char *line)
{
	char *words[WORDS_MAX];
	struct mf_question q;
	struct mf_err err = { 0 };
	int cnt = cut_words(line, words);

	if (cnt == MF_E_SYNTAX)
		mf_err_set(&err, cnt, "a quote is not closed");
	else if (cnt < 0)
		mf_err_set(&err, cnt, "more than %d words", WORDS_MAX);
	if (cnt < 0 || mf_question_parse(cnt, words, &q, &err) < 0) {
		complain(r, &err);
		return;
	}
	mf_question_done(&r->last);
	r->last = q;
	if (mf_explain_question(r->policies, &r->last, false) != MF_EXIT_GOOD)
		r->failed = true;
}

static void evaluate(struct repl *r, const char *expression)
{
	struct mf_strbuf out = MF_STRBUF_INIT(VALUE_MAX);
	struct mf_err err = { 0 };

	if (mf_vm_state_eval(r->policies->state, r->last.request, expression, &out, &err) < 0) {
		complain(r, &err);
	} else {
		mf_output_text(stdout, out.str ? out.str : "");
		putchar('\n');
	}
	mf_strbuf_done(&out);
}

static int load(struct repl *r, struct mf_policies *ret)
{
	struct mf_err err = { 0 };
	size_t cnt;

	if (mf_policies_load(r->paths, r->path_cnt, &r->variables, ret, &err) < 0) {
		complain(r, &err);
		return -1;
	}
	cnt = mf_vm_state_policy_count(ret->state);
	printf("%zu polic%s loaded\n", cnt, cnt == 1 ? "y is" : "ies are");
	return 0;
}

static void reload(struct repl *r)
{
	struct mf_policies *fresh = calloc(1, sizeof(*fresh));

	/* The state points into its policies: they must not move once they are loaded. */
	if (!fresh) {
		r->failed = true;
		return;
	}
	if (load(r, fresh) == 0) {
		mf_policies_done(r->policies);
		free(r->policies);
		r->policies = fresh;
	} else {
		puts("the policies from before stay");
		free(fresh);
	}
}

static void list_policies(const struct repl *r)
{
	for (size_t i = 0; i < mf_vm_state_policy_count(r->policies->state); i++) {
		mf_output_text(stdout, mf_vm_state_policy_name(r->policies->state, i));
		putchar('\n');
	}
}

/* The fields of a kind, with what the last question knows of them. */
static void print_facts(const struct repl *r, enum mf_kind kind)
{
	static const char *const types[] = { "nil",	"string",  "integer",
					     "boolean", "address", "list" };
	_Static_assert(MF_ARRAY_SIZE(types) == MF_TYPE_NUM, "a word for each type");
	const struct mf_request *req = r->last.request;

	if (req && req->kind != kind)
		req = NULL;
	for (int f = 0; f < MF_F_NUM; f++) {
		struct mf_strbuf value = MF_STRBUF_INIT(VALUE_MAX);
		struct mf_value v = { 0 };

		if (!(mf_field_table[f].kinds & 1u << kind))
			continue;
		if (req)
			v = mf_request_peek(req, (enum mf_field)f);
		mf_value_add_json(&value, &v);
		printf("  %-18s %-8s ", mf_field_table[f].name, types[mf_field_table[f].type]);
		mf_output_text(stdout, v.type == MF_T_NIL || !value.str ? "" : value.str);
		putchar('\n');
		mf_strbuf_done(&value);
	}
}

static void facts(struct repl *r, const char *word)
{
	struct mf_err err = { 0 };

	word += strspn(word, " \t");
	if (!*word && r->last.request) {
		print_facts(r, r->last.kind);
		return;
	}
	for (int k = 0; k < MF_KIND_NUM; k++) {
		if (*word && strcmp(word, mf_kind_name((enum mf_kind)k)) != 0)
			continue;
		if (!*word)
			printf("%s\n", mf_kind_name((enum mf_kind)k));
		print_facts(r, (enum mf_kind)k);
		if (*word)
			return;
	}
	if (*word) {
		mf_err_set(&err, MF_E_INVAL, "'%.100s' is no kind of request", word);
		complain(r, &err);
	}
}

static void print_commands(void)
{
	puts("KIND TARGET [FIELD=VALUE]...  ask: dns NAME, connect HOST:PORT, sni NAME[:PORT], "
	     "file op=OP PATH\n"
	     "= EXPRESSION                  a Lua expression; q is the last question\n"
	     ":facts [KIND]                 the fields of requests, and what is known of the last "
	     "one\n"
	     ":reload                       load the policies again\n"
	     ":policies  :help  :quit");
}

/* Return: false for the end */
static bool take_line(struct repl *r, char *line)
{
	struct mf_err err = { 0 };
	size_t len = strlen(line);

	while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
		line[--len] = '\0';
	line += strspn(line, " \t");
	if (!*line || *line == '#')
		return true;
	if (*line == '=') {
		evaluate(r, line + 1);
	} else if (*line != ':') {
		ask(r, line);
	} else if (strcmp(line, ":quit") == 0 || strcmp(line, ":q") == 0) {
		return false;
	} else if (strcmp(line, ":reload") == 0) {
		reload(r);
	} else if (strcmp(line, ":policies") == 0) {
		list_policies(r);
	} else if (strcmp(line, ":help") == 0) {
		print_commands();
	} else if (strncmp(line, ":facts", 6) == 0 && (!line[6] || line[6] == ' ')) {
		facts(r, line + 6);
	} else {
		mf_err_set(&err, MF_E_INVAL, "'%.100s' is no command; :help lists them", line);
		complain(r, &err);
	}
	return true;
}

int mf_cmd_policy_repl(int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	struct repl r = { 0 };
	const char *value;
	bool more = true;
	char *line;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0)
		if ((status = mf_variables_add(&usage, &r.variables, value)) != 0)
			return status;
	if (opt < 0)
		return o.status;
	if (o.operand_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give at least one PATH");
	r.paths = (const char *const *)o.operands;
	r.path_cnt = (size_t)o.operand_cnt;
	r.policies = calloc(1, sizeof(*r.policies));
	if (!r.policies || load(&r, r.policies) < 0) {
		free(r.policies);
		return MF_EXIT_FAULT;
	}
	while (more && (line = mf_line_edit_read("> "))) {
		more = take_line(&r, line);
		fflush(stdout);
		free(line);
	}
	mf_question_done(&r.last);
	mf_policies_done(r.policies);
	free(r.policies);
	return r.failed && !mf_console_is_terminal(stdin) ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}
