/* SPDX-License-Identifier: Apache-2.0 */
/* dns_split.c - see dns_split.h; here: doors, answers of our own, and datagrams */
#include "proxies/dns_split.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/base/hash.h"
#include "proxies/dns_split_int.h"
#include "proxies/sock.h"

enum {
	TTL_S = 5, /* of names of ours: maps change */
	FLOW_MS = 5000,
	CONN_MS = 20000,
	BACKOFF_MS = 50,
	BATCH = 16,
	BATCHES_MAX = 8, /* in one turn of the loop */
	LAST_MAX = 512,	 /* a longer question is not asked of another resolver */
};

struct mf_dns_split_flow {
	struct mf_timeout timeout;
	struct mf_dns_split_flow *next; /* in its bucket */
	struct mf_dns_split_door *door;
	struct mf_endpoint client, local;
	struct event ev;
	int fd;
	unsigned server, tries, pending;
	size_t last_len;
	uint8_t last[LAST_MAX]; /* the latest question */
};

/* --- names of ours -------------------------------------------------------------------------------------------------- */

bool mf_dns_split_may_ask(const struct mf_dns_split *s, const struct mf_addr *client)
{
	return !s->opt.may_ask || s->opt.may_ask(s->opt.ctx, client);
}

static bool is_localhost(const char *name)
{
	static const char local[] = "localhost";
	size_t len = strlen(name), own = sizeof(local) - 1;

	return len >= own && strcasecmp(name + len - own, local) == 0 &&
	       (len == own || name[len - own - 1] == '.');
}

size_t mf_dns_split_answer(struct mf_dns_split *s, struct mf_span msg, const struct mf_addr *local,
			   bool tcp)
{
	static const struct mf_addr loopback[] = { { .family = 4, .bytes = { 127, 0, 0, 1 } },
						   { .family = 6, .bytes = { [15] = 1 } } };
	struct mf_dns_answer a = { .addrs = loopback,
				   .addr_cnt = s->opt.no_ip6 ? 1 : 2,
				   .ttl_s = TTL_S,
				   .ede = MF_DNS_EDE_NONE,
				   .soa = true,
				   .authoritative = true };
	char name[MF_DNS_TEXT_MAX];
	struct mf_dns_query q;
	size_t limit = sizeof(s->answer);
	int len;

	s->stats.questions++;
	if (mf_dns_read_query(msg, &q) < 0 || q.class != 1 ||
	    mf_dns_format_name(&q.name, name, sizeof(name)) < 0)
		return 0;
	if (!is_localhost(name)) {
		if (!s->opt.is_ours(s->opt.ctx, name))
			return 0;
		if (!mf_addr_is_loopback(local)) {
			a.addrs = local;
			a.addr_cnt = 1;
		}
	}
	q.cookie.len = 0; /* we are no server that gives any */
	if (q.edns_version)
		a = (struct mf_dns_answer){ .rcode = MF_DNS_BADVERS, .ede = MF_DNS_EDE_NONE };
	if (!tcp && q.udp_size < limit)
		limit = q.udp_size;
	len = mf_dns_write_answer(&q, &a, s->answer, sizeof(s->answer), limit);
	if (len <= 0)
		return 0;
	s->stats.ours++;
	return (size_t)len;
}

/* --- clients by UDP ------------------------------------------------------------------------------------------------- */

static struct mf_dns_split_flow **find_flow(struct mf_dns_split_door *d,
					    const struct mf_endpoint *client)
{
	uint64_t hash = mf_hash_bytes(client->addr.bytes, sizeof(client->addr.bytes),
				      d->split->seed ^ client->port);
	struct mf_dns_split_flow **at = &d->split->flows[hash % MF_DNS_SPLIT_BUCKETS];

	while (*at && ((*at)->door != d || (*at)->client.port != client->port ||
		       !mf_addr_eq(&(*at)->client.addr, &client->addr)))
		at = &(*at)->next;
	return at;
}

static void hang_up(struct mf_dns_split_flow *f)
{
	if (f->fd < 0)
		return;
	event_del(&f->ev);
	mf_sock_close(f->fd);
	f->fd = -1;
}

static void free_flow(struct mf_dns_split_flow *f)
{
	struct mf_dns_split *s = f->door->split;

	*find_flow(f->door, &f->client) = f->next;
	s->flow_cnt--;
	mf_timeout_disarm(&f->timeout);
	hang_up(f);
	free(f);
}

void mf_dns_split_avoid(struct mf_dns_split_door *d, unsigned server)
{
	if (d->server_cnt && d->at == server)
		d->at = (d->at + 1) % d->server_cnt;
}

/* Somebody else may know: programs ask their next resolver when they hear this. */
static void reply_failure(struct mf_dns_split_flow *f)
{
	struct mf_dns_split *s = f->door->split;
	struct mf_dns_answer a = { .rcode = MF_DNS_SERVFAIL, .ede = MF_DNS_EDE_NETWORK_ERROR };
	struct mf_dns_query q;
	int len;

	s->stats.failed++;
	if (mf_dns_read_query(mf_span_of(f->last, f->last_len), &q) < 0)
		return;
	q.cookie.len = 0;
	len = mf_dns_write_answer(&q, &a, s->answer, sizeof(s->answer), q.udp_size);
	if (len > 0)
		(void)mf_sock_send_to(f->door->udp, &f->local, &f->client, s->answer, (size_t)len);
}

static void on_answer(evutil_socket_t fd, short what, void *ctx);

/* Return: whether the question is on its way */
static bool ask(struct mf_dns_split_flow *f, const uint8_t *msg, size_t len)
{
	struct mf_dns_split_door *d = f->door;

	for (; f->tries < d->server_cnt; f->tries++) {
		if (f->fd < 0) {
			f->server = d->at;
			f->fd = mf_sock_open_udp(&d->servers[f->server]);
			if (f->fd >= 0 && (event_assign(&f->ev, d->split->base, f->fd,
							EV_READ | EV_PERSIST, on_answer, f) < 0 ||
					   event_add(&f->ev, NULL) < 0))
				hang_up(f);
		}
		if (f->fd >= 0 && mf_sock_send(f->fd, msg, len) != MF_E_CLOSED)
			return true;
		hang_up(f);
		mf_dns_split_avoid(d, f->server);
	}
	return false;
}

/* The resolver is not there: another one, or a failure. */
static void go_on(struct mf_dns_split_flow *f)
{
	hang_up(f);
	mf_dns_split_avoid(f->door, f->server);
	f->tries++;
	f->pending = 1;
	if (f->last_len && ask(f, f->last, f->last_len))
		return;
	reply_failure(f);
	free_flow(f);
}

static void on_answer(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_split_flow *f = ctx;
	struct mf_dns_split *s = f->door->split;

	(void)what;
	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t n = mf_sock_recv((int)fd, s->buf, sizeof(s->buf));

		if (n == MF_E_AGAIN)
			return;
		if (n < 0) {
			go_on(f);
			return;
		}
		(void)mf_sock_send_to(f->door->udp, &f->local, &f->client, s->buf, (size_t)n);
		f->tries = 0;
		if (--f->pending == 0) {
			free_flow(f);
			return;
		}
	}
}

static void on_silence(struct mf_timeout *t, void *unused)
{
	struct mf_dns_split_flow *f =
		(struct mf_dns_split_flow *)((char *)t -
					     offsetof(struct mf_dns_split_flow, timeout));

	(void)unused;
	f->door->split->stats.failed++;
	mf_dns_split_avoid(f->door, f->server);
	free_flow(f); /* who asked has to ask again, as it would without us */
}

static struct mf_dns_split_flow *new_flow(struct mf_dns_split_door *d, const struct mf_datagram *m)
{
	struct mf_dns_split *s = d->split;
	struct mf_dns_split_flow *f, **at;

	if (s->flow_cnt == MF_DNS_SPLIT_FLOWS_MAX) {
		s->stats.failed++;
		free_flow(
			(struct mf_dns_split_flow *)((char *)s->flow_ends.head.next -
						     offsetof(struct mf_dns_split_flow, timeout)));
	}
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->door = d;
	f->client = m->client;
	f->local = m->server;
	f->fd = -1;
	at = find_flow(d, &m->client);
	f->next = *at;
	*at = f;
	s->flow_cnt++;
	return f;
}

static void take(struct mf_dns_split_door *d, const struct mf_datagram *m)
{
	struct mf_dns_split *s = d->split;
	size_t len;
	struct mf_dns_split_flow *f;

	if (m->cut || !m->client.addr.family || !m->client.port ||
	    !mf_dns_split_may_ask(s, &m->client.addr))
		return;
	len = mf_dns_split_answer(s, mf_span_of(m->buf, m->len),
				  m->server.addr.family ? &m->server.addr : &d->local.addr, false);
	if (len) {
		(void)mf_sock_send_to(d->udp, &m->server, &m->client, s->answer, len);
		return;
	}
	f = *find_flow(d, &m->client);
	if (!f)
		f = new_flow(d, m);
	if (!f)
		return;
	s->stats.passed++;
	f->tries = 0;
	f->pending++;
	f->last_len = m->len <= sizeof(f->last) ? m->len : 0;
	memcpy(f->last, m->buf, f->last_len);
	mf_timeout_arm(&f->timeout, &s->flow_ends);
	if (!ask(f, m->buf, m->len)) {
		reply_failure(f);
		free_flow(f);
	}
}

static void on_datagrams(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_dns_split_door *d = ctx;

	(void)what;
	for (unsigned i = 0; i < BATCH * BATCHES_MAX; i++) {
		struct mf_datagram m = { .buf = d->split->buf, .room = sizeof(d->split->buf) };

		if (!mf_sock_recv_from((int)fd, &m, 1))
			return;
		take(d, &m);
	}
}

/* --- doors ---------------------------------------------------------------------------------------------------------- */

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	mf_dns_split_accept(ctx);
}

static void on_backoff(struct mf_timeout *t, void *ctx)
{
	struct mf_dns_split *s = ctx;

	(void)t;
	for (unsigned i = 0; i < s->door_cnt; i++)
		(void)event_add(&s->doors[i]->tcp_ev, NULL);
}

static void free_door(struct mf_dns_split_door *d)
{
	event_del(&d->udp_ev);
	event_del(&d->tcp_ev);
	mf_sock_close(d->udp);
	mf_sock_close(d->tcp);
	free(d);
}

int mf_dns_split_add(struct mf_dns_split *s, int udp, int tcp, struct mf_err *err)
{
	struct mf_dns_split_door *d =
		s->door_cnt < MF_DNS_SPLIT_DOORS_MAX ? calloc(1, sizeof(*d)) : NULL;

	if (!d) {
		mf_sock_close(udp);
		mf_sock_close(tcp);
		return mf_err_set(err, MF_E_LIMIT, "at most %d addresses for DNS",
				  MF_DNS_SPLIT_DOORS_MAX);
	}
	*d = (struct mf_dns_split_door){ .split = s, .udp = udp, .tcp = tcp };
	(void)mf_sock_local(udp, &d->local);
	mf_sock_prepare_udp(udp);
	event_assign(&d->udp_ev, s->base, udp, EV_READ | EV_PERSIST, on_datagrams, d);
	event_assign(&d->tcp_ev, s->base, tcp, EV_READ | EV_PERSIST, on_accept, d);
	if (event_add(&d->udp_ev, NULL) < 0 || event_add(&d->tcp_ev, NULL) < 0) {
		free_door(d);
		return mf_err_set(err, MF_E_NOMEM, "cannot watch a DNS listener");
	}
	s->doors[s->door_cnt] = d;
	return (int)s->door_cnt++;
}

void mf_dns_split_lead(struct mf_dns_split *s, unsigned door, const struct mf_endpoint *servers,
		       size_t cnt)
{
	struct mf_dns_split_door *d = s->doors[door];

	if (cnt > MF_DNS_SPLIT_SERVERS_MAX)
		cnt = MF_DNS_SPLIT_SERVERS_MAX;
	d->at = 0;
	d->server_cnt = (unsigned)cnt;
	if (cnt)
		memcpy(d->servers, servers, cnt * sizeof(*servers));
}

bool mf_dns_split_is_waiting(const struct mf_dns_split *s)
{
	return s->flow_cnt || s->conn_cnt;
}

void mf_dns_split_get_stats(const struct mf_dns_split *s, struct mf_dns_split_stats *ret)
{
	*ret = s->stats;
}

int mf_dns_split_new(struct event_base *base, const struct mf_dns_split_options *options,
		     struct mf_dns_split **ret, struct mf_err *err)
{
	struct mf_dns_split *s;

	if (!base || options->size != sizeof(*options) || !options->is_ours)
		return mf_err_set(err, MF_E_INVAL, "names of ours must be known to somebody");
	s = calloc(1, sizeof(*s));
	if (s)
		s->timeouts = mf_timeouts_new(base);
	if (!s || !s->timeouts) {
		free(s);
		return mf_err_set(err, MF_E_NOMEM, "no memory for DNS");
	}
	s->opt = *options;
	s->base = base;
	s->seed = mf_hash_seed();
	mf_timeout_queue_init(&s->flow_ends, s->timeouts, FLOW_MS, on_silence, s);
	mf_timeout_queue_init(&s->conn_ends, s->timeouts, CONN_MS, mf_dns_split_conn_idle, s);
	mf_timeout_queue_init(&s->backoff, s->timeouts, BACKOFF_MS, on_backoff, s);
	*ret = s;
	return 0;
}

void mf_dns_split_free(struct mf_dns_split *s)
{
	if (!s)
		return;
	mf_timeout_disarm(&s->pause);
	mf_dns_split_close_conns(s);
	for (unsigned i = 0; i < MF_DNS_SPLIT_BUCKETS; i++)
		while (s->flows[i])
			free_flow(s->flows[i]);
	for (unsigned i = 0; i < s->door_cnt; i++)
		free_door(s->doors[i]);
	mf_timeouts_free(s->timeouts);
	free(s);
}
