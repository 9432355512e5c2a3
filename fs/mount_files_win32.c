/* SPDX-License-Identifier: Apache-2.0 */
/* mount_files_win32.c - files that are open in the mount of Windows, and who opened them */
#include <errno.h>
#include <stdio.h>
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

static void link_file(struct mf_mount_winfsp *m, struct mf_mount_file *f)
{
	struct mf_mount_file **bucket;

	f->hash = hash_of(f->path);
	bucket = &m->files[f->hash % MF_MOUNT_BUCKETS];
	f->next = *bucket;
	f->prev = bucket;
	if (f->next)
		f->next->prev = &f->next;
	*bucket = f;
}

static void unlink_file(struct mf_mount_file *f)
{
	*f->prev = f->next;
	if (f->next)
		f->next->prev = f->prev;
}

struct mf_mount_file *mf_mount_file_new(struct mf_mount_act *act, bool dir)
{
	struct mf_mount_winfsp *m = act->m;
	struct mf_mount_file *f = calloc(1, sizeof(*f));

	if (f)
		f->path = strdup(act->real);
	if (!f || !f->path) {
		free(f);
		return NULL;
	}
	f->handle = act->handle;
	act->handle = NULL;
	f->dir = dir;
	f->who = act->who;
	pthread_mutex_init(&f->list_lock, NULL);
	pthread_mutex_lock(&m->lock);
	link_file(m, f);
	m->file_cnt++;
	pthread_mutex_unlock(&m->lock);
	return f;
}

void mf_mount_file_free(struct mf_mount_winfsp *m, struct mf_mount_file *f)
{
	if (!f)
		return;
	pthread_mutex_lock(&m->lock);
	unlink_file(f);
	m->file_cnt--;
	pthread_mutex_unlock(&m->lock);
	mf_mount_end_write(m, f);
	mf_wsource_close_handle(f->handle);
	pthread_mutex_destroy(&f->list_lock);
	free(f->path);
	free(f);
}

void mf_mount_file_place(struct mf_mount_winfsp *m, struct mf_mount_file *f, char *buf)
{
	pthread_mutex_lock(&m->lock);
	snprintf(buf, MF_MOUNT_PATH_MAX, "%s", f->path);
	pthread_mutex_unlock(&m->lock);
}

static void rename_file(struct mf_mount_winfsp *m, struct mf_mount_file *f, size_t from_len,
			const char *to)
{
	size_t to_len = strlen(to), tail = strlen(f->path) - from_len;
	char *path = malloc(to_len + tail + 1);

	if (!path)
		return; /* who opened it is not known by its new name */
	memcpy(path, to, to_len);
	memcpy(path + to_len, f->path + from_len, tail + 1);
	unlink_file(f);
	free(f->path);
	f->path = path;
	link_file(m, f);
}

void mf_mount_files_renamed(struct mf_mount_winfsp *m, const char *from, const char *to)
{
	size_t len = strlen(from);
	struct mf_mount_file *f, *next;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; m->file_cnt && i < MF_MOUNT_BUCKETS; i++)
		for (f = m->files[i]; f; f = next) {
			next = f->next;
			/* A file that has moved to a later bucket is met again: it is not at @from any more. */
			if (!_strnicmp(f->path, from, len) &&
			    (!f->path[len] || f->path[len] == '/') && strcmp(from, to))
				rename_file(m, f, len, to);
		}
	pthread_mutex_unlock(&m->lock);
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
