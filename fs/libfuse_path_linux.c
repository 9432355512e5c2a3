/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse_path_linux.c - see libfuse_path.h; for tests of the front end that macOS has */
#include <stdio.h>
#include <unistd.h>

#include "fs/libfuse_path.h"

/* The number that the headers belong to: structures changed with it. */
#if FUSE_MAJOR_VERSION == 3 && FUSE_MINOR_VERSION < 17
#define LIBRARY "libfuse3.so.3"
#else
#define LIBRARY "libfuse3.so.4"
#endif

static const char *const libraries[] = { LIBRARY, NULL };

const struct mf_libfuse_path_system mf_libfuse_path_system = {
	.libraries = libraries,
	.make = "fuse_new",
	.loop_mt = "fuse_loop_mt",
	.install = "install FUSE 3",
};

struct fuse *mf_libfuse_path_new(struct fuse_args *args, const struct fuse_operations *ops,
				 size_t size, void *data)
{
	struct fuse *(*make)(struct fuse_args * args, const struct fuse_operations *ops,
			     size_t size, void *data) = (void *)mf_libfuse_path.make;

	return make(args, ops, size, data);
}

void mf_libfuse_path_options(const char *source, char *ret, size_t size)
{
	(void)source;
	snprintf(ret, size, "fsname=moonfence,subtype=moonfence%s",
		 access("/usr/bin/fusermount3", X_OK) < 0 ? "" : ",auto_unmount");
}
