/* SPDX-License-Identifier: Apache-2.0 */
/* process_darwin.h - what macOS tells of a process by its number */
#ifndef MF_CAPTURE_PROCESS_DARWIN_H
#define MF_CAPTURE_PROCESS_DARWIN_H

#include "capture/procargs.h"
#include "core/policy/session.h"

/* Room for what a struct mf_process points to. */
struct mf_process_memory {
	char exe[4096], name[64], user[64];
	char *args; /* what the kernel gave */
	size_t args_room;
	const char *argv[MF_PROCARGS_MAX + 1];
};

/**
 * mf_process_read() - Fill @ret, whose strings lie in @m until the next call
 * Path, parent and user of any process; arguments of one's own user's processes, or as root.
 * Return: 0, MF_E_NOENT
 */
int mf_process_read(uint32_t pid, struct mf_process_memory *m, struct mf_process *ret);
void mf_process_memory_done(struct mf_process_memory *m);

#endif
