// SPDX-License-Identifier: Apache-2.0
// Any bytes as a ClientHello: growing prefixes agree with the whole, and a rewritten hello reads back with its new name.
#include <stdlib.h>

#include "core/base/err.h"
#include "core/wire/http_head.h"
#include "core/wire/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_rewrite(const struct mf_tls_hello *h, struct mf_span wire)
{
	static uint8_t out[MF_TLS_WIRE_MAX], buf[MF_TLS_HELLO_MAX];
	static const char name[] = "fuzz.moonfence.example";
	struct mf_span want = mf_span_of(name, sizeof(name) - 1);
	struct mf_tls_scan scan = { 0 };
	struct mf_tls_hello again;
	int n = mf_tls_rewrite_sni(h, wire, want, out, sizeof(out));

	if (n < 0)
		return;
	MF_MUST(mf_tls_scan_hello(&scan, mf_span_of(out, (size_t)n)) == 0);
	MF_MUST(scan.wire_len == (uint32_t)n);
	/* an extension more than the reader takes is the one way in which the result can be unreadable */
	if (h->extension_cnt == MF_TLS_EXTENSIONS_MAX && !h->has_sni)
		return;
	MF_MUST(mf_tls_read_hello(&scan, mf_span_of(out, (size_t)n), buf, &again) == 0);
	MF_MUST(mf_span_eq(again.sni, want));
	MF_MUST(again.version_cnt == h->version_cnt && again.alpn_cnt == h->alpn_cnt);
	MF_MUST(mf_span_eq(again.ciphers, h->ciphers) && mf_span_eq(again.sigalgs, h->sigalgs));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_tls_scan whole = { 0 }, grown = { 0 };
	struct mf_span wire = mf_span_of(data, size), host;
	struct mf_tls_hello h;
	uint8_t *buf;
	char ja4[MF_TLS_JA4_LEN + 1];
	int r = mf_tls_scan_hello(&whole, wire), g = MF_E_AGAIN;

	for (size_t n = 0; n <= size && g == MF_E_AGAIN; n += n < 64 ? 1 : 37)
		g = mf_tls_scan_hello(&grown, mf_span_of(data, n));
	if (g == MF_E_AGAIN)
		g = mf_tls_scan_hello(&grown, wire);
	MF_MUST(g == r);
	(void)mf_speech_of(wire);
	(void)mf_http_find_host(wire, &host);
	if (r < 0)
		return 0;
	buf = malloc(MF_TLS_HELLO_MAX);
	if (buf && mf_tls_read_hello(&whole, wire, buf, &h) == 0) {
		mf_tls_format_ja4(&h, false, ja4);
		MF_MUST(ja4[MF_TLS_JA4_LEN] == '\0' && strlen(ja4) == MF_TLS_JA4_LEN);
		check_rewrite(&h, wire);
	}
	free(buf);
	return 0;
}
