/* SPDX-License-Identifier: Apache-2.0 */
/* test_guest_net.c - guests on wires of the test's own: whose frames count, who gets what, and the limits */
#include <moonfence/moonfence.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "nic/guest_net.h"
#include "tests/unit/test.h"

struct wire {
	struct mf_frame_source source;
	uint8_t last[2048];
	size_t last_len;
	unsigned sent;
	bool full;
};

struct world {
	struct mf_guest_net *net;
	struct mf_guest *guest[2];
	struct wire *wire[2];
	uint64_t now;
	unsigned packets;
	size_t packet_len;
};

static int wire_send(struct mf_frame_source *s, const uint8_t *head, size_t head_len,
		     const uint8_t *body, size_t body_len)
{
	struct wire *w = (struct wire *)s;

	if (w->full)
		return MF_E_AGAIN;
	memcpy(w->last, head, head_len);
	memcpy(w->last + head_len, body, body_len);
	w->last_len = head_len + body_len;
	w->sent++;
	return 0;
}

static int wire_run(struct mf_frame_source *s, unsigned max)
{
	(void)s;
	(void)max;
	return 0;
}

static void wire_flush(struct mf_frame_source *s)
{
	(void)s;
}

static void wire_free(struct mf_frame_source *s)
{
	free(s);
}

static const struct mf_frame_ops wire_ops = { "test", wire_run, wire_send, wire_flush, wire_free };

static void on_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct world *w = ctx;

	(void)guest;
	(void)pkt;
	w->packets++;
	w->packet_len = len;
}

static uint64_t now_of(void *ctx)
{
	return ((struct world *)ctx)->now;
}

static struct world *world_new(const struct mf_guest_net_options *more)
{
	struct world *w = calloc(1, sizeof(*w));
	struct mf_guest_net_options o = more ? *more : (struct mf_guest_net_options){ 0 };
	struct mf_guest_net_ops ops = { .packet = on_packet, .now = now_of, .ctx = w };

	assert_non_null(w);
	w->now = 1000 * MF_NS_PER_S;
	o.size = sizeof(o);
	assert_int_equal(mf_guest_net_new(&o, &ops, &w->net, NULL), 0);
	for (int i = 0; i < 2; i++) {
		w->wire[i] = calloc(1, sizeof(*w->wire[i]));
		assert_non_null(w->wire[i]);
		w->wire[i]->source = (struct mf_frame_source){ .ops = &wire_ops, .fd = -1 };
		assert_int_equal(mf_guest_attach(w->net, &w->wire[i]->source, &w->guest[i], NULL),
				 0);
	}
	return w;
}

static void world_free(struct world *w)
{
	mf_guest_net_free(w->net);
	free(w);
}

static void put(struct world *w, int i, uint8_t *frame, size_t len)
{
	w->wire[i]->source.receiver(w->wire[i]->source.ctx, frame, len);
}

/* The router's station as the guest hears it in an answer to ARP */
static const uint8_t router_mac[6] = { 0x52, 0x6d, 0x6f, 0x6f, 0x6e, 0x02 };

static void mac_of(int i, uint8_t ret[6])
{
	memcpy(ret, "\x52\x54\0\0\0", 5);
	ret[5] = (uint8_t)(i + 1);
}

static size_t arp(int i, const uint8_t sender[4], const uint8_t target[4], uint8_t *f)
{
	memset(f, 0xff, 6);
	mac_of(i, f + 6);
	memcpy(f + 12, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
	mac_of(i, f + 22);
	memcpy(f + 28, sender, 4);
	memset(f + 32, 0, 6);
	memcpy(f + 38, target, 4);
	return 42;
}

/* UDP over IPv4 without checksums, which nobody here looks at */
static size_t udp4(int i, const uint8_t src[4], const uint8_t dst[4], uint8_t *f)
{
	memcpy(f, router_mac, 6);
	mac_of(i, f + 6);
	memcpy(f + 12, "\x08\0\x45\0\0\x20\0\0\0\0\x40\x11\0\0", 14);
	memcpy(f + 26, src, 4);
	memcpy(f + 30, dst, 4);
	memcpy(f + 34, "\x10\0\x20\0\0\x0c\0\0abcd", 12);
	return 46;
}

static uint64_t dropped(struct world *w, int i, enum mf_guest_drop why)
{
	struct mf_guest_stats s;

	mf_guest_get_stats(w->guest[i], &s);
	return s.dropped[why];
}

static const uint8_t zero[4], router[4] = { 10, 0, 2, 2 }, first[4] = { 10, 0, 2, 15 },
			      second[4] = { 10, 0, 2, 16 }, world4[4] = { 192, 0, 2, 7 };

static void meet(struct world *w)
{
	uint8_t f[64];

	for (int i = 0; i < 2; i++)
		put(w, i, f, arp(i, zero, router, f));
	assert_memory_equal(mf_guest_address4(w->guest[0]), first, 4);
	assert_memory_equal(mf_guest_address4(w->guest[1]), second, 4);
}

static void test_own_packets_reach_the_stack_and_no_others(void **state)
{
	struct world *w = world_new(NULL);
	uint8_t f[64];

	(void)state;
	meet(w);
	put(w, 0, f, udp4(0, first, world4, f));
	assert_int_equal(w->packets, 1);
	assert_int_equal(w->packet_len, 32);
	put(w, 0, f, udp4(0, second, world4, f)); /* the neighbour's address */
	put(w, 0, f, udp4(0, world4, world4, f));
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_SPOOFED_IP), 2);
	put(w, 0, f, udp4(1, second, world4, f)); /* the neighbour's station */
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_SPOOFED_MAC), 1);
	put(w, 0, f, udp4(0, first, second, f)); /* to the neighbour */
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_NOT_OURS), 1);
	assert_memory_equal(w->wire[0]->last + 34, "\3\12", 2); /* and told so: host prohibited */
	udp4(0, first, world4, f);
	f[16] = 0xff; /* longer than it is */
	put(w, 0, f, 46);
	udp4(0, first, world4, f);
	f[14] = 0x41; /* a header of four bytes */
	put(w, 0, f, 46);
	put(w, 0, f, 14);
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_MALFORMED), 3);
	assert_int_equal(w->packets, 1);
	world_free(w);
}

/* Put a tag behind the addresses. Return: the frame's length */
static size_t tag(uint8_t *f, size_t len, uint16_t what, uint16_t tci)
{
	memmove(f + 16, f + 12, len - 12);
	mf_store_be16(f + 12, what);
	mf_store_be16(f + 14, tci);
	return len + 4;
}

static void test_vlans_are_dropped_and_a_priority_is_none(void **state)
{
	struct world *w = world_new(NULL);
	uint8_t f[64];
	unsigned sent;

	(void)state;
	meet(w);
	put(w, 0, f, tag(f, udp4(0, first, world4, f), 0x8100, 5));
	put(w, 0, f, tag(f, udp4(0, first, world4, f), 0x8100, 0xe000 | 4095));
	put(w, 0, f, tag(f, udp4(0, first, world4, f), 0x88a8, 0));
	put(w, 0, f, tag(f, tag(f, udp4(0, first, world4, f), 0x8100, 7), 0x8100, 0));
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_VLAN), 4);
	assert_int_equal(w->packets, 0);
	put(w, 0, f, tag(f, udp4(0, first, world4, f), 0x8100, 0xe000));
	assert_int_equal(w->packets, 1);
	assert_int_equal(w->packet_len, 32);
	sent = w->wire[0]->sent;
	put(w, 0, f, tag(f, arp(0, first, router, f), 0x8100, 0x6000));
	assert_int_equal(w->wire[0]->sent, sent + 1);
	/* what is the neighbour's stays so behind a tag */
	put(w, 0, f, tag(f, udp4(0, second, world4, f), 0x8100, 0));
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_SPOOFED_IP), 1);
	/* a tag that is cut off, and one with nothing behind it */
	tag(f, udp4(0, first, world4, f), 0x8100, 0);
	put(w, 0, f, 14);
	put(w, 0, f, 17);
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_VLAN), 6);
	put(w, 0, f, 18);
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_MALFORMED), 1);
	assert_int_equal(w->packets, 1);
	world_free(w);
}

static void test_arp_answers_only_for_the_router(void **state)
{
	struct world *w = world_new(NULL);
	uint8_t f[64];
	unsigned sent;

	(void)state;
	meet(w);
	assert_int_equal(w->wire[0]->last_len, 60);
	assert_memory_equal(w->wire[0]->last + 22, router_mac, 6);
	sent = w->wire[0]->sent;
	put(w, 0, f, arp(0, first, first, f)); /* is anybody there? */
	put(w, 0, f, arp(0, first, second, f));
	put(w, 0, f, arp(0, router, router, f)); /* I am the router */
	put(w, 0, f, arp(0, second, router, f)); /* I am the neighbour */
	assert_int_equal(w->wire[0]->sent, sent);
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_SPOOFED_IP), 2);
	world_free(w);
}

static void test_packets_of_the_stack_find_their_guest(void **state)
{
	struct world *w = world_new(NULL);
	uint8_t p[60] = { 0x45 }, six[60] = { 0x60 };
	unsigned sent;

	(void)state;
	memcpy(p + 16, second, 4);
	assert_int_equal(mf_guest_net_packet(w->net, p, 60), MF_E_NOENT); /* nobody yet */
	meet(w);
	sent = w->wire[0]->sent;
	assert_int_equal(mf_guest_net_packet(w->net, p, 60), 0);
	assert_int_equal(w->wire[0]->sent, sent);
	assert_int_equal(w->wire[1]->last_len, 74);
	memcpy(six + 24, mf_guest_prefix6(w->guest[0]), 8);
	assert_int_equal(mf_guest_net_packet(w->net, six, 60), 0);
	assert_int_equal(w->wire[0]->sent, sent + 1);
	assert_memory_equal(w->wire[0]->last + 12, "\x86\xdd", 2);
	w->wire[1]->full = true;
	assert_int_equal(mf_guest_net_packet(w->net, p, 60), MF_E_AGAIN);
	assert_int_equal(dropped(w, 1, MF_GUEST_DROP_QUEUE), 1);
	for (size_t n = 0; n < 20; n++)
		assert_int_equal(mf_guest_net_packet(w->net, p, n), MF_E_NOENT);
	world_free(w);
}

static void test_forged_neighbour_messages(void **state)
{
	struct world *w = world_new(NULL);
	uint8_t f[128] = { 0x33, 0x33, 0, 0, 0, 1 };
	static const uint8_t kinds[] = { 134, 137 }; /* an advertisement of a router, a redirect */

	(void)state;
	meet(w);
	mac_of(0, f + 6);
	memcpy(f + 12, "\x86\xdd\x60\0\0\0\0\x20\x3a\xff\xfe\x80", 12);
	f[37] = 1;
	memcpy(f + 38, "\xff\2", 2);
	f[53] = 1;
	for (size_t i = 0; i < sizeof(kinds); i++) {
		f[54] = kinds[i];
		put(w, 0, f, 86);
	}
	/* an advertisement of a neighbour, about the router's address */
	f[54] = 136;
	memcpy(f + 62, "\xfe\x80", 2);
	f[77] = 2;
	put(w, 0, f, 86);
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_SPOOFED_IP), 3);
	f[21] = 64; /* from afar */
	put(w, 0, f, 86);
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_MALFORMED), 1);
	assert_int_equal(w->packets, 0);
	world_free(w);
}

static void test_the_rate_has_a_limit_and_time_mends_it(void **state)
{
	struct mf_guest_net_options o = { .rate = 1000 };
	struct world *w = world_new(&o);
	uint8_t f[64];
	uint64_t before;

	(void)state;
	meet(w);
	for (int i = 0; i < 10000; i++)
		put(w, 0, f, udp4(0, first, world4, f));
	before = dropped(w, 0, MF_GUEST_DROP_RATE);
	assert_in_range(before, 7000, 7300); /* 128 KiB in frames of 46 bytes went */
	put(w, 1, f, udp4(1, second, world4, f));
	assert_int_equal(dropped(w, 1, MF_GUEST_DROP_RATE), 0);
	w->now += MF_NS_PER_S / 10; /* 100 bytes more: two frames */
	for (int i = 0; i < 3; i++)
		put(w, 0, f, udp4(0, first, world4, f));
	assert_int_equal(dropped(w, 0, MF_GUEST_DROP_RATE), before + 1);
	world_free(w);
}

static void test_advertisements_come_by_themselves(void **state)
{
	struct world *w = world_new(NULL);
	unsigned sent;

	(void)state;
	meet(w);
	mf_guest_net_flush(w->net);
	assert_int_equal(w->wire[0]->last[54], 134);
	sent = w->wire[0]->sent;
	mf_guest_net_flush(w->net);
	assert_int_equal(w->wire[0]->sent, sent);
	w->now += 201 * MF_NS_PER_S;
	mf_guest_net_flush(w->net);
	assert_int_equal(w->wire[0]->sent, sent + 1);
	world_free(w);
}

static void test_bad_options(void **state)
{
	struct mf_guest_net_options o = { .size = sizeof(o), .mtu = 1000 };
	struct mf_guest_net_ops ops = { .packet = on_packet, .now = now_of };
	struct mf_guest_net *net;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_guest_net_new(&o, &ops, &net, &err), MF_E_INVAL);
	o.mtu = 0;
	o.domain = "two..dots";
	assert_int_equal(mf_guest_net_new(&o, &ops, &net, &err), MF_E_INVAL);
	o.domain = NULL;
	o.net4[0] = 10;
	o.net4[3] = 1;
	assert_int_equal(mf_guest_net_new(&o, &ops, &net, &err), MF_E_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_own_packets_reach_the_stack_and_no_others),
		cmocka_unit_test(test_vlans_are_dropped_and_a_priority_is_none),
		cmocka_unit_test(test_arp_answers_only_for_the_router),
		cmocka_unit_test(test_packets_of_the_stack_find_their_guest),
		cmocka_unit_test(test_forged_neighbour_messages),
		cmocka_unit_test(test_the_rate_has_a_limit_and_time_mends_it),
		cmocka_unit_test(test_advertisements_come_by_themselves),
		cmocka_unit_test(test_bad_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
