/* SPDX-License-Identifier: Apache-2.0 */
/* lib_string.c - string functions */
#include "core/policy/sandbox_internal.h"

#include <lualib.h>

void mf_lib_open_string(lua_State *L)
{
	lua_pushcfunction(L, luaopen_string);
	lua_call(L, 0, 1);
}
void mf_lib_open_table(lua_State *L)
{
	lua_pushcfunction(L, luaopen_table);
	lua_call(L, 0, 1);
}
void mf_lib_open_math(lua_State *L)
{
	lua_pushcfunction(L, luaopen_math);
	lua_call(L, 0, 1);
}
void mf_lib_open_utf8(lua_State *L)
{
	lua_pushcfunction(L, luaopen_utf8);
	lua_call(L, 0, 1);
}
