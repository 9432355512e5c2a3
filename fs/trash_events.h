/* SPDX-License-Identifier: Apache-2.0 */
/* trash_events.h - what a trash does by itself, told to the audit log: purges, what comes back, and losses that it has no room for */
#ifndef MF_FS_TRASH_EVENTS_H
#define MF_FS_TRASH_EVENTS_H

#include "core/base/log.h"
#include "core/observe/events.h"
#include "fs/trash.h"

/* All borrowed. */
struct mf_trash_teller {
	struct mf_events *events;     /* NULL: none */
	const struct mf_log *log;     /* NULL: none */
	const char *session, *source; /* of events about what no session of this trash lost */
};

/**
 * mf_trash_teller_tell() - An mf_trash_event_fn; @ctx is the struct mf_trash_teller
 * What is put is not told of: the operation that loses it has an event of its own.
 */
void mf_trash_teller_tell(void *ctx, const struct mf_trash_event *event);

#endif
