/* SPDX-License-Identifier: Apache-2.0 */
/* dns_server.c - see dns_server.h */
#include "proxies/dns_server.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	uint16_t port;
} schemes[] = {
	[MF_DNS_OVER_UDP] = { "udp", 53 },
	[MF_DNS_OVER_TCP] = { "tcp", 53 },
	[MF_DNS_OVER_TLS] = { "tls", 853 },
	[MF_DNS_OVER_HTTPS] = { "https", 443 },
};
_Static_assert(MF_ARRAY_SIZE(schemes) == MF_DNS_SCHEME_NUM, "a name for every scheme");

/* Moves *@text behind "scheme://". Return: false for a scheme that is none of ours */
static bool take_scheme(const char **text, enum mf_dns_scheme *ret)
{
	const char *sep = strstr(*text, "://");

	*ret = MF_DNS_OVER_UDP;
	if (!sep)
		return true;
	for (unsigned i = 0; i < MF_DNS_SCHEME_NUM; i++) {
		size_t len = strlen(schemes[i].name);

		if ((size_t)(sep - *text) == len && memcmp(*text, schemes[i].name, len) == 0) {
			*ret = (enum mf_dns_scheme)i;
			*text = sep + 3;
			return true;
		}
	}
	return false;
}

/* "host", "host:port", "[v6]:port", "[v6]", and for an address alone "v6" */
static bool take_host(const char *text, size_t len, struct mf_dns_server *s)
{
	const char *host = text;
	size_t host_len = len;
	struct mf_addr addr;
	struct mf_dns_name name;

	s->at.port = schemes[s->scheme].port;
	if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
		host++;
		host_len -= 2;
		if (mf_addr_parse(host, host_len, &addr) < 0 || addr.family != 6)
			return false;
	} else if (mf_addr_parse(text, len, &addr) < 0 && memchr(text, ':', len) &&
		   (mf_hostport_parse(text, len, &host, &host_len, &s->at.port) < 0 ||
		    s->at.port == 0)) {
		return false;
	}
	if (host_len == 0 || host_len >= sizeof(s->host))
		return false;
	memcpy(s->host, host, host_len);
	s->host[host_len] = '\0';
	if (mf_addr_parse(s->host, host_len, &s->at.addr) == 0)
		return true;
	memset(&s->at.addr, 0, sizeof(s->at.addr));
	for (size_t i = 0; i < host_len; i++)
		if (s->host[i] <= ' ' || s->host[i] > '~' || strchr("/@?%\\\"", s->host[i]))
			return false;
	return mf_dns_parse_name(s->host, &name) == 0;
}

static bool take_pin(const char *value, size_t len, struct mf_dns_server *s)
{
	uint8_t raw[36]; /* 44 letters make 33 bytes, of which the last is padding */
	uint8_t text[45];

	if (len != 44 || value[43] != '=' || s->pin_cnt == MF_DNS_PINS_MAX)
		return false;
	memcpy(text, value, len);
	text[len] = '\0';
	if (EVP_DecodeBlock(raw, text, (int)len) != 33)
		return false;
	memcpy(s->pins[s->pin_cnt++], raw, MF_DNS_PIN_LEN);
	return true;
}

static int take_setting(const char *item, size_t len, struct mf_dns_server *s, const char *whole,
			struct mf_err *err)
{
	if (len > 3 && memcmp(item, "at=", 3) == 0) {
		if (mf_addr_parse(item + 3, len - 3, &s->at.addr) < 0)
			return mf_err_set(err, MF_E_SYNTAX, "%s: at= wants an address", whole);
		return 0;
	}
	if (len > 4 && memcmp(item, "pin=", 4) == 0) {
		if (!take_pin(item + 4, len - 4, s))
			return mf_err_set(err, MF_E_SYNTAX,
					  "%s: pin= wants the SHA-256 of a public key in base64, "
					  "at most %d of them",
					  whole, MF_DNS_PINS_MAX);
		return 0;
	}
	return mf_err_set(err, MF_E_SYNTAX, "%s: behind '#' there may be at=ADDRESS and pin=BASE64",
			  whole);
}

static int take_settings(const char *item, struct mf_dns_server *s, const char *whole,
			 struct mf_err *err)
{
	for (;;) {
		size_t len = strcspn(item, ",");
		int r = take_setting(item, len, s, whole, err);

		if (r < 0 || !item[len])
			return r;
		item += len + 1;
	}
}

static bool take_path(const char *path, size_t len, struct mf_dns_server *s)
{
	/* the template's variable is for GET; questions are posted */
	if (len > 6 && memcmp(path + len - 6, "{?dns}", 6) == 0)
		len -= 6;
	if (len == 0) {
		memcpy(s->path, "/dns-query", sizeof("/dns-query"));
		return true;
	}
	if (len >= sizeof(s->path))
		return false;
	for (size_t i = 0; i < len; i++)
		if (path[i] <= ' ' || path[i] > '~')
			return false;
	memcpy(s->path, path, len);
	s->path[len] = '\0';
	return true;
}

int mf_dns_server_parse(const char *text, struct mf_dns_server *s, struct mf_err *err)
{
	const char *at = text;
	size_t len, host_len;
	bool secure;
	int r = 0;

	memset(s, 0, sizeof(*s));
	if (!take_scheme(&at, &s->scheme))
		return mf_err_set(err, MF_E_SYNTAX, "%s: resolvers are udp, tcp, tls or https",
				  text);
	secure = s->scheme == MF_DNS_OVER_TLS || s->scheme == MF_DNS_OVER_HTTPS;
	len = strcspn(at, "#");
	host_len = s->scheme == MF_DNS_OVER_HTTPS ? strcspn(at, "/#") : len;
	if (!take_host(at, host_len, s))
		return mf_err_set(err, MF_E_SYNTAX,
				  "%s: this is no address of a resolver, with a port or without",
				  text);
	if (s->scheme == MF_DNS_OVER_HTTPS && !take_path(at + host_len, len - host_len, s))
		return mf_err_set(err, MF_E_SYNTAX, "%s: no path of at most %d printable bytes",
				  text, MF_DNS_PATH_MAX - 1);
	if (at[len] == '#')
		r = secure ? take_settings(at + len + 1, s, text, err)
			   : mf_err_set(err, MF_E_SYNTAX,
					"%s: only tls and https have something behind '#'", text);
	if (r == 0 && s->at.addr.family == 0)
		r = mf_err_set(err, MF_E_SYNTAX,
			       secure ? "%s: a name needs #at=ADDRESS, because nobody can be asked "
					"for it yet"
				      : "%s: a resolver is given by its address",
			       text);
	return r;
}

const char *mf_dns_server_format(const struct mf_dns_server *s, char *buf, size_t size)
{
	char at[MF_ENDPOINT_TEXT_MAX];
	bool v6 = strchr(s->host, ':') != NULL;

	if (s->scheme == MF_DNS_OVER_UDP)
		return mf_endpoint_format(&s->at, buf, size);
	if (s->scheme == MF_DNS_OVER_TCP)
		snprintf(buf, size, "tcp://%s", mf_endpoint_format(&s->at, at, sizeof(at)));
	else
		snprintf(buf, size, "%s://%s%s%s:%u%s", schemes[s->scheme].name, v6 ? "[" : "",
			 s->host, v6 ? "]" : "", s->at.port, s->path);
	return buf;
}
