// SPDX-License-Identifier: Apache-2.0
// The bounds of a replay: what has to give way is counted and still told, in order; and the fates that packets get.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "capture/replay.h"
#include "core/packet/build.h"

#define POLICY MF_SOURCE_DIR "/tests/fuzz/capture/replay.lua"

struct told {
	unsigned cnt;
	uint64_t last_packet;
	char notes[64][80];
	enum mf_verdict verdicts[64];
};

struct fixture {
	struct mf_replay_clock clock;
	struct mf_clock mf_clock;
	struct mf_runtime *runtime;
	struct mf_session session;
	struct mf_replay *replay;
	struct told told;
	uint64_t number;
};

static void question(void *ctx, const struct mf_replay_question *q)
{
	struct told *t = ctx;

	assert_true(q->packet >= t->last_packet);
	t->last_packet = q->packet;
	if (t->cnt < MF_ARRAY_SIZE(t->notes)) {
		snprintf(t->notes[t->cnt], sizeof(t->notes[0]), "%s", q->note ? q->note : "");
		t->verdicts[t->cnt] =
			q->answers[0].decision ? q->answers[0].decision->verdict : MF_VERDICT_NUM;
	}
	t->cnt++;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	const char *path = POLICY;
	struct mf_runtime_options o = { .size = sizeof(o),
					.stdlib_dir = MF_SOURCE_DIR "/lua/stdlib" };
	struct mf_err err;

	f->mf_clock = mf_replay_clock_of(&f->clock);
	mf_replay_clock_set(&f->clock, 1000 * MF_NS_PER_S);
	o.monotonic = f->mf_clock.monotonic;
	o.wall = f->mf_clock.wall;
	o.clock_ctx = f->mf_clock.ctx;
	assert_int_equal(mf_runtime_new(&o, &f->runtime, &err), 0);
	assert_int_equal(mf_runtime_load(f->runtime, &path, 1, &err), 0);
	f->session = (struct mf_session){ .id = "test", .source = "replay" };
	assert_int_equal(mf_vm_new(f->runtime, &f->session.vm, &err), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	mf_replay_free(f->replay);
	mf_vm_free(f->session.vm);
	mf_runtime_free(f->runtime);
	free(f);
	return 0;
}

static void begin(struct fixture *f, struct mf_replay_options o)
{
	struct mf_err err;

	o.sessions[0] = &f->session;
	o.session_cnt = 1;
	o.question = question;
	o.ctx = &f->told;
	assert_int_equal(mf_replay_new(&o, &f->clock, &f->replay, &err), 0);
}

static void record(struct fixture *f, uint8_t *pkt, size_t len)
{
	struct mf_pcap_record rec = {
		.ptr = pkt,
		.len = (uint32_t)len,
		.wire_len = (uint32_t)len,
		.time_ns = (1000 + f->number / 100) * MF_NS_PER_S,
		.number = ++f->number,
		.link = MF_LINK_RAW,
	};
	uint8_t before[70000];

	memcpy(before, pkt, len);
	assert_int_equal(mf_replay_record(f->replay, &rec), 0);
	assert_memory_equal(before, pkt, len);
}

static struct mf_flow flow_of(uint8_t proto, uint16_t client, uint16_t port)
{
	struct mf_endpoint src = { .port = client }, dst = { .port = port };
	struct mf_flow flow;

	assert_int_equal(mf_addr_parse("192.0.2.10", 10, &src.addr), 0);
	assert_int_equal(mf_addr_parse("198.51.100.7", 12, &dst.addr), 0);
	assert_true(mf_flow_make(&flow, proto, &src, &dst));
	return flow;
}

static void tcp(struct fixture *f, uint16_t client, uint16_t port, uint32_t seq, uint8_t flags,
		const void *payload, size_t payload_len)
{
	struct mf_flow flow = flow_of(MF_PROTO_TCP, client, port);
	const struct mf_tcp_fields fields = { .seq = seq, .window = 65535, .flags = flags };
	static uint8_t pkt[66000];
	size_t len;

	assert_int_equal(mf_build_tcp(&flow, &fields, mf_span_of(payload, payload_len), pkt,
				      sizeof(pkt), &len),
			 0);
	record(f, pkt, len);
}

static void dns(struct fixture *f, uint16_t client, uint16_t id)
{
	uint8_t msg[] = { id >> 8, id & 0xff, 1,   0,	0,   1, 0, 0, 0, 0, 0,
			  0,	   3,	      'a', 'b', 'c', 0, 0, 1, 0, 1 };
	struct mf_flow flow = flow_of(MF_PROTO_UDP, client, 53);
	uint8_t pkt[200];
	size_t len;

	assert_int_equal(mf_build_udp(&flow, mf_span_of(msg, sizeof(msg)), pkt, sizeof(pkt), &len),
			 0);
	record(f, pkt, len);
}

static void the_oldest_flow_gives_way_and_its_question_is_told(void **state)
{
	struct fixture *f = *state;
	struct mf_replay_stats stats;

	begin(f, (struct mf_replay_options){ .flows_max = 4 });
	for (uint16_t i = 0; i < 10; i++)
		tcp(f, 1000 + i, 443, 1, MF_TCP_SYN, NULL, 0);
	mf_replay_get_stats(f->replay, &stats);
	assert_int_equal(stats.evicted_flows, 6);
	assert_int_equal(f->told.cnt, 6);
	assert_string_equal(f->told.notes[0], "told early: too many flows were open");
	mf_replay_finish(f->replay);
	assert_int_equal(f->told.cnt, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(f->told.verdicts[i], MF_ALLOW);
}

static void the_question_that_waits_for_longest_gives_way(void **state)
{
	struct fixture *f = *state;
	struct mf_replay_stats stats;

	begin(f, (struct mf_replay_options){ .questions_max = 4 });
	for (uint16_t i = 0; i < 10; i++)
		dns(f, 1000 + i, i);
	mf_replay_get_stats(f->replay, &stats);
	assert_int_equal(stats.evicted_questions, 6);
	mf_replay_finish(f->replay);
	assert_int_equal(f->told.cnt, 10);
	assert_string_equal(f->told.notes[0], "told early: too many questions were open");
	assert_string_equal(f->told.notes[9], "no answer in the capture");
}

static void questions_with_one_number_stay_few(void **state)
{
	struct fixture *f = *state;
	struct mf_replay_stats stats;

	begin(f, (struct mf_replay_options){ .questions_max = 1000 });
	for (unsigned i = 0; i < 200; i++) {
		struct mf_flow flow = flow_of(MF_PROTO_UDP, 1000, 53);
		uint8_t pkt[200], msg[] = { 0, 7, 1,   0,   0,	 1, 0, 0, 0, 0, 0,
					    0, 3, 'a', 'b', 'c', 0, 0, 1, 0, 1 };
		size_t len;

		snprintf((char *)msg + 13, 4, "%03u", i);
		msg[16] = 0;
		assert_int_equal(
			mf_build_udp(&flow, mf_span_of(msg, sizeof(msg)), pkt, sizeof(pkt), &len),
			0);
		record(f, pkt, len);
	}
	mf_replay_get_stats(f->replay, &stats);
	assert_int_equal(stats.evicted_questions, 200 - 64);
	mf_replay_finish(f->replay);
	assert_int_equal(f->told.cnt, 200);
}

static void first_words_that_need_too_much_memory_are_judged_by_what_is_known(void **state)
{
	/* the beginning of a hello that never ends */
	static uint8_t words[16000] = { 0x16, 3, 1, 0x3f, 0xf0, 1, 0, 0x3f, 0xec, 3, 3 };
	struct fixture *f = *state;
	struct mf_replay_stats stats;

	begin(f, (struct mf_replay_options){ .stream_bytes_max = 60000 });
	for (uint16_t i = 0; i < 10; i++) {
		tcp(f, 1000 + i, 443, 1, MF_TCP_SYN, NULL, 0);
		tcp(f, 1000 + i, 443, 2, MF_TCP_ACK, words, sizeof(words));
	}
	mf_replay_get_stats(f->replay, &stats);
	assert_int_equal(stats.evicted_streams, 7);
	mf_replay_finish(f->replay);
	assert_int_equal(f->told.cnt, 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(f->told.verdicts[i], MF_ALLOW);
}

static void a_client_that_is_too_slow_is_refused_as_in_a_session(void **state)
{
	static const uint8_t words[] = { 0x16, 3, 1, 0, 100, 1 };
	struct fixture *f = *state;

	begin(f, (struct mf_replay_options){ 0 });
	tcp(f, 1000, 443, 1, MF_TCP_SYN, NULL, 0);
	tcp(f, 1000, 443, 2, MF_TCP_ACK, words, sizeof(words));
	tcp(f, 1001, 443, 1, MF_TCP_SYN, NULL, 0);
	f->number += 700; /* seven seconds */
	dns(f, 2000, 1);
	assert_int_equal(f->told.cnt, 2);
	assert_int_equal(f->told.verdicts[0], MF_DENY);
	assert_string_equal(f->told.notes[0], "");
	assert_int_equal(f->told.verdicts[1], MF_ALLOW);
	assert_string_equal(f->told.notes[1], "its client said nothing in time");
}

static void packets_get_the_fate_of_their_flow(void **state)
{
	struct fixture *f = *state;
	const struct mf_replay_fate *fate;

	begin(f, (struct mf_replay_options){ 0 });
	tcp(f, 1000, 443, 1, MF_TCP_SYN, NULL, 0);
	fate = mf_replay_last_fate(f->replay);
	assert_int_equal(fate->kind, MF_REPLAY_PASS);
	assert_true(fate->from_client && strstr(fate->comment, "connect: allow"));
	tcp(f, 1001, 22, 1, MF_TCP_SYN, NULL, 0);
	fate = mf_replay_last_fate(f->replay);
	assert_int_equal(fate->kind, MF_REPLAY_DIVERT);
	assert_non_null(strstr(fate->comment, "redirect to bastion.example port 2222"));
	tcp(f, 1002, 443, 1, MF_TCP_SYN, NULL, 0);
	tcp(f, 1002, 443, 2, MF_TCP_ACK, "\x16\x03\x01\x00\x04\x01\x00\x00\x00",
	    9); /* an empty hello */
	fate = mf_replay_last_fate(f->replay);
	assert_int_equal(fate->kind, MF_REPLAY_REFUSE);
	assert_non_null(strstr(fate->comment, "malformed TLS ClientHello"));
	tcp(f, 1002, 443, 11, MF_TCP_ACK, "x", 1);
	assert_int_equal(mf_replay_last_fate(f->replay)->kind, MF_REPLAY_MOOT);
	tcp(f, 1003, 443, 500, MF_TCP_ACK, "x", 1); /* older than the capture */
	assert_int_equal(mf_replay_last_fate(f->replay)->kind, MF_REPLAY_OTHER);
	assert_string_equal(mf_replay_last_fate(f->replay)->comment, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_oldest_flow_gives_way_and_its_question_is_told,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_question_that_waits_for_longest_gives_way,
						set_up, tear_down),
		cmocka_unit_test_setup_teardown(questions_with_one_number_stay_few, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(
			first_words_that_need_too_much_memory_are_judged_by_what_is_known, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_client_that_is_too_slow_is_refused_as_in_a_session, set_up, tear_down),
		cmocka_unit_test_setup_teardown(packets_get_the_fate_of_their_flow, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
