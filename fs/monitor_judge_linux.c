/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_judge_linux.c - what happened, put to the policies and told */
#include <string.h>

#include "fs/monitor_int_linux.h"

/* A question about something that has happened. */
struct matter {
	struct mf_monitor *m;
	struct mf_fs_caller who;
	struct mf_fs_act act;
};

static void begin(struct matter *t, struct mf_monitor *m, int32_t pid, enum mf_fs_op op,
		  unsigned flags, const char *path)
{
	t->m = m;
	t->who = mf_monitor_who_caller(m->who, pid);
	t->act = (struct mf_fs_act){ .q = { .op = op,
					    .flags = flags,
					    .path = path,
					    .path_len = strlen(path),
					    .size = -1,
					    .caller = &t->who },
				     .observed = true };
}

static void ask_and_tell(struct matter *t)
{
	if (!t->m->telling)
		return;
	(void)mf_policy_fs_begin(t->m->pfs, &t->act);
	mf_policy_fs_end(t->m->pfs, &t->act, 0);
}

static void simple(struct mf_monitor *m, int32_t pid, enum mf_fs_op op, unsigned flags,
		   const char *path)
{
	struct matter t;

	begin(&t, m, pid, op, flags, path);
	ask_and_tell(&t);
}

static bool path_of(struct mf_monitor *m, const struct mf_monitor_dir *dir, struct mf_span name,
		    char ret[static PATH_MAX + 1])
{
	if (mf_monitor_place_path(m, dir, name, ret) >= 0)
		return true;
	m->unplaced++;
	return false;
}

/* ---- open files ------------------------------------------------------------------------------------------------ */

static uint64_t *recent_slot(struct mf_monitor *m, const struct mf_monitor_record *r,
			     uint64_t *ret_hash)
{
	*ret_hash = mf_monitor_hash(m, r->dir, r->name, (uint64_t)(uint32_t)r->pid << 32);
	return &m->recent[*ret_hash % MF_MONITOR_RECENT_CNT];
}

static void attributes_changed(struct mf_monitor *m, const struct mf_monitor_record *r)
{
	struct mf_monitor_object o;
	struct matter t;

	mf_monitor_place_look(m, m->path, &o);
	begin(&t, m, r->pid, MF_FS_CHMOD, 0, m->path);
	if (o.there)
		t.act.mode = o.st.st_mode & 07777;
	ask_and_tell(&t);
}

/*
 * Writes of one process to one file are one event until it is closed. How a file was opened is told by closing it; one that was
 * opened for writing and not written to is told of as opened.
 */
static void file_used(struct mf_monitor *m, const struct mf_monitor_record *r, bool made)
{
	uint64_t hash, *slot = recent_slot(m, r, &hash);
	bool known = *slot == hash;

	// Of a new file whoever makes it also makes the attributes.
	if (r->mask & FAN_ATTRIB && !made && !known)
		attributes_changed(m, r);

	if (made) {
		*slot = r->mask & FAN_CLOSE_WRITE ? 0 : hash;
		return;
	}
	if (r->mask & FAN_OPEN && !(r->mask & FAN_CLOSE))
		simple(m, r->pid, MF_FS_OPEN, 0, m->path);
	if (r->mask & FAN_CLOSE_NOWRITE)
		simple(m, r->pid, r->mask & FAN_OPEN ? MF_FS_OPEN_READ : MF_FS_READ,
		       MF_FS_FLAG_READ, m->path);
	if (r->mask & FAN_MODIFY && !known)
		simple(m, r->pid, MF_FS_WRITE, MF_FS_FLAG_WRITE, m->path);
	else if (r->mask & FAN_CLOSE_WRITE && !(r->mask & FAN_MODIFY) && !known)
		simple(m, r->pid, MF_FS_OPEN_WRITE, MF_FS_FLAG_WRITE, m->path);
	if (r->mask & FAN_CLOSE_WRITE && known)
		*slot = 0;
	else if (r->mask & FAN_MODIFY && !(r->mask & FAN_CLOSE_WRITE))
		*slot = hash;
}

/* ---- names ----------------------------------------------------------------------------------------------------- */

static void made(struct mf_monitor *m, int32_t pid, bool dir)
{
	struct mf_monitor_object o;
	struct matter t;
	enum mf_fs_op op = dir ? MF_FS_MKDIR : MF_FS_CREATE_WRITE;

	mf_monitor_place_look(m, m->path, &o);
	if (!dir && o.there && S_ISLNK(o.st.st_mode))
		op = MF_FS_SYMLINK;
	else if (!dir && o.there && S_ISREG(o.st.st_mode) && o.st.st_nlink > 1)
		op = MF_FS_LINK_TO;
	else if (!dir && o.there && !S_ISREG(o.st.st_mode) && !S_ISDIR(o.st.st_mode))
		op = MF_FS_MKNOD;
	begin(&t, m, pid, op, op == MF_FS_CREATE_WRITE ? MF_FS_FLAG_CREATE | MF_FS_FLAG_WRITE : 0,
	      m->path);
	if (op == MF_FS_SYMLINK) {
		t.act.q.target = o.target;
		t.act.q.target_len = strlen(o.target);
	} else if (o.there && dir == S_ISDIR(o.st.st_mode)) {
		t.act.mode = o.st.st_mode & 07777;
	}
	ask_and_tell(&t);
}

void mf_monitor_judge_found(struct mf_monitor *m, const struct mf_monitor_dir *dir,
			    struct mf_span name, int32_t pid)
{
	struct mf_monitor_object o;

	if (!m->telling || !path_of(m, dir, name, m->path))
		return;
	mf_monitor_place_look(m, m->path, &o);
	if (o.there)
		made(m, pid, S_ISDIR(o.st.st_mode));
}

static void created(struct mf_monitor *m, const struct mf_monitor_record *r,
		    struct mf_monitor_dir *dir)
{
	uint64_t hash = mf_monitor_hash(m, r->object, r->name, 0);
	uint64_t *seen = &m->seen[hash % MF_MONITOR_RECENT_CNT];

	if (*seen == hash)
		*seen = 0; // told of already: it was there when its directory was looked through
	else
		made(m, r->pid, r->mask & FAN_ONDIR);
	if (r->mask & FAN_ONDIR)
		mf_monitor_place_made(m, dir, r->name, r->object, r->pid);
}

static void deleted(struct mf_monitor *m, const struct mf_monitor_record *r)
{
	simple(m, r->pid, r->mask & FAN_ONDIR ? MF_FS_RMDIR : MF_FS_UNLINK, 0, m->path);
	if (r->mask & FAN_ONDIR)
		mf_monitor_place_removed(m, r->object);
}

/* Whether what follows is the end of a file that had the new name: it loses a link, by the same process, under no name. */
static bool replaced_something(const struct mf_monitor *m, const struct mf_monitor_record *r)
{
	struct mf_span data = m->ahead;
	struct mf_monitor_record next;

	return m->whole && mf_monitor_record_next(&data, &next) > 0 && next.pid == r->pid &&
	       next.mask & FAN_ATTRIB && !next.dir.len && next.object.len &&
	       !mf_span_eq(next.object, r->object);
}

/* The other name of a rename that left the directory, or came into it, is not known. */
static void renamed(struct mf_monitor *m, const struct mf_monitor_record *r,
		    struct mf_monitor_dir *from, struct mf_monitor_dir *to)
{
	bool has_from = from && path_of(m, from, r->name, m->path);
	bool has_to = to && path_of(m, to, r->new_name, m->other);
	struct mf_fs_question q;
	struct matter t;

	// Listened to before it is told of.
	if (r->mask & FAN_ONDIR)
		mf_monitor_place_moved(m, from, to, r);
	if (m->telling && (has_from || has_to)) {
		begin(&t, m, r->pid, has_from ? MF_FS_RENAME_FROM : MF_FS_RENAME_IN, 0,
		      has_from ? m->path : m->other);
		if (has_from && has_to) {
			t.act.q.target = m->other;
			t.act.q.target_len = strlen(m->other);
		}
		(void)mf_policy_fs_begin(m->pfs, &t.act);
		if (has_from && has_to) {
			q = t.act.q;
			q.op = MF_FS_RENAME_TO;
			q.path = t.act.q.target;
			q.path_len = t.act.q.target_len;
			q.target = t.act.q.path;
			q.target_len = t.act.q.path_len;
			(void)mf_policy_fs_also(m->pfs, &t.act, &q);
		}
		mf_policy_fs_end(m->pfs, &t.act, 0);
	}
	if (has_to && replaced_something(m, r))
		simple(m, r->pid, MF_FS_REPLACE, 0, m->other);
}

/* Before Linux 5.17 the two names are two records; they are told of one by one. */
static void renamed_in_two(struct mf_monitor *m, const struct mf_monitor_record *r,
			   struct mf_monitor_dir *dir)
{
	struct mf_monitor_record one = *r;

	if (r->mask & FAN_MOVED_FROM)
		renamed(m, r, dir, NULL);
	one.new_dir = r->dir;
	one.new_name = r->name;
	if (r->mask & FAN_MOVED_TO)
		renamed(m, &one, NULL, dir);
}

void mf_monitor_judge(struct mf_monitor *m, const struct mf_monitor_record *r, bool told)
{
	struct mf_monitor_dir *dir, *to;

	// Of what is not told of, where directories are matters all the same.
	if (r->mask & FAN_ONDIR ? !(r->mask & ~(uint64_t)(FAN_ONDIR | FAN_CLOSE)) : !told)
		return;
	dir = r->dir.len ? mf_monitor_place_find(m, r->dir) : NULL;
	to = r->new_dir.len ? mf_monitor_place_find(m, r->new_dir) : NULL;
	if (!dir && !to) {
		// Elsewhere; or a number of links, which is told of under no name.
		if (r->mask & FAN_DELETE && r->mask & FAN_ONDIR)
			mf_monitor_place_removed(m, r->object);
		return;
	}
	m->telling = told;
	m->records += told;
	if (r->mask & FAN_RENAME) {
		struct mf_monitor_record whole = *r;
		struct mf_span name;
		struct mf_monitor_dir *seen = mf_monitor_place_sighted(m, r->object, &name);

		// Into a directory that was made, but not listened to yet.
		if (dir && seen && !r->new_dir.len) {
			to = seen;
			whole.new_name = name;
		}
		renamed(m, &whole, dir, to);
		return;
	}
	if (r->mask & FAN_MOVE)
		renamed_in_two(m, r, dir);
	if (!(r->mask & ~(uint64_t)(FAN_MOVE | FAN_ONDIR)) || !path_of(m, dir, r->name, m->path))
		return;
	if (r->mask & FAN_CREATE)
		created(m, r, dir);
	if (r->mask & FAN_ONDIR) {
		if (r->mask & FAN_OPEN && path_of(m, dir, r->name, m->path))
			simple(m, r->pid, MF_FS_LIST, 0, m->path);
		if (r->mask & FAN_ATTRIB && !(r->mask & (FAN_CREATE | FAN_DELETE)))
			attributes_changed(m, r);
	} else {
		file_used(m, r, r->mask & FAN_CREATE);
	}
	if (r->mask & FAN_DELETE && path_of(m, dir, r->name, m->path))
		deleted(m, r);
}
