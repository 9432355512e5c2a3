/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sandbox.c - a bounded Lua state: memory, instructions, time, errors (sandbox.h)
 *
 * How the limits work
 *
 * Steps. A count hook runs every `interval` instructions and adds them up; functions of the library, and the allocator,
 * charge for what they do. The hook is blind while C runs, so every C function of the library charges as it goes.
 *
 * Time. The clock is read in the hook, after every 512 charged steps, and when a large block is allocated. What one
 * instruction may cost is bounded by what the call has made so far: comparing strings costs by their length (strcoll()
 * is called once per NUL inside them), an index costs by the length of the __index chain, a call by its number of
 * arguments. The interval is chosen so that one interval of the dearest instruction stays under INTERVAL_NS. What counts is
 * what the thread computes: while others have the processor, no policy is slow. Asking for that is a system call, so it
 * happens only where monotonic time, which is never less, has come to a part of the limit.
 *
 * Memory. An allocation that fails makes Lua run a whole collection, which takes milliseconds in a full state. So the
 * allocator gives what is asked up to the hard limit, and over the soft limit ends the call at its next instruction. An
 * allocation counts as steps as well (MF_SANDBOX_STEP_BYTES), so that with the usual limits a call runs out of steps
 * before it comes near either. A collection never runs during a call: it happens between calls (mf_sandbox_collect).
 *
 * The end. What ends a call is remembered in `why`; from then on the hook fires at each instruction and raises again, and
 * pcall, xpcall and coroutine.resume raise again as soon as control comes back to them. The error value is a light
 * userdata, so raising allocates nothing. How far pcalls may stand from the bottom, and how many coroutines may wait for one
 * another, is bounded, because leaving each of them costs a walk over the stack that is left.
 */
#include "core/policy/sandbox_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_MAX	     256
#define INTERVAL_NS	     150000 /* most time between two looks at the clock */
#define NS_PER_COMPARED_BYTE 4	    /* strcoll() and strlen() of "", once per NUL: 2.3 measured */
#define NS_PER_CHAIN_LINK    20
#define NS_PER_STACK_BYTE    1 / 8
#define CLOCKED_STEPS	     512
#define CLOCKED_BYTES	     4096
#define UNASKED_PART	     8 /* of the time limit passes before the thread's time is asked for */
#define CHAIN_MAX	     2000 /* Lua's own limit of an __index chain (MAXTAGLOOP) */

static void on_hook(lua_State *L, lua_Debug *ar);

struct mf_sandbox *mf_sandbox_of(lua_State *L)
{
	return *(struct mf_sandbox **)lua_getextraspace(L);
}

lua_State *mf_sandbox_lua(struct mf_sandbox *sb)
{
	return sb->L;
}

void mf_sandbox_set_owner(struct mf_sandbox *sb, void *owner)
{
	sb->owner = owner;
}

void *mf_sandbox_owner(const struct mf_sandbox *sb)
{
	return sb->owner;
}

size_t mf_sandbox_bytes(const struct mf_sandbox *sb)
{
	return sb->bytes;
}

uint64_t mf_sandbox_steps_used(const struct mf_sandbox *sb)
{
	return sb->used;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The hook                                                                                                           */

static int find_interval(const struct mf_sandbox *sb)
{
	uint64_t ns = 10, n, left;
	unsigned links = sb->metas < CHAIN_MAX ? sb->metas : CHAIN_MAX;

	if (sb->why)
		return 1;
	if (sb->longest * NS_PER_COMPARED_BYTE > ns)
		ns = sb->longest * NS_PER_COMPARED_BYTE;
	if (links * NS_PER_CHAIN_LINK > ns)
		ns = links * NS_PER_CHAIN_LINK;
	if (sb->block * NS_PER_STACK_BYTE > ns)
		ns = sb->block * NS_PER_STACK_BYTE;
	n = INTERVAL_NS / ns;
	if (n > INTERVAL_MAX)
		n = INTERVAL_MAX;
	left = sb->limit > sb->used ? sb->limit - sb->used : 0;
	if (n > left)
		n = left;
	return n < 1 ? 1 : (int)n;
}

void mf_sandbox_arm(struct mf_sandbox *sb, lua_State *L)
{
	int mask = LUA_MASKCOUNT | (sb->lines ? LUA_MASKLINE : 0);
	int n = find_interval(sb);

	// Setting the hook starts its count anew; that happens only when the interval changes, a few times a call.
	if (n == lua_gethookcount(L) && mask == lua_gethookmask(L))
		return;
	lua_sethook(L, on_hook, mask, n);
}

void mf_sandbox_stop(struct mf_sandbox *sb, int code, const char *what)
{
	if (sb->why || !sb->active)
		return;
	sb->why = code;
	sb->why_what = what;
	mf_sandbox_arm(sb, sb->running);
}

/* The error value of a limit is a light userdata: it needs no memory and no handler can take it for a message. */
static _Noreturn void raise_limit(lua_State *L)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);
	const char *file;

	if (!sb->why_placed) {
		sb->why_placed = true;
		mf_sandbox_where(L, &file, &sb->why_line);
		snprintf(sb->why_file, sizeof(sb->why_file), "%s", file);
	}
	mf_sandbox_arm(sb, L);
	lua_pushlightuserdata(L, sb);
	lua_error(L);
	MF_MUST(!"lua_error() returned");
	abort();
}

void mf_sandbox_stopped(lua_State *L)
{
	if (mf_sandbox_of(L)->why)
		raise_limit(L);
}

void mf_sandbox_fail(lua_State *L, int code, const char *what)
{
	mf_sandbox_stop(mf_sandbox_of(L), code, what);
	raise_limit(L);
}

static bool time_is_over(struct mf_sandbox *sb)
{
	const struct mf_clock *clock = sb->opt.clock;
	uint64_t now = mf_clock_now(clock), cpu;

	if (now < sb->look_at)
		return false;
	if (!clock->cpu)
		return true;
	cpu = clock->cpu(clock->ctx);
	if (!sb->cpu_end)
		sb->cpu_end = cpu + sb->time_ns - sb->time_ns / UNASKED_PART + clock->cpu_error_ns;
	if (cpu >= sb->cpu_end)
		return true;
	sb->look_at = now + (sb->cpu_end - cpu);
	return false;
}

static void look(struct mf_sandbox *sb)
{
	sb->unclocked = 0;
	if (sb->why)
		return;
	if (sb->used >= sb->limit)
		mf_sandbox_stop(sb, MF_E_STEPS, NULL);
	else if (time_is_over(sb))
		mf_sandbox_stop(sb, MF_E_TIME, NULL);
}

static void on_line(struct mf_sandbox *sb, lua_State *L, lua_Debug *ar)
{
	if (!sb->lines || !lua_getinfo(L, "S", ar) || ar->source[0] != '@')
		return;
	sb->lines(sb->lines_ctx, ar->source + 1, (unsigned)ar->currentline);
}

static void on_hook(lua_State *L, lua_Debug *ar)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	if (ar->event == LUA_HOOKLINE) {
		on_line(sb, L, ar);
		return;
	}
	if (!sb->active)
		return;
	sb->used += (uint64_t)lua_gethookcount(L);
	look(sb);
	if (sb->why)
		raise_limit(L);
	mf_sandbox_arm(sb, L);
}

void mf_sandbox_charge(lua_State *L, uint64_t steps)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	if (!sb->active)
		return;
	sb->used = steps > UINT64_MAX - sb->used ? UINT64_MAX : sb->used + steps;
	sb->unclocked += steps;
	if (sb->unclocked < CLOCKED_STEPS && sb->used < sb->limit && !sb->why)
		return;
	look(sb);
	if (sb->why)
		raise_limit(L);
}

void mf_sandbox_check_time(lua_State *L)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	if (!sb->active)
		return;
	look(sb);
	if (sb->why)
		raise_limit(L);
}

void mf_sandbox_note_meta(lua_State *L)
{
	struct mf_sandbox *sb = mf_sandbox_of(L);

	sb->metas++;
	mf_sandbox_arm(sb, L);
}

void mf_sandbox_set_lines(struct mf_sandbox *sb,
			  void (*fn)(void *ctx, const char *file, unsigned line), void *ctx)
{
	sb->lines = fn;
	sb->lines_ctx = ctx;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Memory                                                                                                             */

static void *default_alloc(void *ctx, void *ptr, size_t old_size, size_t size)
{
	(void)ctx;
	(void)old_size;
	if (size == 0) {
		free(ptr);
		return NULL;
	}
	return realloc(ptr, size);
}

/* A new string of @size bytes, its header included. */
static void note_string(struct mf_sandbox *sb, size_t size)
{
	if (size > sb->opt.string_max + 64)
		mf_sandbox_stop(sb, MF_E_LIMIT, "a string longer than the limit");
	if (size > sb->longest)
		sb->longest = size;
}

/* Count an allocation during a call; Lua tells the kind of a new object in the old size. */
static void note_growth(struct mf_sandbox *sb, const void *ptr, size_t kind, size_t grow,
			size_t size)
{
	sb->used += grow / MF_SANDBOX_STEP_BYTES + 1;
	if (!ptr && kind == LUA_TSTRING)
		note_string(sb, size);
	if (ptr && size > sb->block)
		sb->block = size;
	if (sb->bytes + grow > sb->soft)
		mf_sandbox_stop(sb, MF_E_MEMORY, NULL);
	if (size >= CLOCKED_BYTES || sb->used >= sb->limit)
		look(sb);
	if (find_interval(sb) < sb->interval) {
		sb->interval = find_interval(sb);
		mf_sandbox_arm(sb, sb->running);
	}
}

static void *on_alloc(void *ud, void *ptr, size_t osize, size_t nsize)
{
	struct mf_sandbox *sb = ud;
	size_t old = ptr ? osize : 0;
	void *p;

	if (nsize == 0) {
		sb->opt.alloc(sb->opt.alloc_ctx, ptr, old, 0);
		sb->bytes -= old;
		return NULL;
	}
	if (nsize > old) {
		if (nsize - old > sb->hard - sb->bytes) {
			mf_sandbox_stop(sb, MF_E_MEMORY, NULL);
			return NULL;
		}
		if (sb->active)
			note_growth(sb, ptr, osize, nsize - old, nsize);
	}
	p = sb->opt.alloc(sb->opt.alloc_ctx, ptr, old, nsize);
	if (!p) {
		if (nsize > old) {
			mf_sandbox_stop(sb, MF_E_MEMORY, "the system has no memory for the policy");
			return NULL;
		}
		p = ptr; // Lua relies on it that a block can always shrink
	}
	sb->bytes = sb->bytes - old + nsize;
	return p;
}

/* Bytes over which calls wait for a collection: what was loaded is at most half of all, and a call may add a quarter. */
static size_t pressure(const struct mf_sandbox *sb)
{
	return sb->hard / 2 + sb->hard / 8;
}

void mf_sandbox_collect(struct mf_sandbox *sb)
{
	size_t slack = sb->floor / 4 > (256u << 10) ? sb->floor / 4 : 256u << 10;
	bool full = sb->bytes > pressure(sb);

	if (sb->active || (!sb->collecting && !full && sb->bytes < sb->floor + slack))
		return;
	sb->collecting = true;
	do {
		if (lua_gc(sb->L, LUA_GCSTEP, 0)) {
			sb->collecting = false;
			sb->floor = sb->bytes;
		}
	} while (full && sb->collecting);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Calls                                                                                                              */

void mf_sandbox_where(lua_State *L, const char **ret_file, unsigned *ret_line)
{
	lua_Debug ar;
	int level;

	for (level = 0; lua_getstack(L, level, &ar); level++) {
		if (!lua_getinfo(L, "Sl", &ar) || ar.currentline < 0)
			continue;
		*ret_file = ar.source[0] == '@' ? ar.source + 1 : ar.source;
		*ret_line = (unsigned)ar.currentline;
		return;
	}
	*ret_file = "";
	*ret_line = 0;
}

static void begin(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits)
{
	if (sb->bytes > pressure(sb))
		mf_sandbox_collect(sb);
	sb->limit = limits->steps;
	sb->used = sb->unclocked = 0;
	sb->time_ns = limits->time_ns;
	sb->look_at = mf_clock_now(sb->opt.clock) +
		      (sb->opt.clock->cpu ? limits->time_ns / UNASKED_PART : limits->time_ns);
	sb->cpu_end = 0;
	sb->epoch++;
	sb->why = 0;
	sb->why_placed = false;
	sb->why_file[0] = '\0';
	sb->why_line = 0;
	sb->syntax = false;
	sb->resumed = 0;
	sb->longest = sb->kept_longest;
	sb->metas = sb->kept_metas;
	sb->block = 0;
	sb->running = sb->L;
	sb->interval = find_interval(sb);
	sb->active = true;
	lua_sethook(sb->L, on_hook, LUA_MASKCOUNT | (sb->lines ? LUA_MASKLINE : 0), sb->interval);
}

/* Split "file:line: text" where file is what Lua shows of a loaded chunk's name. */
static const char *split_place(lua_State *L, const char *msg, struct mf_err *err)
{
	const char *colon, *end, *file;
	unsigned long line;
	char *stop;

	for (colon = strchr(msg, ':'); colon; colon = strchr(colon + 1, ':')) {
		line = strtoul(colon + 1, &stop, 10);
		end = stop;
		if (end == colon + 1 || end[0] != ':' || end[1] != ' ' || colon == msg ||
		    (size_t)(colon - msg) >= LUA_IDSIZE)
			continue;
		file = mf_sandbox_find_file(L, msg, (size_t)(colon - msg));
		if (!file)
			continue;
		err->line = line <= 0xffffffffu ? (unsigned)line : 0;
		snprintf(err->file, sizeof(err->file), "%s", file);
		return end + 2;
	}
	return msg;
}

static int box_error(struct mf_sandbox *sb, int status, struct mf_err *err)
{
	lua_State *L = sb->L;
	struct mf_err place = { 0 };
	const char *msg;
	int code = sb->syntax ? MF_E_SYNTAX : MF_E_POLICY;

	switch (sb->why) {
	case 0:
		break;
	case MF_E_STEPS:
		return mf_err_at(err, sb->why, sb->why_file, sb->why_line, 0,
				 "the policy used up its %llu instructions",
				 (unsigned long long)sb->limit);
	case MF_E_TIME:
		return mf_err_at(err, sb->why, sb->why_file, sb->why_line, 0,
				 "the policy used up its time of %llu us",
				 (unsigned long long)(sb->time_ns / 1000));
	case MF_E_MEMORY:
		if (sb->why_what)
			return mf_err_at(err, sb->why, sb->why_file, sb->why_line, 0, "%s",
					 sb->why_what);
		return mf_err_at(err, sb->why, sb->why_file, sb->why_line, 0,
				 "the policy used up its %zu bytes of memory", sb->opt.memory);
	default:
		return mf_err_at(err, sb->why, sb->why_file, sb->why_line, 0, "the policy made %s",
				 sb->why_what);
	}
	if (status == LUA_ERRMEM)
		return mf_err_set(err, MF_E_MEMORY, "out of memory");
	if (lua_type(L, -1) != LUA_TSTRING)
		return mf_err_set(err, code, "the policy raised an error that is a %s, not a text",
				  luaL_typename(L, -1));
	msg = split_place(L, lua_tostring(L, -1), &place);
	return mf_err_at(err, code, place.file, place.line, 0, "%s", msg);
}

int mf_sandbox_run(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits, lua_CFunction fn,
		   void *arg, struct mf_sandbox_load *load, struct mf_err *err)
{
	lua_State *L = sb->L;
	int status, code = 0;

	if (mf_bug(sb->active))
		return mf_err_set(err, MF_E_BUG, "the sandbox is in a call already");
	begin(sb, limits);
	sb->load = load;
	// Neither push can raise: a light C function and a light userdata need no memory.
	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, arg);
	status = lua_pcall(L, 1, 0, 0);
	sb->active = false;
	sb->load = NULL;
	if (status != LUA_OK || sb->why)
		code = box_error(sb, status, err);
	lua_settop(L, 0);
	return code;
}

int mf_sandbox_call(struct mf_sandbox *sb, const struct mf_sandbox_limits *limits, lua_CFunction fn,
		    void *arg, struct mf_err *err)
{
	return mf_sandbox_run(sb, limits, fn, arg, NULL, err);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Life                                                                                                               */

static void add_library(lua_State *L, const char *name, void (*open)(lua_State *L))
{
	open(L);
	lua_setfield(L, -2, name);
}

static int open_libraries(lua_State *L)
{
	struct mf_sandbox *sb = lua_touserdata(L, 1);

	mf_purity_probe(L);
	lua_newtable(L);
	mf_lib_open_base(L);
	add_library(L, "string", mf_lib_open_string);
	add_library(L, "table", mf_lib_open_table);
	add_library(L, "math", mf_lib_open_math);
	add_library(L, "utf8", mf_lib_open_utf8);
	add_library(L, "coroutine", mf_lib_open_coroutine);
	sb->globals_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int mf_sandbox_new(const struct mf_sandbox_options *options, struct mf_sandbox **ret_sb,
		   struct mf_err *err)
{
	struct mf_sandbox *sb = calloc(1, sizeof(*sb));

	if (!sb)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	sb->opt = *options;
	if (!sb->opt.alloc)
		sb->opt.alloc = default_alloc;
	if (!sb->opt.string_max)
		sb->opt.string_max = MF_SANDBOX_STRING_MAX;
	sb->hard = sb->opt.memory;
	sb->soft = sb->hard - sb->hard / 4;
	sb->globals_ref = LUA_NOREF;
	sb->L = lua_newstate(on_alloc, sb);
	if (!sb->L) {
		free(sb);
		return mf_err_set(err, MF_E_NOMEM, "out of memory for a Lua state");
	}
	*(struct mf_sandbox **)lua_getextraspace(sb->L) = sb;
	sb->running = sb->L;
	lua_gc(sb->L, LUA_GCSTOP);
	lua_gc(sb->L, LUA_GCINC, 200, 100, 10);
	lua_pushcfunction(sb->L, open_libraries);
	lua_pushlightuserdata(sb->L, sb);
	if (lua_pcall(sb->L, 1, 0, 0) != LUA_OK) {
		mf_err_set(err, MF_E_NOMEM, "cannot open the policy library: %s",
			   lua_type(sb->L, -1) == LUA_TSTRING ? lua_tostring(sb->L, -1) : "?");
		mf_sandbox_free(sb);
		return MF_E_NOMEM;
	}
	lua_settop(sb->L, 0);
	sb->floor = sb->bytes;
	*ret_sb = sb;
	return 0;
}

void mf_sandbox_free(struct mf_sandbox *sb)
{
	if (!sb)
		return;
	lua_close(sb->L);
	mf_sandbox_free_names(sb);
	free(sb);
}

void mf_sandbox_push_globals(lua_State *L)
{
	lua_rawgeti(L, LUA_REGISTRYINDEX, mf_sandbox_of(L)->globals_ref);
}
