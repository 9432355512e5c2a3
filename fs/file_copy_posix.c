/* SPDX-License-Identifier: Apache-2.0 */
/* file_copy_posix.c - see file_copy_posix.h (trees: trash_tree_posix.c) */
#include "fs/file_copy_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "fs/fs_sys.h"

#define CHUNK	    (64 << 10)
#define KERNEL_SPAN (UINT64_C(64) << 20)

/* Bytes from one file to the other at the same place, through memory. Return: bytes, 0 at the end, a negative errno */
static int64_t copy_by_hand(int from, int to, int64_t off, uint64_t len, char *buf)
{
	ssize_t n, done = 0;

	do
		n = pread(from, buf, len < CHUNK ? (size_t)len : CHUNK, off);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n < 0 ? -errno : 0;
	while (done < n) {
		ssize_t w = pwrite(to, buf + done, (size_t)(n - done), off + done);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		done += w;
	}
	return n;
}

static int copy_span(int from, int to, int64_t off, int64_t end, char **buf)
{
	bool in_kernel = !*buf;

	while (off < end) {
		uint64_t left = (uint64_t)(end - off);
		int64_t n = -EOPNOTSUPP;

		if (in_kernel)
			n = mf_fs_sys_copy(from, to, off, left < KERNEL_SPAN ? left : KERNEL_SPAN);
		// Other file systems, files of /proc, old kernels: each has its own way to say no, once.
		if (in_kernel && (n == -EOPNOTSUPP || n == -EXDEV || n == -EINVAL || n == -ENOSYS ||
				  n == -EPERM || n == 0)) {
			in_kernel = false;
			if (!*buf)
				*buf = malloc(CHUNK);
			if (!*buf)
				return -ENOMEM;
			n = copy_by_hand(from, to, off, left, *buf);
		} else if (!in_kernel) {
			n = copy_by_hand(from, to, off, left, *buf);
		}
		if (n == -EINTR)
			continue;
		if (n < 0)
			return (int)n;
		if (n == 0) // it became shorter
			return 0;
		off += n;
	}
	return 0;
}

/* What the file holds; holes stay holes where the file system tells of them. */
static int copy_bytes(int from, int to, int64_t size)
{
	int64_t data = 0, hole;
	char *buf = NULL;
	int r = 0;

	while (r == 0 && data < size) {
		int64_t at = lseek(from, data, SEEK_DATA);

		if (at < 0 && errno == ENXIO)
			break;
		hole = at < 0 ? -1 : lseek(from, at, SEEK_HOLE);
		if (at < 0 || hole < 0) { // it does not know
			at = data;
			hole = size;
		}
		r = copy_span(from, to, at, hole < size ? hole : size, &buf);
		data = hole;
	}
	free(buf);
	if (r == 0 && ftruncate(to, size) < 0)
		r = -errno;
	return r;
}

void mf_file_times_of(const struct stat *st, struct timespec ret[2])
{
#ifdef __APPLE__
	ret[0] = st->st_atimespec;
	ret[1] = st->st_mtimespec;
#else
	ret[0] = st->st_atim;
	ret[1] = st->st_mtim;
#endif
}

int mf_file_copy_attrs(int from, int to, const struct stat *st)
{
	struct timespec times[2];
	mode_t mode = st->st_mode & 07777;
	int r;

	// Only root can give files away; somebody else's set-user-ID must not become ours.
	if ((st->st_uid != geteuid() || st->st_gid != getegid()) &&
	    fchown(to, st->st_uid, st->st_gid) < 0) {
		if (errno != EPERM && errno != EINVAL)
			return -errno;
		mode &= 01777;
	}
	r = mf_fs_sys_xattrs(from, to);
	if (r == 0 && fchmod(to, mode) < 0)
		r = -errno;
	mf_file_times_of(st, times);
	if (r == 0 && futimens(to, times) < 0)
		r = -errno;
	return r;
}

int mf_file_copy(int from, const struct stat *st, int to_dir, const char *to, uint64_t max,
		 bool sync, bool *ret_cloned)
{
	int out = openat(to_dir, to, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	int r;

	*ret_cloned = false;
	if (out < 0)
		return -errno;
	r = mf_fs_sys_clone(from, out);
	*ret_cloned = r == 0;
	// All blocks were shared, those behind what the copy is to be as well.
	if (r == 0 && ftruncate(out, st->st_size) < 0)
		r = -errno;
	else if (r < 0)
		r = max && (uint64_t)st->st_size > max ? -EFBIG
						       : copy_bytes(from, out, st->st_size);
	if (r == 0)
		r = mf_file_copy_attrs(from, out, st);
	// Shared blocks are on the disk already, and their owner is in the journal.
	if (r == 0 && !*ret_cloned && sync && fsync(out) < 0)
		r = -errno;
	close(out);
	return r;
}
