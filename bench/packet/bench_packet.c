/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_packet.c - what a packet costs in memory, on one core: read, looked up, rewritten, checksums kept
 *
 *	bench_packet [--json] [--seconds N]
 *
 * Packets are 64 bytes of IPv4 and TCP (20 + 20 + 24): for each flow one from the program, and one answer from the proxy.
 * They are taken in random order and in bursts of 32: copied into a burst's buffers, as a capture would deliver them, read,
 * looked up, and rewritten there (to the proxy, or back to what the program expects). Each figure is the median of several
 * repetitions. Rates are per second of processor time of the one thread, so that other work on the machine does not count.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/bench.h"
#include "core/packet/build.h"
#include "core/packet/nat.h"
#include "core/packet/rewrite.h"

#define FLOWS	 65536u
#define MILLION	 1000000u
#define PKT	 64u
#define BURST	 32u
#define REPS_MAX 15

static struct bench_report rows = { .name_width = 28, .value_width = 14, .decimals = 1 };
static double seconds = 0.25; /* of one repetition */

static uint64_t random_state = BENCH_RANDOM_SEED;

/* Flow number @n, as a program sends it. */
static struct mf_flow flow_of(uint32_t n)
{
	struct mf_flow f = { .proto = MF_PROTO_TCP, .family = 4, .dst_port = 443 };
	uint8_t src[4] = { 10, (uint8_t)(n >> 16), 0, 2 };
	uint8_t dst[4] = { 203, (uint8_t)(n * 7 >> 8), (uint8_t)n, 9 };

	memcpy(f.src, src, 4);
	memcpy(f.dst, dst, 4);
	f.src_port = (uint16_t)n;
	return f;
}

/* The loopback pair that the proxy sees. */
static struct mf_flow proxy_of(const struct mf_flow *f)
{
	struct mf_flow t = *f;
	uint8_t local[4] = { 127, f->src[1], 0, 1 };

	memcpy(t.src, local, 4);
	memcpy(t.dst, local, 4);
	t.dst_port = 9080;
	return t;
}

static struct mf_nat *new_nat(uint32_t flows)
{
	struct mf_nat_options o = { .size = sizeof(o), .entries_max = flows };
	struct mf_nat *nat;

	if (mf_nat_new(&o, &nat, NULL))
		bench_die("bench_packet", "no table");
	for (uint32_t i = 0; i < flows; i++) {
		struct mf_flow f = flow_of(i);
		struct mf_nat_insert in = {
			.flow = f, .to = proxy_of(&f), .isn = i, .pid = 1 + i % 64
		};

		if (mf_nat_insert(nat, &in, 0))
			bench_die("bench_packet", "cannot insert");
	}
	return nat;
}

static void build(const struct mf_flow *f, uint8_t *pkt)
{
	struct mf_tcp_fields tcp = { .seq = 1, .ack = 1, .window = 64240, .flags = MF_TCP_ACK };
	const uint8_t payload[PKT - 40] = "GET / HTTP/1.1";
	size_t len;

	if (mf_build_tcp(f, &tcp, mf_span_of(payload, sizeof(payload)), pkt, PKT, &len) ||
	    len != PKT)
		bench_die("bench_packet", "cannot build");
}

/* Packet 2 * n is flow n's, 2 * n + 1 its answer. */
static uint8_t *new_packets(uint32_t flows)
{
	uint8_t *all = aligned_alloc(64, (size_t)flows * 2 * PKT);

	if (!all)
		bench_die("bench_packet", "no memory");
	for (uint32_t i = 0; i < flows; i++) {
		struct mf_flow f = flow_of(i), t = proxy_of(&f), back = mf_flow_reverse(&t);

		build(&f, all + (size_t)i * 2 * PKT);
		build(&back, all + ((size_t)i * 2 + 1) * PKT);
	}
	return all;
}

static uint32_t *new_order(uint32_t flows)
{
	uint32_t *order = malloc(flows * sizeof(*order));

	if (!order)
		bench_die("bench_packet", "no memory");
	for (uint32_t i = 0; i < flows; i++)
		order[i] = i;
	for (uint32_t i = flows - 1; i; i--) {
		uint32_t j = bench_random32(&random_state) % (i + 1), t = order[i];

		order[i] = order[j];
		order[j] = t;
	}
	return order;
}

struct data_path {
	struct mf_nat *nat;
	const uint8_t *packets;
	const uint32_t *order;
	uint32_t cnt;
	bool verify; /* check both checksums of every packet as it comes in, too */
};

/* One burst the whole way: view, look-up, rewrite with checksums. */
static void run_burst(const struct data_path *p, uint32_t at, uint64_t now)
{
	static uint8_t buf[BURST][PKT] __attribute__((aligned(64)));
	struct mf_view v[BURST];
	struct mf_nat_ask asks[BURST];
	struct mf_nat_hit hits[BURST];

	for (unsigned i = 0; i < BURST; i++) {
		if (at + 2 * BURST < p->cnt)
			__builtin_prefetch(p->packets + (size_t)p->order[at + BURST + i] * PKT);
		memcpy(buf[i], p->packets + (size_t)p->order[at + i] * PKT, PKT);
	}
	for (unsigned i = 0; i < BURST; i++) {
		mf_view_init(&v[i], mf_span_of(buf[i], PKT), MF_VIEW_IP, 0, NULL);
		if (mf_view_parse(&v[i], MF_VIEW_TRANSPORT))
			bench_die("bench_packet", "packet not read");
		if (p->verify && (mf_csum_verify_ip4(&v[i]) || mf_csum_verify(&v[i])))
			bench_die("bench_packet", "checksum broken");
		asks[i] = mf_nat_ask_view(&v[i]);
	}
	if (mf_nat_lookup_burst(p->nat, asks, BURST, now, hits) != (UINT64_C(1) << BURST) - 1)
		bench_die("bench_packet", "entry not found");
	for (unsigned i = 0; i < BURST; i++)
		if (mf_rewrite_flow(&v[i], buf[i], &hits[i].to, MF_CSUM_FULL))
			bench_die("bench_packet", "not rewritten");
	// Once a burst, outside of what is measured by much: rewritten packets are right.
	if (mf_view_parse(&v[at % BURST], MF_VIEW_TRANSPORT) || mf_csum_verify(&v[at % BURST]))
		bench_die("bench_packet", "checksum broken by rewriting");
}

/* Packets per second of whole turns over all packets, until the time is over. */
static double run_path(const struct data_path *p)
{
	uint64_t begin = bench_cpu_ns(), end = begin + (uint64_t)(seconds * 1e9), cnt = 0, t;

	do {
		for (uint32_t at = 0; at + BURST <= p->cnt; at += BURST, cnt += BURST)
			run_burst(p, at, 1000000000u + cnt);
		t = bench_cpu_ns();
	} while (t < end);
	return (double)cnt * 1e9 / (double)(t - begin);
}

static void bench_path(const char *name, const char *text, uint32_t flows, bool verify,
		       unsigned reps)
{
	struct mf_nat *nat = new_nat(flows);
	uint8_t *packets = new_packets(flows);
	uint32_t *order = new_order(flows * 2);
	struct data_path p = { nat, packets, order, flows * 2, verify };
	double v[REPS_MAX];

	run_path(&p);
	for (unsigned i = 0; i < reps; i++)
		v[i] = run_path(&p) / 1e6;
	bench_row(&rows, name, bench_median(v, reps), "Mpkt/s", text);
	free(order);
	free(packets);
	mf_nat_free(nat);
}

/* Resident kilobytes of this process. */
static size_t resident(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long total = 0, pages = 0;

	if (!f || fscanf(f, "%lu %lu", &total, &pages) != 2)
		bench_die("bench_packet", "no /proc/self/statm");
	fclose(f);
	return (size_t)pages * 4096;
}

static double run_lookups(struct mf_nat *nat, const uint32_t *order, uint32_t flows, bool burst)
{
	struct mf_nat_ask asks[BURST];
	struct mf_nat_hit hits[BURST];
	uint64_t begin = bench_cpu_ns(), end = begin + (uint64_t)(seconds * 1e9), cnt = 0, t;

	memset(asks, 0, sizeof(asks));
	do {
		for (uint32_t at = 0; at + BURST <= flows; at += BURST, cnt += BURST) {
			for (unsigned i = 0; i < BURST; i++)
				asks[i].flow = flow_of(order[at + i]);
			if (burst)
				mf_nat_lookup_burst(nat, asks, BURST, 2000000000u, hits);
			else
				for (unsigned i = 0; i < BURST; i++)
					mf_nat_lookup(nat, &asks[i], 2000000000u, &hits[i]);
		}
		t = bench_cpu_ns();
	} while (t < end);
	return (double)cnt * 1e9 / (double)(t - begin);
}

static void bench_million_lookups(struct mf_nat *nat, unsigned reps)
{
	uint32_t *order = new_order(MILLION);
	double v[REPS_MAX];

	for (int burst = 0; burst < 2; burst++) {
		for (unsigned i = 0; i < reps; i++)
			v[i] = run_lookups(nat, order, MILLION, burst) / 1e6;
		bench_row(&rows, burst ? "nat_1m_lookups_burst" : "nat_1m_lookups",
			  bench_median(v, reps), "M/s",
			  burst ? "1,000,000 entries, random order, bursts of 32"
				: "1,000,000 entries, random order, one at a time");
	}
	free(order);
}

/* The longest that a packet of a full table waits for anything while a million entries expire. */
static void bench_million_expiry(struct mf_nat *nat)
{
	uint64_t now = UINT64_C(400) * 1000000000u, begin = bench_cpu_ns(), worst_call = 0,
		 worst_packet = 0;
	struct mf_flow f = flow_of(0);
	struct mf_nat_hit hit;
	uint32_t extra = 0;
	unsigned used;

	do {
		uint64_t t0 = bench_cpu_ns(), t1, t2;
		struct mf_nat_ask ask = { .flow = flow_of(bench_random32(&random_state) %
							  MILLION) };
		struct mf_nat_insert in = { .flow = f, .isn = 7 };

		used = mf_nat_expire(nat, now, 1000);
		t1 = bench_cpu_ns();
		in.flow.src[2] = (uint8_t)(1 + extra % 250);
		in.flow.src_port = (uint16_t)(extra++ / 250);
		mf_nat_lookup(nat, &ask, now, &hit);
		mf_nat_insert(nat, &in, now);
		t2 = bench_cpu_ns();
		if (t1 - t0 > worst_call)
			worst_call = t1 - t0;
		if (t2 - t1 > worst_packet)
			worst_packet = t2 - t1;
	} while (used == 1000);
	bench_row(&rows, "nat_1m_expire_all", (double)(bench_cpu_ns() - begin) / 1e6, "ms",
		  "1,000,000 entries expire, budget 1,000 steps a call");
	bench_row(&rows, "nat_1m_expire_call_max", (double)worst_call / 1e3, "us",
		  "longest call of mf_nat_expire(), processor time");
	bench_row(&rows, "nat_1m_expire_packet_max", (double)worst_packet / 1e3, "us",
		  "longest look-up and insertion between two calls, processor time");
}

static void bench_million(unsigned reps)
{
	size_t before = resident();
	uint64_t begin = bench_cpu_ns();
	struct mf_nat *nat = new_nat(MILLION);
	double took = (double)(bench_cpu_ns() - begin);

	bench_row(&rows, "nat_1m_bytes_per_entry", (double)(resident() - before) / MILLION, "bytes",
		  "resident memory of 1,000,000 entries, both directions indexed");
	bench_row(&rows, "nat_1m_inserts", MILLION * 1e3 / took, "M/s",
		  "filling the table, memory touched the first time");
	bench_million_lookups(nat, reps);
	bench_million_expiry(nat);
	mf_nat_free(nat);
}

static volatile uint64_t sink;

static void bench_checksum(const char *name, size_t len, unsigned reps)
{
	uint8_t *buf = malloc(65536);
	double v[REPS_MAX];
	char text[64];

	if (!buf)
		bench_die("bench_packet", "no memory");
	for (size_t i = 0; i < 65536; i++)
		buf[i] = (uint8_t)bench_random32(&random_state);
	for (unsigned i = 0; i < reps; i++) {
		uint64_t begin = bench_cpu_ns(), end = begin + (uint64_t)(seconds * 4e8), cnt = 0,
			 t, sum = 0;

		do {
			for (int k = 0; k < 1000; k++, cnt++)
				sum += mf_csum_fold(mf_csum_add(sum & 0xffff, buf, len));
			t = bench_cpu_ns();
		} while (t < end);
		sink = sum;
		v[i] = (double)cnt * (double)len / (double)(t - begin);
	}
	snprintf(text, sizeof(text), "full checksum, %zu bytes", len);
	bench_row(&rows, name, bench_median(v, reps), "GB/s", text);
	free(buf);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			rows.json = true;
		else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			bench_die("bench_packet",
				  "usage: bench_packet [--json] [--seconds PER_REPETITION]");
	}
	bench_begin(&rows);
	bench_path("packet_path",
		   "view, NAT hit, rewrite, incremental checksums; 64-byte TCP, 65,536 flows",
		   FLOWS, false, 9);
	bench_path("packet_path_verified",
		   "the same, and both checksums of each packet verified first", FLOWS, true, 9);
	bench_path("packet_path_1k_flows", "as packet_path with 1,024 flows (all in cache)", 1024,
		   false, 5);
	bench_path("packet_path_1m_flows", "as packet_path with 1,000,000 flows", MILLION, false,
		   5);
	bench_checksum("checksum_64", 64, 5);
	bench_checksum("checksum_1500", 1500, 5);
	bench_checksum("checksum_64k", 65536, 5);
	bench_million(5);
	bench_end(&rows);
	return 0;
}
