/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox_internal.h - what the files of the sandbox share: its state, and one opener per library
 *
 * sandbox.c owns life, limits and errors; sandbox_load.c compiles and requires; freeze.c and purity.c make what was
 * loaded immutable; lib_*.c are the functions that a policy sees. Nobody else includes this file.
 */
#ifndef MF_POLICY_SANDBOX_INTERNAL_H
#define MF_POLICY_SANDBOX_INTERNAL_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

#include "core/policy/sandbox.h"

#define MF_SANDBOX_STRING_MAX 65536 /* default of mf_sandbox_options.string_max */
#define MF_SANDBOX_SOURCE_MAX \
	(4u << 20) /* bytes of one chunk: some 30,000 rules, and bounds the parser's work */
#define MF_SANDBOX_STEP_BYTES 32 /* bytes of new memory that count as one instruction */

struct mf_sandbox_load;
struct mf_sandbox_name;

struct mf_sandbox {
	lua_State *L;	    /* main thread */
	lua_State *running; /* the thread whose instructions run now */
	struct mf_sandbox_options opt;
	void *owner;

	/* memory */
	size_t bytes;
	size_t soft;  /* over this a call is ended at its next instruction */
	size_t hard;  /* over this an allocation fails */
	size_t floor; /* bytes after the last complete collection */
	bool collecting;

	/* the call in progress; also read after it */
	bool active;
	uint64_t limit, used; /* steps */
	uint64_t unclocked;   /* steps charged since the clock was read */
	uint64_t time_ns;
	uint64_t look_at; /* monotonic: before it, time is not over */
	uint64_t cpu_end; /* of the thread; 0: not asked for yet */
	uint64_t epoch;	  /* number of the call */
	int why;	  /* MF_E_* of the limit that was hit; 0 for none */
	const char *why_what;
	bool why_placed;
	char why_file[256];
	unsigned why_line;
	unsigned resumed; /* coroutines that wait for one another */
	bool syntax;	  /* the error that is being raised is one of the parser */

	/* what makes single instructions dear; decides how often the hook looks (see mf_sandbox_arm) */
	int interval;
	size_t longest; /* bytes of the longest string that this state may still hold */
	unsigned metas; /* metatables set, so an upper bound for the length of an __index chain */
	size_t block;	/* largest block that grew in this call: a Lua stack, in the worst case */
	size_t kept_longest; /* the same of what outlives a call: found by the walk that freezes it */
	unsigned kept_metas;

	struct mf_sandbox_load *load; /* while mf_sandbox_load() runs */
	int globals_ref;
	struct mf_sandbox_name *names; /* of loaded chunks */
	bool sealed;

	void (*lines)(void *ctx, const char *file, unsigned line);
	void *lines_ctx;
};

/* sandbox.c */

/** mf_sandbox_run() - mf_sandbox_call(), and with @load the same for loading; see there */
int mf_sandbox_run(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits, lua_CFunction fn,
		   void *arg, struct mf_sandbox_load *load, struct mf_err *err);

/** mf_sandbox_stop() - Set the cause @code unless one is set, and end the call at its next instruction */
void mf_sandbox_stop(struct mf_sandbox *sb, int code, const char *what);

/** mf_sandbox_stopped() - Raise the limit error again when a limit was hit: after every protected call */
void mf_sandbox_stopped(lua_State *L);

/** mf_sandbox_fail() - mf_sandbox_stop() and raise at once */
_Noreturn void mf_sandbox_fail(lua_State *L, int code, const char *what);

/** mf_sandbox_arm() - Bring the hook of @L to the interval that the call needs now */
void mf_sandbox_arm(struct mf_sandbox *sb, lua_State *L);

/** mf_sandbox_note_meta() - A metatable was set */
void mf_sandbox_note_meta(lua_State *L);

/** mf_sandbox_keep_string() - A string of @len bytes outlives the call */
static inline void mf_sandbox_keep_string(lua_State *L, size_t len)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	if (len > sb->kept_longest)
		sb->kept_longest = len;
}

/* lib_*.c: each pushes one library table (lib_base.c fills the table of globals on top of the stack) */
void mf_lib_open_base(lua_State *L);
void mf_lib_open_string(lua_State *L);
void mf_lib_open_table(lua_State *L);
void mf_lib_open_math(lua_State *L);
void mf_lib_open_utf8(lua_State *L);
void mf_lib_open_coroutine(lua_State *L);

/* lib_base.c */
/** mf_lib_tostring() - Push the text of the value at @idx, never with an address; @len may be NULL */
const char *mf_lib_tostring(lua_State *L, int idx, size_t *len);

/* lib_raw.c: tables and metatables, as if frozen ones still held their contents */
int mf_lib_getmetatable(lua_State *L);
int mf_lib_setmetatable(lua_State *L);
int mf_lib_rawequal(lua_State *L);
int mf_lib_rawget(lua_State *L);
int mf_lib_rawlen(lua_State *L);
int mf_lib_rawset(lua_State *L);
int mf_lib_ipairs(lua_State *L);
int mf_lib_next(lua_State *L);
int mf_lib_pairs(lua_State *L);

/* freeze.c */
bool mf_is_frozen(lua_State *L, int idx);
/** mf_frozen_as_metatable() - Push what must be set so that the table at @idx works as a metatable: its contents */
void mf_frozen_as_metatable(lua_State *L, int idx);
/** mf_frozen_of_metatable() - Replace a metatable on top of the stack that is a shadow by its frozen table; Return: was it
 * one? */
bool mf_frozen_of_metatable(lua_State *L);
/** mf_freeze_globals() - mf_sandbox_freeze() of a table of globals: another message on assignment */
void mf_freeze_globals(lua_State *L, int idx);
/* The address that a C closure has as light userdata among its upvalues when it keeps the state of an iteration. */
extern const char mf_lib_transient;

/* purity.c */
/** mf_purity_check() - Raise when the Lua function at @idx assigns to one of its upvalues */
void mf_purity_check(lua_State *L, int idx);
/** mf_purity_lint() - Raise when the chunk at @idx contains what no policy may: <close>, vast concatenations */
void mf_purity_lint(lua_State *L, int idx);
/** mf_purity_probe() - Raise when the bytecode of the Lua that runs is not the one that purity.c reads */
void mf_purity_probe(lua_State *L);

/* sandbox_load.c */
int mf_lib_require(lua_State *L);
void mf_sandbox_free_names(struct mf_sandbox *sb);
/** mf_sandbox_find_file() - The whole name of a chunk by what Lua shows of it in messages; NULL: none was loaded. Does
 * not raise. Borrowed as long as the sandbox lives. */
const char *mf_sandbox_find_file(lua_State *L, const char *shown, size_t len);

#endif
