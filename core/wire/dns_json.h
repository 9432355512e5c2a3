/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_json.h - DNS messages as the web writes them: base64url (RFC 4648 5), and the JSON of public resolvers
 *
 *	{"Status":0,"TC":false,"RD":true,"RA":true,"AD":false,"CD":false,
 *	 "Question":[{"name":"www.example.","type":1}],
 *	 "Answer":[{"name":"www.example.","type":1,"TTL":60,"data":"192.0.2.1"}],"Comment":"..."}
 *
 * Pure. Data of well-known types is in the form of zone files, other types' in that of RFC 3597. Names have their final dot; bytes
 * that a zone file would escape are escaped (\. \\ \DDD).
 */
#ifndef MF_WIRE_DNS_JSON_H
#define MF_WIRE_DNS_JSON_H

#include "core/base/strbuf.h"
#include "core/wire/dns_wire.h"

/**
 * mf_base64url_decode() - Without padding, and nothing but the canonical form
 * Return: bytes in @out; MF_E_SYNTAX; MF_E_LIMIT (more than @size)
 */
int mf_base64url_decode(struct mf_span text, uint8_t *out, size_t size);

/**
 * mf_dns_write_json() - A response as JSON, added to @out
 * @client_subnet: what the client said of itself is given back with a scope of 0 (it was not used); NULL: nothing
 * Return: 0; MF_E_BAD (malformed: @out may have a part of it), MF_E_LIMIT (@out's cap or no memory)
 */
int mf_dns_write_json(struct mf_span msg, bool client_subnet, struct mf_strbuf *out);

#endif
