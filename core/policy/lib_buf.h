/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_buf.h - a growing text on the way to a Lua string
 *
 *	struct mf_buf b;
 *	mf_buf_init(L, &b);            // takes one stack slot, which must stay where it is
 *	mf_buf_add(L, &b, s, len);     // charges; over the string limit it ends the call
 *	mf_buf_push(L, &b);
 *
 * Small texts stay on the C stack, longer ones in a userdata in that slot: nothing to free when an error is raised.
 */
#ifndef MF_POLICY_LIB_BUF_H
#define MF_POLICY_LIB_BUF_H

#include <string.h>

#include "core/policy/sandbox_internal.h"

struct mf_buf {
	char *str;
	size_t len, room, max;
	int slot;
	char small[512];
};

static inline void mf_buf_init(lua_State *L, struct mf_buf *b)
{
	b->str = b->small;
	b->len = 0;
	b->room = sizeof(b->small);
	b->max = mf_sandbox_of(L)->opt.string_max;
	lua_pushnil(L);
	b->slot = lua_gettop(L);
}

/* Room for @len more bytes. */
static inline char *mf_buf_reserve(lua_State *L, struct mf_buf *b, size_t len)
{
	size_t room = b->room;
	char *str;

	if (len > b->max - b->len)
		mf_sandbox_fail(L, MF_E_LIMIT, "a string longer than the limit");
	if (len > b->room - b->len) {
		while (len > room - b->len)
			room *= 2;
		str = lua_newuserdatauv(L, room, 0);
		memcpy(str, b->str, b->len);
		lua_replace(L, b->slot);
		b->str = str;
		b->room = room;
	}
	return b->str + b->len;
}

static inline void mf_buf_add(lua_State *L, struct mf_buf *b, const char *s, size_t len)
{
	mf_sandbox_charge(L, 1 + len / 64);
	memcpy(mf_buf_reserve(L, b, len), s, len);
	b->len += len;
}

static inline void mf_buf_addc(lua_State *L, struct mf_buf *b, char c)
{
	*mf_buf_reserve(L, b, 1) = c;
	b->len++;
}

static inline void mf_buf_push(lua_State *L, struct mf_buf *b)
{
	lua_pushlstring(L, b->str, b->len);
}

#endif
