// SPDX-License-Identifier: Apache-2.0
// Seals and opens QUIC's Initial packets for quic_test.py, a line in and a line out, all bytes in hexadecimal:
//
//	seal VERSION DCID SCID NUMBER FRAMES FIRST_DCID    a client's packet; keys follow from FIRST_DCID
//	open VERSION FIRST_DCID PACKET                     the frames of a server's packet, or "-"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/wire/quic_initial.h"

struct hex {
	uint8_t ptr[4096];
	size_t len;
};

static struct mf_span read_hex(struct hex *h, const char *text)
{
	unsigned v;

	for (h->len = 0; h->len < sizeof(h->ptr) && sscanf(text + 2 * h->len, "%2x", &v) == 1;)
		h->ptr[h->len++] = (uint8_t)v;
	return mf_span_of(h->ptr, h->len);
}

static void print_hex(const uint8_t *ptr, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", ptr[i]);
	printf("\n");
	fflush(stdout);
}

static void seal(struct mf_quic_crypto *crypto, char *const *arg)
{
	static struct hex dcid, scid, frames, first;
	static uint8_t out[8192];
	struct mf_quic_draft d = { .version = (uint32_t)strtoul(arg[1], NULL, 16),
				   .dcid = read_hex(&dcid, arg[2]),
				   .scid = read_hex(&scid, arg[3]),
				   .number = (uint32_t)strtoul(arg[4], NULL, 10),
				   .frames = read_hex(&frames, arg[5]),
				   .number_len = 4 };
	struct mf_quic_keys keys;
	int n;

	if (mf_quic_derive_keys(d.version, read_hex(&first, arg[6]), false, &keys) < 0)
		exit(1);
	n = mf_quic_seal(crypto, &keys, &d, out, sizeof(out));
	if (n < 0)
		exit(1);
	print_hex(out, (size_t)n);
}

static void open_packet(struct mf_quic_crypto *crypto, char *const *arg)
{
	static struct hex dcid, packet;
	struct mf_span s = read_hex(&packet, arg[3]), payload;
	struct mf_quic_keys keys;
	struct mf_quic_packet p;
	int64_t number;

	if (mf_quic_derive_keys((uint32_t)strtoul(arg[1], NULL, 16), read_hex(&dcid, arg[2]), true,
				&keys) == 0 &&
	    mf_quic_next_packet(&s, &p) == 0 && p.type == MF_QUIC_INITIAL &&
	    mf_quic_open(crypto, &keys, &p, -1, &payload, &number) == 0) {
		print_hex(payload.ptr, payload.len);
		return;
	}
	printf("-\n");
	fflush(stdout);
}

int main(void)
{
	struct mf_quic_crypto *crypto = mf_quic_crypto_new();
	static char line[32768];
	char *arg[8];

	while (crypto && fgets(line, sizeof(line), stdin)) {
		unsigned cnt = 0;

		for (char *w = strtok(line, " \r\n"); w && cnt < 7; w = strtok(NULL, " \r\n"))
			arg[cnt++] = w;
		if (cnt == 7 && !strcmp(arg[0], "seal"))
			seal(crypto, arg);
		else if (cnt == 4 && !strcmp(arg[0], "open"))
			open_packet(crypto, arg);
		else
			return 1;
	}
	mf_quic_crypto_free(crypto);
	return 0;
}
