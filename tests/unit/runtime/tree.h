/* SPDX-License-Identifier: Apache-2.0 */
/* tree.h - a directory of policy files for a test, gone when the test ends */
#ifndef MF_TESTS_TREE_H
#define MF_TESTS_TREE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern char tree_dir[]; /* absolute, no trailing slash */

/* cmocka setup and teardown of one test. */
int tree_setup(void **state);
int tree_teardown(void **state);

/** tree_path() - tree_dir/name; static storage, four at a time */
const char *tree_path(const char *name);
/** tree_write() - Make the file (and its directories) by writing another and renaming it over, as editors do */
void tree_write(const char *name, const char *text);
/** tree_link() - A symbolic link; Return: false where there are none, which it says on the output */
bool tree_link(const char *target, const char *name);
void tree_remove(const char *name);

#endif
