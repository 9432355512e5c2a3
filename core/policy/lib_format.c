/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lib_format.c - string.format (Lua 5.4 manual, 6.4)
 *
 * Width and precision have at most two digits. There is no %p: an address would differ from one run to the next.
 * Numbers are written by snprintf(); a host program that changes LC_NUMERIC changes the decimal point of %f as everywhere.
 */
#include "core/policy/lib_buf.h"
#include "core/policy/lib_pattern.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NUMBER_MAX 512 /* the longest number: %99.99f of 1e308 */

struct spec {
	char flags[8];
	int width;     /* -1: none */
	int precision; /* -1: none */
	bool left;
	char conversion;
};

static const char *read_number(const char *p, const char *end, int *ret)
{
	int digits;

	*ret = 0;
	for (digits = 0; p < end && *p >= '0' && *p <= '9'; digits++, p++) {
		if (digits == 2)
			return NULL;
		*ret = *ret * 10 + (*p - '0');
	}
	return p;
}

/* Read what stands between '%' and the conversion, and the latter. */
static const char *read_spec(lua_State *L, const char *p, const char *end, struct spec *ret)
{
	const char *start = p;
	size_t n = 0;

	*ret = (struct spec){ .width = -1, .precision = -1 };
	for (; p < end && *p && strchr("-+ #0", *p); p++) {
		if (strchr(ret->flags, *p) || n + 1 >= sizeof(ret->flags))
			goto bad;
		ret->flags[n++] = *p;
	}
	ret->left = strchr(ret->flags, '-') != NULL;
	if (p < end && *p >= '0' && *p <= '9')
		p = read_number(p, end, &ret->width);
	if (p && p < end && *p == '.')
		p = read_number(p + 1, end, &ret->precision);
	if (!p || p == end)
		goto bad;
	ret->conversion = *p;
	return p + 1;
bad:
	if (end - start > 16)
		end = start + 16;
	lua_pushlstring(L, start, (size_t)(end - start));
	luaL_error(L, "invalid conversion '%%%s' to 'format'", lua_tostring(L, -1));
	return NULL;
}

/* The C format of @spec with the length modifier @mod. */
static void build(const struct spec *spec, const char *mod, char *fmt, size_t size)
{
	char width[12] = "", precision[16] = "";

	if (spec->width >= 0)
		snprintf(width, sizeof(width), "%d", spec->width);
	if (spec->precision >= 0)
		snprintf(precision, sizeof(precision), ".%d", spec->precision);
	snprintf(fmt, size, "%%%s%s%s%s%c", spec->flags, width, precision, mod, spec->conversion);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* built above from checked parts */

static void add_integer(lua_State *L, struct mf_buf *b, const struct spec *spec, int arg)
{
	char fmt[64], text[NUMBER_MAX];
	int n;

	build(spec, "ll", fmt, sizeof(fmt));
	n = snprintf(text, sizeof(text), fmt, (long long)luaL_checkinteger(L, arg));
	mf_buf_add(L, b, text, (size_t)n);
}

static void add_float(lua_State *L, struct mf_buf *b, const struct spec *spec, int arg)
{
	char fmt[64], text[NUMBER_MAX];
	int n;

	build(spec, "", fmt, sizeof(fmt));
	n = snprintf(text, sizeof(text), fmt, luaL_checknumber(L, arg));
	mf_sandbox_charge(L, 8); // long numbers take a while
	mf_buf_add(L, b, text, (size_t)n);
}

#pragma GCC diagnostic pop

static void add_spaces(lua_State *L, struct mf_buf *b, size_t cnt)
{
	memset(mf_buf_reserve(L, b, cnt), ' ', cnt);
	b->len += cnt;
}

static void add_padded(lua_State *L, struct mf_buf *b, const struct spec *spec, const char *s,
		       size_t len)
{
	size_t pad;

	if (spec->precision >= 0 && len > (size_t)spec->precision)
		len = (size_t)spec->precision;
	pad = spec->width > 0 && (size_t)spec->width > len ? (size_t)spec->width - len : 0;
	if (!spec->left)
		add_spaces(L, b, pad);
	mf_buf_add(L, b, s, len);
	if (spec->left)
		add_spaces(L, b, pad);
}

static void add_quoted(lua_State *L, struct mf_buf *b, const char *s, size_t len)
{
	char esc[8];
	size_t i;

	mf_sandbox_charge(L, 1 + len / 8);
	mf_buf_addc(L, b, '"');
	for (i = 0; i < len; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == '"' || c == '\\' || c == '\n') {
			mf_buf_addc(L, b, '\\');
			mf_buf_addc(L, b, (char)c);
		} else if (c < 32 || c == 127) {
			bool digit = i + 1 < len && s[i + 1] >= '0' && s[i + 1] <= '9';

			snprintf(esc, sizeof(esc), digit ? "\\%03d" : "\\%d", c);
			mf_buf_add(L, b, esc, strlen(esc));
		} else {
			mf_buf_addc(L, b, (char)c);
		}
	}
	mf_buf_addc(L, b, '"');
}

/* %q of a float: exact, and readable by Lua. */
static void format_float(char *text, size_t size, lua_Number n)
{
	if (n == HUGE_VAL)
		snprintf(text, size, "1e9999");
	else if (n == -HUGE_VAL)
		snprintf(text, size, "-1e9999");
	else if (n != n)
		snprintf(text, size, "(0/0)");
	else
		snprintf(text, size, "%a", n);
}

static void add_literal(lua_State *L, struct mf_buf *b, int arg)
{
	char text[64];
	const char *s;
	size_t len;

	switch (lua_type(L, arg)) {
	case LUA_TSTRING:
		s = lua_tolstring(L, arg, &len);
		add_quoted(L, b, s, len);
		return;
	case LUA_TNUMBER:
		if (!lua_isinteger(L, arg))
			format_float(text, sizeof(text), lua_tonumber(L, arg));
		else if (lua_tointeger(L, arg) == LUA_MININTEGER)
			snprintf(text, sizeof(text), "0x%" PRIx64, (uint64_t)lua_tointeger(L, arg));
		else
			snprintf(text, sizeof(text), "%" PRId64, (int64_t)lua_tointeger(L, arg));
		break;
	case LUA_TNIL:
	case LUA_TBOOLEAN:
		snprintf(text, sizeof(text), "%s",
			 lua_isnil(L, arg)	 ? "nil"
			 : lua_toboolean(L, arg) ? "true"
						 : "false");
		break;
	default:
		luaL_argerror(L, arg, "value has no literal form");
		return;
	}
	mf_buf_add(L, b, text, strlen(text));
}

static void check_flags(lua_State *L, const struct spec *spec, const char *allowed, bool precision)
{
	const char *f;

	for (f = spec->flags; *f; f++) {
		if (!strchr(allowed, *f))
			luaL_error(L, "invalid flag '%c' for conversion '%%%c' to 'format'", *f,
				   spec->conversion);
	}
	if (!precision && spec->precision >= 0)
		luaL_error(L, "conversion '%%%c' to 'format' takes no precision", spec->conversion);
}

static void add_argument(lua_State *L, struct mf_buf *b, const struct spec *spec, int arg)
{
	size_t len;
	const char *s;
	char c;

	luaL_checkany(L, arg);
	switch (spec->conversion) {
	case 'c':
		check_flags(L, spec, "-", false);
		c = (char)luaL_checkinteger(L, arg);
		add_padded(L, b, spec, &c, 1);
		break;
	case 'd':
	case 'i':
		check_flags(L, spec, "-+0 ", true);
		add_integer(L, b, spec, arg);
		break;
	case 'o':
	case 'x':
	case 'X':
		check_flags(L, spec, "-#0", true);
		add_integer(L, b, spec, arg);
		break;
	case 'u':
		check_flags(L, spec, "-0", true);
		add_integer(L, b, spec, arg);
		break;
	case 'a':
	case 'A':
	case 'e':
	case 'E':
	case 'f':
	case 'F':
	case 'g':
	case 'G':
		check_flags(L, spec, "-+#0 ", true);
		add_float(L, b, spec, arg);
		break;
	case 's':
		check_flags(L, spec, "-", true);
		s = mf_lib_tostring(L, arg, &len);
		add_padded(L, b, spec, s, len);
		lua_pop(L, 1);
		break;
	case 'q':
		if (spec->flags[0] || spec->width >= 0 || spec->precision >= 0)
			luaL_error(L, "specifier '%%q' cannot have modifiers");
		add_literal(L, b, arg);
		break;
	case 'p':
		luaL_error(L,
			   "'%%p' is not there for policies: an address differs from run to run");
		break;
	default:
		luaL_error(L, "invalid conversion '%%%c' to 'format'", spec->conversion);
	}
}

int mf_lib_format(lua_State *L)
{
	int top = lua_gettop(L), arg = 1;
	size_t len;
	const char *p = luaL_checklstring(L, 1, &len), *end = p + len, *mark;
	struct spec spec;
	struct mf_buf b;

	mf_buf_init(L, &b);
	while (p < end) {
		mark = memchr(p, '%', (size_t)(end - p));
		mf_buf_add(L, &b, p, (size_t)((mark ? mark : end) - p));
		if (!mark)
			break;
		p = mark + 1;
		if (p < end && *p == '%') {
			mf_buf_addc(L, &b, *p++);
			continue;
		}
		p = read_spec(L, p, end, &spec);
		if (++arg > top)
			return luaL_argerror(L, arg, "no value");
		add_argument(L, &b, &spec, arg);
	}
	mf_buf_push(L, &b);
	return 1;
}
