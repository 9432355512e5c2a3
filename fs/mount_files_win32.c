/* SPDX-License-Identifier: Apache-2.0 */
/* mount_files_win32.c - files that are open in the mount of Windows, and who opened them */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs/mount_int_win32.h"

/* ASCII letters in either case are one: other letters that differ in case make another bucket's entry, which is not found. */
static uint32_t hash_of(const char *path)
{
	uint32_t h = 2166136261u;

	for (; *path; path++)
		h = (h ^ (uint8_t)(*path >= 'A' && *path <= 'Z' ? *path | 32 : *path)) * 16777619u;
	return h;
}

struct mf_mount_file *mf_mount_file_new(struct mf_mount_act *act, bool dir)
{
	struct mf_mount_winfsp *m = act->m;
	size_t len = strlen(act->real);
	struct mf_mount_file *f = malloc(sizeof(*f) + len + 1);
	struct mf_mount_file **bucket;

	if (!f)
		return NULL;
	f->handle = act->handle;
	act->handle = NULL;
	f->dir = dir;
	f->op = act->a.q.op;
	f->who = act->who;
	atomic_init(&f->generation, act->a.verdict.generation);
	pthread_mutex_init(&f->list_lock, NULL);
	memcpy(f->path, act->real, len + 1);
	f->hash = hash_of(f->path);
	bucket = &m->files[f->hash % MF_MOUNT_BUCKETS];
	pthread_mutex_lock(&m->lock);
	f->next = *bucket;
	f->prev = bucket;
	if (f->next)
		f->next->prev = &f->next;
	*bucket = f;
	m->file_cnt++;
	pthread_mutex_unlock(&m->lock);
	return f;
}

void mf_mount_file_free(struct mf_mount_winfsp *m, struct mf_mount_file *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&m->lock);
	*f->prev = f->next;
	m->file_cnt--;
	if (f->next)
		f->next->prev = f->prev;
	pthread_mutex_unlock(&m->lock);
	mf_wsource_close_handle(f->handle);
	pthread_mutex_destroy(&f->list_lock);
	free(f);
}

uint64_t mf_mount_files_open(struct mf_mount_winfsp *m)
{
	uint64_t cnt;

	pthread_mutex_lock(&m->lock);
	cnt = m->file_cnt;
	pthread_mutex_unlock(&m->lock);
	return cnt;
}

bool mf_mount_file_who(struct mf_mount_winfsp *m, const char *place, struct mf_fs_caller *ret)
{
	uint32_t hash = hash_of(place);
	const struct mf_mount_file *f;

	pthread_mutex_lock(&m->lock);
	for (f = m->files[hash % MF_MOUNT_BUCKETS]; f; f = f->next)
		if (f->hash == hash && f->who.pid > 0 && !_stricmp(f->path, place))
			break;
	if (f)
		*ret = f->who;
	pthread_mutex_unlock(&m->lock);
	return f != NULL;
}

int mf_mount_file_ask(struct mf_mount_winfsp *m, struct mf_mount_file *f)
{
	struct mf_fs_judge *judge = mf_policy_fs_judge(m->o.policy);
	uint64_t now = mf_fs_judge_generation(judge);
	struct mf_fs_act a = { .q = { .op = f->op,
				      .path = f->path,
				      .path_len = strlen(f->path),
				      .size = -1,
				      .caller = &f->who },
			       .quiet = true };
	int r;

	if (now == atomic_load_explicit(&f->generation, memory_order_relaxed))
		return 0;
	/* What was made by its open is there by now: it is opened, not made. */
	if (f->op == MF_FS_CREATE_BOTH)
		a.q.op = MF_FS_OPEN_BOTH;
	r = mf_policy_fs_begin(m->o.policy, &a);
	if (r == 0)
		atomic_store_explicit(&f->generation, now, memory_order_relaxed);
	mf_policy_fs_end(m->o.policy, &a, r);
	return r < 0 ? -mf_wsource_errno_from_linux(-r) : 0;
}
