/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_place_linux.c - marks, handles, and which directories they are */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/err.h"
#include "fs/monitor_int_linux.h"

#define WHOLE_DIRS_MAX 65536   /* learned of one after the other; then they are learned anew */
#define EACH_DIRS_MAX  4000000 /* the kernel's own limit comes first */
#define GONE_DEPTH     256
#define EVENTS                                                                                  \
	(FAN_CREATE | FAN_DELETE | FAN_OPEN | FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE | FAN_ONDIR | \
	 FAN_EVENT_ON_CHILD)

/* A handle as events have it: file system, struct file_handle. */
struct key {
	_Alignas(8) uint8_t fsid[8];
	union {
		struct file_handle h;
		uint8_t room[MF_MONITOR_HANDLE_MAX - 8];
	};
};

static struct mf_span span_of(const struct key *k)
{
	return mf_span_of(k, sizeof(k->fsid) + sizeof(struct file_handle) + k->h.handle_bytes);
}

static int open_beneath(const struct mf_monitor *m, const char *rel, uint64_t flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC | O_NOFOLLOW,
				.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
					   RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };

	return (int)syscall(SYS_openat2, m->source, *rel ? rel : ".", &how, sizeof(how));
}

/* Return: 0, -errno */
static int key_of(const struct mf_monitor *m, int fd, struct key *ret)
{
	int mount_id;

	memset(ret, 0, sizeof(*ret));
	memcpy(ret->fsid, m->fsid, sizeof(ret->fsid));
	ret->h.handle_bytes = MAX_HANDLE_SZ;
	return name_to_handle_at(fd, "", &ret->h, &mount_id, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

static const char *relative(const struct mf_monitor *m, const char *path)
{
	path += m->root_len;
	return *path == '/' ? path + 1 : path;
}

int mf_monitor_place_path(const struct mf_monitor *m, const struct mf_monitor_dir *dir,
			  struct mf_span name, char ret[static PATH_MAX + 1])
{
	size_t at = m->root_len;
	int n;

	if (name.len == 1 && name.ptr[0] == '.')
		name.len = 0;
	memcpy(ret, m->root, at);
	ret[at] = '/';
	n = mf_monitor_dirs_path(dir, name, ret + at + 1, PATH_MAX - at);
	if (n < 0)
		return -1;
	// The directory itself has no slash at its end, unless it is all there is.
	if (n == 0 && at > 0)
		ret[at] = '\0';
	return (int)strlen(ret);
}

void mf_monitor_place_look(const struct mf_monitor *m, const char *path,
			   struct mf_monitor_object *ret)
{
	int fd = open_beneath(m, relative(m, path), O_PATH);
	ssize_t n;

	ret->there = fd >= 0 && fstat(fd, &ret->st) == 0;
	ret->target[0] = '\0';
	if (ret->there && S_ISLNK(ret->st.st_mode)) {
		n = readlinkat(fd, "", ret->target, sizeof(ret->target) - 1);
		ret->target[n > 0 ? n : 0] = '\0';
	}
	if (fd >= 0)
		close(fd);
}

/* ---- one mark for all: directories as they come ---------------------------------------------------------------- */

static uint64_t *outside_slot(struct mf_monitor *m, uint64_t hash)
{
	return &m->outside[hash % MF_MONITOR_OUTSIDE_CNT];
}

bool mf_monitor_place_is_elsewhere(const struct mf_monitor *m, struct mf_span handle)
{
	uint64_t hash = mf_monitor_hash(m, handle, mf_span_of("", 0), 0);

	return m->outside[hash % MF_MONITOR_OUTSIDE_CNT] == hash;
}

/* The directories from the first one to @rel, which is not changed. Return: the last, NULL: something is not as it was */
static struct mf_monitor_dir *learn_path(struct mf_monitor *m, const char *rel)
{
	struct mf_monitor_dir *dir = mf_monitor_dirs_root(m->dirs), *next;
	char path[PATH_MAX];
	struct key key;

	for (const char *at = rel; dir && *at;) {
		size_t len = strcspn(at, "/");
		int fd;

		snprintf(path, sizeof(path), "%.*s", (int)(at + len - rel), rel);
		fd = open_beneath(m, path, O_PATH | O_DIRECTORY);
		if (fd < 0)
			return NULL;
		next = key_of(m, fd, &key) == 0 ? mf_monitor_dirs_find(m->dirs, span_of(&key))
						: NULL;
		if (!next)
			next = mf_monitor_dirs_put(m->dirs, span_of(&key), dir,
						   mf_span_of(at, len));
		close(fd);
		dir = next;
		at += len + (at[len] == '/');
	}
	return dir;
}

/* Return: its length; 0: it has none that we could reach */
static size_t path_now(int fd, char *ret, size_t room)
{
	char proc[40];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = readlink(proc, ret, room - 1);
	if (n <= 0 || ret[0] != '/')
		n = 0;
	ret[n] = '\0';
	return (size_t)n;
}

enum found { FOUND_HERE, FOUND_ELSEWHERE, FOUND_NOT };

/* Ask the kernel where the directory is now. */
static enum found learn(struct mf_monitor *m, struct mf_span handle, struct mf_monitor_dir **ret)
{
	static const char gone[] = " (deleted)";
	char path[PATH_MAX + 16], top[PATH_MAX + 16];
	size_t dir_len, len;
	struct key key;
	int fd;

	if (handle.len > sizeof(key) || memcmp(handle.ptr, m->fsid, sizeof(m->fsid)) != 0)
		return FOUND_ELSEWHERE;
	memcpy(&key, handle.ptr, handle.len);
	fd = open_by_handle_at(m->source, &key.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return errno == ESTALE ? FOUND_NOT : FOUND_ELSEWHERE;
	len = path_now(fd, path, sizeof(path));
	close(fd);
	// The watched one may have been renamed, too.
	dir_len = path_now(m->source, top, sizeof(top));
	if (!len || !dir_len)
		return FOUND_ELSEWHERE;
	if (len > sizeof(gone) && strcmp(path + len - (sizeof(gone) - 1), gone) == 0)
		return FOUND_NOT;
	if (dir_len > 1 &&
	    (strncmp(path, top, dir_len) != 0 || (path[dir_len] != '/' && path[dir_len])))
		return FOUND_ELSEWHERE;
	if (mf_monitor_dirs_count(m->dirs) + GONE_DEPTH > WHOLE_DIRS_MAX)
		mf_monitor_dirs_clear(m->dirs);
	*ret = learn_path(m, path + dir_len + (dir_len > 1 && path[dir_len] == '/'));
	return *ret ? FOUND_HERE : FOUND_NOT;
}

static void index_gone(struct mf_monitor *m)
{
	struct mf_span data = m->ahead;
	struct mf_monitor_record r;
	size_t cnt = 0, at;

	while (mf_monitor_record_next(&data, &r) > 0)
		cnt += r.mask & FAN_DELETE && r.mask & FAN_ONDIR;
	for (at = 16; at < cnt * 2;)
		at *= 2;
	m->gone = calloc(at, sizeof(*m->gone));
	m->gone_cnt = m->gone ? at : 0;
	data = m->ahead;
	while (m->gone && mf_monitor_record_next(&data, &r) > 0) {
		if (!(r.mask & FAN_DELETE && r.mask & FAN_ONDIR) || !r.object.len)
			continue;
		at = mf_monitor_hash(m, r.object, mf_span_of("", 0), 0);
		for (size_t i = at;; i++)
			if (!m->gone[i % m->gone_cnt].hash) {
				m->gone[i % m->gone_cnt] =
					(struct mf_monitor_gone){ at, r.object, r.dir, r.name };
				break;
			}
	}
}

static const struct mf_monitor_gone *find_indexed(struct mf_monitor *m, struct mf_span handle)
{
	uint64_t hash = mf_monitor_hash(m, handle, mf_span_of("", 0), 0);

	if (!m->gone_cnt)
		index_gone(m);
	for (size_t i = hash; m->gone_cnt && m->gone[i % m->gone_cnt].hash; i++)
		if (mf_span_eq(m->gone[i % m->gone_cnt].object, handle))
			return &m->gone[i % m->gone_cnt];
	return NULL;
}

/* Its removal may have come after the last reading: the kernel tells of it before the handle is stale. */
static const struct mf_monitor_gone *find_gone(struct mf_monitor *m, struct mf_span handle)
{
	const struct mf_monitor_gone *gone = find_indexed(m, handle);

	while (!gone && mf_monitor_read_ahead(m)) {
		free(m->gone);
		m->gone = NULL;
		m->gone_cnt = 0;
		gone = find_indexed(m, handle);
	}
	return gone;
}

static struct mf_monitor_dir *find_at(struct mf_monitor *m, struct mf_span handle, int depth)
{
	struct mf_monitor_dir *dir = mf_monitor_dirs_find(m->dirs, handle);
	uint64_t hash;
	const struct mf_monitor_gone *gone;

	if (dir || !m->whole)
		return dir;
	hash = mf_monitor_hash(m, handle, mf_span_of("", 0), 0);
	if (*outside_slot(m, hash) == hash)
		return NULL;
	switch (learn(m, handle, &dir)) {
	case FOUND_HERE:
		return dir;
	case FOUND_ELSEWHERE:
		*outside_slot(m, hash) = hash;
		return NULL;
	case FOUND_NOT:
		break;
	}
	// Removed meanwhile: the kernel has told of that, too, with its name and the directory that it was in.
	gone = depth < GONE_DEPTH ? find_gone(m, handle) : NULL;
	if (gone) {
		// The index may be made anew by the time the one above is found; what it points into stays.
		const struct mf_span name = gone->name;

		dir = find_at(m, gone->dir, depth + 1);
		if (dir)
			return mf_monitor_dirs_put(m->dirs, handle, dir, name);
	} else {
		m->unplaced++;
	}
	*outside_slot(m, hash) = hash;
	return NULL;
}

struct mf_monitor_dir *mf_monitor_place_find(struct mf_monitor *m, struct mf_span handle)
{
	return find_at(m, handle, 0);
}

/* ---- a mark for each directory --------------------------------------------------------------------------------- */

static int mark(struct mf_monitor *m, int fd)
{
	char proc[40];

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	if (fanotify_mark(m->fan, FAN_MARK_ADD | FAN_MARK_ONLYDIR, EVENTS | FAN_RENAME, AT_FDCWD,
			  proc) == 0)
		return 0;
	// Linux before 5.17
	if (errno == EINVAL && fanotify_mark(m->fan, FAN_MARK_ADD | FAN_MARK_ONLYDIR,
					     EVENTS | FAN_MOVE, AT_FDCWD, proc) == 0)
		return 0;
	return -errno;
}

/* Directories that wait to be walked through. */
struct todo {
	struct mf_monitor_dir **v;
	size_t cnt, room;
};

static bool push(struct todo *t, struct mf_monitor_dir *dir)
{
	size_t room = t->room ? t->room * 2 : 64;
	struct mf_monitor_dir **v = t->v;

	if (t->cnt == t->room) {
		v = realloc(v, room * sizeof(struct mf_monitor_dir *));
		if (!v)
			return false;
		t->v = v;
		t->room = room;
	}
	t->v[t->cnt++] = dir;
	return true;
}

struct walk {
	struct mf_monitor *m;
	struct todo todo;
	bool told; /* what is found is new, and told of */
	int32_t pid;
	int error; /* the first: -errno */
};

static void sight(struct mf_monitor *m, struct mf_span handle, int parent, struct mf_span name)
{
	uint64_t hash = mf_monitor_hash(m, handle, mf_span_of("", 0), 0);
	struct mf_monitor_sighting *s = &m->sighted[hash % MF_MONITOR_SIGHTED_CNT];
	struct key key;

	if (name.len >= sizeof(s->name) || key_of(m, parent, &key) < 0)
		return;
	s->hash = hash;
	s->parent_len = (uint16_t)span_of(&key).len;
	memcpy(s->parent, span_of(&key).ptr, s->parent_len);
	s->name_len = (uint16_t)name.len;
	memcpy(s->name, name.ptr, name.len);
}

struct mf_monitor_dir *mf_monitor_place_sighted(struct mf_monitor *m, struct mf_span handle,
						struct mf_span *ret_name)
{
	uint64_t hash = mf_monitor_hash(m, handle, mf_span_of("", 0), 0);
	struct mf_monitor_sighting *s = &m->sighted[hash % MF_MONITOR_SIGHTED_CNT];

	if (!handle.len || s->hash != hash)
		return NULL;
	s->hash = 0;
	*ret_name = mf_span_of(s->name, s->name_len);
	return mf_monitor_dirs_find(m->dirs, mf_span_of(s->parent, s->parent_len));
}

static void one_entry(struct walk *w, struct mf_monitor_dir *dir, int at, const struct dirent *e)
{
	struct mf_span name = mf_span_str(e->d_name);
	struct mf_monitor_dir *below;
	struct key key;
	struct stat st;
	int fd, r;

	if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
		return;
	if (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN && !w->told)
		return;
	fd = openat(at, e->d_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return; // gone again
	r = fstat(fd, &st) < 0 ? -errno : key_of(w->m, fd, &key);
	// One that was moved here: of that it is told in its turn.
	if (r == 0 && w->told && S_ISDIR(st.st_mode) &&
	    mf_monitor_dirs_find(w->m->dirs, span_of(&key))) {
		sight(w->m, span_of(&key), at, name);
		close(fd);
		return;
	}
	if (r == 0 && w->told) {
		uint64_t hash = mf_monitor_hash(w->m, span_of(&key), name, 0);

		w->m->seen[hash % MF_MONITOR_RECENT_CNT] = hash;
		mf_monitor_judge_found(w->m, dir, name, w->pid);
	}
	if (r == 0 && S_ISDIR(st.st_mode)) {
		below = mf_monitor_dirs_put(w->m->dirs, span_of(&key), dir, name);
		r = below ? mark(w->m, fd) : -ENOSPC;
		if (r == 0 && !push(&w->todo, below))
			r = -ENOMEM;
	}
	if (r < 0 && !w->error)
		w->error = r;
	close(fd);
}

/* Marks first, then looks what is there: nothing can come in between unseen. */
static int walk(struct walk *w, struct mf_monitor_dir *top)
{
	struct mf_monitor *m = w->m;

	if (!push(&w->todo, top))
		w->error = -ENOMEM;
	while (w->todo.cnt) {
		struct mf_monitor_dir *dir = w->todo.v[--w->todo.cnt];
		char path[PATH_MAX];
		struct dirent *e;
		DIR *d = NULL;
		int fd = -1;

		if (mf_monitor_dirs_path(dir, mf_span_of("", 0), path, sizeof(path)) >= 0)
			fd = open_beneath(m, path, O_RDONLY | O_DIRECTORY);
		if (fd >= 0)
			d = fdopendir(fd);
		if (!d && fd >= 0)
			close(fd);
		while (d && (e = readdir(d)))
			one_entry(w, dir, dirfd(d), e);
		if (d)
			closedir(d);
	}
	free(w->todo.v);
	return w->error;
}

static void tell_full(struct mf_monitor *m, int error)
{
	if (m->full_told)
		return;
	m->full_told = true;
	mf_log_warning(m->o.log,
		       "not every new directory can be watched (%s): raise "
		       "fs.fanotify.max_user_marks (sysctl)",
		       strerror(-error));
}

/* A new directory, @fd: it and what is in it. */
static void watch_new(struct mf_monitor *m, struct mf_monitor_dir *dir, int32_t pid, bool told)
{
	struct walk w = { .m = m, .told = told, .pid = pid };
	char path[PATH_MAX];
	int fd = -1, r = 0;

	if (mf_monitor_dirs_path(dir, mf_span_of("", 0), path, sizeof(path)) >= 0)
		fd = open_beneath(m, path, O_PATH | O_DIRECTORY);
	if (fd < 0)
		return; // gone again
	r = mark(m, fd);
	close(fd);
	if (r == 0)
		r = walk(&w, dir);
	if (r == -ENOSPC || r == -ENOMEM)
		tell_full(m, r);
}

/* ---- changes --------------------------------------------------------------------------------------------------- */

void mf_monitor_place_made(struct mf_monitor *m, struct mf_monitor_dir *parent, struct mf_span name,
			   struct mf_span handle, int32_t pid)
{
	struct mf_monitor_dir *dir;

	if (!handle.len || (!m->whole && mf_monitor_dirs_find(m->dirs, handle)))
		return;
	dir = mf_monitor_dirs_put(m->dirs, handle, parent, name);
	if (!m->whole && dir)
		watch_new(m, dir, pid, true);
	else if (!m->whole)
		tell_full(m, -ENOSPC);
}

void mf_monitor_place_moved(struct mf_monitor *m, struct mf_monitor_dir *from,
			    struct mf_monitor_dir *to, const struct mf_monitor_record *r)
{
	struct mf_monitor_dir *dir =
		r->object.len ? mf_monitor_dirs_find(m->dirs, r->object) : NULL;

	// Whatever was below has another place now, here or elsewhere.
	if (m->whole && (!from || !to))
		memset(m->outside, 0, sizeof(m->outside));
	if (to && (dir || !m->whole || !from)) {
		bool is_new = !dir;

		dir = r->object.len ? mf_monitor_dirs_put(m->dirs, r->object, to, r->new_name)
				    : NULL;
		if (dir && is_new && !m->whole)
			watch_new(m, dir, r->pid, false);
	} else if (dir && !to) {
		mf_monitor_dirs_remove(m->dirs, dir);
	}
}

void mf_monitor_place_removed(struct mf_monitor *m, struct mf_span handle)
{
	struct mf_monitor_dir *dir = handle.len ? mf_monitor_dirs_find(m->dirs, handle) : NULL;

	if (dir && dir != mf_monitor_dirs_root(m->dirs))
		mf_monitor_dirs_remove(m->dirs, dir);
	// Whoever has it open still closes it.
	if (m->whole && handle.len) {
		uint64_t hash = mf_monitor_hash(m, handle, mf_span_of("", 0), 0);

		*outside_slot(m, hash) = hash;
	}
}

void mf_monitor_place_anew(struct mf_monitor *m)
{
	struct walk w = { .m = m };

	mf_monitor_dirs_clear(m->dirs);
	memset(m->outside, 0, sizeof(m->outside));
	if (!m->whole && walk(&w, mf_monitor_dirs_root(m->dirs)) < 0)
		tell_full(m, w.error);
}

/* ---- beginning ------------------------------------------------------------------------------------------------- */

static int open_group(struct mf_monitor *m, struct mf_err *err)
{
	const unsigned flags = FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID |
			       FAN_REPORT_DIR_FID | FAN_REPORT_NAME;

	// Unlimited marks are for those who are told who it was.
	m->privileged = true;
	m->fan = fanotify_init(flags | FAN_REPORT_TARGET_FID | FAN_UNLIMITED_MARKS, 0);
	if (m->fan < 0 && errno == EINVAL)
		m->fan = fanotify_init(flags | FAN_UNLIMITED_MARKS, 0);
	if (m->fan < 0 && errno == EPERM) {
		m->privileged = false;
		m->fan = fanotify_init(flags | FAN_REPORT_TARGET_FID, 0);
	}
	if (m->fan < 0 && errno == EINVAL && !m->privileged)
		m->fan = fanotify_init(flags, 0);
	if (m->fan >= 0)
		return 0;
	if (errno == EMFILE)
		return mf_err_set(err, MF_E_LIMIT,
				  "this user listens with as many fanotify groups as it may: raise "
				  "fs.fanotify.max_user_groups (sysctl)");
	if (errno == ENOSYS || errno == EINVAL)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "this kernel's fanotify does not tell names (%s): Linux 5.9, for "
				  "ordinary users 5.13",
				  strerror(errno));
	return mf_err_set(err, errno == EPERM ? MF_E_PERM : MF_E_IO, "fanotify: %s",
			  strerror(errno));
}

/* Whether one mark will do: the file system takes it, and its handles can be opened. */
static bool mark_whole(struct mf_monitor *m, const struct key *root)
{
	struct key key = *root;
	int fd = open_by_handle_at(m->source, &key.h, O_PATH | O_CLOEXEC);

	if (fd < 0)
		return false;
	close(fd);
	return fanotify_mark(m->fan, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, EVENTS | FAN_RENAME,
			     AT_FDCWD, m->dir) == 0 ||
	       (errno == EINVAL && fanotify_mark(m->fan, FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
						 EVENTS | FAN_MOVE, AT_FDCWD, m->dir) == 0);
}

static int mark_each(struct mf_monitor *m, struct mf_err *err)
{
	struct walk w = { .m = m };
	int fd = open_beneath(m, "", O_PATH | O_DIRECTORY), r = fd < 0 ? -errno : mark(m, fd);

	if (fd >= 0)
		close(fd);
	if (r == 0)
		r = walk(&w, mf_monitor_dirs_root(m->dirs));
	if (r == -ENOSPC)
		return mf_err_set(
			err, MF_E_LIMIT,
			"%s has more directories than this user may watch (%zu were marked): raise "
			"fs.fanotify.max_user_marks (sysctl), watch a part of it, or be root",
			m->dir, mf_monitor_dirs_count(m->dirs) - 1);
	if (r == -ENODEV || r == -EXDEV || r == -EOPNOTSUPP)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "the file system of %s cannot be watched: %s", m->dir,
				  strerror(-r));
	return r < 0 ? mf_err_set(err, r == -EACCES || r == -EPERM ? MF_E_PERM : MF_E_IO,
				  "cannot watch %s: %s", m->dir, strerror(-r))
		     : 0;
}

int mf_monitor_place_begin(struct mf_monitor *m, struct mf_err *err)
{
	struct statfs fs;
	struct key key;
	int r;

	m->source = open(m->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (m->source < 0 || fstatfs(m->source, &fs) < 0)
		return mf_err_set(err, errno == ENOTDIR ? MF_E_INVAL : MF_E_IO, "%s: %s", m->dir,
				  strerror(errno));
	memcpy(m->fsid, &fs.f_fsid, sizeof(m->fsid));
	r = key_of(m, m->source, &key);
	if (r < 0)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"the file system of %s has no handles, so it cannot be watched: %s", m->dir,
			strerror(-r));
	r = open_group(m, err);
	if (r < 0)
		return r;
	m->whole = m->privileged && !m->o.each_directory && mark_whole(m, &key);
	m->dirs = mf_monitor_dirs_new(m->whole ? WHOLE_DIRS_MAX : EACH_DIRS_MAX, span_of(&key));
	if (!m->dirs)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return m->whole ? 0 : mark_each(m, err);
}
