/* SPDX-License-Identifier: Apache-2.0 */
/*
 * purity.c - does a function assign to a variable that outlives the call?
 *
 * Lua's API does not say whether a function writes its upvalues, but its bytecode does, and lua_dump() hands that out in
 * the format of the very library that runs. So the dump of each function that outlives a call is read: OP_SETUPVAL in the
 * function, or in a function within it that shares the variable, is an assignment. It does not matter whether it would
 * ever run. A function whose variables are all its own passes, and so does one that nothing keeps.
 *
 * The same reading finds what a chunk may not contain at all: variables with <close>, and concatenations of so many
 * parts that one instruction would copy megabytes.
 *
 * The numbers below are those of Lua 5.4 (lopcodes.h, ldump.c). mf_purity_probe() compiles functions with known contents
 * and refuses to go on when the reading does not give exactly these: another Lua is then found before a policy is run.
 */
#include "core/policy/sandbox_internal.h"

#include <string.h>

#define OP_SETUPVAL 10
#define OP_CONCAT   53
#define OP_TBC	    55

#define CONCAT_MAX \
	24 /* parts of one a..b..c; times the longest string: what one instruction may copy */
#define NESTED_MAX   250 /* functions in functions; Lua's parser stops at 200 */
#define UPVALUES_MAX 256
#define CLOCKED	     1024   /* parts of a dump that are read between two looks at the clock */
#define ABS_LINE     (-128) /* in lineinfo: look into abslineinfo */

struct dump {
	lua_State *L;
	const uint8_t *pos, *end;
	unsigned taken; /* since the clock was read */
	size_t longest; /* constant */
	bool bad;	/* not the format that this file knows */
	/* what was found in any function, by its first line; 0 for nothing */
	unsigned close_line, concat_line;
	/* upvalues of the outermost function */
	unsigned assigned[UPVALUES_MAX];
	const char *name[UPVALUES_MAX];
	size_t name_len[UPVALUES_MAX];
};

/* One function of the dump. */
struct proto {
	const uint8_t *code;
	size_t code_cnt;
	const uint8_t
		*upvalues; /* three bytes each: in the stack of the function around, index, kind */
	size_t upvalue_cnt;
	unsigned line_defined;
	const int8_t *lines; /* per instruction, difference to the one before */
	size_t line_cnt;
	struct dump abs; /* stands at the list of (instruction, absolute line) */
	unsigned assigned[UPVALUES_MAX];
};

/* ------------------------------------------------------------------------------------------------------------------ */
/* Reading a dump                                                                                                     */

static const uint8_t *take(struct dump *d, size_t len)
{
	const uint8_t *p = d->pos;

	if (++d->taken >= CLOCKED && d->L) {
		d->taken = 0;
		mf_sandbox_check_time(d->L);
	}
	if (d->bad || len > (size_t)(d->end - d->pos)) {
		d->bad = true;
		return NULL;
	}
	d->pos += len;
	return p;
}

static uint8_t take_byte(struct dump *d)
{
	const uint8_t *p = take(d, 1);

	return p ? *p : 0;
}

/* Seven bits a byte, the high ones first; the last byte has its top bit set. */
static size_t take_size(struct dump *d)
{
	size_t v = 0;
	unsigned n;
	uint8_t b;

	for (n = 0; n < 10; n++) {
		b = take_byte(d);
		v = v << 7 | (b & 0x7f);
		if (b & 0x80)
			return v;
		if (d->bad)
			return 0;
	}
	d->bad = true;
	return 0;
}

/* A number of things that take at least one byte each. */
static size_t take_count(struct dump *d)
{
	size_t n = take_size(d);

	if (n > (size_t)(d->end - d->pos))
		d->bad = true;
	return d->bad ? 0 : n;
}

static const char *take_string(struct dump *d, size_t *ret_len)
{
	size_t size = take_size(d);

	*ret_len = size ? size - 1 : 0;
	return size ? (const char *)take(d, size - 1) : NULL;
}

static void skip_constants(struct dump *d)
{
	size_t n = take_count(d), len;

	while (n-- && !d->bad) {
		switch (take_byte(d)) {
		case 0x00: // nil, false, true
		case 0x01:
		case 0x11:
			break;
		case 0x03: // integer, float
		case 0x13:
			take(d, 8);
			break;
		case 0x04: // short, long string
		case 0x14:
			take_string(d, &len);
			if (len > d->longest)
				d->longest = len;
			break;
		default:
			d->bad = true;
		}
	}
}

static uint32_t instruction(const struct proto *p, size_t pc)
{
	uint32_t i;

	memcpy(&i, p->code + pc * sizeof(i), sizeof(i));
	return i;
}

static unsigned line_of(const struct proto *p, size_t pc)
{
	const uint8_t *pos = p->abs.pos;
	struct dump abs = { .pos = pos, .end = p->abs.end };
	size_t n = take_count(&abs), at, i, from = 0;
	int64_t line = p->line_defined;
	unsigned at_line;

	if (pc >= p->line_cnt)
		return p->line_defined;
	while (n--) { // the last absolute line at or before pc
		at = take_size(&abs);
		at_line = (unsigned)take_size(&abs);
		if (abs.bad || at > pc)
			break;
		from = at + 1;
		line = at_line;
	}
	for (i = from; i <= pc; i++)
		line += p->lines[i] == ABS_LINE ? 0 : p->lines[i];
	return line > 0 ? (unsigned)line : p->line_defined;
}

static void note_line(unsigned *first, unsigned line)
{
	if (*first == 0 || line < *first)
		*first = line;
}

static void scan_code(struct dump *d, struct proto *p)
{
	uint32_t ins, b;
	size_t pc;

	mf_sandbox_charge(d->L, p->code_cnt / 8);
	for (pc = 0; pc < p->code_cnt; pc++) {
		ins = instruction(p, pc);
		b = ins >> 16 & 0xff;
		switch (ins & 0x7f) {
		case OP_SETUPVAL:
			note_line(&p->assigned[b], line_of(p, pc));
			break;
		case OP_CONCAT:
			if (b > CONCAT_MAX)
				note_line(&d->concat_line, line_of(p, pc));
			break;
		case OP_TBC:
			note_line(&d->close_line, line_of(p, pc));
			break;
		default:
			break;
		}
	}
}

static void read_debug(struct dump *d, struct proto *p, bool outermost)
{
	size_t n, len, i;
	const char *name;

	p->line_cnt = take_count(d);
	p->lines = (const int8_t *)take(d, p->line_cnt);
	p->abs = *d;
	for (n = take_count(d); n && !d->bad; n--) {
		take_size(d);
		take_size(d);
	}
	for (n = take_count(d); n && !d->bad; n--) { // local variables
		take_string(d, &len);
		take_size(d);
		take_size(d);
	}
	n = take_count(d);
	for (i = 0; i < n && !d->bad; i++) {
		name = take_string(d, &len);
		if (outermost && i < UPVALUES_MAX) {
			d->name[i] = name;
			d->name_len[i] = len;
		}
	}
}

/* Read one function; assignments to variables that it shares with the function around go to @outer. */
static void read_function(struct dump *d, unsigned depth, unsigned *outer)
{
	struct proto p = { 0 };
	size_t n, len, i;

	if (depth > NESTED_MAX)
		d->bad = true;
	take_string(d, &len);
	p.line_defined = (unsigned)take_size(d);
	take_size(d);
	take(d, 3);
	p.code_cnt = take_count(d);
	p.code = take(d, p.code_cnt * sizeof(uint32_t));
	skip_constants(d);
	p.upvalue_cnt = take_count(d);
	p.upvalues = take(d, p.upvalue_cnt * 3);
	if (d->bad || p.upvalue_cnt > UPVALUES_MAX) {
		d->bad = true;
		return;
	}
	for (n = take_count(d); n && !d->bad; n--)
		read_function(d, depth + 1, p.assigned);
	read_debug(d, &p, depth == 0);
	if (d->bad)
		return;
	scan_code(d, &p);
	for (i = 0; i < p.upvalue_cnt; i++) {
		if (!p.assigned[i])
			continue;
		if (depth == 0)
			outer[i] = p.assigned[i];
		else if (!p.upvalues[i * 3])
			note_line(&outer[p.upvalues[i * 3 + 1]], p.assigned[i]);
	}
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Dumping                                                                                                            */

/* "\x1bLua", version 5.4, format 0, six bytes that text mode would spoil, sizes of instruction, integer, float, and one
 * value of the last two. */
static const uint8_t header[] = { 0x1b, 'L', 'u', 'a', 0x54, 0,	   0x19, 0x93, '\r', '\n', 0x1a,
				  '\n', 4,   8,	  8,   0x78, 0x56, 0,	 0,    0,    0,	   0,
				  0,	0,   0,	  0,   0,    0,	   0x28, 0x77, 0x40 };

struct writer {
	uint8_t *buf; /* NULL: count only */
	size_t len, room;
};

static int write_piece(lua_State *L, const void *piece, size_t len, void *ctx)
{
	struct writer *w = ctx;

	mf_sandbox_charge(L, len / 64 + 1);
	if (w->buf) {
		if (len > w->room - w->len)
			return 1;
		memcpy(w->buf + w->len, piece, len);
	}
	w->len += len;
	return 0;
}

/* Read the Lua function at @idx into @d. Leaves the dump, which @d points into, on the stack. */
static void read_dump(lua_State *L, int idx, struct dump *d)
{
	struct writer w = { 0 };

	memset(d, 0, sizeof(*d));
	d->L = L;
	lua_pushvalue(L, idx);
	d->bad = lua_dump(L, write_piece, &w, 0) != 0;
	w.room = w.len;
	w.len = 0;
	w.buf = lua_newuserdatauv(L, w.room, 0);
	lua_insert(L, -2);
	d->bad |= lua_dump(L, write_piece, &w, 0) != 0;
	lua_pop(L, 1);
	d->pos = w.buf;
	d->end = w.buf + w.len;
	if (d->bad || w.len < sizeof(header) + 1 || memcmp(w.buf, header, sizeof(header)) != 0)
		d->bad = true;
	else
		take(d, sizeof(header) + 1); // and the number of upvalues
	if (!d->bad)
		read_function(d, 0, d->assigned);
	if (d->bad)
		luaL_error(L, "cannot read the bytecode of this Lua");
}

/* Push the name of the file of the Lua function at @idx as it stands in messages. */
static const char *push_file(lua_State *L, int idx)
{
	lua_Debug ar;

	lua_pushvalue(L, idx);
	lua_getinfo(L, ">S", &ar);
	return lua_pushstring(L, ar.short_src);
}

void mf_purity_check(lua_State *L, int idx)
{
	int top = lua_gettop(L);
	size_t i, first = UPVALUES_MAX;
	struct dump d;

	luaL_checkstack(L, 8, "purity");
	read_dump(L, idx, &d);
	mf_sandbox_keep_string(L, d.longest);
	for (i = 0; i < UPVALUES_MAX; i++) {
		if (d.assigned[i] && (first == UPVALUES_MAX || d.assigned[i] < d.assigned[first]))
			first = i;
	}
	if (first < UPVALUES_MAX) {
		const char *file = push_file(L, idx);
		const char *name = lua_pushlstring(L, d.name[first] ? d.name[first] : "?",
						   d.name[first] ? d.name_len[first] : 1);

		lua_pushfstring(L,
				"%s:%d: assignment to outer variable '%s', which outlives the call "
				"(state that "
				"a policy needs is a counter of the runtime, see counter())",
				file, (int)d.assigned[first], strlen(name) < 100 ? name : "?");
		lua_error(L);
	}
	lua_settop(L, top);
}

void mf_purity_lint(lua_State *L, int idx)
{
	int top = lua_gettop(L);
	const char *file;
	struct dump d;

	luaL_checkstack(L, 8, "purity");
	read_dump(L, idx, &d);
	file = push_file(L, idx);
	if (d.close_line) {
		lua_pushfstring(L,
				"%s:%d: a policy cannot have variables with <close>: it holds "
				"nothing that needs closing",
				file, (int)d.close_line);
		lua_error(L);
	}
	if (d.concat_line) {
		lua_pushfstring(L,
				"%s:%d: more than %d parts in one concatenation: use "
				"table.concat() or string.format()",
				file, (int)d.concat_line, CONCAT_MAX);
		lua_error(L);
	}
	lua_settop(L, top);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The probe                                                                                                          */

static const char probe[] = "local n, m = 0, 0\n"
			    "return function(a)\n"
			    "  local own = 1\n"
			    "  local function f() own = 2 return m end\n"
			    "  return f, function() return function()\n"
			    "    n = n + 1 end end\n"
			    "end\n";

static void compile_probe(lua_State *L, const char *text)
{
	if (luaL_loadbufferx(L, text, strlen(text), "=probe", "t") != LUA_OK)
		lua_error(L);
}

void mf_purity_probe(lua_State *L)
{
	int top = lua_gettop(L), i, hits = 0;
	struct dump d;

	compile_probe(L, probe);
	lua_call(L, 0, 1);
	read_dump(L, lua_gettop(L), &d);
	for (i = 0; i < UPVALUES_MAX; i++) {
		if (d.assigned[i] == 6 && d.name_len[i] == 1 && d.name[i][0] == 'n')
			hits++;
		else if (d.assigned[i])
			hits = -1000;
	}
	if (hits != 1 || d.close_line || d.concat_line)
		luaL_error(L,
			   "the bytecode of this Lua is not the one that the purity check knows");
	compile_probe(L, "\nlocal a <close> = nil");
	read_dump(L, lua_gettop(L), &d);
	if (d.close_line != 2)
		luaL_error(L, "the purity check does not find <close> in this Lua's bytecode");
	compile_probe(L,
		      "local a\nreturn "
		      "a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a..a");
	read_dump(L, lua_gettop(L), &d);
	if (d.concat_line != 2)
		luaL_error(L,
			   "the purity check does not find concatenation in this Lua's bytecode");
	lua_settop(L, top);
}
