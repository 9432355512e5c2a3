/* SPDX-License-Identifier: Apache-2.0 */
/* mount_act_win32.c - one operation of the mount: from a path to the handle that policies agreed to */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount_int_win32.h"

typedef struct mf_winfsp_context *(*get_context_fn)(struct mf_winfsp_env *env);

/* Of the one WinFsp that a process can have loaded: the operations are told of no mount, so they must ask it. */
static _Atomic(get_context_fn) get_context;
static struct mf_winfsp_env context_env; /* every library's is the same */

void mf_mount_set_calls(const struct mf_winfsp_library *lib)
{
	context_env = lib->env;
	atomic_store(&get_context, lib->calls.get_context);
}

struct mf_mount_winfsp *mf_mount_here(struct mf_fs_caller *ret_who)
{
	const struct mf_winfsp_context *c = atomic_load(&get_context)(&context_env);

	/* Users are numbers of WinFsp's own making: what policies get to know of a user is the process's. */
	*ret_who = (struct mf_fs_caller){ c->pid > 0 ? c->pid : -1, -1, -1 };
	return c->private_data;
}

void mf_mount_place(const struct mf_mount_winfsp *m, const char *path, char *buf)
{
	/* The source's own root is "/", the virtual root has no separator at its end. */
	snprintf(buf, MF_MOUNT_PATH_MAX, "%s%s", m->root,
		 !strcmp(path, "/") && m->root_len ? "" : path);
}

const char *mf_mount_inside(const struct mf_mount_winfsp *m, const char *place)
{
	if (strncmp(place, m->root, m->root_len))
		return NULL;
	place += m->root_len;
	return !*place ? "/" : *place == '/' ? place : NULL;
}

struct mf_mount_act *mf_mount_act_new(enum mf_fs_op op)
{
	struct mf_mount_act *act = malloc(sizeof(*act));

	if (!act)
		return NULL;
	memset(act, 0, offsetof(struct mf_mount_act, token));
	act->token[0] = act->real[0] = act->target[0] = '\0';
	act->m = mf_mount_here(&act->who);
	act->a.q.op = op;
	act->a.q.size = -1;
	return act;
}

int mf_mount_act_end(struct mf_mount_act *act, int result)
{
	if (act->begun) {
		act->a.token = act->token;
		mf_policy_fs_end(act->m->o.policy, &act->a, result);
	}
	mf_wsource_close_handle(act->handle);
	free(act);
	return result < 0 ? -mf_wsource_errno(-result) : result;
}

/* ---- asking ---- */

static int refusal(int r)
{
	return r < 0 ? -mf_wsource_errno_from_linux(-r) : 0;
}

int mf_mount_act_ask(struct mf_mount_act *act)
{
	struct mf_fs_question *q = &act->a.q;
	int r;

	q->path = act->real;
	q->path_len = strlen(act->real);
	if (act->target[0]) {
		q->target = act->target;
		q->target_len = strlen(act->target);
	}
	/* A delete comes without a process: see the header. */
	if (act->who.pid < 0)
		(void)mf_mount_file_who(act->m, act->real, &act->who);
	q->caller = &act->who;
	r = mf_policy_fs_begin(act->m->o.policy, &act->a);
	act->begun = true; /* also of what is refused: its end tells of it */
	return refusal(r);
}

/* ---- where an answer leads ---- */

/* "/D:/dir/file" as a tree of its own, D:\, and a path in it. Return: the tree to be closed; NULL: no such path */
static struct mf_wsource *other_tree(const char *target, const char **ret_path)
{
	char drive[] = "X:\\";
	struct mf_wsource *src;
	struct mf_err err;

	if (target[0] != '/' || !((target[1] | 32) >= 'a' && (target[1] | 32) <= 'z') ||
	    target[2] != ':' || target[3] != '/')
		return NULL;
	drive[0] = target[1];
	*ret_path = target + 3;
	return mf_wsource_open(drive, &src, &err) < 0 ? NULL : src;
}

/* cow: the first who writes gets a copy there. */
static int begin_copy(struct mf_wsource *src, const char *path, void *original)
{
	void *parent, *copy;
	int r;

	r = mf_wsource_make_dirs(src, path, NULL, NULL);
	if (r == 0)
		r = mf_wsource_open_parent(src, path, &parent, NULL);
	if (r < 0)
		return r;
	r = mf_wsource_copy(original, parent, path, false, &copy);
	mf_wsource_close_handle(parent);
	if (r < 0)
		return r == -EEXIST ? 0 : r;
	mf_wsource_close_handle(copy);
	return 0;
}

/* The target of a redirect: its tree and path in it. */
struct elsewhere {
	struct mf_wsource *src, *own; /* own: to be closed */
	const char *path;
};

static int find_elsewhere(struct mf_mount_act *act, struct elsewhere *e)
{
	const char *target = act->a.verdict.d.path_target;

	e->own = NULL;
	e->src = act->m->source;
	e->path = mf_mount_inside(act->m, target);
	if (e->path)
		return 0;
	e->src = e->own = other_tree(target, &e->path);
	return e->own ? 0 : -EACCES;
}

static int open_elsewhere(struct mf_mount_act *act, enum mf_wsource_how how)
{
	bool writes = how == MF_WSOURCE_WRITE || how == MF_WSOURCE_BOTH;
	struct elsewhere e;
	void *h = NULL;
	int r = find_elsewhere(act, &e);

	if (r < 0)
		return r;
	r = mf_wsource_open_at(e.src, e.path, how, &h, NULL);
	if (r == -ENOENT && act->a.verdict.cow && act->handle) {
		if (writes)
			r = begin_copy(e.src, e.path, act->handle);
		else
			r = 1; /* nobody has written yet: the original */
		if (r == 0)
			r = mf_wsource_open_at(e.src, e.path, how, &h, NULL);
	}
	if (r <= 0) {
		mf_wsource_close_handle(act->handle);
		act->handle = r == 0 ? h : NULL;
	}
	mf_wsource_close(e.own);
	return r < 0 ? r : 0;
}

int mf_mount_act_open(struct mf_mount_act *act, const char *path, enum mf_wsource_how how)
{
	char inner[MF_WSOURCE_PATH_MAX];
	void *parent;
	int there, r;

	there = mf_wsource_open_at(act->m->source, path, how, &act->handle, inner);
	if (there == -ENOENT) {
		/* Asked about all the same: an answer may lead elsewhere, and a refusal does not tell whether it is there. */
		r = mf_wsource_open_parent(act->m->source, path, &parent, inner);
		if (r < 0)
			return there;
		mf_wsource_close_handle(parent);
	} else if (there < 0) {
		return there;
	}
	mf_mount_place(act->m, inner, act->real);
	r = mf_mount_act_ask(act);
	if (r < 0)
		return r;
	if (act->a.verdict.what == MF_FS_ELSEWHERE)
		return open_elsewhere(act, how);
	return there;
}

int mf_mount_act_make(struct mf_mount_act *act, const char *path, bool dir, enum mf_wsource_how how)
{
	char inner[MF_WSOURCE_PATH_MAX];
	struct elsewhere e;
	void *parent, *other;
	int r;

	r = mf_wsource_open_parent(act->m->source, path, &parent, inner);
	if (r < 0)
		return r;
	mf_mount_place(act->m, inner, act->real);
	r = mf_mount_act_ask(act);
	if (r < 0 || act->a.verdict.what != MF_FS_ELSEWHERE) {
		if (r == 0)
			r = mf_wsource_create(parent, path, dir, how, &act->handle);
		mf_wsource_close_handle(parent);
		return r;
	}
	mf_wsource_close_handle(parent);
	r = find_elsewhere(act, &e);
	if (r < 0)
		return r;
	r = mf_wsource_make_dirs(e.src, e.path, NULL, NULL);
	if (r == 0)
		r = mf_wsource_open_parent(e.src, e.path, &other, NULL);
	if (r == 0) {
		r = mf_wsource_create(other, e.path, dir, how, &act->handle);
		mf_wsource_close_handle(other);
	}
	mf_wsource_close(e.own);
	return r;
}
