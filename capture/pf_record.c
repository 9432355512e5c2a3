/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_record.c - the record of what the broker changed, for the next start after one that was killed
 *
 *	moonfence-pf 1
 *	anchor com.apple/050.moonfence
 *	token 13971906727590307623
 *	enabled 0
 *	end
 *
 * The last line tells that the whole of it was written.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "capture/pf.h"

size_t mf_pf_record_format(const struct mf_pf_record *r, char *buf, size_t room)
{
	int n = snprintf(buf, room,
			 "moonfence-pf 1\nanchor %s\ntoken %" PRIu64 "\nenabled %d\nend\n",
			 r->anchor, r->token, r->was_enabled);

	return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

/* What stands behind "@key " on the next line, NUL-terminated; NULL if it is not there. */
static char *take(char **at, const char *key)
{
	size_t len = strlen(key);
	char *value, *nl = strchr(*at, '\n');

	if (!nl || strncmp(*at, key, len) != 0 || (*at)[len] != ' ')
		return NULL;
	*nl = '\0';
	value = *at + len + 1;
	*at = nl + 1;
	return value;
}

static bool read_token(const char *text, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*text || (text[0] == '0' && text[1]))
		return false;
	for (; *text; text++) {
		unsigned digit = (unsigned)(*text - '0');

		if (digit > 9 || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return false;
	}
	*ret = v;
	return true;
}

int mf_pf_record_parse(const char *text, size_t len, struct mf_pf_record *ret)
{
	struct mf_pf_record r = { 0 };
	char buf[MF_PF_RECORD_MAX + 1], *at = buf;
	const char *version, *anchor, *token, *enabled;

	if (len > MF_PF_RECORD_MAX || memchr(text, '\0', len))
		return MF_E_BAD;
	memcpy(buf, text, len);
	buf[len] = '\0';
	version = take(&at, "moonfence-pf");
	anchor = version ? take(&at, "anchor") : NULL;
	token = anchor ? take(&at, "token") : NULL;
	enabled = token ? take(&at, "enabled") : NULL;
	if (!enabled || strcmp(at, "end\n") != 0 || strcmp(version, "1") != 0 ||
	    !mf_pf_anchor_is_valid(anchor) || !read_token(token, &r.token) ||
	    (strcmp(enabled, "0") != 0 && strcmp(enabled, "1") != 0))
		return MF_E_BAD;
	memcpy(r.anchor, anchor, strlen(anchor) + 1);
	r.was_enabled = enabled[0] == '1';
	*ret = r;
	return 0;
}
