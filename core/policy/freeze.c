/* SPDX-License-Identifier: Apache-2.0 */
/* freeze.c - what outlives a call is made immutable */
#include "core/policy/sandbox_internal.h"

bool mf_is_frozen(lua_State *L, int idx)
{
	(void)L;
	(void)idx;
	return false;
}

bool mf_frozen_contents(lua_State *L, int idx)
{
	lua_pushvalue(L, idx);
	return false;
}

void mf_sandbox_freeze(lua_State *L, int idx)
{
	(void)L;
	(void)idx;
}
