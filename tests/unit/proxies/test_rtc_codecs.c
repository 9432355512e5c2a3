/* SPDX-License-Identifier: Apache-2.0 */
/* STUN by the vectors of RFC 5769, DCEP, CRC-32C: bytes in, facts out */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after those that it wants */
#include <cmocka.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "proxies/rtc/crc32c.h"
#include "proxies/rtc/dcep.h"
#include "proxies/rtc/stun.h"

#define PASSWORD mf_span_str("VOkJxbRl1RmTxUk/WvJxBt")
#define ID	 "\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae"
#define COOKIE	 "\x21\x12\xa4\x42"

/* RFC 5769 2.1, 2.2, 2.3 */
static const char request[] = "\x00\x01\x00\x58" COOKIE ID "\x80\x22\x00\x10STUN test client"
			      "\x00\x24\x00\x04\x6e\x00\x01\xff"
			      "\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36"
			      "\x00\x06\x00\x09\x65\x76\x74\x6a\x3a\x68\x36\x76\x59\x20\x20\x20"
			      "\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2"
			      "\xd3\xf2\x49\xc1\xb5\x71\xa2"
			      "\x80\x28\x00\x04\xe5\x7a\x3b\xcf";
static const char response4[] = "\x01\x01\x00\x3c" COOKIE ID "\x80\x22\x00\x0btest vector "
				"\x00\x20\x00\x08\x00\x01\xa1\x47\xe1\x12\xa6\x43"
				"\x00\x08\x00\x14\x2b\x91\xf5\x99\xfd\x9e\x90\xc3\x8c\x74\x89\xf9"
				"\x2a\xf9\xba\x53\xf0\x6b\xe7\xd7"
				"\x80\x28\x00\x04\xc0\x7d\x4c\x96";
static const char response6[] = "\x01\x01\x00\x48" COOKIE ID "\x80\x22\x00\x0btest vector "
				"\x00\x20\x00\x14\x00\x02\xa1\x47\x01\x13\xa9\xfa\xa5\xd3\xf1\x79"
				"\xbc\x25\xf4\xb5\xbe\xd2\xb9\xd9"
				"\x00\x08\x00\x14\xa3\x82\x95\x4e\x4b\xe6\x7b\xf1\x17\x84\xc9\x7c"
				"\x82\x92\xc2\x75\xbf\xe3\xed\x41"
				"\x80\x28\x00\x04\xc8\xfb\x0b\x4c";

#define VECTOR(v) mf_span_of(v, sizeof(v) - 1)

static void test_vectors(void **state)
{
	char text[MF_ENDPOINT_TEXT_MAX];
	struct mf_stun m;

	(void)state;
	assert_int_equal(mf_stun_read(VECTOR(request), &m), 0);
	assert_int_equal(m.type, MF_STUN_REQUEST);
	assert_true(mf_span_eq(m.username, mf_span_str("evtj:h6vY")));
	assert_true(m.has_priority && m.priority == 0x6e0001ff);
	assert_true(m.controlled && !m.controlling && m.tie_breaker == 0x932ff9b151263b36);
	assert_int_equal(m.unknown_cnt, 0);
	assert_true(mf_stun_is_whole(&m, PASSWORD));
	assert_false(mf_stun_is_whole(&m, mf_span_str("VOkJxbRl1RmTxUk/WvJxBu")));

	assert_int_equal(mf_stun_read(VECTOR(response4), &m), 0);
	assert_int_equal(m.type, MF_STUN_SUCCESS);
	assert_string_equal(mf_endpoint_format(&m.mapped, text, sizeof(text)), "192.0.2.1:32853");
	assert_true(mf_stun_is_whole(&m, PASSWORD));

	assert_int_equal(mf_stun_read(VECTOR(response6), &m), 0);
	assert_string_equal(mf_endpoint_format(&m.mapped, text, sizeof(text)),
			    "[2001:db8:1234:5678:11:2233:4455:6677]:32853");
	assert_true(mf_stun_is_whole(&m, PASSWORD));
}

/* Each bit of a message counts: by its fingerprint, if by nothing else */
static void test_any_change_shows(void **state)
{
	uint8_t copy[sizeof(request) - 1];
	struct mf_stun m;

	(void)state;
	for (size_t bit = 0; bit < sizeof(copy) * 8; bit++) {
		memcpy(copy, request, sizeof(copy));
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_true(mf_stun_read(mf_span_of(copy, sizeof(copy)), &m) < 0);
	}
	for (size_t len = 0; len < sizeof(copy); len++)
		assert_true(mf_stun_read(mf_span_of(request, len), &m) < 0);
}

static void test_written_is_read(void **state)
{
	static const uint16_t unknown[] = { 0x7001, 0x7002 };
	struct mf_endpoint ep = {
		.addr = { .family = 6, .bytes = { 0x20, 1, 0xd, 0xb8, [15] = 9 } }, .port = 4242
	};
	struct mf_stun_out out;
	struct mf_stun m;

	(void)state;
	mf_stun_begin(&out, MF_STUN_REQUEST, (const uint8_t *)ID);
	mf_stun_put_username(&out, mf_span_str("us"), mf_span_str("them"));
	mf_stun_put_priority(&out, 77);
	mf_stun_put_role(&out, true, 99);
	mf_stun_put_use_candidate(&out);
	assert_int_equal(mf_stun_end(&out, PASSWORD) % 4, 0);
	assert_int_equal(mf_stun_read(mf_span_of(out.buf, out.len), &m), 0);
	assert_true(mf_span_eq(m.username, mf_span_str("us:them")));
	assert_true(m.priority == 77 && m.controlling && m.tie_breaker == 99 && m.use_candidate);
	assert_true(mf_stun_is_whole(&m, PASSWORD));

	mf_stun_begin(&out, MF_STUN_SUCCESS, (const uint8_t *)ID);
	mf_stun_put_mapped(&out, &ep);
	assert_true(mf_stun_end(&out, PASSWORD) > 0);
	assert_int_equal(mf_stun_read(mf_span_of(out.buf, out.len), &m), 0);
	assert_memory_equal(&m.mapped, &ep, sizeof(ep));

	mf_stun_begin(&out, MF_STUN_ERROR, (const uint8_t *)ID);
	mf_stun_put_error(&out, 420, unknown, 2);
	assert_true(mf_stun_end(&out, PASSWORD) > 0);
	assert_int_equal(mf_stun_read(mf_span_of(out.buf, out.len), &m), 0);
	assert_int_equal(m.error, 420);

	/* what does not fit is no message */
	mf_stun_begin(&out, MF_STUN_REQUEST, (const uint8_t *)ID);
	for (int i = 0; i < 200; i++)
		mf_stun_put_role(&out, true, 1);
	assert_int_equal(mf_stun_end(&out, PASSWORD), 0);
}

/* Unknown attributes below 0x8000 are told, above ignored; what stands behind the integrity is nobody's word */
static void test_unknown(void **state)
{
	uint8_t more[256] = "\x00\x01\x00\x00" COOKIE ID "\x70\x01\x00\x01x\0\0\0\x90\x01\x00\x00";
	struct mf_stun_out out;
	struct mf_stun m;

	(void)state;
	memcpy(out.buf, more, 32);
	out.len = 32;
	out.cut = false;
	assert_true(mf_stun_end(&out, PASSWORD) > 0);
	assert_int_equal(mf_stun_read(mf_span_of(out.buf, out.len), &m), 0);
	assert_int_equal(m.unknown_cnt, 1);
	assert_int_equal(m.unknown[0], 0x7001);
	assert_true(mf_stun_is_whole(&m, PASSWORD));
}

static void test_dcep(void **state)
{
	struct mf_rtc_channel_info info = { .label = mf_span_str("udp"),
					    .protocol = mf_span_str("p"),
					    .max_retransmits = 0,
					    .max_life_ms = -1,
					    .priority = 256 },
				   back;
	uint8_t buf[MF_DCEP_OPEN_MAX];
	size_t len = mf_dcep_write_open(&info, buf);

	(void)state;
	/* RFC 8832 5.1, byte by byte */
	assert_int_equal(len, 16);
	assert_memory_equal(buf, "\x03\x81\x01\x00\x00\x00\x00\x00\x00\x03\x00\x01udpp", 16);
	assert_int_equal(mf_dcep_read(mf_span_of(buf, len), &back), MF_DCEP_OPEN);
	assert_true(mf_span_eq(back.label, info.label) && mf_span_eq(back.protocol, info.protocol));
	assert_true(!back.ordered && back.max_retransmits == 0 && back.max_life_ms == -1);
	for (size_t cut = 0; cut < len; cut++)
		assert_true(mf_dcep_read(mf_span_of(buf, cut), &back) == MF_E_BAD);

	info = (struct mf_rtc_channel_info){ .ordered = true,
					     .max_retransmits = -1,
					     .max_life_ms = 5 };
	len = mf_dcep_write_open(&info, buf);
	assert_memory_equal(buf, "\x03\x02\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00", 12);
	assert_int_equal(mf_dcep_read(mf_span_of(buf, len), &back), MF_DCEP_OPEN);
	assert_true(back.ordered && back.max_retransmits == -1 && back.max_life_ms == 5);
	buf[1] = 3; /* a type that there is not */
	assert_int_equal(mf_dcep_read(mf_span_of(buf, len), &back), MF_E_BAD);

	info.max_retransmits = 1; /* both */
	assert_int_equal(mf_dcep_write_open(&info, buf), 0);
	assert_int_equal(mf_dcep_read(mf_span_of("\x02", 1), &back), MF_DCEP_ACK);
	assert_int_equal(mf_dcep_read(mf_span_of("\x07", 1), &back), MF_E_NOT_MINE);
	assert_int_equal(mf_dcep_read(mf_span_of(NULL, 0), &back), MF_E_BAD);
}

static void test_dcep_limit(void **state)
{
	uint8_t buf[12 + 257] = { 3, [8] = 1, 1 };
	struct mf_rtc_channel_info back;

	(void)state;
	assert_int_equal(mf_dcep_read(mf_span_of(buf, sizeof(buf)), &back), MF_E_LIMIT);
	mf_store_be16(buf + 8, 256);
	assert_int_equal(mf_dcep_read(mf_span_of(buf, sizeof(buf) - 1), &back), MF_DCEP_OPEN);
	assert_int_equal(back.label.len, 256);
}

static void test_crc32c(void **state)
{
	uint8_t zero[32] = { 0 }, ones[32], up[32];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	for (size_t i = 0; i < sizeof(up); i++)
		up[i] = (uint8_t)i;
	/* RFC 3720 B.4 */
	assert_int_equal(mf_crc32c(zero, 32), 0x8a9136aa);
	assert_int_equal(mf_crc32c(ones, 32), 0x62a8ab43);
	assert_int_equal(mf_crc32c(up, 32), 0x46dd794e);
	assert_int_equal(mf_crc32c("123456789", 9), 0xe3069283);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_any_change_shows),
		cmocka_unit_test(test_written_is_read),
		cmocka_unit_test(test_unknown),
		cmocka_unit_test(test_dcep),
		cmocka_unit_test(test_dcep_limit),
		cmocka_unit_test(test_crc32c),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
