/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfuse_linux.h - libfuse 3, found when a mount is wanted
 *
 * Moonfence is used without mounts, too, and on machines without libfuse: so it is not linked but loaded, and what is
 * missing is told of in words instead of by the loader. Include this instead of <fuse_lowlevel.h>; after mf_libfuse_load()
 * its functions are called by their own names. A function more is a line in the list of functions, or of extras, and in that of names.
 */
#ifndef MF_FS_LIBFUSE_LINUX_H
#define MF_FS_LIBFUSE_LINUX_H

#define FUSE_USE_VERSION 312
#include <fuse_lowlevel.h>

#include "core/base/err.h"

#define MF_LIBFUSE_FUNCTIONS(X)             \
	X(fuse_add_direntry)                \
	X(fuse_add_direntry_plus)           \
	X(fuse_buf_copy)                    \
	X(fuse_buf_size)                    \
	X(fuse_lowlevel_notify_inval_inode) \
	X(fuse_opt_free_args)               \
	X(fuse_remove_signal_handlers)      \
	X(fuse_reply_attr)                  \
	X(fuse_reply_buf)                   \
	X(fuse_reply_create)                \
	X(fuse_reply_data)                  \
	X(fuse_reply_entry)                 \
	X(fuse_reply_err)                   \
	X(fuse_reply_ioctl)                 \
	X(fuse_reply_lseek)                 \
	X(fuse_reply_none)                  \
	X(fuse_reply_open)                  \
	X(fuse_reply_readlink)              \
	X(fuse_reply_statfs)                \
	X(fuse_reply_write)                 \
	X(fuse_reply_xattr)                 \
	X(fuse_req_ctx)                     \
	X(fuse_req_userdata)                \
	X(fuse_session_destroy)             \
	X(fuse_session_exit)                \
	X(fuse_session_exited)              \
	X(fuse_session_fd)                  \
	X(fuse_session_mount)               \
	X(fuse_session_new)                 \
	X(fuse_session_process_buf)         \
	X(fuse_session_receive_buf)         \
	X(fuse_session_unmount)             \
	X(fuse_set_log_func)                \
	X(fuse_set_signal_handlers)

/* Those that are NULL where libfuse is older. */
#define MF_LIBFUSE_EXTRAS(X) X(fuse_session_custom_io) /* 3.13 */

struct mf_libfuse {
#define MF_LIBFUSE_MEMBER(name) __typeof__(name) *name;
	MF_LIBFUSE_FUNCTIONS(MF_LIBFUSE_MEMBER)
	MF_LIBFUSE_EXTRAS(MF_LIBFUSE_MEMBER)
#undef MF_LIBFUSE_MEMBER
};
/* All of them but extras once it is loaded, none before. */
extern struct mf_libfuse mf_libfuse;

/** mf_libfuse_load() - From any thread, any number of times. Return: 0; MF_E_UNSUPPORTED: the text says what the loader said */
int mf_libfuse_load(struct mf_err *err);

/** mf_fuse_reply_err() - fuse_reply_err(), unless the request waits for a person: then it is answered later (fuse_hold_linux.h) */
int mf_fuse_reply_err(fuse_req_t req, int err);

#ifndef MF_LIBFUSE_NAMES_OFF
#define fuse_add_direntry		 mf_libfuse.fuse_add_direntry
#define fuse_add_direntry_plus		 mf_libfuse.fuse_add_direntry_plus
#define fuse_buf_copy			 mf_libfuse.fuse_buf_copy
#define fuse_buf_size			 mf_libfuse.fuse_buf_size
#define fuse_lowlevel_notify_inval_inode mf_libfuse.fuse_lowlevel_notify_inval_inode
#define fuse_opt_free_args		 mf_libfuse.fuse_opt_free_args
#define fuse_remove_signal_handlers	 mf_libfuse.fuse_remove_signal_handlers
#define fuse_reply_attr			 mf_libfuse.fuse_reply_attr
#define fuse_reply_buf			 mf_libfuse.fuse_reply_buf
#define fuse_reply_create		 mf_libfuse.fuse_reply_create
#define fuse_reply_data			 mf_libfuse.fuse_reply_data
#define fuse_reply_entry		 mf_libfuse.fuse_reply_entry
#define fuse_reply_err			 mf_fuse_reply_err
#define fuse_reply_ioctl		 mf_libfuse.fuse_reply_ioctl
#define fuse_reply_lseek		 mf_libfuse.fuse_reply_lseek
#define fuse_reply_none			 mf_libfuse.fuse_reply_none
#define fuse_reply_open			 mf_libfuse.fuse_reply_open
#define fuse_reply_readlink		 mf_libfuse.fuse_reply_readlink
#define fuse_reply_statfs		 mf_libfuse.fuse_reply_statfs
#define fuse_reply_write		 mf_libfuse.fuse_reply_write
#define fuse_reply_xattr		 mf_libfuse.fuse_reply_xattr
#define fuse_req_ctx			 mf_libfuse.fuse_req_ctx
#define fuse_req_userdata		 mf_libfuse.fuse_req_userdata
#define fuse_session_custom_io		 mf_libfuse.fuse_session_custom_io
#define fuse_session_destroy		 mf_libfuse.fuse_session_destroy
#define fuse_session_exit		 mf_libfuse.fuse_session_exit
#define fuse_session_exited		 mf_libfuse.fuse_session_exited
#define fuse_session_fd			 mf_libfuse.fuse_session_fd
#define fuse_session_mount		 mf_libfuse.fuse_session_mount
#define fuse_session_new		 mf_libfuse.fuse_session_new
#define fuse_session_process_buf	 mf_libfuse.fuse_session_process_buf
#define fuse_session_receive_buf	 mf_libfuse.fuse_session_receive_buf
#define fuse_session_unmount		 mf_libfuse.fuse_session_unmount
#define fuse_set_log_func		 mf_libfuse.fuse_set_log_func
#define fuse_set_signal_handlers	 mf_libfuse.fuse_set_signal_handlers
#endif

#endif
