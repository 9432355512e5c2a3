/* SPDX-License-Identifier: Apache-2.0 */
/* pf_natlook.c - questions to the kernel's table of redirected flows, and its answers; see pf.h */
#include <string.h>

#include "capture/pf.h"
#include "core/base/bytes.h"

static bool is_link_local(const struct mf_addr *a)
{
	return a->family == 6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* The kernel keeps the interface of a link-local address in its third and fourth byte. */
static void put_addr(uint8_t out[16], const struct mf_addr *a, uint32_t scope)
{
	memset(out, 0, 16);
	memcpy(out, a->bytes, a->family == 4 ? 4 : 16);
	if (scope && is_link_local(a))
		mf_store_be16(out + 2, (uint16_t)scope);
}

bool mf_pf_natlook_fill(struct mf_pf_natlook *nl, const struct mf_pf_question *q, unsigned attempt)
{
	uint8_t family = q->peer.addr.family;
	bool scoped = attempt >= 2;

	if ((family != 4 && family != 6) || q->local.addr.family != family || q->peer.port == 0 ||
	    q->local.port == 0 || (q->proto != MF_TCP && q->proto != MF_UDP) || attempt > 3)
		return false;
	if (scoped && (q->scope == 0 || q->scope > UINT16_MAX ||
		       (!is_link_local(&q->peer.addr) && !is_link_local(&q->local.addr))))
		return false;
	memset(nl, 0, sizeof(*nl));
	put_addr(nl->saddr, &q->peer.addr, scoped ? q->scope : 0);
	put_addr(nl->daddr, &q->local.addr, scoped ? q->scope : 0);
	mf_store_be16(nl->sxport, q->peer.port);
	mf_store_be16(nl->dxport, q->local.port);
	nl->af = family == 4 ? MF_PF_ABI_AF_INET : MF_PF_ABI_AF_INET6;
	nl->proto = q->proto == MF_TCP ? 6 : 17;
	nl->direction = attempt & 1 ? MF_PF_ABI_IN : MF_PF_ABI_OUT;
	return true;
}

int mf_pf_natlook_read(const struct mf_pf_natlook *nl, struct mf_endpoint *ret)
{
	static const uint8_t zero[16];
	struct mf_endpoint ep = { .port = mf_load_be16(nl->rdxport) };
	uint8_t bytes[16];

	memcpy(bytes, nl->rdaddr, sizeof(bytes));
	if (nl->af == MF_PF_ABI_AF_INET) {
		mf_addr_from_bytes(&ep.addr, bytes, 4);
	} else if (nl->af == MF_PF_ABI_AF_INET6) {
		struct mf_addr raw = { .family = 6 };

		memcpy(raw.bytes, bytes, sizeof(bytes));
		if (is_link_local(&raw) || (bytes[0] == 0xff && (bytes[1] & 0x0f) == 2))
			bytes[2] = bytes[3] = 0;
		mf_addr_from_bytes(&ep.addr, bytes, 16);
	} else {
		return MF_E_BAD;
	}
	if (ep.port == 0 || memcmp(ep.addr.bytes, zero, sizeof(zero)) == 0)
		return MF_E_BAD;
	*ret = ep;
	return 0;
}
