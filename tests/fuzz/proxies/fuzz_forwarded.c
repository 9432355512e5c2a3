// SPDX-License-Identifier: Apache-2.0
// Any fields of proxies: who is told to be the client is the proxy itself, or an address that stands there; who is not trusted tells nothing.
// A line is a field: its first byte says which; the rest is its value. And the names of addresses in DNS.
#include <moonfence/moonfence.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "proxies/forwarded.h"
#include "proxies/gateway/reverse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 64 };

static size_t read_fields(struct mf_span in, struct mf_http_field *fields)
{
	static const char *const names[] = { "X-Forwarded-For", "forwarded", "x-forwarded-proto",
					     "X-FORWARDED-HOST" };
	size_t cnt = 0;

	while (in.len && cnt < FIELDS_MAX) {
		const uint8_t *end = memchr(in.ptr, '\n', in.len);
		size_t len = end ? (size_t)(end - in.ptr) : in.len;

		if (len)
			fields[cnt++] = (struct mf_http_field){ mf_span_str(names[in.ptr[0] & 3]),
								mf_span_of(in.ptr + 1, len - 1) };
		in = mf_span_sub(in, len + 1, in.len);
	}
	return cnt;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_http_field fields[FIELDS_MAX];
	struct mf_span in = mf_span_of(data, size);
	struct mf_http_request req = { .fields = fields, .field_cnt = read_fields(in, fields) };
	struct mf_endpoint peer = { .port = 1 }, stranger = { .port = 1 };
	struct mf_forwarding how = { 0 };
	struct mf_forwarded f;
	struct mf_cidr trusted;
	struct mf_addr addr;
	char *text;

	MF_MUST(mf_cidr_parse("127.0.0.0/8", 11, &trusted) == 0);
	MF_MUST(mf_addr_parse("127.0.0.1", 9, &peer.addr) == 0);
	MF_MUST(mf_addr_parse("192.0.2.1", 9, &stranger.addr) == 0);
	how.trusted = &trusted;
	how.trusted_cnt = 1;
	for (unsigned i = 0; i < 2; i++) {
		how.rfc7239 = i;
		mf_forwarded_read(&how, &peer, &req, &f);
		MF_MUST(f.client.addr.family == 4 || f.client.addr.family == 6);
		MF_MUST(f.is_told || mf_addr_eq(&f.client.addr, &peer.addr));
		mf_forwarded_read(&how, &stranger, &req, &f);
		MF_MUST(!f.is_told && !f.has_proto && !f.host.len &&
			mf_addr_eq(&f.client.addr, &stranger.addr));
	}
	text = malloc(size + 1);
	MF_MUST(text != NULL);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	MF_MUST(mf_gw_reverse_read(text, &addr) <= 16);
	free(text);
	return 0;
}
