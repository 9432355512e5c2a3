/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gateway_wisp_options.c - what `moonfence gateway` is told of other emulators' clients: --wisp NAME=VALUE, --target, --target-file
 *
 * Files are read where they are named, before rights are given up.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "cli/gateway_command.h"
#include "core/base/files.h"
#include "proxies/gateway/host.h"

enum { LINE_MAX_LEN = 1024, ENTRIES_MAX = 4096 };

static void *grow(void *list, size_t cnt, size_t size)
{
	/* by doubling, at 8, 16, 32, ... */
	if (cnt && (cnt < 8 || (cnt & (cnt - 1))))
		return list;
	return cnt >= ENTRIES_MAX ? NULL : realloc(list, (cnt < 8 ? 8 : cnt * 2) * size);
}

static int add_login(struct mf_gateway_wisp *w, const char *name, size_t len, const char *password)
{
	struct mf_gateway_login *list = grow(w->logins, w->login_cnt, sizeof(*list));

	if (!list)
		return MF_E_NOMEM;
	w->logins = list;
	list[w->login_cnt].name = strndup(name, len);
	list[w->login_cnt].password = strdup(password);
	return list[w->login_cnt].name && list[w->login_cnt++].password ? 0 : MF_E_NOMEM;
}

/* @name NULL: without one. Return: 0; MF_E_SYNTAX, MF_E_NOMEM */
static int add_target(struct mf_gateway_wisp *w, const char *name, size_t len, const char *where)
{
	struct mf_gateway_target t = { 0 }, *list;
	struct mf_span host, port;
	struct mf_gw_host known;

	if (mf_gw_target_read(mf_span_str(where), &host, &port) < 0 ||
	    mf_gw_port_read(port, &t.port) < 0 || mf_gw_host_read(host, &known) < 0)
		return MF_E_SYNTAX;
	list = grow(w->targets, w->target_cnt, sizeof(*list));
	if (!list)
		return MF_E_NOMEM;
	w->targets = list;
	t.host = strndup((const char *)host.ptr, host.len);
	t.name = name ? strndup(name, len) : NULL;
	if (!t.host || (name && !t.name)) {
		free(t.host);
		free(t.name);
		return MF_E_NOMEM;
	}
	list[w->target_cnt++] = t;
	return 0;
}

/* Lines "name:password"; a password may hold colons. */
static int take_login_line(struct mf_gateway_wisp *w, char *line)
{
	size_t len = strcspn(line, ":");

	return line[len] && len <= 255 ? add_login(w, line, len, line + len + 1) : MF_E_SYNTAX;
}

/*
 * Lines "name:key", the public key in base64: its 32 bytes, or what stands between the lines of its PEM (SubjectPublicKeyInfo, RFC 8410),
 * which are these with 12 bytes before them.
 */
static int take_key_line(struct mf_gateway_wisp *w, char *line)
{
	static const uint8_t spki[] = { 0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
					0x2b, 0x65, 0x70, 0x03, 0x21, 0x00 };
	size_t len = strcspn(line, ":"), text = line[len] ? strlen(line + len + 1) : 0;
	const size_t raw = sizeof(w->keys->key);
	uint8_t bytes[48];
	struct mf_gateway_wisp_key *list;

	if (!len || len > 255 || (text != 44 && text != 60) || line[len + text] != '=' ||
	    line[len + text - 1] == '=' ||
	    EVP_DecodeBlock(bytes, (const uint8_t *)line + len + 1, (int)text) != (int)text / 4 * 3)
		return MF_E_SYNTAX;
	if (text == 60 && memcmp(bytes, spki, sizeof(spki)) != 0)
		return MF_E_SYNTAX;
	list = grow(w->keys, w->key_cnt, sizeof(*list));
	if (!list)
		return MF_E_NOMEM;
	w->keys = list;
	memcpy(list[w->key_cnt].key, bytes + (text == 60 ? sizeof(spki) : 0), raw);
	list[w->key_cnt].name = strndup(line, len);
	return list[w->key_cnt].name && ++w->key_cnt ? 0 : MF_E_NOMEM;
}

/* Lines "token: host:port", as websockify's TokenFile has them. */
static int take_target_line(struct mf_gateway_wisp *w, char *line)
{
	char *colon = strstr(line, ": ");

	return colon && colon > line ? add_target(w, line, (size_t)(colon - line),
						  colon + 2 + strspn(colon + 2, " \t"))
				     : MF_E_SYNTAX;
}

/* Empty lines, and those that begin with #, say nothing. */
static int read_lines(const struct mf_usage *usage, const char *path, struct mf_gateway_wisp *w,
		      int (*take)(struct mf_gateway_wisp *w, char *line), const char *form)
{
	FILE *f = mf_fopen(path, "rbe");
	char line[LINE_MAX_LEN];
	unsigned number = 0;
	int r = 0;

	if (!f)
		return mf_options_wrong(usage, "cannot read %s: %s", path, strerror(errno));
	while (r == 0 && fgets(line, sizeof(line), f)) {
		size_t len = strcspn(line, "\r\n");

		number++;
		r = line[len] || len + 1 < sizeof(line) ? 0 : MF_E_SYNTAX; /* too long */
		line[len] = '\0';
		if (r == 0 && len && line[0] != '#')
			r = take(w, line);
	}
	if (r == 0 && ferror(f))
		r = MF_E_IO;
	(void)fclose(f);
	memset(line, 0, sizeof(line));
	if (r == MF_E_SYNTAX)
		return mf_options_wrong(usage, "%s:%u: '%s' is wanted", path, number, form);
	if (r < 0)
		return mf_options_wrong(usage, "%s cannot be read as a whole", path);
	return 0;
}

static int set_number(const char *text, uint32_t max, uint32_t scale, uint32_t *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || end == text || *end || text[0] == '-' || n == 0 || n > max)
		return MF_E_BAD;
	*ret = (uint32_t)n * scale;
	return 0;
}

static int set_path(struct mf_gateway_options *o, const char *text)
{
	size_t len = strlen(text);

	if (strcmp(text, "off") == 0) {
		o->wisp_path = "";
		return 0;
	}
	/* its slash at the end is any client's affair */
	if (len < 2 || text[0] != '/' || text[len - 1] == '/' || strpbrk(text, "?#%\" "))
		return MF_E_BAD;
	o->wisp_path = text;
	return 0;
}

int mf_gateway_take_wisp(const struct mf_usage *usage, struct mf_gateway_command *g,
			 const char *value)
{
	struct mf_gateway_options *o = &g->opt;
	size_t len = strcspn(value, "=");
	const char *text = value[len] ? value + len + 1 : "";
	const struct {
		const char *name;
		uint32_t *number, max, scale;
	} numbers[] = {
		{ "streams", &o->wisp_streams_max, 65536, 1 },
		{ "window", &o->wisp_window, 4096, 1 },
		{ "buffer", &o->wisp_buffer_max, 1 << 30, 1 },
		{ "stall", &o->stall_ms, 86400, 1000 },
	};
	int r = MF_E_BAD;

	if (strncmp(value, "path=", 5) == 0)
		r = set_path(o, text);
	if (strncmp(value, "motd=", 5) == 0 && strlen(text) <= 4096) {
		o->wisp_motd = text;
		r = 0;
	}
	if (strncmp(value, "password-file=", 14) == 0)
		return read_lines(usage, text, &g->wisp, take_login_line, "name:password");
	if (strncmp(value, "key-file=", 9) == 0)
		return read_lines(usage, text, &g->wisp, take_key_line, "name:key");
	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++)
		if (strlen(numbers[i].name) == len && memcmp(value, numbers[i].name, len) == 0)
			r = set_number(text, numbers[i].max, numbers[i].scale, numbers[i].number);
	if (r == 0)
		return 0;
	return mf_options_wrong(usage,
				"--wisp wants NAME=VALUE of path (as /wisp, or off), motd, "
				"password-file, key-file, streams, window, buffer, stall: '%s'",
				value);
}

int mf_gateway_take_target(const struct mf_usage *usage, struct mf_gateway_command *g,
			   const char *value)
{
	const char *equals = strchr(value, '=');
	size_t len = equals ? (size_t)(equals - value) : 0;
	int r = add_target(&g->wisp, equals ? value : NULL, len, equals ? equals + 1 : value);

	if (r == 0 && (!equals || len))
		return 0;
	return mf_options_wrong(usage, "--target wants NAME=HOST:PORT, or HOST:PORT: '%s'", value);
}

int mf_gateway_take_target_file(const struct mf_usage *usage, struct mf_gateway_command *g,
				const char *value)
{
	return read_lines(usage, value, &g->wisp, take_target_line, "token: host:port");
}

void mf_gateway_wisp_apply(struct mf_gateway_command *g)
{
	g->opt.wisp_logins = g->wisp.logins;
	g->opt.wisp_login_cnt = g->wisp.login_cnt;
	g->opt.wisp_keys = g->wisp.keys;
	g->opt.wisp_key_cnt = g->wisp.key_cnt;
	g->opt.targets = g->wisp.targets;
	g->opt.target_cnt = g->wisp.target_cnt;
}

void mf_gateway_wisp_done(struct mf_gateway_wisp *w)
{
	for (size_t i = 0; i < w->login_cnt; i++) {
		free(w->logins[i].name);
		free(w->logins[i].password);
	}
	for (size_t i = 0; i < w->key_cnt; i++)
		free(w->keys[i].name);
	for (size_t i = 0; i < w->target_cnt; i++) {
		free(w->targets[i].name);
		free(w->targets[i].host);
	}
	free(w->logins);
	free(w->keys);
	free(w->targets);
}
