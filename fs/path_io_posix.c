/* SPDX-License-Identifier: Apache-2.0 */
/*
 * path_io_posix.c - open files, listing directories; see path_fs.h
 *
 * What an open handle may do was asked when it was opened, and holds while it is open.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "fs/path_fs.h"

#define NOT_OURS (O_TRUNC | O_CREAT | O_EXCL | O_NOFOLLOW | O_APPEND)
#define ALWAYS	 (O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)

/* ---- opening -------------------------------------------------------------------------------------------------------- */

/* Truncation waits until the file is open; who appends does so where the end is then. */
static int open_flags(int flags)
{
#ifdef O_DIRECT
	flags &= ~O_DIRECT; // buffers are not aligned as it wants them
#endif
	return (flags & ~NOT_OURS) | ALWAYS;
}

static unsigned flags_of(int flags)
{
	bool read = (flags & O_ACCMODE) != O_WRONLY, write = (flags & O_ACCMODE) != O_RDONLY;

	return (read ? MF_FS_FLAG_READ : 0) | (write ? MF_FS_FLAG_WRITE : 0) |
	       (flags & O_TRUNC ? MF_FS_FLAG_TRUNCATE : 0) |
	       (flags & O_APPEND ? MF_FS_FLAG_APPEND : 0);
}

static int open_at(struct mf_path_op *op, int flags, struct stat *st)
{
	bool make = op->elsewhere && (flags & O_ACCMODE) != O_RDONLY;
	int open_as = open_flags(flags) | (make ? O_CREAT : 0);
	int fd = openat(op->dir_fd, op->at, open_as, 0644), r = 0;

	if (fd < 0 && errno == EPERM && flags & O_APPEND) // a file that takes nothing else
		fd = openat(op->dir_fd, op->at, open_as | O_APPEND, 0644);
	if (fd < 0)
		return -errno;
	if (fstat(fd, st) < 0)
		r = -errno;
	else if (!S_ISREG(st->st_mode)) // FIFOs and devices are the kernel's own matter
		r = -ENXIO;
	if (r < 0)
		close(fd);
	return r < 0 ? r : fd;
}

static int cut_opened(struct mf_path_op *op, int fd, struct stat *st)
{
	int r = mf_path_keep_before_cut(op, st, 0);

	if (r < 0)
		return r;
	if (ftruncate(fd, 0) < 0 || fstat(fd, st) < 0) {
		r = -errno;
		mf_path_unkeep(op);
	}
	return r;
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
	bool read = (fi->flags & O_ACCMODE) != O_WRONLY,
	     write = (fi->flags & O_ACCMODE) != O_RDONLY, trunc = fi->flags & O_TRUNC, keeps;
	struct mf_path_file *f = NULL;
	int flags = fi->flags, r, fd = -1;
	struct stat st, seen = { 0 };
	struct mf_path_op op;

	r = mf_path_name(&op, path);
	op.act.q.op = mf_fs_op_open(read, write);
	op.act.q.flags = flags_of(flags);
	if (r == 0)
		r = mf_path_ask(&op);
	if (r == 0 && trunc)
		r = mf_path_ask_also(&op, MF_FS_TRUNCATE, op.act.q.flags, 0);
	if (r == 0)
		r = mf_path_locate(&op);
	if (r == 0 && (write || trunc))
		r = mf_path_ask_links(&op, write ? op.act.q.op : MF_FS_TRUNCATE, &seen);
	keeps = r == 0 && write && op.act.verdict.keeps && !op.elsewhere;
	// What is to be kept is read from the same descriptor; what is truncated has to be open for writing.
	if (keeps || (trunc && !write))
		flags = (flags & ~O_ACCMODE) | O_RDWR;
	if (r == 0 && !mf_path_may_open(op.m))
		r = -ENFILE;
	if (r == 0)
		r = fd = open_at(&op, flags, &st);
	// Another file by now: nobody was asked about its names.
	if (fd >= 0 && (write || trunc) && !op.elsewhere &&
	    (st.st_ino != seen.st_ino || st.st_dev != seen.st_dev)) {
		close(fd);
		r = fd = -ESTALE;
	}
	if (fd >= 0) {
		f = mf_path_file_new(op.m, fd, op.elsewhere ? NULL : &st, path, fi->flags);
		r = f ? 0 : -ENOMEM;
	}
	if (r == 0 && trunc)
		r = cut_opened(&op, fd, &st);
	if (r == 0 && keeps)
		r = mf_path_expect_write(&op, f, &st);
	if (r < 0)
		mf_path_file_close(op.m, f);
	else
		fi->fh = (uint64_t)(uintptr_t)f;
	fi->noflush = !write;
	return mf_path_end(&op, r);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
	bool read = (fi->flags & O_ACCMODE) != O_WRONLY,
	     write = (fi->flags & O_ACCMODE) != O_RDONLY;
	struct mf_path_file *f = NULL;
	struct mf_path_op op;
	struct stat st;
	int r = mf_path_begin(&op, path, mf_fs_op_create(read, write),
			      (flags_of(fi->flags) & ~(unsigned)MF_FS_FLAG_TRUNCATE) |
				      MF_FS_FLAG_CREATE |
				      (fi->flags & O_EXCL ? MF_FS_FLAG_EXCLUSIVE : 0),
			      -1),
	    fd;

	op.act.mode = mode & 07777;
	if (r == 0 && !mf_path_may_open(op.m))
		r = -ENFILE;
	if (r == 0) {
		// Somebody else's file of this name was not asked about as one that is there.
		fd = openat(op.dir_fd, op.at, open_flags(fi->flags) | O_CREAT | O_EXCL,
			    mode & 07777);
		r = fd < 0 ? -errno : fstat(fd, &st) < 0 ? -errno : 0;
		// The kernel has taken the caller's umask off already: the server's own must not take more.
		if (r == 0 && mode & 0777 & ~st.st_mode &&
		    fchmod(fd, (st.st_mode | mode) & 07777) < 0)
			r = -errno;
		if (r == 0) {
			f = mf_path_file_new(op.m, fd, op.elsewhere ? NULL : &st, path, fi->flags);
			r = f ? 0 : -ENOMEM;
		} else if (fd >= 0) {
			close(fd);
		}
	}
	if (r == 0) {
		mf_path_made(&op);
		fi->fh = (uint64_t)(uintptr_t)f;
	}
	return mf_path_end(&op, r);
}

static int do_release(const char *path, struct fuse_file_info *fi)
{
	struct mf_fs_caller who;

	(void)path;
	mf_path_file_close(mf_path_here(&who), mf_path_file_of(fi));
	fi->fh = 0;
	return 0;
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

static int do_read(const char *path, char *buf, size_t size, off_t off, struct fuse_file_info *fi)
{
	int fd = mf_path_file_of(fi)->fd;
	size_t done = 0;

	(void)path;
	while (done < size) {
		ssize_t n = pread(fd, buf + done, size - done, off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (int)done : -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int)done;
}

static int write_all(int fd, const char *buf, size_t size, off_t off)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pwrite(fd, buf + done, size - done, off + (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return done ? (int)done : -errno;
		done += (size_t)n;
	}
	return (int)done;
}

/* At the end of the file, wherever that is by now; among those who use the mount one at a time. */
static int append(struct mf_path_file *f, const char *buf, size_t size, off_t off)
{
	struct stat st;
	int r;

	if (!f->inode)
		return write_all(f->fd, buf, size, fstat(f->fd, &st) == 0 ? st.st_size : off);
	pthread_mutex_lock(&f->inode->append);
	r = fstat(f->fd, &st) < 0 ? -errno : write_all(f->fd, buf, size, st.st_size);
	pthread_mutex_unlock(&f->inode->append);
	return r;
}

static int do_write(const char *path, const char *buf, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	struct mf_path_file *f = mf_path_file_of(fi);
	int r = mf_path_before_write(f, (uint64_t)off);

	(void)path;
	if (r < 0)
		return r;
	return f->appends && !fi->writepage ? append(f, buf, size, off)
					    : write_all(f->fd, buf, size, off);
}

static int do_flush(const char *path, struct fuse_file_info *fi)
{
	struct mf_path_file *f = mf_path_file_of(fi);
	int fd;

	(void)path;
	// Only who has written can be told of an error by closing.
	if (!f->writes)
		return 0;
	fd = dup(f->fd);
	return fd < 0 || close(fd) < 0 ? -errno : 0;
}

static int do_fsync(const char *path, int datasync, struct fuse_file_info *fi)
{
	int fd = mf_path_file_of(fi)->fd;

	(void)path;
#ifdef __linux__
	if (datasync)
		return fdatasync(fd) < 0 ? -errno : 0;
#endif
	(void)datasync;
	return fsync(fd) < 0 ? -errno : 0;
}

static int do_fallocate(const char *path, int mode, off_t off, off_t len, struct fuse_file_info *fi)
{
	struct mf_path_file *f = mf_path_file_of(fi);
	int r = mf_path_source_frees(mode) ? mf_path_before_write(f, (uint64_t)off) : 0;

	(void)path;
	return r < 0 ? r : mf_path_source_fallocate(f->fd, mode, off, len);
}

static off_t do_lseek(const char *path, off_t off, int whence, struct fuse_file_info *fi)
{
	off_t at = lseek(mf_path_file_of(fi)->fd, off, whence);

	(void)path;
	return at < 0 ? -errno : at;
}

/* ---- directories ---------------------------------------------------------------------------------------------------- */

static int do_opendir(const char *path, struct fuse_file_info *fi)
{
	struct mf_path_file *f = NULL;
	struct mf_path_op op;
	int r = mf_path_begin(&op, path, MF_FS_LIST, 0, -1), fd;

	if (r == 0 && !mf_path_may_open(op.m))
		r = -ENFILE;
	if (r == 0) {
		fd = openat(op.dir_fd, op.at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		r = fd < 0 ? -errno : 0;
		if (r == 0) {
			f = mf_path_file_new(op.m, fd, NULL, NULL, O_RDONLY);
			r = f ? 0 : -ENOMEM;
		}
	}
	if (r == 0)
		fi->fh = (uint64_t)(uintptr_t)f;
	return mf_path_end(&op, r);
}

static bool is_hidden(const struct mf_path_mount *m, int dir_fd, const struct dirent *e)
{
	struct stat st;

	return m->o.trash && e->d_ino == m->trash_ino &&
	       fstatat(dir_fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       mf_path_is_trash(m, &st);
}

/* A whole listing each time: libfuse keeps it until the directory is read from its beginning again. */
static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t off,
		      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
	struct mf_fs_caller who;
	struct mf_path_mount *m = mf_path_here(&who);
	const struct dirent *e;
	int r = 0, fd;
	DIR *d;

	(void)path;
	(void)off;
	(void)flags;
	fd = fcntl(mf_path_file_of(fi)->fd, F_DUPFD_CLOEXEC, 3);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		r = -errno;
		if (fd >= 0)
			close(fd);
		return r;
	}
	rewinddir(d);
	while (errno = 0, (e = readdir(d)) != NULL) {
		struct stat st = { .st_ino = e->d_ino, .st_mode = (mode_t)DTTOIF(e->d_type) };

		if (!is_hidden(m, dirfd(d), e) &&
		    fill(buf, e->d_name, &st, 0, (enum fuse_fill_dir_flags)0) != 0) {
			errno = ENOMEM;
			break;
		}
	}
	r = -errno;
	closedir(d);
	return r;
}

void mf_path_io_ops(struct fuse_operations *ops)
{
	ops->open = do_open;
	ops->create = do_create;
	ops->release = do_release;
	ops->read = do_read;
	ops->write = do_write;
	ops->flush = do_flush;
	ops->fsync = do_fsync;
	ops->fallocate = do_fallocate;
	ops->lseek = do_lseek;
	ops->opendir = do_opendir;
	ops->readdir = do_readdir;
	ops->releasedir = do_release;
	ops->fsyncdir = do_fsync;
}
