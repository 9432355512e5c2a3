/* SPDX-License-Identifier: Apache-2.0 */
/* trash_worker_posix.c - the background thread */
#include <errno.h>

#include "fs/trash_int.h"

int mf_trash_worker_start(struct mf_trash *t)
{
	(void)t;
	return 0;
}

void mf_trash_worker_end(struct mf_trash *t)
{
	(void)t;
}

void mf_trash_worker_put(struct mf_trash *t, const struct mf_trash_loss *loss,
			 const struct mf_trash_attr *a, const char *token)
{
	mf_trash_tell(t, &(struct mf_trash_event){ .type = MF_TRASH_EVENT_PUT,
						   .token = token,
						   .path = loss->path,
						   .session = loss->session ? loss->session : "",
						   .text = mf_trash_op_names[loss->op],
						   .size = a->size });
}

int mf_trash_settle(struct mf_trash *t, const char *token)
{
	(void)t;
	return mf_trash_token_ok(token) ? 0 : -EINVAL;
}

void mf_trash_tick(struct mf_trash *t)
{
	(void)t;
}

void mf_trash_drain(struct mf_trash *t)
{
	(void)t;
}
