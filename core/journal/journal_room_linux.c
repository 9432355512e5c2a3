/* SPDX-License-Identifier: Apache-2.0 */
/* journal_room_linux.c - disk that is ours before it is written to; see journal_int.h */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "core/journal/journal_int.h"

bool mf_journal_set_aside(int fd, size_t room)
{
	struct statvfs vfs;
	struct stat st;
	int r;

	if (fstat(fd, &st) < 0)
		return false;
	do
		r = fallocate(fd, FALLOC_FL_KEEP_SIZE, st.st_size, (off_t)room);
	while (r < 0 && errno == EINTR);
	if (r == 0 || (errno != EOPNOTSUPP && errno != ENOSYS))
		return r == 0;
	return fstatvfs(fd, &vfs) == 0 && (uint64_t)vfs.f_bavail * vfs.f_frsize >= room;
}
