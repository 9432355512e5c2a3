/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse_path.h - libfuse 3's interface of paths, found when a mount is wanted
 *
 * That of macOS comes with FUSE-T or macFUSE, whose headers nobody needs to have to build Moonfence (libfuse_abi_darwin.h);
 * Linux has another front end, and this one for its tests.
 */
#ifndef MF_FS_LIBFUSE_PATH_H
#define MF_FS_LIBFUSE_PATH_H

#ifdef __APPLE__
#include "fs/libfuse_abi_darwin.h"
#else
#define FUSE_USE_VERSION 312
#include <fuse.h>
#endif

#include "core/base/err.h"

struct mf_libfuse_path {
	int (*mount)(struct fuse *f, const char *at);
	void (*unmount)(struct fuse *f);
	void (*destroy)(struct fuse *f);
	void (*exit)(struct fuse *f);
	int (*loop_mt)(struct fuse *f, struct fuse_loop_config *config);
	struct fuse_session *(*get_session)(struct fuse *f);
	struct fuse_context *(*get_context)(void);
	int (*set_signal_handlers)(struct fuse_session *se);
	void (*remove_signal_handlers)(struct fuse_session *se);
	struct fuse_loop_config *(*loop_cfg_create)(void);
	void (*loop_cfg_destroy)(struct fuse_loop_config *config);
	void (*loop_cfg_set_max_threads)(struct fuse_loop_config *config, unsigned value);
	void (*loop_cfg_set_idle_threads)(struct fuse_loop_config *config, unsigned value);
	void (*set_log_func)(fuse_log_func_t fn);
	void (*opt_free_args)(struct fuse_args *args);
	void (*make)(void); /* fuse_new(), by mf_libfuse_path_new() */
};
/* All of them once it is loaded, none before. */
extern struct mf_libfuse_path mf_libfuse_path;

/** mf_libfuse_path_load() - From any thread, any number of times. Return: 0; MF_E_UNSUPPORTED: the text says what is missing and how it comes here */
int mf_libfuse_path_load(struct mf_err *err);

/* ---- what systems do in their own ways ---- */

struct mf_libfuse_path_system {
	const char *const *libraries; /* tried in this order; NULL ends them */
	const char *make, *loop_mt;   /* names of functions */
	const char *install;	      /* what brings it */
};
extern const struct mf_libfuse_path_system mf_libfuse_path_system;

/** mf_libfuse_path_new() - fuse_new(); NULL: it refuses */
struct fuse *mf_libfuse_path_new(struct fuse_args *args, const struct fuse_operations *ops,
				 size_t size, void *data);
/** mf_libfuse_path_options() - Options of a mount of @source, for -o */
void mf_libfuse_path_options(const char *source, char *ret, size_t size);

#endif
