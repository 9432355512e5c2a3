/* SPDX-License-Identifier: Apache-2.0 */
/* guest_net.c - guests, their addresses, and the way to them; see guest_net.h */
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "nic/guest_internal.h"

#define MTU_DEFAULT   1500
#define MTU_MIN	      1280
#define LEASE_DEFAULT 86400
#define BURST_MIN     (128u << 10)

static const uint8_t net4_default[4] = { 10, 0, 2, 0 };
static const uint8_t net6_default[6] = { 0xfd, 0x6d, 0x6f, 0x6f, 0x6e, 0x67 };
/* Locally administered */
static const uint8_t router_mac[6] = { 0x52, 0x6d, 0x6f, 0x6f, 0x6e, 0x02 };

const char *mf_guest_drop_name(enum mf_guest_drop reason)
{
	static const char *const names[] = {
		[MF_GUEST_DROP_MALFORMED] = "malformed",
		[MF_GUEST_DROP_TYPE] = "type",
		[MF_GUEST_DROP_VLAN] = "vlan",
		[MF_GUEST_DROP_NOT_OURS] = "not_ours",
		[MF_GUEST_DROP_GROUP] = "group",
		[MF_GUEST_DROP_SPOOFED_MAC] = "spoofed_mac",
		[MF_GUEST_DROP_SPOOFED_IP] = "spoofed_ip",
		[MF_GUEST_DROP_RATE] = "rate",
		[MF_GUEST_DROP_FRAGMENT] = "fragment",
		[MF_GUEST_DROP_QUEUE] = "queue",
	};
	_Static_assert(MF_ARRAY_SIZE(names) == MF_GUEST_DROP_NUM, "a name for each reason");

	return (unsigned)reason < MF_GUEST_DROP_NUM ? names[reason] : "?";
}

/* "example.test" as labels with their lengths. Return: bytes, 0: no such name */
static size_t name_to_wire(const char *name, uint8_t *buf, size_t room)
{
	size_t at = 0;

	while (*name) {
		size_t n = strcspn(name, ".");

		if (!n || n > 63 || at + n + 2 > room)
			return 0;
		buf[at++] = (uint8_t)n;
		memcpy(buf + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	buf[at++] = 0;
	return at;
}

int mf_guest_net_new(const struct mf_guest_net_options *options, const struct mf_guest_net_ops *ops,
		     struct mf_guest_net **ret, struct mf_err *err)
{
	static const uint8_t zero[6];
	struct mf_guest_net *net;
	struct mf_guest_net_options *o;

	if (options->size != sizeof(*options) || !ops->packet || !ops->now)
		return mf_err_set(err, MF_E_INVAL, "a network of guests wants a stack");
	if (options->mtu && options->mtu < MTU_MIN)
		return mf_err_set(err, MF_E_INVAL, "the MTU of guests is at least %d bytes",
				  MTU_MIN);
	if (options->net4[3])
		return mf_err_set(err, MF_E_INVAL,
				  "the guests' IPv4 network is a /24: its last byte is 0");
	net = calloc(1, sizeof(*net));
	if (!net)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	net->options = *options;
	net->ops = *ops;
	o = &net->options;
	if (memcmp(o->net4, zero, 4) == 0)
		memcpy(o->net4, net4_default, 4);
	if (memcmp(o->net6, zero, 6) == 0)
		memcpy(o->net6, net6_default, 6);
	o->mtu = o->mtu ? o->mtu : MTU_DEFAULT;
	o->lease_s = o->lease_s ? o->lease_s : LEASE_DEFAULT;
	if (o->domain) {
		net->search_len = name_to_wire(o->domain, net->search, 255);
		if (!net->search_len) {
			free(net);
			return mf_err_set(err, MF_E_INVAL, "'%s' is no domain name",
					  options->domain);
		}
	}
	memcpy(net->mac, memcmp(o->mac, zero, 6) == 0 ? router_mac : o->mac, 6);
	memcpy(net->router4, o->net4, 4);
	memcpy(net->dns4, o->net4, 4);
	net->router4[3] = MF_GUEST_HOST_ROUTER;
	net->dns4[3] = o->names_at_router ? MF_GUEST_HOST_ROUTER : MF_GUEST_HOST_DNS;
	memcpy(net->router6, o->net6, 6);
	memcpy(net->dns6, o->net6, 6);
	net->router6[15] = MF_GUEST_HOST_ROUTER;
	net->dns6[15] = MF_GUEST_HOST_DNS;
	mf_store_be16(net->link6, 0xfe80);
	net->link6[15] = MF_GUEST_HOST_ROUTER;
	*ret = net;
	return 0;
}

void mf_guest_net_free(struct mf_guest_net *net)
{
	if (!net)
		return;
	while (net->cnt)
		mf_guest_detach(net->guests[net->cnt - 1]);
	free(net);
}

/* What it may send in a second stays its wire's. */
static void on_replaced(void *ctx)
{
	struct mf_guest *g = ctx;
	struct mf_guest_net *net = g->net;

	if (!g->slot)
		return; /* nobody has said who it is */
	if (net->ops.replaced)
		net->ops.replaced(net->ops.ctx, g);
	net->slots[g->slot].guest = NULL;
	mf_reassembler_free(g->fragments);
	g->fragments = NULL;
	g->slot = 0;
	g->number = ++net->number;
	g->advert_due_ns = UINT64_MAX;
	memset(g->mac, 0, sizeof(g->mac));
	memset(g->address4, 0, sizeof(g->address4));
	memset(g->prefix6, 0, sizeof(g->prefix6));
	memset(&g->stats, 0, sizeof(g->stats));
	memset(&g->source->stats, 0, sizeof(g->source->stats));
}

int mf_guest_attach(struct mf_guest_net *net, struct mf_frame_source *source, struct mf_guest **ret,
		    struct mf_err *err)
{
	struct mf_guest *g = net->cnt < MF_GUESTS_MAX ? calloc(1, sizeof(*g)) : NULL;

	if (!g) {
		mf_frame_source_free(source);
		return net->cnt < MF_GUESTS_MAX
			       ? mf_err_set(err, MF_E_NOMEM, "out of memory")
			       : mf_err_set(err, MF_E_FULL, "at most %u guests at a time",
					    MF_GUESTS_MAX);
	}
	g->net = net;
	g->source = source;
	g->number = ++net->number;
	g->advert_due_ns = UINT64_MAX;
	source->receiver = mf_guest_on_frame;
	source->replaced = on_replaced;
	source->ctx = g;
	net->guests[net->cnt++] = g;
	*ret = g;
	return 0;
}

void mf_guest_detach(struct mf_guest *g)
{
	struct mf_guest_net *net = g->net;
	unsigned i = 0;

	while (net->guests[i] != g)
		i++;
	net->guests[i] = net->guests[--net->cnt];
	if (g->slot)
		net->slots[g->slot].guest = NULL;
	mf_frame_source_free(g->source);
	mf_reassembler_free(g->fragments);
	free(g);
}

/* The one that the MAC had; else one that nobody ever had; else any that nobody has now. Return: 0: none */
static unsigned find_slot(const struct mf_guest_net *net, const uint8_t mac[6])
{
	unsigned fresh = 0, any = 0;

	for (unsigned i = MF_GUESTS_MAX; i; i--) {
		if (net->slots[i].guest)
			continue;
		if (net->slots[i].used && memcmp(net->slots[i].mac, mac, 6) == 0)
			return i;
		any = i;
		if (!net->slots[i].used)
			fresh = i;
	}
	return fresh ? fresh : any;
}

bool mf_guest_settle(struct mf_guest *g, const uint8_t mac[6])
{
	struct mf_guest_net *net = g->net;
	unsigned slot = find_slot(net, mac);

	if (!slot)
		return false;
	memcpy(net->slots[slot].mac, mac, 6);
	net->slots[slot].used = true;
	net->slots[slot].guest = g;
	g->slot = slot;
	memcpy(g->mac, mac, 6);
	memcpy(g->address4, net->options.net4, 4);
	g->address4[3] = (uint8_t)(MF_GUEST_HOST_FIRST + slot - 1);
	memcpy(g->prefix6, net->options.net6, 6);
	mf_store_be16(g->prefix6 + 6, (uint16_t)slot);
	g->advert_due_ns = 0;
	if (net->ops.event)
		net->ops.event(net->ops.ctx, g, false);
	return true;
}

void mf_guest_rename(struct mf_guest *g, const uint8_t mac[6])
{
	memcpy(g->mac, mac, 6);
	memcpy(g->net->slots[g->slot].mac, mac, 6);
}

int mf_guest_put(struct mf_guest *g, const uint8_t *head, size_t head_len, const uint8_t *body,
		 size_t len)
{
	int r;

	if (g->net->ops.observe)
		g->net->ops.observe(g->net->ops.ctx, g, false, head, head_len, body, len);
	r = mf_frame_source_send(g->source, head, head_len, body, len);
	if (r < 0)
		mf_guest_dropped(g, MF_GUEST_DROP_QUEUE);
	return r;
}

static int emit(struct mf_guest *g, const uint8_t dst[6], uint16_t type, const uint8_t *body,
		size_t len)
{
	uint8_t head[MF_GUEST_HEAD], padded[MF_GUEST_LEAST];

	memcpy(head, dst, 6);
	memcpy(head + 6, g->net->mac, 6);
	mf_store_be16(head + 12, type);
	if (len < MF_GUEST_LEAST - MF_GUEST_HEAD) {
		memset(padded, 0, sizeof(padded));
		memcpy(padded, body, len);
		body = padded;
		len = MF_GUEST_LEAST - MF_GUEST_HEAD;
	}
	return mf_guest_put(g, head, sizeof(head), body, len);
}

void mf_guest_emit(struct mf_guest *g, const uint8_t dst[6], uint16_t type, const uint8_t *body,
		   size_t len)
{
	(void)emit(g, dst, type, body, len);
}

struct mf_guest *mf_guest_find(struct mf_guest_net *net, const uint8_t *pkt, size_t len,
			       uint16_t *ret_type)
{
	const struct mf_guest_net_options *o = &net->options;
	unsigned slot = 0;

	*ret_type = MF_ETHER_IP4;

	if (len >= 20 && pkt[0] >> 4 == 4 && memcmp(pkt + 16, o->net4, 3) == 0 &&
	    pkt[19] >= MF_GUEST_HOST_FIRST) {
		slot = pkt[19] - MF_GUEST_HOST_FIRST + 1u;
	} else if (len >= 40 && pkt[0] >> 4 == 6 && memcmp(pkt + 24, o->net6, 6) == 0) {
		slot = mf_load_be16(pkt + 30);
		*ret_type = MF_ETHER_IP6;
	}
	return slot && slot <= MF_GUESTS_MAX ? net->slots[slot].guest : NULL;
}

int mf_guest_net_packet(struct mf_guest_net *net, const uint8_t *pkt, size_t len)
{
	uint16_t type;
	struct mf_guest *g = mf_guest_find(net, pkt, len, &type);

	if (!g)
		return MF_E_NOENT;
	g->stats.packets_out++;
	return emit(g, g->mac, type, pkt, len);
}

int mf_guest_run(struct mf_guest *g, unsigned max)
{
	return mf_frame_source_run(g->source, max);
}

void mf_guest_net_flush(struct mf_guest_net *net)
{
	uint64_t now = net->ops.now(net->ops.ctx);

	for (unsigned i = 0; i < net->cnt; i++) {
		struct mf_guest *g = net->guests[i];

		mf_reassembler_expire(g->fragments, now);
		if (!net->options.no6 && now >= g->advert_due_ns)
			mf_guest_advertise(g, true);
		mf_frame_source_flush(g->source);
	}
}

struct mf_frame_source *mf_guest_source(const struct mf_guest *g)
{
	return g->source;
}

unsigned mf_guest_number(const struct mf_guest *g)
{
	return g->number;
}

const uint8_t *mf_guest_mac(const struct mf_guest *g)
{
	return g->mac;
}

const uint8_t *mf_guest_address4(const struct mf_guest *g)
{
	return g->address4;
}

const uint8_t *mf_guest_prefix6(const struct mf_guest *g)
{
	return g->prefix6;
}

void mf_guest_get_stats(const struct mf_guest *g, struct mf_guest_stats *ret)
{
	*ret = g->stats;
	ret->frames = g->source->stats;
}

void mf_guest_set_data(struct mf_guest *g, void *data)
{
	g->data = data;
}

void *mf_guest_data(const struct mf_guest *g)
{
	return g->data;
}
