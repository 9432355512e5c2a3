/* SPDX-License-Identifier: Apache-2.0 */
/* running.c - see running.h */
#include "cli/running.h"

#include <jansson.h>
#include <moonfence/moonfence.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "daemon/client.h"
#include "daemon/session_place.h"

/* How long a session may take to say who it is: one that is stopped says nothing. */
#define ASK_MS 5000

static const char *text_of(const json_t *object, const char *name)
{
	const char *text = json_string_value(json_object_get(object, name));

	return text ? text : "";
}

static void tell_what(const json_t *card, struct mf_running *r)
{
	struct mf_strbuf b = MF_STRBUF_INIT(sizeof(r->what) - 1);
	const json_t *word;
	size_t i;

	mf_strbuf_adds(&b, text_of(card, "place"));
	json_array_foreach(json_object_get(card, "command"), i, word)
		mf_strbuf_addf(&b, "%s%s", i ? " " : "", json_string_value(word));
	snprintf(r->what, sizeof(r->what), "%s", b.len ? b.str : "");
	mf_strbuf_done(&b);
}

struct listing {
	const char *dir;
	struct mf_running *ret;
	int cnt;
};

/* Return: whether it is one */
static bool ask(const char *dir, long pid, const char *path, struct mf_running *r)
{
	struct mf_client_answer a;
	struct mf_err err = { 0 };
	json_t *card;
	int rc = mf_client_call(path,
				&(struct mf_client_request){ .method = "GET",
							     .target = "/v1/session",
							     .timeout_ms = ASK_MS },
				&a, &err);

	if (rc == MF_E_CLOSED)
		mf_session_place_forget(dir, pid, path);
	if (rc < 0)
		return false;
	card = a.status == 200 && a.body.str ? json_loads(a.body.str, 0, NULL) : NULL;
	mf_client_answer_done(&a);
	if (!card)
		return false;
	snprintf(r->socket, sizeof(r->socket), "%s", path);
	snprintf(r->id, sizeof(r->id), "%s", text_of(card, "id"));
	snprintf(r->kind, sizeof(r->kind), "%s", text_of(card, "kind"));
	r->pid = json_integer_value(json_object_get(card, "pid"));
	tell_what(card, r);
	json_decref(card);
	return true;
}

static void add(void *ctx, long pid)
{
	struct listing *l = ctx;
	char path[MF_PATH_MAX];

	if (l->cnt < MF_RUNNING_MAX &&
	    mf_session_place_socket(l->dir, pid, path, sizeof(path)) == 0 &&
	    ask(l->dir, pid, path, &l->ret[l->cnt]))
		l->cnt++;
}

int mf_running_list(struct mf_running *ret, struct mf_err *err)
{
	char dir[MF_PATH_MAX];
	struct listing l = { .dir = dir, .ret = ret };
	int r;

	if (!mf_paths_sessions(dir))
		return mf_err_set(err, MF_E_NOENT,
				  "nobody knows where this user's sessions are: HOME is not set");
	r = mf_session_place_each(dir, add, &l, err);
	return r < 0 ? r : l.cnt;
}

static int say_several(const struct mf_running *all, int cnt, const char *id, struct mf_err *err)
{
	struct mf_strbuf b = MF_STRBUF_INIT(800);

	for (int i = 0; i < cnt; i++) {
		if (id && strcmp(all[i].id, id) != 0)
			continue;
		mf_strbuf_addf(&b, "%s%s (%lld, %s%s%.40s)", b.len ? ", " : "", all[i].id,
			       all[i].pid, all[i].kind, all[i].what[0] ? " " : "", all[i].what);
		if (b.failed)
			break;
	}
	mf_err_set(err, MF_E_EXIST, "several sessions run, name one or its process: %s%s",
		   b.len ? b.str : "", b.failed ? ", ..." : "");
	mf_strbuf_done(&b);
	return MF_E_EXIST;
}

int mf_running_find(const char *id, struct mf_running *ret, struct mf_err *err)
{
	struct mf_running *all = calloc(MF_RUNNING_MAX, sizeof(*all));
	int cnt, found = -1, matches = 0, r = 0;
	char number[24];

	if (!all)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	cnt = mf_running_list(all, err);
	for (int i = 0; i < cnt; i++) {
		snprintf(number, sizeof(number), "%lld", all[i].pid);
		if (id && strcmp(id, all[i].id) != 0 && strcmp(id, number) != 0)
			continue;
		found = i;
		matches++;
	}
	if (cnt < 0)
		r = cnt;
	else if (matches > 1)
		r = say_several(all, cnt, id, err);
	else if (matches == 0)
		r = id ? mf_err_set(err, MF_E_NOENT, "no session '%.80s' runs", id)
		       : mf_err_set(err, MF_E_NOENT, "no session runs");
	else
		*ret = all[found];
	free(all);
	return r;
}
