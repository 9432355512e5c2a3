/* SPDX-License-Identifier: Apache-2.0 */
/* libfuse_path_darwin.c - see libfuse_path.h: FUSE-T's or macFUSE's library; never run on a Mac yet (docs/macos.md) */
#include <stdio.h>
#include <string.h>

#include "fs/libfuse_path.h"

static const char *const libraries[] = { "/usr/local/lib/libfuse3.4.dylib",
					 "/usr/local/lib/libfuse3.dylib", NULL };

const struct mf_libfuse_path_system mf_libfuse_path_system = {
	.libraries = libraries,
	.make = "_fuse_new_31",
	.loop_mt = "fuse_loop_mt_312",
	.install = "install FUSE-T 1.2 or later, which brings /usr/local/lib/libfuse3.4.dylib: "
		   "'brew install macos-fuse-t/cask/fuse-t', or its package from "
		   "https://www.fuse-t.org (macFUSE 4.10 or later will do, too)",
};

struct fuse *mf_libfuse_path_new(struct fuse_args *args, const struct fuse_operations *ops,
				 size_t size, void *data)
{
	// Of what the structures above were taken; without extensions attributes are struct stat.
	struct libfuse_version version = { .major = 3, .minor = 17, .hotfix = 1 };
	struct fuse *(*make)(struct fuse_args * args, const struct fuse_operations *ops,
			     size_t size, struct libfuse_version *version, void *data) =
		(void *)mf_libfuse_path.make;

	return make(args, ops, size, &version, data);
}

void mf_libfuse_path_options(const char *source, char *ret, size_t size)
{
	const char *slash = strrchr(source, '/');
	char name[64] = "";
	size_t len = 0;

	// What Finder calls it; commas and backslashes mean something in options.
	for (const char *at = slash ? slash + 1 : source; *at && len < sizeof(name) - 1; at++)
		if (*at != ',' && *at != '\\')
			name[len++] = *at;
	name[len] = '\0';
	snprintf(ret, size, "fsname=moonfence,volname=%s", len ? name : "moonfence");
}
