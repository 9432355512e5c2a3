/* SPDX-License-Identifier: Apache-2.0 */
/* hostconf.c - reading resolv.conf and hosts files */
#include "proxies/hostconf.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
	CONF_MAX = 65536,
	HOSTS_MAX = 1 << 20,
	LINE_MAX_LEN = 1024,
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
	FILE *f = fopen(path, "rbe");
	size_t n, cnt;
	char *text;

	if (!f)
		return mf_err_set(err, MF_E_IO,
				  "cannot read %s, which names the resolvers; give them with --dns",
				  path);
	text = malloc(CONF_MAX);
	n = text ? fread(text, 1, CONF_MAX, f) : 0;
	fclose(f);
	cnt = mf_hostconf_parse(text ? text : "", n, ret, cap);
	free(text);
	if (cnt == 0)
		return mf_err_set(err, MF_E_IO,
				  "%s has no nameserver line with an address; give one with --dns",
				  path);
	return (int)cnt;
}

size_t mf_hostconf_find_host(const char *path, const char *host, struct mf_addr *ret, size_t cap)
{
	FILE *f = fopen(path, "rbe");
	char line[LINE_MAX_LEN], *save, *word;
	size_t cnt = 0, total = 0;

	while (f && cnt < cap && total < HOSTS_MAX && fgets(line, sizeof(line), f)) {
		struct mf_addr addr;

		total += strlen(line);
		line[strcspn(line, "#\n")] = '\0';
		word = strtok_r(line, " \t\r", &save);
		if (!word || mf_addr_parse(word, strlen(word), &addr) < 0)
			continue;
		while ((word = strtok_r(NULL, " \t\r", &save)))
			if (strcasecmp(word, host) == 0) {
				ret[cnt++] = addr;
				break;
			}
	}
	if (f)
		fclose(f);
	return cnt;
}
