/* SPDX-License-Identifier: Apache-2.0 */
/* test_nat.c - the NAT table, rule by rule */
#include "golden.h"
#include "nat_fixture.h"

#define SYN MF_TCP_SYN
#define ACK MF_TCP_ACK
#define FIN (MF_TCP_FIN | MF_TCP_ACK)
#define RST MF_TCP_RST

static uint64_t now;

static struct mf_nat *new_table(uint32_t entries)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = entries };
	struct mf_nat *nat;

	// Any zero point: a table must not care how large the clock's numbers are.
	now = 1000000 * S;
	assert_int_equal(mf_nat_new(&o, &nat, NULL), 0);
	return nat;
}

static int insert(struct mf_nat *nat, const struct mf_flow *f, uint32_t isn, uint32_t pid)
{
	struct mf_nat_insert in = { .flow = *f, .to = to_proxy(f), .isn = isn, .pid = pid };

	return mf_nat_insert(nat, &in, now);
}

/* One packet; Return: as mf_nat_lookup(), with the state in @state if it was found */
static int packet(struct mf_nat *nat, const struct mf_flow *f, uint8_t flags, int *state)
{
	struct mf_nat_ask ask = ask_of(f, flags, 1000);
	struct mf_nat_hit hit;
	int r = mf_nat_lookup(nat, &ask, now, &hit);

	if (!r && state)
		*state = hit.state;
	return r;
}

/* Packets of both directions of a flow whose entry rewrites it to the proxy. */
static int forward(struct mf_nat *nat, const struct mf_flow *f, uint8_t flags)
{
	int state = -1, r = packet(nat, f, flags, &state);

	return r ? r : state;
}

static int reply(struct mf_nat *nat, const struct mf_flow *f, uint8_t flags)
{
	struct mf_flow to = to_proxy(f), back = mf_flow_reverse(&to);
	int state = -1, r = packet(nat, &back, flags, &state);

	return r ? r : state;
}

static void establish(struct mf_nat *nat, const struct mf_flow *f)
{
	assert_int_equal(insert(nat, f, 1000, 7), 0);
	assert_int_equal(forward(nat, f, SYN), MF_NAT_NEW);
	assert_int_equal(reply(nat, f, SYN | ACK), MF_NAT_NEW);
	assert_int_equal(forward(nat, f, ACK), MF_NAT_ESTABLISHED);
}

static void a_flow_is_found_and_rewritten_in_both_directions(void **state)
{
	struct mf_flow flows[] = { flow4(MF_PROTO_TCP, 1), flow6(MF_PROTO_TCP, 1),
				   flow4(MF_PROTO_UDP, 1), flow6(MF_PROTO_UDP, 1) };
	struct mf_nat *nat = new_table(16);

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct mf_flow to = to_proxy(&flows[i]), back = mf_flow_reverse(&to);
		struct mf_flow home = mf_flow_reverse(&flows[i]);
		struct mf_nat_ask ask = ask_of(&flows[i], SYN, 1000);
		struct mf_nat_hit hit;

		assert_int_equal(insert(nat, &flows[i], 1000, 42), 0);
		assert_int_equal(mf_nat_lookup(nat, &ask, now, &hit), 0);
		assert_memory_equal(&hit.to, &to, sizeof(to));
		assert_int_equal(hit.dir, MF_NAT_FORWARD);
		assert_int_equal(hit.pid, 42);
		assert_true(hit.rewrites);
		assert_false(hit.redirected);
		ask = ask_of(&back, SYN | ACK, 5);
		assert_int_equal(mf_nat_lookup(nat, &ask, now, &hit), 0);
		assert_memory_equal(&hit.to, &home, sizeof(home));
		assert_int_equal(hit.dir, MF_NAT_REPLY);
	}
	assert_int_equal(mf_nat_count(nat), 4);
	mf_nat_free(nat);
}

static void protocol_and_every_end_belong_to_the_key(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1), g;
	struct mf_nat *nat = new_table(16);

	(void)state;
	assert_int_equal(insert(nat, &f, 1000, 0), 0);
	for (size_t i = 0; i < sizeof(f) - 2; i++) {
		g = f;
		((uint8_t *)&g)[i] ^= 1;
		assert_int_equal(packet(nat, &g, ACK, NULL), MF_E_NOENT);
	}
	g = f;
	g.proto = MF_PROTO_UDP;
	assert_int_equal(insert(nat, &g, 0, 0), 0);
	assert_int_equal(mf_nat_count(nat), 2);
	mf_nat_free(nat);
}

static void a_flow_without_entry_is_not_found(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_stats st;

	(void)state;
	assert_int_equal(forward(nat, &f, ACK), MF_E_NOENT);
	assert_int_equal(mf_nat_remove(nat, &f), MF_E_NOENT);
	assert_int_equal(mf_nat_close(nat, &f, now), MF_E_NOENT);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.misses, 1);
	mf_nat_free(nat);
}

static void the_redirect_is_kept_shared_and_can_be_changed(void **state)
{
	struct mf_nat_redirect r = { .host = "mirror.example",
				     .port = 8443,
				     .tls_mode = MF_TLS_REWRITE_SNI,
				     .sni = "mirror.example",
				     .on_failure = MF_RETRY_ORIGINAL };
	struct mf_flow f = flow4(MF_PROTO_TCP, 1), g = flow4(MF_PROTO_TCP, 2);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_entry e;
	struct mf_nat_stats st;
	char text[MF_NAT_TARGET_MAX];

	(void)state;
	assert_int_equal(
		mf_nat_insert(nat, &(struct mf_nat_insert){ .flow = f, .redirect = &r }, now), 0);
	assert_int_equal(
		mf_nat_insert(nat, &(struct mf_nat_insert){ .flow = g, .redirect = &r }, now), 0);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.redirects, 1);
	assert_int_equal(mf_nat_get(nat, &f, now, &e), 0);
	assert_memory_equal(&e.redirect, &r, sizeof(r));
	assert_string_equal(mf_nat_target(&e, text, sizeof(text)), "mirror.example:8443");

	snprintf(r.host, sizeof(r.host), "2001:db8::9");
	assert_int_equal(mf_nat_set_redirect(nat, &f, &r, now), 0);
	assert_int_equal(mf_nat_get(nat, &f, now, &e), 0);
	assert_string_equal(mf_nat_target(&e, text, sizeof(text)), "[2001:db8::9]:8443");
	assert_int_equal(mf_nat_get(nat, &g, now, &e), 0);
	assert_string_equal(mf_nat_target(&e, text, sizeof(text)), "mirror.example:8443");

	snprintf(r.host, sizeof(r.host), "/run/mirror.sock");
	r.port = 0;
	assert_int_equal(mf_nat_set_redirect(nat, &g, &r, now), 0);
	assert_int_equal(mf_nat_get(nat, &g, now, &e), 0);
	assert_string_equal(mf_nat_target(&e, text, sizeof(text)), "/run/mirror.sock");

	assert_int_equal(mf_nat_set_redirect(nat, &f, NULL, now), 0);
	assert_int_equal(mf_nat_get(nat, &f, now, &e), 0);
	assert_string_equal(mf_nat_target(&e, text, sizeof(text)), "198.51.100.7:443");
	assert_int_equal(mf_nat_remove(nat, &g), 0);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.redirects, 0);
	mf_nat_free(nat);
}

static void the_original_destination_is_the_target_without_a_redirect(void **state)
{
	struct mf_flow f = flow6(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_entry e;
	char text[MF_NAT_TARGET_MAX];

	(void)state;
	assert_int_equal(insert(nat, &f, 1000, 3), 0);
	assert_int_equal(mf_nat_get(nat, &f, now, &e), 0);
	assert_string_equal(mf_nat_target(&e, text, sizeof(text)), "[2001:db8::7]:443");
	assert_int_equal(e.pid, 3);
	assert_int_equal(e.isn, 1000);
	assert_memory_equal(&e.flow, &f, sizeof(f));
	assert_true(now - e.created_ns < S);
	mf_nat_free(nat);
}

static void redirects_have_a_limit_and_texts_must_end(void **state)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = 16, .redirects_max = 2 };
	struct mf_nat_redirect r = { .port = 1 };
	struct mf_nat *nat;

	(void)state;
	assert_int_equal(mf_nat_new(&o, &nat, NULL), 0);
	for (unsigned i = 0; i < 4; i++) {
		struct mf_nat_insert in = { .flow = flow4(MF_PROTO_UDP, i + 1), .redirect = &r };

		snprintf(r.host, sizeof(r.host), "host%u", i);
		assert_int_equal(mf_nat_insert(nat, &in, 0), i < 2 ? 0 : MF_E_FULL);
	}
	memset(r.host, 'x', sizeof(r.host));
	assert_int_equal(
		mf_nat_insert(nat, &(struct mf_nat_insert){ .flow = flow4(6, 9), .redirect = &r },
			      0),
		MF_E_INVAL);
	assert_int_equal(mf_nat_count(nat), 2);
	mf_nat_free(nat);
}

static void udp_lives_for_60_seconds_after_its_last_packet(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_UDP, 1);
	struct mf_nat *nat = new_table(16);

	(void)state;
	assert_int_equal(insert(nat, &f, 0, 0), 0);
	for (int i = 0; i < 10; i++) {
		now += 59 * S;
		assert_true(i % 2 ? forward(nat, &f, 0) >= 0 : reply(nat, &f, 0) >= 0);
	}
	now += 61 * S;
	assert_int_equal(forward(nat, &f, 0), MF_E_NOENT);
	assert_int_equal(mf_nat_count(nat), 1);
	assert_true(mf_nat_expire(nat, now, 100000) < 100000);
	assert_int_equal(mf_nat_count(nat), 0);
	mf_nat_free(nat);
}

static void tcp_lives_for_two_hours_after_its_last_packet(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);

	(void)state;
	establish(nat, &f);
	for (int i = 0; i < 5; i++) {
		now += 7199 * S;
		while (mf_nat_expire(nat, now, 1000) == 1000)
			;
		assert_int_equal(i % 2 ? reply(nat, &f, ACK) : forward(nat, &f, ACK),
				 MF_NAT_ESTABLISHED);
	}
	now += 7201 * S;
	assert_int_equal(forward(nat, &f, ACK), MF_E_NOENT);
	while (mf_nat_expire(nat, now, 1000) == 1000)
		;
	assert_int_equal(mf_nat_count(nat), 0);
	mf_nat_free(nat);
}

static void an_unanswered_syn_lives_for_five_minutes(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);

	(void)state;
	assert_int_equal(insert(nat, &f, 1000, 0), 0);
	now += 299 * S;
	assert_int_equal(forward(nat, &f, SYN), MF_NAT_NEW);
	now += 301 * S;
	assert_int_equal(forward(nat, &f, SYN), MF_E_NOENT);
	mf_nat_free(nat);
}

static void fins_of_both_sides_close_and_linger_two_minutes(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);

	(void)state;
	establish(nat, &f);
	assert_int_equal(forward(nat, &f, FIN), MF_NAT_ESTABLISHED);
	now += 3600 * S; // a half-closed connection may go on for long
	assert_int_equal(reply(nat, &f, ACK), MF_NAT_ESTABLISHED);
	assert_int_equal(reply(nat, &f, FIN), MF_NAT_CLOSING);
	now += 119 * S;
	assert_int_equal(forward(nat, &f, ACK), MF_NAT_CLOSING); // found, but not refreshed
	now += 2 * S;
	assert_int_equal(forward(nat, &f, ACK), MF_E_NOENT);
	while (mf_nat_expire(nat, now + 2 * S, 1000) == 1000)
		;
	assert_int_equal(mf_nat_count(nat), 0);
	mf_nat_free(nat);
}

static void a_reset_of_either_side_closes(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1), g = flow4(MF_PROTO_TCP, 2);
	struct mf_nat *nat = new_table(16);

	(void)state;
	establish(nat, &f);
	assert_int_equal(forward(nat, &f, RST), MF_NAT_CLOSING);
	assert_int_equal(insert(nat, &g, 1000, 0), 0);
	assert_int_equal(reply(nat, &g, RST | ACK), MF_NAT_CLOSING);
	now += 121 * S;
	assert_int_equal(forward(nat, &f, ACK), MF_E_NOENT);
	assert_int_equal(reply(nat, &g, ACK), MF_E_NOENT);
	while (mf_nat_expire(nat, now + 2 * S, 1000) == 1000)
		;
	assert_int_equal(mf_nat_count(nat), 0);
	mf_nat_free(nat);
}

static void a_forged_reset_does_not_end_a_connection_that_goes_on(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_stats st;

	(void)state;
	establish(nat, &f);
	assert_int_equal(forward(nat, &f, RST), MF_NAT_CLOSING);
	assert_int_equal(reply(nat, &f, ACK), MF_NAT_CLOSING); // the other side may not know yet
	assert_int_equal(forward(nat, &f, ACK), MF_NAT_ESTABLISHED);
	now += 3600 * S;
	while (mf_nat_expire(nat, now, 1000) == 1000)
		;
	assert_int_equal(forward(nat, &f, ACK), MF_NAT_ESTABLISHED);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.revived, 1);
	assert_int_equal(st.states[MF_NAT_ESTABLISHED], 1);
	assert_int_equal(st.states[MF_NAT_CLOSING], 0);
	mf_nat_free(nat);
}

static void a_closed_socket_only_shortens_the_time(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1), g = flow4(MF_PROTO_UDP, 1);
	struct mf_nat *nat = new_table(16);

	(void)state;
	establish(nat, &f);
	assert_int_equal(insert(nat, &g, 0, 0), 0);
	assert_int_equal(mf_nat_close(nat, &f, now), 0);
	assert_int_equal(mf_nat_close(nat, &g, now), 0);
	now += 60 * S;
	assert_int_equal(mf_nat_close(nat, &f, now), 0); // a second close changes nothing
	assert_int_equal(forward(nat, &f, FIN), MF_NAT_CLOSING);
	assert_int_equal(forward(nat, &f, ACK), MF_NAT_CLOSING);
	now += 61 * S;
	assert_int_equal(forward(nat, &f, ACK), MF_E_NOENT);
	assert_int_equal(forward(nat, &g, 0), MF_E_NOENT);
	mf_nat_free(nat);
}

static void a_repeated_syn_keeps_the_entry_and_a_new_one_replaces_it(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1);
	struct mf_nat_ask again = ask_of(&f, SYN, 1000), other = ask_of(&f, SYN, 77777);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_hit hit;
	struct mf_nat_stats st;

	(void)state;
	establish(nat, &f);
	assert_int_equal(mf_nat_lookup(nat, &again, now, &hit), 0);
	assert_int_equal(hit.state, MF_NAT_ESTABLISHED);
	assert_int_equal(insert(nat, &f, 1000, 8), MF_E_EXIST);

	assert_int_equal(mf_nat_lookup(nat, &other, now, &hit), MF_E_NOENT);
	assert_int_equal(forward(nat, &f, ACK), MF_NAT_ESTABLISHED); // until policy was asked
	assert_int_equal(insert(nat, &f, 77777, 9), 0);
	assert_int_equal(mf_nat_lookup(nat, &other, now, &hit), 0);
	assert_int_equal(hit.state, MF_NAT_NEW);
	assert_int_equal(hit.pid, 9);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.entries, 1);
	assert_int_equal(st.reused, 1);
	assert_int_equal(st.replaced, 1);
	assert_int_equal(st.repeated, 1);
	mf_nat_free(nat);
}

static void a_used_udp_port_is_not_replaced_before_it_expires(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_UDP, 1);
	struct mf_nat *nat = new_table(16);

	(void)state;
	assert_int_equal(insert(nat, &f, 1, 5), 0);
	assert_int_equal(insert(nat, &f, 2, 6), MF_E_EXIST);
	now += 61 * S;
	assert_int_equal(insert(nat, &f, 3, 6), 0);
	assert_int_equal(mf_nat_close(nat, &f, now), 0);
	assert_int_equal(insert(nat, &f, 4, 6), 0);
	assert_int_equal(mf_nat_count(nat), 1);
	mf_nat_free(nat);
}

static void answers_that_two_flows_would_share_are_refused(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 1), g = flow4(MF_PROTO_TCP, 1);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_insert in = { .isn = 5 };

	(void)state;
	// Same client port to another server: by loopback pair both would be 127.0.0.1:1 to the proxy.
	g.dst[3] = 9;
	assert_int_equal(insert(nat, &f, 1000, 0), 0);
	assert_int_equal(insert(nat, &g, 2000, 0), MF_E_AGAIN);
	in.flow = g;
	in.to = to_proxy(&g);
	in.to.src_port = 40000;
	assert_int_equal(mf_nat_insert(nat, &in, now), 0);
	// A program's own flow can also be what answers look like.
	in.to = to_proxy(&f);
	in.flow = mf_flow_reverse(&in.to);
	in.to = in.flow;
	assert_int_equal(mf_nat_insert(nat, &in, now), MF_E_AGAIN);
	assert_int_equal(mf_nat_count(nat), 2);
	mf_nat_free(nat);
}

static void a_flow_to_itself_has_one_key(void **state)
{
	struct mf_flow f = flow4(MF_PROTO_TCP, 443);
	struct mf_nat *nat = new_table(16);
	struct mf_nat_insert in = { .isn = 5 };
	struct mf_nat_hit hit;
	struct mf_nat_ask ask;

	(void)state;
	memcpy(f.dst, f.src, 16);
	in.flow = f;
	assert_int_equal(mf_nat_insert(nat, &in, now), 0);
	ask = ask_of(&f, SYN, 5);
	assert_int_equal(mf_nat_lookup(nat, &ask, now, &hit), 0);
	assert_false(hit.rewrites);
	assert_memory_equal(&hit.to, &f, sizeof(f));
	assert_int_equal(mf_nat_remove(nat, &f), 0);
	assert_int_equal(mf_nat_count(nat), 0);
	assert_int_equal(mf_nat_lookup(nat, &ask, now, &hit), MF_E_NOENT);
	mf_nat_free(nat);
}

static void what_a_process_leaves_lingers(void **state)
{
	struct mf_nat *nat = new_table(4096);
	struct mf_nat_stats st;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct mf_flow f = flow4(MF_PROTO_UDP, i + 1);

		assert_int_equal(insert(nat, &f, 0, i % 3), 0);
	}
	assert_int_equal(mf_nat_close_pid(nat, 1, now), 1000);
	assert_int_equal(mf_nat_close_pid(nat, 1, now), 0);
	assert_int_equal(mf_nat_close_pid(nat, 0, now), 0);
	for (unsigned i = 0; i < 3000; i++) {
		struct mf_flow f = flow4(MF_PROTO_UDP, i + 1);

		assert_int_equal(forward(nat, &f, 0), i % 3 == 1 ? MF_NAT_CLOSING : MF_NAT_NEW);
	}
	// The number is another process' now, whose end takes none of the old ones along.
	for (unsigned i = 3000; i < 3010; i++) {
		struct mf_flow f = flow4(MF_PROTO_UDP, i + 1);

		assert_int_equal(insert(nat, &f, 0, 1), 0);
	}
	assert_int_equal(mf_nat_remove_pid(nat, 1), 10);
	assert_int_equal(mf_nat_count(nat), 3000);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.closed_pid, 1000);
	while (mf_nat_expire(nat, now + 125 * S, 1000) == 1000)
		;
	assert_int_equal(mf_nat_count(nat), 0);
	mf_nat_free(nat);
}

static void a_process_takes_its_entries_along(void **state)
{
	struct mf_nat *nat = new_table(4096);
	struct mf_nat_stats st;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		struct mf_flow f = flow4(MF_PROTO_UDP, i + 1);

		assert_int_equal(insert(nat, &f, 0, i % 3), 0);
	}
	assert_int_equal(mf_nat_remove_pid(nat, 1), 1000);
	assert_int_equal(mf_nat_remove_pid(nat, 1), 0);
	assert_int_equal(mf_nat_remove_pid(nat, 99), 0);
	assert_int_equal(mf_nat_remove_pid(nat, 0), 0); // unknown is nobody
	assert_int_equal(mf_nat_count(nat), 2000);
	for (unsigned i = 0; i < 3000; i++) {
		struct mf_flow f = flow4(MF_PROTO_UDP, i + 1);

		assert_int_equal(forward(nat, &f, 0), i % 3 == 1 ? MF_E_NOENT : MF_NAT_NEW);
	}
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.removed_pid, 1000);
	mf_nat_free(nat);
}

static void a_full_table_gives_up_closing_then_new_and_never_established(void **state)
{
	struct mf_nat *nat = new_table(8);
	struct mf_flow f[16];
	struct mf_nat_stats st;

	(void)state;
	for (unsigned i = 0; i < 16; i++)
		f[i] = flow4(MF_PROTO_TCP, i + 1);
	for (unsigned i = 0; i < 6; i++)
		establish(nat, &f[i]);
	assert_int_equal(reply(nat, &f[5], RST), MF_NAT_CLOSING);
	now += S;
	assert_int_equal(insert(nat, &f[6], 1000, 0), 0);
	now += S;
	assert_int_equal(insert(nat, &f[7], 1000, 0), 0);
	now += S;
	assert_int_equal(mf_nat_count(nat), 8);

	assert_int_equal(insert(nat, &f[8], 1000, 0), 0); // 5 was closing
	assert_int_equal(forward(nat, &f[5], ACK), MF_E_NOENT);
	assert_int_equal(insert(nat, &f[9], 1000, 0), 0); // 6 was the oldest new one
	assert_int_equal(forward(nat, &f[6], SYN), MF_E_NOENT);
	for (unsigned i = 7; i < 10; i++) {
		assert_int_equal(reply(nat, &f[i], SYN | ACK), MF_NAT_NEW);
		assert_int_equal(forward(nat, &f[i], ACK), MF_NAT_ESTABLISHED);
	}
	assert_int_equal(insert(nat, &f[10], 1000, 0), MF_E_FULL);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(forward(nat, &f[i], ACK),
				 i == 5 || i == 6 ? MF_E_NOENT : MF_NAT_ESTABLISHED);
	mf_nat_get_stats(nat, &st);
	assert_int_equal(st.evicted_closing, 1);
	assert_int_equal(st.evicted_new, 1);
	assert_int_equal(st.full, 1);
	assert_int_equal(st.entries, 8);
	// What is over makes room even if nobody has swept it.
	now += 7300 * S;
	assert_int_equal(insert(nat, &f[10], 1000, 0), 0);
	mf_nat_free(nat);
}

static void a_flood_of_syns_does_not_touch_established_flows(void **state)
{
	struct mf_nat *nat = new_table(256);

	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		struct mf_flow f = flow4(MF_PROTO_TCP, i + 1);

		establish(nat, &f);
	}
	for (unsigned i = 0; i < 20000; i++) {
		struct mf_flow f = flow4(MF_PROTO_TCP, 1000 + i);

		now += S / 1000;
		assert_int_equal(insert(nat, &f, i, 0), 0);
	}
	for (unsigned i = 0; i < 200; i++) {
		struct mf_flow f = flow4(MF_PROTO_TCP, i + 1);

		assert_int_equal(forward(nat, &f, ACK), MF_NAT_ESTABLISHED);
	}
	assert_int_equal(mf_nat_count(nat), 256);
	mf_nat_free(nat);
}

static void expiry_does_no_more_than_its_budget(void **state)
{
	struct mf_nat *nat = new_table(20000);
	uint32_t left;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct mf_flow f = flow4(MF_PROTO_UDP, i + 1);

		assert_int_equal(insert(nat, &f, 0, 0), 0);
	}
	now += 100 * S;
	left = 20000;
	while (left) {
		unsigned used = mf_nat_expire(nat, now, 100);
		uint32_t count = mf_nat_count(nat);

		assert_true(used <= 100);
		assert_true(left - count <= 100);
		assert_true(used == 100 || count == 0);
		left = count;
	}
	mf_nat_free(nat);
}

static void bursts_answer_as_single_look_ups(void **state)
{
	struct mf_nat *nat = new_table(1024);
	struct mf_nat_ask asks[MF_NAT_BURST_MAX];
	struct mf_nat_hit hits[MF_NAT_BURST_MAX], one;
	uint64_t found;

	(void)state;
	for (unsigned i = 0; i < 500; i += 2) {
		struct mf_flow f = i % 4 ? flow4(MF_PROTO_UDP, i) : flow6(MF_PROTO_UDP, i);

		assert_int_equal(insert(nat, &f, 0, i), 0);
	}
	for (unsigned base = 0; base + MF_NAT_BURST_MAX < 500; base += 37) {
		for (unsigned i = 0; i < MF_NAT_BURST_MAX; i++) {
			struct mf_flow f = (base + i) % 4 ? flow4(MF_PROTO_UDP, base + i)
							  : flow6(MF_PROTO_UDP, base + i);

			asks[i] = ask_of(&f, 0, 0);
		}
		found = mf_nat_lookup_burst(nat, asks, MF_NAT_BURST_MAX, now, hits);
		for (unsigned i = 0; i < MF_NAT_BURST_MAX; i++) {
			assert_int_equal(found >> i & 1, (base + i) % 2 == 0);
			if (!(found >> i & 1))
				continue;
			assert_int_equal(mf_nat_lookup(nat, &asks[i], now, &one), 0);
			assert_memory_equal(&one.to, &hits[i].to, sizeof(one.to));
			assert_int_equal(one.pid, hits[i].pid);
		}
	}
	assert_int_equal(mf_nat_lookup_burst(nat, asks, 0, now, hits), 0);
	mf_nat_free(nat);
}

static void options_out_of_range_are_refused_with_their_name(void **state)
{
	struct mf_nat_options o = { .size = sizeof(o), .udp_idle_ns = 1 };
	struct mf_nat *nat = NULL;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_nat_new(&o, &nat, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "udp_idle_ns"));
	o = (struct mf_nat_options){ .size = sizeof(o), .entries_max = UINT32_MAX };
	assert_int_equal(mf_nat_new(&o, &nat, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "entries_max"));
	assert_null(nat);
	mf_nat_free(NULL);
}

static void flows_that_do_not_fit_together_are_refused(void **state)
{
	struct mf_nat *nat = new_table(4);
	struct mf_nat_insert in = { .flow = flow4(MF_PROTO_TCP, 1), .to = flow6(MF_PROTO_TCP, 1) };

	(void)state;
	assert_int_equal(mf_nat_insert(nat, &in, now), MF_E_INVAL);
	in.to = flow4(MF_PROTO_UDP, 1);
	assert_int_equal(mf_nat_insert(nat, &in, now), MF_E_INVAL);
	in.flow.family = 0;
	assert_int_equal(mf_nat_insert(nat, &in, now), MF_E_INVAL);
	mf_nat_free(nat);
}

static void interface_numbers_come_back_with_hits_until_their_rows_run_out(void **state)
{
	struct mf_nat *nat = new_table(1024);
	struct mf_nat_insert in = { .pid = 5 };
	struct mf_nat_entry e;
	struct mf_nat_hit hit;
	struct mf_flow back;

	(void)state;
	for (uint32_t n = 1; n <= MF_NAT_VIAS_MAX; n++) {
		in.flow = flow4(MF_PROTO_TCP, n);
		in.to = to_proxy(&in.flow);
		in.via[0] = n;
		in.via[1] = UINT32_MAX - n;
		assert_int_equal(mf_nat_insert(nat, &in, now), 0);
	}
	// All rows are taken: known numbers and none at all still find theirs, new ones do not.
	in.flow = flow4(MF_PROTO_TCP, 500);
	in.to = to_proxy(&in.flow);
	in.via[0] = in.via[1] = 500;
	assert_int_equal(mf_nat_insert(nat, &in, now), MF_E_FULL);
	in.via[0] = 3;
	in.via[1] = UINT32_MAX - 3;
	assert_int_equal(mf_nat_insert(nat, &in, now), 0);
	in.flow = flow4(MF_PROTO_UDP, 501);
	in.to = to_proxy(&in.flow);
	in.via[0] = in.via[1] = 0;
	assert_int_equal(mf_nat_insert(nat, &in, now), 0);
	for (uint32_t n = 1; n <= MF_NAT_VIAS_MAX; n++) {
		struct mf_flow f = flow4(MF_PROTO_TCP, n), to = to_proxy(&f);
		struct mf_nat_ask ask;

		back = mf_flow_reverse(&to);
		ask = ask_of(&back, MF_TCP_ACK, 0);
		assert_int_equal(mf_nat_lookup(nat, &ask, now, &hit), 0);
		assert_int_equal(hit.via[0], n);
		assert_int_equal(hit.via[1], UINT32_MAX - n);
		assert_int_equal(mf_nat_get(nat, &f, now, &e), 0);
		assert_int_equal(e.via[1], UINT32_MAX - n);
	}
	// A row that nobody uses any more is free again.
	back = flow4(MF_PROTO_TCP, 9);
	assert_int_equal(mf_nat_remove(nat, &back), 0);
	in.flow = flow4(MF_PROTO_TCP, 502);
	in.to = to_proxy(&in.flow);
	in.via[0] = 502;
	assert_int_equal(mf_nat_insert(nat, &in, now), 0);
	assert_int_equal(mf_nat_get(nat, &in.flow, now, &e), 0);
	assert_int_equal(e.via[0], 502);
	assert_int_equal(mf_nat_remove_pid(nat, 5), MF_NAT_VIAS_MAX + 2);
	mf_nat_free(nat);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flow_is_found_and_rewritten_in_both_directions),
		cmocka_unit_test(protocol_and_every_end_belong_to_the_key),
		cmocka_unit_test(a_flow_without_entry_is_not_found),
		cmocka_unit_test(the_redirect_is_kept_shared_and_can_be_changed),
		cmocka_unit_test(the_original_destination_is_the_target_without_a_redirect),
		cmocka_unit_test(redirects_have_a_limit_and_texts_must_end),
		cmocka_unit_test(udp_lives_for_60_seconds_after_its_last_packet),
		cmocka_unit_test(tcp_lives_for_two_hours_after_its_last_packet),
		cmocka_unit_test(an_unanswered_syn_lives_for_five_minutes),
		cmocka_unit_test(fins_of_both_sides_close_and_linger_two_minutes),
		cmocka_unit_test(a_reset_of_either_side_closes),
		cmocka_unit_test(a_forged_reset_does_not_end_a_connection_that_goes_on),
		cmocka_unit_test(a_closed_socket_only_shortens_the_time),
		cmocka_unit_test(a_repeated_syn_keeps_the_entry_and_a_new_one_replaces_it),
		cmocka_unit_test(a_used_udp_port_is_not_replaced_before_it_expires),
		cmocka_unit_test(answers_that_two_flows_would_share_are_refused),
		cmocka_unit_test(a_flow_to_itself_has_one_key),
		cmocka_unit_test(a_process_takes_its_entries_along),
		cmocka_unit_test(what_a_process_leaves_lingers),
		cmocka_unit_test(a_full_table_gives_up_closing_then_new_and_never_established),
		cmocka_unit_test(a_flood_of_syns_does_not_touch_established_flows),
		cmocka_unit_test(expiry_does_no_more_than_its_budget),
		cmocka_unit_test(bursts_answer_as_single_look_ups),
		cmocka_unit_test(options_out_of_range_are_refused_with_their_name),
		cmocka_unit_test(flows_that_do_not_fit_together_are_refused),
		cmocka_unit_test(interface_numbers_come_back_with_hits_until_their_rows_run_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
