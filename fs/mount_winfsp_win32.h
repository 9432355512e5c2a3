/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mount_winfsp_win32.h - a directory shown as a drive through WinFsp, with the policies between
 *
 *	mf_mount_winfsp_new(&(struct mf_mount_winfsp_options){ .source = "C:\\work", .mountpoint = "X:", .root = "/workspace",
 *			    .policy = pfs }, &m, &err);
 *	mf_mount_winfsp_serve(m);	// until mf_mount_winfsp_stop() or Ctrl-C
 *	mf_mount_winfsp_free(m);
 *
 * How it works
 *
 * Each operation opens what it is about (source_win32.h), asks the policies (policy_fs.h) about where that really is, and then
 * does it to the same handle. What WinFsp's layer leaves out is put in here:
 *
 *	who	is told while something is opened, made or renamed; every handle remembers it. A delete comes without a handle
 *		and without a process: it is taken for that of who opened the name last and has it open still.
 *	delete	comes after the last handle was closed, and its error is not told to anybody: the policies are asked before,
 *		when a program wants to delete (access with MF_WINFSP_DELETE_OK), and again when it happens.
 *	names	are compared without case: policies see them as they are on the disk.
 *	links	that lead elsewhere (junctions, symbolic links) are shown and can be removed, not entered.
 *
 * Threads are WinFsp's, any number at once.
 */
#ifndef MF_FS_MOUNT_WINFSP_WIN32_H
#define MF_FS_MOUNT_WINFSP_WIN32_H

#include "core/base/err.h"
#include "core/base/log.h"
#include "fs/policy_fs.h"
#include "fs/source_win32.h"

struct mf_trash;

#define MF_MOUNT_WINFSP_VOLUME_MAX 32 /* units of a volume's name */

/* All borrowed for the mount's life. */
struct mf_mount_winfsp_options {
	const char *source;	/* directory */
	const char *mountpoint; /* "X:", or a directory that does not exist in one that does */
	const char *root;	/* what policies see in the place of the source: "/workspace" */
	const char *volume;	/* its name; NULL: "moonfence" */
	struct mf_policy_fs *policy;
	struct mf_trash *trash; /* NULL: what would go there is refused */
	const char *session;	/* name, for the trash; may be NULL */
	const struct mf_log *log;
};

struct mf_mount_winfsp;

/**
 * mf_mount_winfsp_new() - Load WinFsp, open the source and make the mount point
 * Return: 0; MF_E_NOENT: WinFsp is not installed, no such source; MF_E_INVAL: options; MF_E_UNSUPPORTED; MF_E_IO: the mount
 * point, the driver; MF_E_NOMEM
 */
int mf_mount_winfsp_new(const struct mf_mount_winfsp_options *options, struct mf_mount_winfsp **ret,
			struct mf_err *err);
/** mf_mount_winfsp_serve() - Once; returns when the mount has ended; Return: 0, MF_E_IO: it could not begin */
int mf_mount_winfsp_serve(struct mf_mount_winfsp *m, struct mf_err *err);
/** mf_mount_winfsp_stop() - From any thread, any number of times, until free */
void mf_mount_winfsp_stop(struct mf_mount_winfsp *m);
/** mf_mount_winfsp_free() - serve has returned or was never called; NULL is fine */
void mf_mount_winfsp_free(struct mf_mount_winfsp *m);
/** mf_mount_winfsp_ready() - Whether the volume answers: the start's questions have been asked */
bool mf_mount_winfsp_ready(struct mf_mount_winfsp *m);

#endif
