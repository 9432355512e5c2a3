/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_servers.c - the table of listening servers: what is new, whose it is, what it speaks, what it is called
 *
 * A socket is new, looked up, known. Sockets of one port that belong together (families, workers, a restart) are one server.
 * A server is told of when its owner is looked up and the probe has ended; from then on each difference is told.
 */
#include "proxies/dev_servers.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "proxies/dev_servers_int.h"
#include "proxies/dev_worker.h"
#include "proxies/sock.h"
#include "proxies/timeouts.h"

#define TICK_MS	   400
#define PROBE_MS   100
#define PROBES_MAX 4

/* A server that says nothing is asked again after 1, 3, 9 and 27 s: many need that long for the first page. */
#define SILENT_TRIES	4
#define SILENT_FIRST_MS 1000
#define SILENT_FACTOR	3

/* For so long a new server waits for its owner to be found; then it goes without. */
#define OWNER_WAIT_MS 3000

enum sock_state {
	SOCK_NEW,
	SOCK_LOOKING, /* at the worker's */
	SOCK_KNOWN,
	SOCK_IGNORED /* ours, or one too many */
};

struct entry;

struct sock {
	struct mf_dev_listener l;
	enum sock_state state;
	uint64_t since_ms;
	struct entry *entry; /* the server that it belongs to, once that is known */
};

struct entry {
	struct mf_dev_servers *d;
	struct mf_dev_server now, told; /* as it is, and as it was last told of */
	bool is_told;
	enum mf_dev_kind kind; /* by process and project alone */
	char label[MF_DEV_LABEL_ROOM];
	char name[MF_DEV_NAME_ROOM]; /* kept for it, also while nobody knows what it speaks */
	bool has_facts;
	bool to_ask;
	uint8_t tries;		    /* that it was silent to */
	uint64_t ask_again_ms;	    /* 0: not */
	struct mf_dev_probe *probe; /* under way */
	bool exited;		    /* its process has ended */
	int exit_fd;		    /* -1: not watched */
	struct event exit_ev;
};

struct socks {
	struct sock *v; /* sorted by cookie */
	size_t cnt;
};

struct mf_dev_servers {
	struct event_base *base;
	struct mf_dev_servers_options o;
	uint32_t *uids;
	uint16_t *skip_ports;
	struct mf_dev_source source;
	struct mf_dev_prober *prober;
	struct mf_dev_worker *worker;
	struct event tick;
	struct mf_dev_listener *listed; /* MF_DEV_LISTEN_MAX */
	struct socks socks;		/* all that matter, as of the last look */
	struct mf_dev_facts batch[MF_DEV_BATCH_MAX];
	struct entry *entries[MF_DEV_SERVERS_MAX]; /* by first_seen_ms */
	size_t cnt, probing;
	uint64_t last_id;
	struct mf_dev_servers_stats stats;
};

static uint64_t wall_ms(void)
{
	return mf_clock_wall(&mf_clock_system) / MF_NS_PER_MS;
}

/* --- telling -------------------------------------------------------------------------------------------------------- */

static bool differs(const struct mf_dev_server *a, const struct mf_dev_server *b)
{
	return memcmp(&a->at, &b->at, sizeof(a->at)) != 0 || a->on_v4 != b->on_v4 ||
	       a->on_v6 != b->on_v6 || a->on_any_address != b->on_any_address || a->uid != b->uid ||
	       a->pid != b->pid || strcmp(a->process, b->process) != 0 ||
	       strcmp(a->cwd, b->cwd) != 0 || strcmp(a->project, b->project) != 0 ||
	       a->kind != b->kind || a->speech != b->speech || strcmp(a->name, b->name) != 0;
}

static void tell(struct entry *e)
{
	struct mf_dev_servers *d = e->d;
	enum mf_dev_change change = e->is_told ? MF_DEV_CHANGED : MF_DEV_APPEARED;

	if (e->is_told && !differs(&e->now, &e->told))
		return;
	e->told = e->now;
	e->is_told = true;
	if (d->o.told)
		d->o.told(d->o.ctx, change, &e->told);
}

/* --- names ---------------------------------------------------------------------------------------------------------- */

static bool speaks(enum mf_dev_speech speech)
{
	return speech == MF_DEV_HTTP || speech == MF_DEV_TLS || speech == MF_DEV_H2C;
}

static bool is_free(const struct entry *for_e, const char *name)
{
	const struct mf_dev_servers *d = for_e->d;

	if (strcmp(name, "localhost.localhost") == 0 || strcmp(name, "moonfence.localhost") == 0)
		return false;
	if (d->o.is_taken && d->o.is_taken(d->o.ctx, name))
		return false;
	for (size_t i = 0; i < d->cnt; i++)
		if (d->entries[i] != for_e && strcmp(d->entries[i]->name, name) == 0)
			return false;
	return true;
}

/* The shortest that is free; a name that it has already stays, if it is one that it could have. */
static void choose_name(struct entry *e)
{
	char name[3][MF_DEV_NAME_ROOM];

	if (!e->label[0] || e->kind == MF_DEV_SERVICE) {
		e->name[0] = '\0';
		return;
	}
	snprintf(name[0], sizeof(name[0]), "%s.localhost", e->label);
	snprintf(name[1], sizeof(name[1]), "%s-%u.localhost", e->label, e->now.at.port);
	snprintf(name[2], sizeof(name[2]), "%s-%u-b.localhost", e->label, e->now.at.port);
	for (size_t i = 0; i < MF_ARRAY_SIZE(name); i++)
		if (strcmp(e->name, name[i]) == 0 && is_free(e, name[i]))
			return;
	e->name[0] = '\0';
	for (size_t i = 0; i < MF_ARRAY_SIZE(name) && !e->name[0]; i++)
		if (is_free(e, name[i]))
			memcpy(e->name, name[i], sizeof(e->name));
}

static void show_name(struct entry *e)
{
	memset(e->now.name, 0, sizeof(e->now.name));
	if (speaks(e->now.speech))
		memcpy(e->now.name, e->name, sizeof(e->now.name));
}

void mf_dev_servers_rename(struct mf_dev_servers *d)
{
	for (size_t i = 0; i < d->cnt; i++) {
		struct entry *e = d->entries[i];

		if (!e->has_facts)
			continue;
		choose_name(e);
		show_name(e);
		if (e->is_told)
			tell(e);
	}
}

/* --- where a server is ---------------------------------------------------------------------------------------------- */

static bool is_any(const struct mf_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

/* Whether another server listens on an IPv4 address of this port: then :: does not get IPv4's connections for loopback. */
static bool has_rival_on_v4(const struct entry *e)
{
	const struct socks *all = &e->d->socks;

	for (size_t i = 0; i < all->cnt; i++) {
		const struct sock *s = &all->v[i];

		if (s->entry != e && s->l.at.port == e->now.at.port && s->l.at.addr.family == 4)
			return true;
	}
	return false;
}

static struct mf_endpoint loopback(uint8_t family, uint16_t port)
{
	struct mf_endpoint ep = { .addr = { .family = family }, .port = port };

	if (family == 4) {
		ep.addr.bytes[0] = 127;
		ep.addr.bytes[3] = 1;
	} else {
		ep.addr.bytes[15] = 1;
	}
	return ep;
}

/* The server's addresses from its sockets. Return: how many it has */
static size_t gather(struct entry *e)
{
	const struct socks *all = &e->d->socks;
	struct mf_endpoint v4 = { 0 }, v6 = { 0 };
	bool any = false;
	size_t cnt = 0;

	for (size_t i = 0; i < all->cnt; i++) {
		const struct mf_dev_listener *l = &all->v[i].l;
		bool is_v4 = l->at.addr.family == 4, beyond = is_any(&l->at.addr);
		struct mf_endpoint *to = is_v4 ? &v4 : &v6;

		if (all->v[i].entry != e)
			continue;
		cnt++;
		any |= beyond;
		if (beyond || to->addr.family == 0)
			*to = beyond ? loopback(l->at.addr.family, l->at.port) : l->at;
		if (!is_v4 && beyond && !l->only_v6 && v4.addr.family == 0 && !has_rival_on_v4(e))
			v4 = loopback(4, l->at.port);
	}
	if (cnt == 0)
		return 0;
	e->now.on_v4 = v4.addr.family;
	e->now.on_v6 = v6.addr.family;
	e->now.on_any_address = any;
	e->now.at = e->now.on_v4 ? v4 : v6;
	return cnt;
}

/* --- what it speaks ------------------------------------------------------------------------------------------------- */

static void ask_next(struct mf_dev_servers *d);

static void on_answer(struct entry *e, enum mf_dev_speech speech, struct mf_span head)
{
	e->now.speech = speech;
	e->now.kind = mf_dev_kind_from_answer(e->kind, head);
	e->ask_again_ms = 0;
	if (speech == MF_DEV_SILENT && e->tries < SILENT_TRIES) {
		uint64_t after_ms = SILENT_FIRST_MS;

		for (int i = 0; i < e->tries; i++)
			after_ms *= SILENT_FACTOR;
		e->tries++;
		e->ask_again_ms = mf_now_ms() + after_ms;
	}
	if (speech == MF_DEV_OTHER)
		e->name[0] = '\0';
	else if (!e->name[0])
		choose_name(e);
	show_name(e);
	tell(e);
}

static void on_probe(void *ctx, enum mf_dev_speech speech, struct mf_span head)
{
	struct entry *e = ctx;
	struct mf_dev_servers *d = e->d;

	e->probe = NULL;
	d->probing--;
	on_answer(e, speech, head);
	ask_next(d);
}

static void ask(struct entry *e)
{
	struct mf_dev_servers *d = e->d;

	e->to_ask = false;
	if (e->kind == MF_DEV_SERVICE || mf_dev_port_is_foreign(e->now.at.port)) {
		on_answer(e, MF_DEV_OTHER, mf_span_of("", 0));
		return;
	}
	if (d->source.ask) {
		on_answer(e, d->source.ask(d->source.ctx, &e->now.at), mf_span_of("", 0));
		return;
	}
	e->probe = mf_dev_probe_start(d->prober, &e->now.at, on_probe, e);
	if (e->probe)
		d->probing++;
	else
		on_answer(e, MF_DEV_SILENT, mf_span_of("", 0)); /* no memory: later, perhaps */
}

static void ask_next(struct mf_dev_servers *d)
{
	for (size_t i = 0; i < d->cnt && d->probing < d->o.probes_max; i++)
		if (d->entries[i]->to_ask && !d->entries[i]->probe)
			ask(d->entries[i]);
}

static void ask_silent_again(struct mf_dev_servers *d)
{
	uint64_t now = mf_now_ms();

	for (size_t i = 0; i < d->cnt; i++) {
		struct entry *e = d->entries[i];

		if (e->ask_again_ms && e->ask_again_ms <= now) {
			e->ask_again_ms = 0;
			e->to_ask = true;
		}
	}
	ask_next(d);
}

/* --- servers -------------------------------------------------------------------------------------------------------- */

static void unwatch(struct entry *e)
{
	if (e->exit_fd < 0)
		return;
	event_del(&e->exit_ev);
	mf_sock_close(e->exit_fd);
	e->exit_fd = -1;
}

static void on_exit_of(evutil_socket_t fd, short what, void *ctx)
{
	struct entry *e = ctx;

	(void)fd;
	(void)what;
	unwatch(e);
	e->exited = true;
	mf_dev_servers_look(e->d); /* may free @e */
}

static void watch_process(struct entry *e)
{
	struct mf_dev_servers *d = e->d;

	unwatch(e);
	e->exited = false;
	if (e->now.pid == 0 || !d->source.watch)
		return;
	e->exit_fd = d->source.watch(d->source.ctx, e->now.pid);
	if (e->exit_fd < 0) { /* the tick will see it go */
		e->exit_fd = -1;
		return;
	}
	if (event_assign(&e->exit_ev, d->base, e->exit_fd, EV_READ, on_exit_of, e) < 0 ||
	    event_add(&e->exit_ev, NULL) < 0) {
		mf_sock_close(e->exit_fd);
		e->exit_fd = -1;
	}
}

static struct entry *new_entry(struct mf_dev_servers *d, const struct mf_dev_listener *l)
{
	struct entry *e = d->cnt < MF_DEV_SERVERS_MAX ? calloc(1, sizeof(*e)) : NULL;

	if (!e) {
		d->stats.left_out++;
		return NULL;
	}
	e->d = d;
	e->exit_fd = -1;
	e->now.id = ++d->last_id;
	e->now.uid = l->uid;
	e->now.at = l->at;
	e->now.first_seen_ms = e->now.last_seen_ms = wall_ms();
	d->entries[d->cnt++] = e;
	return e;
}

static void free_entry(struct entry *e)
{
	if (e->probe) {
		mf_dev_probe_cancel(e->probe);
		e->d->probing--;
	}
	unwatch(e);
	free(e);
}

static void remove_entry(struct mf_dev_servers *d, size_t i)
{
	struct entry *e = d->entries[i];

	d->cnt--;
	memmove(&d->entries[i], &d->entries[i + 1], (d->cnt - i) * sizeof(d->entries[0]));
	if (e->is_told && d->o.told) {
		e->told.last_seen_ms = e->now.last_seen_ms;
		d->o.told(d->o.ctx, MF_DEV_DISAPPEARED, &e->told);
	}
	free_entry(e);
}

/* Servers without sockets go, addresses of the others are gathered again. */
static void sweep(struct mf_dev_servers *d)
{
	for (size_t i = d->cnt; i-- > 0;) {
		struct entry *e = d->entries[i];

		if (gather(e) == 0)
			remove_entry(d, i);
		else if (e->is_told && !e->to_ask && !e->probe)
			tell(e); /* who is asked something is told of after its answer */
	}
	ask_next(d);
}

/* Whether a socket is one more of a server: workers on one address, another family, a process that is the same. */
static bool belongs(const struct entry *e, const struct sock *s, const struct mf_dev_facts *f)
{
	const struct socks *all = &e->d->socks;

	if (e->now.at.port != s->l.at.port || e->now.uid != s->l.uid)
		return false;
	if (f->pid && e->now.pid == f->pid)
		return true;
	if (f->cwd[0] && strcmp(e->now.cwd, f->cwd) == 0 && strcmp(e->now.process, f->process) == 0)
		return true;
	for (size_t i = 0; i < all->cnt; i++)
		if (all->v[i].entry == e && mf_addr_eq(&all->v[i].l.at.addr, &s->l.at.addr))
			return true;
	return false;
}

/* A socket whose owner is known, or will not be: it goes to its server. */
static void place(struct mf_dev_servers *d, struct sock *s, const struct mf_dev_facts *f)
{
	struct entry *e = s->entry;

	s->state = SOCK_KNOWN;
	if (f->pid && f->pid == d->source.self_pid) {
		s->state = SOCK_IGNORED;
		s->entry = NULL;
		return;
	}
	for (size_t i = 0; i < d->cnt && !e; i++)
		if (d->entries[i]->has_facts && belongs(d->entries[i], s, f)) {
			s->entry = d->entries[i];
			return;
		}
	if (!e)
		e = new_entry(d, &s->l);
	if (!e) {
		s->state = SOCK_IGNORED;
		return;
	}
	s->entry = e;
	/* new, restarted, or in another process' hands now */
	e->has_facts = true;
	e->now.pid = f->pid;
	memcpy(e->now.process, f->process, sizeof(e->now.process));
	memcpy(e->now.cwd, f->cwd, sizeof(e->now.cwd));
	memcpy(e->now.project, f->project, sizeof(e->now.project));
	memcpy(e->label, f->label, sizeof(e->label));
	e->kind = f->kind;
	e->tries = 0;
	e->ask_again_ms = 0;
	e->to_ask = true;
	choose_name(e);
	watch_process(e);
}

static int by_cookie(const void *a, const void *b)
{
	uint64_t x = ((const struct sock *)a)->l.cookie, y = ((const struct sock *)b)->l.cookie;

	return (x > y) - (x < y);
}

static struct sock *find_sock(const struct mf_dev_servers *d, uint64_t cookie)
{
	struct sock key = { .l.cookie = cookie };

	return d->socks.cnt ? bsearch(&key, d->socks.v, d->socks.cnt, sizeof(key), by_cookie)
			    : NULL;
}

/* Of servers that begin at once, the ones that people look at get the short names; else by port, so that it stays so. */
static int by_rank(const void *a, const void *b)
{
	const struct mf_dev_facts *x = a, *y = b;
	int rank = mf_dev_kind_is_frontend(y->kind) - mf_dev_kind_is_frontend(x->kind);

	return rank ? rank : (x->port > y->port) - (x->port < y->port);
}

static void look_up_new(struct mf_dev_servers *d);

static void on_owners(void *ctx, struct mf_dev_facts *facts, size_t cnt)
{
	struct mf_dev_servers *d = ctx;

	qsort(facts, cnt, sizeof(*facts), by_rank);
	for (size_t i = 0; i < cnt; i++) {
		struct sock *s = find_sock(d, facts[i].cookie);

		d->stats.unowned += facts[i].pid == 0;
		if (s) /* or it closed meanwhile */
			place(d, s, &facts[i]);
	}
	sweep(d);
	look_up_new(d);
}

static struct mf_dev_facts ask_about(const struct sock *s)
{
	return (struct mf_dev_facts){
		.cookie = s->l.cookie, .inode = s->l.inode, .uid = s->l.uid, .port = s->l.at.port
	};
}

static void look_up_new(struct mf_dev_servers *d)
{
	bool busy = mf_dev_worker_is_busy(d->worker), given_up = false;
	uint64_t now = mf_now_ms();
	size_t cnt = 0;

	for (size_t i = 0; i < d->socks.cnt; i++) {
		struct sock *s = &d->socks.v[i];

		if (s->state == SOCK_NEW && !busy && cnt < MF_DEV_BATCH_MAX) {
			d->batch[cnt++] = ask_about(s);
			s->state = SOCK_LOOKING;
		} else if (s->state < SOCK_KNOWN && now - s->since_ms > d->source.owner_wait_ms) {
			struct mf_dev_facts nothing = ask_about(s);

			d->stats.unowned++;
			place(d, s, &nothing);
			given_up = true;
		}
	}
	d->stats.look_ups += cnt;
	if (cnt)
		(void)mf_dev_worker_ask(d->worker, d->batch, cnt);
	if (given_up)
		sweep(d);
}

/* --- looking -------------------------------------------------------------------------------------------------------- */

static bool is_asked_for(const struct mf_dev_servers *d, const struct mf_dev_listener *l)
{
	bool wanted = d->o.every_uid;

	if (l->at.port < 1024 || !(is_any(&l->at.addr) || mf_addr_is_loopback(&l->at.addr)))
		return false;
	for (size_t i = 0; i < d->o.skip_port_cnt; i++)
		if (d->skip_ports[i] == l->at.port)
			return false;
	for (size_t i = 0; i < d->o.uid_cnt && !wanted; i++)
		wanted = d->uids[i] == l->uid;
	return wanted;
}

static int listener_by_cookie(const void *a, const void *b)
{
	uint64_t x = ((const struct mf_dev_listener *)a)->cookie,
		 y = ((const struct mf_dev_listener *)b)->cookie;

	return (x > y) - (x < y);
}

/* Return: how many listeners in d->listed matter, sorted by cookie; MF_E_* */
static int list(struct mf_dev_servers *d)
{
	int n = d->source.list(d->source.ctx, d->listed, MF_DEV_LISTEN_MAX);
	size_t cnt = 0;

	if (n < 0)
		return n;
	n = n > MF_DEV_LISTEN_MAX ? MF_DEV_LISTEN_MAX : n;
	for (int i = 0; i < n; i++)
		if (is_asked_for(d, &d->listed[i]))
			d->listed[cnt++] = d->listed[i];
	if (cnt)
		qsort(d->listed, cnt, sizeof(d->listed[0]), listener_by_cookie);
	return (int)cnt;
}

static bool is_as_before(const struct mf_dev_servers *d, size_t cnt)
{
	if (cnt != d->socks.cnt)
		return false;
	for (size_t i = 0; i < cnt; i++)
		if (d->listed[i].cookie != d->socks.v[i].l.cookie)
			return false;
	return true;
}

/* Known sockets keep what is known of them. Return: 0, MF_E_NOMEM */
static int merge(struct mf_dev_servers *d, size_t cnt)
{
	struct sock *v = calloc(cnt ? cnt : 1, sizeof(*v));
	uint64_t now = mf_now_ms();

	if (!v)
		return MF_E_NOMEM;
	for (size_t i = 0; i < cnt; i++) {
		const struct sock *old = find_sock(d, d->listed[i].cookie);

		if (old)
			v[i] = *old;
		else
			v[i] = (struct sock){ .l = d->listed[i], .since_ms = now };
	}
	free(d->socks.v);
	d->socks.v = v;
	d->socks.cnt = cnt;
	return 0;
}

/* A server whose last socket closed while a new one took its port was restarted. */
static void adopt_restarted(struct mf_dev_servers *d)
{
	for (size_t i = 0; i < d->socks.cnt; i++) {
		struct sock *s = &d->socks.v[i];

		for (size_t k = 0; k < d->cnt && !s->entry && s->state == SOCK_NEW; k++) {
			struct entry *e = d->entries[k];

			if (e->now.at.port == s->l.at.port && e->now.uid == s->l.uid &&
			    gather(e) == 0)
				s->entry = e;
		}
	}
}

/* The process that held these sockets has ended, and somebody else holds them still. */
static void look_up_heirs(struct mf_dev_servers *d)
{
	for (size_t i = 0; i < d->socks.cnt; i++) {
		struct sock *s = &d->socks.v[i];

		if (!s->entry || !s->entry->exited || s->state != SOCK_KNOWN)
			continue;
		s->state = SOCK_NEW;
		s->since_ms = mf_now_ms();
	}
	for (size_t i = 0; i < d->cnt; i++)
		d->entries[i]->exited = false;
}

void mf_dev_servers_look(struct mf_dev_servers *d)
{
	int cnt = list(d);
	uint64_t wall = wall_ms();

	d->stats.ticks++;
	if (cnt < 0) {
		d->stats.failed_ticks++;
		return;
	}
	if (!is_as_before(d, (size_t)cnt)) {
		if (merge(d, (size_t)cnt) < 0)
			return;
		adopt_restarted(d);
		sweep(d);
	}
	for (size_t i = 0; i < d->cnt; i++)
		d->entries[i]->now.last_seen_ms = d->entries[i]->told.last_seen_ms = wall;
	look_up_heirs(d);
	look_up_new(d);
	ask_silent_again(d);
}

bool mf_dev_servers_is_busy(const struct mf_dev_servers *d)
{
	return d->probing || mf_dev_worker_is_busy(d->worker);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	mf_dev_servers_look(ctx);
}

/* --- interface ------------------------------------------------------------------------------------------------------ */

/* Copies of the options' arrays, and defaults. */
static int take_options(struct mf_dev_servers *d, const struct mf_dev_servers_options *o)
{
	const uint32_t *uids = o->uid_cnt ? o->uids : &d->source.self_uid;

	d->o = *o;
	if (!d->o.uid_cnt)
		d->o.uid_cnt = 1;
	if (!d->o.tick_ms)
		d->o.tick_ms = TICK_MS;
	if (!d->o.probe_ms)
		d->o.probe_ms = PROBE_MS;
	if (!d->o.probes_max)
		d->o.probes_max = PROBES_MAX;
	d->uids = calloc(d->o.uid_cnt, sizeof(*uids));
	d->skip_ports = calloc(o->skip_port_cnt + 1, sizeof(*o->skip_ports));
	if (!d->uids || !d->skip_ports)
		return MF_E_NOMEM;
	memcpy(d->uids, uids, d->o.uid_cnt * sizeof(*uids));
	if (o->skip_port_cnt)
		memcpy(d->skip_ports, o->skip_ports, o->skip_port_cnt * sizeof(*o->skip_ports));
	return 0;
}

static int start_parts(struct mf_dev_servers *d, const struct mf_dev_servers_options *o)
{
	struct timeval every;
	int r = take_options(d, o);

	if (r < 0)
		return r;
	d->listed = calloc(MF_DEV_LISTEN_MAX, sizeof(*d->listed));
	d->prober = mf_dev_prober_new(d->base, d->o.probe_ms);
	if (!d->listed || !d->prober ||
	    event_assign(&d->tick, d->base, -1, EV_PERSIST, on_tick, d) < 0)
		return MF_E_NOMEM;
	r = mf_dev_worker_start(d->base, d->source.look_up, on_owners, d, &d->worker);
	if (r < 0)
		return r;
	every.tv_sec = d->o.tick_ms / 1000;
	every.tv_usec = (int)(d->o.tick_ms % 1000) * 1000;
	if (event_add(&d->tick, &every) < 0)
		return MF_E_NOMEM;
	/* and at once from the loop; as EV_TIMEOUT it would count for the first tick */
	event_active(&d->tick, EV_READ, 0);
	return 0;
}

int mf_dev_servers_start_with(struct event_base *base, const struct mf_dev_servers_options *options,
			      const struct mf_dev_source *source, struct mf_dev_servers **ret,
			      struct mf_err *err)
{
	struct mf_dev_servers *d = NULL;
	int r = MF_E_INVAL;

	if (options->size == sizeof(*options)) {
		d = calloc(1, sizeof(*d));
		r = MF_E_NOMEM;
	}
	if (!d) {
		if (source->close)
			source->close(source->ctx);
		return mf_err_set(err, r,
				  r == MF_E_INVAL ? "options of another version of this program"
						  : "out of memory");
	}
	d->base = base;
	d->source = *source;
	if (!d->source.owner_wait_ms)
		d->source.owner_wait_ms = OWNER_WAIT_MS;
	r = start_parts(d, options);
	if (r < 0) {
		mf_dev_servers_stop(d);
		return mf_err_set(err, r, "cannot start to look for servers: %s",
				  r == MF_E_NOMEM ? "out of memory" : "no thread could be started");
	}
	*ret = d;
	return 0;
}

int mf_dev_servers_start(struct event_base *base, const struct mf_dev_servers_options *options,
			 struct mf_dev_servers **ret, struct mf_err *err)
{
	struct mf_dev_source source;
	int r = mf_sock_start();

	if (r < 0)
		return mf_err_set(err, r, "this system has no sockets that could be used");
	r = mf_dev_source_open(&source, err);
	return r < 0 ? r : mf_dev_servers_start_with(base, options, &source, ret, err);
}

void mf_dev_servers_stop(struct mf_dev_servers *d)
{
	if (!d)
		return;
	if (event_get_base(&d->tick))
		event_del(&d->tick);
	mf_dev_worker_stop(d->worker);
	for (size_t i = 0; i < d->cnt; i++)
		free_entry(d->entries[i]);
	mf_dev_prober_free(d->prober);
	if (d->source.close)
		d->source.close(d->source.ctx);
	free(d->socks.v);
	free(d->listed);
	free(d->uids);
	free(d->skip_ports);
	free(d);
}

const struct mf_dev_server *mf_dev_servers_next(const struct mf_dev_servers *d,
						const struct mf_dev_server *prev)
{
	bool found = !prev;

	for (size_t i = 0; i < d->cnt; i++) {
		if (found && d->entries[i]->is_told)
			return &d->entries[i]->told;
		found = found || &d->entries[i]->told == prev;
	}
	return NULL;
}

const struct mf_dev_server *mf_dev_servers_find(const struct mf_dev_servers *d, const char *name)
{
	for (size_t i = 0; i < d->cnt && name[0]; i++)
		if (d->entries[i]->is_told && strcmp(d->entries[i]->told.name, name) == 0)
			return &d->entries[i]->told;
	return NULL;
}

void mf_dev_servers_get_stats(const struct mf_dev_servers *d, struct mf_dev_servers_stats *ret)
{
	struct mf_dev_probe_stats probes;

	*ret = d->stats;
	ret->size = sizeof(*ret);
	ret->servers = 0;
	for (size_t i = 0; i < d->cnt; i++)
		ret->servers += d->entries[i]->is_told;
	mf_dev_prober_get_stats(d->prober, &probes);
	ret->probes = probes.connections;
	ret->probes_late = probes.late;
}
