/* SPDX-License-Identifier: Apache-2.0 */
/* test_minifilter_msg.c - every message of the minifilter protocol against its bytes, written down by hand */
#include "tests/unit/test.h"

#include "capture/minifilter_msg.h"

/* Bytes of a message that are not zero: "OFFSET:HEX OFFSET:HEX ...", offsets decimal. */
struct golden {
	struct mf_minifilter_msg msg;
	size_t size;
	const char *bytes;
};

static size_t read_golden(const char *text, uint8_t *buf, size_t size)
{
	memset(buf, 0, size);
	while (*text) {
		char *end;
		size_t at = strtoul(text, &end, 10);

		assert_int_equal(*end, ':');
		text = end + 1;
		while (*text && *text != ' ') {
			char hex[3] = { text[0], text[1], 0 };

			assert_true(at < size);
			buf[at++] = (uint8_t)strtoul(hex, NULL, 16);
			text += 2;
		}
		while (*text == ' ')
			text++;
	}
	return size;
}

#define PATH_OF(s)                              \
	{                                       \
		.len = sizeof(s) - 1, .text = s \
	}

static const struct golden goldens[] = {
	{ { .type = MF_MINIFILTER_PING,
	    .request_id = 0x1122334455667788,
	    .ping = { 0x00010000, 0x0102030405060708 } },
	  32,
	  "0:00000000 4:20000000 8:8877665544332211 16:00000100 24:0807060504030201" },
	{ { .type = MF_MINIFILTER_PONG, .request_id = 7, .ping = { 0x00010000, 9 } },
	  32,
	  "0:32000000 4:20000000 8:07 16:00000100 24:09" },
	// "C:\a\xc3\xa9\xf0\x9f\x94\x91" is C : \ a e-acute and a key (U+1F511), which is a surrogate pair
	{ { .type = MF_MINIFILTER_FILE_CHECK,
	    .request_id = 5,
	    .file = { .token = 0xa1a2a3a4a5a6a7a8,
		      .pid = 0x1234,
		      .tid = 0x5678,
		      .op = MF_MINIFILTER_FILE_RENAME,
		      .disposition = 3,
		      .access = 0x80100080,
		      .path = PATH_OF("C:\\a\xc3\xa9\xf0\x9f\x94\x91"),
		      .rename_to = PATH_OF("C:\\b") } },
	  2128,
	  "0:01000000 4:50080000 8:05 16:a8a7a6a5a4a3a2a1 24:34120000 28:78560000 32:05000000 "
	  "36:03000000 40:80001080 44:43003a005c006100e9003dd811dd 1084:43003a005c006200" },
	{ { .type = MF_MINIFILTER_REGISTRY_CHECK,
	    .request_id = 6,
	    .registry = { .token = 1,
			  .pid = 2,
			  .tid = 3,
			  .op = MF_MINIFILTER_VALUE_SET,
			  .value_type = 4,
			  .data_len = 5,
			  .key = PATH_OF("\\R\\K"),
			  .value = PATH_OF("Run") } },
	  1600,
	  "0:02000000 4:40060000 8:06 16:01 24:02 28:03 32:02 36:04 40:05 44:5c0052005c004b00 "
	  "1084:520075006e00" },
	{ { .type = MF_MINIFILTER_PROCESS_CREATED,
	    .process = { 0x10, 0x20, 0x30, 0x01da000000000000 } },
	  40,
	  "0:03000000 4:28000000 16:10 24:20 28:30 32:000000000000da01" },
	{ { .type = MF_MINIFILTER_PROCESS_ENDED, .process = { 0x10, 0x20, 0x30, 0x40 } },
	  40,
	  "0:04000000 4:28000000 16:10 24:20 28:30 32:40" },
	{ { .type = MF_MINIFILTER_REGISTER_SESSION,
	    .request_id = 8,
	    .session = { 0x0807060504030201, 0x99, PATH_OF("C:\\w") } },
	  1072,
	  "0:64000000 4:30040000 8:08 16:0102030405060708 24:99 28:43003a005c007700" },
	{ { .type = MF_MINIFILTER_UNREGISTER_SESSION, .session = { .token = 0x77 } },
	  24,
	  "0:65000000 4:18000000 16:77" },
	{ { .type = MF_MINIFILTER_SET_CONFIG, .config = { 1, 5000, 10, 4096, 5000 } },
	  40,
	  "0:68000000 4:28000000 16:01 20:88130000 24:0a 28:00100000 32:88130000" },
	{ { .type = MF_MINIFILTER_GET_METRICS, .request_id = 0xff },
	  16,
	  "0:69000000 4:10000000 8:ff" },
	{ { .type = MF_MINIFILTER_METRICS,
	    .metrics = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, true, 13 } },
	  72,
	  "0:6a000000 4:48000000 16:01 20:02 24:03 28:04 32:05 36:06 40:07 44:08 48:09 52:0a "
	  "56:0b 60:0c 64:01 68:0d" },
	{ { .type = MF_MINIFILTER_EXCLUDE_PROCESS, .exclude_pid = 0x01020304 },
	  24,
	  "0:6b000000 4:18000000 16:04030201" },
};
_Static_assert(MF_ARRAY_SIZE(goldens) == MF_MINIFILTER_TYPE_NUM, "every kind has its bytes");

static void every_kind_is_written_as_its_bytes(void **state)
{
	uint8_t want[MF_MINIFILTER_SIZE_MAX], got[MF_MINIFILTER_SIZE_MAX + 1];
	uint32_t seen = 0;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(goldens); i++) {
		const struct golden *g = &goldens[i];

		(void)read_golden(g->bytes, want, g->size);
		memset(got, 0xaa, sizeof(got));
		assert_int_equal(mf_minifilter_size(g->msg.type), g->size);
		assert_int_equal(mf_minifilter_encode(&g->msg, got, sizeof(got)), g->size);
		assert_memory_equal(got, want, g->size);
		assert_int_equal(got[g->size], 0xaa);
		assert_int_equal(mf_minifilter_encode(&g->msg, got, g->size - 1), MF_E_LIMIT);
		seen |= 1u << g->msg.type;
	}
	assert_int_equal(seen, (1u << MF_MINIFILTER_TYPE_NUM) - 1);
}

static void every_kind_is_read_from_its_bytes(void **state)
{
	uint8_t buf[MF_MINIFILTER_SIZE_MAX], again[MF_MINIFILTER_SIZE_MAX];
	struct mf_minifilter_msg m;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(goldens); i++) {
		const struct golden *g = &goldens[i];

		(void)read_golden(g->bytes, buf, g->size);
		memset(&m, 0xee, sizeof(m));
		assert_int_equal(mf_minifilter_decode(buf, g->size, &m), 0);
		assert_int_equal(m.type, g->msg.type);
		assert_int_equal(m.request_id, g->msg.request_id);
		assert_int_equal(mf_minifilter_encode(&m, again, sizeof(again)), g->size);
		assert_memory_equal(again, buf, g->size);
	}
	// Fields that writing again would not tell apart, by name.
	(void)read_golden(goldens[2].bytes, buf, 2128);
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_int_equal(m.file.pid, 0x1234);
	assert_int_equal(m.file.tid, 0x5678);
	assert_int_equal(m.file.access, 0x80100080);
	assert_string_equal(m.file.path.text, "C:\\a\xc3\xa9\xf0\x9f\x94\x91");
	assert_string_equal(m.file.rename_to.text, "C:\\b");
	(void)read_golden(goldens[10].bytes, buf, 72);
	assert_int_equal(mf_minifilter_decode(buf, 72, &m), 0);
	assert_int_equal(m.metrics.cache_evictions, 4);
	assert_int_equal(m.metrics.denied, 10);
	assert_true(m.metrics.failing_open);
	assert_int_equal(m.metrics.failures_in_row, 13);
}

static void sizes_are_exact(void **state)
{
	uint8_t buf[MF_MINIFILTER_SIZE_MAX + 8];
	struct mf_minifilter_msg m;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(goldens); i++) {
		const struct golden *g = &goldens[i];
		uint32_t wrong = (uint32_t)g->size - 4;

		for (size_t len = 0; len <= g->size + 1; len++) {
			// A copy of that very length, so that a sanitizer sees a read behind it.
			uint8_t *tight = malloc(len ? len : 1);

			assert_non_null(tight);
			(void)read_golden(g->bytes, buf, g->size);
			buf[g->size] = 0;
			memcpy(tight, buf, len);
			assert_int_equal(mf_minifilter_decode(tight, len, &m),
					 len == g->size ? 0 : MF_E_BAD);
			free(tight);
		}
		memcpy(buf + 4, &wrong, 4);
		assert_int_equal(mf_minifilter_decode(buf, g->size, &m), MF_E_BAD);
		assert_int_equal(mf_minifilter_decode(buf, wrong, &m), MF_E_BAD);
	}
}

static void kinds_without_a_layout_are_not_ours(void **state)
{
	static const uint32_t ids[] = { 5, 49, 51, 99, 102, 103, 108, 200, 201, 202, UINT32_MAX };
	struct mf_minifilter_msg m;
	uint8_t buf[24] = { 0 };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(ids); i++) {
		memcpy(buf, &ids[i], 4);
		buf[4] = sizeof(buf);
		buf[8] = 3;
		assert_int_equal(mf_minifilter_decode(buf, sizeof(buf), &m), MF_E_NOT_MINE);
		assert_int_equal(m.request_id, 3);
		assert_int_equal(m.type, MF_MINIFILTER_TYPE_NUM);
	}
	m.type = MF_MINIFILTER_TYPE_NUM;
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), MF_E_INVAL);
}

/* The filter manager's header: reply length u32, 4 bytes of padding that may hold anything, message id u64. */
static size_t receive(const struct golden *g, uint8_t *buf)
{
	static const uint8_t head[16] = { 0x28, 0, 0, 0, 0xcc, 0xcc, 0xcc, 0xcc,
					  0x08, 7, 6, 5, 4,    3,    2,	   1 };

	memcpy(buf, head, sizeof(head));
	return 16 + read_golden(g->bytes, buf + 16, g->size);
}

static void received_messages_have_a_header_in_front(void **state)
{
	uint8_t buf[MF_MINIFILTER_RECEIVE_MAX + 16];
	struct mf_minifilter_msg m;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(goldens); i++) {
		const struct golden *g = &goldens[i];
		size_t len;

		memset(buf, 0, sizeof(buf));
		len = receive(g, buf);
		// Lengths of receives may be rounded up to the next eight bytes, no further.
		for (size_t more = 0; more <= 8; more++) {
			assert_int_equal(mf_minifilter_decode_received(buf, len + more, &m),
					 more < 8 ? 0 : MF_E_BAD);
			assert_int_equal(m.message_id, 0x0102030405060708);
			assert_int_equal(m.reply_len, 0x28);
		}
		assert_int_equal(mf_minifilter_decode_received(buf, len - 1, &m), MF_E_BAD);
		assert_int_equal(m.message_id, 0x0102030405060708);
		assert_int_equal(mf_minifilter_decode_received(buf, 15, &m), MF_E_BAD);
		assert_int_equal(m.message_id, 0);
		assert_int_equal(mf_minifilter_decode_received(buf, 31, &m), MF_E_BAD);
	}
}

static void replies_have_a_header_in_front(void **state)
{
	static const uint8_t verdict[40] = {
		0, 0, 0, 0, 0,	  0,	0, 0, 0x08, 7, 6, 5, 4, 3, 2, 1, // status, message id
		1, 0, 0, 0, 24,	  0,	0, 0, 5,    0, 0, 0, 0, 0, 0, 0, // type, size, request id
		1, 0, 0, 0, 0x88, 0x13, 0, 0,				 // deny, 5000 ms
	};
	static const uint8_t status[16] = { 0xbb, 0, 0, 0xc0, 0, 0, 0, 0, 9 };
	enum mf_minifilter_decision decision;
	uint8_t buf[MF_MINIFILTER_RECEIVE_MAX], out[MF_MINIFILTER_REPLY_MAX];
	uint64_t message, request;
	struct mf_minifilter_msg m, pong = { .type = MF_MINIFILTER_PONG };
	uint32_t ttl;
	size_t len = receive(&goldens[2], buf);

	(void)state;
	assert_int_equal(mf_minifilter_decode_received(buf, len, &m), 0);
	assert_int_equal(
		mf_minifilter_encode_verdict(&m, MF_MINIFILTER_DENY, 5000, out, sizeof(out)), 40);
	assert_memory_equal(out, verdict, 40);
	assert_int_equal(mf_minifilter_decode_verdict(out, 40, &message, &request, &decision, &ttl),
			 0);
	assert_int_equal(message, 0x0102030405060708);
	assert_int_equal(request, 5);
	assert_int_equal(decision, MF_MINIFILTER_DENY);
	assert_int_equal(ttl, 5000);
	for (len = 0; len < 40; len++) {
		assert_int_equal(mf_minifilter_encode_verdict(&m, MF_MINIFILTER_DENY, 1, out, len),
				 MF_E_LIMIT);
		assert_int_equal(mf_minifilter_decode_verdict(verdict, len, &message, &request,
							      &decision, &ttl),
				 MF_E_BAD);
	}
	// Nobody waits for it, or for so much: no answer can be made.
	m.reply_len = 39;
	assert_int_equal(mf_minifilter_encode_verdict(&m, MF_MINIFILTER_ALLOW, 0, out, sizeof(out)),
			 MF_E_INVAL);
	m = goldens[0].msg;
	m.reply_len = 40;
	assert_int_equal(mf_minifilter_encode_verdict(&m, MF_MINIFILTER_ALLOW, 0, out, sizeof(out)),
			 MF_E_INVAL);
	assert_int_equal(mf_minifilter_encode_reply(9, MF_MINIFILTER_STATUS_UNSUPPORTED, NULL, out,
						    sizeof(out)),
			 16);
	assert_memory_equal(out, status, 16);
	assert_int_equal(mf_minifilter_encode_reply(9, 0, &pong, out, sizeof(out)), 48);
	assert_int_equal(out[16], 50);
	assert_int_equal(mf_minifilter_encode_reply(9, 0, &pong, out, 47), MF_E_LIMIT);
}

static void connecting_tells_version_and_process(void **state)
{
	static const uint8_t want[8] = { 0, 0, 1, 0, 0x78, 0x56, 0x34, 0x12 };
	uint32_t version, pid;
	uint8_t buf[8];

	(void)state;
	assert_int_equal(mf_minifilter_encode_connect(0x00010000, 0x12345678, buf, 8), 8);
	assert_memory_equal(buf, want, 8);
	assert_int_equal(mf_minifilter_encode_connect(1, 2, buf, 7), MF_E_LIMIT);
	assert_int_equal(mf_minifilter_decode_connect(buf, 8, &version, &pid), 0);
	assert_int_equal(version, 0x00010000);
	assert_int_equal(pid, 0x12345678);
	assert_int_equal(mf_minifilter_decode_connect(buf, 7, &version, &pid), MF_E_BAD);
}

static void names_that_cannot_be_judged_are_denied(void **state)
{
	uint8_t buf[MF_MINIFILTER_SIZE_MAX];
	struct mf_minifilter_msg m;

	(void)state;
	(void)read_golden(goldens[2].bytes, buf, 2128);
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_false(mf_minifilter_must_deny(&m));
	// 519 units and a NUL are the longest; 520 mean that the driver had no room.
	for (size_t i = 0; i < 520; i++)
		buf[44 + 2 * i] = 'x', buf[45 + 2 * i] = 0;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_int_equal(m.file.path.state, MF_MINIFILTER_TEXT_CUT);
	assert_string_equal(m.file.path.text, "");
	assert_true(mf_minifilter_must_deny(&m));
	buf[44 + 2 * 519] = 0;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_int_equal(m.file.path.len, 519);
	assert_false(mf_minifilter_must_deny(&m));
	// A path of characters that need most bytes fits too.
	for (size_t i = 0; i < 519; i++)
		buf[44 + 2 * i] = 0xff, buf[45 + 2 * i] = 0x4e;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_int_equal(m.file.path.len, 3 * 519);
	// Half a pair: high at the end, low alone.
	buf[46] = 0x3d, buf[47] = 0xd8;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_int_equal(m.file.path.state, MF_MINIFILTER_TEXT_BAD);
	assert_true(mf_minifilter_must_deny(&m));
	buf[46] = 0x11, buf[47] = 0xdd;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_int_equal(m.file.path.state, MF_MINIFILTER_TEXT_BAD);
	// The rename target counts as well, also where there should be one and is none.
	(void)read_golden(goldens[2].bytes, buf, 2128);
	memset(buf + 1084, 0x41, 1040);
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_true(mf_minifilter_must_deny(&m));
	memset(buf + 1084, 0, 1040);
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_true(mf_minifilter_must_deny(&m));
	buf[32] = MF_MINIFILTER_FILE_DELETE;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_false(mf_minifilter_must_deny(&m));
	buf[32] = MF_MINIFILTER_FILE_OP_NUM;
	assert_int_equal(mf_minifilter_decode(buf, 2128, &m), 0);
	assert_true(mf_minifilter_must_deny(&m));
}

static void registry_names_are_held_to_the_same(void **state)
{
	uint8_t buf[MF_MINIFILTER_SIZE_MAX];
	struct mf_minifilter_msg m;

	(void)state;
	(void)read_golden(goldens[3].bytes, buf, 1600);
	assert_int_equal(mf_minifilter_decode(buf, 1600, &m), 0);
	assert_false(mf_minifilter_must_deny(&m));
	memset(buf + 1084, 0x41, 512);
	assert_int_equal(mf_minifilter_decode(buf, 1600, &m), 0);
	assert_int_equal(m.registry.value.state, MF_MINIFILTER_TEXT_CUT);
	assert_true(mf_minifilter_must_deny(&m));
	// A key's default value has no name.
	memset(buf + 1084, 0, 512);
	assert_int_equal(mf_minifilter_decode(buf, 1600, &m), 0);
	assert_false(mf_minifilter_must_deny(&m));
	memset(buf + 44, 0, 1040);
	assert_int_equal(mf_minifilter_decode(buf, 1600, &m), 0);
	assert_true(mf_minifilter_must_deny(&m));
}

static void texts_that_do_not_fit_are_not_written(void **state)
{
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_REGISTER_SESSION };
	struct mf_minifilter_path *w = &m.session.workspace;
	uint8_t buf[MF_MINIFILTER_SIZE_MAX];

	(void)state;
	w->len = 519;
	memset(w->text, 'x', 520);
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), 1072);
	w->len = 520;
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), MF_E_LIMIT);
	w->len = SIZE_MAX;
	assert_true(mf_minifilter_encode(&m, buf, sizeof(buf)) < 0);
	memcpy(w->text, "a\xff", 2);
	w->len = 2;
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), MF_E_SYNTAX);
	memcpy(w->text, "a\0b", 3);
	w->len = 3;
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), MF_E_SYNTAX);
	// A pair must not be cut in two by the end of the field.
	memset(w->text, 'x', 518);
	memcpy(w->text + 518, "\xf0\x9f\x94\x91", 4);
	w->len = 522;
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), MF_E_LIMIT);
}

static void versions_are_agreed_on(void **state)
{
	struct mf_err err = { 0 };
	uint32_t v = 0;

	(void)state;
	assert_int_equal(mf_minifilter_agree(0x00010000, &v, &err), 0);
	assert_int_equal(v, 0x00010000);
	assert_int_equal(mf_minifilter_agree(0x00010007, &v, &err), 0);
	assert_int_equal(v, 0x00010000);
	assert_int_equal(mf_minifilter_agree(0x00020000, &v, &err), MF_E_UNSUPPORTED);
	assert_non_null(strstr(err.msg, "2.0"));
	assert_int_equal(mf_minifilter_agree(0, &v, &err), MF_E_UNSUPPORTED);
}

static void settings_have_ranges(void **state)
{
	const struct mf_minifilter_config good = { 0, 5000, 10, 4096, 5000 };
	struct mf_minifilter_config c = good;
	uint8_t buf[40];
	struct mf_minifilter_msg m = { .type = MF_MINIFILTER_SET_CONFIG, .config = good };
	struct mf_err err = { 0 };

	(void)state;
	assert_int_equal(mf_minifilter_check_config(&c, &err), 0);
	c.timeout_ms = 99;
	assert_int_equal(mf_minifilter_check_config(&c, &err), MF_E_INVAL);
	c = good, c.timeout_ms = 60001;
	assert_int_equal(mf_minifilter_check_config(&c, &err), MF_E_INVAL);
	c = good, c.failures_max = 0;
	assert_int_equal(mf_minifilter_check_config(&c, &err), MF_E_INVAL);
	c = good, c.cache_max = 99;
	assert_int_equal(mf_minifilter_check_config(&c, &err), MF_E_INVAL);
	c = good, c.cache_ttl_ms = 3600001;
	assert_int_equal(mf_minifilter_check_config(&c, &err), MF_E_INVAL);
	assert_non_null(strstr(err.msg, "3600001"));
	m.config.fail_closed = 2;
	assert_int_equal(mf_minifilter_encode(&m, buf, sizeof(buf)), MF_E_INVAL);
	buf[16] = 2;
	assert_int_equal(mf_minifilter_decode(buf, 40, &m), MF_E_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_is_written_as_its_bytes),
		cmocka_unit_test(every_kind_is_read_from_its_bytes),
		cmocka_unit_test(sizes_are_exact),
		cmocka_unit_test(kinds_without_a_layout_are_not_ours),
		cmocka_unit_test(received_messages_have_a_header_in_front),
		cmocka_unit_test(replies_have_a_header_in_front),
		cmocka_unit_test(connecting_tells_version_and_process),
		cmocka_unit_test(names_that_cannot_be_judged_are_denied),
		cmocka_unit_test(registry_names_are_held_to_the_same),
		cmocka_unit_test(texts_that_do_not_fit_are_not_written),
		cmocka_unit_test(versions_are_agreed_on),
		cmocka_unit_test(settings_have_ranges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
