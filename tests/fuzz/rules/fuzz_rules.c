/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_rules.c - any text as a policy: read its rules, and where they load ask them about every kind */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/rules_ask.h"

struct reading {
	struct mf_sandbox_source chunk;
	struct mf_rules *rules;
	struct mf_err err;
	int ref;
};

static int read_rules(lua_State *L)
{
	struct reading *r = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, r->ref);
	if (mf_rules_from_lua(L, -1, "fuzz", &r->chunk, NULL, &r->rules, &r->err) < 0 &&
	    !*r->err.msg)
		abort(); /* a refusal says why */
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_sandbox_options options = { .memory = (size_t)4 << 20,
					      .clock = &mf_clock_system };
	struct mf_sandbox_limits limits = { .steps = 20000, .time_ns = MF_NS_PER_S };
	struct reading r = {
		.chunk = { .name = "fuzz.lua", .text = (const char *)data, .len = size }
	};
	struct mf_sandbox *sb;

	if (mf_sandbox_new(&options, &sb, NULL) < 0)
		return 0;
	if (mf_sandbox_seal(sb, NULL) == 0 &&
	    mf_sandbox_load(sb, &limits, &r.chunk, &r.ref, NULL) == 0)
		(void)mf_sandbox_call(sb, &limits, read_rules, &r, NULL);
	if (r.rules)
		mf_fuzz_ask_rules(r.rules);
	mf_rules_free(r.rules);
	mf_sandbox_free(sb);
	return 0;
}
