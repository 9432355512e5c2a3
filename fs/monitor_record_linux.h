/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_record_linux.h - what fanotify tells, taken apart; see fanotify(7) */
#ifndef MF_FS_MONITOR_RECORD_LINUX_H
#define MF_FS_MONITOR_RECORD_LINUX_H

#include <stdint.h>
#include <sys/fanotify.h>

#include "core/base/span.h"

/* Linux 5.17; headers may be older. */
#ifndef FAN_REPORT_TARGET_FID
#define FAN_REPORT_TARGET_FID 0x00001000
#endif
#ifndef FAN_RENAME
#define FAN_RENAME 0x10000000
#endif

/*
 * Handles are the bytes from the file system's id on: 8 of it, 4 of the handle's length, 4 of its type, the handle. All
 * point into what was read; what the event does not have is empty.
 */
struct mf_monitor_record {
	uint64_t mask;
	int32_t pid; /* 0: the kernel does not say */
	struct mf_span dir,
		name; /* rename: the old ones; name ".": the directory itself, for whoever is not told of its parent */
	struct mf_span new_dir, new_name; /* rename */
	struct mf_span object;
};

/**
 * mf_monitor_record_next() - The next one in @data, which moves on
 * Return: 1; 0: there is none; MF_E_BAD: this is no fanotify event, or of another version
 */
int mf_monitor_record_next(struct mf_span *data, struct mf_monitor_record *ret);

#endif
