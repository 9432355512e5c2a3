/* SPDX-License-Identifier: Apache-2.0 */
/* tree.c - see tree.h */
#include "tests/unit/runtime/tree.h"

#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/os/os.h"

#include <cmocka.h>

char tree_dir[PATH_MAX];

int tree_setup(void **state)
{
	(void)state;
	return test_temp_dir(tree_dir, sizeof(tree_dir));
}

int tree_teardown(void **state)
{
	(void)state;
	return test_remove_tree(tree_dir);
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
		assert_int_equal(test_make_dir(copy), 0);
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
	f = fopen(other, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
	assert_int_equal(fclose(f), 0);
	assert_int_equal(test_rename(other, path), 0);
}

bool tree_link(const char *target, const char *name)
{
	const char *path = tree_path(name);
	char other[PATH_MAX];

	make_dirs(path);
	if (snprintf(other, sizeof(other), "%s~new", path) >= (int)sizeof(other))
		fail_msg("path too long");
	if (test_link(target, other) < 0) {
		print_message("no symbolic links here: %s is left out\n", name);
		return false;
	}
	assert_int_equal(test_rename(other, path), 0);
	return true;
}

void tree_remove(const char *name)
{
	assert_int_equal(remove(tree_path(name)), 0);
}
