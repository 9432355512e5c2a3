/* SPDX-License-Identifier: Apache-2.0 */
/* udp_quic.c - ClientHellos inside QUIC: holding datagrams, judging hellos, refusing (udp_int.h says when) */
#include <stdlib.h>
#include <string.h>

#include "core/wire/quic_initial.h"
#include "proxies/udp_int.h"

enum {
	ATTEMPTS_MAX =
		4,     /* of one flow, read at a time; a Retry or another version makes a second */
	HELD_MAX = 16, /* datagrams of one flow */
	HELD_BYTES_MAX = 24 * 1024,
	SNI_MAX = 255,
	ALL_BYTES_MAX = 32 * 1024 * 1024, /* of a proxy */
};

/* One connection that a client tries to make. */
struct attempt {
	struct attempt *next; /* used longer ago */
	struct mf_quic_reader reader;
	bool allowed, denied;
	uint8_t name_len;
	uint8_t name[SNI_MAX]; /* that was allowed */
};

struct held {
	struct held *next;
	const struct attempt *of; /* NULL: of none, waits for any */
	size_t len;
	uint8_t bytes[];
};

struct mf_udp_quic {
	struct attempt *attempts; /* used last first */
	struct held *held, **held_end;
	unsigned held_cnt;
	size_t held_bytes;
};

/* --- memory --------------------------------------------------------------------------------------------------------- */

static size_t reader_bytes(const struct mf_quic_reader *r)
{
	return r->room + r->room / 8;
}

static void forget_held(struct mf_udp_flow *f, struct held **at)
{
	struct mf_udp_quic *q = f->quic;
	struct held *h = *at;

	*at = h->next;
	if (q->held_end == &h->next)
		q->held_end = at;
	q->held_cnt--;
	q->held_bytes -= h->len;
	f->udp->quic_bytes -= h->len;
	free(h);
}

static void hold(struct mf_udp_flow *f, const struct attempt *of, const uint8_t *buf, size_t len)
{
	struct mf_udp_quic *q = f->quic;
	struct held *h = NULL;

	if (q->held_cnt < HELD_MAX && q->held_bytes + len <= HELD_BYTES_MAX)
		h = malloc(sizeof(*h) + len);
	if (!h) { /* lost, as datagrams are: what matters comes again */
		f->udp->proxy->stats.quic_dropped++;
		return;
	}
	*h = (struct held){ .of = of, .len = len };
	memcpy(h->bytes, buf, len);
	*q->held_end = h;
	q->held_end = &h->next;
	q->held_cnt++;
	q->held_bytes += len;
	f->udp->quic_bytes += len;
}

static void end_attempt(struct mf_udp_flow *f, struct attempt *a)
{
	f->udp->quic_bytes -= reader_bytes(&a->reader);
	mf_quic_reader_end(&a->reader);
	free(a);
}

/* @at: its place in the list */
static void forget_attempt(struct mf_udp_flow *f, struct attempt **at)
{
	struct attempt *a = *at;

	for (struct held **h = &f->quic->held; *h;)
		if ((*h)->of == a)
			forget_held(f, h);
		else
			h = &(*h)->next;
	*at = a->next;
	end_attempt(f, a);
}

void mf_udp_quic_free(struct mf_udp_flow *f)
{
	if (!f->quic)
		return;
	while (f->quic->attempts)
		forget_attempt(f, &f->quic->attempts);
	while (f->quic->held)
		forget_held(f, &f->quic->held);
	free(f->quic);
	f->quic = NULL;
}

static bool prepare_crypto(struct mf_udp_proxy *udp)
{
	if (!udp->crypto)
		udp->crypto = mf_quic_crypto_new();
	return udp->crypto != NULL;
}

static bool prepare(struct mf_udp_flow *f)
{
	if (!f->quic) {
		f->quic = calloc(1, sizeof(*f->quic));
		if (f->quic)
			f->quic->held_end = &f->quic->held;
	}
	return f->quic && prepare_crypto(f->udp);
}

/* --- judging -------------------------------------------------------------------------------------------------------- */

/* Refuse an attempt, in QUIC's own words. */
static void deny(struct mf_udp_flow *f, struct attempt *a, const struct mf_quic_packet *packet,
		 const struct mf_decision *d, enum mf_tls_alert alert)
{
	struct mf_quic_reader *r = &a->reader;
	uint8_t out[MF_QUIC_CLOSE_MAX];
	int n = mf_quic_write_close(f->udp->crypto, packet, mf_span_of(r->dcid, r->dcid_len), alert,
				    mf_decision_reason(d), out);

	a->denied = true;
	if (n > 0)
		mf_udp_flow_to_client(f, out, (size_t)n);
}

_Static_assert(MF_UDP_QUIC_REFUSAL_MAX >= MF_QUIC_CLOSE_MAX &&
		       MF_UDP_QUIC_REFUSAL_MAX >= MF_QUIC_NEGOTIATION_MAX,
	       "either refusal fits");

size_t mf_udp_quic_write_refusal(struct mf_udp_proxy *udp, const uint8_t *buf, size_t len,
				 const char *why, uint8_t *out)
{
	struct mf_span s = mf_span_of(buf, len);
	struct mf_quic_packet packet;
	int r;

	/* shorter ones are not answered by servers either: an answer must not be longer than what it answers */
	if (len < MF_QUIC_DATAGRAM_MIN)
		return 0;
	r = mf_quic_next_packet(&s, &packet);
	if (r == MF_E_UNSUPPORTED && mf_quic_is_foreign(buf, len))
		return (size_t)mf_quic_write_negotiation(&packet, out);
	if (r < 0 || packet.type != MF_QUIC_INITIAL || !prepare_crypto(udp))
		return 0;
	r = mf_quic_write_close(udp->crypto, &packet, packet.dcid, MF_TLS_ACCESS_DENIED, why, out);
	return r > 0 ? (size_t)r : 0;
}

static void deny_ourselves(struct mf_udp_flow *f, struct attempt *a,
			   const struct mf_quic_packet *packet, const char *why)
{
	struct mf_decision d = mf_ask_own_denial(why);

	mf_udp_flow_announce(f, &d);
	deny(f, a, packet, &d, MF_TLS_DECODE_ERROR);
}

/* connect where the said name may change what was decided. Return: false: denied */
static bool judge_said(struct mf_udp_flow *f, struct attempt *a,
		       const struct mf_quic_packet *packet, struct mf_span said, bool *ret_verified)
{
	struct mf_proxy *p = f->udp->proxy;
	struct mf_ask_result res;
	struct mf_decision d;

	*ret_verified = !f->differ && mf_ask_is_host(f->host, (const char *)said.ptr, said.len);
	if (*ret_verified)
		return true;
	mf_ask_connect_said(&p->asker, &f->ends, (const char *)said.ptr, said.len, &d, &res,
			    ret_verified);
	mf_ask_udp_limit(&f->ends, &d);
	if (mf_verdict_rank(&d) < 4 && f->announced)
		return true; /* on its way to where connect sent it: only a denial can change that */
	mf_udp_flow_set_host(f, res.host);
	mf_udp_flow_announce(f, &d);
	if (mf_verdict_rank(&d) < 4)
		return true;
	deny(f, a, packet, &d, MF_TLS_ACCESS_DENIED);
	return false;
}

static void judge_first(struct mf_udp_flow *f, struct attempt *a,
			const struct mf_quic_packet *packet, const struct mf_tls_hello *h)
{
	struct mf_proxy *p = f->udp->proxy;
	struct mf_decision d;
	bool verified = false;

	p->stats.tls_hellos++;
	p->stats.quic_hellos++;
	if (mf_ask_unnameable(h->sni, &d) ||
	    (mf_ask_target(&p->asker, &f->ends, &(struct mf_ask_said){ .name = h->sni }, &d) &&
	     mf_verdict_rank(&d) == 4)) {
		mf_ask_announce_hello(p, &f->ends, f->host, h, false, &d, "blocked");
		deny(f, a, packet, &d, MF_TLS_UNRECOGNIZED_NAME);
		return;
	}
	if ((h->has_sni || f->differ) && !judge_said(f, a, packet, h->sni, &verified))
		return;
	mf_ask_sni(&p->asker, &f->ends, h, verified, &d);
	mf_ask_quic_limit(&d);
	if (!mf_ask_is_silent(&d) && mf_verdict_rank(&d) == 4) {
		p->stats.sni_denied++;
		mf_ask_announce_hello(p, &f->ends, f->host, h, verified, &d, "blocked");
		deny(f, a, packet, &d, MF_TLS_UNRECOGNIZED_NAME);
		return;
	}
	mf_ask_announce_hello(p, &f->ends, f->host, h, verified, mf_ask_is_silent(&d) ? NULL : &d,
			      "allowed");
	a->allowed = true;
	a->name_len = (uint8_t)h->sni.len;
	if (h->sni.len)
		memcpy(a->name, h->sni.ptr, h->sni.len);
}

/* The hellos that are whole now. A server may ask for a second one (HelloRetryRequest), which must say the same name. */
static void judge(struct mf_udp_flow *f, struct attempt *a, const struct mf_quic_packet *packet)
{
	struct mf_tls_hello h;
	int r;

	while ((r = mf_quic_reader_hello(&a->reader, &h)) == 0 && !a->denied) {
		if (!a->allowed)
			judge_first(f, a, packet, &h);
		else if (!mf_span_eq(h.sni, mf_span_of(a->name, a->name_len)))
			deny_ourselves(f, a, packet, "a second ClientHello names another server");
	}
	if (r == MF_E_BAD && !a->denied) {
		f->udp->proxy->stats.tls_bad++;
		deny_ourselves(f, a, packet, "malformed TLS ClientHello in QUIC");
	}
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

/* Return: as mf_quic_reader_take() */
static int read_packet(struct mf_udp_flow *f, struct attempt *a,
		       const struct mf_quic_packet *packet)
{
	size_t before = reader_bytes(&a->reader);
	int r = mf_quic_reader_take(f->udp->crypto, &a->reader, packet);

	f->udp->quic_bytes += reader_bytes(&a->reader) - before;
	return r;
}

/*
 * Make place for another attempt. Those that were let through are never forgotten while the flow lives: what they said must
 * not be said again in other words.
 */
static bool forget_refused(struct mf_udp_flow *f)
{
	struct attempt **at, **oldest = NULL;

	for (at = &f->quic->attempts; *at; at = &(*at)->next)
		if (!(*at)->allowed)
			oldest = at;
	if (oldest)
		forget_attempt(f, oldest);
	return oldest != NULL;
}

/* The attempt that an Initial packet belongs to, a new one where it begins one, with the packet read. */
static struct attempt *find_attempt(struct mf_udp_flow *f, const struct mf_quic_packet *packet,
				    bool may_begin, int *ret)
{
	struct attempt **at, *a;
	unsigned cnt = 0;

	for (at = &f->quic->attempts; (a = *at); at = &a->next, cnt++) {
		*ret = read_packet(f, a, packet);
		if (*ret == MF_E_NOT_MINE)
			continue;
		*at = a->next;
		a->next = f->quic->attempts;
		f->quic->attempts = a;
		return a;
	}
	a = may_begin ? calloc(1, sizeof(*a)) : NULL;
	if (!a)
		return NULL;
	*ret = mf_quic_reader_begin(&a->reader, packet);
	if (*ret == 0)
		*ret = read_packet(f, a, packet);
	if (*ret == MF_E_NOT_MINE || *ret == MF_E_NOMEM || *ret == MF_E_UNSUPPORTED ||
	    (cnt == ATTEMPTS_MAX && !forget_refused(f))) {
		end_attempt(f, a);
		return NULL;
	}
	a->next = f->quic->attempts;
	f->quic->attempts = a;
	return a;
}

/*
 * Read all packets of a datagram.
 * @ret_of: the attempt that its Initial packets belong to; NULL: it has none
 * Return: false: it must not go on, since it cannot be read
 */
static bool read_datagram(struct mf_udp_flow *f, const uint8_t *buf, size_t len,
			  struct attempt **ret_of)
{
	struct mf_span rest = mf_span_of(buf, len), dcid = { NULL, 0 };
	struct mf_quic_packet packet;
	int r = 0;

	*ret_of = NULL;
	for (unsigned i = 0; (r = mf_quic_next_packet(&rest, &packet)) == 0; i++) {
		struct attempt *a;
		int taken = 0;

		/* RFC 9000 §12.2: packets of one datagram have one destination */
		if (i == 0)
			dcid = packet.dcid;
		if (i == MF_QUIC_PACKETS_MAX || !mf_span_eq(dcid, packet.dcid))
			return false;
		if (packet.type != MF_QUIC_INITIAL)
			continue;
		a = find_attempt(f, &packet, len >= MF_QUIC_DATAGRAM_MIN, &taken);
		if (!a || taken == MF_E_NOMEM || (*ret_of && a != *ret_of))
			return false;
		*ret_of = a;
		if (!a->denied)
			judge(f, a, &packet);
	}
	/* else: a header that is cut off, or one of another version behind ours */
	return r == MF_E_NOT_MINE || (r == MF_E_UNSUPPORTED && rest.len == len);
}

/* Everything that no longer has to wait, in the order in which it came. */
static void release(struct mf_udp_flow *f)
{
	for (struct held **at = &f->quic->held; *at;) {
		struct held *h = *at;

		if (h->of && (h->of->denied || !mf_quic_reader_settled(&h->of->reader))) {
			at = &h->next;
			continue;
		}
		mf_udp_flow_to_server(f, h->bytes, h->len);
		forget_held(f, at);
	}
}

static bool any_allowed(const struct mf_udp_quic *q, bool *ret_denied)
{
	*ret_denied = false;
	for (const struct attempt *a = q->attempts; a; a = a->next) {
		if (a->allowed && !a->denied)
			return true;
		*ret_denied |= a->denied;
	}
	return false;
}

enum mf_udp_gate mf_udp_quic_take(struct mf_udp_flow *f, const uint8_t *buf, size_t len)
{
	struct mf_proxy *p = f->udp->proxy;
	struct attempt *of = NULL;
	bool readable = true, denied;

	if (!prepare(f) || f->udp->quic_bytes > ALL_BYTES_MAX) {
		p->stats.quic_dropped++;
		return MF_UDP_TAKEN;
	}
	if (mf_quic_has_long_header(buf, len)) {
		if (mf_quic_is_foreign(buf, len) && f->ends.server.port == MF_ASK_QUIC_PORT) {
			mf_udp_flow_refuse(f, buf, len, MF_UDP_FOREIGN);
			p->stats.quic_dropped++;
			return MF_UDP_TAKEN;
		}
		readable = read_datagram(f, buf, len, &of);
	}
	if (f->holding) {
		if (!any_allowed(f->quic, &denied)) {
			if (denied)
				return MF_UDP_GONE;
		} else if (!mf_udp_flow_open(f)) {
			mf_udp_flow_refuse(f, buf, len, "no socket towards the server");
			return MF_UDP_GONE;
		}
	}
	if (!readable || (of && of->denied)) {
		p->stats.quic_dropped++;
		return MF_UDP_TAKEN;
	}
	if (f->holding || (of && !mf_quic_reader_settled(&of->reader))) {
		hold(f, of, buf, len);
		return MF_UDP_TAKEN;
	}
	release(f);
	return MF_UDP_PASS;
}

void mf_udp_quic_late(struct mf_udp_flow *f)
{
	struct mf_decision d =
		mf_ask_own_denial("the client's first message did not come to its end in time");
	const struct held *first = f->quic ? f->quic->held : NULL;

	mf_udp_flow_announce(f, &d);
	mf_udp_flow_refuse(f, first ? first->bytes : (const uint8_t *)"", first ? first->len : 0,
			   d.reason);
}
