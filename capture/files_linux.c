/* SPDX-License-Identifier: Apache-2.0 */
/* files_linux.c - the session's resolv.conf and nsswitch.conf out of the host's; text in, text out */
#include <ctype.h>
#include <string.h>

#include "capture/internal_linux.h"

struct out {
	char *at, *end; /* end: place of the last NUL */
};

static void put(struct out *o, const char *text, size_t len)
{
	if (len > (size_t)(o->end - o->at))
		len = (size_t)(o->end - o->at);
	memcpy(o->at, text, len);
	o->at += len;
	*o->at = '\0';
}

static bool line_begins(const char *line, const char *eol, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(eol - line) > n && memcmp(line, word, n) == 0 &&
	       isspace((unsigned char)line[n]);
}

void mf_capture_files_resolv(const char *text, const char *server, char *ret, size_t size)
{
	struct out o = { ret, ret + size - 1 };

	*ret = '\0';
	put(&o, "nameserver ", 11);
	put(&o, server, strlen(server));
	put(&o, "\n", 1);
	for (const char *line = text ? text : "", *eol; *line; line = *eol ? eol + 1 : eol) {
		eol = line + strcspn(line, "\n");
		/* A line that does not fit whole is left out, and so are those after it. */
		if ((size_t)(eol - line) + 2 > (size_t)(o.end - o.at))
			break;
		if (line_begins(line, eol, "search") || line_begins(line, eol, "domain") ||
		    line_begins(line, eol, "options")) {
			put(&o, line, (size_t)(eol - line));
			put(&o, "\n", 1);
		}
	}
}

static bool is_kept_service(const char *word, size_t len)
{
	static const char *const kept[] = { "files", "dns", "myhostname" };

	for (size_t i = 0; i < MF_ARRAY_SIZE(kept); i++)
		if (strlen(kept[i]) == len && memcmp(kept[i], word, len) == 0)
			return true;
	return false;
}

/* The services of a hosts line behind its colon: those kept, each with the reactions [...] that follow it. */
static void filter_hosts(struct out *o, const char *at, const char *eol)
{
	bool keep = false, dns = false;

	put(o, "hosts:", 6);
	while (at < eol && *at != '#') {
		const char *word = at;

		if (isspace((unsigned char)*at)) {
			at++;
			continue;
		}
		if (*at == '[') {
			while (at < eol && *at != ']')
				at++;
			if (at < eol)
				at++;
		} else {
			while (at < eol && !isspace((unsigned char)*at) && *at != '[' && *at != '#')
				at++;
			keep = is_kept_service(word, (size_t)(at - word));
			dns = dns || (keep && *word == 'd');
		}
		if (keep) {
			put(o, " ", 1);
			put(o, word, (size_t)(at - word));
		}
	}
	if (!dns)
		put(o, " dns", 4);
	put(o, "\n", 1);
}

bool mf_capture_files_nsswitch(const char *text, char *ret, size_t size)
{
	struct out o = { ret, ret + size - 1 };
	bool changed = false;

	*ret = '\0';
	for (const char *line = text, *eol; *line; line = *eol ? eol + 1 : eol) {
		const char *from = line + strspn(line, " \t");
		char *before = o.at;

		eol = line + strcspn(line, "\n");
		if (strncmp(from, "hosts:", 6) == 0) {
			filter_hosts(&o, from + 6, eol);
			changed = changed || (size_t)(o.at - before) != (size_t)(eol - line) + 1 ||
				  memcmp(before, line, (size_t)(eol - line)) != 0;
			continue;
		}
		put(&o, line, (size_t)(eol - line));
		put(&o, "\n", 1);
	}
	return changed;
}
