/* SPDX-License-Identifier: Apache-2.0 */
/* trash_made.h - directories that a restore made, and what they will be when it is done: what is put into them changes their times */
#ifndef MF_FS_TRASH_MADE_H
#define MF_FS_TRASH_MADE_H

#include "fs/trash.h"

struct mf_trash_made {
	struct mf_trash_made_dir {
		char *path;
		struct mf_trash_attr attr;	/* .ino 0: only the mode is known */
		char token[MF_TRASH_TOKEN_MAX]; /* of its entry, which then goes; "" */
	} * dirs;
	size_t cnt, room;
};

/** mf_trash_made_add() - Those that are inside others come after them; @token: may be ""; Return: 0, -ENOMEM */
int mf_trash_made_add(struct mf_trash_made *made, const char *path,
		      const struct mf_trash_attr *attr, const char *token);

/**
 * mf_trash_made_each() - Call @finish for all, the innermost first, and forget them
 * @finish: a negative number: it did not become what it was
 * Return: for how many that was so
 */
size_t mf_trash_made_each(struct mf_trash_made *made,
			  int (*finish)(struct mf_trash *t, const struct mf_trash_made_dir *d),
			  struct mf_trash *t);

#endif
