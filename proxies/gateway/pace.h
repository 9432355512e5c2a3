/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h - bytes and connections of a session, of an address and of all, against what the options let them have (meter.h)
 *
 * What streams is held back: a WebSocket of which too much came is not read, and nothing is read for it, until its buckets have something
 * again; then those that wait have a turn of one piece each, in the order they came. What comes in datagrams is lost, and counted by who loses it.
 * When a quota is used up the WebSocket ends.
 */
#ifndef MF_PROXIES_GATEWAY_PACE_H
#define MF_PROXIES_GATEWAY_PACE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/addr.h"
#include "proxies/gateway/gateway.h"

struct mf_gw_address;
struct mf_gw_front;
struct mf_gw_member;

enum mf_gw_pace {
	MF_GW_GO,
	MF_GW_WAIT,
	MF_GW_OVER /* a quota is used up */
};

/* Whose bytes they are. Both stay as long as it is used. */
struct mf_gw_party {
	struct mf_gw_member *member;
	struct mf_gw_address *address;
};

void mf_gw_pace_init(struct mf_gateway *gw);
void mf_gw_pace_free(struct mf_gateway *gw);

/* Whether bytes may go. Without limits it costs nothing. @ret_wait_ns: NULL: nobody wants to know */
enum mf_gw_pace mf_gw_ask_bytes(struct mf_gateway *gw, struct mf_gw_party who,
				uint64_t *ret_wait_ns);
/* They have gone, or are about to */
void mf_gw_charge_bytes(struct mf_gateway *gw, struct mf_gw_party who, size_t len);
/* Both for a datagram, which is charged if it may go */
enum mf_gw_pace mf_gw_take_bytes(struct mf_gateway *gw, struct mf_gw_party who, size_t len);
/* Which quota is used up. Return: MF_GW_REFUSED_NUM: none */
enum mf_gateway_refusal mf_gw_find_used_up(struct mf_gateway *gw, struct mf_gw_party who);
/* One more connection or stream. Return: false: they come too fast */
bool mf_gw_take_flow(struct mf_gateway *gw, struct mf_gw_member *member,
		     const struct mf_addr *address);

/* Bytes of a WebSocket: charged, and it is held if there were too many. Never ends it at once. */
void mf_gw_front_moved(struct mf_gw_front *f, size_t len);
/* It becomes somebody else's: what it was charged beforehand is given back */
void mf_gw_front_settle(struct mf_gw_front *f);
/* It ends: nothing of it is left here */
void mf_gw_front_let_go(struct mf_gw_front *f);

#endif
