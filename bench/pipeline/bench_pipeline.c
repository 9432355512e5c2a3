/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_pipeline.c - packets per second through the whole pipeline, on one core
 *
 *	bench_pipeline [--json] [--seconds N] [--only ROW] [--turns N]
 *
 * A ring in memory delivers batches of 64 packets of 64 bytes of IPv4 and TCP, copied into the batch's buffers with 128
 * bytes of struct mf_packet each, as a capture would. In random order
 *
 *	70 %	have an entry in the NAT table: of 4,096 flows one packet from the program, one from the listener
 *	20 %	are not of the session: of 2,048 flows of other processes
 *	10 %	begin a flow: an event says which process connects, a VM judges (request filled, mf_decide(), the bench's policy
 *		of bench/decide), the table remembers, the packet is rewritten
 *
 * New flows come from a circle that is larger than the table (65,536 entries, the default): it is always full, and each new
 * flow evicts an old one. One more row has 65,536, 16,384 and 196,608 of all these. Rates are per second of processor time
 * of the one thread; each is the median of several repetitions. The rows of one kind alone say what a packet of that kind
 * costs.
 *
 * --turns measures a number of turns (of 64 packets) instead of a time, once, for tools that count instructions: see
 * measured(), whose instructions less those of bench_receive() are the pipeline's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <moonfence/moonfence.h>

#include "bench/bench.h"
#include "capture/pipeline.h"
#include "core/base/prefetch.h"
#include "core/packet/build.h"

#define FRESH	 262144u    /* flows that begin, in a circle */
#define HOSTS	 256u	    /* servers that new flows go to */
#define ORDER	 (1u << 20) /* length of the random sequence of packets */
#define PKT	 64u
#define AHEAD	 64u
#define REPS_MAX 15
#define SESSION	 500u
#define STRANGER 600u

enum kind { HIT, FOREIGN_PACKET, NEW_FLOW };

/* How many flows there are. */
struct size {
	uint32_t hits;	  /* with an entry: two packets each */
	uint32_t foreign; /* of others */
	uint32_t entries; /* of the NAT table */
};

static const struct size small = { 4096, 2048, 65536 }, large = { 65536, 16384, 196608 };

struct bench {
	struct size size;
	struct mf_pipeline *pipeline;
	struct mf_nat *nat;
	uint64_t now;
	uint32_t *order; /* kind 2 bits, packet 30 bits */
	uint32_t at, mask, fresh;
	uint8_t *hits, *foreign, *fresh_packets;
	uint8_t buffers[MF_BACKEND_BATCH_MAX][PKT] __attribute__((aligned(64)));
	struct mf_flow_event events[MF_BACKEND_BATCH_MAX];
	unsigned event_cnt, event_at;
	uint64_t sent;

	struct mf_runtime *runtime;
	struct mf_vm *vm;
	struct mf_request *request;
	struct mf_decision decision;
	char names[HOSTS][32];
};

static struct bench_report rows = { .name_width = 20, .value_width = 8, .decimals = 2 };
static double seconds = 0.25; /* of one repetition */
static unsigned long turns;   /* instead, if not 0 */
static const char *only;      /* the one row to measure, NULL for all */

static uint64_t random_state = BENCH_RANDOM_SEED;

static void must(int r, const struct mf_err *err)
{
	if (r)
		bench_die("bench_pipeline", err->msg[0] ? err->msg : mf_strerror(r));
}

/* ---- flows and packets ---- */

/* Flow @n of network 10.@net/16. */
static struct mf_flow flow_of(uint8_t net, uint32_t n)
{
	struct mf_flow f = { .proto = MF_PROTO_TCP, .family = 4, .dst_port = 443 };
	uint8_t src[4] = { 10, net, (uint8_t)(n >> 16), 2 };
	uint8_t dst[4] = { 198, 51, (uint8_t)(100 + (n % HOSTS >> 8)), (uint8_t)n };

	memcpy(f.src, src, 4);
	memcpy(f.dst, dst, 4);
	f.src_port = (uint16_t)n;
	return f;
}

static void build(const struct mf_flow *f, uint8_t flags, uint8_t *pkt)
{
	struct mf_tcp_fields tcp = { .seq = 1, .ack = 1, .window = 64240, .flags = flags };
	const uint8_t payload[PKT - 40] = "GET / HTTP/1.1";
	size_t len;

	if (mf_build_tcp(f, &tcp, mf_span_of(payload, sizeof(payload)), pkt, PKT, &len) ||
	    len != PKT)
		bench_die("bench_pipeline", "cannot build");
}

static uint8_t *new_packets(uint32_t cnt)
{
	uint8_t *p = aligned_alloc(64, (size_t)cnt * PKT);

	if (!p)
		bench_die("bench_pipeline", "no memory");
	return p;
}

/* ---- the backend ---- */

static void next_packet(struct bench *b, struct mf_packet *p, uint8_t *buffer)
{
	uint32_t what = b->order[b->at++ & b->mask], n = what & 0x3fffffff;
	enum kind kind = (enum kind)(what >> 30);

	mf_bytes_zero(p, sizeof(*p));
	p->ptr = buffer;
	p->len = PKT;
	p->interface = 5;
	p->flags = MF_PACKET_OUTBOUND;
	if (kind == HIT) {
		memcpy(buffer, b->hits + (size_t)n * PKT, PKT);
	} else if (kind == FOREIGN_PACKET) {
		memcpy(buffer, b->foreign + (size_t)n * PKT, PKT);
	} else {
		uint32_t i = b->fresh++;

		memcpy(buffer, b->fresh_packets + (size_t)(i % FRESH) * PKT, PKT);
		// Another sequence number each time round: it is another connection.
		mf_store_be32(buffer + 24, i);
		b->events[b->event_cnt++] = (struct mf_flow_event){ .kind = MF_FLOW_EVENT_CONNECT,
								    .flow = flow_of(3, i % FRESH),
								    .pid = SESSION };
	}
}

/* The packet that comes @n packets from now. */
static void fetch(const struct bench *b, uint32_t n)
{
	uint32_t what = b->order[(b->at + n) & b->mask], packet = what & 0x3fffffff;

	if (what >> 30 == HIT)
		mf_prefetch_read(b->hits + (size_t)packet * PKT);
	else if (what >> 30 == FOREIGN_PACKET)
		mf_prefetch_read(b->foreign + (size_t)packet * PKT);
}

static int bench_receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	struct bench *b = ctx;

	b->event_cnt = b->event_at = 0;
	// A device writes packets into memory by itself; fetching the random ones here would be the bench's own cost, so they
	// are fetched a batch ahead.
	for (unsigned i = 0; i < max; i++) {
		fetch(b, AHEAD);
		next_packet(b, &packets[i], b->buffers[i]);
	}
	return (int)max;
}

static int bench_send(void *ctx, struct mf_packet *const *packets, unsigned cnt)
{
	struct bench *b = ctx;

	(void)packets;
	b->sent += cnt;
	return (int)cnt;
}

static int bench_next_event(void *ctx, struct mf_flow_event *ret)
{
	struct bench *b = ctx;

	if (b->event_at == b->event_cnt)
		return 0;
	*ret = b->events[b->event_at++];
	return 1;
}

/* ---- policy ---- */

static int bench_decide(void *ctx, const struct mf_flow_question *q, struct mf_flow_verdict *ret)
{
	struct bench *b = ctx;
	struct mf_request *r = b->request;
	uint32_t host = (uint32_t)(q->flow->dst[2] - 100) << 8 | q->flow->dst[3];
	const char *name = b->names[host];
	size_t len = strlen(name);

	mf_request_reset(r, MF_CONNECT);
	mf_request_set_str(r, MF_F_SOURCE, "session", 7);
	mf_request_set_str(r, MF_F_SESSION_ID, "bench", 5);
	mf_request_set_addr(r, MF_F_IP, q->flow->dst, 4);
	mf_request_set_int(r, MF_F_PORT, q->flow->dst_port);
	mf_request_set_str(r, MF_F_PROTO, "tcp", 3);
	mf_request_set_str(r, MF_F_HOST, name, len);
	mf_request_add_str(r, MF_F_HOSTS, name, len);
	if (mf_decide(b->vm, r, &b->decision) < 0)
		return MF_E_POLICY;
	ret->answer = b->decision.verdict == MF_DENY ? MF_FLOW_DENY : MF_FLOW_PROXY;
	return 0;
}

static void make_policy(struct bench *b)
{
	const char *path = POLICY;
	struct mf_err err = { 0 };

	must(mf_runtime_new(NULL, &b->runtime, &err), &err);
	must(mf_runtime_load(b->runtime, &path, 1, &err), &err);
	must(mf_vm_new(b->runtime, &b->vm, &err), &err);
	b->request = mf_request_new(MF_CONNECT);
	b->decision = (struct mf_decision)MF_DECISION_INIT;
	for (uint32_t i = 0; i < HOSTS; i++)
		snprintf(b->names[i], sizeof(b->names[i]), "www%u.example", i);
}

/* ---- making ---- */

/* The first packet of each flow goes through the pipeline itself, so that the table holds what it holds in life. */
static void establish(struct bench *b)
{
	struct mf_endpoint src, dst;
	struct mf_flow found;

	for (uint32_t i = 0; i < b->size.hits; i++) {
		struct mf_flow f = flow_of(1, i), to = f, back;
		struct mf_nat_insert in = { .flow = f, .pid = SESSION, .isn = 0, .via = { 5, 0 } };
		struct mf_nat_ask ask;
		struct mf_nat_hit hit;

		memcpy(to.src, f.dst, 16);
		memcpy(to.dst, f.src, 16);
		to.dst_port = 9080;
		in.to = to;
		must(mf_nat_insert(b->nat, &in, b->now), &(struct mf_err){ 0 });
		back = mf_flow_reverse(&to);
		ask = (struct mf_nat_ask){ .flow = back, .tcp_flags = MF_TCP_SYN | MF_TCP_ACK };
		if (mf_nat_lookup(b->nat, &ask, b->now, &hit))
			bench_die("bench_pipeline", "no entry");
		ask = (struct mf_nat_ask){ .flow = f, .tcp_flags = MF_TCP_ACK };
		if (mf_nat_lookup(b->nat, &ask, b->now, &hit))
			bench_die("bench_pipeline", "no entry");
		build(&f, MF_TCP_ACK, b->hits + (size_t)i * 2 * PKT);
		build(&back, MF_TCP_ACK, b->hits + ((size_t)i * 2 + 1) * PKT);
		src = mf_flow_src(&to);
		dst = mf_flow_dst(&to);
		if (mf_pipeline_find_flow(b->pipeline, MF_PROTO_TCP, &src, &dst, b->now, &found) ||
		    !mf_flow_eq(&found, &f))
			bench_die("bench_pipeline", "the listener does not find a flow");
	}
}

/* Events tell of the others' flows, a batch a turn, before anything is measured. */
static void introduce_strangers(struct bench *b)
{
	uint32_t i = 0;

	while (i < b->size.foreign) {
		b->event_cnt = b->event_at = 0;
		b->at = 0;
		for (; i < b->size.foreign && b->event_cnt < MF_BACKEND_BATCH_MAX; i++) {
			struct mf_flow f = flow_of(2, i);

			build(&f, MF_TCP_ACK, b->foreign + (size_t)i * PKT);
			b->events[b->event_cnt++] = (struct mf_flow_event){
				.kind = MF_FLOW_EVENT_CONNECT, .flow = f, .pid = STRANGER
			};
		}
		mf_pipeline_run(b->pipeline, b->now);
	}
}

static int receive_nothing(void *ctx, struct mf_packet *packets, unsigned max)
{
	(void)ctx, (void)packets, (void)max;
	return 0;
}

static int (*receive_now)(void *ctx, struct mf_packet *packets, unsigned max) = receive_nothing;

static int receive(void *ctx, struct mf_packet *packets, unsigned max)
{
	return receive_now(ctx, packets, max);
}

static struct bench *bench_new(const struct size *size)
{
	struct bench *b = aligned_alloc(64, (sizeof(*b) + 63) & ~(size_t)63);
	struct mf_nat_options nat = { .size = sizeof(nat), .entries_max = size->entries };
	struct mf_pipeline_options o = { .size = sizeof(o),
					 .scope = MF_SCOPE_PIDS,
					 .tcp_port = 9080,
					 .udp_port = 9080,
					 .dns_port = 5353,
					 .own_pid = 4242 };
	struct mf_backend backend = { .name = "ring",
				      .caps = MF_BACKEND_CAN_PASS | MF_BACKEND_HAS_EVENTS,
				      .receive = receive,
				      .send = bench_send,
				      .next_event = bench_next_event };
	struct mf_pipeline_ops ops = { .decide = bench_decide };
	struct mf_err err = { 0 };

	if (!b)
		bench_die("bench_pipeline", "no memory");
	memset(b, 0, sizeof(*b));
	b->size = *size;
	backend.ctx = ops.ctx = b;
	b->now = 1000000000;
	b->order = malloc(ORDER * sizeof(*b->order));
	b->mask = ORDER - 1;
	b->hits = new_packets(b->size.hits * 2);
	b->foreign = new_packets(b->size.foreign);
	b->fresh_packets = new_packets(FRESH);
	for (uint32_t i = 0; i < FRESH; i++) {
		struct mf_flow f = flow_of(3, i);

		build(&f, MF_TCP_SYN, b->fresh_packets + (size_t)i * PKT);
	}
	make_policy(b);
	must(mf_nat_new(&nat, &b->nat, &err), &err);
	o.nat = b->nat;
	must(mf_pipeline_new(&o, &backend, &ops, &b->pipeline, &err), &err);
	must(mf_pipeline_add_pid(b->pipeline, SESSION), &err);
	introduce_strangers(b);
	establish(b);
	return b;
}

static void bench_free(struct bench *b)
{
	mf_pipeline_free(b->pipeline);
	mf_nat_free(b->nat);
	mf_request_free(b->request);
	mf_vm_free(b->vm);
	mf_runtime_free(b->runtime);
	free(b->order);
	free(b->hits);
	free(b->foreign);
	free(b->fresh_packets);
	free(b);
}

/* ---- measuring ---- */

static void mix(struct bench *b, unsigned hits, unsigned foreign)
{
	for (uint32_t i = 0; i < ORDER; i++) {
		uint32_t r = bench_random32(&random_state) % 100;

		if (r < hits)
			b->order[i] = (uint32_t)HIT << 30 |
				      bench_random32(&random_state) % (b->size.hits * 2);
		else if (r < hits + foreign)
			b->order[i] = (uint32_t)FOREIGN_PACKET << 30 |
				      bench_random32(&random_state) % b->size.foreign;
		else
			b->order[i] = (uint32_t)NEW_FLOW << 30;
	}
}

/* New flows until the NAT table is full: from then on each evicts another one. */
static void fill_table(struct bench *b)
{
	mix(b, 0, 0);
	receive_now = bench_receive;
	while (mf_nat_count(b->nat) < b->size.entries) {
		b->now += 16000;
		mf_pipeline_run(b->pipeline, b->now);
	}
}

/* Some turns; Return: packets. A function of its own, so that profilers can be told to look here alone. */
static __attribute__((noinline)) uint64_t measured(struct bench *b, unsigned long cnt)
{
	for (unsigned long i = 0; i < cnt; i++) {
		b->now += 16000; // 64 packets at four million a second
		mf_pipeline_run(b->pipeline, b->now);
	}
	return (uint64_t)cnt * MF_BACKEND_BATCH_MAX;
}

static double once(struct bench *b)
{
	uint64_t packets = 0, start = bench_cpu_ns(), end,
		 limit = start + (uint64_t)(seconds * 1e9);

	do {
		packets += measured(b, turns ? turns : 64);
		end = bench_cpu_ns();
	} while (end < limit && !turns);
	return (double)packets / (double)(end - start) * 1e3;
}

static void measure(struct bench *b, const char *name, unsigned hits, unsigned foreign,
		    const char *text)
{
	struct mf_pipeline_stats before, after;
	int reps = turns ? 1 : REPS_MAX;
	double v[REPS_MAX];

	if (only && strcmp(only, name) != 0)
		return;
	fill_table(b);
	mix(b, hits, foreign);
	if (!turns)
		once(b); // caches and branch predictors know it from here on
	mf_pipeline_get_stats(b->pipeline, &before);
	for (int i = 0; i < reps; i++)
		v[i] = once(b);
	mf_pipeline_get_stats(b->pipeline, &after);
	// What was measured is what is said to have been.
	if (after.dropped[MF_DROP_NAT_FULL] || after.dropped[MF_DROP_HOLD] ||
	    after.dropped[MF_DROP_DENIED] || after.captured - before.captured == 0 ||
	    after.captured != after.rewritten + after.passed)
		bench_die("bench_pipeline", "packets did not go where they were meant to");
	bench_row(&rows, name, bench_median(v, reps), "M packets/s", text);
}

int main(int argc, char **argv)
{
	struct bench *b;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json")) {
			rows.json = true;
		} else if (!strcmp(argv[i], "--seconds") && i + 1 < argc) {
			seconds = atof(argv[++i]);
		} else if (!strcmp(argv[i], "--turns") && i + 1 < argc) {
			turns = strtoul(argv[++i], NULL, 10);
		} else if (!strcmp(argv[i], "--only") && i + 1 < argc) {
			only = argv[++i];
		} else {
			fprintf(stderr, "usage: bench_pipeline [--json] [--seconds N] [--only ROW] "
					"[--turns N]\n");
			return 2;
		}
	}
	b = bench_new(&small);
	bench_begin(&rows);
	measure(b, "pipeline_mix", 70, 20, "70 % NAT hits, 20 % foreign, 10 % new flows");
	measure(b, "pipeline_hits", 100, 0, "NAT hits alone");
	measure(b, "pipeline_foreign", 0, 100, "foreign packets alone");
	measure(b, "pipeline_new", 0, 0, "new flows alone, each judged by a VM");
	bench_free(b);
	receive_now = receive_nothing;
	b = bench_new(&large);
	measure(b, "pipeline_mix_64k", 70, 20, "the mix with 65,536 flows that have an entry");
	bench_free(b);
	bench_end(&rows);
	return 0;
}
