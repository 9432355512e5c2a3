/* SPDX-License-Identifier: Apache-2.0 */
/* util.h - a sandbox and a policy in two lines, for the tests of the sandbox */
#ifndef MF_TESTS_SANDBOX_UTIL_H
#define MF_TESTS_SANDBOX_UTIL_H

#include <lauxlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/sandbox.h"

#define CALL_LIMITS (&(struct mf_sandbox_limits){ 100000, 5 * MF_NS_PER_MS })
/* Loading has time enough under a sanitizer; what a test is about is set by it. */
#define LOAD_LIMITS (&(struct mf_sandbox_limits){ 50000000, 10 * MF_NS_PER_S })

/* A clock that stands still unless a test moves it, so that no test depends on how fast the machine is. */
static inline uint64_t still_now(void *ctx)
{
	return *(uint64_t *)ctx;
}

struct box {
	struct mf_sandbox *sb;
	struct mf_err err;
	struct mf_clock clock;
	uint64_t now;
	int ref;
	char printed[4096]; /* what print() wrote, one line each */
	char result[1024];  /* what the policy's run() returned, as text */
};

static inline void keep_print(void *ctx, const char *text, size_t len)
{
	struct box *b = ctx;
	size_t used = strlen(b->printed);

	snprintf(b->printed + used, sizeof(b->printed) - used, "%.*s\n", (int)len, text);
}

static inline void box_open_with(struct box *b, struct mf_sandbox_options *opt)
{
	memset(b, 0, sizeof(*b));
	b->clock = (struct mf_clock){ .monotonic = still_now, .wall = still_now, .ctx = &b->now };
	if (!opt->memory)
		opt->memory = 16 << 20;
	if (!opt->clock)
		opt->clock = &b->clock;
	opt->print = keep_print;
	opt->print_ctx = b;
	b->ref = LUA_NOREF;
	assert_int_equal(mf_sandbox_new(opt, &b->sb, &b->err), 0);
}

static inline void box_open(struct box *b)
{
	struct mf_sandbox_options opt = { 0 };

	box_open_with(b, &opt);
	assert_int_equal(mf_sandbox_seal(b->sb, &b->err), 0);
}

static inline void box_close(struct box *b)
{
	mf_sandbox_free(b->sb);
	b->sb = NULL;
}

static inline int box_load(struct box *b, const char *text)
{
	struct mf_sandbox_source src = { .name = "p.lua", .text = text, .len = strlen(text) };

	memset(&b->err, 0, sizeof(b->err));
	return mf_sandbox_load(b->sb, LOAD_LIMITS, &src, &b->ref, &b->err);
}

/* Call the function that the policy returned, or its field "run", and keep the result's text. */
static inline int box_call_fn(lua_State *L)
{
	struct box *b = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, b->ref);
	if (lua_istable(L, -1))
		lua_getfield(L, -1, "run");
	lua_call(L, 0, 1);
	if (lua_isboolean(L, -1))
		snprintf(b->result, sizeof(b->result), "%s",
			 lua_toboolean(L, -1) ? "true" : "false");
	else if (lua_isstring(L, -1))
		snprintf(b->result, sizeof(b->result), "%s", lua_tostring(L, -1));
	else
		snprintf(b->result, sizeof(b->result), "<%s>", luaL_typename(L, -1));
	return 0;
}

static inline int box_call_limits(struct box *b, const struct mf_sandbox_limits *limits)
{
	int code;

	memset(&b->err, 0, sizeof(b->err));
	b->result[0] = '\0';
	code = mf_sandbox_call(b->sb, limits, box_call_fn, b, &b->err);
	mf_sandbox_collect(b->sb);
	return code;
}

static inline int box_call(struct box *b)
{
	return box_call_limits(b, CALL_LIMITS);
}

/* Load "return function() <text> end" and call it. */
static inline int box_run(struct box *b, const char *text)
{
	static char buf[1 << 20];
	int code;

	snprintf(buf, sizeof(buf), "return function() %s\nend", text);
	code = box_load(b, buf);
	return code ? code : box_call(b);
}

/* The result of @text in a fresh call, or the error's message. */
static inline const char *box_eval(struct box *b, const char *text)
{
	return box_run(b, text) ? b->err.msg : b->result;
}

#endif
