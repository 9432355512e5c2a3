/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ask_tree_posix.h - what a rename of a directory means for what lies in it
 *
 * Policies speak of paths, and all paths below a directory change with its name: "secret/plan" that nobody may read is
 * "open/plan" for whoever may rename "secret". So each of them is asked about as if it were renamed by itself. A tree that
 * is too big or too deep for that is refused with EXDEV, upon which programs copy and remove file by file.
 */
#ifndef MF_FS_ASK_TREE_POSIX_H
#define MF_FS_ASK_TREE_POSIX_H

#include "fs/policy_fs.h"

struct mf_trash;

/* Of the directory, as policies see them. */
struct mf_fs_tree_names {
	const char *old, *new;
	size_t old_len, new_len;
};

/**
 * mf_fs_ask_tree() - If @name in @dir_fd is a directory: about all that lies in it, in the seat of @a, whose verdict becomes the strictest
 * @trash: may be NULL; a tree that has it within is refused (EACCES)
 * Cost: one directory entry read and two questions asked a file, about a microsecond.
 * Return: 0, -errno: refused; -EXDEV: too big, too deep or redirected
 */
int mf_fs_ask_tree(struct mf_policy_fs *pfs, struct mf_fs_act *a, const struct mf_trash *trash,
		   int dir_fd, const char *name, const struct mf_fs_tree_names *names);

#endif
