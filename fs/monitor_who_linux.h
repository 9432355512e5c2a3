/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor_who_linux.h - who did what is told of afterwards: processes that may have gone by then
 *
 * What is known of a process is remembered by its id, from when it was first heard of, and looked at again while it is there.
 *
 * Whose session it belongs to is told by its user namespace: that of the session, or one that began in it. A process that has
 * gone before anybody looked is known all the same if it opened a file, as every program does when it starts: marks on the
 * session's own mounts tell of that, and no other process can open files through those.
 */
#ifndef MF_FS_MONITOR_WHO_LINUX_H
#define MF_FS_MONITOR_WHO_LINUX_H

#include "core/base/log.h"
#include "fs/judge.h"

struct mf_monitor_who;

enum mf_monitor_whose {
	MF_MONITOR_OURS, /* the session's; of everybody, where there is no session */
	MF_MONITOR_OTHERS,
	MF_MONITOR_UNKNOWN, /* it has gone, and was not heard of before */
	MF_MONITOR_WHOSE_NUM
};

/** mf_monitor_who_new() - @session_pid: a process of the session, alive; 0: everybody is ours. Return: 0, MF_E_NOMEM, MF_E_NOENT, MF_E_IO */
int mf_monitor_who_new(int64_t session_pid, const struct mf_log *log, struct mf_monitor_who **ret,
		       struct mf_err *err);
void mf_monitor_who_free(struct mf_monitor_who *who);

/** mf_monitor_who_knows_the_dead() - Whether the session's mounts are marked */
bool mf_monitor_who_knows_the_dead(const struct mf_monitor_who *who);

/** mf_monitor_who_hear() - Take in which processes opened files in the session; before asking whose what happened so far was */
void mf_monitor_who_hear(struct mf_monitor_who *who);

/** mf_monitor_who_look() - Remember what can be known of @pid now. Cost: one /proc file when it is known already */
void mf_monitor_who_look(struct mf_monitor_who *who, int32_t pid);

enum mf_monitor_whose mf_monitor_who_is(const struct mf_monitor_who *who, int32_t pid);

/** mf_monitor_who_caller() - Ids, as far as known */
struct mf_fs_caller mf_monitor_who_caller(const struct mf_monitor_who *who, int32_t pid);

/** mf_monitor_who_find() - For mf_fs_judge_options.find_process; @ctx: the struct mf_monitor_who */
int mf_monitor_who_find(void *ctx, const struct mf_fs_caller *caller, struct mf_process *ret);

#endif
