/* SPDX-License-Identifier: Apache-2.0 */
/* nat_redirect.c - redirects of flows, one copy of each; see nat_internal.h */
#include <stdio.h>
#include <stdlib.h>

#include "core/packet/nat_internal.h"

/* Number of a redirect that is already there, or 0. */
static uint32_t find(const struct mf_nat *nat, const struct mf_nat_redirect *r, uint64_t hash,
		     size_t host_len, size_t sni_len)
{
	uint16_t i = nat->redirect_buckets[hash & nat->redirect_mask];

	for (; i; i = nat->redirects[i]->next) {
		const struct redirect *o = nat->redirects[i];

		if (o->hash == hash && o->host_len == host_len && o->sni_len == sni_len &&
		    o->port == r->port && o->tls_mode == r->tls_mode &&
		    o->on_failure == r->on_failure && memcmp(o->text, r->host, host_len) == 0 &&
		    memcmp(o->text + host_len, r->sni, sni_len) == 0)
			return i;
	}
	return 0;
}

static uint64_t hash_redirect(const struct mf_nat *nat, const struct mf_nat_redirect *r,
			      size_t host_len, size_t sni_len)
{
	uint64_t h = mf_hash_bytes(r->host, host_len, nat->seed);

	h = mf_hash_bytes(r->sni, sni_len, h);
	return mf_hash_u64((uint64_t)r->port << 16 | (uint64_t)r->tls_mode << 8 | r->on_failure, h);
}

int mf_nat_redirect_ref(struct mf_nat *nat, const struct mf_nat_redirect *r, uint32_t *ret)
{
	size_t host_len, sni_len;
	struct redirect *o;
	uint64_t hash;
	uint32_t i;

	*ret = 0;
	if (!r || (!r->host[0] && !r->sni[0]))
		return 0;
	host_len = strnlen(r->host, sizeof(r->host));
	sni_len = strnlen(r->sni, sizeof(r->sni));
	if (host_len == sizeof(r->host) || sni_len == sizeof(r->sni))
		return MF_E_INVAL;
	hash = hash_redirect(nat, r, host_len, sni_len);
	i = find(nat, r, hash, host_len, sni_len);
	if (i) {
		nat->redirects[i]->refs++;
		*ret = i;
		return 0;
	}
	if (nat->redirect_cnt == nat->redirects_max)
		return MF_E_FULL;
	o = malloc(sizeof(*o) + host_len + sni_len);
	if (!o)
		return MF_E_NOMEM;
	i = nat->redirect_free_cnt ? nat->redirect_free[--nat->redirect_free_cnt]
				   : ++nat->redirects_used;
	*o = (struct redirect){ .hash = hash,
				.refs = 1,
				.next = nat->redirect_buckets[hash & nat->redirect_mask],
				.port = r->port,
				.tls_mode = r->tls_mode,
				.on_failure = r->on_failure,
				.host_len = (uint8_t)host_len,
				.sni_len = (uint8_t)sni_len };
	memcpy(o->text, r->host, host_len);
	memcpy(o->text + host_len, r->sni, sni_len);
	nat->redirects[i] = o;
	nat->redirect_buckets[hash & nat->redirect_mask] = (uint16_t)i;
	nat->redirect_cnt++;
	*ret = i;
	return 0;
}

void mf_nat_redirect_unref(struct mf_nat *nat, uint32_t number)
{
	struct redirect *o;
	uint16_t *at;

	if (!number)
		return;
	o = nat->redirects[number];
	if (--o->refs)
		return;
	for (at = &nat->redirect_buckets[o->hash & nat->redirect_mask]; *at != number;)
		at = &nat->redirects[*at]->next;
	*at = o->next;
	nat->redirects[number] = NULL;
	nat->redirect_free[nat->redirect_free_cnt++] = (uint16_t)number;
	nat->redirect_cnt--;
	free(o);
}

void mf_nat_redirect_copy(const struct mf_nat *nat, uint32_t number, struct mf_nat_redirect *ret)
{
	const struct redirect *o = number ? nat->redirects[number] : NULL;

	memset(ret, 0, sizeof(*ret));
	if (!o)
		return;
	memcpy(ret->host, o->text, o->host_len);
	memcpy(ret->sni, o->text + o->host_len, o->sni_len);
	ret->port = o->port;
	ret->tls_mode = o->tls_mode;
	ret->on_failure = o->on_failure;
}
