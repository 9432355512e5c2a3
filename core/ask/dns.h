/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h - what a DNS question is to the policies, and what a resolver's answer ties to it
 *
 * The steps that lie between bytes on a wire (core/wire/dns_wire.h) and the table of names (core/names/correlation.h),
 * the same for a live session and for a replayed one.
 */
#ifndef MF_ASK_DNS_H
#define MF_ASK_DNS_H

#include "core/ask/ask.h"
#include "core/wire/dns_wire.h"

struct mf_ask_dns_question {
	const struct mf_session_flow *flow;
	const char *name, *type, *class; /* text */
	uint16_t number;		 /* of the type */
};

/**
 * mf_ask_dns_judge() - The verdict on a question, with everything that may decide it
 * A name that no dns rule means is answered if connect could allow it (@resolve_known, P13). What leads to an address in
 * another way than A must not lead around A: a policy that answers A itself answers AAAA, HTTPS, SVCB and ANY as well.
 * Return: 0 with *d filled, MF_E_SYNTAX for a name that no policy can be asked about
 */
int mf_ask_dns_judge(struct mf_asker *a, const struct mf_ask_dns_question *q, bool resolve_known,
		     struct mf_decision *d);

#define MF_DNS_TIED_MAX	   256	/* addresses of one answer; more make it an error */
#define MF_DNS_TTL_CAP_S   3600 /* no answer is used for longer than names are tied */
#define MF_DNS_RECORDS_MAX 1024

/* The chain of an answer: who is reached over which aliases. Big: not for stacks. */
struct mf_dns_chain {
	char names[MF_NAMES_ALIASES_MAX][MF_DNS_TEXT_MAX];
	const char *list[MF_NAMES_ALIASES_MAX]; /* the CNAMEs' targets in order */
	size_t cnt, addr_cnt;
	uint32_t ttl_s; /* the smallest of the chain */
	struct mf_dns_name last;
	struct mf_addr addrs[MF_DNS_TIED_MAX];
};

/**
 * mf_dns_read_chain() - Follow the answer to @q
 * Records that hang on no link of the chain tie nothing: a connection to their addresses has no name.
 * @start: from mf_dns_begin_walk()
 * Return: 0; MF_E_BAD (malformed, too many aliases, a name that is no text), MF_E_LIMIT (records, addresses)
 */
int mf_dns_read_chain(struct mf_dns_chain *c, const struct mf_dns_query *q,
		      const struct mf_dns_walk *start);

/**
 * mf_ask_dns_answer() - The verdict of dns_answer on what a resolver said
 * @c: as mf_dns_read_chain() filled it; a policy sees at most its first 64 addresses, answer.private speaks of all
 * Return: 0 with *d filled, MF_E_SYNTAX
 */
int mf_ask_dns_answer(struct mf_asker *a, const struct mf_ask_dns_question *q,
		      const struct mf_dns_chain *c, unsigned rcode, struct mf_decision *d);

#endif
