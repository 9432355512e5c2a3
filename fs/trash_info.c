/* SPDX-License-Identifier: Apache-2.0 */
/* trash_info.c - trashinfo files, as the FreeDesktop.org Trash specification 1.0 has them (see trash_record.h) */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "core/base/clock.h"
#include "fs/trash_record.h"

#define GROUP	  "[Trash Info]"
#define TOKEN_KEY "X-Moonfence-Token="

/* RFC 2396's unreserved characters stand for themselves, and so does the slash between components. */
static bool is_plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-_.!~*'()/", c));
}

void mf_trash_escape(struct mf_strbuf *b, const char *path)
{
	static const char hex[] = "0123456789ABCDEF";

	for (; *path; path++) {
		unsigned char c = (unsigned char)*path;

		if (is_plain(c))
			mf_strbuf_addc(b, (char)c);
		else
			mf_strbuf_add(b, (char[]){ '%', hex[c >> 4], hex[c & 15] }, 3);
	}
}

void mf_trash_info_format(struct mf_strbuf *b, const char *path, uint64_t deleted_ns,
			  const char *token)
{
	int64_t unix_s = (int64_t)(deleted_ns / MF_NS_PER_S);
	time_t local = (time_t)(unix_s + mf_clock_utc_offset(unix_s));
	struct tm tm = { 0 };

	(void)gmtime_r(&local, &tm);
	mf_strbuf_adds(b, GROUP "\nPath=");
	mf_trash_escape(b, path);
	mf_strbuf_addf(b, "\nDeletionDate=%04d-%02d-%02dT%02d:%02d:%02d\n" TOKEN_KEY "%s\n",
		       tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		       tm.tm_sec, token);
}

/* @cnt digits at @p; Return: -1 for anything else. */
static int read_digits(const char *p, int cnt)
{
	int v = 0;

	for (int i = 0; i < cnt; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		v = v * 10 + (p[i] - '0');
	}
	return v;
}

/* "2026-11-21T23:59:59" in local time; what stands behind it (fractions, a zone) some programs write and nobody reads. */
static int64_t read_date(const char *text)
{
	struct tm tm = { .tm_isdst = -1 };
	time_t t;

	if (strlen(text) < 19 || text[4] != '-' || text[7] != '-' || text[10] != 'T' ||
	    text[13] != ':' || text[16] != ':')
		return 0;
	tm.tm_year = read_digits(text, 4) - 1900;
	tm.tm_mon = read_digits(text + 5, 2) - 1;
	tm.tm_mday = read_digits(text + 8, 2);
	tm.tm_hour = read_digits(text + 11, 2);
	tm.tm_min = read_digits(text + 14, 2);
	tm.tm_sec = read_digits(text + 17, 2);
	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 ||
	    tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 ||
	    tm.tm_min > 59 || tm.tm_sec < 0 || tm.tm_sec > 60)
		return 0;
	t = mktime(&tm);
	return t > 0 ? (int64_t)t : 0;
}

int mf_trash_info_parse(char *text, size_t len, struct mf_trash_info *ret)
{
	struct mf_trash_info info = { .token = "" };
	char *save = NULL, *line;
	bool dated = false;

	if (len >= MF_TRASH_INFO_MAX || memchr(text, '\0', len) || text[len] != '\0')
		return MF_E_BAD;
	line = strtok_r(text, "\n", &save);
	if (!line || strcmp(line, GROUP) != 0)
		return MF_E_BAD;
	while ((line = strtok_r(NULL, "\n", &save)) && line[0] != '[') {
		// The first of each counts: what is appended to a file cannot send it elsewhere.
		if (!info.path && strncmp(line, "Path=", 5) == 0) {
			info.path = line + 5;
			if (!mf_trash_unescape(line + 5))
				return MF_E_BAD;
		} else if (!dated && strncmp(line, "DeletionDate=", 13) == 0) {
			info.date = read_date(line + 13);
			dated = true;
		} else if (!*info.token && strncmp(line, TOKEN_KEY, strlen(TOKEN_KEY)) == 0) {
			line += strlen(TOKEN_KEY);
			info.token = mf_trash_token_ok(line) ? line : "";
		}
	}
	if (!info.path || !*info.path)
		return MF_E_BAD;
	*ret = info;
	return 0;
}
