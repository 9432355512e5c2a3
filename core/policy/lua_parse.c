/* SPDX-License-Identifier: Apache-2.0 */
/* lua_parse.c - see lua_parse.h */
#include "core/policy/lua_parse.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/sandbox_internal.h"

/* "=:12: unexpected symbol near 'x'": the line, the words, and what stands in quotes at the end. */
static int tell(const char *message, const char *file, char *ret_near, size_t near_room,
		struct mf_err *err)
{
	const char *colon = strchr(message, ':'), *words = message, *quote;
	unsigned line = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
	size_t len;

	if (line && (words = strstr(colon + 1, ": ")))
		words += 2;
	else
		words = message;
	if (ret_near && strstr(words, " near <eof>"))
		snprintf(ret_near, near_room, "<eof>");
	quote = strstr(words, " near '");
	if (quote && ret_near) {
		quote += strlen(" near '");
		len = strlen(quote);
		len = len > 0 ? len - 1 : 0;
		if (len < near_room) {
			memcpy(ret_near, quote, len);
			ret_near[len] = '\0';
		}
	}
	return mf_err_at(err, MF_E_SYNTAX, file, line ? line : 1, 0, "%s", words);
}

int mf_lua_parse(const char *text, size_t len, const char *file, char *ret_near, size_t near_room,
		 struct mf_err *err)
{
	lua_State *L;
	int r;

	if (ret_near && near_room)
		ret_near[0] = '\0';
	if (len > MF_SANDBOX_SOURCE_MAX)
		return mf_err_set(err, MF_E_LIMIT, "%s: a policy file may have at most %d bytes",
				  file, (int)MF_SANDBOX_SOURCE_MAX);
	L = luaL_newstate();
	if (!L)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	r = luaL_loadbufferx(L, text, len, "=text", "t");
	if (r == LUA_ERRMEM)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else if (r != LUA_OK)
		r = tell(lua_tostring(L, -1), file, ret_near, near_room, err);
	lua_close(L);
	return r;
}
