/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_pattern.c - Lua's patterns: find, match, gmatch, gsub (Lua 5.4 manual, 6.4.1)
 *
 * Matching backtracks, so its time has no bound in the lengths of text and pattern. Every character that is tested is
 * charged as one instruction, and the depth of recursion is limited as in Lua.
 */
#include "core/policy/lib_pattern.h"
#include "core/policy/lib_buf.h"

#include <string.h>

#define DEPTH_MAX    200 /* nested captures and repetitions in C, as in Lua */
#define CAPTURES_MAX 32
#define CHARGE_EVERY 128 /* steps that are gathered before they are charged */

#define OPEN	     (-1) /* length of a capture that has no end yet */
#define POSITION     (-2) /* length of "()" */

struct capture {
	const char *start;
	ptrdiff_t len;
};

struct matcher {
	lua_State *L;
	const char *text, *text_end;
	const char *pat_end;
	int depth;
	unsigned steps;
	int capture_cnt;
	struct capture capture[CAPTURES_MAX];
};

static const char *match_here(struct matcher *m, const char *s, const char *p);

static void count(struct matcher *m)
{
	if (++m->steps < CHARGE_EVERY)
		return;
	m->steps = 0;
	mf_sandbox_charge(m->L, CHARGE_EVERY);
}

static void settle(struct matcher *m)
{
	mf_sandbox_charge(m->L, m->steps + 1);
	m->steps = 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Characters and classes: ASCII, whatever the locale                                                                 */

static bool is_lower(int c)
{
	return c >= 'a' && c <= 'z';
}

static bool is_upper(int c)
{
	return c >= 'A' && c <= 'Z';
}

static bool is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static bool in_class(int c, int class)
{
	bool in;

	switch (class | 32) {
	case 'a':
		in = is_lower(c | 32);
		break;
	case 'c':
		in = c < 32 || c == 127;
		break;
	case 'd':
		in = is_digit(c);
		break;
	case 'g':
		in = c > 32 && c < 127;
		break;
	case 'l':
		in = is_lower(c);
		break;
	case 'p':
		in = c > 32 && c < 127 && !is_lower(c | 32) && !is_digit(c);
		break;
	case 's':
		in = c == ' ' || (c >= '\t' && c <= '\r');
		break;
	case 'u':
		in = is_upper(c);
		break;
	case 'w':
		in = is_lower(c | 32) || is_digit(c);
		break;
	case 'x':
		in = is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
		break;
	case 'z': // deprecated in 5.2, still there in 5.4
		in = c == 0;
		break;
	default:
		return class == c;
	}
	return is_upper(class) ? !in : in;
}

/* The end of the single-character item at @p. */
static const char *item_end(struct matcher *m, const char *p)
{
	char c = *p++;

	if (c == '%') {
		if (p == m->pat_end)
			luaL_error(m->L, "malformed pattern (ends with '%%')");
		return p + 1;
	}
	if (c != '[')
		return p;
	if (p < m->pat_end && *p == '^')
		p++;
	do { // a ']' that comes first stands for itself
		if (p == m->pat_end)
			luaL_error(m->L, "malformed pattern (missing ']')");
		count(m);
		if (*p++ == '%') {
			if (p == m->pat_end)
				luaL_error(m->L, "malformed pattern (missing ']')");
			p++;
		}
	} while (p == m->pat_end || *p != ']');
	return p + 1;
}

/* @p at '[', @last at its ']'. */
static bool in_set(struct matcher *m, int c, const char *p, const char *last)
{
	bool negated = p[1] == '^';

	for (p += 1 + negated; p < last; p++) {
		count(m);
		if (*p == '%') {
			if (in_class(c, (unsigned char)*++p))
				return !negated;
		} else if (p[1] == '-' && p + 2 < last) {
			if ((unsigned char)p[0] <= c && c <= (unsigned char)p[2])
				return !negated;
			p += 2;
		} else if ((unsigned char)*p == c) {
			return !negated;
		}
	}
	return negated;
}

/* Does the character at @s match the item from @p to @end? */
static bool match_item(struct matcher *m, const char *s, const char *p, const char *end)
{
	int c;

	count(m);
	if (s >= m->text_end)
		return false;
	c = (unsigned char)*s;
	switch (*p) {
	case '.':
		return true;
	case '%':
		return in_class(c, (unsigned char)p[1]);
	case '[':
		return in_set(m, c, p, end - 1);
	default:
		return (unsigned char)*p == c;
	}
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Items of more than one character                                                                                   */

static const char *match_balance(struct matcher *m, const char *s, const char *p)
{
	int nested = 1;

	if (m->pat_end - p < 2)
		luaL_error(m->L, "malformed pattern (missing arguments to '%%b')");
	if (s >= m->text_end || *s != p[0])
		return NULL;
	for (s++; s < m->text_end; s++) {
		count(m);
		if (*s == p[1]) {
			if (--nested == 0)
				return s + 1;
		} else if (*s == p[0]) {
			nested++;
		}
	}
	return NULL;
}

static const char *match_frontier(struct matcher *m, const char *s, const char **p)
{
	const char *set = *p, *end;
	int before, here;

	if (set >= m->pat_end || *set != '[')
		luaL_error(m->L, "missing '[' after '%%f' in pattern");
	end = item_end(m, set);
	before = s == m->text ? '\0' : (unsigned char)s[-1];
	here = s < m->text_end ? (unsigned char)*s : '\0';
	if (in_set(m, before, set, end - 1) || !in_set(m, here, set, end - 1))
		return NULL;
	*p = end;
	return s;
}

static const char *match_again(struct matcher *m, const char *s, int digit)
{
	int i = digit - '1';
	size_t len, n;

	if (i < 0 || i >= m->capture_cnt || m->capture[i].len == OPEN)
		luaL_error(m->L, "invalid capture index %%%d in pattern", i + 1);
	if (m->capture[i].len == POSITION)
		return NULL;
	len = (size_t)m->capture[i].len;
	for (n = 0; n < len / 16 + 1; n++)
		count(m);
	if ((size_t)(m->text_end - s) < len || memcmp(m->capture[i].start, s, len) != 0)
		return NULL;
	return s + len;
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t len)
{
	const char *end;

	if (m->capture_cnt == CAPTURES_MAX)
		luaL_error(m->L, "too many captures");
	m->capture[m->capture_cnt++] = (struct capture){ s, len };
	end = match_here(m, s, p);
	if (!end)
		m->capture_cnt--;
	return end;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p)
{
	const char *end;
	int i = m->capture_cnt - 1;

	while (i >= 0 && m->capture[i].len != OPEN)
		i--;
	if (i < 0)
		luaL_error(m->L, "invalid pattern capture");
	m->capture[i].len = s - m->capture[i].start;
	end = match_here(m, s, p);
	if (!end)
		m->capture[i].len = OPEN;
	return end;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The matcher                                                                                                        */

/* As many as there are, at least @least, then fewer until the rest of the pattern matches. */
static const char *match_most(struct matcher *m, const char *s, const char *p, const char *end,
			      ptrdiff_t least)
{
	const char *rest;
	ptrdiff_t n = 0;

	while (match_item(m, s + n, p, end))
		n++;
	for (; n >= least; n--) {
		rest = match_here(m, s + n, end + 1);
		if (rest)
			return rest;
	}
	return NULL;
}

static const char *match_fewest(struct matcher *m, const char *s, const char *p, const char *end)
{
	const char *rest;

	for (;;) {
		rest = match_here(m, s, end + 1);
		if (rest)
			return rest;
		if (!match_item(m, s, p, end))
			return NULL;
		s++;
	}
}

/* An item that begins with '%' and is no class; *@ret is the end of the match of all that follows, or NULL. */
static bool match_special(struct matcher *m, const char **s, const char **p)
{
	const char *at = *p + 2;

	switch ((*p)[1]) {
	case 'b':
		*s = match_balance(m, *s, at);
		*p = at + 2;
		return true;
	case 'f':
		*s = match_frontier(m, *s, &at);
		*p = at;
		return true;
	case '0':
	case '1':
	case '2':
	case '3':
	case '4':
	case '5':
	case '6':
	case '7':
	case '8':
	case '9':
		*s = match_again(m, *s, (unsigned char)(*p)[1]);
		*p = at;
		return true;
	default:
		return false;
	}
}

/* The end of the match of the pattern from @p on at @s, or NULL. Plain items loop, the others recur. */
static const char *match_loop(struct matcher *m, const char *s, const char *p)
{
	const char *end, *rest;

	while (s && p < m->pat_end) {
		count(m);
		if (*p == '(')
			return p + 1 < m->pat_end && p[1] == ')'
				       ? open_capture(m, s, p + 2, POSITION)
				       : open_capture(m, s, p + 1, OPEN);
		if (*p == ')')
			return close_capture(m, s, p + 1);
		if (*p == '$' && p + 1 == m->pat_end)
			return s == m->text_end ? s : NULL;
		if (*p == '%' && p + 1 < m->pat_end && match_special(m, &s, &p))
			continue;
		end = item_end(m, p);
		switch (end < m->pat_end ? *end : '\0') {
		case '?':
			if (match_item(m, s, p, end)) {
				rest = match_here(m, s + 1, end + 1);
				if (rest)
					return rest;
			}
			p = end + 1;
			break;
		case '+':
			return match_most(m, s, p, end, 1);
		case '*':
			return match_most(m, s, p, end, 0);
		case '-':
			return match_fewest(m, s, p, end);
		default:
			if (!match_item(m, s, p, end))
				return NULL;
			s++;
			p = end;
		}
	}
	return s;
}

static const char *match_here(struct matcher *m, const char *s, const char *p)
{
	const char *end;

	if (++m->depth > DEPTH_MAX)
		luaL_error(m->L, "pattern too complex");
	end = match_loop(m, s, p);
	m->depth--;
	return end;
}

static void begin(struct matcher *m, lua_State *L, const char *s, size_t len, const char *p,
		  size_t plen)
{
	m->L = L;
	m->text = s;
	m->text_end = s + len;
	m->pat_end = p + plen;
	m->steps = 0;
}

static const char *match_at(struct matcher *m, const char *s, const char *p)
{
	m->depth = 0;
	m->capture_cnt = 0;
	return match_here(m, s, p);
}

/* Push capture @i; the whole match from @s to @end stands for the first of none. */
static void push_capture(struct matcher *m, int i, const char *s, const char *end)
{
	const struct capture *c = &m->capture[i];

	if (i >= m->capture_cnt) {
		if (i != 0)
			luaL_error(m->L, "invalid capture index %%%d", i + 1);
		lua_pushlstring(m->L, s, (size_t)(end - s));
	} else if (c->len == POSITION) {
		lua_pushinteger(m->L, c->start - m->text + 1);
	} else {
		if (c->len == OPEN)
			luaL_error(m->L, "unfinished capture");
		lua_pushlstring(m->L, c->start, (size_t)c->len);
	}
}

/* Push all captures; with @s the whole match where there are none. Return: how many */
static int push_captures(struct matcher *m, const char *s, const char *end)
{
	int i, n = m->capture_cnt == 0 && s ? 1 : m->capture_cnt;

	luaL_checkstack(m->L, n, "too many captures");
	for (i = 0; i < n; i++)
		push_capture(m, i, s, end);
	return n;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* find, match                                                                                                        */

/* The first @p in @s; @plen > 0. memchr() and memcmp() are charged for what they may look at. */
static const char *find_plain(lua_State *L, const char *s, size_t len, const char *p, size_t plen)
{
	const char *at;

	mf_sandbox_charge(L, 1 + len / 64);
	for (; len >= plen; len -= (size_t)(at + 1 - s), s = at + 1) {
		at = memchr(s, p[0], len - plen + 1);
		if (!at)
			return NULL;
		mf_sandbox_charge(L, 1 + plen / 64);
		if (memcmp(at, p, plen) == 0)
			return at;
	}
	return NULL;
}

static bool has_specials(lua_State *L, const char *p, size_t len)
{
	size_t i;

	mf_sandbox_charge(L, 1 + len / 16);
	for (i = 0; i < len; i++) {
		if (p[i] && strchr("^$*+?.([%-", p[i]))
			return true;
	}
	return false;
}

static int find(lua_State *L, bool want_place)
{
	size_t len, plen, init;
	const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &plen), *at,
		   *end;
	struct matcher m;
	bool anchored;

	init = mf_lib_start(luaL_optinteger(L, 3, 1), len) - 1;
	if (init > len) {
		luaL_pushfail(L);
		return 1;
	}
	if (want_place && (lua_toboolean(L, 4) || !has_specials(L, p, plen))) {
		at = plen ? find_plain(L, s + init, len - init, p, plen) : s + init;
		if (!at) {
			luaL_pushfail(L);
			return 1;
		}
		lua_pushinteger(L, at - s + 1);
		lua_pushinteger(L, at - s + (lua_Integer)plen);
		return 2;
	}
	begin(&m, L, s, len, p, plen);
	anchored = plen > 0 && *p == '^';
	p += anchored;
	for (at = s + init; at <= m.text_end; at++) {
		end = match_at(&m, at, p);
		if (end) {
			settle(&m);
			if (!want_place)
				return push_captures(&m, at, end);
			lua_pushinteger(L, at - s + 1);
			lua_pushinteger(L, end - s);
			return push_captures(&m, NULL, NULL) + 2;
		}
		if (anchored)
			break;
	}
	settle(&m);
	luaL_pushfail(L);
	return 1;
}

int mf_lib_find(lua_State *L)
{
	return find(L, true);
}

int mf_lib_match(lua_State *L)
{
	return find(L, false);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* gmatch, gsub                                                                                                       */

/* Upvalues: text, pattern, where to go on, end of the last match (-1 for none), mark. */
static int next_match(lua_State *L)
{
	size_t len, plen;
	const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
	const char *p = lua_tolstring(L, lua_upvalueindex(2), &plen), *at, *end;
	lua_Integer from = lua_tointeger(L, lua_upvalueindex(3)),
		    last = lua_tointeger(L, lua_upvalueindex(4));
	struct matcher m;

	begin(&m, L, s, len, p, plen);
	for (at = s + from; at <= m.text_end; at++) {
		end = match_at(&m, at, p);
		if (!end ||
		    end - s == last) // an empty match right behind the last one does not count
			continue;
		settle(&m);
		lua_pushinteger(L, end - s);
		lua_copy(L, -1, lua_upvalueindex(3));
		lua_replace(L, lua_upvalueindex(4));
		return push_captures(&m, at, end);
	}
	settle(&m);
	return 0;
}

int mf_lib_gmatch(lua_State *L)
{
	size_t len, init;

	luaL_checklstring(L, 1, &len);
	luaL_checkstring(L, 2);
	init = mf_lib_start(luaL_optinteger(L, 3, 1), len) - 1;
	lua_settop(L, 2);
	lua_pushinteger(L, (lua_Integer)(init > len ? len + 1 : init));
	lua_pushinteger(L, -1);
	lua_pushlightuserdata(L, (void *)(uintptr_t)&mf_lib_transient);
	lua_pushcclosure(L, next_match, 5);
	return 1;
}

/* Add the replacement text at index 3, with its captures filled in. */
static void add_text(struct matcher *m, struct mf_buf *b, const char *s, const char *end)
{
	lua_State *L = m->L;
	size_t len, n;
	const char *text = lua_tolstring(L, 3, &len), *mark;

	for (; len; len -= n, text += n) {
		mark = memchr(text, '%', len);
		n = mark ? (size_t)(mark - text) : len;
		mf_buf_add(L, b, text, n);
		if (!mark)
			return;
		if (n + 1 == len || (mark[1] != '%' && !is_digit((unsigned char)mark[1])))
			luaL_error(L, "invalid use of '%%' in replacement string");
		if (mark[1] == '%') {
			mf_buf_addc(L, b, '%');
		} else if (mark[1] == '0') {
			mf_buf_add(L, b, s, (size_t)(end - s));
		} else {
			size_t clen;
			const char *c;

			push_capture(m, mark[1] - '1', s, end);
			c = lua_tolstring(L, -1, &clen);
			mf_buf_add(L, b, c, clen);
			lua_pop(L, 1);
		}
		n += 2;
	}
}

/* Add what replaces the match from @s to @end. */
static void add_replacement(struct matcher *m, struct mf_buf *b, const char *s, const char *end)
{
	lua_State *L = m->L;
	size_t len;
	const char *text;

	settle(m);
	switch (lua_type(L, 3)) {
	case LUA_TFUNCTION:
		lua_pushvalue(L, 3);
		lua_call(L, push_captures(m, s, end), 1);
		break;
	case LUA_TTABLE:
		push_capture(m, 0, s, end);
		lua_gettable(L, 3);
		break;
	default:
		add_text(m, b, s, end);
		return;
	}
	if (!lua_toboolean(L, -1)) {
		mf_buf_add(L, b, s, (size_t)(end - s));
	} else {
		if (!lua_isstring(L, -1))
			luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
		text = lua_tolstring(L, -1, &len);
		mf_buf_add(L, b, text, len);
	}
	lua_pop(L, 1);
}

int mf_lib_gsub(lua_State *L)
{
	size_t len, plen;
	const char *s = luaL_checklstring(L, 1, &len), *p = luaL_checklstring(L, 2, &plen), *end,
		   *last = NULL;
	int type = lua_type(L, 3);
	lua_Integer max, n = 0;
	bool anchored;
	struct matcher m;
	struct mf_buf b;

	luaL_argexpected(L,
			 type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
				 type == LUA_TTABLE,
			 3, "string/function/table");
	max = luaL_optinteger(L, 4, (lua_Integer)len + 1);
	anchored = plen > 0 && *p == '^';
	begin(&m, L, s, len, p, plen);
	p += anchored;
	lua_settop(L, 3);
	mf_buf_init(L, &b);
	while (n < max) {
		end = match_at(&m, s, p);
		if (end && end != last) {
			n++;
			add_replacement(&m, &b, s, end);
			s = last = end;
		} else if (s < m.text_end) {
			mf_buf_addc(L, &b, *s++);
		} else {
			break;
		}
		if (anchored)
			break;
	}
	settle(&m);
	mf_buf_add(L, &b, s, (size_t)(m.text_end - s));
	mf_buf_push(L, &b);
	lua_pushinteger(L, n);
	return 2;
}
