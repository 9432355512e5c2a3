/* SPDX-License-Identifier: Apache-2.0 */
/* event_filter.c - see event_filter.h */
#include "core/observe/event_filter.h"

#include <jansson.h>
#include <moonfence/moonfence.h>
#include <stdlib.h>
#include <string.h>

#include "core/match/glob.h"
#include "core/observe/event_stamp.h"

static const uint8_t kinds[] = {
	[MF_EV_SESSION_START] = MF_EVENT_KIND_SESSION,
	[MF_EV_SESSION_END] = MF_EVENT_KIND_SESSION,
	[MF_EV_DNS_QUERY] = MF_EVENT_KIND_DNS,
	[MF_EV_DNS_REDIRECT] = MF_EVENT_KIND_DNS,
	[MF_EV_NET_CONNECT] = MF_EVENT_KIND_CONNECT,
	[MF_EV_CONNECT_REDIRECT] = MF_EVENT_KIND_CONNECT,
	[MF_EV_CONNECT_REDIRECT_FALLBACK] = MF_EVENT_KIND_CONNECT,
	[MF_EV_NET_TLS_HELLO] = MF_EVENT_KIND_SNI,
	[MF_EV_NET_TLS_INTERCEPT] = MF_EVENT_KIND_SNI,
	[MF_EV_NET_HTTP_REQUEST] = MF_EVENT_KIND_HTTP,
	[MF_EV_NET_CLOSE] = MF_EVENT_KIND_CONNECT,
	[MF_EV_FILE_OPEN] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_READ] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_WRITE] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_CREATE] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_DELETE] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_RENAME] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_STAT] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_CHMOD] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_TRUNCATE] = MF_EVENT_KIND_FILE,
	[MF_EV_FILE_SOFT_DELETE] = MF_EVENT_KIND_FILE,
	[MF_EV_DIR_CREATE] = MF_EVENT_KIND_FILE,
	[MF_EV_DIR_DELETE] = MF_EVENT_KIND_FILE,
	[MF_EV_DIR_LIST] = MF_EVENT_KIND_FILE,
	[MF_EV_SYMLINK_CREATE] = MF_EVENT_KIND_FILE,
	[MF_EV_SYMLINK_READ] = MF_EVENT_KIND_FILE,
	[MF_EV_PATH_REDIRECT] = MF_EVENT_KIND_FILE,
	[MF_EV_TRASH_RESTORE] = MF_EVENT_KIND_TRASH,
	[MF_EV_TRASH_PURGE] = MF_EVENT_KIND_TRASH,
	[MF_EV_TRASH_FULL] = MF_EVENT_KIND_TRASH,
	[MF_EV_MONITOR_OVERFLOW] = MF_EVENT_KIND_FILE,
	[MF_EV_POLICY_LOADED] = MF_EVENT_KIND_POLICY,
	[MF_EV_POLICY_CHANGED] = MF_EVENT_KIND_POLICY,
	[MF_EV_POLICY_RELOAD_FAILED] = MF_EVENT_KIND_POLICY,
	[MF_EV_POLICY_ERROR] = MF_EVENT_KIND_POLICY,
	[MF_EV_POLICY_QUARANTINED] = MF_EVENT_KIND_POLICY,
	[MF_EV_TRANSPARENT_NET_SETUP] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_TRANSPARENT_NET_FAILED] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_CAPTURE_READY] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_CAPTURE_DRIFT] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_CAPTURE_REFUSED] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_CAPTURE_MASKED] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_CAPTURE_PACKETS] = MF_EVENT_KIND_CAPTURE,
	[MF_EV_GUEST_JOINED] = MF_EVENT_KIND_SESSION,
	[MF_EV_GUEST_LEFT] = MF_EVENT_KIND_SESSION,
	[MF_EV_GATEWAY_OPEN] = MF_EVENT_KIND_SESSION,
	[MF_EV_GATEWAY_CLOSE] = MF_EVENT_KIND_SESSION,
	[MF_EV_GATEWAY_REFUSED] = MF_EVENT_KIND_SESSION,
	[MF_EV_EVENTS_DROPPED] = MF_EVENT_KIND_OTHER,
};
_Static_assert(MF_ARRAY_SIZE(kinds) == MF_EV_NUM, "one kind per type of event");

static const char *const kind_names[] = { "dns",     "connect", "sni",	   "http",  "file",
					  "session", "policy",	"capture", "trash", NULL };
_Static_assert(MF_ARRAY_SIZE(kind_names) == MF_EVENT_KIND_NUM, "one name per kind, but OTHER");

/* What "decision" of an event may be beside the verdicts. */
static const char *const more_verdicts[] = { "audit" };

struct globs {
	struct mf_glob *globs[MF_EVENT_FILTER_VALUES_MAX];
	size_t cnt;
};

struct mf_event_filter {
	bool types[MF_EV_NUM]; /* of kind and type, where by_type */
	bool kinds[MF_EVENT_KIND_NUM];
	bool by_type, by_kind;
	const char *verdicts[MF_EVENT_FILTER_VALUES_MAX]; /* static storage */
	size_t verdict_cnt;
	struct globs sessions, hosts, paths;
};

enum mf_event_kind mf_event_kind_of(enum mf_event_type type)
{
	return (unsigned)type < MF_EV_NUM ? (enum mf_event_kind)kinds[type] : MF_EVENT_KIND_OTHER;
}

int mf_event_filter_new(struct mf_event_filter **ret_filter, struct mf_err *err)
{
	*ret_filter = calloc(1, sizeof(**ret_filter));
	return *ret_filter ? 0 : mf_err_set(err, MF_E_NOMEM, "Out of memory.");
}

static void free_globs(struct globs *g)
{
	for (size_t i = 0; i < g->cnt; i++)
		mf_glob_free(g->globs[i]);
}

void mf_event_filter_free(struct mf_event_filter *f)
{
	if (!f)
		return;
	free_globs(&f->sessions);
	free_globs(&f->hosts);
	free_globs(&f->paths);
	free(f);
}

// ------------------------------------------------------------------------------------------------------------------
// Making one

static int add_kind(struct mf_event_filter *f, const char *value, struct mf_err *err)
{
	for (size_t i = 0; i < MF_EVENT_KIND_OTHER; i++) {
		if (strcmp(kind_names[i], value) == 0) {
			f->by_kind = f->kinds[i] = true;
			return 0;
		}
	}
	return mf_err_set(err, MF_E_INVAL,
			  "There is no kind '%.64s': dns, connect, sni, http, file, session, "
			  "policy, capture and trash are there.",
			  value);
}

static int add_type(struct mf_event_filter *f, const char *value, struct mf_err *err)
{
	for (unsigned i = 0; i < MF_EV_NUM; i++) {
		if (strcmp(mf_event_type_info((enum mf_event_type)i)->name, value) == 0) {
			f->by_type = f->types[i] = true;
			return 0;
		}
	}
	return mf_err_set(err, MF_E_INVAL, "There is no type of event '%.64s'.", value);
}

static const char *find_verdict(const char *value)
{
	for (unsigned i = 0; i < MF_VERDICT_NUM; i++)
		if (strcmp(mf_verdict_name((enum mf_verdict)i), value) == 0)
			return mf_verdict_name((enum mf_verdict)i);
	for (size_t i = 0; i < MF_ARRAY_SIZE(more_verdicts); i++)
		if (strcmp(more_verdicts[i], value) == 0)
			return more_verdicts[i];
	return NULL;
}

static int add_verdict(struct mf_event_filter *f, const char *value, struct mf_err *err)
{
	const char *verdict = find_verdict(value);

	if (!verdict)
		return mf_err_set(err, MF_E_INVAL,
				  "There is no verdict '%.64s': allow, deny, resolve, redirect, "
				  "route, terminate, ask, soft_delete, redirect_path and audit are "
				  "there.",
				  value);
	if (f->verdict_cnt == MF_EVENT_FILTER_VALUES_MAX)
		return mf_err_set(err, MF_E_FULL, "At most %u verdicts.",
				  MF_EVENT_FILTER_VALUES_MAX);
	f->verdicts[f->verdict_cnt++] = verdict;
	return 0;
}

static int add_glob(struct globs *g, const char *name, const char *value, char separator,
		    struct mf_err *err)
{
	int r;

	if (g->cnt == MF_EVENT_FILTER_VALUES_MAX)
		return mf_err_set(err, MF_E_FULL, "At most %u of %s.", MF_EVENT_FILTER_VALUES_MAX,
				  name);
	r = mf_glob_compile(value, strlen(value), separator, 0, &g->globs[g->cnt], err);
	if (r == 0)
		g->cnt++;
	return r;
}

static const char *const names[] = { "kind", "type", "verdict", "session", "host", "path" };

bool mf_event_filter_knows(const char *name)
{
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

int mf_event_filter_add(struct mf_event_filter *f, const char *name, const char *value,
			struct mf_err *err)
{
	if (strcmp(name, "kind") == 0)
		return add_kind(f, value, err);
	if (strcmp(name, "type") == 0)
		return add_type(f, value, err);
	if (strcmp(name, "verdict") == 0)
		return add_verdict(f, value, err);
	if (strcmp(name, "session") == 0)
		return add_glob(&f->sessions, name, value, 0, err);
	if (strcmp(name, "host") == 0)
		return add_glob(&f->hosts, name, value, '.', err);
	if (strcmp(name, "path") == 0)
		return add_glob(&f->paths, name, value, '/', err);
	return mf_err_set(err, MF_E_INVAL,
			  "Events are chosen by kind, type, verdict, session, host and path, not "
			  "by '%.64s'.",
			  name);
}

// ------------------------------------------------------------------------------------------------------------------
// Matching

static bool any_glob(const struct globs *g, const char *text, size_t len)
{
	for (size_t i = 0; i < g->cnt; i++)
		if (mf_glob_match(g->globs[i], text, len))
			return true;
	return false;
}

/* Behind @member, which must stand at *at: its text up to the quote, as it is in the line. Return: false: not there */
static bool take_member(const char *line, size_t len, size_t *at, const char *member,
			const char **ret_text, size_t *ret_len)
{
	size_t n = strlen(member), from = *at + n;
	const char *quote;

	if (from > len || memcmp(line + *at, member, n) != 0)
		return false;
	quote = memchr(line + from, '"', len - from);
	if (!quote)
		return false;
	*ret_text = line + from;
	*ret_len = (size_t)(quote - *ret_text);
	*at = from + *ret_len + 1;
	return true;
}

static int type_named(const char *name, size_t len)
{
	for (unsigned i = 0; i < MF_EV_NUM; i++) {
		const char *known = mf_event_type_info((enum mf_event_type)i)->name;

		if (strlen(known) == len && memcmp(known, name, len) == 0)
			return (int)i;
	}
	return -1;
}

static bool text_matches(const struct globs *g, json_t *object, const char *member)
{
	json_t *text = json_object_get(object, member);

	return json_is_string(text) &&
	       any_glob(g, json_string_value(text), json_string_length(text));
}

/* "name:port", "1.2.3.4:port", "[::1]:port" */
static bool remote_matches(const struct globs *g, json_t *event)
{
	const char *text = json_string_value(json_object_get(event, "remote"));
	const char *colon = text ? strrchr(text, ':') : NULL;
	size_t len;

	if (!colon)
		return false;
	len = (size_t)(colon - text);
	if (len > 2 && text[0] == '[' && text[len - 1] == ']')
		return any_glob(g, text + 1, len - 2);
	return any_glob(g, text, len);
}

static bool host_matches(const struct mf_event_filter *f, json_t *event)
{
	json_t *fields = json_object_get(event, "fields");

	return text_matches(&f->hosts, event, "domain") || remote_matches(&f->hosts, event) ||
	       text_matches(&f->hosts, fields, "sni") ||
	       text_matches(&f->hosts, fields, "resolved_ip");
}

static bool path_matches(const struct mf_event_filter *f, json_t *event)
{
	json_t *fields = json_object_get(event, "fields");

	return text_matches(&f->paths, event, "path") ||
	       text_matches(&f->paths, fields, "to_path") ||
	       text_matches(&f->paths, fields, "from_path");
}

static bool verdict_matches(const struct mf_event_filter *f, json_t *event)
{
	json_t *policy = json_object_get(event, "policy");
	const char *decided = json_string_value(json_object_get(policy, "decision"));
	const char *done = json_string_value(json_object_get(policy, "effective_decision"));

	for (size_t i = 0; i < f->verdict_cnt; i++)
		if ((decided && strcmp(f->verdicts[i], decided) == 0) ||
		    (done && strcmp(f->verdicts[i], done) == 0))
			return true;
	return false;
}

static bool members_match(const struct mf_event_filter *f, const char *line, size_t len,
			  bool session_too)
{
	json_t *event = json_loadb(line, len, 0, NULL);
	bool good = event != NULL;

	if (session_too)
		good = good && text_matches(&f->sessions, event, "session_id");
	if (f->verdict_cnt)
		good = good && verdict_matches(f, event);
	if (f->hosts.cnt)
		good = good && host_matches(f, event);
	if (f->paths.cnt)
		good = good && path_matches(f, event);
	json_decref(event);
	return good;
}

bool mf_event_filter_match(const struct mf_event_filter *f, const char *line, size_t len)
{
	size_t at = sizeof(MF_EVENT_STAMP) - 1, text_len;
	bool session_too = false;
	const char *text;
	int type;

	if (!f)
		return true;
	if (!take_member(line, len, &at, ",\"type\":\"", &text, &text_len))
		return false;
	type = type_named(text, text_len);
	if (type == MF_EV_EVENTS_DROPPED)
		return true;
	if ((f->by_kind && (type < 0 || !f->kinds[kinds[type]])) ||
	    (f->by_type && (type < 0 || !f->types[type])))
		return false;
	if (f->sessions.cnt) {
		if (!take_member(line, len, &at, ",\"session_id\":\"", &text, &text_len))
			return false;
		// With escapes in it, it is not as it is written.
		session_too = memchr(text, '\\', text_len) != NULL;
		if (!session_too && !any_glob(&f->sessions, text, text_len))
			return false;
	}
	return !(f->verdict_cnt || f->hosts.cnt || f->paths.cnt || session_too) ||
	       members_match(f, line, len, session_too);
}
