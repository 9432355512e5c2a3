/* SPDX-License-Identifier: Apache-2.0 */
/*
 * process_tree.h - the processes below one: its children, theirs, and so on
 *
 * Linux: what /proc shows of the caller's PID namespace. Where the root is the subreaper of all that it starts
 * (PR_SET_CHILD_SUBREAPER), none of its offspring can leave the tree, whatever session, group or namespace it makes for itself.
 */
#ifndef MF_BASE_PROCESS_TREE_H
#define MF_BASE_PROCESS_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MF_PROCESS_NAME_MAX 64 /* the kernel's 16, and threads' of its own */

struct mf_process_row {
	int64_t pid, parent;
	bool below;			/* the reader's: true of all that are in the list */
	char name[MF_PROCESS_NAME_MAX]; /* as the process calls itself: any bytes */
};

struct mf_process_tree {
	struct mf_process_row *items; /* by pid */
	size_t cnt, room;
};

/**
 * mf_process_tree_read() - Everybody below @root, which is not in the list itself; @t begins as {0} and may be used again
 * Cost:   one read of each process of the system. What begins or ends meanwhile may be missing
 * Return: 0; MF_E_NOMEM (or more than 4 million): some are missing; MF_E_IO; MF_E_UNSUPPORTED: not on this system
 */
int mf_process_tree_read(struct mf_process_tree *t, int64_t root);
void mf_process_tree_done(struct mf_process_tree *t);

/** mf_process_parent() - Who is the parent of @pid now; 0: nobody, or it is no more */
int64_t mf_process_parent(int64_t pid);

#endif
