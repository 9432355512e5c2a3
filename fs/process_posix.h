/* SPDX-License-Identifier: Apache-2.0 */
/* process_posix.h - who calls, for struct mf_fs_judge_options */
#ifndef MF_FS_PROCESS_POSIX_H
#define MF_FS_PROCESS_POSIX_H

#include "fs/judge.h"

/** mf_fs_find_process() - What the system says of a process that waits for an answer of ours; see mf_fs_judge_options.find_process */
int mf_fs_find_process(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret);

#endif
