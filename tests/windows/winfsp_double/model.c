/* SPDX-License-Identifier: Apache-2.0 */
/* model.c - what programs do, as the calls that WinFsp makes of it */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "double_int.h"

#define IS_DIR(st) (((st).mode & 0170000) == 0040000)

struct wfd_file {
	struct wfd_file *next;
	char *path;
	int32_t flags; /* these two are all that survives from call to call */
	uint64_t fh;
	bool dir, deleting;
	unsigned access;
};

static const struct mf_winfsp_ops *ops(void)
{
	return &wfd.volume->ops;
}

/* A fresh one for every call: only flags and fh come back. */
static struct mf_winfsp_file_info info_of(const struct wfd_file *f)
{
	struct mf_winfsp_file_info fi = { .flags = f->flags, .fh = f->fh };

	return fi;
}

static void keep(struct wfd_file *f, const struct mf_winfsp_file_info *fi)
{
	f->flags = fi->flags;
	f->fh = fi->fh;
}

/* ---- results ---- */

int wfd_checked(const char *op, int result, size_t max)
{
	if (result > 0 && (size_t)result > max)
		wfd_breach("%s returned %d, at most %zu can be", op, result, max);
	switch (-result) {
	case 129: /* ENOTSUP */
	case 130: /* EOPNOTSUPP */
	case 132: /* EOVERFLOW */
	case 140: /* EWOULDBLOCK */
		wfd_breach("%s returned errno %d, which programs see as \"access denied\"", op,
			   -result);
		break;
	default:
		if (result < -140)
			wfd_breach("%s returned %d, which is no errno of Microsoft's", op, result);
	}
	return result;
}

uint32_t wfd_status(int result)
{
	if (result >= 0)
		return WFD_OK;
	switch (-result) {
	case ENOENT:
		return WFD_NOT_FOUND;
	case EEXIST:
		return WFD_COLLISION;
	case EROFS:
		return WFD_READ_ONLY;
	case ENOSYS:
		return WFD_BAD_REQUEST;
	case ENOTEMPTY:
		return WFD_NOT_EMPTY;
	case EBUSY:
		return WFD_BUSY;
	case ENOSPC:
		return WFD_DISK_FULL;
	case EINVAL:
		return WFD_INVALID;
	case EISDIR:
		return WFD_IS_DIR;
	case ENOTDIR:
		return WFD_NOT_DIR;
	case ENAMETOOLONG:
		return WFD_NAME_TOO_LONG;
	case ENOMEM:
		return WFD_NO_MEMORY;
	case EIO:
		return WFD_IO;
	default:
		return WFD_DENIED;
	}
}

/* ---- callbacks, checked ---- */

static int call_getattr(const char *path, struct mf_winfsp_stat_ex *st, const struct wfd_file *f)
{
	struct {
		struct mf_winfsp_stat_ex st;
		uint8_t guard[WFD_GUARD];
	} room;
	bool extended = wfd.volume->want & MF_WINFSP_CAP_STAT_EX;
	size_t size = extended ? sizeof(room.st) : sizeof(room.st.st);
	struct mf_winfsp_file_info fi;
	int r;

	memset(&room, 0, size);
	wfd_guard((char *)&room + size, sizeof(room) - size);
	if (f)
		fi = info_of(f);
	r = wfd_checked(
		"getattr",
		ops()->getattr ? ops()->getattr(path, &room.st.st, f ? &fi : NULL) : -ENOSYS, 0);
	wfd_check_guard("getattr", (char *)&room + size, sizeof(room) - size);
	if (r == 0)
		wfd_check_stat(path, &room.st.st);
	memset(st, 0, sizeof(*st));
	memcpy(st, &room, size);
	return r;
}

/* So that a mistake in the order of things does not run into NULL. */
#define CALL(op, max, ...) (ops()->op ? wfd_checked(#op, ops()->op(__VA_ARGS__), (max)) : -ENOSYS)

static int call_statfs(struct mf_winfsp_statvfs *ret)
{
	struct {
		struct mf_winfsp_statvfs vfs;
		uint8_t guard[WFD_GUARD];
	} room;
	int r;

	memset(&room.vfs, 0, sizeof(room.vfs));
	wfd_guard(room.guard, sizeof(room.guard));
	r = CALL(statfs, 0, "/", &room.vfs);
	wfd_check_guard("statfs", room.guard, sizeof(room.guard));
	if (r == 0)
		wfd_check_statvfs(&room.vfs);
	*ret = room.vfs;
	return r;
}

bool wfd_probe(struct mf_winfsp_fuse *f)
{
	struct mf_winfsp_stat_ex st;
	struct mf_winfsp_statvfs vfs;
	char text[64 + WFD_GUARD], value[8];
	int r;

	wfd.volume = f;
	if (call_statfs(&vfs) < 0)
		return false;
	if (call_getattr("/", &st, NULL) < 0 || !IS_DIR(st.st))
		return false;
	if (ops()->readlink) {
		wfd_guard(text, sizeof(text));
		r = ops()->readlink("/", text, sizeof(text) - WFD_GUARD);
		wfd_check_guard("readlink", text + sizeof(text) - WFD_GUARD, WFD_GUARD);
		if (r != -EINVAL && r != -ENOSYS)
			wfd_breach("readlink(\"/\") returned %d, not EINVAL or ENOSYS", r);
	}
	(void)call_getattr("/.", &st, NULL);
	if (ops()->setxattr && ops()->getxattr && ops()->listxattr && ops()->removexattr)
		(void)CALL(getxattr, sizeof(value), "/", "nonsense", value, sizeof(value));
	return true;
}

/* ---- open files ---- */

static bool same_file(const struct wfd_file *a, const char *path)
{
	return wfd.volume->want & MF_WINFSP_CAP_CASE_INSENSITIVE ? !_stricmp(a->path, path)
								 : !strcmp(a->path, path);
}

static void add_file(struct wfd_file *f)
{
	pthread_mutex_lock(&wfd.lock);
	f->next = wfd.files;
	wfd.files = f;
	pthread_mutex_unlock(&wfd.lock);
}

/* Return: whether it was the last one of its name */
static bool take_file(struct wfd_file *f, bool *ret_deleting)
{
	struct wfd_file **at;
	bool last = true;

	pthread_mutex_lock(&wfd.lock);
	for (at = &wfd.files; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	for (struct wfd_file *o = wfd.files; o; o = o->next) {
		if (!same_file(o, f->path))
			continue;
		last = false;
		o->deleting |= f->deleting; /* the last one carries it out */
	}
	*ret_deleting = f->deleting;
	pthread_mutex_unlock(&wfd.lock);
	return last;
}

static bool is_deleting(const char *path)
{
	bool yes = false;

	pthread_mutex_lock(&wfd.lock);
	for (struct wfd_file *o = wfd.files; o; o = o->next)
		yes |= o->deleting && same_file(o, path);
	pthread_mutex_unlock(&wfd.lock);
	return yes;
}

static void close_handle(struct wfd_file *f)
{
	struct mf_winfsp_file_info fi = info_of(f);

	if (f->dir) {
		(void)CALL(releasedir, 0, f->path, &fi);
	} else {
		(void)CALL(flush, 0, f->path, &fi);
		fi = info_of(f);
		(void)CALL(release, 0, f->path, &fi);
	}
	free(f->path);
	free(f);
}

void wfd_drop_files(void)
{
	while (wfd.files) {
		struct wfd_file *f = wfd.files;

		wfd.files = f->next;
		close_handle(f);
	}
}

/* ---- create ---- */

struct create {
	const char *path;
	enum wfd_disposition how;
	unsigned access;
	struct wfd_file *f;
};

static int open_handle(struct create *c, struct mf_winfsp_stat_ex *st)
{
	struct mf_winfsp_file_info fi = { .flags = 0 };
	int r;

	c->f->dir = IS_DIR(st->st);
	if (c->f->dir) {
		r = CALL(opendir, 0, c->path, &fi);
	} else {
		fi.flags = !(c->access & WFD_WRITE) ? MF_WINFSP_O_RDONLY
			   : c->access & WFD_READ   ? MF_WINFSP_O_RDWR
						    : MF_WINFSP_O_WRONLY;
		r = CALL(open, 0, c->path, &fi);
	}
	if (r == 0)
		keep(c->f, &fi);
	return r;
}

static int make_handle(struct create *c)
{
	struct mf_winfsp_file_info fi = { .flags = 0 };
	struct mf_winfsp_stat_ex st;
	int r;

	c->f->dir = c->access & WFD_DIRECTORY;
	if (c->f->dir) {
		r = CALL(mkdir, 0, c->path, 0777);
		if (r == 0)
			r = CALL(opendir, 0, c->path, &fi);
	} else {
		fi.flags = MF_WINFSP_O_CREAT | MF_WINFSP_O_EXCL | MF_WINFSP_O_RDWR;
		r = CALL(create, 0, c->path, 0777, &fi);
	}
	if (r < 0)
		return r;
	keep(c->f, &fi);
	r = call_getattr(c->path, &st, c->f);
	if (r == 0 && IS_DIR(st.st) != c->f->dir)
		wfd_breach("%s was made as another kind", c->path);
	return 0;
}

static int may_delete(struct wfd_file *f);

static uint32_t run_create(void *arg)
{
	struct create *c = arg;
	struct mf_winfsp_stat_ex st;
	struct mf_winfsp_file_info fi;
	bool there;
	int r;

	if (is_deleting(c->path))
		return WFD_DELETE_PENDING;
	r = call_getattr(c->path, &st, NULL); /* its security descriptor */
	if (r < 0 && r != -ENOENT)
		return wfd_status(r);
	there = r == 0;
	if (there && c->how == WFD_CREATE_NEW)
		return WFD_COLLISION;
	if (!there && (c->how == WFD_OPEN || c->how == WFD_TRUNCATE))
		return WFD_NOT_FOUND;
	/* Windows checks access by the mode. */
	if (there && c->access & WFD_WRITE && !(st.st.mode & 0200))
		return WFD_DENIED;
	if (there) {
		r = call_getattr(c->path, &st, NULL);
		if (r == 0)
			r = open_handle(c, &st);
	} else {
		r = make_handle(c);
	}
	if (r < 0)
		return wfd_status(r);
	if (there && !c->f->dir && (c->how == WFD_CREATE_ALWAYS || c->how == WFD_TRUNCATE)) {
		fi = info_of(c->f);
		r = CALL(truncate, 0, c->path, 0, &fi);
		if (r == 0)
			r = call_getattr(c->path, &st, c->f);
	}
	if (r == 0 && c->access & WFD_DELETE_ON_CLOSE)
		r = may_delete(c->f);
	if (r < 0) {
		struct wfd_file *f = c->f;

		c->f = NULL;
		close_handle(f);
		return wfd_status(r);
	}
	c->f->deleting = c->access & WFD_DELETE_ON_CLOSE;
	add_file(c->f);
	return WFD_OK;
}

uint32_t wfd_create(const char *path, enum wfd_disposition how, unsigned access, int32_t pid,
		    struct wfd_file **ret)
{
	struct create c = { path, how, access, calloc(1, sizeof(struct wfd_file)) };
	uint32_t r;

	*ret = NULL;
	c.f->path = strdup(path);
	c.f->access = access;
	r = wfd_do(run_create, &c, pid, how != WFD_OPEN);
	if (r == WFD_OK) {
		*ret = c.f;
	} else if (c.f) {
		free(c.f->path);
		free(c.f);
	}
	return r;
}

/* ---- content ---- */

struct io {
	struct wfd_file *f;
	void *in;
	const void *out;
	size_t size, len;
	int64_t off;
	struct mf_winfsp_stat_ex st;
	uint32_t mode;
};

static uint32_t run_read(void *arg)
{
	struct io *io = arg;
	struct mf_winfsp_file_info fi = info_of(io->f);
	struct mf_winfsp_stat_ex before, after;
	char *buf = malloc(io->size + WFD_GUARD);
	int64_t end;
	int r;

	wfd_guard(buf, io->size + WFD_GUARD);
	r = call_getattr(io->f->path, &before, io->f);
	if (r == 0)
		r = CALL(read, io->size, io->f->path, buf, io->size, io->off, &fi);
	wfd_check_guard("read", buf + io->size, WFD_GUARD);
	/* Programs take less than they asked for as the end of the file. */
	if (r >= 0 && (size_t)r < io->size && call_getattr(io->f->path, &after, io->f) == 0) {
		end = before.st.size < after.st.size ? before.st.size : after.st.size;
		if (io->off + r < end)
			wfd_breach("read gave %d of %zu bytes, but the file goes on", r, io->size);
	}
	if (r > 0 && (size_t)r <= io->size)
		memcpy(io->in, buf, (size_t)r);
	free(buf);
	if (r == 0)
		return WFD_END_OF_FILE;
	io->len = r > 0 ? (size_t)r : 0;
	return wfd_status(r);
}

uint32_t wfd_read(struct wfd_file *f, void *buf, size_t size, int64_t off, size_t *ret_len)
{
	struct io io = { .f = f, .in = buf, .size = size, .off = off };
	uint32_t r;

	*ret_len = 0;
	if (!(f->access & WFD_READ))
		return WFD_DENIED;
	r = wfd_do(run_read, &io, MF_WINFSP_NO_PID, false);
	*ret_len = io.len;
	return r;
}

static uint32_t run_write(void *arg)
{
	struct io *io = arg;
	struct mf_winfsp_file_info fi = info_of(io->f);
	int r = call_getattr(io->f->path, &io->st, io->f);

	if (r < 0)
		return wfd_status(r);
	if (io->off < 0)
		io->off = io->st.st.size;
	r = CALL(write, io->size, io->f->path, io->out, io->size, io->off, &fi);
	if (r >= 0 && (size_t)r != io->size)
		wfd_breach("write of %u bytes took %d", (unsigned)io->size, r);
	return wfd_status(r);
}

uint32_t wfd_write(struct wfd_file *f, const void *buf, size_t size, int64_t off)
{
	struct io io = { .f = f, .out = buf, .size = size, .off = off };

	return f->access & WFD_WRITE ? wfd_do(run_write, &io, MF_WINFSP_NO_PID, false) : WFD_DENIED;
}

static uint32_t run_set_size(void *arg)
{
	struct io *io = arg;
	struct mf_winfsp_file_info fi = info_of(io->f);
	int r = CALL(truncate, 0, io->f->path, io->off, &fi);

	if (r == 0)
		r = call_getattr(io->f->path, &io->st, io->f);
	return wfd_status(r);
}

uint32_t wfd_set_size(struct wfd_file *f, int64_t size)
{
	struct io io = { .f = f, .off = size };

	return f->access & WFD_WRITE ? wfd_do(run_set_size, &io, MF_WINFSP_NO_PID, false)
				     : WFD_DENIED;
}

static uint32_t run_flush(void *arg)
{
	struct io *io = arg;
	struct mf_winfsp_file_info fi = info_of(io->f);

	return wfd_status(io->f->dir ? CALL(fsyncdir, 0, io->f->path, 0, &fi)
				     : CALL(fsync, 0, io->f->path, 0, &fi));
}

uint32_t wfd_flush(struct wfd_file *f)
{
	struct io io = { .f = f };

	return wfd_do(run_flush, &io, MF_WINFSP_NO_PID, false);
}

/* ---- attributes ---- */

static uint32_t run_info(void *arg)
{
	struct io *io = arg;

	return wfd_status(call_getattr(io->f->path, &io->st, io->f));
}

uint32_t wfd_info(struct wfd_file *f, struct wfd_info *ret)
{
	struct io io = { .f = f };
	uint32_t r = wfd_do(run_info, &io, MF_WINFSP_NO_PID, false);

	*ret = (struct wfd_info){ .size = (uint64_t)io.st.st.size,
				  .ino = io.st.st.ino,
				  .mode = io.st.st.mode,
				  .flags = io.st.flags,
				  .mtime = io.st.st.mtime.sec,
				  .dir = IS_DIR(io.st.st) };
	return r;
}

static uint32_t run_set_mode(void *arg)
{
	struct io *io = arg;
	struct mf_winfsp_file_info fi = info_of(io->f);

	return wfd_status(CALL(chmod, 0, io->f->path, io->mode, &fi));
}

uint32_t wfd_set_mode(struct wfd_file *f, uint32_t mode)
{
	struct io io = { .f = f, .mode = mode };

	return wfd_do(run_set_mode, &io, MF_WINFSP_NO_PID, false);
}

static uint32_t run_set_time(void *arg)
{
	struct io *io = arg;
	struct mf_winfsp_file_info fi = info_of(io->f);
	struct mf_winfsp_timespec tv[2] = { { io->off, 0 }, { io->off, 500000000 } };
	int r = CALL(utimens, 0, io->f->path, tv, &fi);

	if (r == 0)
		r = call_getattr(io->f->path, &io->st, io->f);
	return wfd_status(r);
}

uint32_t wfd_set_time(struct wfd_file *f, int64_t mtime)
{
	struct io io = { .f = f, .off = mtime };

	return wfd_do(run_set_time, &io, MF_WINFSP_NO_PID, false);
}

/* ---- names ---- */

struct listing {
	wfd_entry_fn fn;
	void *ctx;
	unsigned others, told;
	bool full;
};

/* The one that the calling thread's readdir fills. */
static _Thread_local struct listing *listing;

static int fill(void *buf, const char *name, const struct mf_winfsp_stat *st, int64_t off,
		int flags)
{
	struct listing *l = listing;

	if (!l || buf != l) {
		wfd_breach("the filler was called by another thread, or after readdir: the real "
			   "one writes to memory that is gone");
		return 1;
	}
	if (l->full)
		wfd_breach("readdir went on after it was told that there is no room");
	if (off)
		wfd_breach("readdir told of an offset: WinFsp asks for a listing whole");
	wfd_check_name(name);
	if (wfd.room && ++l->told > wfd.room) {
		l->full = true;
		return 1;
	}
	if (flags & MF_WINFSP_FILL_DIR_PLUS && (!st || !(st->mode & 0170000)))
		wfd_breach("readdir told of %s with a stat without a type", name);
	l->others += strcmp(name, ".") && strcmp(name, "..");
	if (l->fn)
		l->fn(l->ctx, name);
	return 0;
}

static int read_directory(struct wfd_file *f, struct listing *l)
{
	struct mf_winfsp_file_info fi = info_of(f);
	int r;

	listing = l;
	r = CALL(readdir, 0, f->path, l, fill, 0, &fi,
		 wfd.volume->want & MF_WINFSP_CAP_READDIR_PLUS ? MF_WINFSP_READDIR_PLUS : 0);
	listing = NULL;
	return r;
}

struct list {
	struct wfd_file *f;
	struct listing l;
};

static uint32_t run_list(void *arg)
{
	struct list *a = arg;

	return wfd_status(read_directory(a->f, &a->l));
}

uint32_t wfd_list(struct wfd_file *f, wfd_entry_fn fn, void *ctx)
{
	struct list a = { f, { .fn = fn, .ctx = ctx } };

	return f->dir ? wfd_do(run_list, &a, MF_WINFSP_NO_PID, false) : WFD_NOT_DIR;
}

static int may_delete(struct wfd_file *f)
{
	struct listing l = { .fn = NULL };
	int r = 0;

	if (f->dir)
		r = read_directory(f, &l);
	if (r == 0 && l.others)
		return -ENOTEMPTY;
	if (r == 0 && wfd.volume->want & MF_WINFSP_CAP_DELETE_ACCESS && ops()->access) {
		r = CALL(access, 0, f->path, MF_WINFSP_DELETE_OK);
		if (r == -ENOSYS)
			r = 0;
	}
	return r;
}

static uint32_t run_set_delete(void *arg)
{
	struct io *io = arg;
	int r = may_delete(io->f);

	if (r == 0)
		io->f->deleting = true;
	return wfd_status(r);
}

uint32_t wfd_set_delete(struct wfd_file *f)
{
	struct io io = { .f = f };

	return f->access & WFD_DELETE ? wfd_do(run_set_delete, &io, MF_WINFSP_NO_PID, false)
				      : WFD_DENIED;
}

static uint32_t run_close(void *arg)
{
	struct wfd_file *f = arg;
	bool deleting, last = take_file(f, &deleting);
	int r;

	if (deleting && last) {
		r = f->dir ? CALL(rmdir, 0, f->path) : CALL(unlink, 0, f->path);
		wfd.lost_errors += r < 0; /* nobody is told */
	}
	close_handle(f);
	return WFD_OK;
}

uint32_t wfd_close(struct wfd_file *f)
{
	return wfd_do(run_close, f, MF_WINFSP_NO_PID, f->deleting);
}

struct renaming {
	struct wfd_file *f;
	const char *to;
	bool replace;
};

static uint32_t run_rename(void *arg)
{
	struct renaming *a = arg;
	struct mf_winfsp_stat_ex st;
	char *old = a->f->path;
	int r = call_getattr(a->to, &st, NULL);
	bool same = same_file(a->f, a->to);

	if (r == 0 && !same && !a->replace)
		return WFD_COLLISION;
	if (r == 0 && !same && IS_DIR(st.st))
		return WFD_DENIED;
	if (r < 0 && r != -ENOENT)
		return wfd_status(r);
	r = CALL(rename, 0, old, a->to, 0);
	if (r == 0) {
		pthread_mutex_lock(&wfd.lock);
		for (struct wfd_file *o = wfd.files; o; o = o->next)
			if (o != a->f && same_file(o, old)) {
				free(o->path);
				o->path = strdup(a->to);
			}
		a->f->path = strdup(a->to);
		pthread_mutex_unlock(&wfd.lock);
		free(old);
	}
	return wfd_status(r);
}

uint32_t wfd_rename(struct wfd_file *f, const char *to, bool replace, int32_t pid)
{
	struct renaming a = { f, to, replace };

	return f->access & WFD_DELETE ? wfd_do(run_rename, &a, pid, true) : WFD_DENIED;
}

static uint32_t run_volume(void *arg)
{
	struct mf_winfsp_statvfs *st = arg;

	return wfd_status(call_statfs(st));
}

uint32_t wfd_volume(uint64_t *ret_total, uint64_t *ret_free)
{
	struct mf_winfsp_statvfs st = { 0 };
	uint32_t r = wfd_do(run_volume, &st, MF_WINFSP_NO_PID, false);

	*ret_total = st.blocks * st.frsize;
	*ret_free = st.bfree * st.frsize;
	return r;
}
