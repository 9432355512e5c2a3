/* SPDX-License-Identifier: Apache-2.0 */
/* fs_host.c - see fs_host.h */
#include "cli/fs_host.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"

void mf_fs_host_init(struct mf_fs_host *h)
{
	mf_policy_host_init(&h->policies);
}

int mf_fs_host_take(const struct mf_usage *usage, struct mf_fs_host *h,
		    enum mf_fs_host_option option, const char *value)
{
	switch (option) {
	case MF_FS_HOST_POLICY:
		return mf_policy_host_add(usage, &h->policies, value);
	case MF_FS_HOST_EVENTS:
		h->policies.events_path = value;
		return 0;
	case MF_FS_HOST_EVENTS_ROTATE:
		h->policies.events_rotate = value;
		return 0;
	case MF_FS_HOST_EVENTS_STRICT:
		h->policies.events_strict = true;
		return 0;
	case MF_FS_HOST_SESSION:
		snprintf(h->id, sizeof(h->id), "%s", value);
		return 0;
	case MF_FS_HOST_LABEL:
		return mf_label_options_add(usage, &h->labels, value);
	case MF_FS_HOST_VAR:
		return mf_policy_host_add_variable(usage, &h->policies, value);
	case MF_FS_HOST_TRUST_STORE:
		h->policies.signing.trust_store = value;
		return 0;
	case MF_FS_HOST_SIGNING:
		return mf_policy_signing_take_mode(usage, &h->policies.signing, value);
	case MF_FS_HOST_ROOT:
		if (*value != '/')
			return mf_options_wrong(usage, "--root wants an absolute path: '%s'",
						value);
		h->root = value;
		return 0;
	case MF_FS_HOST_NO_WATCH:
		h->policies.watch = false;
		return 0;
	default:
		h->policies.verbose = true;
		return 0;
	}
}

int mf_fs_host_load(struct mf_fs_host *h, const char *command, const char *dir, int *ret_status,
		    struct mf_err *err)
{
	int r;

	if (!*h->id)
		snprintf(h->id, sizeof(h->id), "%s-%lx-%x", command, (unsigned long)time(NULL),
			 (unsigned)getpid());
	h->policies.workspace = h->root ? h->root : dir;
	h->policies.session = h->id;
	r = mf_policy_host_load(&h->policies, err);
	*ret_status = r < 0 ? MF_EXIT_FAULT : MF_EXIT_SETUP;
	return r;
}

void mf_fs_host_done(struct mf_fs_host *h)
{
	mf_policy_host_unload(&h->policies);
	mf_policy_host_close_events(&h->policies);
	mf_label_options_done(&h->labels);
}
