/* SPDX-License-Identifier: Apache-2.0 */
/* source.c - reads policies, packs, tests, modules and data files; see source.h for how it works */
#include "core/policy/source.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "core/policy/files.h"
#include "core/policy/pack.h"
#include "core/policy/sandbox.h"

#define DATA_MAX    ((size_t)64 << 20)
#define FILES_MAX   1024  /* policies, tests and modules of a set */
#define ENTRIES_MAX 16384 /* names in one directory */

/* A file that was asked for by name after the first reading: a module or a data file. */
struct extra {
	struct extra *next;
	char *name, *path, *text;
	size_t len;
	int code; /* 0, or why it could not be read: the answer stays the same for the whole generation */
	struct mf_err err;
	struct mf_sandbox_source chunk;
};

struct test_file {
	char *path, *text;
	struct mf_sandbox_source chunk;
};

/* One policy with what belongs to it. */
struct unit {
	struct mf_policy_source pub;
	struct mf_source_set *set;
	unsigned pack_id;
	int tier; /* 0 mandatory, 1 others */
	char *pack, *pack_version, *dir, *path, *text;
	struct test_file *tests;
	size_t test_cnt;
	struct extra *modules, *data; /* under set->lock */
};

struct mf_source_set {
	atomic_uint refs;
	struct mf_source_set *parent; /* of a narrowed set: owns the units */
	struct unit **units;
	size_t cnt, file_cnt;
	unsigned pack_cnt;
	char *stdlib_dir;
	char **dirs; /* listed directories, for the watch */
	size_t dir_cnt;
	pthread_mutex_t lock;
};

static int fail_nomem(struct mf_err *err)
{
	return mf_err_set(err, MF_E_NOMEM, "out of memory while reading policies");
}

static char *join_path(const char *dir, const char *name)
{
	size_t a = strlen(dir), b = strlen(name);
	char *path = malloc(a + b + 2);

	if (!path)
		return NULL;
	while (a > 1 && dir[a - 1] == '/')
		a--;
	memcpy(path, dir, a);
	path[a] = '/';
	memcpy(path + (dir[a - 1] == '/' ? a : a + 1), name, b + 1);
	return path;
}

static void free_extras(struct extra *e)
{
	while (e) {
		struct extra *next = e->next;

		free(e->name);
		free(e->path);
		free(e->text);
		free(e);
		e = next;
	}
}

static void free_unit(struct unit *u)
{
	if (!u)
		return;
	for (size_t i = 0; i < u->test_cnt; i++) {
		free(u->tests[i].path);
		free(u->tests[i].text);
	}
	free(u->tests);
	free_extras(u->modules);
	free_extras(u->data);
	free(u->pack);
	free(u->pack_version);
	free(u->dir);
	free(u->path);
	free(u->text);
	free(u);
}

static void free_set(struct mf_source_set *set)
{
	if (set->parent) {
		mf_source_set_unref(set->parent);
	} else {
		for (size_t i = 0; i < set->cnt; i++)
			free_unit(set->units[i]);
		for (size_t i = 0; i < set->dir_cnt; i++)
			free(set->dirs[i]);
	}
	free(set->units);
	free(set->dirs);
	free(set->stdlib_dir);
	pthread_mutex_destroy(&set->lock);
	free(set);
}

/* --- modules and data ------------------------------------------------------------------------------------------- */

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

static struct extra *find_extra(struct extra *list, const char *name)
{
	while (list && strcmp(list->name, name) != 0)
		list = list->next;
	return list;
}

static struct extra *new_extra(const char *name)
{
	struct extra *e = calloc(1, sizeof(*e));

	if (e)
		e->name = strdup(name);
	if (e && !e->name) {
		free(e);
		return NULL;
	}
	return e;
}

/* Tries one place; true when the search is over, found or not. */
static bool try_module(struct unit *u, struct extra *e, const char *dir, const char *prefix)
{
	char file[MF_SOURCE_NAME_MAX + 16];

	if (!dir || !module_file(e->name, prefix, file, sizeof(file)))
		return false;
	e->code = mf_file_read_below(dir, file, MF_SOURCE_FILE_MAX, &e->text, &e->len, &e->err);
	if (e->code == MF_E_NOENT)
		return false;
	if (e->code == 0) {
		e->path = join_path(dir, file);
		if (!e->path)
			e->code = MF_E_NOMEM;
	}
	e->chunk = (struct mf_sandbox_source){
		.name = e->path, .text = e->text, .len = e->len, .find = u->pub.chunk.find, .ctx = u
	};
	return true;
}

/* A pack's own modules are its business; "moonfence" and what stands below it are always the standard library's. */
static const struct mf_sandbox_source *find_module(void *ctx, const char *name)
{
	struct unit *u = ctx;
	struct mf_source_set *set = u->set;
	struct extra *e;
	bool reserved = strncmp(name, "moonfence", 9) == 0 && (name[9] == '.' || name[9] == '\0');

	if (strlen(name) > MF_SOURCE_NAME_MAX)
		return NULL;
	pthread_mutex_lock(&set->lock);
	e = find_extra(u->modules, name);
	if (!e && set->file_cnt < FILES_MAX && (e = new_extra(name))) {
		set->file_cnt++;
		e->code = MF_E_NOENT;
		if (reserved ||
		    (!try_module(u, e, u->dir, "lib/") && !try_module(u, e, u->dir, "")))
			try_module(u, e, set->stdlib_dir, "");
		e->next = u->modules;
		u->modules = e;
	}
	pthread_mutex_unlock(&set->lock);
	return e && e->code == 0 ? &e->chunk : NULL;
}

int mf_policy_source_data(const struct mf_policy_source *policy, const char *name,
			  const char **ret_text, size_t *ret_len, struct mf_err *err)
{
	struct unit *u = policy->chunk.ctx;
	struct mf_source_set *set = u->set;
	struct extra *e;
	int r;

	pthread_mutex_lock(&set->lock);
	e = find_extra(u->data, name);
	if (!e && set->file_cnt < FILES_MAX && (e = new_extra(name))) {
		set->file_cnt++;
		e->code = mf_file_read_below(u->dir, name, DATA_MAX, &e->text, &e->len, &e->err);
		e->next = u->data;
		u->data = e;
	}
	r = e ? e->code : MF_E_NOMEM;
	pthread_mutex_unlock(&set->lock);
	if (!e)
		return set->file_cnt >= FILES_MAX
			       ? mf_err_set(err, MF_E_LIMIT, "policies name more than %d files",
					    FILES_MAX)
			       : fail_nomem(err);
	if (r < 0) {
		if (err)
			*err = e->err;
		return r;
	}
	*ret_text = e->text;
	*ret_len = e->len;
	return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------------- */

static int note_dir(struct mf_source_set *set, const char *dir, struct mf_err *err)
{
	char **more;

	for (size_t i = 0; i < set->dir_cnt; i++)
		if (strcmp(set->dirs[i], dir) == 0)
			return 0;
	more = realloc(set->dirs, (set->dir_cnt + 1) * sizeof(*more));
	if (!more)
		return fail_nomem(err);
	set->dirs = more;
	more[set->dir_cnt] = strdup(dir);
	if (!more[set->dir_cnt])
		return fail_nomem(err);
	set->dir_cnt++;
	return 0;
}

static int count_file(struct mf_source_set *set, struct mf_err *err)
{
	if (set->file_cnt >= FILES_MAX)
		return mf_err_set(err, MF_E_LIMIT, "more than %d policy and test files", FILES_MAX);
	set->file_cnt++;
	return 0;
}

static int add_test(struct unit *u, const char *name, struct mf_err *err)
{
	struct test_file *more, *t;
	size_t len;
	int r = count_file(u->set, err);

	if (r < 0)
		return r;
	more = realloc(u->tests, (u->test_cnt + 1) * sizeof(*more));
	if (!more)
		return fail_nomem(err);
	u->tests = more;
	t = &more[u->test_cnt];
	*t = (struct test_file){ 0 };
	r = mf_file_read_below(u->dir, name, MF_SOURCE_FILE_MAX, &t->text, &len, err);
	if (r < 0)
		return r;
	u->test_cnt++;
	t->path = join_path(u->dir, name);
	if (!t->path)
		return fail_nomem(err);
	t->chunk = (struct mf_sandbox_source){
		.name = t->path, .text = t->text, .len = len, .find = find_module, .ctx = u
	};
	return 0;
}

/* Reads @name below @dir (or, with @name NULL, the file @dir/@file that the operator named, links followed). */
static int add_unit(struct mf_source_set *set, const char *dir, const char *name, bool named,
		    const struct mf_pack *p, struct unit **ret_unit, struct mf_err *err)
{
	struct unit *u = calloc(1, sizeof(*u)), **more;
	size_t len = 0;
	int r;

	if (!u)
		return fail_nomem(err);
	u->set = set;
	u->tier = p->tier;
	u->pack = strdup(p->name);
	u->pack_version = strdup(p->version);
	u->dir = strdup(dir);
	u->path = join_path(dir, name);
	more = realloc(set->units, (set->cnt + 1) * sizeof(*more));
	if (more)
		set->units = more;
	r = !u->pack || !u->pack_version || !u->dir || !u->path || !more ? fail_nomem(err)
									 : count_file(set, err);
	if (r == 0)
		r = named ? mf_file_read(u->path, MF_SOURCE_FILE_MAX, &u->text, &len, err)
			  : mf_file_read_below(dir, name, MF_SOURCE_FILE_MAX, &u->text, &len, err);
	if (r < 0) {
		free_unit(u);
		return r;
	}
	u->pub = (struct mf_policy_source){
		.pack = u->pack,
		.pack_version = u->pack_version,
		.dir = u->dir,
		.chunk = { .name = u->path,
			   .text = u->text,
			   .len = len,
			   .find = find_module,
			   .ctx = u },
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
static int add_tests_dir(struct unit *u, const char *stem, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	char *dir = join_path(u->dir, "tests");
	char name[MF_SOURCE_NAME_MAX + 8];
	int r = 0;

	if (!dir)
		return fail_nomem(err);
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
	struct unit *u;
	int r;

	snprintf(p.name, sizeof(p.name), "%.*s", (int)(strlen(name) - 4), name);
	r = add_unit(set, dir, name, named, &p, &u, err);
	if (r < 0)
		return r;
	u->pack_id = set->pack_cnt++;
	snprintf(test, sizeof(test), "%.*s_test.lua", (int)(strlen(name) - 4), name);
	path = join_path(dir, test);
	if (!path)
		return fail_nomem(err);
	r = mf_file_kind_of(path) == MF_FILE_NONE ? 0 : add_test(u, test, err);
	free(path);
	return r < 0 ? r : add_tests_dir(u, p.name, err);
}

static bool dir_has(const char *dir, const char *name)
{
	char *path = join_path(dir, name);
	bool there = path && mf_file_kind_of(path) != MF_FILE_NONE;

	free(path);
	return there;
}

static bool is_pack(const char *dir)
{
	return dir_has(dir, "pack.lua") || dir_has(dir, "policy.lua");
}

/* The pack's own tests stand at its first policy. */
static int add_pack_tests(struct unit *u, struct mf_err *err)
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
		    struct mf_err *err)
{
	struct unit *u, *first = NULL;
	int r = 0;

	if (p->policy_cnt == 0) {
		p->policies[0] = strdup("policy.lua");
		if (!p->policies[0])
			return fail_nomem(err);
		p->policy_cnt = 1;
	}
	for (size_t i = 0; r == 0 && i < p->policy_cnt; i++) {
		r = add_unit(set, dir, p->policies[i], false, p, &u, err);
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
		return f->name ? 1 : fail_nomem(err);
	}
	if (e->kind != MF_FILE_DIR || is_reserved_dir(e->name))
		return 0;
	sub = join_path(dir, e->name);
	if (!sub)
		return fail_nomem(err);
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
			r = fail_nomem(err);
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
		r = found[i].dir ? add_pack(set, found[i].dir, &found[i].pack, err)
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

static int read_named_file(struct mf_source_set *set, const char *path, struct mf_err *err)
{
	char name[MF_SOURCE_NAME_MAX + 1], *dir;
	const char *slash = strrchr(path, '/');
	size_t root = mf_file_root_len(path);
	int r;

	base_name(path, name, sizeof(name));
	if (mf_file_name_ends(name, ".yaml") || mf_file_name_ends(name, ".yml"))
		return mf_err_at(err, MF_E_UNSUPPORTED, path, 0, 0,
				 "%s: this version reads policies in Lua only", path);
	if (!mf_file_name_ends(name, ".lua") || strlen(name) < 5)
		return mf_err_at(err, MF_E_INVAL, path, 0, 0, "%s: a policy file ends in .lua",
				 path);
	if (!slash)
		dir = strdup(".");
	else
		dir = strndup(path, (size_t)(slash - path) < root ? root : (size_t)(slash - path));
	if (!dir)
		return fail_nomem(err);
	r = note_dir(set, dir, err);
	if (r == 0)
		r = add_file(set, dir, name, true, err);
	free(dir);
	return r;
}

static int read_clean_path(struct mf_source_set *set, const char *path, struct mf_err *err)
{
	struct mf_pack p;
	int r;

	switch (mf_file_kind_of(path)) {
	case MF_FILE_NONE:
		return mf_err_at(err, MF_E_NOENT, path, 0, 0,
				 "there is no policy file or directory %s", path);
	case MF_FILE_DIR:
		if (!is_pack(path))
			return read_dir(set, path, err);
		r = note_dir(set, path, err);
		if (r == 0)
			r = describe_pack(path, &p, err);
		if (r == 0) {
			r = add_pack(set, path, &p, err);
			mf_pack_done(&p);
		}
		return r;
	default:
		return read_named_file(set, path, err);
	}
}

static int read_path(struct mf_source_set *set, const char *path, struct mf_err *err)
{
	char *clean = mf_file_path_dup(path);
	int r = clean ? read_clean_path(set, clean, err) : fail_nomem(err);

	free(clean);
	return r;
}

/* Mandatory packs first; otherwise the order stays. */
static void sort_tiers(struct mf_source_set *set, struct unit **scratch)
{
	size_t n = 0;

	for (int tier = 0; tier < 2; tier++)
		for (size_t i = 0; i < set->cnt; i++)
			if (set->units[i]->tier == tier)
				scratch[n++] = set->units[i];
	memcpy(set->units, scratch, n * sizeof(*scratch));
}

static struct mf_source_set *new_set(void)
{
	struct mf_source_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	atomic_init(&set->refs, 1);
	if (pthread_mutex_init(&set->lock, NULL)) {
		free(set);
		return NULL;
	}
	return set;
}

int mf_source_set_read(const char *const *paths, size_t path_cnt, const char *stdlib_dir,
		       struct mf_source_set **ret_set, struct mf_err *err)
{
	struct mf_source_set *set = new_set();
	struct unit **scratch;
	int r = 0;

	if (!set)
		return fail_nomem(err);
	if (stdlib_dir && !(set->stdlib_dir = mf_file_path_dup(stdlib_dir)))
		r = fail_nomem(err);
	for (size_t i = 0; r == 0 && i < path_cnt; i++)
		r = read_path(set, paths[i], err);
	if (r == 0 && set->cnt) {
		scratch = calloc(set->cnt, sizeof(*scratch));
		if (scratch)
			sort_tiers(set, scratch);
		else
			r = fail_nomem(err);
		free(scratch);
	}
	if (r < 0) {
		free_set(set);
		return r;
	}
	*ret_set = set;
	return 0;
}

int mf_source_set_narrow(struct mf_source_set *set, size_t policy, struct mf_source_set **ret_set)
{
	struct mf_source_set *root = set->parent ? set->parent : set, *one = new_set();
	unsigned id = set->units[policy]->pack_id;

	if (!one)
		return MF_E_NOMEM;
	one->units = calloc(set->cnt, sizeof(*one->units));
	if (!one->units) {
		free_set(one);
		return MF_E_NOMEM;
	}
	for (size_t i = 0; i < set->cnt; i++)
		if (set->units[i]->pack_id == id)
			one->units[one->cnt++] = set->units[i];
	one->parent = mf_source_set_ref(root);
	*ret_set = one;
	return 0;
}

struct mf_source_set *mf_source_set_ref(struct mf_source_set *set)
{
	atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
	return set;
}

void mf_source_set_unref(struct mf_source_set *set)
{
	if (set && atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) == 1)
		free_set(set);
}

size_t mf_source_set_count(const struct mf_source_set *set)
{
	return set->cnt;
}

const struct mf_policy_source *mf_source_set_policy(const struct mf_source_set *set, size_t i)
{
	return &set->units[i]->pub;
}

size_t mf_source_set_test_count(const struct mf_source_set *set, size_t policy)
{
	return set->units[policy]->test_cnt;
}

const struct mf_sandbox_source *mf_source_set_test(const struct mf_source_set *set, size_t policy,
						   size_t i)
{
	return &set->units[policy]->tests[i].chunk;
}

static bool same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && memcmp(a, b, a_len) == 0;
}

static bool same_chunk(const struct mf_sandbox_source *a, const struct mf_sandbox_source *b)
{
	return strcmp(a->name, b->name) == 0 && same_text(a->text, a->len, b->text, b->len);
}

static bool same_unit(const struct unit *a, const struct unit *b)
{
	if (!same_chunk(&a->pub.chunk, &b->pub.chunk) || a->test_cnt != b->test_cnt ||
	    strcmp(a->pack, b->pack) != 0 || strcmp(a->pack_version, b->pack_version) != 0)
		return false;
	for (size_t i = 0; i < a->test_cnt; i++)
		if (!same_chunk(&a->tests[i].chunk, &b->tests[i].chunk))
			return false;
	return true;
}

/* Asks the new unit for what the old one was asked for. */
static bool same_extras(struct unit *old, struct unit *new)
{
	struct mf_err err;

	for (struct extra *e = old->modules; e; e = e->next) {
		const struct mf_sandbox_source *now = find_module(new, e->name);

		if ((now == NULL) != (e->code != 0) || (now && !same_chunk(now, &e->chunk)))
			return false;
	}
	for (struct extra *e = old->data; e; e = e->next) {
		const char *text = NULL;
		size_t len = 0;
		int r = mf_policy_source_data(&new->pub, e->name, &text, &len, &err);

		if (r != e->code || (r == 0 && !same_text(text, len, e->text, e->len)))
			return false;
	}
	return true;
}

bool mf_source_set_is_current(struct mf_source_set *set, const char *const *paths, size_t path_cnt)
{
	struct mf_source_set *now;
	bool same;

	if (mf_source_set_read(paths, path_cnt, set->stdlib_dir, &now, NULL) < 0)
		return false;
	pthread_mutex_lock(&set->lock);
	same = set->cnt == now->cnt;
	for (size_t i = 0; same && i < set->cnt; i++)
		same = same_unit(set->units[i], now->units[i]) &&
		       same_extras(set->units[i], now->units[i]);
	pthread_mutex_unlock(&set->lock);
	mf_source_set_unref(now);
	return same;
}

static void tell_dir_of(const char *dir, const char *file, void (*fn)(void *ctx, const char *dir),
			void *ctx)
{
	char *path = join_path(dir, file);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (slash && slash != path) {
		*slash = '\0';
		fn(ctx, path);
	}
	free(path);
}

/* Where a module was found, or where it would have been. */
static void each_module_dir(const struct unit *u, void (*fn)(void *ctx, const char *dir), void *ctx)
{
	char file[MF_SOURCE_NAME_MAX + 16];

	for (const struct extra *e = u->modules; e; e = e->next) {
		if (module_file(e->name, "lib/", file, sizeof(file)))
			tell_dir_of(u->dir, file, fn, ctx);
		if (module_file(e->name, "", file, sizeof(file)))
			tell_dir_of(u->dir, file, fn, ctx);
	}
}

static void each_data_dir(const struct unit *u, void (*fn)(void *ctx, const char *dir), void *ctx)
{
	for (const struct extra *e = u->data; e; e = e->next)
		if (e->code != MF_E_PERM)
			tell_dir_of(u->dir, e->name, fn, ctx);
}

void mf_source_set_each_dir(struct mf_source_set *set, void (*fn)(void *ctx, const char *dir),
			    void *ctx)
{
	pthread_mutex_lock(&set->lock);
	for (size_t i = 0; i < set->dir_cnt; i++)
		fn(ctx, set->dirs[i]);
	for (size_t i = 0; i < set->cnt; i++) {
		each_module_dir(set->units[i], fn, ctx);
		each_data_dir(set->units[i], fn, ctx);
	}
	pthread_mutex_unlock(&set->lock);
}
