/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_rules.c - any text as a policy: read its rules, and where they load ask them about every kind */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/rules.h"

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
	if (mf_rules_from_lua(L, -1, "fuzz", &r->chunk, &r->rules, &r->err) < 0 && !*r->err.msg)
		abort(); /* a refusal says why */
	return 0;
}

static void ask(struct mf_rules *rules, enum mf_kind kind)
{
	struct mf_request *q = mf_request_new(kind);
	struct mf_outcome *o;

	(void)mf_request_set_str(q, MF_F_NAME, "a.b.example", 11);
	(void)mf_request_set_str(q, MF_F_HOST, "a.b.example", 11);
	(void)mf_request_set_str(q, MF_F_SNI, "b.example", 9);
	(void)mf_request_set_addr_text(q, MF_F_IP, "10.1.2.3");
	(void)mf_request_set_int(q, MF_F_PORT, 443);
	(void)mf_request_set_str(q, MF_F_OP, "rename", 6);
	(void)mf_request_set_str(q, MF_F_PATH, "/a/b/c.so", 9);
	(void)mf_request_set_str(q, MF_F_TARGET, "/a/.env", 7);
	if (mf_rules_ask(rules, q, &o) == 0 && o &&
	    (!o->d.rule || !mf_verdict_fits(kind, o->d.verdict)))
		abort();
	mf_request_free(q);
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
	for (int kind = 0; r.rules && kind < MF_KIND_NUM; kind++)
		ask(r.rules, (enum mf_kind)kind);
	mf_rules_free(r.rules);
	mf_sandbox_free(sb);
	return 0;
}
