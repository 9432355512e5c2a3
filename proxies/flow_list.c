/* SPDX-License-Identifier: Apache-2.0 */
/* flow_list.c - see flow_list.h */
#include "proxies/flow_list.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxies/icmp_int.h"
#include "proxies/tcp_int.h"
#include "proxies/udp_int.h"

struct found {
	uint64_t id;
	/* one of them: */
	const struct mf_tcp_conn *tcp;
	const struct mf_udp_flow *udp;
	const struct mf_icmp_flow *icmp;
};

static const char *tcp_state(const struct mf_tcp_conn *c)
{
	static const char *const names[] = {
		[MF_TCP_HELLO] = "judged", [MF_TCP_OPENING] = "opening", [MF_TCP_RELAY] = "open",
		[MF_TCP_BRIDGE] = "open",  [MF_TCP_GRACE] = "ending",	 [MF_TCP_LINGER] = "ending",
	};

	_Static_assert(MF_ARRAY_SIZE(names) == MF_TCP_STATE_NUM, "a word for each state");
	return mf_tcp_conn_waits(c) ? "waiting" : names[c->state];
}

static void set_host(struct mf_flow_row *row, const char *host)
{
	snprintf(row->host, sizeof(row->host), "%s", host ? host : "");
}

static void fill_tcp(const struct mf_tcp_conn *c, struct mf_flow_row *row)
{
	row->proto = MF_TCP;
	row->client = c->flow.client;
	row->server = c->flow.server;
	row->state = tcp_state(c);
	row->age_ms = mf_now_ms() - c->start_ms;
	row->to_server = c->relay.dir[0].bytes;
	row->to_client = c->relay.dir[1].bytes;
	set_host(row, c->host);
	if (c->relay.fd[1] >= 0)
		(void)mf_sock_peer(c->relay.fd[1], &row->to);
}

static void fill_udp(const struct mf_udp_flow *f, struct mf_flow_row *row)
{
	row->proto = MF_UDP;
	row->client = f->ends.client;
	row->server = f->ends.server;
	row->to = f->outer >= 0 || f->request ? f->to : (struct mf_endpoint){ 0 };
	row->state = f->asked ? "waiting" : f->holding ? "judged" : "open";
	row->idle_ms = mf_now_ms() - f->last_ms;
	row->to_server = f->sent;
	row->to_client = f->received;
	set_host(row, f->host);
}

static void fill_icmp(const struct mf_icmp_flow *f, struct mf_flow_row *row)
{
	row->proto = MF_ICMP;
	row->client = f->ends.client;
	row->server = f->ends.server;
	row->to = (struct mf_endpoint){ .addr = f->socket.to };
	row->state = "open";
	row->idle_ms = mf_now_ms() - f->last_ms;
	row->to_server = f->sent;
	row->to_client = f->received;
	set_host(row, f->host);
}

static int newest_first(const void *a, const void *b)
{
	const struct found *x = a, *y = b;

	return (x->id < y->id) - (x->id > y->id);
}

static size_t collect(const struct mf_proxy *p, uint64_t before, struct found *all, size_t room)
{
	size_t cnt = 0;

	for (const struct mf_tcp_conn *c = p->tcp ? p->tcp->conns : NULL; c && cnt < room;
	     c = c->next)
		if (!before || c->id < before)
			all[cnt++] = (struct found){ .id = c->id, .tcp = c };
	for (const struct mf_udp_flow *f = p->udp ? p->udp->newest : NULL; f && cnt < room;
	     f = f->older)
		if (!before || f->id < before)
			all[cnt++] = (struct found){ .id = f->id, .udp = f };
	for (const struct mf_icmp_flow *f = p->icmp ? p->icmp->newest : NULL; f && cnt < room;
	     f = f->older)
		if (f->socket.fd >= 0 && (!before || f->id < before))
			all[cnt++] = (struct found){ .id = f->id, .icmp = f };
	qsort(all, cnt, sizeof(*all), newest_first);
	return cnt;
}

size_t mf_flow_list(struct mf_proxy *p, uint64_t before, struct mf_flow_row *rows, size_t cap,
		    bool *ret_more)
{
	size_t room = (size_t)(p->stats.tcp_open + p->stats.udp_open + p->stats.icmp_open), cnt;
	struct found *all = calloc(room ? room : 1, sizeof(*all));

	*ret_more = false;
	if (!all)
		return 0;
	cnt = collect(p, before, all, room);
	*ret_more = cnt > cap;
	if (cnt > cap)
		cnt = cap;
	for (size_t i = 0; i < cnt; i++) {
		rows[i] = (struct mf_flow_row){ .id = all[i].id };
		if (all[i].tcp)
			fill_tcp(all[i].tcp, &rows[i]);
		else if (all[i].udp)
			fill_udp(all[i].udp, &rows[i]);
		else
			fill_icmp(all[i].icmp, &rows[i]);
	}
	free(all);
	return cnt;
}
