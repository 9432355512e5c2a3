/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_info_posix.c - trashinfo files: written before a put ends or, where there is a background thread, by that a moment later
 *
 * They are for other programs: what we know of an entry is in its record, and repair makes a trashinfo of it where there is none.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs/trash_int.h"

static bool info_name(const char *file, char buf[256])
{
	int n = snprintf(buf, 256, "%s" MF_TRASH_INFO_SUFFIX, file);

	return n > 0 && n < 256;
}

/* The path as the trash's kind wants it. */
static const char *info_path(const struct mf_trash *t, const char *path)
{
	size_t len = strlen(t->top);

	if (len == 0)
		return path;
	if (len == 1)
		return path + 1;
	return strncmp(path, t->top, len) == 0 && path[len] == '/' ? path + len + 1 : path;
}

int mf_trash_write_info(const struct mf_trash *t, const char *file, const char *path,
			uint64_t deleted_ns, const char *token)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_INFO_MAX - 1);
	char name[256];
	int r, fd;

	mf_trash_info_format(&b, info_path(t, path), deleted_ns, token);
	if (b.failed || !info_name(file, name)) {
		mf_strbuf_done(&b);
		return -ENAMETOOLONG;
	}
	fd = openat(t->info_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : mf_trash_write_all(fd, b.str, b.len);
	if (fd >= 0) {
		close(fd);
		if (r < 0)
			(void)unlinkat(t->info_fd, name, 0);
	}
	mf_strbuf_done(&b);
	return r;
}

int mf_trash_forget(struct mf_trash *t, const char *token, const char *file)
{
	char name[256];
	int r;

	if (*file && info_name(file, name))
		(void)unlinkat(t->info_fd, name, 0);
	if (!*token)
		return 0;
	if (!*file) { // a directory's, of which the record and the attributes are all that there is
		r = mf_trash_remove_record(t, token);
		if (r == 0)
			(void)unlinkat(t->own_fd, mf_trash_dir_name(token, name), AT_REMOVEDIR);
		return r;
	}
	snprintf(name, sizeof(name), "%s.json", token);
	(void)unlinkat(t->own_fd, name, 0);
	r = mf_trash_remove_record(t, token);
	// Its writer may have made it just now; it looks for the record afterwards.
	if (info_name(file, name))
		(void)unlinkat(t->info_fd, name, 0);
	return r;
}

/* A trashinfo that is written when nobody waits. */
struct mf_trash_late {
	struct mf_trash_late *next;
	uint64_t deleted_ns;
	char token[MF_TRASH_TOKEN_MAX], file[MF_TRASH_FILE_MAX + 1], record[MF_TRASH_NAME_ROOM];
	char path[];
};

/* Return: false: it has to be written at once. */
static bool put_off(struct mf_trash *t, const struct mf_trash_entry *e, const char *record)
{
	size_t len = strlen(e->path) + 1;
	struct mf_trash_late *late = malloc(sizeof(*late) + len);
	bool full;

	if (!late)
		return false;
	late->next = NULL;
	late->deleted_ns = e->deleted_ns;
	snprintf(late->token, sizeof(late->token), "%s", e->token);
	snprintf(late->file, sizeof(late->file), "%s", e->file);
	snprintf(late->record, sizeof(late->record), "%s", record);
	memcpy(late->path, e->path, len);
	pthread_mutex_lock(&t->lock);
	full = t->late_cnt >= MF_TRASH_LATE_MAX;
	if (!full) {
		*(t->late_end ? t->late_end : &t->late) = late;
		t->late_end = &late->next;
		t->late_cnt++;
	}
	pthread_mutex_unlock(&t->lock);
	if (full)
		free(late);
	else if (!mf_trash_worker_later(&t->worker)) // its thread has not begun, or ended
		mf_trash_write_late(t);
	return !full;
}

void mf_trash_inform(struct mf_trash *t, const struct mf_trash_entry *e, const char *record)
{
	if (t->options.background && !put_off(t, e, record))
		(void)mf_trash_write_info(t, e->file, e->path, e->deleted_ns, e->token);
}

static bool is_gone(struct mf_trash *t, const char *record)
{
	struct stat st;

	return fstatat(t->own_fd, record, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static bool write_one_late(struct mf_trash *t, const struct mf_trash_late *late)
{
	char name[256];
	int r;

	// It was restored, purged or taken back meanwhile.
	if (is_gone(t, late->record))
		return true;
	r = mf_trash_write_info(t, late->file, late->path, late->deleted_ns, late->token);
	if (r == 0 && is_gone(t, late->record) && info_name(late->file, name))
		(void)unlinkat(t->info_fd, name, 0);
	return r == 0 || r == -EEXIST;
}

void mf_trash_free_late(struct mf_trash *t)
{
	while (t->late) {
		struct mf_trash_late *next = t->late->next;

		free(t->late);
		t->late = next;
	}
}

void mf_trash_write_late(struct mf_trash *t)
{
	struct mf_trash_late *list, *next, *failed = NULL, **end = &failed;
	size_t failed_cnt = 0;

	pthread_mutex_lock(&t->lock);
	list = t->late;
	t->late = NULL;
	t->late_end = NULL;
	t->late_cnt = 0;
	pthread_mutex_unlock(&t->lock);
	for (; list; list = next) {
		next = list->next;
		if (write_one_late(t, list)) {
			free(list);
			continue;
		}
		list->next = NULL;
		*end = list;
		end = &list->next;
		failed_cnt++;
	}
	if (!failed)
		return;
	pthread_mutex_lock(&t->lock);
	*end = t->late;
	if (!t->late)
		t->late_end = end;
	t->late = failed;
	t->late_cnt += failed_cnt;
	pthread_mutex_unlock(&t->lock);
}
