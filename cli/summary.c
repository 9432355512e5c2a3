/* SPDX-License-Identifier: Apache-2.0 */
/* summary.c - see summary.h */
#include "cli/summary.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "core/base/err.h"

/* Rows kept: what does not fit is counted in one line. */
#define ROWS_MAX 512

enum group { DENIED, KEPT, REDIRECTED, ALLOWED, GROUP_NUM };

static const char *const group_names[] = { "denied", "kept", "redirected", "allowed" };
_Static_assert(sizeof(group_names) / sizeof(group_names[0]) == GROUP_NUM, "one name per group");

struct row {
	enum group group;
	char *what, *why;
	unsigned long cnt;
};

struct mf_summary {
	struct row rows[ROWS_MAX];
	size_t row_cnt;
	unsigned long totals[GROUP_NUM];
	unsigned long unlisted;
};

struct mf_summary *mf_summary_new(void)
{
	return calloc(1, sizeof(struct mf_summary));
}

void mf_summary_free(struct mf_summary *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->row_cnt; i++) {
		free(s->rows[i].what);
		free(s->rows[i].why);
	}
	free(s);
}

static const char *text_of(json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool is_one_of(const char *type, const char *const *types, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++) {
		if (strcmp(type, types[i]) == 0)
			return true;
	}
	return false;
}

static bool is_about_files(const char *type)
{
	return strncmp(type, "file_", 5) == 0 || strncmp(type, "dir_", 4) == 0 ||
	       strncmp(type, "symlink_", 8) == 0 || strcmp(type, "path_redirect") == 0;
}

/* Which events are decisions, and of which group. */
static bool classify(const char *type, json_t *policy, enum group *ret)
{
	static const char *const decisions[] = { "dns_query", "net_connect", "net_tls_hello" };
	static const char *const diversions[] = { "dns_redirect", "connect_redirect",
						  "path_redirect" };
	const char *decision = text_of(policy, "decision");
	bool denied = strcmp(decision, "deny") == 0;

	if (is_one_of(type, diversions, MF_ARRAY_SIZE(diversions)))
		*ret = REDIRECTED;
	else if (strcmp(type, "file_soft_delete") == 0)
		*ret = KEPT;
	else if (is_about_files(type) && denied)
		*ret = DENIED; // what is allowed would be a table of all files
	else if (!is_one_of(type, decisions, MF_ARRAY_SIZE(decisions)))
		return false;
	else if (denied)
		*ret = DENIED;
	else if (strcmp(decision, "allow") == 0)
		*ret = ALLOWED;
	else
		return false; // its diversion has an event of its own
	return true;
}

/* "dns NAME", "connect ADDRESS", "tls NAME", "delete PATH"; and where it was sent instead */
static void describe(const char *type, json_t *event, char *buf, size_t size)
{
	json_t *fields = json_object_get(event, "fields");
	const char *sni = text_of(fields, "sni"), *to = text_of(fields, "redirect_to");
	const char *verb = "connect", *object = text_of(event, "remote");

	if (!to[0])
		to = text_of(fields, "resolved_to");
	if (!to[0])
		to = text_of(fields, "to_path");
	if (is_about_files(type)) {
		verb = text_of(event, "operation");
		object = text_of(event, "path");
	} else if (strncmp(type, "dns", 3) == 0) {
		verb = "dns";
		object = text_of(event, "domain");
	} else if (strcmp(type, "net_tls_hello") == 0) {
		verb = "tls";
		object = sni[0] ? sni : object;
	}
	snprintf(buf, size, "%s %s%s%s", verb, object, to[0] ? " -> " : "", to);
}

static void count(struct mf_summary *s, enum group group, const char *what, const char *why)
{
	struct row *row;

	s->totals[group]++;
	for (size_t i = 0; i < s->row_cnt; i++) {
		row = &s->rows[i];
		if (row->group == group && strcmp(row->what, what) == 0 &&
		    strcmp(row->why, why) == 0) {
			row->cnt++;
			return;
		}
	}
	if (s->row_cnt == ROWS_MAX) {
		s->unlisted++;
		return;
	}
	row = &s->rows[s->row_cnt];
	*row = (struct row){ .group = group, .what = strdup(what), .why = strdup(why), .cnt = 1 };
	if (row->what && row->why) {
		s->row_cnt++;
		return;
	}
	free(row->what);
	free(row->why);
	s->unlisted++;
}

void mf_summary_on_event(void *ctx, const char *json, size_t len)
{
	struct mf_summary *s = ctx;
	json_t *event = json_loadb(json, len, 0, NULL);
	json_t *policy = json_object_get(event, "policy");
	const char *type = text_of(event, "type");
	enum group group;

	if (event && classify(type, policy, &group)) {
		const char *reason = text_of(policy, "reason");
		char what[512], why[512];

		describe(type, event, what, sizeof(what));
		snprintf(why, sizeof(why), "%s %s%s%s", text_of(policy, "name"),
			 text_of(policy, "rule"), reason[0] ? ": " : "", reason);
		count(s, group, what, why);
	}
	json_decref(event);
}

static int compare(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->group != y->group)
		return x->group < y->group ? -1 : 1;
	if (x->cnt != y->cnt)
		return x->cnt > y->cnt ? -1 : 1;
	return strcmp(x->what, y->what);
}

void mf_summary_print(struct mf_summary *s, FILE *out, const char *session_id)
{
	struct mf_table table;

	fprintf(out, "moonfence: session %s: %lu allowed, %lu redirected, %lu denied", session_id,
		s->totals[ALLOWED], s->totals[REDIRECTED], s->totals[DENIED]);
	if (s->totals[KEPT])
		fprintf(out, ", %lu kept in the trash", s->totals[KEPT]);
	fputc('\n', out);
	if (!s->row_cnt)
		return;
	qsort(s->rows, s->row_cnt, sizeof(s->rows[0]), compare);
	mf_table_init(&table, "lrll");
	mf_table_add(&table, "verdict");
	mf_table_add(&table, "times");
	mf_table_add(&table, "what");
	mf_table_add(&table, "why");
	for (size_t i = 0; i < s->row_cnt; i++) {
		mf_table_add(&table, "%s", group_names[s->rows[i].group]);
		mf_table_add(&table, "%lu", s->rows[i].cnt);
		mf_table_add(&table, "%s", s->rows[i].what);
		mf_table_add(&table, "%s", s->rows[i].why);
	}
	mf_table_print(&table, out, true);
	mf_table_done(&table);
	if (s->unlisted)
		fprintf(out, "and %lu more of other kinds\n", s->unlisted);
}
