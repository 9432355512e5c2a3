/* SPDX-License-Identifier: Apache-2.0 */
/* source_read.c - what a path names: policy files, directories, packs, stores, with their tests; see source.h */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/sha256.h"
#include "core/policy/agentsh.h"
#include "core/policy/files.h"
#include "core/policy/pack_store.h"
#include "core/policy/source_internal.h"

#define ENTRIES_MAX 16384 /* names in one directory */

static int note_dir(struct mf_source_set *set, const char *dir, struct mf_err *err)
{
	char **more;

	for (size_t i = 0; i < set->dir_cnt; i++)
		if (strcmp(set->dirs[i], dir) == 0)
			return 0;
	more = realloc(set->dirs, (set->dir_cnt + 1) * sizeof(*more));
	if (!more)
		return mf_source_no_memory(err);
	set->dirs = more;
	more[set->dir_cnt] = strdup(dir);
	if (!more[set->dir_cnt])
		return mf_source_no_memory(err);
	set->dir_cnt++;
	return 0;
}

static int count_file(struct mf_source_set *set, struct mf_err *err)
{
	if (set->file_cnt >= MF_SOURCE_FILES_MAX)
		return mf_err_set(err, MF_E_LIMIT, "more than %d policy and test files",
				  MF_SOURCE_FILES_MAX);
	set->file_cnt++;
	return 0;
}

static int add_test(struct mf_source_unit *u, const char *name, struct mf_err *err)
{
	struct mf_source_test *more, *t;
	size_t len;
	int r = count_file(u->set, err);

	if (r < 0)
		return r;
	more = realloc(u->tests, (u->test_cnt + 1) * sizeof(*more));
	if (!more)
		return mf_source_no_memory(err);
	u->tests = more;
	t = &more[u->test_cnt];
	*t = (struct mf_source_test){ 0 };
	r = mf_file_read_below(u->dir, name, MF_SOURCE_FILE_MAX, &t->text, &len, err);
	if (r < 0)
		return r;
	u->test_cnt++;
	r = mf_pack_files_check(u->files, u->dir, name, t->text, len, err);
	if (r < 0)
		return r;
	t->path = mf_source_join(u->dir, name);
	if (!t->path)
		return mf_source_no_memory(err);
	t->chunk = (struct mf_sandbox_source){ .name = t->path,
					       .text = t->text,
					       .len = len,
					       .find = mf_source_find_module,
					       .ctx = u };
	return 0;
}

/* A policy of agentsh that no pack gives a version has agentsh's: the first 8 bytes of the text's digest. */
static char *version_of_text(const char *text, size_t len)
{
	char version[sizeof("sha256:") + 16];
	uint8_t digest[MF_SHA256_LEN];
	int n = snprintf(version, sizeof(version), "sha256:");

	mf_sha256(text, len, digest);
	for (int i = 0; i < 8; i++)
		n += snprintf(version + n, sizeof(version) - (size_t)n, "%02x", digest[i]);
	return strdup(version);
}

/* Reads @name below @dir (or, with @name NULL, the file @dir/@file that the operator named, links followed). */
static int add_unit(struct mf_source_set *set, const char *dir, const char *name, bool named,
		    const struct mf_pack *p, const struct mf_pack_files *files,
		    struct mf_source_unit **ret_unit, struct mf_err *err)
{
	struct mf_source_unit *u = calloc(1, sizeof(*u)), **more;
	size_t len = 0;
	int r;

	if (!u)
		return mf_source_no_memory(err);
	u->set = set;
	u->files = files;
	u->tier = p->tier;
	u->pack = strdup(p->name);
	u->pack_version = strdup(p->version);
	u->dir = strdup(dir);
	u->path = mf_source_join(dir, name);
	more = realloc(set->units, (set->cnt + 1) * sizeof(*more));
	if (more)
		set->units = more;
	r = !u->pack || !u->pack_version || !u->dir || !u->path || !more ? mf_source_no_memory(err)
									 : count_file(set, err);
	if (r == 0)
		r = named ? mf_file_read(u->path, MF_SOURCE_FILE_MAX, &u->text, &len, err)
			  : mf_file_read_below(dir, name, MF_SOURCE_FILE_MAX, &u->text, &len, err);
	if (r == 0)
		r = mf_pack_files_check(files, dir, name, u->text, len, err);
	if (r == 0)
		r = mf_source_guard_check(set, files, dir, name, u->text, len, err);
	if (r == 0 && !*u->pack_version && mf_agentsh_is_name(name)) {
		free(u->pack_version);
		u->pack_version = version_of_text(u->text, len);
		r = u->pack_version ? 0 : mf_source_no_memory(err);
	}
	if (r < 0) {
		mf_source_unit_free(u);
		return r;
	}
	u->pub = (struct mf_policy_source){
		.pack = u->pack,
		.pack_version = u->pack_version,
		.dir = u->dir,
		.chunk = { .name = u->path,
			   .text = u->text,
			   .len = len,
			   .find = mf_source_find_module,
			   .ctx = u },
		.yaml = mf_agentsh_is_name(name),
	};
	set->units[set->cnt++] = u;
	*ret_unit = u;
	return 0;
}

static int list_dir(struct mf_source_set *set, const char *dir, struct mf_file_list *ret,
		    struct mf_err *err)
{
	int r = mf_file_list_dir(dir, ENTRIES_MAX, ret, err);

	if (r == 0)
		r = note_dir(set, dir, err);
	return r;
}

/* Files in tests/ of a pack; of a policy file NAME.lua only tests/NAME.lua and tests/NAME_test.lua. */
static int add_tests_dir(struct mf_source_unit *u, const char *stem, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	char *dir = mf_source_join(u->dir, "tests");
	char name[MF_SOURCE_NAME_MAX + 8];
	int r = 0;

	if (!dir)
		return mf_source_no_memory(err);
	if (mf_file_kind_of(dir) == MF_FILE_DIR)
		r = list_dir(u->set, dir, &list, err);
	for (size_t i = 0; r == 0 && i < list.cnt; i++) {
		const char *file = list.items[i].name;
		size_t n = stem ? strlen(stem) : 0;

		if (!mf_file_name_ends(file, ".lua") || list.items[i].kind == MF_FILE_DIR)
			continue;
		if (stem && (strncmp(file, stem, n) != 0 ||
			     (strcmp(file + n, ".lua") != 0 && strcmp(file + n, "_test.lua") != 0)))
			continue;
		snprintf(name, sizeof(name), "tests/%s", file);
		r = add_test(u, name, err);
	}
	mf_file_list_done(&list);
	free(dir);
	return r;
}

static const char *base_name(const char *path, char *buf, size_t size)
{
	size_t end = strlen(path), start;

	while (end > 1 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/'; start--)
		;
	snprintf(buf, size, "%.*s", (int)(end - start), path + start);
	return buf;
}

static int add_file(struct mf_source_set *set, const char *dir, const char *name, bool named,
		    struct mf_err *err)
{
	struct mf_pack p = { .tier = 1 };
	char test[MF_SOURCE_NAME_MAX + 16], *path;
	int stem = (int)(strrchr(name, '.') - name); /* it has an ending that is a policy's */
	struct mf_source_unit *u;
	int r;

	snprintf(p.name, sizeof(p.name), "%.*s", stem, name);
	r = add_unit(set, dir, name, named, &p, NULL, &u, err);
	if (r < 0)
		return r;
	u->pack_id = set->pack_cnt++;
	snprintf(test, sizeof(test), "%.*s_test.lua", stem, name);
	path = mf_source_join(dir, test);
	if (!path)
		return mf_source_no_memory(err);
	r = mf_file_kind_of(path) == MF_FILE_NONE ? 0 : add_test(u, test, err);
	free(path);
	return r < 0 ? r : add_tests_dir(u, p.name, err);
}

static bool dir_has(const char *dir, const char *name)
{
	char *path = mf_source_join(dir, name);
	bool there = path && mf_file_kind_of(path) != MF_FILE_NONE;

	free(path);
	return there;
}

static bool is_pack(const char *dir)
{
	return dir_has(dir, "pack.lua") || dir_has(dir, "policy.lua");
}

/* The pack's own tests stand at its first policy. */
static int add_pack_tests(struct mf_source_unit *u, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	int r = list_dir(u->set, u->dir, &list, err);

	for (size_t i = 0; r == 0 && i < list.cnt; i++)
		if (mf_file_name_ends(list.items[i].name, "_test.lua"))
			r = add_test(u, list.items[i].name, err);
	mf_file_list_done(&list);
	return r < 0 ? r : add_tests_dir(u, NULL, err);
}

static int add_pack(struct mf_source_set *set, const char *dir, struct mf_pack *p,
		    const struct mf_pack_files *files, struct mf_err *err)
{
	struct mf_source_unit *u, *first = NULL;
	int r = 0;

	if (p->policy_cnt == 0) {
		p->policies[0] = strdup("policy.lua");
		if (!p->policies[0])
			return mf_source_no_memory(err);
		p->policy_cnt = 1;
	}
	for (size_t i = 0; r == 0 && i < p->policy_cnt; i++) {
		r = add_unit(set, dir, p->policies[i], false, p, files, &u, err);
		if (r < 0)
			break;
		u->pack_id = set->pack_cnt;
		if (!first)
			first = u;
	}
	set->pack_cnt++;
	return r < 0 ? r : add_pack_tests(first, err);
}

/* Fills @p from pack.lua where there is one, else from the directory's name. */
static int describe_pack(const char *dir, struct mf_pack *p, struct mf_err *err)
{
	*p = (struct mf_pack){ .tier = 1 };
	base_name(dir, p->name, sizeof(p->name));
	return dir_has(dir, "pack.lua") ? mf_pack_read(dir, p, err) : 0;
}

/* A subdirectory that is a pack, remembered until all are known: they are sorted by their order. */
struct found {
	char *name; /* of a policy file, NULL for a pack */
	char *dir;
	struct mf_pack pack;
	size_t at;
};

static int compare_found(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	if (x->pack.order != y->pack.order)
		return x->pack.order < y->pack.order ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

static bool is_reserved_dir(const char *name)
{
	return strcmp(name, "data") == 0 || strcmp(name, "tests") == 0 || strcmp(name, "lib") == 0;
}

static int find_entry(struct mf_source_set *set, const char *dir, const struct mf_file_entry *e,
		      struct found *f, struct mf_err *err)
{
	char *sub;
	int r = 0;

	if (mf_pack_is_policy_name(e->name) && e->kind != MF_FILE_DIR) {
		f->pack.tier = 1;
		f->name = strdup(e->name);
		return f->name ? 1 : mf_source_no_memory(err);
	}
	if (e->kind != MF_FILE_DIR || is_reserved_dir(e->name))
		return 0;
	sub = mf_source_join(dir, e->name);
	if (!sub)
		return mf_source_no_memory(err);
	r = note_dir(set, sub, err);
	if (r == 0 && is_pack(sub)) {
		r = describe_pack(sub, &f->pack, err);
		if (r == 0) {
			f->dir = sub;
			return 1;
		}
	}
	free(sub);
	return r;
}

static int read_dir(struct mf_source_set *set, const char *dir, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	struct found *found = NULL;
	size_t cnt = 0, before = set->cnt;
	int r = list_dir(set, dir, &list, err);

	if (r == 0 && list.cnt) {
		found = calloc(list.cnt, sizeof(*found));
		if (!found)
			r = mf_source_no_memory(err);
	}
	for (size_t i = 0; r >= 0 && i < list.cnt; i++) {
		r = find_entry(set, dir, &list.items[i], &found[cnt], err);
		if (r > 0) {
			found[cnt].at = cnt;
			cnt++;
		}
	}
	if (r >= 0 && cnt)
		qsort(found, cnt, sizeof(*found), compare_found);
	for (size_t i = 0; r >= 0 && i < cnt; i++)
		r = found[i].dir ? add_pack(set, found[i].dir, &found[i].pack, NULL, err)
				 : add_file(set, dir, found[i].name, false, err);
	for (size_t i = 0; i < cnt; i++) {
		mf_pack_done(&found[i].pack);
		free(found[i].name);
		free(found[i].dir);
	}
	free(found);
	mf_file_list_done(&list);
	if (r >= 0 && set->cnt == before)
		return mf_err_at(err, MF_E_NOENT, dir, 0, 0, "there is no policy in %s", dir);
	return r < 0 ? r : 0;
}

/* *files becomes the set's. */
static int keep_files(struct mf_source_set *set, struct mf_pack_files **files, struct mf_err *err)
{
	struct mf_pack_files **more =
		realloc(set->files, (set->files_cnt + 1) * sizeof(struct mf_pack_files *));

	if (!more)
		return mf_source_no_memory(err);
	set->files = more;
	more[set->files_cnt++] = *files;
	*files = NULL;
	return 0;
}

/* All packs in force of the store @dir, or (with @name) one of them and what it requires. */
static int read_store(struct mf_source_set *set, const char *dir, const char *name,
		      struct mf_err *err)
{
	struct mf_pack_list list;
	int r = note_dir(set, dir, err);

	if (r == 0)
		r = mf_pack_store_list(dir, name, set->session, &list, err);
	if (r < 0)
		return r;
	for (size_t i = 0; r == 0 && i < list.cnt; i++) {
		r = keep_files(set, &list.items[i].files, err);
		if (r == 0)
			r = add_pack(set, list.items[i].dir, &list.items[i].pack,
				     set->files[set->files_cnt - 1], err);
	}
	mf_pack_list_done(&list);
	return r;
}

/* Whether @path is STORE/NAME of an installed pack; *ret_dir, the store, is free()d by the caller */
static bool is_installed(const char *path, char **ret_dir)
{
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return false;
	*ret_dir = strndup(path, (size_t)(slash - path));
	if (*ret_dir && dir_has(*ret_dir, MF_PACK_STATE_FILE))
		return true;
	free(*ret_dir);
	return false;
}

static int read_named_file(struct mf_source_set *set, const char *path, struct mf_err *err)
{
	char name[MF_SOURCE_NAME_MAX + 1], *dir;
	const char *slash = strrchr(path, '/');
	size_t root = mf_file_root_len(path);
	int r;

	base_name(path, name, sizeof(name));
	if ((!mf_file_name_ends(name, ".lua") && !mf_agentsh_is_name(name)) || name[0] == '.')
		return mf_err_at(
			err, MF_E_INVAL, path, 0, 0,
			"%s: a policy file ends in .lua, .yaml or .yml%s", path,
			mf_file_name_ends(name, ".mfpack")
				? "; an archive of a pack is installed ('moonfence pack install') "
				  "and then named by its store"
				: "");
	if (!slash)
		dir = strdup(".");
	else
		dir = strndup(path, (size_t)(slash - path) < root ? root : (size_t)(slash - path));
	if (!dir)
		return mf_source_no_memory(err);
	r = note_dir(set, dir, err);
	if (r == 0)
		r = add_file(set, dir, name, true, err);
	free(dir);
	return r;
}

static int read_clean_path(struct mf_source_set *set, const char *path, struct mf_err *err)
{
	struct mf_pack p;
	char *store;
	int r;

	if (is_installed(path, &store)) {
		r = read_store(set, store, path + strlen(store) + 1, err);
		free(store);
		return r;
	}
	switch (mf_file_kind_of(path)) {
	case MF_FILE_NONE:
		return mf_err_at(err, MF_E_NOENT, path, 0, 0,
				 "there is no policy file or directory %s", path);
	case MF_FILE_DIR:
		if (dir_has(path, MF_PACK_STATE_FILE))
			return read_store(set, path, NULL, err);
		if (!is_pack(path))
			return read_dir(set, path, err);
		r = note_dir(set, path, err);
		if (r == 0)
			r = describe_pack(path, &p, err);
		if (r == 0) {
			r = add_pack(set, path, &p, NULL, err);
			mf_pack_done(&p);
		}
		return r;
	default:
		return read_named_file(set, path, err);
	}
}

int mf_source_read_path(struct mf_source_set *set, const char *path, struct mf_err *err)
{
	char *clean = mf_file_path_dup(path);
	int r = clean ? read_clean_path(set, clean, err) : mf_source_no_memory(err);

	free(clean);
	return r;
}
