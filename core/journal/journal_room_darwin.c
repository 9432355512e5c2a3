/* SPDX-License-Identifier: Apache-2.0 */
/* journal_room_darwin.c - see journal_int.h */
#include <sys/statvfs.h>

#include "core/journal/journal_int.h"

bool mf_journal_set_aside(int fd, size_t room)
{
	struct statvfs vfs;

	return fstatvfs(fd, &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize >= room;
}
