/* SPDX-License-Identifier: Apache-2.0 */
/* replay.c - see replay.h: records become packets, packets become flows */
#include "capture/replay.h"

#include <stdio.h>
#include <stdlib.h>

#include "capture/replay_int.h"
#include "core/wire/tls_hello.h"

/* --- time ----------------------------------------------------------------------------------------------------------- */

static uint64_t clock_monotonic(void *ctx)
{
	return ((struct mf_replay_clock *)ctx)->monotonic_ns;
}

static uint64_t clock_wall(void *ctx)
{
	return ((struct mf_replay_clock *)ctx)->wall_ns;
}

struct mf_clock mf_replay_clock_of(struct mf_replay_clock *clock)
{
	return (struct mf_clock){ .monotonic = clock_monotonic, .wall = clock_wall, .ctx = clock };
}

void mf_replay_clock_set(struct mf_replay_clock *clock, uint64_t time_ns)
{
	clock->wall_ns = time_ns;
	if (time_ns > clock->monotonic_ns)
		clock->monotonic_ns = time_ns;
}

/* --- flows ---------------------------------------------------------------------------------------------------------- */

/* The same for both directions. */
static struct mf_replay_flow **bucket_of(struct mf_replay *r, enum mf_proto proto,
					 const struct mf_endpoint *a, const struct mf_endpoint *b)
{
	uint64_t x = mf_hash_bytes(a, sizeof(*a), r->seed),
		 y = mf_hash_bytes(b, sizeof(*b), r->seed);

	return &r->buckets[mf_hash_u64(x + y, r->seed + proto) & (r->bucket_cnt - 1)];
}

static bool is_between(const struct mf_replay_flow *f, enum mf_proto proto,
		       const struct mf_endpoint *client, const struct mf_endpoint *server)
{
	return f->ends.proto == proto && memcmp(&f->ends.client, client, sizeof(*client)) == 0 &&
	       memcmp(&f->ends.server, server, sizeof(*server)) == 0;
}

static void unlink_age(struct mf_replay *r, struct mf_replay_flow *f)
{
	*(f->newer ? &f->newer->older : &r->newest) = f->older;
	*(f->older ? &f->older->newer : &r->oldest) = f->newer;
	f->newer = f->older = NULL;
}

static void link_newest(struct mf_replay *r, struct mf_replay_flow *f)
{
	f->older = r->newest;
	*(f->older ? &f->older->newer : &r->oldest) = f;
	r->newest = f;
	f->seen_ns = r->clock->monotonic_ns;
}

struct mf_replay_flow *mf_replay_find_flow(struct mf_replay *r, enum mf_proto proto,
					   const struct mf_flow *packet, bool *ret_from_client)
{
	struct mf_endpoint src = mf_flow_src(packet), dst = mf_flow_dst(packet);
	struct mf_replay_flow *f = *bucket_of(r, proto, &src, &dst);

	for (; f; f = f->chain) {
		*ret_from_client = is_between(f, proto, &src, &dst);
		if (*ret_from_client || is_between(f, proto, &dst, &src))
			return f;
	}
	*ret_from_client = true;
	return NULL;
}

void mf_replay_touch(struct mf_replay *r, struct mf_replay_flow *f)
{
	unlink_age(r, f);
	link_newest(r, f);
}

void mf_replay_close_flow(struct mf_replay *r, struct mf_replay_flow *f)
{
	if (f->held)
		mf_names_release(r->names, &f->ends.server.addr);
	f->held = false;
}

void mf_replay_free_stream(struct mf_replay *r, struct mf_replay_flow *f, unsigned which)
{
	struct mf_stream *s = f->streams[which];

	if (!s)
		return;
	r->stream_bytes -= sizeof(*s) + s->room;
	r->stats.disagreeing_segments += s->disagreed;
	mf_stream_done(s);
	free(s);
	f->streams[which] = NULL;
}

bool mf_replay_begin_stream(struct mf_replay *r, struct mf_replay_flow *f, unsigned which,
			    uint32_t seq, uint32_t window)
{
	struct mf_stream *s = malloc(sizeof(*s));

	if (!s)
		return false;
	mf_stream_begin(s, seq, window);
	r->stream_bytes += sizeof(*s);
	f->streams[which] = s;
	return true;
}

/* Those that wait for longest give way, this one last of all. */
bool mf_replay_mind_bytes(struct mf_replay *r, const struct mf_replay_flow *f)
{
	while (r->stream_bytes > r->opt.stream_bytes_max && r->first && r->first->owner != f) {
		r->stats.evicted_streams++;
		(void)mf_replay_settle_first(r, "told early: too many first words were kept");
	}
	if (r->stream_bytes <= r->opt.stream_bytes_max)
		return true;
	r->stats.evicted_streams++;
	return false;
}

bool mf_replay_keep_bytes(struct mf_replay *r, struct mf_replay_flow *f, unsigned which,
			  uint32_t seq, struct mf_span payload)
{
	struct mf_stream *s = f->streams[which];
	uint32_t room = s->room;
	int res = mf_stream_add(s, seq, payload);

	r->stream_bytes += s->room - room;
	if (res == MF_E_NOMEM)
		r->no_memory = true;
	if (!mf_replay_mind_bytes(r, f))
		return false;
	/* What lies behind the window is not looked at anyway, unless it is a message of DNS. */
	return res == 0 || (res == MF_E_FULL && !f->dns);
}

void mf_replay_give_up(struct mf_replay *r, struct mf_replay_flow *f, const char *note)
{
	if (f->ends.proto == MF_TCP)
		mf_replay_tcp_end(r, f, note);
	else
		mf_replay_udp_end(r, f, note);
}

void mf_replay_end_flow(struct mf_replay *r, struct mf_replay_flow *f, const char *note)
{
	struct mf_replay_flow **at = bucket_of(r, f->ends.proto, &f->ends.client, &f->ends.server);

	mf_replay_give_up(r, f, note);
	while (*at != f)
		at = &(*at)->chain;
	*at = f->chain;
	unlink_age(r, f);
	mf_replay_close_flow(r, f);
	for (unsigned i = 0; i < 2; i++)
		mf_replay_free_stream(r, f, i);
	mf_replay_free_voice(f);
	mf_replay_set_outcome(f);
	mf_replay_outcome_unref(f->outcome);
	free(f->scan);
	mf_replay_free_quic(r, f);
	free(f);
	r->flow_cnt--;
}

struct mf_replay_flow *mf_replay_new_flow(struct mf_replay *r, const struct mf_session_flow *ends)
{
	struct mf_replay_flow *f, **bucket;

	if (r->flow_cnt >= r->opt.flows_max) {
		r->stats.evicted_flows++;
		mf_replay_end_flow(r, r->oldest, "told early: too many flows were open");
	}
	f = calloc(1, sizeof(*f));
	if (!f) {
		r->no_memory = true;
		return NULL;
	}
	f->ends = *ends;
	bucket = bucket_of(r, ends->proto, &ends->client, &ends->server);
	f->chain = *bucket;
	*bucket = f;
	link_newest(r, f);
	r->flow_cnt++;
	return f;
}

/* --- records -------------------------------------------------------------------------------------------------------- */

static void take_packet(struct mf_replay *r, const struct mf_view *v, uint32_t missing)
{
	if (v->flags & MF_VIEW_F_SOURCE_ROUTED)
		r->stats.other_protocols++;
	else if (v->flow.proto == MF_PROTO_TCP)
		mf_replay_tcp(r, v, missing);
	else if (v->flow.proto == MF_PROTO_UDP)
		mf_replay_udp(r, v, missing);
	else
		r->stats.other_protocols++;
}

static void take_fragment(struct mf_replay *r, const struct mf_view *v, uint32_t missing)
{
	struct mf_reassembler_stats before, after;
	struct mf_span whole;
	struct mf_view view;
	int res = MF_E_BAD;

	r->stats.fragments++;
	mf_reassembler_get_stats(r->reassembler, &before);
	if (!missing)
		res = mf_reassembler_add(r->reassembler, v, r->clock->monotonic_ns, &whole);
	mf_reassembler_get_stats(r->reassembler, &after);
	r->stats.fragments_lost +=
		(after.timeouts - before.timeouts) + (after.evicted - before.evicted) + (res < 0);
	if (res == MF_E_NOMEM)
		r->no_memory = true;
	if (res != 1)
		return;
	mf_view_init(&view, whole, MF_VIEW_IP, 0, &r->view_stats);
	if (mf_view_parse(&view, MF_VIEW_TRANSPORT) < 0)
		r->stats.malformed++;
	else
		take_packet(r, &view, 0);
}

int mf_replay_record(struct mf_replay *r, const struct mf_pcap_record *rec)
{
	struct mf_pcap_ip ip;
	int res;

	mf_replay_clock_set(r->clock, rec->time_ns);
	r->packet = rec->number;
	r->stats.packets++;
	r->stats.bytes += rec->wire_len;
	mf_replay_settle_until(r, r->clock->monotonic_ns);
	mf_replay_begin_fate(r);
	res = mf_pcap_find_ip(rec, &r->view_stats, &ip);
	r->stats.cut += rec->len < rec->wire_len;
	if (res == MF_E_UNSUPPORTED)
		r->stats.unknown_link++;
	else if (ip.view.flags & MF_VIEW_F_FRAG && (res == 0 || res == MF_E_NOT_MINE))
		take_fragment(r, &ip.view, ip.missing);
	else if (res == MF_E_NOT_MINE)
		*(ip.len ? &r->stats.other_protocols : &r->stats.no_ip) += 1;
	else if (res < 0)
		r->stats.malformed++;
	else
		take_packet(r, &ip.view, ip.missing);
	if (ip.ptr)
		mf_pcap_unmend(&ip, ip.ptr);
	return r->no_memory ? MF_E_NOMEM : 0;
}

void mf_replay_finish(struct mf_replay *r)
{
	while (r->first)
		(void)mf_replay_settle_first(r, r->first->kind == MF_DNS
							? "no answer in the capture"
							: "the capture ends before its client "
							  "says anything");
}

void mf_replay_get_stats(const struct mf_replay *r, struct mf_replay_stats *ret)
{
	struct mf_reassembler_stats fragments;

	mf_reassembler_get_stats(r->reassembler, &fragments);
	*ret = r->stats;
	ret->fragments_lost += fragments.datagrams;
	for (const struct mf_replay_flow *f = r->newest; f; f = f->older)
		for (unsigned i = 0; i < 2; i++)
			ret->disagreeing_segments += f->streams[i] && f->streams[i]->disagreed;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

/* No capture says which process it was. That it can be asked for shows who wanted to know: mf_replay_wanted(). */
static int find_process(void *ctx, const struct mf_session_flow *flow, struct mf_process *ret)
{
	(void)ctx;
	(void)flow;
	(void)ret;
	return MF_E_NOENT;
}

static int begin_side(struct mf_replay *r, unsigned i)
{
	struct mf_session *s = r->opt.sessions[i];

	r->askers[i].session = s;
	r->askers[i].request = mf_request_new(MF_CONNECT);
	s->names = r->names;
	s->ops = (struct mf_session_ops){ .find_process = find_process };
	return r->askers[i].request ? 0 : MF_E_NOMEM;
}

static int begin(struct mf_replay *r, struct mf_err *err)
{
	const struct mf_names_options names = { .clock = &r->mf_clock };
	int res = mf_names_new(&names, &r->names, err);

	if (res < 0)
		return res;
	r->reassembler = mf_reassembler_new(NULL);
	r->dns_chain = calloc(1, sizeof(*r->dns_chain));
	r->joined = malloc(MF_TLS_HELLO_MAX);
	r->message = malloc(MF_DNS_MESSAGE_MAX);
	for (r->bucket_cnt = 1024; r->bucket_cnt < r->opt.flows_max && r->bucket_cnt < 1u << 20;)
		r->bucket_cnt *= 2;
	r->buckets = calloc(r->bucket_cnt, sizeof(struct mf_replay_flow *));
	if (!r->reassembler || !r->dns_chain || !r->joined || !r->message || !r->buckets)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the replay");
	for (unsigned i = 0; i < r->opt.session_cnt && res == 0; i++)
		res = begin_side(r, i);
	return res < 0 ? mf_err_set(err, res, "no memory for the replay") : 0;
}

int mf_replay_new(const struct mf_replay_options *options, struct mf_replay_clock *clock,
		  struct mf_replay **ret, struct mf_err *err)
{
	struct mf_replay *r;
	int res;

	if (!options->question || options->session_cnt < 1 ||
	    options->session_cnt > MF_REPLAY_SIDES_MAX)
		return mf_err_set(err, MF_E_INVAL, "a replay needs one or two sessions to ask");
	r = calloc(1, sizeof(*r));
	if (!r)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the replay");
	r->opt = *options;
	if (!r->opt.flows_max)
		r->opt.flows_max = 65536;
	if (!r->opt.questions_max)
		r->opt.questions_max = 16384;
	if (!r->opt.stream_bytes_max)
		r->opt.stream_bytes_max = 64u << 20;
	r->clock = clock;
	r->mf_clock = mf_replay_clock_of(clock);
	r->last = &r->first;
	r->seed = mf_hash_seed();
	res = begin(r, err);
	if (res < 0) {
		mf_replay_free(r);
		return res;
	}
	*ret = r;
	return 0;
}

/* Questions that were not told are told to nobody. */
static void ignore(void *ctx, const struct mf_replay_question *q)
{
	(void)ctx;
	(void)q;
}

void mf_replay_free(struct mf_replay *r)
{
	if (!r)
		return;
	r->opt.question = ignore;
	while (r->oldest)
		mf_replay_end_flow(r, r->oldest, NULL);
	while (mf_replay_settle_first(r, NULL))
		;
	for (unsigned i = 0; i < MF_REPLAY_SIDES_MAX; i++)
		mf_request_free(r->askers[i].request);
	for (unsigned i = 0; i < r->opt.session_cnt; i++)
		r->opt.sessions[i]->names = NULL;
	mf_names_free(r->names);
	mf_reassembler_free(r->reassembler);
	free(r->dns_chain);
	free(r->joined);
	free(r->message);
	free(r->says);
	mf_quic_crypto_free(r->quic_crypto);
	free(r->buckets);
	free(r);
}
