/* SPDX-License-Identifier: Apache-2.0 */
/*
 * authority_watch.h - a running command that notices when the local authority was rotated, without being told
 *
 * The directory is looked at every two seconds: what stands there is read whole and takes the place of what was there before.
 */
#ifndef MF_CLI_AUTHORITY_WATCH_H
#define MF_CLI_AUTHORITY_WATCH_H

#include <stdbool.h>

#include "core/base/err.h"

struct event;
struct event_base;
struct mf_tls_authority;

struct mf_authority_watch {
	struct mf_tls_authority *authority; /* borrowed */
	const char *path;		    /* borrowed */
	/* It is another one now (@why NULL), or cannot be read any more: once for each such time. May be NULL */
	void (*changed)(void *ctx, const char *why);
	void *ctx;
	struct event *ev;
	bool broken;
};

/** mf_authority_watch_start() - The first four are the caller's to fill; Return: 0, MF_E_NOMEM */
int mf_authority_watch_start(struct mf_authority_watch *w, struct event_base *base);
/** mf_authority_watch_look() - Now */
void mf_authority_watch_look(struct mf_authority_watch *w);
void mf_authority_watch_stop(struct mf_authority_watch *w); /* also of what was never started */

#endif
