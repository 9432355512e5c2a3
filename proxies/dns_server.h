/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_server.h - a resolver as a user writes it
 *
 *	192.0.2.53			UDP, and TCP where an answer does not fit; the same with udp:// before it
 *	[2001:db8::53]:5353		a port
 *	tcp://192.0.2.53		TCP only
 *	tls://192.0.2.53		DNS over TLS (RFC 7858); the certificate is for this address
 *	tls://dns.example#at=192.0.2.53	the certificate is for the name, the address is where to dial
 *	https://dns.example/dns-query#at=192.0.2.53,pin=BASE64
 *					DNS over HTTPS (RFC 8484); pin is the SHA-256 of the server's public key (SPKI) and
 *					stands in for the check of its certificate; two may be given
 *
 * A name needs its address: before there is a resolver nobody can be asked for it.
 */
#ifndef MF_PROXIES_DNS_SERVER_H
#define MF_PROXIES_DNS_SERVER_H

#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/wire/dns_wire.h"

#define MF_DNS_PATH_MAX	   128 /* with its NUL */
#define MF_DNS_PIN_LEN	   32
#define MF_DNS_PINS_MAX	   2
#define MF_DNS_SERVER_TEXT (MF_DNS_TEXT_MAX + MF_DNS_PATH_MAX + 24)

enum mf_dns_scheme {
	MF_DNS_OVER_UDP,
	MF_DNS_OVER_TCP,
	MF_DNS_OVER_TLS,
	MF_DNS_OVER_HTTPS,
	MF_DNS_SCHEME_NUM
};

struct mf_dns_server {
	enum mf_dns_scheme scheme;
	struct mf_endpoint at;	    /* with the port */
	char host[MF_DNS_TEXT_MAX]; /* as written: name or address without brackets */
	char path[MF_DNS_PATH_MAX]; /* https: begins with a slash */
	uint8_t pin_cnt;
	uint8_t pins[MF_DNS_PINS_MAX][MF_DNS_PIN_LEN];
};

/** mf_dns_server_parse() - Return: 0; MF_E_SYNTAX with a sentence about what is wrong */
int mf_dns_server_parse(const char *text, struct mf_dns_server *ret, struct mf_err *err);

/** mf_dns_server_format() - "192.0.2.53:53", "tls://dns.example:853"; Return: @buf of at least MF_DNS_SERVER_TEXT */
const char *mf_dns_server_format(const struct mf_dns_server *s, char *buf, size_t size);

#endif
