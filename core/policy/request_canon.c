/* SPDX-License-Identifier: Apache-2.0 */
/* request_canon.c - text as fields hold it: names, paths, words; see request.h */
#include <string.h>

#include "core/base/err.h"
#include "core/names/canonical.h"
#include "core/policy/request_int.h"

/*
 * Plain names of 8 to 63 bytes, eight bytes at a time; the last eight may overlap the ones before. Return: false for all
 * that needs a closer look.
 */
static bool canon_plain_words(const char *str, size_t len, char *out)
{
	uint64_t w, upper, hyphen, dot, good, all = MF_WORD_HIGH, dots = 0, hyphens = 0;
	size_t at, i = 0;

	do {
		at = i + 8 <= len ? i : len - 8;
		w = mf_word_load8(str + at);
		upper = mf_word_bytes_between(w, 'A', 'Z');
		w |= upper >> 2; /* 0x20 */
		hyphen = mf_word_bytes_equal(w, '-');
		dot = mf_word_bytes_equal(w, '.');
		good = mf_word_bytes_between(w, 'a', 'z') | mf_word_bytes_between(w, '0', '9');
		all &= good | hyphen | dot | mf_word_bytes_equal(w, '_');
		memcpy(out + at, &w, 8);
		dots |= mf_word_bits_of(dot) << at;
		hyphens |= mf_word_bits_of(hyphen) << at;
		i += 8;
	} while (i < len);
	/* Empty labels; "--", which may be the beginning of an A-label that decodes to nonsense. */
	if (all != MF_WORD_HIGH || dots & (dots << 1 | 1) || dots >> (len - 1) ||
	    hyphens & hyphens << 1)
		return false;
	/* A last label that begins with a digit may be an address literal. */
	at = dots ? 64 - (size_t)__builtin_clzll(dots) : 0;
	return out[at] < '0' || out[at] > '9';
}

/*
 * Names. Plain ASCII (letters, digits, '-', '_', '.') is by far the most frequent and is done here in one pass; the rest
 * (IDNA, escapes, spaces) goes to core/names. Return: length, MF_E_SYNTAX, or MF_E_AGAIN for "not plain".
 */
int mf_request_canon_plain_name(const char *str, size_t len, char *out)
{
	size_t i, label = 0;
	unsigned char c;

	if (len && str[len - 1] == '.' && len > 1)
		len--;
	if (len == 0 || len > 253)
		return len > 1024 ? MF_E_SYNTAX : MF_E_AGAIN;
	if (len >= 8 && len <= 63 && canon_plain_words(str, len, out))
		return (int)len;
	for (i = 0; i < len; i++) {
		c = (unsigned char)str[i];
		if (c >= 'A' && c <= 'Z')
			c |= 0x20;
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
			if (++label > 63)
				return MF_E_SYNTAX;
		} else if (c == '.') {
			if (label == 0)
				return MF_E_AGAIN;
			label = 0;
		} else {
			return MF_E_AGAIN;
		}
		/* "xn--" may be an A-label that decodes to nonsense: the careful way judges it. */
		if (c == '-' && label == 4 && str[i - 1] == '-' && (str[i - 2] | 0x20) == 'n' &&
		    (str[i - 3] | 0x20) == 'x')
			return MF_E_AGAIN;
		out[i] = (char)c;
	}
	/* An empty last label is wrong, one that begins with a digit may be an address literal. */
	if (label == 0 || (out[len - label] >= '0' && out[len - label] <= '9'))
		return MF_E_AGAIN;
	return (int)len;
}

int mf_request_canon_name(const char *str, size_t len, char *out)
{
	int r = mf_request_canon_plain_name(str, len, out);

	/* P7: blanks around a name do not count. */
	if (r == MF_E_AGAIN) {
		for (; len && str[0] == ' '; len--)
			str++;
		for (; len && str[len - 1] == ' '; len--)
			;
		r = mf_name_canon(str, len, out);
	}
	return r;
}

/* Whether a path of 8 to 64 bytes is as it should be: no slash before a slash, a dot or the end, no NUL. */
static bool path_is_plain(const char *path, size_t len)
{
	uint64_t w, slashes = 0, dots = 0, zeros = 0;
	size_t i, at;

	for (i = 0; i < len; i += 8) {
		at = i + 8 <= len ? i : len - 8;
		w = mf_word_load8(path + at);
		zeros |= mf_word_bytes_equal(w, 0);
		slashes |= mf_word_bits_of(mf_word_bytes_equal(w, '/')) << at;
		dots |= mf_word_bits_of(mf_word_bytes_equal(w, '.')) << at;
	}
	return slashes & 1 && !zeros && !(slashes << 1 & (slashes | dots)) &&
	       !(slashes >> (len - 1));
}

/* "//", "." and ".." go; "/.." at the root stays at the root. Never longer than the input. */
static int canon_path(const char *str, size_t len, char *out)
{
	size_t i = 0, n = 0, part;

	if (len == 0 || str[0] != '/')
		return MF_E_SYNTAX;
	while (i < len) {
		while (i < len && str[i] == '/')
			i++;
		for (part = i; i < len && str[i] != '/'; i++)
			;
		if (i == part || (i - part == 1 && str[part] == '.'))
			continue;
		if (i - part == 2 && str[part] == '.' && str[part + 1] == '.') {
			while (n && out[--n] != '/')
				;
			continue;
		}
		out[n++] = '/';
		memmove(out + n, str + part, i - part);
		n += i - part;
	}
	if (n == 0)
		out[n++] = '/';
	return (int)n;
}

/* Write canonical text to @out (room for max(@len, 254) bytes). Return: its length or MF_E_SYNTAX */
int mf_request_canon_text(enum mf_canon canon, const char *str, size_t len, char *out)
{
	size_t i;

	if (canon == MF_CANON_NAME)
		return mf_request_canon_name(str, len, out);
	if ((canon == MF_CANON_PATH || canon == MF_CANON_LPATH) && len >= 8 && len <= 64 &&
	    path_is_plain(str, len)) {
		memcpy(out, str, len);
		return (int)len;
	}
	if (memchr(str, '\0', len))
		return MF_E_SYNTAX;
	if (canon == MF_CANON_PATH || (canon == MF_CANON_LPATH && len && str[0] == '/'))
		return canon_path(str, len, out);
	for (i = 0; i < len; i++) {
		char c = str[i];

		if (canon == MF_CANON_LOWER && c >= 'A' && c <= 'Z')
			c = (char)(c | 0x20);
		else if (canon == MF_CANON_UPPER && c >= 'a' && c <= 'z')
			c = (char)(c & ~0x20);
		out[i] = c;
	}
	return (int)len;
}

int mf_request_canon(enum mf_field field, const char *str, size_t len, char *out)
{
	if (len > MF_REQUEST_STR_MAX)
		return MF_E_LIMIT;
	return mf_request_canon_text((enum mf_canon)mf_field_table[field].canon, str, len, out);
}
