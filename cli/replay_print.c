/* SPDX-License-Identifier: Apache-2.0 */
/* replay_print.c - see replay_print.h */
#include "cli/replay_print.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli/output.h"
#include "core/ask/ask.h"
#include "core/base/strbuf.h"

#define LINE_CAP 16384

static const char *const rcodes[] = { "NOERROR",  "FORMERR", "SERVFAIL",
				      "NXDOMAIN", "NOTIMP",  "REFUSED" };

/* UTC; times past what a calendar shows are shown as its end. */
static void format_time(uint64_t ns, bool whole, char *buf, size_t size)
{
	time_t s = (time_t)(ns / MF_NS_PER_S);
	struct tm *tm = gmtime(&s);
	char day[16] = "", clock[16] = "";

	if (tm) {
		if (whole)
			strftime(day, sizeof(day), "%Y-%m-%dT", tm);
		strftime(clock, sizeof(clock), "%H:%M:%S", tm);
	}
	snprintf(buf, size, "%s%s.%06uZ", day, clock, (unsigned)(ns % MF_NS_PER_S / MF_NS_PER_US));
}

static void format_target(const struct mf_decision *d, char *buf, size_t size)
{
	bool v6 = d->redirect_host && strchr(d->redirect_host, ':');

	if (d->redirect_unix)
		snprintf(buf, size, "%s", d->redirect_unix);
	else
		snprintf(buf, size, "%s%s%s:%u", v6 ? "[" : "",
			 d->redirect_host ? d->redirect_host : "?", v6 ? "]" : "",
			 d->redirect_port);
}

/* --- lines ---------------------------------------------------------------------------------------------------------- */

static void add_what(struct mf_strbuf *b, const struct mf_replay_question *q)
{
	char client[MF_ENDPOINT_TEXT_MAX], server[MF_ENDPOINT_TEXT_MAX];

	mf_endpoint_format(&q->flow->client, client, sizeof(client));
	mf_endpoint_format(&q->flow->server, server, sizeof(server));
	switch (q->kind) {
	case MF_DNS:
		mf_strbuf_addf(b, "%s %s", q->type[0] ? q->type : "?", q->name);
		break;
	case MF_SNI:
		mf_strbuf_addf(b, "%s on %s", q->name[0] ? q->name : "(no name)", server);
		break;
	default:
		mf_strbuf_addf(b, "%s %s > %s", mf_proto_name(q->flow->proto), client, server);
		if (q->name_cnt == 0)
			mf_strbuf_adds(b, " (no name)");
		for (size_t i = 0; i < q->name_cnt; i++)
			mf_strbuf_addf(b, "%s%s", i ? ", " : " ", q->names[i]);
	}
}

/* What is carried out beside the verdict's own name. */
static void add_effect(struct mf_strbuf *b, enum mf_kind kind, const struct mf_decision *d)
{
	char text[512];

	if (d->audit)
		mf_strbuf_adds(b, " (audited)");
	switch (d->verdict) {
	case MF_DENY:
		if (kind == MF_DNS && d->rcode < MF_ARRAY_SIZE(rcodes))
			mf_strbuf_addf(b, " %s", rcodes[d->rcode]);
		break;
	case MF_RESOLVE:
		for (unsigned i = 0; i < d->addr_cnt; i++) {
			struct mf_addr a;

			if (mf_addr_from_bytes(&a, d->addrs[i].bytes,
					       d->addrs[i].family == 4 ? 4 : 16))
				mf_strbuf_addf(b, " %s", mf_addr_format(&a, text, sizeof(text)));
		}
		if (d->cname)
			mf_strbuf_addf(b, " %s", d->cname);
		break;
	case MF_REDIRECT:
	case MF_ROUTE:
		format_target(d, text, sizeof(text));
		mf_strbuf_addf(b, " to %s", text);
		if (d->tls_mode == MF_TLS_REWRITE_SNI && d->sni)
			mf_strbuf_addf(b, " as %s", d->sni);
		break;
	case MF_TERMINATE:
		if (d->on_failure == MF_FAIL_OPEN)
			mf_strbuf_adds(b, " unless pinned");
		break;
	default:
		break;
	}
}

static void add_provenance(struct mf_strbuf *b, const struct mf_replay_question *q,
			   const struct mf_replay_answer *a)
{
	const struct mf_decision *d = a->decision;

	if (d->file && d->file[0] && d->line)
		mf_strbuf_addf(b, "  %s:%u", d->file, d->line);
	else if (d->file && d->file[0])
		mf_strbuf_addf(b, "  %s", d->file);
	if (d->rule)
		mf_strbuf_addf(b, "  %s", d->rule);
	if (!d->matched && d->origin != MF_FROM_FAIL_MODE)
		mf_strbuf_addf(b, "  %s",
			       d->verdict == MF_ALLOW && q->kind == MF_DNS
				       ? "(no opinion on the name; connect could allow it)"
				       : "(default: no policy had an opinion)");
	if (a->host && q->name_cnt > 1)
		mf_strbuf_addf(b, "  by %s", a->host);
	if (d->origin == MF_FROM_FAIL_MODE)
		mf_strbuf_addf(b, "  the policy failed: %s", d->reason ? d->reason : "?");
	else if (d->reason && d->reason[0])
		mf_strbuf_addf(b, "  \"%s\"", d->reason);
}

static void print_line(struct mf_replay_print *p, const struct mf_replay_question *q,
		       const struct mf_replay_answer *a, char mark)
{
	struct mf_strbuf b = MF_STRBUF_INIT(LINE_CAP);
	const struct mf_decision *d = a->decision;
	char time[40];

	format_time(q->time_ns, false, time, sizeof(time));
	mf_strbuf_addf(&b, "%s %6" PRIu64 "  %-7s  ", time, q->packet, mf_kind_name(q->kind));
	add_what(&b, q);
	mf_strbuf_adds(&b, "  ");
	if (d) {
		mf_strbuf_adds(&b, mf_verdict_name(d->verdict));
		add_effect(&b, q->kind, d);
		add_provenance(&b, q, a);
	} else {
		mf_strbuf_adds(&b, mf_replay_unasked_name(a->unasked));
	}
	if (a->remark)
		mf_strbuf_addf(&b, "  [%s]", a->remark);
	if (a->asked_process)
		mf_strbuf_adds(&b, "  [process unknown]");
	if (q->repeats)
		mf_strbuf_addf(&b, "  [asked %u times]", q->repeats + 1);
	if (q->note)
		mf_strbuf_addf(&b, "  [%s]", q->note);
	if (b.failed) {
		p->failed = true;
	} else {
		if (p->against)
			printf("%s%c ",
			       mf_output_colour(stdout, mark == '+'   ? MF_GREEN
							: mark == '-' ? MF_RED
								      : MF_PLAIN),
			       mark);
		mf_output_text(stdout, b.str);
		fputs(mark == ' ' ? "" : mf_output_colour(stdout, MF_PLAIN), stdout);
		putchar('\n');
	}
	mf_strbuf_done(&b);
}

/* --- JSON ----------------------------------------------------------------------------------------------------------- */

static void set_text(json_t *o, const char *key, const char *text)
{
	if (text && text[0])
		json_object_set_new(o, key, mf_output_json_text(text));
}

static json_t *addresses_of(const struct mf_decision *d)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < d->addr_cnt; i++) {
		char text[MF_ADDR_TEXT_MAX];
		struct mf_addr a;

		if (mf_addr_from_bytes(&a, d->addrs[i].bytes, d->addrs[i].family == 4 ? 4 : 16))
			json_array_append_new(list,
					      json_string(mf_addr_format(&a, text, sizeof(text))));
	}
	return list;
}

/* The members of policy explain --json, where a decision has them. */
static json_t *json_of_answer(enum mf_kind kind, const struct mf_replay_answer *a)
{
	const struct mf_decision *d = a->decision;
	json_t *o = json_object();

	if (!d) {
		json_object_set_new(o, "verdict", json_null());
		set_text(o, "not_asked", mf_replay_unasked_name(a->unasked));
		json_object_set_new(o, "process_wanted", json_boolean(a->asked_process));
		return o;
	}
	set_text(o, "verdict", mf_verdict_name(d->verdict));
	set_text(o, "origin", mf_origin_name(d->origin));
	set_text(o, "reason", d->reason);
	set_text(o, "message", d->message);
	set_text(o, "visibility", mf_visibility_name(d->visibility));
	if (d->audit)
		json_object_set_new(o, "audit", json_true());
	if (d->verdict == MF_RESOLVE) {
		json_object_set_new(o, "addresses", addresses_of(d));
		set_text(o, "cname", d->cname);
	}
	if (d->verdict == MF_DENY && kind == MF_DNS)
		json_object_set_new(o, "rcode", json_integer(d->rcode));
	set_text(o, "redirect_host", d->redirect_host);
	if (d->redirect_host)
		json_object_set_new(o, "redirect_port", json_integer(d->redirect_port));
	set_text(o, "redirect_unix", d->redirect_unix);
	set_text(o, "sni", d->sni);
	set_text(o, "pack", d->pack);
	set_text(o, "policy", d->policy);
	set_text(o, "rule", d->rule);
	set_text(o, "file", d->file);
	if (d->line)
		json_object_set_new(o, "line", json_integer(d->line));
	json_object_set_new(o, "matched", json_boolean(d->matched));
	set_text(o, "host", a->host);
	set_text(o, "remark", a->remark);
	json_object_set_new(o, "process_wanted", json_boolean(a->asked_process));
	return o;
}

static void print_object(struct mf_replay_print *p, const struct mf_replay_question *q, bool differ)
{
	json_t *o = json_object(), *names = json_array();
	char text[64];

	json_object_set_new(o, "packet", json_integer((json_int_t)q->packet));
	format_time(q->time_ns, true, text, sizeof(text));
	set_text(o, "time", text);
	set_text(o, "kind", mf_kind_name(q->kind));
	set_text(o, "proto", mf_proto_name(q->flow->proto));
	set_text(o, "client", mf_endpoint_format(&q->flow->client, text, sizeof(text)));
	set_text(o, "server", mf_endpoint_format(&q->flow->server, text, sizeof(text)));
	set_text(o, q->kind == MF_SNI ? "sni" : "name", q->name);
	set_text(o, "type", q->type);
	for (size_t i = 0; i < q->name_cnt; i++)
		json_array_append_new(names, mf_output_json_text(q->names[i]));
	if (q->kind == MF_CONNECT)
		json_object_set(o, "hosts", names);
	json_decref(names);
	if (q->repeats)
		json_object_set_new(o, "repeats", json_integer(q->repeats));
	set_text(o, "note", q->note);
	json_object_set_new(o, "new", json_of_answer(q->kind, &q->answers[MF_REPLAY_NEW]));
	if (p->against) {
		json_object_set_new(o, "old", json_of_answer(q->kind, &q->answers[MF_REPLAY_OLD]));
		json_object_set_new(o, "differs", json_boolean(differ));
	}
	fputs(p->printed ? ",\n  " : "\n  ", stdout);
	if (!o || json_dumpf(o, stdout, JSON_PRESERVE_ORDER))
		p->failed = true;
	json_decref(o);
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

void mf_replay_print_begin(struct mf_replay_print *p)
{
	if (p->json)
		fputs("{\"questions\": [", stdout);
}

static void count(struct mf_replay_print *p, const struct mf_replay_question *q, unsigned side)
{
	const struct mf_decision *d = q->answers[side].decision;

	if (d)
		p->verdicts[side][d->verdict]++;
	else
		p->not_asked[side]++;
}

void mf_replay_print_question(void *ctx, const struct mf_replay_question *q)
{
	struct mf_replay_print *p = ctx;
	const struct mf_replay_answer *now = &q->answers[MF_REPLAY_NEW],
				      *old = &q->answers[MF_REPLAY_OLD];
	bool differ = p->against && mf_replay_differ(q->kind, old, now);

	p->questions[q->kind]++;
	count(p, q, MF_REPLAY_NEW);
	if (p->against)
		count(p, q, MF_REPLAY_OLD);
	p->differ += differ;
	if (p->changed_only && !differ)
		return;
	if (p->json) {
		print_object(p, q, differ);
	} else if (differ) {
		print_line(p, q, old, '-');
		print_line(p, q, now, '+');
	} else {
		print_line(p, q, now, ' ');
	}
	p->printed++;
}

static void print_verdicts(const struct mf_replay_print *p, const char *label, unsigned side)
{
	const char *comma = "";

	printf("%s", label);
	for (int v = 0; v < MF_VERDICT_NUM; v++) {
		if (!p->verdicts[side][v])
			continue;
		printf("%s %" PRIu64 " %s", comma, p->verdicts[side][v],
		       mf_verdict_name((enum mf_verdict)v));
		comma = ",";
	}
	if (p->not_asked[side])
		printf("%s %" PRIu64 " without an answer of their own", comma, p->not_asked[side]);
	else if (!*comma)
		fputs(" nothing was asked", stdout);
	putchar('\n');
}

struct remark {
	uint64_t cnt;
	const char *text; /* behind the number */
	const char *key;  /* in JSON */
};

#define REMARKS_MAX 24

static size_t list_remarks(const struct mf_replay_stats *s, bool cut, struct remark *ret)
{
	const struct remark all[] = {
		{ cut, "capture that ends inside of a packet", "capture_cut" },
		{ s->old_connections, "TCP connections began before the capture: not asked about",
		  "old_connections" },
		{ s->cut, "packets are not whole (snapshot length)", "cut_packets" },
		{ s->malformed, "packets are malformed", "malformed" },
		{ s->no_ip, "packets are no IP", "no_ip" },
		{ s->unknown_link, "packets are of a link type that is not read", "unknown_link" },
		{ s->other_protocols, "packets are neither TCP nor UDP", "other_protocols" },
		{ s->fragments_lost, "fragments or datagrams of them could not be put together",
		  "fragments_lost" },
		{ s->unasked_answers, "DNS answers without their question: nothing learnt",
		  "unasked_answers" },
		{ s->bad_dns, "DNS messages are malformed or cut", "bad_dns" },
		{ s->disagreeing_segments, "TCP streams say different bytes at one place",
		  "disagreeing_streams" },
		{ s->evicted_flows, "flows were forgotten for want of room", "evicted_flows" },
		{ s->evicted_questions, "questions were told early for want of room",
		  "evicted_questions" },
		{ s->evicted_streams, "streams were judged early for want of room",
		  "evicted_streams" },
		{ s->failures, "questions could not be answered by a policy: its fail mode did",
		  "failures" },
	};
	_Static_assert(MF_ARRAY_SIZE(all) <= REMARKS_MAX, "room for every remark");

	memcpy(ret, all, sizeof(all));
	return MF_ARRAY_SIZE(all);
}

static void end_json(struct mf_replay_print *p, const struct mf_replay_stats *s, bool cut)
{
	static const char *const sides[] = { "new", "old" };
	json_t *o = json_object();
	struct remark remarks[REMARKS_MAX];
	size_t cnt = list_remarks(s, cut, remarks);

	json_object_set_new(o, "packets", json_integer((json_int_t)s->packets));
	for (int k = MF_DNS; k <= MF_SNI; k++)
		json_object_set_new(o, mf_kind_name((enum mf_kind)k),
				    json_integer((json_int_t)p->questions[k]));
	for (unsigned side = 0; side < (p->against ? 2 : 1); side++) {
		json_t *v = json_object();

		for (int i = 0; i < MF_VERDICT_NUM; i++)
			if (p->verdicts[side][i])
				json_object_set_new(v, mf_verdict_name((enum mf_verdict)i),
						    json_integer((json_int_t)p->verdicts[side][i]));
		json_object_set_new(v, "not_asked", json_integer((json_int_t)p->not_asked[side]));
		json_object_set_new(o, sides[side], v);
	}
	if (p->against)
		json_object_set_new(o, "differ", json_integer((json_int_t)p->differ));
	json_object_set_new(o, "process_wanted", json_integer((json_int_t)s->process_asked));
	for (size_t i = 0; i < cnt; i++)
		json_object_set_new(o, remarks[i].key, json_integer((json_int_t)remarks[i].cnt));
	fputs(p->printed ? "\n], \"summary\": " : "], \"summary\": ", stdout);
	if (!o || json_dumpf(o, stdout, JSON_PRESERVE_ORDER))
		p->failed = true;
	fputs("}\n", stdout);
	json_decref(o);
}

void mf_replay_print_end(struct mf_replay_print *p, const struct mf_replay_stats *s, bool cut)
{
	uint64_t sum = p->questions[MF_DNS] + p->questions[MF_CONNECT] + p->questions[MF_SNI];
	struct remark remarks[REMARKS_MAX];
	size_t cnt = list_remarks(s, cut, remarks);

	if (p->json) {
		end_json(p, s, cut);
		return;
	}
	printf("%s%" PRIu64 " question%s in %" PRIu64 " packets: %" PRIu64 " dns, %" PRIu64
	       " connect, %" PRIu64 " sni\n",
	       p->printed ? "\n" : "", sum, sum == 1 ? "" : "s", s->packets, p->questions[MF_DNS],
	       p->questions[MF_CONNECT], p->questions[MF_SNI]);
	if (p->against)
		print_verdicts(p, "old:", MF_REPLAY_OLD);
	print_verdicts(p, p->against ? "new:" : "verdicts:", MF_REPLAY_NEW);
	if (p->against && p->differ)
		printf("%s%" PRIu64 " differ%s%s\n", mf_output_colour(stdout, MF_BOLD), p->differ,
		       p->differ == 1 ? "s" : "", mf_output_colour(stdout, MF_PLAIN));
	else if (p->against)
		puts("no differences");
	printf("note: no capture tells processes: process.* was absent (asked for by %" PRIu64
	       " question%s)\n",
	       s->process_asked, s->process_asked == 1 ? "" : "s");
	for (size_t i = 0; i < cnt; i++)
		if (remarks[i].cnt)
			printf("note: %" PRIu64 " %s\n", remarks[i].cnt, remarks[i].text);
}
