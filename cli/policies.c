/* SPDX-License-Identifier: Apache-2.0 */
/* policies.c - see policies.h */
#include "cli/policies.h"

#include "cli/paths.h"

int mf_policies_read(const char *const *paths, size_t path_cnt, struct mf_policies *ret,
		     struct mf_err *err)
{
	char stdlib[MF_PATH_MAX];
	struct mf_runtime_options options = {
		.size = sizeof(options),
		.time_limit_us = MF_POLICIES_TIME_LIMIT_US,
		.stdlib_dir = mf_paths_data("stdlib", stdlib),
	};
	int r;

	*ret = (struct mf_policies){ 0 };
	r = mf_vm_config_init(&ret->config, &options);
	if (r < 0)
		return mf_err_set(err, r, "%s", mf_strerror(r));
	r = mf_source_set_read(paths, path_cnt, ret->config.options.stdlib_dir, &ret->set, err);
	if (r < 0)
		mf_policies_done(ret);
	return r;
}

int mf_policies_load(const char *const *paths, size_t path_cnt, struct mf_policies *ret,
		     struct mf_err *err)
{
	int r = mf_policies_read(paths, path_cnt, ret, err);

	if (r < 0)
		return r;
	r = mf_vm_state_new(&ret->config, ret->set, 1, &ret->state, err);
	if (r < 0)
		mf_policies_done(ret);
	return r;
}

void mf_policies_done(struct mf_policies *p)
{
	mf_vm_state_free(p->state), p->state = NULL;
	mf_source_set_unref(p->set), p->set = NULL;
	mf_vm_config_done(&p->config);
}
