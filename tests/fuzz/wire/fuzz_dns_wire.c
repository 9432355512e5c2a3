// SPDX-License-Identifier: Apache-2.0
// Any bytes as a question and as its answer: nothing reads or writes outside, what is written reads back.
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "core/wire/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mf_dns_copy copy_3600 = { .ttl_max_s = 3600, .ede = MF_DNS_EDE_NONE };

static void check_answer(const struct mf_dns_query *q)
{
	static const struct mf_addr addrs[] = { { .family = 4, .bytes = { 192, 0, 2, 1 } },
						{ .family = 6, .bytes = { 0x20, 1, 0xd, 0xb8 } } };
	struct mf_dns_answer a = { .addrs = addrs,
				   .addr_cnt = 2,
				   .ttl_s = 60,
				   .soa = true,
				   .ede = MF_DNS_EDE_BLOCKED,
				   .ede_text = "because" };
	uint8_t out[MF_DNS_UDP_MAX];
	struct mf_dns_walk w;
	struct mf_dns_record r;
	unsigned cnt = 0;
	int n = mf_dns_write_answer(q, &a, out, sizeof(out), sizeof(out));

	MF_MUST(n > 0);
	MF_MUST(mf_dns_begin_walk(mf_span_of(out, (size_t)n), q, q->id, &w) == 0);
	while (mf_dns_next_record(&w, &r) == 1)
		cnt++;
	if (!w.truncated)
		MF_MUST(cnt == (q->type == MF_DNS_ANY
					? 2
					: q->type == MF_DNS_A || q->type == MF_DNS_AAAA));
}

/* What may be kept can be aged, and is then over. */
static void check_age(struct mf_span msg)
{
	int ttl = mf_dns_lifetime(msg, MF_DNS_A, INT32_MAX);
	uint8_t *copy;

	MF_MUST(mf_dns_lifetime(msg, MF_DNS_A, 3600) == (ttl < 3600 ? ttl : 3600));
	if (ttl <= 0)
		return;
	copy = malloc(msg.len);
	MF_MUST(copy);
	memcpy(copy, msg.ptr, msg.len);
	/* or malformed, where a name is continued in the bytes of a TTL */
	if (mf_dns_set_age(copy, msg.len, (uint32_t)ttl, 0) == 0)
		MF_MUST(mf_dns_lifetime(mf_span_of(copy, msg.len), MF_DNS_A, INT32_MAX) <= 0);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t out[MF_DNS_MESSAGE_MAX];
	struct mf_span msg = mf_span_of(data, size);
	struct mf_dns_query q;
	struct mf_dns_walk w;
	struct mf_dns_record r;
	struct mf_dns_opt opt;
	char text[MF_DNS_TEXT_MAX];
	int n;

	if (mf_dns_read_query(msg, &q) == 0) {
		struct mf_dns_query again;
		struct mf_dns_name name;

		check_answer(&q);
		n = mf_dns_write_query(&q, 7, &q.cookie, out, sizeof(out));
		MF_MUST(n <= MF_DNS_QUERY_MAX);
		MF_MUST(n > 0 && mf_dns_read_query(mf_span_of(out, (size_t)n), &again) == 0);
		MF_MUST(again.id == 7 && again.type == q.type && again.cookie.len == q.cookie.len &&
			memcmp(again.cookie.bytes, q.cookie.bytes, q.cookie.len) == 0 &&
			mf_dns_name_eq(&again.name, &q.name));
		if (mf_dns_format_name(&q.name, text, sizeof(text)) == 0)
			MF_MUST(mf_dns_parse_name(text, &name) == 0 &&
				mf_dns_name_eq(&name, &q.name));
	}
	if (mf_dns_read_opt(msg, &opt) == 0)
		MF_MUST(opt.cookie.len <= MF_DNS_COOKIE_MAX && (opt.found || !opt.cookie.len));
	/* the same bytes as an answer to a question that they contain */
	if (size < MF_DNS_HEAD_LEN + 1)
		return 0;
	memset(&q, 0, sizeof(q));
	q.id = mf_load_be16(data);
	q.has_edns = data[1] & 1;
	if (mf_dns_parse_name("www.example.com", &q.name) < 0)
		return 0;
	q.type = data[size - 1];
	q.class = 1;
	if (mf_dns_begin_walk(msg, &q, q.id, &w) == 0)
		while (mf_dns_next_record(&w, &r) == 1)
			(void)mf_dns_format_name(&r.owner, text, sizeof(text));
	n = mf_dns_copy_response(msg, &q, &copy_3600, out, sizeof(out),
				 data[0] & 1 ? 512 : sizeof(out));
	if (n > 0)
		MF_MUST(mf_dns_begin_walk(mf_span_of(out, (size_t)n), &q, q.id, &w) == 0);
	check_age(msg);
	return 0;
}
