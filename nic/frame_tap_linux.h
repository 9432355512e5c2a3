/* SPDX-License-Identifier: Apache-2.0 */
/* frame_tap_linux.h - frames of a TAP device, of whoever attached a machine to its other side */
#ifndef MF_NIC_FRAME_TAP_LINUX_H
#define MF_NIC_FRAME_TAP_LINUX_H

#include "core/base/err.h"
#include "nic/frame_source.h"

/** mf_frame_tap_open() - Attach to the device @name, made if it is not there. Return: descriptor, MF_E_PERM, MF_E_UNSUPPORTED, MF_E_IO */
int mf_frame_tap_open(const char *name, struct mf_err *err);

/** mf_frame_tap_new() - @fd: of mf_frame_tap_open(), owned from now on, also on failure. Return: 0, MF_E_NOMEM */
int mf_frame_tap_new(int fd, struct mf_frame_source **ret, struct mf_err *err);

#endif
