/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_repair_win32.c - what a process left that died in the middle of its work
 *
 * record, no payload          it never happened: record and trashinfo go (NOTE_DIR has none and stays)
 * payload, no good trashinfo  another is made of the record
 * .tmp-                       half of a copy: it goes
 * A record of a writer that lives is left alone, and so is everything without a record that is not ours.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "fs/trash_int_win32.h"

/* Whether there is a trashinfo that can be read, and whose it is. */
static bool read_info(struct mf_trash *t, const char *name, char token[MF_TRASH_TOKEN_MAX])
{
	char path[MF_WTRASH_NAME_MAX], *text;
	struct mf_trash_info info;
	size_t len;
	bool ok;

	token[0] = '\0';
	mf_wtrash_name(path, "info", name, "");
	if (mf_wtrash_read(t, path, MF_TRASH_INFO_MAX, &text, &len) < 0)
		return false;
	ok = mf_trash_info_parse(text, len, &info) == 0;
	if (ok && mf_trash_token_ok(info.token))
		strcpy(token, info.token);
	free(text);
	return ok;
}

static int rebuild_info(struct mf_trash *t, const struct mf_trash_entry *e)
{
	char name[MF_WTRASH_NAME_MAX];

	mf_wtrash_name(name, "info", e->file, MF_TRASH_INFO_SUFFIX);
	(void)mf_wtrash_remove(t, name);
	return mf_wtrash_write_info(t, e);
}

static void repair_one(struct mf_trash *t, const char *token, struct mf_trash_repaired *ret)
{
	char info[MF_TRASH_FILE_MAX + 16], other[MF_TRASH_TOKEN_MAX];
	struct mf_wtrash_loaded l;

	if (mf_wtrash_load(t, token, &l) < 0)
		return;
	ret->looked_at++;
	if (*l.r.e.file && mf_wtrash_writer_dead(t, l.r.writer)) {
		snprintf(info, sizeof(info), "%s" MF_TRASH_INFO_SUFFIX, l.r.e.file);
		if (!mf_wtrash_is_whole(t, &l.r.e)) {
			mf_wtrash_forget(t, token, l.r.e.file);
			mf_trash_tell_repaired(&t->options, &l.r.e, "rolled back");
			ret->rolled_back++;
		} else if (!read_info(t, info, other) && rebuild_info(t, &l.r.e) == 0) {
			mf_trash_tell_repaired(&t->options, &l.r.e, "trashinfo made anew");
			ret->rebuilt++;
		}
	}
	mf_wtrash_loaded_done(&l);
}

static bool has_record(struct mf_trash *t, const char *token)
{
	char name[MF_WTRASH_NAME_MAX];
	void *h;

	mf_wtrash_name(name, "moonfence", token, "");
	if (mf_wsource_open_at(t->tree, name, MF_WSOURCE_LOOK, &h, NULL) == -ENOENT)
		return false;
	mf_wsource_close_handle(h);
	return true;
}

/* ".tmp-WRITER-TOKEN" of a dead writer, "TOKEN.json" without a record. */
static bool is_left_over(struct mf_trash *t, const char *name)
{
	const size_t skip = sizeof(MF_WTRASH_TMP) - 1;
	char part[MF_TRASH_TOKEN_MAX];

	if (!strncmp(name, MF_WTRASH_TMP, skip) &&
	    strlen(name) == skip + MF_TRASH_WRITER_LEN + 1 + MF_TRASH_TOKEN_LEN) {
		snprintf(part, sizeof(part), "%.*s", MF_TRASH_WRITER_LEN, name + skip);
		return mf_trash_writer_ok(part) && mf_wtrash_writer_dead(t, part);
	}
	if (strlen(name) == MF_TRASH_TOKEN_LEN + 5 && !strcmp(name + MF_TRASH_TOKEN_LEN, ".json")) {
		snprintf(part, sizeof(part), "%.*s", MF_TRASH_TOKEN_LEN, name);
		return mf_trash_token_ok(part) && !has_record(t, part);
	}
	return false;
}

static void sweep(struct mf_trash *t, struct mf_trash_repaired *ret)
{
	struct mf_trash_names names;
	char path[MF_WTRASH_NAME_MAX];

	if (mf_wtrash_names_read(t, "/moonfence", NULL, &names) == 0)
		for (size_t i = 0; i < names.cnt; i++) {
			mf_wtrash_name(path, "moonfence", names.names[i], "");
			if (is_left_over(t, names.names[i]) && mf_wtrash_remove(t, path) == 0)
				ret->swept++;
		}
	mf_trash_names_done(&names);
}

/* Trashinfos of ours whose record and payload are gone. Others' are theirs. */
static void sweep_infos(struct mf_trash *t, struct mf_trash_repaired *ret)
{
	const size_t suffix = sizeof(MF_TRASH_INFO_SUFFIX) - 1;
	char token[MF_TRASH_TOKEN_MAX], path[MF_WTRASH_NAME_MAX];
	struct mf_trash_names names;
	void *h;

	if (mf_wtrash_names_read(t, "/info", NULL, &names) < 0) {
		mf_trash_names_done(&names);
		return;
	}
	for (size_t i = 0; i < names.cnt; i++) {
		const char *name = names.names[i];
		size_t len = strlen(name);

		if (len <= suffix || strcmp(name + len - suffix, MF_TRASH_INFO_SUFFIX) != 0 ||
		    len - suffix > MF_TRASH_FILE_MAX)
			continue;
		snprintf(path, sizeof(path), "/files/%.*s", (int)(len - suffix), name);
		if (mf_wsource_open_at(t->tree, path, MF_WSOURCE_LOOK, &h, NULL) == 0) {
			mf_wsource_close_handle(h);
			continue;
		}
		mf_wtrash_name(path, "info", name, "");
		if (read_info(t, name, token) && *token && !has_record(t, token) &&
		    mf_wtrash_remove(t, path) == 0)
			ret->swept++;
	}
	mf_trash_names_done(&names);
}

/* Their files go last: until then the next open looks again. */
static void bury_writers(struct mf_trash *t)
{
	struct mf_trash_names names;
	char path[MF_WTRASH_NAME_MAX];

	if (mf_wtrash_names_read(t, "/moonfence/writers", mf_trash_writer_ok, &names) == 0)
		for (size_t i = 0; i < names.cnt; i++) {
			mf_wtrash_name(path, "moonfence/writers", names.names[i], "");
			if (mf_wtrash_writer_dead(t, names.names[i]))
				(void)mf_wtrash_remove(t, path);
		}
	mf_trash_names_done(&names);
}

int mf_wtrash_repair_locked(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err)
{
	struct mf_trash_names tokens;
	int r = mf_wtrash_names_read(t, "/moonfence", mf_trash_token_ok, &tokens);

	*ret = (struct mf_trash_repaired){ .swept = 0 };
	if (r < 0) {
		mf_trash_names_done(&tokens);
		return mf_err_set(err, r == -ENOMEM ? MF_E_NOMEM : MF_E_IO,
				  "cannot read the trash %s: %s", mf_trash_path(t), strerror(-r));
	}
	for (size_t i = 0; i < tokens.cnt; i++)
		repair_one(t, tokens.names[i], ret);
	mf_trash_names_done(&tokens);
	sweep(t, ret);
	sweep_infos(t, ret);
	bury_writers(t);
	return 0;
}

int mf_trash_repair(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err)
{
	void *lock;
	int r = mf_wtrash_lock_for(t, &lock, err);

	if (r < 0)
		return r;
	r = mf_wtrash_repair_locked(t, ret, err);
	mf_wsource_close_handle(lock);
	return r;
}
