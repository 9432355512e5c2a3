/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - see tree.h */
#include "packs/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"
#include "core/policy/pack.h"

void mf_pack_tree_done(struct mf_pack_tree *tree)
{
	for (size_t i = 0; i < tree->cnt; i++)
		free(tree->files[i].owned);
	free(tree->files);
	*tree = (struct mf_pack_tree){ 0 };
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c;
}

/* In this order what stands below a directory follows what has the directory's own name, and nothing is between. */
static uint8_t rank(char c)
{
	return c == '/' ? 1 : (uint8_t)lower(c);
}

/* What is wrong with a path, or NULL. */
static const char *path_fault(const char *path)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+@=,-";
	size_t depth = 0;

	if (strlen(path) > MF_PACK_PATH_MAX)
		return "is longer than 99 bytes";
	for (const char *p = path;; p++) {
		char name[MF_PACK_PATH_MAX + 1];
		size_t len = strcspn(p, "/");

		if (len == 0)
			return "has an empty component";
		if (strspn(p, chars) < len)
			return "has a character that is not portable";
		if (p[0] == '.' || p[len - 1] == '.')
			return "has a component that begins or ends with \".\"";
		if (++depth > MF_PACK_DEPTH_MAX)
			return "has more than 8 components";
		for (size_t i = 0; i < len; i++)
			name[i] = lower(p[i]);
		name[len] = '\0';
		if (mf_pack_is_device(name))
			return "has a component that Windows takes for a device";
		p += len;
		if (!*p)
			return NULL;
	}
}

int mf_pack_tree_add(struct mf_pack_tree *tree, const char *path, const void *data, size_t len,
		     void *owned, struct mf_err *err)
{
	const char *fault = path_fault(path);
	struct mf_pack_file *f;
	int r;

	if (fault)
		r = mf_err_set(err, MF_E_BAD, "the path \"%.120s\" %s", path, fault);
	else if (tree->cnt == MF_PACK_FILES_MAX)
		r = mf_err_set(err, MF_E_LIMIT, "a pack has at most %d files", MF_PACK_FILES_MAX);
	else if (len > MF_PACK_BYTES_MAX - tree->bytes)
		r = mf_err_set(err, MF_E_LIMIT, "a pack has at most %zu MiB",
			       MF_PACK_BYTES_MAX >> 20);
	else
		r = 0;
	/* Room for 1, 2, 4 ... files. */
	if (r == 0 && (tree->cnt & (tree->cnt - 1)) == 0) {
		f = realloc(tree->files, (tree->cnt ? tree->cnt * 2 : 1) * sizeof(*f));
		if (f)
			tree->files = f;
		else
			r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	if (r < 0) {
		free(owned);
		return r;
	}
	f = &tree->files[tree->cnt++];
	*f = (struct mf_pack_file){ .data = data, .len = len, .owned = owned };
	snprintf(f->path, sizeof(f->path), "%s", path);
	tree->bytes += len;
	return 0;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct mf_pack_file *)a)->path,
		      ((const struct mf_pack_file *)b)->path);
}

static int by_folded_path(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;

	while (*x && rank(*x) == rank(*y))
		x++, y++;
	return rank(*x) - rank(*y);
}

/* Whether two neighbours in that order are one file, a file and its directory, or in directories that only case tells apart. */
static bool clash(const char *a, const char *b)
{
	size_t n = 0, dir = 0;

	while (a[n] && rank(a[n]) == rank(b[n]))
		if (a[n++] == '/')
			dir = n;
	return (!a[n] && (!b[n] || b[n] == '/')) || memcmp(a, b, dir) != 0;
}

static int check_clashes(const char **paths, size_t cnt, struct mf_err *err)
{
	for (size_t i = 1; i < cnt; i++)
		if (clash(paths[i - 1], paths[i]))
			return mf_err_set(
				err, MF_E_BAD,
				"\"%s\" and \"%s\" cannot be beside each other on every system",
				paths[i - 1], paths[i]);
	return 0;
}

int mf_pack_tree_seal(struct mf_pack_tree *tree, struct mf_err *err)
{
	const char **paths = calloc(tree->cnt + 1, sizeof(*paths));
	int r;

	if (!paths)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (tree->cnt)
		qsort(tree->files, tree->cnt, sizeof(*tree->files), by_path);
	for (size_t i = 0; i < tree->cnt; i++)
		paths[i] = tree->files[i].path;
	if (tree->cnt)
		qsort(paths, tree->cnt, sizeof(*paths), by_folded_path);
	r = check_clashes(paths, tree->cnt, err);
	free(paths);
	return r;
}

static int read_below(const char *root, const char *prefix, unsigned depth,
		      struct mf_pack_tree *tree, struct mf_err *err);

static int read_entry(const char *root, const char *prefix, unsigned depth,
		      const struct mf_file_entry *e, struct mf_pack_tree *tree, struct mf_err *err)
{
	char path[MF_PACK_PATH_MAX + 2], *text;
	size_t len;
	int r;

	if (snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "/" : "", e->name) >
	    MF_PACK_PATH_MAX)
		return mf_err_set(err, MF_E_BAD, "%s: the path \"%s/%s\" is longer than %d bytes",
				  root, prefix, e->name, MF_PACK_PATH_MAX);
	if (e->kind == MF_FILE_DIR)
		return read_below(root, path, depth + 1, tree, err);
	if (e->kind != MF_FILE_REGULAR)
		return mf_err_set(err, MF_E_BAD, "%s/%s is neither a file nor a directory", root,
				  path);
	r = mf_file_read_below(root, path, MF_PACK_BYTES_MAX - tree->bytes, &text, &len, err);
	return r < 0 ? r : mf_pack_tree_add(tree, path, text, len, text, err);
}

static int read_below(const char *root, const char *prefix, unsigned depth,
		      struct mf_pack_tree *tree, struct mf_err *err)
{
	struct mf_file_list list = { 0 };
	char dir[4096];
	int r;

	if (depth > MF_PACK_DEPTH_MAX)
		return mf_err_set(err, MF_E_BAD, "%s/%s is too deep for a pack", root, prefix);
	if (snprintf(dir, sizeof(dir), "%s%s%s", root, *prefix ? "/" : "", prefix) >=
	    (int)sizeof(dir))
		return mf_err_set(err, MF_E_LIMIT, "a path below %s is too long", root);
	r = mf_file_list_dir(dir, MF_PACK_FILES_MAX, &list, err);
	for (size_t i = 0; r == 0 && i < list.cnt; i++)
		r = read_entry(root, prefix, depth, &list.items[i], tree, err);
	mf_file_list_done(&list);
	return r;
}

int mf_pack_tree_read(const char *dir, struct mf_pack_tree *ret, struct mf_err *err)
{
	int r;

	*ret = (struct mf_pack_tree){ 0 };
	r = read_below(dir, "", 1, ret, err);
	if (r == 0)
		r = mf_pack_tree_seal(ret, err);
	if (r < 0)
		mf_pack_tree_done(ret);
	return r;
}

const struct mf_pack_file *mf_pack_tree_find(const struct mf_pack_tree *tree, const char *path)
{
	for (size_t i = 0; i < tree->cnt; i++)
		if (strcmp(tree->files[i].path, path) == 0)
			return &tree->files[i];
	return NULL;
}
