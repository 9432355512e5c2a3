/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_restore_posix.c - putting an entry back
 *
 * The payload is renamed into its place, never over anything, or, where something is to be replaced, over what the trash has
 * a link to by then; record and trashinfo go afterwards. A kill between leaves a record without payload: repair removes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/fs_sys.h"
#include "fs/trash_choose.h"
#include "fs/trash_int.h"

struct restore {
	struct mf_trash *t;
	const struct mf_trash_target *target;
	struct mf_trash_result *ret;
	struct mf_err *err;
	struct mf_trash_made *made;
	struct mf_trash_loaded l;
	char path[MF_TRASH_PATH_MAX]; /* where to */
	char name[256];		      /* its last component */
	int dir;		      /* the rest of it */
};

static int fail(struct restore *r, int error)
{
	int code = error == -EEXIST || error == -ENOTEMPTY ? MF_E_EXIST
		   : error == -ENOSPC || error == -EDQUOT  ? MF_E_FULL
		   : error == -ELOOP || error == -ENOTDIR || error == -EACCES || error == -EPERM ||
				   error == -EROFS
			   ? MF_E_PERM
		   : error == -ENOMEM ? MF_E_NOMEM
				      : MF_E_IO;

	if (code == MF_E_EXIST)
		return mf_err_set(r->err, code, "There is a %s already.", r->path);
	if (error == -ELOOP || error == -ENOTDIR)
		return mf_err_set(r->err, code, "In the path %s is a link or a file, no directory.",
				  r->path);
	return mf_err_set(r->err, code, "Cannot restore %s: %s.", r->path, strerror(-error));
}

/* Where the user wants it; he may have links in what he names. */
static int choose_target(struct restore *r)
{
	const char *to = r->target->to, *slash, *own = strrchr(r->l.r.e.path, '/') + 1;
	char real[PATH_MAX], copy[MF_TRASH_PATH_MAX];
	struct stat st;
	int n;

	if (!to) {
		n = snprintf(r->path, sizeof(r->path), "%s", r->l.r.e.path);
	} else if (stat(to, &st) == 0 && S_ISDIR(st.st_mode) && realpath(to, real)) {
		n = snprintf(r->path, sizeof(r->path), "%s/%s", real[1] ? real : "", own);
	} else {
		n = snprintf(copy, sizeof(copy), "%s", to);
		while (n > 1 && n < (int)sizeof(copy) && copy[n - 1] == '/')
			copy[--n] = '\0';
		slash = strrchr(copy, '/');
		if (!slash || n >= (int)sizeof(copy))
			return mf_err_set(r->err, MF_E_INVAL, "%s is not an absolute path.", to);
		copy[slash - copy] = '\0';
		if (realpath(copy[0] ? copy : "/", real))
			n = snprintf(r->path, sizeof(r->path), "%s/%s", real[1] ? real : "",
				     slash + 1);
		else
			n = snprintf(r->path, sizeof(r->path), "%s", to);
	}
	if (n < 0 || n >= (int)sizeof(r->path) || !mf_trash_path_ok(r->path))
		return mf_err_set(r->err, MF_E_INVAL, "%s is no path to restore to.",
				  to ? to : r->l.r.e.path);
	// What lies on a disk that came from elsewhere may not say where on the others it wants to be.
	if (!to && !r->target->anywhere && *r->t->top &&
	    !mf_trash_path_below(r->path, r->t->top, false))
		return mf_err_set(
			r->err, MF_E_PERM,
			"%s is not on the file system of the trash %s: say where to restore to.",
			r->path, r->t->path);
	return 0;
}

static int verify(struct restore *r)
{
	char want[MF_TRASH_HASH_HEX], have[MF_TRASH_HASH_HEX] = "";
	struct stat st;
	int fd;

	if (r->target->no_verify || !*r->l.token || !mf_trash_load_hash(r->t, r->l.token, want))
		return 0;
	fd = mf_trash_open_file(r->t, r->l.r.e.file, &st);
	if (fd < 0)
		return mf_err_set(r->err, MF_E_BAD,
				  "What is kept of %s is no regular file any more.", r->l.r.e.path);
	if (mf_trash_hash_fd(fd, have) < 0) {
		close(fd);
		return mf_err_set(r->err, MF_E_IO, "Cannot read what is kept of %s.",
				  r->l.r.e.path);
	}
	close(fd);
	if (strcmp(want, have) == 0)
		return 0;
	return mf_err_set(
		r->err, MF_E_BAD,
		"What is kept of %s is not what came into the trash: its hash is another.",
		r->l.r.e.path);
}

/* Its entry goes when it has its mode: mf_trash_made_finish(). */
static int restore_dir(struct restore *r)
{
	bool there = mkdirat(r->dir, r->name, 0700) < 0;
	struct stat st;
	int made;

	if (there && errno != EEXIST)
		return fail(r, -errno);
	if (there &&
	    (!r->target->replace || fstatat(r->dir, r->name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	     !S_ISDIR(st.st_mode)))
		return fail(r, -EEXIST);
	if (r->ret)
		r->ret->was_there = there;
	made = mf_trash_made_add(r->made, r->path, &r->l.r.e.attr, r->l.token);
	return made < 0 ? fail(r, made) : 0;
}

/* From another file system: complete under a name of its own, then in its place. */
static int bring_across(struct restore *r)
{
	struct mf_trash *t = r->t;
	char tmp[MF_TRASH_OWN_NAME_MAX], token[MF_TRASH_TOKEN_MAX];
	int error = 0, fd;

	memcpy(token, r->l.token, sizeof(token));
	if (!*token)
		error = mf_trash_new_token(t, token);
	snprintf(tmp, sizeof(tmp), ".moonfence-%s", token);
	// What an earlier attempt left that was killed: nobody else knows this name.
	if (error == 0)
		error = mf_trash_remove_tree(r->dir, tmp);
	if (error == 0)
		error = mf_trash_copy_tree(t, t->files_fd, r->l.r.e.file, r->dir, tmp);
	if (error == 0)
		error = mf_fs_sys_rename_new(r->dir, tmp, r->dir, r->name);
	if (error < 0) {
		if (error != -EEXIST || faccessat(r->dir, tmp, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			(void)mf_trash_remove_tree(r->dir, tmp);
		return error;
	}
	fd = openat(r->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		if (!t->options.no_sync && fsync(fd) < 0)
			error = -errno;
		close(fd);
	}
	return error < 0 ? error : mf_trash_delete_entry(t, &r->l.r.e);
}

static int bring_back(struct restore *r, bool over)
{
	struct mf_trash *t = r->t;
	const char *file = r->l.r.e.file;
	int error;

	if (over)
		error = renameat(t->files_fd, file, r->dir, r->name) == 0 ? 0 : -errno;
	else
		error = mf_fs_sys_rename_new(t->files_fd, file, r->dir, r->name);
	if (error ==
	    -ENOTSUP) { // no rename that spares what is there: a name is made first, or it is looked for
		if (linkat(t->files_fd, file, r->dir, r->name, 0) == 0)
			error = unlinkat(t->files_fd, file, 0) == 0 ? 0 : -errno;
		else if (errno == EEXIST ||
			 faccessat(r->dir, r->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			error = -EEXIST;
		else
			error = renameat(t->files_fd, file, r->dir, r->name) == 0 ? 0 : -errno;
	}
	return error == -EXDEV ? bring_across(r) : error;
}

/*
 * What is there goes to the trash, @token; files are replaced in one step
 * Return: 0, or a negative errno; @ret_over: by a rename over it
 */
static int make_room(struct restore *r, const struct stat *there, const struct stat *payload,
		     char token[MF_TRASH_TOKEN_MAX], bool *ret_over)
{
	bool in_one = !S_ISDIR(there->st_mode) && !S_ISDIR(payload->st_mode) &&
		      there->st_dev == payload->st_dev;
	struct mf_trash_loss loss = {
		.how = in_one ? MF_TRASH_LINK : MF_TRASH_MOVE,
		.op = MF_TRASH_REPLACE,
		.path = r->path,
		.session = r->target->session ? r->target->session : "restore",
		.pid = (uint32_t)getpid(),
		.process = "moonfence",
	};
	int error = mf_trash_put(r->t, r->dir, r->name, &loss, token);

	*ret_over = in_one;
	if (error == 0 && r->ret)
		memcpy(r->ret->replaced, token, MF_TRASH_TOKEN_MAX);
	return error;
}

/* What was put aside for it, and nothing came in its place. */
static void put_back(struct restore *r, const char *token)
{
	const struct mf_trash_target there = { .anywhere = true, .no_verify = true };

	if (*token && mf_trash_restore_locked(r->t, token, &there, NULL, r->made, NULL) == 0 &&
	    r->ret)
		r->ret->replaced[0] = '\0';
}

static int restore_object(struct restore *r)
{
	char aside[MF_TRASH_TOKEN_MAX] = "";
	struct stat there, payload;
	bool over = false;
	int error;

	if (fstatat(r->t->files_fd, r->l.r.e.file, &payload, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(r, -errno);
	if (!r->target->no_verify && (payload.st_mode & S_IFMT) != (r->l.r.e.attr.mode & S_IFMT))
		return mf_err_set(r->err, MF_E_BAD,
				  "What is kept of %s is not what came into the trash: it is "
				  "another kind of file.",
				  r->l.r.e.path);
	if (fstatat(r->dir, r->name, &there, AT_SYMLINK_NOFOLLOW) == 0) {
		// A link to itself: the rename that was to replace it did not take place.
		if (there.st_dev == payload.st_dev && there.st_ino == payload.st_ino) {
			error = unlinkat(r->t->files_fd, r->l.r.e.file, 0) == 0 ? 0 : -errno;
			return error < 0 ? fail(r, error) : 0;
		}
		if (!r->target->replace)
			return fail(r, -EEXIST);
		error = make_room(r, &there, &payload, aside, &over);
		if (error < 0)
			return fail(r, error);
	}
	error = bring_back(r, over);
	if (error < 0)
		put_back(r, aside);
	return error < 0 ? fail(r, error) : 0;
}

int mf_trash_restore_locked(struct mf_trash *t, const char *what,
			    const struct mf_trash_target *target, struct mf_trash_result *ret,
			    struct mf_trash_made *made, struct mf_err *err)
{
	struct restore *r = calloc(1, sizeof(*r));
	int code;

	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	*r = (struct restore){ .t = t, .target = target, .ret = ret, .err = err, .made = made };
	r->dir = -1;
	code = mf_trash_look_up(t, what, 0, &r->l, err);
	if (ret) // not before: @what may be the token in it
		memset(ret, 0, sizeof(*ret));
	if (code < 0) {
		free(r);
		return code;
	}
	code = mf_trash_writer_ready(t);
	code = code < 0 ? fail(r, code) : choose_target(r);
	if (code == 0)
		code = verify(r);
	if (code == 0) {
		r->dir = mf_trash_go(t, made, r->path, r->name);
		if (r->dir < 0)
			code = fail(r, r->dir);
	}
	if (code == 0)
		code = r->l.r.e.how == MF_TRASH_NOTE_DIR ? restore_dir(r) : restore_object(r);
	if (code == 0) {
		if (r->l.r.e.how != MF_TRASH_NOTE_DIR)
			(void)mf_trash_forget(t, r->l.token, r->l.r.e.file);
		if (ret)
			memcpy(ret->path, r->path, sizeof(r->path));
		mf_trash_tell_event(&t->options,
				    &(struct mf_trash_event){ .type = MF_TRASH_EVENT_RESTORED,
							      .token = r->l.token,
							      .path = r->path,
							      .session = r->l.r.e.session,
							      .text = "",
							      .size = r->l.r.e.attr.size });
	}
	if (r->dir >= 0)
		close(r->dir);
	mf_trash_loaded_done(&r->l);
	free(r);
	return code;
}

int mf_trash_restore(struct mf_trash *t, const char *what, const struct mf_trash_target *target,
		     struct mf_trash_result *ret, struct mf_err *err)
{
	struct mf_trash_made made = { 0 };
	int r, lock = mf_trash_lock_dir(t, true);

	if (lock < 0)
		return mf_err_set(err, MF_E_IO, "Cannot lock %s: %s.", t->path, strerror(-lock));
	r = mf_trash_restore_locked(t, what, target, ret, &made, err);
	if (mf_trash_made_finish(t, &made) > 0 && r == 0)
		r = mf_err_set(
			err, MF_E_IO,
			"%s is there, but not with all that it, or a directory above it, had: that "
			"stays in the trash.",
			ret ? ret->path : what);
	close(lock);
	return r;
}
