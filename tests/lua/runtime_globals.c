/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_globals.c - prints every global that policies see, and what the libraries among them hold: "string.rep" */
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/policy/runtime.h"
#include "core/policy/sandbox_internal.h" /* mf_frozen_contents(): the shared globals are frozen */

/* The names of the table on top of the stack, each behind @prefix; tables among them one level down. */
static void print_names(lua_State *L, const char *prefix)
{
	mf_frozen_contents(L, -1);
	for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
		const char *name = lua_tostring(L, -2);

		printf("%s%s\n", prefix, name);
		if (lua_istable(L, -1) && !*prefix && strcmp(name, "_G") != 0) {
			char inner[128];

			snprintf(inner, sizeof(inner), "%s.", name);
			print_names(L, inner);
		}
	}
	lua_pop(L, 1);
}

static int print_globals(lua_State *L)
{
	mf_sandbox_push_globals(L);
	print_names(L, "");
	return 0;
}

int main(void)
{
	const struct mf_sandbox_limits limits = { 1000000, 10 * MF_NS_PER_S };
	struct mf_vm_config config;
	struct mf_source_set *set;
	struct mf_vm_state *state;
	struct mf_err err = { 0 };
	int r = mf_vm_config_init(&config, NULL);

	if (r == 0)
		r = mf_source_set_read(NULL, 0, NULL, &set, &err);
	if (r == 0)
		r = mf_vm_state_new(&config, set, 1, &state, &err);
	if (r == 0)
		r = mf_sandbox_call(mf_vm_state_sandbox(state), &limits, print_globals, NULL, &err);
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", mf_strerror(r), err.msg);
		return 1;
	}
	mf_vm_state_free(state);
	mf_source_set_unref(set);
	mf_vm_config_done(&config);
	return 0;
}
