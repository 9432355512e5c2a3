/* SPDX-License-Identifier: Apache-2.0 */
/* pf_system_darwin.h - what the broker's work needs of macOS: struct mf_pf_system, for real */
#ifndef MF_CAPTURE_PF_SYSTEM_DARWIN_H
#define MF_CAPTURE_PF_SYSTEM_DARWIN_H

#include "capture/pf.h"

struct mf_pf_real;

/**
 * mf_pf_real_open() - Open /dev/pf, and lock the record against other brokers
 * @record_path: borrowed until mf_pf_real_close()
 * @ret_system: its functions work until mf_pf_real_close()
 * Return: 0, MF_E_PERM (not root), MF_E_EXIST (another broker runs), MF_E_IO, MF_E_NOMEM
 */
int mf_pf_real_open(const char *record_path, struct mf_pf_real **ret,
		    struct mf_pf_system *ret_system, struct mf_err *err);
void mf_pf_real_close(struct mf_pf_real *real);

#endif
