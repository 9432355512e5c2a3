/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policies.h - policies loaded for looking at them: without a runtime, and without running their tests
 *
 * A fence refuses policies whose tests fail; whoever asks why they fail must be able to load them all the same.
 */
#ifndef MF_CLI_POLICIES_H
#define MF_CLI_POLICIES_H

#include "cli/options.h"
#include "core/policy/runtime.h"
#include "core/policy/source.h"
#include "core/policy/vm.h"

/*
 * Microseconds that a hook may take where nobody waits for it. What counts there is the instructions: a slow machine must not
 * say of a policy that it is slow.
 */
#define MF_POLICIES_TIME_LIMIT_US 1000000

#define MF_VARIABLES_MAX	  256
#define MF_VAR_OPTION_HELP \
	"what ${NAME} stands for in agentsh policies, before the environment; may be repeated"

/* What --var said; { 0 } is none. */
struct mf_variables {
	const char *items[MF_VARIABLES_MAX + 1]; /* "NAME=VALUE", borrowed; NULL at the end */
	size_t cnt;
};

/** mf_variables_add() - One more "NAME=VALUE"; the last of a name counts; Return: 0, or the exit status of a usage error that was told */
int mf_variables_add(const struct mf_usage *usage, struct mf_variables *v, const char *text);

struct mf_policies {
	struct mf_vm_config config;
	struct mf_source_set *set;
	struct mf_vm_state *state; /* may be NULL: mf_policies_read() */
};

/** mf_policies_read() - Read policies and make ready to load them; @v is copied, may be NULL; Return: 0 or MF_E_* with @err */
int mf_policies_read(const char *const *paths, size_t path_cnt, const struct mf_variables *v,
		     struct mf_policies *ret, struct mf_err *err);

/** mf_policies_load() - The same, and load them; Return: 0 or MF_E_* with @err */
int mf_policies_load(const char *const *paths, size_t path_cnt, const struct mf_variables *v,
		     struct mf_policies *ret, struct mf_err *err);
void mf_policies_done(struct mf_policies *p);

#endif
