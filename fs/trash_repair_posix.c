/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_repair_posix.c - what a process left that died in the middle of its work
 *
 * record, no payload          it never happened: record, trashinfo and copy go (NOTE_DIR has none and stays)
 * payload, no good trashinfo  another is made of the record (unless this very handle has put it off)
 * LINK, still in its place    the rename over it never happened: the link and its record go
 * .tmp-, .purge-              half of a copy; what was being deleted: they go
 * A record of a writer that lives is left alone, and so is everything that others put without a record.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "fs/trash_int.h"

#define UNKNOWN_WAIT_NS (24 * 3600 * MF_NS_PER_S) /* where nobody can say whether a writer lives */

static bool has_payload(const struct mf_trash *t, const char *file, struct stat *ret)
{
	// Whatever else is wrong with it, it is there.
	return fstatat(t->files_fd, file, ret, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

static bool may_touch(struct mf_trash *t, const char *writer, const char *token)
{
	uint64_t now = mf_trash_now(t), at = mf_trash_token_time(token);
	enum mf_trash_life life;
	int fd;

	if (t->writer_fd >= 0 && strcmp(writer, t->writer) == 0)
		return !mf_trash_in_flight(t, token);
	life = mf_trash_writer_life(t, writer, &fd);
	if (fd >= 0)
		close(fd);
	return life == MF_TRASH_DEAD ||
	       (life == MF_TRASH_UNKNOWN && now > at && now - at > UNKNOWN_WAIT_NS);
}

/* Whether the caller's rename over a linked object did not take place: the object has its name still. */
static bool still_there(const struct mf_trash_record *r, const struct stat *payload)
{
	struct stat st;

	return r->e.how == MF_TRASH_LINK && payload->st_nlink > 1 && lstat(r->e.path, &st) == 0 &&
	       st.st_dev == payload->st_dev && st.st_ino == payload->st_ino;
}

static bool has_good_info(const struct mf_trash *t, const char *file)
{
	struct mf_trash_info info;
	char *text;

	if (mf_trash_read_info(t, file, &info, &text) < 0)
		return false;
	free(text);
	return true;
}

static int rebuild_info(struct mf_trash *t, const struct mf_trash_record *r)
{
	char name[256];

	snprintf(name, sizeof(name), "%s" MF_TRASH_INFO_SUFFIX, r->e.file);
	if (unlinkat(t->info_fd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	return mf_trash_write_info(t, r->e.file, r->e.path, r->e.deleted_ns, r->e.token);
}

/* Whether a trashinfo that is missing may be among those that this handle will write. */
static bool is_late(const struct mf_trash *t, const char *writer)
{
	return t->options.background && strcmp(writer, t->writer) == 0;
}

static void repair_one(struct mf_trash *t, const char *record, struct mf_trash_repaired *ret)
{
	struct mf_trash_loaded l;
	const char *token = l.token;
	const struct mf_trash_record *r = &l.r;
	struct stat st;

	if (mf_trash_load(t, record, &l) < 0)
		return;
	ret->looked_at++;
	if (r->e.how == MF_TRASH_NOTE_DIR || !may_touch(t, r->writer, token)) {
		mf_trash_loaded_done(&l);
		return;
	}
	if (!has_payload(t, r->e.file, &st)) {
		(void)mf_trash_forget(t, token, r->e.file);
		mf_trash_tell_repaired(&t->options, &r->e, "rolled back");
		ret->rolled_back++;
	} else if (still_there(r, &st)) {
		if (unlinkat(t->files_fd, r->e.file, 0) == 0) {
			(void)mf_trash_forget(t, token, r->e.file);
			mf_trash_tell_repaired(&t->options, &r->e, "rolled back");
			ret->rolled_back++;
		}
	} else if (!is_late(t, r->writer) && !has_good_info(t, r->e.file) &&
		   rebuild_info(t, r) == 0) {
		mf_trash_tell_repaired(&t->options, &r->e, "trashinfo made anew");
		ret->rebuilt++;
	}
	mf_trash_loaded_done(&l);
}

/* ".tmp-WRITER-TOKEN", ".purge-WRITER-TOKEN": takes it apart. */
static bool read_left_over(const char *name, char writer[MF_TRASH_WRITER_LEN + 1],
			   char token[MF_TRASH_TOKEN_MAX])
{
	size_t skip = strncmp(name, MF_TRASH_TMP, strlen(MF_TRASH_TMP)) == 0 ? strlen(MF_TRASH_TMP)
		      : strncmp(name, MF_TRASH_GONE, strlen(MF_TRASH_GONE)) == 0
			      ? strlen(MF_TRASH_GONE)
		      : strncmp(name, MF_TRASH_SHARED, strlen(MF_TRASH_SHARED)) == 0
			      ? strlen(MF_TRASH_SHARED)
			      : 0;

	if (!skip || strlen(name) != skip + MF_TRASH_WRITER_LEN + 1 + MF_TRASH_TOKEN_LEN)
		return false;
	memcpy(writer, name + skip, MF_TRASH_WRITER_LEN);
	writer[MF_TRASH_WRITER_LEN] = '\0';
	memcpy(token, name + skip + MF_TRASH_WRITER_LEN + 1, MF_TRASH_TOKEN_MAX);
	return mf_trash_writer_ok(writer) && mf_trash_token_ok(token);
}

static bool is_left_over(const char *name)
{
	char writer[MF_TRASH_WRITER_LEN + 1], token[MF_TRASH_TOKEN_MAX];

	return read_left_over(name, writer, token);
}

static bool is_info(const char *name)
{
	size_t len = strlen(name), suffix = strlen(MF_TRASH_INFO_SUFFIX);

	return len > suffix && strcmp(name + len - suffix, MF_TRASH_INFO_SUFFIX) == 0;
}

/* Half-made copies, and what was being deleted. */
static void sweep(struct mf_trash *t, struct mf_trash_repaired *ret)
{
	struct mf_trash_names left;

	if (mf_trash_names_read(t->own_fd, is_left_over, &left) < 0)
		return;
	for (size_t i = 0; i < left.cnt; i++) {
		char writer[MF_TRASH_WRITER_LEN + 1], token[MF_TRASH_TOKEN_MAX];

		if (!read_left_over(left.names[i], writer, token))
			continue;
		// What our own records share is in use as long as we are.
		if (strncmp(left.names[i], MF_TRASH_SHARED, strlen(MF_TRASH_SHARED)) == 0 &&
		    strcmp(writer, t->writer) == 0)
			continue;
		if (may_touch(t, writer, token) &&
		    mf_trash_remove_tree(t->own_fd, left.names[i]) == 0)
			ret->swept++;
	}
	mf_trash_names_done(&left);
}

/* A trashinfo of ours whose record and payload are gone. Others' are theirs. */
static void sweep_infos(struct mf_trash *t, struct mf_trash_repaired *ret)
{
	struct mf_trash_names infos;

	if (mf_trash_names_read(t->info_fd, is_info, &infos) < 0)
		return;
	for (size_t i = 0; i < infos.cnt; i++) {
		char file[256], record[MF_TRASH_NAME_ROOM];
		struct mf_trash_info info;
		struct stat st;
		char *text;

		snprintf(file, sizeof(file), "%.*s",
			 (int)(strlen(infos.names[i]) - strlen(MF_TRASH_INFO_SUFFIX)),
			 infos.names[i]);
		if (has_payload(t, file, &st) || mf_trash_read_info(t, file, &info, &text) < 0)
			continue;
		if (*info.token && !mf_trash_record_of(t, info.token, record) &&
		    unlinkat(t->info_fd, infos.names[i], 0) == 0)
			ret->swept++;
		free(text);
	}
	mf_trash_names_done(&infos);
}

/* "TOKEN" and a suffix */
static bool is_of_token(const char *name, const char *suffix)
{
	char token[MF_TRASH_TOKEN_MAX];

	if (strlen(name) != MF_TRASH_TOKEN_LEN + strlen(suffix) ||
	    strcmp(name + MF_TRASH_TOKEN_LEN, suffix) != 0)
		return false;
	memcpy(token, name, MF_TRASH_TOKEN_LEN);
	token[MF_TRASH_TOKEN_LEN] = '\0';
	return mf_trash_token_ok(token);
}

static bool is_hash(const char *name)
{
	return is_of_token(name, ".json");
}

static bool is_noted_dir(const char *name)
{
	return is_of_token(name, ".dir");
}

/* What belongs to a record that is gone: a hash, if an entry ended while it was computed; the attributes of a directory. */
static void sweep_orphans(struct mf_trash *t, bool (*is_one)(const char *name), int unlink_flags,
			  struct mf_trash_repaired *ret)
{
	struct mf_trash_names found;

	if (mf_trash_names_read(t->own_fd, is_one, &found) < 0)
		return;
	for (size_t i = 0; i < found.cnt; i++) {
		char token[MF_TRASH_TOKEN_MAX], record[MF_TRASH_NAME_ROOM];

		memcpy(token, found.names[i], MF_TRASH_TOKEN_LEN);
		token[MF_TRASH_TOKEN_LEN] = '\0';
		if (!mf_trash_record_of(t, token, record) &&
		    unlinkat(t->own_fd, found.names[i], unlink_flags) == 0)
			ret->swept++;
	}
	mf_trash_names_done(&found);
}

/* Their files go last: until then the next open looks again. */
static void bury_writers(struct mf_trash *t)
{
	struct mf_trash_names writers;

	if (mf_trash_names_read(t->writers_fd, mf_trash_writer_ok, &writers) < 0)
		return;
	for (size_t i = 0; i < writers.cnt; i++) {
		int fd;

		if (mf_trash_writer_life(t, writers.names[i], &fd) == MF_TRASH_DEAD)
			(void)unlinkat(t->writers_fd, writers.names[i], 0);
		if (fd >= 0)
			close(fd);
	}
	mf_trash_names_done(&writers);
}

int mf_trash_repair_locked(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err)
{
	struct mf_trash_names tokens;
	bool indexed;
	int r;

	memset(ret, 0, sizeof(*ret));
	// Who we are must not change while records are compared with it.
	r = mf_trash_writer_ready(t);
	if (r < 0)
		return mf_err_set(err, MF_E_IO, "Cannot write to %s: %s.", t->path, strerror(-r));
	r = mf_trash_names_read(t->own_fd, mf_trash_record_ok, &tokens);
	if (r < 0)
		return mf_err_set(err, r, "Cannot read the records in %s.", t->path);
	indexed = mf_trash_index_begin(t);
	for (size_t i = 0; i < tokens.cnt; i++)
		repair_one(t, tokens.names[i], ret);
	mf_trash_names_done(&tokens);
	sweep(t, ret);
	sweep_infos(t, ret);
	sweep_orphans(t, is_hash, 0, ret);
	sweep_orphans(t, is_noted_dir, AT_REMOVEDIR, ret);
	if (indexed)
		mf_trash_index_end(t);
	bury_writers(t);
	return 0;
}

int mf_trash_repair(struct mf_trash *t, struct mf_trash_repaired *ret, struct mf_err *err)
{
	int r, fd = mf_trash_lock_dir(t, true);

	if (fd < 0)
		return mf_err_set(err, MF_E_IO, "Cannot lock %s: %s.", t->path, strerror(-fd));
	r = mf_trash_repair_locked(t, ret, err);
	close(fd);
	return r;
}
