/* SPDX-License-Identifier: Apache-2.0 */
/* daemon_trash.h - the daemon's /v1/trash: what was deleted, replaced and truncated, listed, restored, purged */
#ifndef MF_CLI_DAEMON_TRASH_H
#define MF_CLI_DAEMON_TRASH_H

#include "core/observe/events.h"
#include "daemon/api.h"
#include "daemon/work.h"

struct mf_daemon_trash;

/**
 * mf_daemon_trash_new() - @work: its thread does what waits for disks; @events: told of what comes back and what is purged, may be NULL
 * Both borrowed. Return: 0; MF_E_NOMEM, those of mf_api_add()
 */
int mf_daemon_trash_new(struct mf_api *api, struct mf_work *work, struct mf_events *events,
			struct mf_daemon_trash **ret, struct mf_err *err);
void mf_daemon_trash_free(struct mf_daemon_trash *t); /* after the API and the work; NULL is fine */

#endif
