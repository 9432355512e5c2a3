/* SPDX-License-Identifier: Apache-2.0 */
/* policies.c - see policies.h */
#include "cli/policies.h"

#include <stdlib.h>
#include <string.h>

#include "cli/paths.h"
#include "core/policy/vars.h"

int mf_variables_add(const struct mf_usage *usage, struct mf_variables *v, const char *text)
{
	size_t len = mf_vars_name_length(text);

	if (!len || text[len] != '=')
		return mf_options_wrong(usage, "--var wants NAME=VALUE: '%s'", text);
	for (size_t i = 0; i < v->cnt; i++) {
		if (strncmp(v->items[i], text, len + 1) == 0) {
			v->items[i] = text;
			return 0;
		}
	}
	if (v->cnt == MF_VARIABLES_MAX)
		return mf_options_wrong(usage, "--var: at most %d", MF_VARIABLES_MAX);
	v->items[v->cnt++] = text;
	return 0;
}

int mf_policies_read(const char *const *paths, size_t path_cnt, const struct mf_variables *v,
		     struct mf_policies *ret, struct mf_err *err)
{
	char stdlib[MF_PATH_MAX];
	struct mf_runtime_options options = {
		.size = sizeof(options),
		.time_limit_us = MF_POLICIES_TIME_LIMIT_US,
		.stdlib_dir = mf_paths_data("stdlib", stdlib),
		.variables = v ? v->items : NULL,
	};
	const char **real = mf_paths_policies(paths, path_cnt);
	int r;

	*ret = (struct mf_policies){ 0 };
	r = mf_vm_config_init(&ret->config, &options);
	if (r < 0 || !real) {
		free(real);
		return mf_err_set(err, r < 0 ? r : MF_E_NOMEM, "%s",
				  mf_strerror(r < 0 ? r : MF_E_NOMEM));
	}
	r = mf_source_set_read(real, path_cnt, ret->config.options.stdlib_dir, &ret->set, err);
	free(real);
	if (r < 0)
		mf_policies_done(ret);
	return r;
}

int mf_policies_load(const char *const *paths, size_t path_cnt, const struct mf_variables *v,
		     struct mf_policies *ret, struct mf_err *err)
{
	int r = mf_policies_read(paths, path_cnt, v, ret, err);

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
