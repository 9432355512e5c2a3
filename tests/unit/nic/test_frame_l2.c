/* SPDX-License-Identifier: Apache-2.0 */
/* test_frame_l2.c - frames in messages of Aero's L2 tunnel: what is answered, what is counted, and what ends it */
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "nic/frame_l2.h"
#include "tests/unit/test.h"

struct channel {
	struct mf_frame_source *source;
	uint64_t now;
	int answer; /* of send */
	uint8_t sent[4096];
	size_t sent_len;
	unsigned sends, frames, closes, status;
	char reason[200];
	uint8_t frame[4096];
	size_t frame_len;
};

static int channel_send(void *ctx, const struct mf_span *parts, unsigned cnt)
{
	struct channel *c = ctx;

	if (c->answer)
		return c->answer;
	c->sent_len = 0;
	for (unsigned i = 0; i < cnt; i++) {
		assert_true(c->sent_len + parts[i].len <= sizeof(c->sent));
		memcpy(c->sent + c->sent_len, parts[i].ptr, parts[i].len);
		c->sent_len += parts[i].len;
	}
	c->sends++;
	return 0;
}

static void channel_close(void *ctx, unsigned status, struct mf_span reason)
{
	struct channel *c = ctx;

	c->closes++;
	c->status = status;
	assert_true(reason.len <= MF_L2_REASON_MAX);
	memcpy(c->reason, reason.ptr, reason.len);
	c->reason[reason.len] = 0;
}

static uint64_t channel_now(void *ctx)
{
	return ((struct channel *)ctx)->now;
}

static void receive(void *ctx, uint8_t *frame, size_t len)
{
	struct channel *c = ctx;

	c->frames++;
	memcpy(c->frame, frame, len);
	c->frame_len = len;
}

static void begin(struct channel *c, struct mf_frame_l2_options o)
{
	struct mf_frame_l2_ops ops = { channel_send, channel_close, channel_now, c };

	o.size = sizeof(o);
	memset(c, 0, sizeof(*c));
	c->now = 5 * MF_NS_PER_S;
	assert_int_equal(mf_frame_l2_new(&o, &ops, &c->source, NULL), 0);
	c->source->receiver = receive;
	c->source->ctx = c;
}

/* A message of its own block, so that AddressSanitizer sees a byte too many. Return: of mf_frame_l2_message() */
static int give(struct channel *c, uint8_t type, const void *payload, size_t len)
{
	uint8_t *msg = malloc(4 + len);
	int r;

	mf_l2_head(type, msg);
	if (len)
		memcpy(msg + 4, payload, len);
	r = mf_frame_l2_message(c->source, msg, 4 + len);
	free(msg);
	return r;
}

static void assert_error(const struct channel *c, uint16_t code, const char *text)
{
	struct mf_l2_message m;
	struct mf_l2_error e;

	assert_int_equal(mf_l2_decode(mf_span_of(c->sent, c->sent_len), NULL, &m, NULL), 0);
	assert_int_equal(m.type, MF_L2_ERROR);
	assert_int_equal(mf_l2_error_read(m.payload, &e), 0);
	assert_int_equal(e.code, code);
	assert_true(mf_span_eq(e.text, mf_span_str(text)));
	assert_int_equal(c->closes, 1);
	assert_int_equal(c->status, MF_L2_CLOSE_POLICY);
	assert_string_equal(c->reason, text);
}

/* Ended: nothing is taken and nothing is sent, and that is said once. */
static void assert_dead(struct channel *c)
{
	static const uint8_t frame[60];
	unsigned sends = c->sends, frames = c->frames, closes = c->closes;

	assert_int_equal(give(c, MF_L2_FRAME, frame, 60), MF_E_CLOSED);
	assert_int_equal(give(c, MF_L2_PING, frame, 4), MF_E_CLOSED);
	assert_int_equal(mf_frame_l2_text(c->source, 4), MF_E_CLOSED);
	assert_int_equal(mf_frame_l2_tick(c->source), MF_E_CLOSED);
	assert_int_equal(mf_frame_source_send(c->source, frame, 14, frame, 40), MF_E_AGAIN);
	assert_int_equal(mf_frame_source_run(c->source, 8), MF_E_CLOSED);
	assert_true(mf_frame_l2_deadline(c->source) == UINT64_MAX);
	mf_frame_l2_shutdown(c->source);
	assert_int_equal(c->sends, sends);
	assert_int_equal(c->frames, frames);
	assert_int_equal(c->closes, closes);
	mf_frame_source_free(c->source);
}

static void test_frames_both_ways(void **state)
{
	static uint8_t payload[MF_L2_FRAME_MAX];
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	for (unsigned i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 7);
	assert_int_equal(give(&c, MF_L2_FRAME, payload, 14), 0);
	assert_int_equal(give(&c, MF_L2_FRAME, payload, sizeof(payload)), 0);
	assert_int_equal(c.frames, 2);
	assert_int_equal(c.frame_len, sizeof(payload));
	assert_memory_equal(c.frame, payload, sizeof(payload));
	assert_int_equal(give(&c, MF_L2_FRAME, payload, 13), 0);
	assert_int_equal(c.frames, 2);
	assert_int_equal(c.source->stats.in, 2);
	assert_int_equal(c.source->stats.in_bad, 1);
	assert_int_equal(mf_frame_source_send(c.source, payload, 14, payload + 14, 2034), 0);
	assert_int_equal(c.sent_len, 2052);
	assert_memory_equal(c.sent, "\xa2\3\0\0", 4);
	assert_memory_equal(c.sent + 4, payload, 2048);
	assert_int_equal(mf_frame_source_send(c.source, payload, 14, payload + 14, 2035),
			 MF_E_LIMIT);
	assert_int_equal(c.source->stats.out, 1);
	assert_int_equal(c.source->stats.out_dropped, 1);
	mf_frame_source_flush(c.source);
	assert_false(c.source->wants_write);
	assert_int_equal(mf_frame_source_run(c.source, 8), 0);
	mf_frame_source_free(c.source);
}

static void test_pings_are_echoed_byte_by_byte(void **state)
{
	static const uint8_t payload[MF_L2_CONTROL_MAX] = { 1, 2, 3, 4, [255] = 9 };
	static const size_t lens[] = { 0, 4, 8, MF_L2_CONTROL_MAX };
	struct channel c;
	struct mf_frame_l2_stats s;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	for (unsigned i = 0; i < MF_ARRAY_SIZE(lens); i++) {
		assert_int_equal(give(&c, MF_L2_PING, payload, lens[i]), 0);
		assert_int_equal(c.sent_len, 4 + lens[i]);
		assert_memory_equal(c.sent, "\xa2\3\2\0", 4);
		assert_memory_equal(c.sent + 4, payload, lens[i]);
	}
	c.answer = MF_E_AGAIN;
	assert_int_equal(give(&c, MF_L2_PING, payload, 4), 0);
	mf_frame_l2_get_stats(c.source, &s);
	assert_int_equal(s.pings_in, 5);
	mf_frame_source_free(c.source);
}

static void test_errors_text_and_reserved_types_are_of_no_consequence(void **state)
{
	struct channel c;
	struct mf_frame_l2_stats s;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	assert_int_equal(give(&c, MF_L2_ERROR, "\0\7\0\2no", 6), 0);
	assert_int_equal(give(&c, MF_L2_ERROR, "no", 2), 0);
	assert_int_equal(give(&c, 0x33, "what", 4), 0);
	assert_int_equal(give(&c, MF_L2_PONG, "12345678", 8), 0); /* nobody asked */
	assert_int_equal(mf_frame_l2_text(c.source, 5), 0);
	mf_frame_l2_get_stats(c.source, &s);
	assert_int_equal(s.errors_in, 2);
	assert_int_equal(s.error_code, 7);
	assert_int_equal(s.ignored, 3);
	assert_int_equal(s.bytes, 10 + 6 + 8 + 12 + 5);
	assert_int_equal(c.sends + c.closes + c.frames, 0);
	mf_frame_source_free(c.source);
}

static void test_garbage_is_told_and_ends_it(void **state)
{
	static uint8_t wrong[] = { 0xa2, 9, 0, 0 };
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	assert_int_equal(mf_frame_l2_message(c.source, wrong, 4), MF_E_CLOSED);
	assert_error(&c, MF_L2_PROTOCOL_ERROR, "unsupported version: 0x09");
	assert_dead(&c);

	/* where the control limit has no room for the words, and even none for a code */
	begin(&c, (struct mf_frame_l2_options){ .limits = { .control = 8 } });
	assert_int_equal(mf_frame_l2_message(c.source, wrong, 4), MF_E_CLOSED);
	assert_memory_equal(c.sent, "\xa2\3\x7f\0\0\1\0\4unsu", 12);
	assert_int_equal(c.sent_len, 12);
	assert_string_equal(c.reason, "unsupported version: 0x09");
	assert_dead(&c);
	begin(&c, (struct mf_frame_l2_options){ .limits = { .control = 2 } });
	assert_int_equal(mf_frame_l2_message(c.source, wrong, 4), MF_E_CLOSED);
	assert_int_equal(c.sent_len, 4);
	assert_dead(&c);
}

static void test_garbage_may_be_put_up_with(void **state)
{
	static uint8_t wrong[] = { 1, 2, 3, 4 };
	struct channel c;
	struct mf_frame_l2_stats s;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ .keep_on_garbage = true });
	assert_int_equal(mf_frame_l2_message(c.source, wrong, 4), 0);
	assert_int_equal(mf_frame_l2_message(c.source, wrong, 0), 0);
	mf_frame_l2_get_stats(c.source, &s);
	assert_int_equal(s.garbage, 2);
	assert_int_equal(c.sends + c.closes, 0);
	assert_int_equal(give(&c, MF_L2_PING, "abcd", 4), 0);
	assert_int_equal(c.sends, 1);
	mf_frame_source_free(c.source);
}

static void test_a_message_longer_than_any_ends_it_without_a_word(void **state)
{
	static uint8_t payload[MF_L2_FRAME_MAX + 1];
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ .keep_on_garbage = true });
	assert_int_equal(give(&c, MF_L2_FRAME, payload, sizeof(payload)), MF_E_CLOSED);
	assert_int_equal(c.sends, 0);
	assert_int_equal(c.closes, 1);
	assert_int_equal(c.status, MF_L2_CLOSE_TOO_BIG);
	assert_dead(&c);
}

static void test_bytes_of_both_directions_have_a_quota(void **state)
{
	static uint8_t payload[60];
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ .bytes_max = 3 * 64 });
	assert_int_equal(give(&c, MF_L2_FRAME, payload, 60), 0);
	assert_int_equal(mf_frame_source_send(c.source, payload, 14, payload, 46), 0);
	assert_int_equal(give(&c, MF_L2_FRAME, payload, 60), 0); /* exactly all of it */
	assert_int_equal(c.frames, 2);
	assert_int_equal(mf_frame_l2_text(c.source, 1), MF_E_CLOSED);
	assert_error(&c, MF_L2_QUOTA_BYTES, "byte quota exceeded");
	assert_dead(&c);
}

static void test_messages_have_a_rate(void **state)
{
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ .rate_max = 3 });
	for (unsigned second = 0; second < 4; second++) {
		for (unsigned i = 0; i < 3; i++)
			assert_int_equal(i ? mf_frame_l2_text(c.source, 0)
					   : give(&c, MF_L2_PONG, NULL, 0),
					 0);
		c.now += MF_NS_PER_S;
	}
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(mf_frame_l2_text(c.source, 0), 0);
	c.now += MF_NS_PER_S - 1;
	assert_int_equal(mf_frame_l2_text(c.source, 0), MF_E_CLOSED);
	assert_error(&c, MF_L2_QUOTA_FPS, "frame rate quota exceeded");
	assert_dead(&c);
}

static void test_the_peer_is_asked_and_answers(void **state)
{
	const uint64_t every = 10 * MF_NS_PER_S;
	uint8_t number[8];
	struct channel c;
	struct mf_frame_l2_stats s;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ .ping_ns = every });
	assert_int_equal(mf_frame_l2_deadline(c.source), c.now + every);
	assert_int_equal(mf_frame_l2_tick(c.source), 0);
	assert_int_equal(c.sends, 0);
	for (uint64_t n = 1; n < 4; n++) {
		c.now = mf_frame_l2_deadline(c.source);
		assert_int_equal(mf_frame_l2_tick(c.source), 0);
		mf_store_be64(number, n);
		assert_int_equal(c.sends, n);
		assert_memory_equal(c.sent, "\xa2\3\1\0", 4);
		assert_memory_equal(c.sent + 4, number, 8);
		c.now += 7;
		number[7]++;
		assert_int_equal(give(&c, MF_L2_PONG, number, 8), 0); /* another one's answer */
		number[7]--;
		assert_int_equal(give(&c, MF_L2_PONG, number, 7), 0);
		assert_int_equal(give(&c, MF_L2_PONG, number, 8), 0);
		assert_int_equal(give(&c, MF_L2_PONG, number, 8), 0); /* once is enough */
	}
	mf_frame_l2_get_stats(c.source, &s);
	assert_int_equal(s.pings_out, 3);
	assert_int_equal(s.pongs, 3);
	assert_int_equal(s.rtt_ns, 7);
	/* one that is never answered: the next after three intervals */
	c.now = mf_frame_l2_deadline(c.source);
	assert_int_equal(mf_frame_l2_tick(c.source), 0);
	assert_int_equal(mf_frame_l2_deadline(c.source), c.now + 3 * every);
	c.now += 3 * every;
	assert_int_equal(mf_frame_l2_tick(c.source), 0);
	assert_int_equal(c.sends, 5);
	/* and where the channel is full, the number is not used up */
	c.now = mf_frame_l2_deadline(c.source);
	c.answer = MF_E_AGAIN;
	assert_int_equal(mf_frame_l2_tick(c.source), 0);
	c.answer = 0;
	mf_frame_l2_get_stats(c.source, &s);
	assert_int_equal(s.pings_out, 5);
	mf_frame_source_free(c.source);
}

static void test_silence_ends_it(void **state)
{
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ .idle_ns = 30 * MF_NS_PER_S });
	c.now += 29 * MF_NS_PER_S;
	assert_int_equal(mf_frame_l2_text(c.source, 0), 0);
	assert_int_equal(mf_frame_l2_deadline(c.source), c.now + 30 * MF_NS_PER_S);
	c.now += 30 * MF_NS_PER_S - 1;
	assert_int_equal(mf_frame_l2_tick(c.source), 0);
	c.now++;
	assert_int_equal(mf_frame_l2_tick(c.source), MF_E_CLOSED);
	assert_int_equal(c.sends, 0);
	assert_int_equal(c.status, MF_L2_CLOSE_POLICY);
	assert_string_equal(c.reason, "idle timeout");
	assert_dead(&c);
}

static void test_a_channel_that_stays_full_ends_it(void **state)
{
	static const uint8_t frame[60];
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	c.answer = MF_E_AGAIN;
	assert_int_equal(mf_frame_source_send(c.source, frame, 14, frame, 46), MF_E_AGAIN);
	assert_int_equal(c.source->stats.out_dropped, 1);
	assert_int_equal(mf_frame_l2_deadline(c.source), c.now + MF_NS_PER_S);
	c.now += MF_NS_PER_S / 2;
	assert_int_equal(mf_frame_source_send(c.source, frame, 14, frame, 46), MF_E_AGAIN);
	c.answer = 0; /* once it takes one, time begins anew */
	assert_int_equal(mf_frame_source_send(c.source, frame, 14, frame, 46), 0);
	assert_true(mf_frame_l2_deadline(c.source) == UINT64_MAX);
	c.answer = MF_E_AGAIN;
	assert_int_equal(mf_frame_source_send(c.source, frame, 14, frame, 46), MF_E_AGAIN);
	c.now += MF_NS_PER_S;
	c.answer = 0; /* the last word has room */
	assert_int_equal(mf_frame_l2_tick(c.source), MF_E_CLOSED);
	assert_error(&c, MF_L2_BACKPRESSURE, "outbound websocket backpressure");
	assert_dead(&c);
}

static void test_a_channel_that_has_gone_is_told_nothing(void **state)
{
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	c.answer = MF_E_CLOSED;
	assert_int_equal(give(&c, MF_L2_PING, "abcd", 4), MF_E_CLOSED);
	assert_int_equal(c.closes, 0);
	assert_dead(&c);
}

static void test_shutting_down(void **state)
{
	struct channel c;

	(void)state;
	begin(&c, (struct mf_frame_l2_options){ 0 });
	mf_frame_l2_shutdown(c.source);
	assert_int_equal(c.sends, 0);
	assert_int_equal(c.status, MF_L2_CLOSE_AWAY);
	assert_string_equal(c.reason, "shutting down");
	assert_dead(&c);
}

static void test_options_that_make_no_sense(void **state)
{
	static const struct mf_frame_l2_options wrong[] = {
		{ 0 },
		{ .size = sizeof(wrong[0]), .limits = { .frame = MF_FRAME_MAX + 1 } },
		{ .size = sizeof(wrong[0]), .limits = { .frame = 13 } },
		{ .size = sizeof(wrong[0]), .limits = { .control = MF_FRAME_MAX + 1 } },
		{ .size = sizeof(wrong[0]), .limits = { .control = 7 }, .ping_ns = 1 },
	};
	struct mf_frame_l2_ops ops = { channel_send, channel_close, channel_now, NULL };
	struct mf_frame_source *source;

	(void)state;
	for (unsigned i = 0; i < MF_ARRAY_SIZE(wrong); i++)
		assert_int_equal(mf_frame_l2_new(&wrong[i], &ops, &source, NULL), MF_E_INVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames_both_ways),
		cmocka_unit_test(test_pings_are_echoed_byte_by_byte),
		cmocka_unit_test(test_errors_text_and_reserved_types_are_of_no_consequence),
		cmocka_unit_test(test_garbage_is_told_and_ends_it),
		cmocka_unit_test(test_garbage_may_be_put_up_with),
		cmocka_unit_test(test_a_message_longer_than_any_ends_it_without_a_word),
		cmocka_unit_test(test_bytes_of_both_directions_have_a_quota),
		cmocka_unit_test(test_messages_have_a_rate),
		cmocka_unit_test(test_the_peer_is_asked_and_answers),
		cmocka_unit_test(test_silence_ends_it),
		cmocka_unit_test(test_a_channel_that_stays_full_ends_it),
		cmocka_unit_test(test_a_channel_that_has_gone_is_told_nothing),
		cmocka_unit_test(test_shutting_down),
		cmocka_unit_test(test_options_that_make_no_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
