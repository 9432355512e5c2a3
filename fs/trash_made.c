/* SPDX-License-Identifier: Apache-2.0 */
/* trash_made.c - see trash_made.h */
#include "fs/trash_made.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int mf_trash_made_add(struct mf_trash_made *made, const char *path,
		      const struct mf_trash_attr *attr, const char *token)
{
	struct mf_trash_made_dir *d;

	if (made->cnt == made->room) {
		size_t room = made->room ? 2 * made->room : 16;
		struct mf_trash_made_dir *dirs = realloc(made->dirs, room * sizeof(*dirs));

		if (!dirs)
			return -ENOMEM;
		made->dirs = dirs;
		made->room = room;
	}
	d = &made->dirs[made->cnt];
	d->path = strdup(path);
	if (!d->path)
		return -ENOMEM;
	d->attr = *attr;
	snprintf(d->token, sizeof(d->token), "%s", token);
	made->cnt++;
	return 0;
}

size_t mf_trash_made_each(struct mf_trash_made *made,
			  int (*finish)(struct mf_trash *t, const struct mf_trash_made_dir *d),
			  struct mf_trash *t)
{
	size_t failed = 0;

	// The innermost first: its mode may not close the way to it, its own changes not the times above.
	while (made->cnt > 0) {
		failed += finish(t, &made->dirs[--made->cnt]) < 0;
		free(made->dirs[made->cnt].path);
	}
	free(made->dirs);
	memset(made, 0, sizeof(*made));
	return failed;
}
