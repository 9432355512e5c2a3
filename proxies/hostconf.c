/* SPDX-License-Identifier: Apache-2.0 */
/* hostconf.c - reading resolv.conf and hosts files */
#include "proxies/hostconf.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/policy/files.h"

enum {
	CONF_MAX = 65536,
	HOSTS_MAX = 8 << 20, /* lists of blocked names are kept in hosts files, too */
};

size_t mf_hostconf_parse(const char *text, size_t len, struct mf_endpoint *ret, size_t cap)
{
	size_t cnt = 0, at = 0;

	while (at < len && cnt < cap) {
		const char *line = text + at;
		const char *nl = memchr(line, '\n', len - at);
		size_t n = nl ? (size_t)(nl - line) : len - at, start = 10, end;

		at += n + 1;
		if (n <= start || memcmp(line, "nameserver", start) != 0 ||
		    !isspace((uint8_t)line[start]))
			continue;
		while (start < n && isspace((uint8_t)line[start]))
			start++;
		for (end = start; end < n && !isspace((uint8_t)line[end]) && line[end] != '#' &&
				  line[end] != ';';)
			end++;
		memset(&ret[cnt], 0, sizeof(ret[cnt]));
		if (mf_addr_parse(line + start, end - start, &ret[cnt].addr) == 0) {
			ret[cnt].port = 53;
			cnt++;
		}
	}
	return cnt;
}

int mf_hostconf_read(const char *path, struct mf_endpoint *ret, size_t cap, struct mf_err *err)
{
	size_t len, cnt;
	char *text;

	if (mf_file_read(path, CONF_MAX, &text, &len, NULL) < 0)
		return mf_err_set(err, MF_E_IO,
				  "cannot read %s, which names the resolvers; give them with --dns",
				  path);
	cnt = mf_hostconf_parse(text, len, ret, cap);
	free(text);
	if (cnt == 0)
		return mf_err_set(err, MF_E_IO,
				  "%s has no nameserver line with an address; give one with --dns",
				  path);
	return (int)cnt;
}

/* One line without its comment: an address and names. */
static bool line_has(char *line, const char *host, struct mf_addr *ret)
{
	char *save, *word = strtok_r(line, " \t\r", &save);

	if (!word || mf_addr_parse(word, strlen(word), ret) < 0)
		return false;
	while ((word = strtok_r(NULL, " \t\r", &save)))
		if (strcasecmp(word, host) == 0)
			return true;
	return false;
}

size_t mf_hostconf_find_host(const char *path, const char *host, struct mf_addr *ret, size_t cap)
{
	char *text, *line, *next;
	size_t len, cnt = 0;

	if (mf_file_read(path, HOSTS_MAX, &text, &len, NULL) < 0)
		return 0;
	for (line = text; line && cnt < cap; line = next) {
		next = strchr(line, '\n');
		if (next)
			*next++ = '\0';
		line[strcspn(line, "#")] = '\0';
		cnt += line_has(line, host, &ret[cnt]);
	}
	free(text);
	return cnt;
}
