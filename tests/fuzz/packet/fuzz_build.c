/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_build.c - whatever frame or packet is refused, the answer is well-formed, goes back to its sender, has right
 * checksums, fits its buffer, and is itself answered by nothing
 *
 * Input: link 1, room 2, code 1; then the packet.
 */
#include "core/packet/build.h"
#include "fuzz_view.h"

static void check_answer(const struct mf_view *v, const uint8_t *buf, size_t len,
			 enum mf_view_link link)
{
	struct mf_flow back = mf_flow_reverse(&v->flow);
	uint8_t again[MF_BUILD_ANSWER_MAX];
	struct mf_view a;
	size_t n;

	mf_view_init(&a, mf_span_of(buf, len), link, 0, NULL);
	MF_MUST(mf_view_parse(&a, MF_VIEW_TRANSPORT) == 0);
	MF_MUST(a.end == len && memcmp(a.flow.src, back.src, 32) == 0);
	MF_MUST(mf_csum_verify_ip4(&a) != MF_CSUM_BAD && mf_csum_verify(&a) == MF_CSUM_GOOD);
	MF_MUST(mf_build_tcp_reset(&a, again, sizeof(again), &n) == MF_E_NOT_MINE);
	if (a.flow.proto != MF_PROTO_TCP)
		MF_MUST(mf_build_unreachable(&a, 0, again, sizeof(again), &n) == MF_E_NOT_MINE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mf_view_link link = size && data[0] % 2 ? MF_VIEW_IP : MF_VIEW_ETHERNET;
	struct mf_view v;
	size_t room, len = 0;
	uint8_t *buf;
	int r;

	if (size < 4)
		return 0;
	room = mf_load_be16(data + 1) % (MF_BUILD_ANSWER_MAX + 1);
	mf_view_init(&v, mf_span_of(data + 4, size - 4), link, 0, NULL);
	if (mf_view_parse(&v, MF_VIEW_TRANSPORT))
		return 0;
	buf = malloc(room ? room : 1);
	if (!buf)
		return 0;
	for (int what = 0; what < 3; what++) {
		r = what == 0	? mf_build_tcp_reset(&v, buf, room, &len)
		    : what == 1 ? mf_build_unreachable(&v, data[3], buf, room, &len)
				: mf_build_too_big(&v, mf_load_be16(data + 1), buf, room, &len);
		MF_MUST(r == 0 || r == MF_E_NOT_MINE || r == MF_E_FULL);
		MF_MUST(r || len <= room);
		MF_MUST(r != MF_E_FULL || room < MF_BUILD_ANSWER_MAX);
		if (!r)
			check_answer(&v, buf, len, link);
	}
	free(buf);
	return 0;
}
