/* SPDX-License-Identifier: Apache-2.0 */
/* origin.c - see origin.h */
#include "proxies/gateway/origin.h"

#include <moonfence/moonfence.h>
#include <stdio.h>
#include <strings.h>

#include "proxies/gateway/host.h"

static struct mf_span trim(struct mf_span s)
{
	while (s.len && memchr(" \t\r\n\f\v", s.ptr[0], 6))
		s = mf_span_sub(s, 1, s.len);
	while (s.len && memchr(" \t\r\n\f\v", s.ptr[s.len - 1], 6))
		s.len--;
	return s;
}

/* Printable, and nothing that ends or escapes a host. */
static bool is_clean(struct mf_span s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] > '~' || strchr("%,{}`\\?#@^|\"", s.ptr[i]))
			return false;
	return true;
}

/* The URL standard's: the first of the longest runs of two zeros or more is left out; never dotted. */
static size_t write_ipv6(const uint8_t bytes[16], char *buf, size_t size)
{
	unsigned groups[8], best = 8, best_len = 1;
	size_t len = 0;

	for (unsigned i = 0; i < 8; i++)
		groups[i] = (unsigned)bytes[2 * i] << 8 | bytes[2 * i + 1];
	for (unsigned i = 0, run = 0; i < 8; i++) {
		run = groups[i] ? 0 : run + 1;
		if (run > best_len) {
			best_len = run;
			best = i + 1 - run;
		}
	}
	for (unsigned i = 0; i < 8; i++) {
		if (i == best) {
			len += (size_t)snprintf(buf + len, size - len, "::");
			i += best_len - 1;
			continue;
		}
		len += (size_t)snprintf(buf + len, size - len, "%s%x",
					i && i != best + best_len ? ":" : "", groups[i]);
	}
	return len;
}

static int write_bracketed(struct mf_span text, char *buf, size_t size)
{
	static const uint8_t mapped[12] = { [10] = 0xff, 0xff };
	struct mf_addr addr;
	uint8_t bytes[16];
	char out[MF_ADDR_TEXT_MAX];

	if (!memchr(text.ptr, ':', text.len) ||
	    mf_addr_parse((const char *)text.ptr, text.len, &addr) < 0)
		return MF_E_SYNTAX;
	memcpy(bytes, addr.bytes, sizeof(bytes));
	if (addr.family == 4) { /* which is how a mapped one is kept */
		memcpy(bytes, mapped, 12);
		memcpy(bytes + 12, addr.bytes, 4);
	}
	(void)write_ipv6(bytes, out, sizeof(out));
	return snprintf(buf, size, "[%s]", out);
}

static int write_host(struct mf_span host, char *buf, size_t size)
{
	uint32_t v4;
	int r;

	if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
		return host.len > 2 ? write_bracketed(mf_span_sub(host, 1, host.len - 2), buf, size)
				    : MF_E_SYNTAX;
	for (size_t i = 0; i < host.len; i++)
		if (strchr("<>[]:", host.ptr[i]))
			return MF_E_SYNTAX;
	r = mf_gw_ipv4_read(host, &v4);
	if (r < 0)
		return MF_E_SYNTAX;
	if (r > 0)
		return snprintf(buf, size, "%u.%u.%u.%u", v4 >> 24, v4 >> 16 & 255, v4 >> 8 & 255,
				v4 & 255);
	if (host.len >= size)
		return MF_E_SYNTAX;
	for (size_t i = 0; i < host.len; i++)
		buf[i] = (char)(host.ptr[i] >= 'A' && host.ptr[i] <= 'Z' ? host.ptr[i] + 32
									 : host.ptr[i]);
	buf[host.len] = '\0';
	return (int)host.len;
}

/* "host[:port]", with a port that is the scheme's left out; Return: length, MF_E_SYNTAX */
static int write_authority(struct mf_span text, uint16_t default_port, char *buf, size_t size)
{
	size_t end = text.len;
	struct mf_span host = text;
	uint16_t port = 0;
	uint32_t value = 0;
	int len;

	while (end > 0 && text.ptr[end - 1] >= '0' && text.ptr[end - 1] <= '9')
		end--;
	if (end > 0 && text.ptr[end - 1] == ':') {
		struct mf_span digits = mf_span_sub(text, end, text.len);

		for (size_t i = 0; i < digits.len && value <= UINT16_MAX; i++)
			value = value * 10 + (uint32_t)(digits.ptr[i] - '0');
		if (digits.len == 0 || value == 0 || value > UINT16_MAX)
			return MF_E_SYNTAX;
		port = (uint16_t)value;
		host.len = end - 1;
	}
	if (host.len == 0)
		return MF_E_SYNTAX;
	len = write_host(host, buf, size);
	if (len < 0 || port == 0 || port == default_port)
		return len;
	return len + snprintf(buf + len, size - (size_t)len, ":%u", port);
}

int mf_origin_normalize(struct mf_span text, char buf[MF_ORIGIN_ROOM])
{
	bool https;
	size_t skip;
	int len, r;

	text = trim(text);
	if (text.len == 0 || text.len > MF_ORIGIN_MAX)
		return MF_E_SYNTAX;
	if (mf_span_eq(text, mf_span_str("null")))
		return snprintf(buf, MF_ORIGIN_ROOM, "null");
	if (!is_clean(text))
		return MF_E_SYNTAX;
	https = text.len > 8 && strncasecmp((const char *)text.ptr, "https://", 8) == 0;
	if (!https && (text.len <= 7 || strncasecmp((const char *)text.ptr, "http://", 7) != 0))
		return MF_E_SYNTAX;
	skip = https ? 8 : 7;
	text = mf_span_sub(text, skip, text.len);
	if (text.ptr[text.len - 1] == '/')
		text.len--;
	if (text.len == 0 || memchr(text.ptr, '/', text.len))
		return MF_E_SYNTAX;
	len = snprintf(buf, MF_ORIGIN_ROOM, "%s://", https ? "https" : "http");
	r = write_authority(text, https ? 443 : 80, buf + len, MF_ORIGIN_ROOM - (size_t)len);
	return r < 0 ? r : len + r;
}

int mf_origin_host(struct mf_span text, bool https, char buf[MF_ORIGIN_ROOM])
{
	text = trim(text);
	if (text.len == 0 || text.len > MF_ORIGIN_MAX || !is_clean(text) ||
	    memchr(text.ptr, '/', text.len))
		return MF_E_SYNTAX;
	return write_authority(text, https ? 443 : 80, buf, MF_ORIGIN_ROOM);
}

bool mf_origin_is_allowed(const char *origin, const char *const *allowed, size_t allowed_cnt,
			  struct mf_span host)
{
	char own[MF_ORIGIN_ROOM];
	const char *authority = strstr(origin, "://");

	for (size_t i = 0; i < allowed_cnt; i++)
		if (strcmp(allowed[i], "*") == 0 || strcmp(allowed[i], origin) == 0)
			return true;
	if (allowed_cnt || !authority)
		return false;
	if (mf_origin_host(host, strncmp(origin, "https", 5) == 0, own) < 0)
		return false;
	return strcmp(own, authority + 3) == 0;
}
