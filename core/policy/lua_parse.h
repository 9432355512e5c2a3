/* SPDX-License-Identifier: Apache-2.0 */
/* lua_parse.h - whether text is Lua, for tools that look at it and do not run it */
#ifndef MF_POLICY_LUA_PARSE_H
#define MF_POLICY_LUA_PARSE_H

#include <stddef.h>

#include "core/base/err.h"

/**
 * mf_lua_parse() - Compile a text, and forget what it became
 * Cost: that of compiling; nothing of @text runs.
 * @ret_near: the text that the error is near to, "<eof>" for the end, "" where Lua does not say; NULL if that does not matter
 * Return: 0; MF_E_SYNTAX with file and line in @err, MF_E_LIMIT (longer than a policy may be), MF_E_NOMEM
 */
int mf_lua_parse(const char *text, size_t len, const char *file, char *ret_near, size_t near_room,
		 struct mf_err *err);

#endif
