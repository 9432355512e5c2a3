/* SPDX-License-Identifier: Apache-2.0 */
/* nat_new.c - making and ending a NAT table; see nat_internal.h */
#include <inttypes.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/pages.h"
#include "core/packet/nat_internal.h"

#define ENTRIES_DEFAULT 65536u
#define ENTRIES_MOST \
	(1u << 24) /* nodes must fit into 31 bits beside the sentinel; 2 GiB of entries */
#define REDIRECTS_MOST	 65535u /* a control word holds 16 bits of them */
#define TIME_LEAST	 MF_NS_PER_S
#define TIME_MOST	 (7 * 24 * 3600 * MF_NS_PER_S) /* ticks wrap after 52 days */
#define PID_BUCKETS_MOST 65536u

static uint32_t round_up_pow2(uint32_t v)
{
	uint32_t p = 1;

	while (p < v)
		p *= 2;
	return p;
}

static int read_time(int32_t *ret_ticks, uint64_t ns, uint64_t standard, const char *name,
		     struct mf_err *err)
{
	if (!ns)
		ns = standard;
	if (ns < TIME_LEAST || ns > TIME_MOST)
		return mf_err_set(err, MF_E_INVAL,
				  "NAT option %s: %" PRIu64 " ns is not within 1 s and 7 days",
				  name, ns);
	*ret_ticks = (int32_t)((ns + (1u << TICK_SHIFT) - 1) >> TICK_SHIFT);
	return 0;
}

static int read_times(struct mf_nat *nat, const struct mf_nat_options *o, struct mf_err *err)
{
	int32_t(*ttl)[2] = nat->ttl;
	int r = read_time(&ttl[MF_NAT_NEW][1], o->tcp_new_ns, 300 * MF_NS_PER_S, "tcp_new_ns", err);

	if (!r)
		r = read_time(&ttl[MF_NAT_ESTABLISHED][1], o->tcp_idle_ns, 7200 * MF_NS_PER_S,
			      "tcp_idle_ns", err);
	if (!r)
		r = read_time(&ttl[MF_NAT_NEW][0], o->udp_idle_ns, 60 * MF_NS_PER_S, "udp_idle_ns",
			      err);
	if (!r)
		r = read_time(&ttl[MF_NAT_CLOSING][0], o->linger_ns, 120 * MF_NS_PER_S, "linger_ns",
			      err);
	ttl[MF_NAT_ESTABLISHED][0] = ttl[MF_NAT_NEW][0];
	ttl[MF_NAT_CLOSING][1] = ttl[MF_NAT_CLOSING][0];
	return r;
}

static int read_options(struct mf_nat *nat, const struct mf_nat_options *o, struct mf_err *err)
{
	static const struct mf_nat_options standard = { .size = sizeof(standard) };

	if (!o)
		o = &standard;
	if (o->size != sizeof(*o))
		return mf_err_set(err, MF_E_INVAL, "NAT options of another size");
	nat->limit = o->entries_max ? o->entries_max : ENTRIES_DEFAULT;
	if (nat->limit > ENTRIES_MOST)
		return mf_err_set(err, MF_E_INVAL, "NAT option entries_max: %u is over %u",
				  nat->limit, ENTRIES_MOST);
	nat->redirects_max = o->redirects_max ? o->redirects_max : REDIRECTS_MOST;
	if (nat->redirects_max > REDIRECTS_MOST)
		return mf_err_set(err, MF_E_INVAL, "NAT option redirects_max: %u is over %u",
				  nat->redirects_max, REDIRECTS_MOST);
	return read_times(nat, o, err);
}

static bool alloc_tables(struct mf_nat *nat)
{
	// Two nodes an entry; at most three quarters of the slots are used.
	uint32_t buckets =
		round_up_pow2((uint32_t)((uint64_t)nat->limit * 2 * 4 / 3 / SLOTS_PER_BUCKET) + 1);
	uint32_t pids =
		round_up_pow2(nat->limit < PID_BUCKETS_MOST ? nat->limit : PID_BUCKETS_MOST);
	uint32_t redirects = round_up_pow2(nat->redirects_max);

	nat->bucket_mask = buckets - 1;
	nat->pid_mask = pids - 1;
	nat->redirect_mask = redirects - 1;
	nat->entries = mf_pages_alloc(nat->limit, sizeof(*nat->entries), &nat->entries_mem);
	nat->buckets = mf_pages_alloc(buckets, sizeof(*nat->buckets), &nat->buckets_mem);
	nat->pids = calloc(nat->limit, sizeof(*nat->pids));
	nat->pid_buckets = calloc(pids, sizeof(*nat->pid_buckets));
	nat->redirects = calloc(nat->redirects_max + 1, sizeof(struct redirect *));
	nat->redirect_buckets = calloc(redirects, sizeof(*nat->redirect_buckets));
	nat->redirect_free = calloc(nat->redirects_max, sizeof(*nat->redirect_free));
	return nat->entries && nat->buckets && nat->pids && nat->pid_buckets && nat->redirects &&
	       nat->redirect_buckets && nat->redirect_free;
}

static void free_tables(struct mf_nat *nat)
{
	for (uint32_t i = 1; nat->redirects && i <= nat->redirects_used; i++)
		free(nat->redirects[i]);
	free(nat->entries_mem);
	free(nat->buckets_mem);
	free(nat->pids);
	free(nat->pid_buckets);
	free(nat->redirects);
	free(nat->redirect_buckets);
	free(nat->redirect_free);
	free(nat->mem);
}

int mf_nat_new(const struct mf_nat_options *options, struct mf_nat **ret_nat, struct mf_err *err)
{
	void *mem;
	struct mf_nat *nat = mf_pages_alloc(1, sizeof(*nat), &mem);
	int r;

	if (!nat)
		return mf_err_set(err, MF_E_NOMEM, "out of memory for a NAT table");
	nat->mem = mem;
	r = read_options(nat, options, err);
	if (!r && !alloc_tables(nat))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory for %u NAT entries", nat->limit);
	if (!r && pthread_mutex_init(&nat->mutex, NULL))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory for a NAT table");
	if (r) {
		free_tables(nat);
		return r;
	}
	for (uint32_t i = 0; i < WHEEL_SLOTS; i++)
		nat->wheel[i] = (struct links){ SENTINEL | i, SENTINEL | i };
	for (uint32_t i = 0; i < MF_NAT_STATE_NUM; i++)
		nat->states[i] = (struct links){ SENTINEL | i, SENTINEL | i };
	atomic_store(&nat->changed, 1);
	nat->seed = mf_hash_seed();
	*ret_nat = nat;
	return 0;
}

void mf_nat_free(struct mf_nat *nat)
{
	if (!nat)
		return;
	pthread_mutex_destroy(&nat->mutex);
	free_tables(nat);
}

size_t mf_nat_bytes(const struct mf_nat *nat)
{
	return (size_t)nat->limit * (sizeof(struct entry) + sizeof(struct pid_node)) +
	       ((size_t)nat->bucket_mask + 1) * sizeof(struct bucket);
}
