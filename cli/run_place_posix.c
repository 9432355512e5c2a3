/* SPDX-License-Identifier: Apache-2.0 */
/* run_place_posix.c - see run_place.h: a workspace is seen in its own place, in the session's namespace (macOS has no sessions yet) */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/run_place.h"

int mf_run_place_find(const char *workspace, const char *at, struct mf_run_place *ret,
		      struct mf_err *err)
{
	if (at)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "--workspace-at is for Windows: here the command sees a "
				  "workspace in its own place");
	ret->source = realpath(workspace, NULL);
	return ret->source ? 0
			   : mf_err_set(err, errno == ENOENT ? MF_E_NOENT : MF_E_IO, "%s: %s",
					workspace, strerror(errno));
}

// The kernel holds back who looks there before it is served.
int mf_run_place_wait(const struct mf_run_place *place, const _Atomic bool *over,
		      const struct mf_log *log, struct mf_err *err)
{
	(void)place;
	(void)over;
	(void)log;
	(void)err;
	return 0;
}

void mf_run_place_done(struct mf_run_place *place)
{
	free(place->source);
	free(place->directory);
	*place = (struct mf_run_place){ .source = NULL };
}
