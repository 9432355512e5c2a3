/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebRTC whole: an agent and our end in one process, with a network between them that loses, doubles and reorders by a written-down
 * seed. What is ever sent to an address is counted here, outside of what is tested.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those that it wants */
#include <cmocka.h>
#include <event2/event.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "proxies/rtc/crc32c.h"
#include "proxies/rtc/rtc_int.h"
#include "tests/unit/proxies/rtc_agent.h"

enum {
	FLIGHTS = 8192,
	MANY = 200,
	GIVE_UP_MS = 120000, /* so that a broken run ends */
};

struct flight {
	bool to_rtc;
	unsigned due;
	struct mf_rtc_path path;
	size_t len;
	uint8_t data[1500];
};

static struct net {
	struct event_base *base;
	struct event *tick;
	struct mf_rtc *rtc;
	int fd;
	struct mf_dtls_identity *id;
	struct agent a;
	struct mf_rtc_path path; /* the agent's */
	struct flight *flights[FLIGHTS];
	size_t cnt;
	unsigned now, loss, spread; /* of 100; rounds */
	uint64_t seed;
	bool cut; /* nothing reaches our end */
	unsigned inbox_max, inbox,
		inbox_reads; /* datagrams that the agent's socket takes, 0: any; holds; and that are read in a round */
	unsigned
		mtu; /* of the way to the agent, 0: any; what is longer and may not be taken apart is lost */
	size_t longest; /* datagram to the agent that was no probe */
	/* by the last byte of the address */
	uint64_t from[256], to[256];
	bool amplified[256];
	/* what our end's handlers heard */
	struct mf_rtc_session *session;
	struct mf_rtc_channel *channel;
	unsigned connected, channels, messages, closed, ended, rooms;
	enum mf_rtc_end why;
	bool refuse, echo, in_order, text;
	uint32_t next;
	size_t last_len;
	/* the agent's */
	unsigned got;
	uint32_t got_next;
	bool got_in_order, got_text;
	size_t got_len;
} n;

static uint64_t dice(void)
{
	/* splitmix64 */
	uint64_t z = n.seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void fly(bool to_rtc, const struct mf_rtc_path *path, struct mf_span d)
{
	unsigned copies = dice() % 100 < n.loss ? 0 : dice() % 100 < n.loss / 4 ? 2 : 1;

	assert_true(d.len <= sizeof(n.flights[0]->data));
	if (!to_rtc && n.inbox_max && n.inbox >= n.inbox_max)
		return;
	for (; copies && n.cnt < FLIGHTS; copies--) {
		struct flight *f = malloc(sizeof(*f));

		f->to_rtc = to_rtc;
		f->path = *path;
		f->due = n.now + 1 + (n.spread ? (unsigned)(dice() % n.spread) : 0);
		f->len = d.len;
		memcpy(f->data, d.ptr, d.len);
		n.flights[n.cnt++] = f;
		n.inbox += !to_rtc;
	}
}

static void on_tap(void *ctx, const struct mf_rtc_path *path, struct mf_span d)
{
	uint8_t who = path->remote.addr.bytes[3];

	(void)ctx;
	n.to[who] += d.len;
	if (n.rtc->tap_how != MF_SOCK_FRAGMENTS_NEVER && d.len > n.longest)
		n.longest = d.len;
	if (n.mtu && d.len + 48 > n.mtu && n.rtc->tap_how != MF_SOCK_FRAGMENTS_ALWAYS)
		return;
	if (n.to[who] > n.from[who])
		n.amplified[who] = true;
	fly(false, path, d);
}

static void agent_send(struct agent *a, struct mf_span d)
{
	(void)a;
	if (n.cut)
		return;
	fly(true, &n.path, d);
}

static void on_net(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	(void)ctx;
	n.now++;
	for (size_t i = 0, read = 0; i < n.cnt;) {
		struct flight *f = n.flights[i];

		if (f->due > n.now || (n.inbox_max && !f->to_rtc && read++ >= n.inbox_reads)) {
			i++;
			continue;
		}
		memmove(&n.flights[i], &n.flights[i + 1], (--n.cnt - i) * sizeof(f));
		n.inbox -= !f->to_rtc;
		if (f->to_rtc) {
			n.from[f->path.remote.addr.bytes[3]] += f->len;
			mf_rtc_input(n.rtc, &f->path, mf_span_of(f->data, f->len));
		} else if (memcmp(&f->path, &n.path, sizeof(n.path)) == 0) {
			agent_input(&n.a, mf_span_of(f->data, f->len));
		}
		free(f);
	}
	if (n.now % 50 == 0)
		agent_tick(&n.a);
}

#define run_until(cond)                                       \
	do {                                                  \
		uint64_t end_ = mf_now_ms() + GIVE_UP_MS;     \
		while (!(cond) && mf_now_ms() < end_)         \
			event_base_loop(n.base, EVLOOP_ONCE); \
		assert_true(cond);                            \
	} while (0)

static void run_rounds(unsigned cnt)
{
	unsigned until = n.now + cnt;

	run_until(n.now >= until);
}

static void on_connected(void *ctx, struct mf_rtc_session *s, const struct mf_endpoint *peer)
{
	(void)ctx;
	(void)peer;
	assert_ptr_equal(s, n.session);
	n.connected++;
}

static bool on_channel(void *ctx, struct mf_rtc_channel *ch, const struct mf_rtc_channel_info *info)
{
	(void)ctx;
	(void)info;
	n.channels++;
	if (!n.refuse)
		n.channel = ch;
	return !n.refuse;
}

static void on_message(void *ctx, struct mf_rtc_channel *ch, bool text, struct mf_span data)
{
	(void)ctx;
	n.messages++;
	n.text = text;
	n.last_len = data.len;
	if (data.len >= 4 && mf_load_be32(data.ptr) != n.next++)
		n.in_order = false;
	if (n.echo)
		(void)mf_rtc_send(ch, text, data);
}

static void on_room(void *ctx, struct mf_rtc_channel *ch)
{
	(void)ctx;
	(void)ch;
	n.rooms++;
}

static void on_closed(void *ctx, struct mf_rtc_channel *ch)
{
	(void)ctx;
	n.closed++;
	if (ch == n.channel)
		n.channel = NULL;
}

static void on_ended(void *ctx, struct mf_rtc_session *s, enum mf_rtc_end why)
{
	(void)ctx;
	assert_ptr_equal(s, n.session);
	n.ended++;
	n.why = why;
	n.session = NULL;
}

static const struct mf_rtc_handler handler = {
	.connected = on_connected,
	.channel = on_channel,
	.message = on_message,
	.room = on_room,
	.channel_closed = on_closed,
	.ended = on_ended,
};

static void agent_message(struct agent *a, uint16_t stream, uint32_t ppid, struct mf_span data)
{
	(void)a;
	(void)stream;
	n.got++;
	n.got_text = ppid == MF_DCEP_STRING || ppid == MF_DCEP_STRING_EMPTY;
	n.got_len = ppid >= MF_DCEP_STRING_EMPTY ? 0 : data.len;
	if (data.len >= 4 && mf_load_be32(data.ptr) != n.got_next++)
		n.got_in_order = false;
}

static struct mf_rtc_path path_of(uint8_t last)
{
	return (struct mf_rtc_path){
		.remote = { .addr = { .family = 4, .bytes = { 192, 0, 2, last } }, .port = 40000 },
		.local = { .family = 4, .bytes = { 198, 51, 100, 1 } }
	};
}

static void start(struct mf_rtc_options o)
{
	struct mf_endpoint at = { .addr = { .family = 4, .bytes = { 127, 0, 0, 1 } } };
	struct mf_err err = { 0 };

	memset(&n, 0, sizeof(n));
	n.seed = 8;
	n.in_order = n.got_in_order = true;
	mf_sock_start();
	n.base = event_base_new();
	n.fd = mf_sock_listen(&at, false, 0);
	o.size = sizeof(o);
	o.fds = &n.fd;
	o.fd_cnt = 1;
	assert_int_equal(mf_rtc_new(n.base, &o, &n.rtc, &err), 0);
	n.rtc->tap = on_tap;
	n.tick = event_new(n.base, -1, EV_PERSIST, on_net, NULL);
	event_add(n.tick, &(struct timeval){ .tv_usec = 1000 });
	n.id = mf_dtls_identity_new();
	n.a.send = agent_send;
	n.a.message = agent_message;
	n.path = path_of(1);
}

static void stop(void)
{
	agent_end(&n.a);
	mf_rtc_free(n.rtc);
	for (size_t i = 0; i < n.cnt; i++)
		free(n.flights[i]);
	mf_dtls_identity_free(n.id);
	event_free(n.tick);
	mf_sock_close(n.fd);
	event_base_free(n.base);
}

static void make_session(void)
{
	struct mf_err err = { 0 };

	agent_init(&n.a, n.id);
	assert_int_equal(mf_rtc_session_new(n.rtc, &n.a.offer, &handler, NULL, &n.session,
					    &n.a.answer, &err),
			 0);
}

/* Checks as a browser sends them, until both ends stand */
static void do_connect(void)
{
	unsigned next = 0;
	uint64_t end = mf_now_ms() + GIVE_UP_MS;

	while ((!n.connected || !n.a.is_up) && mf_now_ms() < end) {
		if (n.now >= next) {
			agent_check(&n.a, true);
			next = n.now + 50;
		}
		event_base_loop(n.base, EVLOOP_ONCE);
	}
	assert_int_equal(n.connected, 1);
	assert_true(n.a.is_up);
}

static const struct mf_rtc_channel_info reliable = { .label = { (const uint8_t *)"l2", 2 },
						     .ordered = true,
						     .max_retransmits = -1,
						     .max_life_ms = -1 };
static const struct mf_rtc_channel_info datagrams = { .label = { (const uint8_t *)"udp", 3 },
						      .max_retransmits = 0,
						      .max_life_ms = -1 };

static int say(uint16_t stream, const struct mf_rtc_channel_info *info, uint32_t ppid,
	       uint32_t number, size_t len)
{
	static uint8_t data[300000];
	struct mf_sctp_way way = { .stream = stream,
				   .ppid = ppid,
				   .unordered = !info->ordered,
				   .max_retransmits = info->max_retransmits,
				   .max_life_ms = -1 };

	mf_store_be32(data, number);
	return mf_sctp_send(n.a.sctp, &way, mf_span_of(data, len));
}

static void test_echo(void **state)
{
	struct mf_rtc_stats st;

	(void)state;
	start((struct mf_rtc_options){ 0 });
	n.echo = true;
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.a.acks == 1 && n.channel);
	assert_int_equal(say(0, &reliable, MF_DCEP_BINARY, 0, 4352), 0);
	run_until(n.got == 1);
	assert_true(n.got_len == 4352 && !n.got_text && n.last_len == 4352);
	assert_int_equal(say(0, &reliable, MF_DCEP_STRING, 1, 7), 0);
	run_until(n.got == 2);
	assert_true(n.got_len == 7 && n.got_text);
	assert_int_equal(say(0, &reliable, MF_DCEP_STRING_EMPTY, 2, 1), 0);
	run_until(n.got == 3);
	assert_true(n.got_len == 0 && n.got_text && n.last_len == 0);
	/* a message of no kind, one on a stream without a channel: neither is given to anybody */
	assert_int_equal(say(0, &reliable, 99, 3, 10), 0);
	assert_int_equal(say(6, &reliable, MF_DCEP_BINARY, 3, 10), 0);
	mf_rtc_get_stats(n.rtc, &st);
	for (; st.dcep_bad < 2; mf_rtc_get_stats(n.rtc, &st))
		event_base_loop(n.base, EVLOOP_ONCE);
	assert_int_equal(n.messages, 3);
	assert_true(st.messages_in == 3 && st.messages_out == 3 && st.sctp_bad == 0);
	stop();
}

/* A tenth of all datagrams is lost, others overtake each other: what is reliable comes whole and in order */
static void test_lossy(void **state)
{
	(void)state;
	start((struct mf_rtc_options){ 0 });
	n.loss = 10;
	n.spread = 6;
	n.echo = true;
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	for (uint32_t i = 0; i < MANY;) {
		if (say(0, &reliable, MF_DCEP_BINARY, i, 900 + i % 700) == 0)
			i++;
		else
			event_base_loop(n.base, EVLOOP_ONCE);
	}
	run_until(n.got == MANY);
	assert_true(n.in_order && n.got_in_order);
	assert_int_equal(n.ended, 0);
	/* what is not reliable: some come, none twice */
	n.echo = false;
	n.messages = 0;
	assert_int_equal(agent_open(&n.a, 2, &datagrams), 0);
	run_until(n.channels == 2);
	for (uint32_t i = 0; i < 100; i++)
		(void)say(2, &datagrams, MF_DCEP_BINARY, i, 500);
	run_until(n.messages > 40);
	run_rounds(500);
	assert_true(n.messages <= 100);
	stop();
}

/* A browser's socket holds few datagrams and the others are lost, in whole runs: what is reliable still comes */
static void test_small_inbox(void **state)
{
	uint8_t data[1200] = { 0 };

	(void)state;
	start((struct mf_rtc_options){ 0 });
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel && n.a.acks == 1);
	n.inbox_max = 100;
	n.inbox_reads = 10;
	for (uint32_t i = 0; i < 20 * MANY;) {
		mf_store_be32(data, i);
		if (mf_rtc_send(n.channel, false, mf_span_of(data, sizeof(data))) == 0)
			i++;
		else
			event_base_loop(n.base, EVLOOP_ONCE);
	}
	run_until(n.got == 20 * MANY || n.ended);
	assert_true(n.got == 20 * MANY && n.got_in_order && !n.ended);
	stop();
}

/* A message over the limit ends the session, before much of it is there */
static void test_too_long(void **state)
{
	struct mf_rtc_stats st;

	(void)state;
	start((struct mf_rtc_options){ .message_max = 2000 });
	make_session();
	assert_int_equal(n.a.answer.max_message_size, 2000);
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	assert_int_equal(say(0, &reliable, MF_DCEP_BINARY, 0, 2000), 0);
	run_until(n.messages == 1);
	assert_int_equal(say(0, &reliable, MF_DCEP_BINARY, 1, 2001), 0);
	run_until(n.ended == 1);
	assert_int_equal(n.why, MF_RTC_END_MESSAGE_TOO_LONG);
	assert_int_equal(n.closed, 1);
	assert_int_equal(n.messages, 1);
	mf_rtc_get_stats(n.rtc, &st);
	assert_int_equal(st.sessions_now, 0);
	run_until(n.a.down || n.a.ended); /* the peer is told */
	stop();

	/* far over it, by a peer with a large window: never more than the receive buffer is taken */
	start((struct mf_rtc_options){ .message_max = 4352, .receive_buffer_max = 8192 });
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	assert_int_equal(say(0, &reliable, MF_DCEP_BINARY, 0, 4352), 0);
	run_until(n.messages == 1);
	assert_int_equal(say(0, &reliable, MF_DCEP_BINARY, 1, 60000), 0);
	run_until(n.ended == 1);
	assert_int_equal(n.why, MF_RTC_END_MESSAGE_TOO_LONG);
	assert_true(n.from[1] < 40000);
	stop();
}

/* Whoever does not answer is not sent more than it sent, whatever it knows */
static void test_amplification(void **state)
{
	struct mf_stun_out out;
	uint64_t before;

	(void)state;
	start((struct mf_rtc_options){ 0 });
	make_session();
	/* the credentials are right, the address is somebody else's: answers, and a check or two, within what came */
	n.path = path_of(1);
	for (int i = 0; i < 200; i++) {
		struct mf_rtc_path victim = path_of(66);
		size_t len = agent_write_check(&n.a, &out, true);

		n.from[66] += len;
		mf_rtc_input(n.rtc, &victim, mf_span_of(out.buf, len));
	}
	assert_true(n.to[66] > 0);
	assert_false(n.amplified[66]);
	assert_int_equal(n.connected, 0);
	/* and hellos of DTLS from there: a cookie is all there is */
	for (int i = 0; i < 200; i++) {
		struct mf_rtc_path victim = path_of(66);
		uint8_t hello[200] = {
			22, 254, 253, [12] = 187, 1, [16] = 175, [24] = 175, 254, 253
		};

		n.from[66] += sizeof(hello);
		mf_rtc_input(n.rtc, &victim, mf_span_of(hello, sizeof(hello)));
	}
	assert_false(n.amplified[66]);
	stop();

	/* a session that stands is not moved to an address that does not answer, and is to one that does */
	start((struct mf_rtc_options){ 0 });
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	for (int i = 0; i < 50; i++) {
		struct mf_rtc_path victim = path_of(66);
		size_t len = agent_write_check(&n.a, &out, true);

		n.from[66] += len;
		mf_rtc_input(n.rtc, &victim, mf_span_of(out.buf, len));
	}
	before = n.to[66];
	for (int i = 0; i < 100; i++)
		assert_int_equal(mf_rtc_send(n.channel, false, mf_span_of(&out, 1000)), 0);
	run_until(n.got == 100);
	assert_true(n.to[66] == before && !n.amplified[66]);
	n.path = path_of(2);
	while (n.rtc->stats.moved == 0) {
		agent_check(&n.a, true);
		run_rounds(60);
	}
	n.got = 0;
	assert_int_equal(mf_rtc_send(n.channel, false, mf_span_of(&out, 1000)), 0);
	run_until(n.got == 1);
	assert_int_equal(n.ended, 0);
	stop();
}

/* What no session owns gets no answer at all */
static void test_strangers(void **state)
{
	struct mf_stun_out out;
	struct mf_rtc_path path = path_of(7);
	struct mf_rtc_stats st;
	struct agent other;
	uint8_t junk[1200];
	size_t len;

	(void)state;
	start((struct mf_rtc_options){ 0 });
	make_session();
	other = n.a;
	other.answer.pwd[3] ^= 1;
	len = agent_write_check(&other, &out, true);
	mf_rtc_input(n.rtc, &path, mf_span_of(out.buf, len));
	other = n.a;
	other.answer.ufrag[0] ^= 1;
	len = agent_write_check(&other, &out, true);
	mf_rtc_input(n.rtc, &path, mf_span_of(out.buf, len));
	other = n.a;
	other.offer.ufrag[0] ^= 1; /* ours, but not the offer's author */
	len = agent_write_check(&other, &out, true);
	mf_rtc_input(n.rtc, &path, mf_span_of(out.buf, len));
	for (int i = 0; i < 20000; i++) {
		size_t l = dice() % sizeof(junk);

		for (size_t k = 0; k < l; k++)
			junk[k] = (uint8_t)dice();
		if (l && i & 1)
			junk[0] = (uint8_t)(dice() % 64);
		mf_rtc_input(n.rtc, &path, mf_span_of(junk, l));
	}
	mf_rtc_get_stats(n.rtc, &st);
	assert_int_equal(st.datagrams_out, 0);
	assert_int_equal(st.checks_refused, 3);
	assert_true(st.unknown + st.stun_bad == 20000);
	/* the session did not notice; nor does one that stands, of junk from its own address */
	do_connect();
	for (int i = 0; i < 5000; i++) {
		size_t l = 1 + dice() % (sizeof(junk) - 1);

		for (size_t k = 0; k < l; k++)
			junk[k] = (uint8_t)dice();
		junk[0] = (uint8_t)(20 + dice() % 44);
		mf_rtc_input(n.rtc, &n.path, mf_span_of(junk, l));
	}
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	assert_int_equal(n.ended, 0);
	stop();
}

/*
 * A peer that says anything at all inside of its own DTLS: packets of SCTP with right checksums, its ports and its tag, whose chunks are
 * dice. Its session may end by that; nothing else may, nor is it held up
 */
static void test_sctp_garbage(void **state)
{
	struct mf_rtc_local local;
	struct mf_rtc_session *other;
	uint8_t packet[1100];

	(void)state;
	start((struct mf_rtc_options){ 0 });
	make_session();
	do_connect();
	assert_int_equal(
		mf_rtc_session_new(n.rtc, &n.a.offer, &handler, NULL, &other, &local, NULL), 0);
	for (int i = 0; i < 4000 && !n.ended; i++) {
		size_t len = 16 + dice() % (sizeof(packet) - 16), at = 12;
		uint32_t crc;

		for (size_t k = 0; k < len; k++)
			packet[k] = (uint8_t)dice();
		memcpy(packet, n.a.sctp_head, 8);
		/* chunks that are whole, of kinds that there are; but those that end an association at once */
		while (i % 4 && at + 4 <= len) {
			size_t chunk = 4 + dice() % 64;

			packet[at] = (uint8_t)(dice() % 16);
			if (packet[at] == 6 || packet[at] == 7 || packet[at] == 14)
				packet[at] = 0;
			mf_store_be16(packet + at + 2,
				      (uint16_t)(chunk < len - at ? chunk : len - at));
			at += (chunk + 3) & ~(size_t)3;
		}
		memset(packet + 8, 0, 4);
		crc = i % 16 ? mf_crc32c(packet, len) : 1;
		memcpy(packet + 8, &crc, 4);
		(void)mf_dtls_send(n.a.dtls, mf_span_of(packet, len));
		if (i % 16 == 0)
			run_rounds(1);
	}
	run_rounds(50);
	assert_true(n.rtc->stats.sctp_bad > 0);
	assert_int_equal(n.messages, 0);
	assert_false(n.amplified[66]);
	/* whoever comes next is served */
	agent_end(&n.a);
	if (n.session)
		mf_rtc_session_close(n.session);
	run_rounds(5);
	memset(&n.a, 0, sizeof(n.a));
	n.a.send = agent_send;
	n.a.message = agent_message;
	n.connected = n.ended = 0;
	n.path = path_of(3);
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	assert_int_equal(n.ended, 0);
	stop();
}

static void test_stun_errors(void **state)
{
	struct mf_stun_out out;

	(void)state;
	start((struct mf_rtc_options){ 0 });
	make_session();
	/* a peer that says it is controlled, too */
	mf_stun_begin(&out, MF_STUN_REQUEST, (const uint8_t *)"0123456789ab");
	mf_stun_put_username(&out, mf_span_str(n.a.answer.ufrag), mf_span_str(n.a.offer.ufrag));
	mf_stun_put_role(&out, false, 1);
	mf_stun_end(&out, mf_span_str(n.a.answer.pwd));
	agent_send(&n.a, mf_span_of(out.buf, out.len));
	run_until(n.a.errors == 487);
	mf_stun_begin(&out, MF_STUN_REQUEST, (const uint8_t *)"0123456789ab");
	mf_stun_put_username(&out, mf_span_str(n.a.answer.ufrag), mf_span_str(n.a.offer.ufrag));
	mf_store_be32(out.buf + out.len, 0x70010000);
	out.len += 4;
	mf_stun_end(&out, mf_span_str(n.a.answer.pwd));
	agent_send(&n.a, mf_span_of(out.buf, out.len));
	run_until(n.a.errors == 420);
	assert_false(n.amplified[1]);
	stop();
}

/* A peer that answers no checks gets there by its cookie; one that is DTLS's server too */
static void test_roles(void **state)
{
	(void)state;
	start((struct mf_rtc_options){ 0 });
	n.a.mute = true;
	make_session();
	do_connect();
	assert_false(n.amplified[1] && n.session->pairs[0].verified == false);
	stop();

	start((struct mf_rtc_options){ 0 });
	n.a.server = true;
	make_session();
	assert_int_equal(n.a.answer.setup, MF_RTC_SETUP_ACTIVE);
	do_connect();
	assert_int_equal(agent_open(&n.a, 1, &reliable), 0); /* a server's ids are odd */
	run_until(n.channel);
	stop();
}

static void test_identity(void **state)
{
	(void)state;
	start((struct mf_rtc_options){ 0 });
	agent_init(&n.a, n.id);
	n.a.offer.fingerprint.bytes[5] ^= 1;
	assert_int_equal(mf_rtc_session_new(n.rtc, &n.a.offer, &handler, NULL, &n.session,
					    &n.a.answer, NULL),
			 0);
	for (int i = 0; !n.ended && i < 100; i++) {
		agent_check(&n.a, true);
		run_rounds(50);
	}
	assert_int_equal(n.why, MF_RTC_END_IDENTITY);
	assert_int_equal(n.connected, 0);
	/* offers that nobody could answer */
	n.a.offer.fingerprint.len = 20;
	assert_int_equal(mf_rtc_session_new(n.rtc, &n.a.offer, &handler, NULL, &n.session,
					    &n.a.answer, NULL),
			 MF_E_INVAL);
	n.a.offer.fingerprint.len = 32;
	strcpy(n.a.offer.pwd, "short");
	assert_int_equal(mf_rtc_session_new(n.rtc, &n.a.offer, &handler, NULL, &n.session,
					    &n.a.answer, NULL),
			 MF_E_INVAL);
	stop();
}

/* Each of the time-outs, alone short */
static void test_timeouts(void **state)
{
	(void)state;
	start((struct mf_rtc_options){ 0 });
	assert_int_equal(n.rtc->opt.connect_timeout_ms, 30000);
	assert_int_equal(n.rtc->opt.consent_timeout_ms, 30000);
	stop();

	start((struct mf_rtc_options){ .connect_timeout_ms = 50 });
	make_session();
	run_until(n.ended == 1);
	assert_int_equal(n.why, MF_RTC_END_CONNECT_TIMEOUT);
	stop();

	start((struct mf_rtc_options){ .consent_timeout_ms = 300 });
	make_session();
	do_connect();
	n.cut = true;
	run_until(n.ended == 1);
	assert_int_equal(n.why, MF_RTC_END_CONSENT);
	stop();

	start((struct mf_rtc_options){ .idle_timeout_ms = 50 });
	make_session();
	do_connect();
	run_until(n.ended == 1);
	assert_int_equal(n.why, MF_RTC_END_IDLE);
	stop();
}

static void test_limits(void **state)
{
	struct mf_rtc_local local;
	struct mf_rtc_session *s;
	uint8_t data[1000] = { 0 };
	size_t taken = 0;
	int r;

	(void)state;
	start((struct mf_rtc_options){
		.sessions_max = 1, .channels_max = 2, .send_queue_max = 20000 });
	make_session();
	assert_int_equal(mf_rtc_session_new(n.rtc, &n.a.offer, &handler, NULL, &s, &local, NULL),
			 MF_E_FULL);
	do_connect();
	/* a third channel, and one whose id is ours to give, are closed again */
	agent_open(&n.a, 0, &reliable);
	agent_open(&n.a, 2, &reliable);
	agent_open(&n.a, 4, &reliable);
	agent_open(&n.a, 7, &reliable);
	run_until(n.a.resets == 2);
	assert_int_equal(n.channels, 2);
	/* a peer that takes nothing: what waits is bounded, and what was refused is told of once it fits */
	n.cut = true;
	while ((r = mf_rtc_send(n.channel, false, mf_span_of(data, sizeof(data)))) == 0)
		taken++;
	assert_int_equal(r, MF_E_FULL);
	assert_true(mf_rtc_waiting(n.channel) <= 20000);
	assert_true(taken * sizeof(data) <= MF_SCTP_SEND_BUFFER + 20000);
	assert_int_equal(n.rooms, 0);
	n.cut = false;
	run_until(n.rooms == 1 && n.got == taken);
	assert_int_equal(mf_rtc_waiting(n.channel), 0);
	/* the peer's limit */
	assert_int_equal(mf_rtc_send(n.channel, false, mf_span_of(data, 262145)), MF_E_LIMIT);
	stop();
}

/* A handler that reads no more: the peer's messages wait on its side, and go on afterwards */
static void test_hold(void **state)
{
	uint32_t sent = 0;

	(void)state;
	start((struct mf_rtc_options){ .receive_buffer_max = 16384 });
	make_session();
	do_connect();
	agent_open(&n.a, 0, &reliable);
	run_until(n.channel);
	mf_rtc_session_hold(n.session, true);
	for (unsigned i = 0; i < 400; i++) {
		while (say(0, &reliable, MF_DCEP_BINARY, sent, 1000) == 0)
			sent++;
		run_rounds(1);
	}
	assert_int_equal(n.messages, 0);
	assert_true(n.from[1] < 100000);
	mf_rtc_session_hold(n.session, false);
	run_until(n.messages == sent);
	assert_true(n.in_order);
	stop();
}

/* Channels of both sides end and their ids are used again; sessions end inside of handlers */
static void test_closing(void **state)
{
	struct mf_rtc_channel *ours;
	const struct mf_rtc_channel_info info = {
		.label = mf_span_str("x"), .ordered = true, .max_retransmits = -1, .max_life_ms = -1
	};

	(void)state;
	start((struct mf_rtc_options){ 0 });
	make_session();
	do_connect();
	for (unsigned i = 1; i <= 5; i++) {
		assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
		run_until(n.channel);
		assert_int_equal(agent_close(&n.a, 0), 0);
		run_until(n.closed == i);
		assert_null(n.channel);
		run_until(!n.session->channels[0] && n.a.resets == i && n.a.resets_done == i);
	}
	for (unsigned i = 1; i <= 3; i++) {
		n.a.resets = 0;
		assert_int_equal(mf_rtc_channel_open(n.session, &info, &ours), 0);
		assert_int_equal(mf_rtc_channel_id(ours), 1);
		assert_int_equal(mf_rtc_send(ours, true, mf_span_str("last words")), 0);
		mf_rtc_channel_close(ours);
		run_until(n.a.resets == 1 && !n.session->channels[1]);
		assert_int_equal(n.got, i);
	}
	assert_int_equal(n.closed, 5);
	mf_rtc_session_close(n.session);
	run_until(n.a.down || n.a.ended);
	assert_int_equal(n.ended, 0);
	stop();
}

/* Longer packets only where they were seen to arrive, and shorter ones again where they do not any more */
static void test_pmtu(void **state)
{
	uint8_t data[1224] = { 0 };
	struct mf_span d = mf_span_of(data, sizeof(data));
	uint32_t sent = 0;

	(void)state;
	/* nobody is probed who gets short messages */
	start((struct mf_rtc_options){ .confirm_ms = 50 });
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	assert_int_equal(mf_rtc_send(n.channel, false, mf_span_of(data, 1160)), 0);
	run_until(n.got == 1);
	assert_int_equal(n.rtc->stats.probes, 0);
	/* a datagram of 1,200 bytes with its frame's head goes in two packets, until a longer one has arrived; then in one */
	assert_int_equal(mf_rtc_send(n.channel, false, d), 0);
	assert_int_equal(n.rtc->stats.probes, 1);
	run_until(n.got == 2 && n.session->pmtu.size == 1500 && !n.session->pmtu.probe);
	assert_true(n.rtc->stats.probes == 5 && n.rtc->stats.widened == 1);
	assert_true(n.longest <= 1280 - 48);
	n.longest = 0;
	assert_int_equal(mf_rtc_send(n.channel, false, d), 0);
	run_until(n.got == 3);
	assert_true(n.longest > 1224 && n.longest <= 1500 - 48);
	/* now and then it is seen whether that is still so; an address of which nothing is known begins at the beginning */
	while (n.rtc->stats.probes < 7) {
		(void)mf_rtc_send(n.channel, false, d);
		run_rounds(10);
	}
	assert_int_equal(n.session->pmtu.size, 1500);
	n.path = path_of(2);
	while (n.rtc->stats.moved == 0) {
		agent_check(&n.a, true);
		run_rounds(60);
	}
	assert_int_equal(n.session->pmtu.size, 1280);
	n.mtu = 1280;
	n.longest = 0;
	n.got = 0;
	assert_int_equal(mf_rtc_send(n.channel, false, d), 0);
	run_until(n.got == 1);
	assert_true(n.longest <= 1280 - 48);
	stop();

	/* a tunnel: what fits is found; the way becomes another, which lets nothing long through: all that is reliable comes all the same */
	start((struct mf_rtc_options){ .probe_ms = 30, .confirm_ms = 30 });
	n.mtu = 1400;
	make_session();
	do_connect();
	assert_int_equal(agent_open(&n.a, 0, &reliable), 0);
	run_until(n.channel);
	assert_int_equal(mf_rtc_send(n.channel, false, d), 0);
	run_until(n.session->pmtu.size == 1380);
	n.got = 0;
	n.mtu = 1280;
	for (uint64_t end = mf_now_ms() + GIVE_UP_MS;
	     n.rtc->stats.narrowed == 0 && mf_now_ms() < end;) {
		if (mf_rtc_waiting(n.channel) < 20000 && mf_rtc_send(n.channel, false, d) == 0)
			sent++;
		run_rounds(2);
	}
	assert_int_equal(n.session->pmtu.size, 1280);
	run_until(n.got == sent);
	assert_int_equal(n.ended, 0);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),	      cmocka_unit_test(test_lossy),
		cmocka_unit_test(test_small_inbox),   cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_amplification), cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_stun_errors),   cmocka_unit_test(test_roles),
		cmocka_unit_test(test_identity),      cmocka_unit_test(test_timeouts),
		cmocka_unit_test(test_limits),	      cmocka_unit_test(test_hold),
		cmocka_unit_test(test_closing),	      cmocka_unit_test(test_pmtu),
		cmocka_unit_test(test_sctp_garbage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
