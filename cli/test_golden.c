/* SPDX-License-Identifier: Apache-2.0 */
/* test_golden.c - see test_golden.h */
#include "cli/test_golden.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/paths.h"
#include "core/policy/files.h"

#define GOLDEN_MAX   ((size_t)1 << 20)
#define NAME_MAX_LEN 64

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static void add_row(struct mf_strbuf *b, const json_t *trace, const char *key, const char *title)
{
	const json_t *value = json_object_get(trace, key);

	if (json_is_string(value) && *json_string_value(value))
		mf_strbuf_addf(b, "%s: %s\n", title, json_string_value(value));
	else if (json_is_integer(value))
		mf_strbuf_addf(b, "%s: %lld\n", title, (long long)json_integer_value(value));
}

static void add_step(struct mf_strbuf *b, const json_t *step)
{
	const char *ask = text_of(step, "ask");
	char *value;

	if (*ask) {
		mf_strbuf_addf(b, "    %s ", ask);
		for (const char *p = text_of(step, "argument"); *p; p++)
			mf_strbuf_addc(b, *p == '\n' ? ' ' : *p); /* a list has one item a line */
		mf_strbuf_addf(b, "? %s\n",
			       json_is_true(json_object_get(step, "answer")) ? "yes" : "no");
		return;
	}
	value = json_dumps(json_object_get(step, "value"), JSON_ENCODE_ANY | JSON_SORT_KEYS);
	mf_strbuf_addf(b, "    %s%s%s = %s\n", text_of(step, "read"),
		       json_object_get(step, "key") ? "." : "", text_of(step, "key"),
		       value ? value : "?");
	free(value);
}

static void render(struct mf_strbuf *b, const char *question, const json_t *trace)
{
	static const char *const rows[][2] = {
		{ "verdict", "verdict" },
		{ "reason", "reason" },
		{ "message", "message" },
		{ "visibility", "visibility" },
		{ "cname", "cname" },
		{ "redirect_host", "redirect host" },
		{ "redirect_port", "redirect port" },
		{ "redirect_unix", "redirect unix" },
		{ "sni", "sni" },
		{ "path_target", "path" },
		{ "policy", "policy" },
		{ "rule", "rule" },
	};
	const json_t *policy, *step;
	size_t i, k;

	mf_strbuf_addf(b, "%s\n", question);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		add_row(b, trace, rows[i][0], rows[i][1]);
	mf_strbuf_adds(b, "asked:\n");
	json_array_foreach(json_object_get(trace, "policies"), i, policy)
	{
		const char *by = text_of(policy, "by"), *opinion = text_of(policy, "opinion");

		mf_strbuf_addf(b, "  %s (%s): %s\n", text_of(policy, "policy"),
			       *by ? by : "nothing for this kind",
			       *opinion ? opinion : "no opinion");
		json_array_foreach(json_object_get(policy, "steps"), k, step) add_step(b, step);
	}
	add_row(b, trace, "why", "enters Lua again");
	add_row(b, trace, "valid_for", "holds for");
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= NAME_MAX_LEN && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
		       len;
}

/* NAME.golden beside the test's file */
static bool golden_path(const struct mf_test_explained *e, char *path, size_t size)
{
	size_t len = strlen(e->file);
	int n;

	while (len > 0 && e->file[len - 1] != '/' && e->file[len - 1] != '\\')
		len--;
	n = snprintf(path, size, "%.*s%s.golden", (int)len, e->file, e->name);
	return n > 0 && (size_t)n < size;
}

static bool write_golden(const char *path, const struct mf_strbuf *text, struct mf_strbuf *why)
{
	FILE *out = fopen(path, "wb");
	bool good = out && fwrite(text->str, 1, text->len, out) == text->len;

	if (out && fclose(out) != 0)
		good = false;
	if (!good)
		mf_strbuf_addf(why, "cannot write %s: %s", path, strerror(errno));
	return good;
}

/* The first line that differs, of both. */
static void tell_difference(const char *path, const char *want, const char *got,
			    struct mf_strbuf *why)
{
	unsigned line = 1;

	while (*want && *got) {
		size_t a = strcspn(want, "\n"), b = strcspn(got, "\n");

		if (a != b || memcmp(want, got, a) != 0)
			break;
		want += a + (want[a] == '\n');
		got += b + (got[b] == '\n');
		line++;
	}
	mf_strbuf_addf(why, "%s:%u\n- %.*s\n+ %.*s\n(--update writes the file anew)", path, line,
		       (int)strcspn(want, "\n"), want, (int)strcspn(got, "\n"), got);
}

static bool compare(const char *path, const struct mf_strbuf *text, struct mf_strbuf *why)
{
	struct mf_err err = { 0 };
	char *want, *to;
	size_t len;
	bool same;

	if (mf_file_read(path, GOLDEN_MAX, &want, &len, &err) < 0) {
		mf_strbuf_addf(why, "%s (--update writes the file)", err.msg);
		return false;
	}
	/* An editor of Windows may have ended its lines otherwise. */
	to = want;
	for (const char *from = want; *from; from++)
		if (!(from[0] == '\r' && from[1] == '\n'))
			*to++ = *from;
	*to = '\0';
	same = strcmp(want, text->str) == 0;
	if (!same)
		tell_difference(path, want, text->str, why);
	free(want);
	return same;
}

bool mf_golden_explained(void *ctx, const struct mf_test_explained *e, struct mf_strbuf *why)
{
	struct mf_golden *g = ctx;
	struct mf_strbuf text = MF_STRBUF_INIT(GOLDEN_MAX);
	char path[MF_PATH_MAX];
	json_t *trace = json_loads(e->json, 0, NULL);
	bool good = false;

	if (!is_name(e->name) || !golden_path(e, path, sizeof(path))) {
		mf_strbuf_addf(why, "\"%.80s\" is no name for a file", e->name);
	} else if (trace) {
		render(&text, e->question, trace);
		if (!text.str || text.failed)
			mf_strbuf_adds(why, "the explanation is too long");
		else if (g->update)
			g->written += good = write_golden(path, &text, why);
		else
			good = compare(path, &text, why);
	}
	json_decref(trace);
	mf_strbuf_done(&text);
	return good;
}
