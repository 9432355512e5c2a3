/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fs_host.h - what `mount` and `watch` share: policies, events, labels and a name for what they do with one directory
 *
 * A command's table of options uses enum mf_fs_host_option for these and begins its own at MF_FS_HOST_OPTION_NUM; what it does not know itself
 * it gives to mf_fs_host_take().
 */
#ifndef MF_CLI_FS_HOST_H
#define MF_CLI_FS_HOST_H

#include "cli/label_options.h"
#include "cli/policy_host.h"

enum mf_fs_host_option {
	MF_FS_HOST_POLICY = 1,
	MF_FS_HOST_EVENTS,
	MF_FS_HOST_EVENTS_ROTATE,
	MF_FS_HOST_EVENTS_STRICT,
	MF_FS_HOST_SESSION,
	MF_FS_HOST_LABEL,
	MF_FS_HOST_VAR,
	MF_FS_HOST_TRUST_STORE,
	MF_FS_HOST_SIGNING,
	MF_FS_HOST_ROOT,
	MF_FS_HOST_NO_WATCH,
	MF_FS_HOST_VERBOSE,
	MF_FS_HOST_OPTION_NUM,
};

struct mf_fs_host {
	struct mf_policy_host policies;
	struct mf_label_options labels;
	char id[64];	  /* of the session */
	const char *root; /* path that policies see for the directory; NULL: its own */
};

/** mf_fs_host_init() - @h must not move afterwards */
void mf_fs_host_init(struct mf_fs_host *h);

/** mf_fs_host_take() - One option; Return: 0, or the exit status of wrong usage, which was told */
int mf_fs_host_take(const struct mf_usage *usage, struct mf_fs_host *h,
		    enum mf_fs_host_option option, const char *value);

/**
 * mf_fs_host_load() - Load the policies; a session that was given no name gets one; events are the command's to open before
 * @command: begins that name
 * @dir: agentsh's PROJECT_ROOT, where no --root was given
 * @ret_status: where to end with after an error: a policy's fault or a failed set-up
 */
int mf_fs_host_load(struct mf_fs_host *h, const char *command, const char *dir, int *ret_status,
		    struct mf_err *err);

void mf_fs_host_done(struct mf_fs_host *h);

#endif
