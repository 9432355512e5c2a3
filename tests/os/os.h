/* SPDX-License-Identifier: Apache-2.0 */
/* os.h - what tests want of an operating system: temporary directories, links, pipes */
#ifndef MF_TESTS_OS_H
#define MF_TESTS_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Paths are UTF-8 with "/" between components, on every system. Functions return 0, or -1. */

/** test_temp_dir() - Make a new directory; @ret: its absolute path, no trailing slash */
int test_temp_dir(char *ret, size_t size);
/** test_remove_tree() - Remove a directory and all below it, links not followed */
int test_remove_tree(const char *path);
/** test_make_dir() - Nothing happens when it is there already */
int test_make_dir(const char *path);
/** test_rename() - The target is replaced where it exists */
int test_rename(const char *from, const char *to);
/** test_link() - A symbolic link; -1 also where the system, or the user's rights, have none: say so, and skip */
int test_link(const char *target, const char *path);
/** test_fifo() - Something with a file's name that is none, and that reading could wait for; -1 where there is no such thing */
int test_fifo(const char *path);
/** test_is_private() - Whether nobody but the owner (and the system's masters) may read or write a file */
bool test_is_private(const char *path);
/** test_open_to_others() - Let everybody read a file, or look into a directory */
int test_open_to_others(const char *path);
/** test_give_away() - Make a file somebody else's; -1 also where this user may not */
int test_give_away(const char *path);
/** test_pipe() - Two descriptors: read from [0], write to [1] */
int test_pipe(int fds[2]);
void test_close(int fd);
/** test_cpu_ns() - The CPU time of this thread, cheap enough to be asked for all the time */
uint64_t test_cpu_ns(void);
/** test_cpu_error_ns() - By how much it may be wrong over a span of time */
uint64_t test_cpu_error_ns(void);
void test_set_env(const char *name, const char *value);

#endif
