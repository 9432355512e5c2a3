/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.h - one Lua state in which policies run: bounded, pure, deterministic
 *
 * How it works
 *
 * A sandbox owns a lua_State with a counting allocator, a count hook, and a library of our own in place of whatever in
 * Lua's could run, allocate or leak without a bound. Its life has three parts:
 *
 *	mf_sandbox_new(&options, &sb, &err);         // safe library only
 *	mf_sandbox_call(sb, &limits, open_api, x, &err);  // the owner adds globals (domains, deny, ...)
 *	mf_sandbox_seal(sb, &err);                   // globals frozen
 *	mf_sandbox_load(sb, &limits, &source, &ref, &err);  // per policy: run its chunk, freeze what it returned
 *	mf_sandbox_call(sb, &limits, ask, x, &err);  // per decision
 *
 * Limits cannot be caught: once one is hit, pcall, xpcall and coroutine.resume raise it again, and it ends only at
 * mf_sandbox_call(), which returns a code per cause.
 *
 * What may outlive a call
 *
 * Whatever a loaded chunk leaves behind is frozen (freeze.c): tables keep their identity, metatable and contents as policies
 * see them, and cannot be changed. A function that assigns to a variable around it is refused (purity.c), and so are
 * coroutines, running iterators, and userdata with a field "__transient" in its metatable. So nothing that a call does can
 * be seen by another, and a policy is a function of what it reads. Between states of the same policy one thing can differ:
 * #t of a list with holes, for which Lua promises no particular border.
 *
 * For functions in C
 *
 * They run under the limits as well: mf_sandbox_charge() for work that grows with its input (one step for what takes about
 * as long as one instruction, some 5 ns), before or while it is done. A frozen table is empty for lua_rawget() and
 * lua_next(), and must not be written with lua_rawset(); lua_getfield(), lua_geti() and lua_gettable() see its contents.
 * Upvalues and user values of what is frozen are frozen too: keep what changes in C, not in Lua tables. Errors raised with
 * luaL_error() can be caught by the policy; what must end the call is charged or told by mf_sandbox_check_time().
 * A protected call in C must be followed by mf_sandbox_charge(L, 1), so that a limit goes on upwards.
 *
 * strcoll() compares strings in Lua: a host program that calls setlocale(LC_COLLATE) changes the order of a < b, and with
 * LC_NUMERIC the decimal point of numbers as text. The library itself never does.
 *
 * One state belongs to one thread at a time; mf_sandbox_of() finds the sandbox of any lua_State (coroutines too).
 */
#ifndef MF_POLICY_SANDBOX_H
#define MF_POLICY_SANDBOX_H

#include <lua.h>

#include "core/base/clock.h"
#include "core/base/err.h"

struct mf_sandbox;

/* Limits of one call. */
struct mf_sandbox_limits {
	uint64_t steps; /* Lua instructions; C functions of the library charge theirs */
	uint64_t
		time_ns; /* that the thread computes; where the clock has no @cpu, monotonic time */
};

struct mf_sandbox_options {
	size_t memory;	   /* bytes of the whole state */
	size_t string_max; /* bytes of the longest string; 0 for 64 KiB */
	const struct mf_clock *clock;
	mf_alloc_fn alloc; /* NULL: realloc() and free() */
	void *alloc_ctx;
	/* print() of a policy; NULL drops it */
	void (*print)(void *ctx, const char *text, size_t len);
	void *print_ctx;
};

/* A chunk of source text. */
struct mf_sandbox_source {
	const char *name; /* file name as it stands in messages */
	const char *text;
	size_t len;
	const char *
		why; /* of a module that is there and cannot be had: the reason; text is NULL then */
	/*
	 * Resolves require(): returns the source of module @name, or NULL when this policy may not see it. Borrowed until
	 * mf_sandbox_load() returns. Each module runs once per policy; its result is frozen.
	 */
	const struct mf_sandbox_source *(*find)(void *ctx, const char *name);
	void *ctx;
};

int mf_sandbox_new(const struct mf_sandbox_options *options, struct mf_sandbox **ret_sb,
		   struct mf_err *err);
void mf_sandbox_free(struct mf_sandbox *sb);

lua_State *mf_sandbox_lua(struct mf_sandbox *sb);
struct mf_sandbox *mf_sandbox_of(lua_State *L);
/* One pointer for the sandbox's owner, reachable from C functions by mf_sandbox_owner(mf_sandbox_of(L)). */
void mf_sandbox_set_owner(struct mf_sandbox *sb, void *owner);
void *mf_sandbox_owner(const struct mf_sandbox *sb);

/** mf_sandbox_push_globals() - Push the table of globals that all policies of this sandbox share (before seal) */
void mf_sandbox_push_globals(lua_State *L);
int mf_sandbox_seal(struct mf_sandbox *sb, struct mf_err *err);

/**
 * mf_sandbox_load() - Compile a text chunk (never bytecode), run it in an environment of its own, freeze the result
 * @ret_ref: registry reference of the value it returned (luaL_unref() to drop it)
 * Everything that outlives the call is frozen and checked: no reachable table can be written, no reachable function
 * assigns to a variable that outlives a call; what does is MF_E_POLICY with file and line.
 * No function in it may declare a variable with <close>, or join more than 24 parts with one a .. b .. c.
 * Ends with a full collection: some milliseconds in a full state. On failure nothing of the policy stays.
 * Return: 0, MF_E_SYNTAX, MF_E_POLICY, MF_E_STEPS, MF_E_TIME, MF_E_MEMORY, MF_E_LIMIT
 */
int mf_sandbox_load(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits,
		    const struct mf_sandbox_source *source, int *ret_ref, struct mf_err *err);

/** mf_sandbox_take_fn - May replace the value on top of the stack; what is not reached from there any more is not frozen */
typedef void (*mf_sandbox_take_fn)(lua_State *L, void *ctx);

/**
 * mf_sandbox_load_taking() - The same, with @take called on what the chunk returned before that is frozen
 * A frozen table has three times the size: what is only read once and compiled is better taken out before.
 * @take may raise errors; it counts against @limits
 */
int mf_sandbox_load_taking(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits,
			   const struct mf_sandbox_source *source, mf_sandbox_take_fn take,
			   void *ctx, int *ret_ref, struct mf_err *err);

/**
 * mf_sandbox_call() - The one way in: run @fn(L) with @arg as light userdata at index 1 under protection and limits
 * @fn may raise Lua errors; the stack is empty again afterwards. Calls do not nest. Costs about 40 ns besides @fn.
 * Two calls that come close to a limit may end on either side of it: an allocation counts, and what is there already (an
 * interned string, a stack that has grown) is not allocated again.
 * Return: 0, MF_E_POLICY, MF_E_STEPS, MF_E_TIME, MF_E_MEMORY, MF_E_LIMIT (a library limit: string, match steps)
 */
int mf_sandbox_call(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits, lua_CFunction fn,
		    void *arg, struct mf_err *err);

/** mf_sandbox_charge() - Count @steps of work done in C; raises the limit error when they are used up or time is over */
void mf_sandbox_charge(lua_State *L, uint64_t steps);

/** mf_sandbox_check_time() - Raise the limit error when the call's time is over; reads the clock */
void mf_sandbox_check_time(lua_State *L);

/** mf_sandbox_freeze() - Freeze the value at @idx and all that it reaches; raises on impurity */
void mf_sandbox_freeze(lua_State *L, int idx);

/**
 * mf_frozen_contents() - Push the table that holds the contents of the table at @idx: its shadow when it is frozen, else
 * itself; Return: true when it is frozen. The shadow must never reach a policy.
 */
bool mf_frozen_contents(lua_State *L, int idx);

/** mf_sandbox_shown() - What Lua shows of a loaded chunk's name: a message that begins with it and ":LINE: " has a place */
const char *mf_sandbox_shown(lua_State *L, const char *name);
/** mf_sandbox_where() - Source and line of the innermost Lua function running; "" and 0 in none. Borrowed until return
 * of that function. */
void mf_sandbox_where(lua_State *L, const char **ret_file, unsigned *ret_line);

/** mf_sandbox_set_lines() - Call @fn for every line that runs (coverage); NULL ends it. Slow. */
void mf_sandbox_set_lines(struct mf_sandbox *sb,
			  void (*fn)(void *ctx, const char *file, unsigned line), void *ctx);

/** mf_sandbox_collect() - Between two calls: a bounded step of garbage collection when enough has gathered */
void mf_sandbox_collect(struct mf_sandbox *sb);

size_t mf_sandbox_bytes(const struct mf_sandbox *sb);
uint64_t mf_sandbox_steps_used(const struct mf_sandbox *sb); /* by the last call */

#endif
