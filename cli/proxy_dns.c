/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_dns.c - the service's DNS: names of ours are answered, everything else goes to the system's own resolvers
 *
 * Who leads questions here is the broker's work (it redirects those to the system's resolvers, and tells which door stands
 * for which), or that of a person who configures --dns-listen somewhere.
 */
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "cli/proxy_int.h"
#include "core/base/strbuf.h"
#include "proxies/dns_split.h"

_Static_assert(MF_PROXY_DNS_MAX <= MF_DNS_SPLIT_DOORS_MAX, "a door for each");

enum { FINISH_MS = 1000, FINISH_TURNS = 50 };

static bool is_ours(void *ctx, const char *name)
{
	const struct mf_proxy_service *s = ctx;

	return mf_forward_routes_find(mf_forward_get_routes(s->forward), name, strlen(name)) !=
	       NULL;
}

static bool may_ask(void *ctx, const struct mf_addr *client)
{
	const struct mf_proxy_service *s = ctx;

	/* what is redirected is this host's own, under any address that it has */
	return s->o.is_brokered || mf_forward_allows(s->forward, client);
}

int mf_proxy_service_start_dns(struct mf_proxy_service *s, struct mf_err *err)
{
	struct mf_dns_split_options o = {
		.size = sizeof(o), .is_ours = is_ours, .may_ask = may_ask, .ctx = s
	};
	int r;

	snprintf(s->dns_detail, sizeof(s->dns_detail), "%s",
		 s->o.dns_cnt ? "not begun" : "not asked for");
	if (!s->o.dns_cnt)
		return 0;
	/* nobody listens on ::1 for what would be led there */
	o.no_ip6 = s->o.is_brokered && s->o.fd_cnt < 2;
	r = mf_dns_split_new(s->base, &o, &s->dns, err);
	for (size_t i = 0; i < s->o.dns_cnt && r >= 0; i++) {
		r = mf_dns_split_add(s->dns, s->o.dns[i].udp, s->o.dns[i].tcp, err);
		s->o.dns[i].udp = s->o.dns[i].tcp = -1;
	}
	return r < 0 ? r : 0;
}

void mf_proxy_service_lead_dns(struct mf_proxy_service *s, unsigned door,
			       const struct mf_endpoint *servers, size_t cnt)
{
	if (s->dns && door < s->o.dns_cnt)
		mf_dns_split_lead(s->dns, door, servers, cnt);
}

void mf_proxy_service_say_dns(struct mf_proxy_service *s, bool on, const char *detail)
{
	s->dns_on = on;
	snprintf(s->dns_detail, sizeof(s->dns_detail), "%s", detail);
}

json_t *mf_proxy_service_dns_json(const struct mf_proxy_service *s)
{
	struct mf_dns_split_stats stats = { 0 };
	json_t *list = json_array();
	char text[MF_ENDPOINT_TEXT_MAX];

	if (s->dns)
		mf_dns_split_get_stats(s->dns, &stats);
	for (size_t i = 0; i < s->o.dns_cnt; i++)
		(void)json_array_append_new(
			list, json_string(mf_endpoint_format(&s->o.dns[i].at, text, sizeof(text))));
	return json_pack("{s:b, s:s, s:o, s:I, s:I, s:I, s:I}", "on", s->dns_on, "detail",
			 s->dns_detail, "listeners", list, "questions", (json_int_t)stats.questions,
			 "ours", (json_int_t)stats.ours, "passed", (json_int_t)stats.passed,
			 "failed", (json_int_t)stats.failed);
}

void mf_proxy_service_write_dns_metrics(const struct mf_proxy_service *s, struct mf_strbuf *b)
{
	struct mf_dns_split_stats stats;

	if (!s->dns)
		return;
	mf_dns_split_get_stats(s->dns, &stats);
	mf_strbuf_addf(
		b,
		"# HELP moonfence_forward_dns_questions_total Questions, by what came of them\n"
		"# TYPE moonfence_forward_dns_questions_total counter\n"
		"moonfence_forward_dns_questions_total{result=\"ours\"} %llu\n"
		"moonfence_forward_dns_questions_total{result=\"passed\"} %llu\n"
		"moonfence_forward_dns_questions_total{result=\"failed\"} %llu\n",
		(unsigned long long)stats.ours, (unsigned long long)stats.passed,
		(unsigned long long)stats.failed);
}

const char *mf_proxy_service_name_problem(const struct mf_proxy_service *s, const char *name,
					  char *room, size_t size)
{
	static const char known[] = ".localhost"; /* by browsers themselves */
	size_t len = strlen(name), own = sizeof(known) - 1;

	if (name[0] != '*' || s->dns_on || !s->o.is_brokered ||
	    (len > own && strcmp(name + len - own, known) == 0))
		return NULL;
	snprintf(room, size,
		 "cannot lead programs to names below it: there is no DNS path (%s), and a hosts "
		 "file has no wildcards; add the names one by one",
		 s->dns_detail);
	return room;
}

void mf_proxy_service_finish_dns(struct mf_proxy_service *s)
{
	static const struct timeval turn = { 0, FINISH_MS * 1000 / FINISH_TURNS };

	for (unsigned i = 0; s->dns && i < FINISH_TURNS; i++) {
		/* at least once: some may not have been read */
		if (i && !mf_dns_split_is_waiting(s->dns))
			return;
		event_base_loopexit(s->base, &turn);
		event_base_dispatch(s->base);
	}
}

void mf_proxy_service_stop_dns(struct mf_proxy_service *s)
{
	mf_dns_split_free(s->dns);
	s->dns = NULL;
}
