/* SPDX-License-Identifier: Apache-2.0 */
/* source_extra.c - modules and data files, read when they are asked for; see source.h */
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"
#include "core/policy/source_internal.h"

void mf_source_extras_free(struct mf_source_extra *e)
{
	while (e) {
		struct mf_source_extra *next = e->next;

		free(e->name);
		free(e->path);
		free(e->text);
		mf_data_file_unref(e->file);
		free(e);
		e = next;
	}
}

/* "a.b" becomes "a/b.lua"; letters, digits, '_' and '-' only, so that no name can leave a directory. */
static bool module_file(const char *name, const char *prefix, char *buf, size_t size)
{
	size_t n = strlen(prefix), len = strlen(name);
	bool start = true;

	if (len == 0 || len + n + 5 > size)
		return false;
	memcpy(buf, prefix, n);
	for (const char *p = name; *p; p++) {
		if (*p == '.') {
			if (start)
				return false;
			buf[n++] = '/';
			start = true;
			continue;
		}
		if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", *p))
			return false;
		buf[n++] = *p;
		start = false;
	}
	if (start)
		return false;
	memcpy(buf + n, ".lua", 5);
	return true;
}

static struct mf_source_extra *find_extra(struct mf_source_extra *list, const char *name)
{
	while (list && strcmp(list->name, name) != 0)
		list = list->next;
	return list;
}

static struct mf_source_extra *new_extra(const char *name)
{
	struct mf_source_extra *e = calloc(1, sizeof(*e));

	if (e)
		e->name = strdup(name);
	if (e && !e->name) {
		free(e);
		return NULL;
	}
	return e;
}

/* Tries one place; true when the search is over, found or not. */
static bool try_module(struct mf_source_unit *u, struct mf_source_extra *e, const char *dir,
		       const struct mf_pack_files *files, const char *prefix)
{
	char file[MF_SOURCE_NAME_MAX + 16];

	if (!dir || !module_file(e->name, prefix, file, sizeof(file)))
		return false;
	/* What somebody put beside an installed pack's files is not the pack's. */
	if (files && !mf_pack_files_find(files, file))
		return false;
	e->code = mf_file_read_below(dir, file, MF_SOURCE_FILE_MAX, &e->text, &e->len, &e->err);
	if (e->code == MF_E_NOENT)
		return false;
	if (e->code == 0)
		e->code = mf_pack_files_check(files, dir, file, e->text, e->len, &e->err);
	if (e->code == 0 && dir != u->set->stdlib_dir)
		e->code = mf_source_guard_check(u->set, files, dir, file, e->text, e->len, &e->err);
	if (e->code == 0) {
		e->path = mf_source_join(dir, file);
		if (!e->path)
			e->code = MF_E_NOMEM;
	}
	e->chunk = (struct mf_sandbox_source){
		.name = e->path,
		.text = e->text,
		.len = e->len,
		.why = e->code == 0 ? NULL : e->err.msg,
		.find = u->pub.chunk.find,
		.ctx = u,
	};
	return true;
}

/* A pack's own modules are its business; "moonfence" and what stands below it are always the standard library's. */
const struct mf_sandbox_source *mf_source_find_module(void *ctx, const char *name)
{
	struct mf_source_unit *u = ctx;
	struct mf_source_set *set = u->set;
	struct mf_source_extra *e;
	bool reserved = strncmp(name, "moonfence", 9) == 0 && (name[9] == '.' || name[9] == '\0');

	if (strlen(name) > MF_SOURCE_NAME_MAX)
		return NULL;
	pthread_mutex_lock(&set->lock);
	e = find_extra(u->modules, name);
	if (!e && set->file_cnt < MF_SOURCE_FILES_MAX && (e = new_extra(name))) {
		set->file_cnt++;
		e->code = MF_E_NOENT;
		if (reserved || (!try_module(u, e, u->dir, u->files, "lib/") &&
				 !try_module(u, e, u->dir, u->files, "")))
			try_module(u, e, set->stdlib_dir, NULL, "");
		e->next = u->modules;
		u->modules = e;
	}
	pthread_mutex_unlock(&set->lock);
	return e && (e->code == 0 || e->chunk.why) ? &e->chunk : NULL;
}

static int read_data(struct mf_source_unit *u, struct mf_source_extra *e)
{
	const struct mf_file_seal *want = u->files ? mf_pack_files_find(u->files, e->name) : NULL;
	int r;

	if (u->files && !want)
		return mf_err_at(&e->err, MF_E_NOENT, u->dir, 0, 0, "the pack %s has no file %s",
				 u->pack, e->name);
	r = mf_data_file_read(u->dir, e->name, want, &e->file, &e->err);
	if (r == 0)
		r = mf_source_guard_check(u->set, u->files, u->dir, e->name, e->file->text,
					  e->file->len, &e->err);
	return r;
}

int mf_policy_source_data(const struct mf_policy_source *policy, const char *name,
			  const char **ret_text, size_t *ret_len, struct mf_err *err)
{
	struct mf_source_unit *u = policy->chunk.ctx;
	struct mf_source_set *set = u->set;
	struct mf_source_extra *e;
	int r;

	pthread_mutex_lock(&set->lock);
	e = find_extra(u->data, name);
	if (!e && set->file_cnt < MF_SOURCE_FILES_MAX && (e = new_extra(name))) {
		set->file_cnt++;
		e->code = read_data(u, e);
		e->next = u->data;
		u->data = e;
	}
	r = e ? e->code : MF_E_NOMEM;
	pthread_mutex_unlock(&set->lock);
	if (!e)
		return set->file_cnt >= MF_SOURCE_FILES_MAX
			       ? mf_err_set(err, MF_E_LIMIT, "policies name more than %d files",
					    MF_SOURCE_FILES_MAX)
			       : mf_source_no_memory(err);
	if (r < 0) {
		if (err)
			*err = e->err;
		return r;
	}
	*ret_text = e->file->text;
	*ret_len = e->file->len;
	return 0;
}

static void tell_dir_of(const char *dir, const char *file, void (*fn)(void *ctx, const char *dir),
			void *ctx)
{
	char *path = mf_source_join(dir, file);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (slash && slash != path) {
		*slash = '\0';
		fn(ctx, path);
	}
	free(path);
}

/* Where a module was found, or where it would have been. */
void mf_source_each_module_dir(const struct mf_source_unit *u,
			       void (*fn)(void *ctx, const char *dir), void *ctx)
{
	char file[MF_SOURCE_NAME_MAX + 16];

	for (const struct mf_source_extra *e = u->modules; e; e = e->next) {
		if (module_file(e->name, "lib/", file, sizeof(file)))
			tell_dir_of(u->dir, file, fn, ctx);
		if (module_file(e->name, "", file, sizeof(file)))
			tell_dir_of(u->dir, file, fn, ctx);
	}
}

void mf_source_each_data_dir(const struct mf_source_unit *u, void (*fn)(void *ctx, const char *dir),
			     void *ctx)
{
	for (const struct mf_source_extra *e = u->data; e; e = e->next)
		if (e->code != MF_E_PERM)
			tell_dir_of(u->dir, e->name, fn, ctx);
}
