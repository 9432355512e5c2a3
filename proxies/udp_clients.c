/* SPDX-License-Identifier: Apache-2.0 */
/*
 * udp_clients.c - how many UDP flows each client has: one that opens many loses its own, not others'
 *
 * A client is an IPv4 address or a /64. Beyond udp_flows_each its own flow that has been quiet longest goes. Where all of udp_flows_max are
 * taken, one of whoever has most of them does: clients stand in lists by their number of flows, so that it is known who that
 * is. All of it costs the same however many there are. Without udp_flows_each none of it is kept, and the flow that
 * has been quiet longest goes, whosever it is.
 */
#include <stdlib.h>

#include "core/base/hash.h"
#include "proxies/udp_int.h"

#define BUCKETS 256u /* a power of two */

struct mf_udp_client {
	struct mf_udp_client *chain;	   /* in its bucket */
	struct mf_udp_client *prev, *next; /* with as many flows */
	struct mf_addr addr;
	uint32_t cnt;
	struct mf_udp_flow *newest, *oldest;
};

struct mf_udp_clients {
	struct mf_udp_client *buckets[BUCKETS];
	uint32_t most;			/* flows that any has */
	struct mf_udp_client *levels[]; /* by number of flows, from 0 on */
};

static struct mf_addr key_of(const struct mf_addr *a)
{
	struct mf_addr key = { .family = a->family };

	memcpy(key.bytes, a->bytes, a->family == 4 ? 4 : 8);
	return key;
}

static struct mf_udp_client **place_of(struct mf_udp_proxy *udp, const struct mf_addr *key)
{
	uint64_t h = mf_hash_bytes(key, sizeof(*key), udp->seed);
	struct mf_udp_client **at = &udp->clients->buckets[h & (BUCKETS - 1)];

	while (*at && !mf_addr_eq(&(*at)->addr, key))
		at = &(*at)->chain;
	return at;
}

/* ---- levels ------------------------------------------------------------------------------------------------------ */

static void leave_level(struct mf_udp_clients *all, struct mf_udp_client *c)
{
	*(c->prev ? &c->prev->next : &all->levels[c->cnt]) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
}

static void enter_level(struct mf_udp_clients *all, struct mf_udp_client *c)
{
	c->next = all->levels[c->cnt];
	if (c->next)
		c->next->prev = c;
	all->levels[c->cnt] = c;
}

/* By one, so that the greatest is found by one step, too. */
static void change_count(struct mf_udp_clients *all, struct mf_udp_client *c, int by)
{
	leave_level(all, c);
	c->cnt = by > 0 ? c->cnt + 1 : c->cnt - 1;
	enter_level(all, c);
	if (c->cnt > all->most)
		all->most = c->cnt;
	else if (all->most && !all->levels[all->most])
		all->most--;
}

/* ---- flows ------------------------------------------------------------------------------------------------------- */

static void unlink_flow(struct mf_udp_client *c, struct mf_udp_flow *f)
{
	*(f->own_newer ? &f->own_newer->own_older : &c->newest) = f->own_older;
	*(f->own_older ? &f->own_older->own_newer : &c->oldest) = f->own_newer;
	f->own_newer = f->own_older = NULL;
}

static void link_flow(struct mf_udp_client *c, struct mf_udp_flow *f)
{
	f->own_older = c->newest;
	*(f->own_older ? &f->own_older->own_newer : &c->oldest) = f;
	c->newest = f;
}

void mf_udp_clients_touch(struct mf_udp_flow *f)
{
	if (!f->client || f->client->newest == f)
		return;
	unlink_flow(f->client, f);
	link_flow(f->client, f);
}

bool mf_udp_clients_add(struct mf_udp_flow *f)
{
	struct mf_udp_clients *all = f->udp->clients;
	struct mf_udp_client **at;
	struct mf_addr key;

	if (!all)
		return true;
	key = key_of(&f->ends.client.addr);
	at = place_of(f->udp, &key);
	if (!*at) {
		*at = calloc(1, sizeof(**at));
		if (!*at)
			return false;
		(*at)->addr = key;
		enter_level(all, *at);
	}
	f->client = *at;
	link_flow(*at, f);
	change_count(all, *at, 1);
	return true;
}

void mf_udp_clients_remove(struct mf_udp_flow *f)
{
	struct mf_udp_client *c = f->client;

	if (!c)
		return;
	f->client = NULL;
	unlink_flow(c, f);
	change_count(f->udp->clients, c, -1);
	if (c->cnt)
		return;
	leave_level(f->udp->clients, c);
	*place_of(f->udp, &c->addr) = c->chain;
	free(c);
}

struct mf_udp_flow *mf_udp_clients_own(struct mf_udp_proxy *udp, const struct mf_addr *client)
{
	struct mf_udp_clients *all = udp->clients;
	struct mf_addr key = key_of(client);
	struct mf_udp_client *c = all ? *place_of(udp, &key) : NULL;

	return c && c->cnt >= udp->proxy->opt.udp_flows_each ? c->oldest : NULL;
}

struct mf_udp_flow *mf_udp_clients_any(struct mf_udp_proxy *udp)
{
	struct mf_udp_clients *all = udp->clients;

	return all && all->most ? all->levels[all->most]->oldest : udp->oldest;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

int mf_udp_clients_new(struct mf_udp_proxy *udp)
{
	const struct mf_proxy_options *o = &udp->proxy->opt;
	uint32_t room = o->udp_flows_each < o->udp_flows_max ? o->udp_flows_each : o->udp_flows_max;

	if (!o->udp_flows_each)
		return 0;
	udp->clients =
		calloc(1, sizeof(*udp->clients) + (room + 1u) * sizeof(struct mf_udp_client *));
	if (!udp->clients)
		return MF_E_NOMEM;
	return 0;
}

void mf_udp_clients_free(struct mf_udp_proxy *udp)
{
	free(udp->clients); /* flows have gone, and their clients with them */
}
