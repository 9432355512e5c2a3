/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - hosts as web pages write them: names, and addresses in every spelling that a browser takes for one
 *
 * "0x7f.1", "017700000001" and "2130706433" are addresses to a browser (WHATWG URL, IPv4 parser). They are turned into the address
 * that they mean before anybody is asked about them, so that no rule about an address, or a name, can be dodged by spelling.
 */
#ifndef MF_PROXIES_GATEWAY_HOST_H
#define MF_PROXIES_GATEWAY_HOST_H

#include "core/base/addr.h"
#include "core/base/span.h"
#include "core/names/canonical.h"

struct mf_gw_host {
	struct mf_addr addr;	 /* family 0: it is a name */
	char name[MF_NAME_ROOM]; /* canonical; "" for an address */
};

/**
 * mf_gw_ipv4_read() - The IPv4 parser of the URL standard
 * Return: 1 with *ret; 0: its last label is no number, so it is no address; -1: it has to be one, and is none
 */
int mf_gw_ipv4_read(struct mf_span text, uint32_t *ret);

/** mf_gw_host_read() - A name, IPv4 in any spelling, IPv6 with or without brackets; Return: 0, MF_E_SYNTAX */
int mf_gw_host_read(struct mf_span text, struct mf_gw_host *ret);

/** mf_gw_port_read() - 1 to 5 digits, 1 to 65535; Return: 0, MF_E_SYNTAX */
int mf_gw_port_read(struct mf_span text, uint16_t *ret);

/** mf_gw_target_read() - "host:port", IPv6 in brackets only; Return: 0; MF_E_SYNTAX; MF_E_BAD: IPv6 without brackets */
int mf_gw_target_read(struct mf_span text, struct mf_span *ret_host, struct mf_span *ret_port);

#endif
