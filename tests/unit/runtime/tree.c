/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - see tree.h */
#include "tests/unit/runtime/tree.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

char tree_dir[PATH_MAX];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

int tree_setup(void **state)
{
	const char *tmp = getenv("TMPDIR");

	(void)state;
	snprintf(tree_dir, sizeof(tree_dir), "%s/mf-tree-XXXXXX", tmp ? tmp : "/tmp");
	return mkdtemp(tree_dir) ? 0 : -1;
}

int tree_teardown(void **state)
{
	(void)state;
	return nftw(tree_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *tree_path(const char *name)
{
	static char paths[4][PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 4];

	if (snprintf(path, PATH_MAX, "%s/%s", tree_dir, name) >= PATH_MAX)
		fail_msg("path too long");
	return path;
}

static void make_dirs(const char *path)
{
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	for (char *p = copy + strlen(tree_dir) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(copy, 0755);
		*p = '/';
	}
}

void tree_write(const char *name, const char *text)
{
	const char *path = tree_path(name);
	char other[PATH_MAX];
	FILE *f;

	make_dirs(path);
	if (snprintf(other, sizeof(other), "%s~new", path) >= (int)sizeof(other))
		fail_msg("path too long");
	f = fopen(other, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(other, path), 0);
}

void tree_link(const char *target, const char *name)
{
	const char *path = tree_path(name);
	char other[PATH_MAX];

	make_dirs(path);
	if (snprintf(other, sizeof(other), "%s~new", path) >= (int)sizeof(other))
		fail_msg("path too long");
	assert_int_equal(symlink(target, other), 0);
	assert_int_equal(rename(other, path), 0);
}

void tree_remove(const char *name)
{
	assert_int_equal(remove(tree_path(name)), 0);
}
