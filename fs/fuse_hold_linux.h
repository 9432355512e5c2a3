/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuse_hold_linux.h - requests of the kernel that wait until a person has answered (core/approve/approve.h)
 *
 * How it works
 *
 * An operation whose question is an ask that nobody has answered ends as a refused one does, before it has done anything; only
 * its answer (fuse_reply_err(), which is mf_fuse_reply_err()) is held back, and the request's bytes are kept. Once it is
 * answered, or its time is over, a thread of the holder's serves these bytes from the beginning, as if the kernel had
 * sent them then: policies, names and rights are looked at anew. No serving thread and no seat waits meanwhile; in the kernel
 * only the caller does, and whoever wants what the kernel has locked for it (a directory in which it makes or removes a name).
 *
 * A caller that is killed, or gets a signal, interrupts its request: it ends with EINTR, and its question with it.
 */
#ifndef MF_FS_FUSE_HOLD_LINUX_H
#define MF_FS_FUSE_HOLD_LINUX_H

#include "core/approve/approve.h"
#include "fs/libfuse_linux.h"

struct mf_fuse_holder;

/** mf_fuse_holder_new() - Starts its thread; Return: 0, MF_E_NOMEM, MF_E_FULL */
int mf_fuse_holder_new(struct fuse_session *se, struct mf_approvals *approvals,
		       struct mf_fuse_holder **ret, struct mf_err *err);
/** mf_fuse_holder_free() - No thread serves any longer; what waits is forgotten. NULL is fine */
void mf_fuse_holder_free(struct mf_fuse_holder *holder);

/** mf_fuse_holder_serve() - fuse_session_process_buf() of a request that may have to wait */
void mf_fuse_holder_serve(struct mf_fuse_holder *holder, struct fuse_buf *buf);

/* For the judge (struct mf_fs_hold_ops): of the request that the calling thread serves; @ctx: the holder */
const struct mf_approve_grants *mf_fuse_holder_grants(void *ctx);
bool mf_fuse_holder_wait(void *ctx, const struct mf_approve_question *q);

#endif
