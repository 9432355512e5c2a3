/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_ready.h - whether this machine can mount at all; asked before anything is started, and answered with what to do */
#ifndef MF_FS_FUSE_READY_H
#define MF_FS_FUSE_READY_H

#include "core/base/err.h"

enum mf_fuse_need {
	MF_FUSE_MOUNT, /* a mount of this user's: device, library, and fusermount3 for ordinary users */
	MF_FUSE_SESSION, /* a mount in namespaces of our own: device and library */
	MF_FUSE_MOUNTED, /* a device that is mounted already: the library */
	MF_FUSE_NEED_NUM
};

/** mf_fuse_ready() - Return: 0; MF_E_UNSUPPORTED, MF_E_PERM: the text says what is missing and how it comes here */
int mf_fuse_ready(enum mf_fuse_need need, struct mf_err *err);

/**
 * mf_fuse_install_hint() - What installs libfuse 3 and fusermount3 on a distribution
 * @os_release: text of its os-release(5); NULL: none. Return: a phrase, static storage
 */
const char *mf_fuse_install_hint(const char *os_release);

#endif
