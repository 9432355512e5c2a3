/* SPDX-License-Identifier: Apache-2.0 */
/* pipeline_metrics.c - what the pipeline counted: names, stats, Prometheus */
#include <inttypes.h>
#include <stdio.h>

#include "capture/pipeline_internal.h"
#include "core/observe/metrics.h"

const char *mf_pipeline_drop_name(enum mf_pipeline_drop reason)
{
	static const char *const names[] = {
		[MF_DROP_MALFORMED] = "malformed",
		[MF_DROP_DENIED] = "denied",
		[MF_DROP_FAIL_CLOSED] = "fail_closed",
		[MF_DROP_NO_ENTRY] = "no_entry",
		[MF_DROP_UNSUPPORTED] = "unsupported",
		[MF_DROP_HOLD] = "hold",
		[MF_DROP_FRAGMENT] = "fragment",
		[MF_DROP_NAT_FULL] = "nat_full",
		[MF_DROP_SEND] = "send",
	};

	_Static_assert(MF_ARRAY_SIZE(names) == MF_DROP_NUM, "one name per reason");
	return (unsigned)reason < MF_DROP_NUM ? names[reason] : "?";
}

void mf_pipeline_get_stats(const struct mf_pipeline *p, struct mf_pipeline_stats *ret)
{
	*ret = p->stats;
	ret->held_now = p->holds ? mf_holds_count(p->holds) : 0;
	ret->fragments_now = mf_fragments_count(p->fragments);
}

struct row {
	const char *name, *help, *reason; /* reason: NULL for none */
	uint64_t value, before;
};

static void add_counter(struct mf_metrics *m, const char *backend, const struct row *r)
{
	struct mf_label labels[] = { { "backend", backend }, { "reason", r->reason } };

	mf_counter_add(mf_metrics_counter(m, r->name, r->help, labels, r->reason ? 2 : 1),
		       r->value - r->before);
}

static void add_gauge(struct mf_metrics *m, const char *backend, const char *name, const char *help,
		      uint64_t value, uint64_t before)
{
	struct mf_label label = { "backend", backend };

	mf_gauge_add(mf_metrics_gauge(m, name, help, &label, 1), (int64_t)(value - before));
}

#define PACKETS "moonfence_packets_"

/* Lanes of one device share their series, so each adds what it has not told yet. */
void mf_pipeline_gather(struct mf_pipeline *p, struct mf_metrics *m)
{
	struct mf_pipeline_stats s, o = p->gathered;
	const char *b = p->backend.name;

	mf_pipeline_get_stats(p, &s);
	const struct row rows[] = {
		{ PACKETS "captured_total", "Packets received", NULL, s.captured, o.captured },
		{ PACKETS "captured_bytes_total", "Bytes of packets received", NULL,
		  s.captured_bytes, o.captured_bytes },
		{ PACKETS "passed_total", "Packets sent back unchanged", "session",
		  s.passed - s.foreign, o.passed - o.foreign },
		{ PACKETS "passed_total", "", "foreign", s.foreign, o.foreign },
		{ PACKETS "rewritten_total", "Packets rewritten", "request",
		  s.rewritten - s.replies, o.rewritten - o.replies },
		{ PACKETS "rewritten_total", "", "reply", s.replies, o.replies },
		{ PACKETS "rewritten_bytes_total", "Bytes of packets rewritten", NULL,
		  s.rewritten_bytes, o.rewritten_bytes },
		{ PACKETS "held_total", "First packets that waited for their process", NULL, s.held,
		  o.held },
		{ PACKETS "hold_expired_total", "Flows whose process stayed unknown", NULL,
		  s.hold_expired, o.hold_expired },
		{ PACKETS "fragments_followed_total", "Later fragments sent after their first",
		  NULL, s.fragments_followed, o.fragments_followed },
		{ PACKETS "answered_total", "Refusals told to the program", "reset",
		  s.answered_reset, o.answered_reset },
		{ PACKETS "answered_total", "", "icmp", s.answered_icmp, o.answered_icmp },
		{ PACKETS "answered_total", "", "dns", s.answered_dns, o.answered_dns },
		{ PACKETS "icmp_translated_total", "ICMP errors about rewritten packets", NULL,
		  s.icmp_translated, o.icmp_translated },
		{ "moonfence_flows_redirected_total", "Flows sent to a listener", NULL,
		  s.redirected, o.redirected },
		{ "moonfence_flows_decided_total", "Flows that policy was asked about", NULL,
		  s.flows_decided, o.flows_decided },
		{ "moonfence_flows_denied_total", "Flows refused by policy", NULL, s.flows_denied,
		  o.flows_denied },
		{ "moonfence_pipeline_failures_total", "Failures that count for the fail mode",
		  "receive", s.receive_failures, o.receive_failures },
		{ "moonfence_pipeline_failures_total", "", "send", s.send_failures,
		  o.send_failures },
		{ "moonfence_pipeline_failures_total", "", "decide", s.decide_failures,
		  o.decide_failures },
		{ "moonfence_pipeline_fail_mode_total", "Times the fail mode was switched",
		  "entered", s.fail_entered, o.fail_entered },
		{ "moonfence_pipeline_fail_mode_total", "", "left", s.fail_left, o.fail_left },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(rows); i++)
		add_counter(m, b, &rows[i]);
	for (int i = 0; i < MF_DROP_NUM; i++) {
		struct row r = { PACKETS "dropped_total", "Packets dropped",
				 mf_pipeline_drop_name((enum mf_pipeline_drop)i), s.dropped[i],
				 o.dropped[i] };

		add_counter(m, b, &r);
	}
	add_gauge(m, b, "moonfence_pipeline_held_flows", "Flows that wait for their process",
		  s.held_now, o.held_now);
	add_gauge(m, b, "moonfence_pipeline_fragment_datagrams",
		  "Datagrams whose fragments are followed", s.fragments_now, o.fragments_now);
	add_gauge(m, b, "moonfence_pipeline_failing", "1 while the fail mode is on", s.failing,
		  o.failing);
	p->gathered = s;
}

const char *mf_pipeline_event_format(const struct mf_pipeline_event *ev, char *buf, size_t size)
{
	static const char *const what[] = {
		[MF_PIPELINE_FAIL_ENTERED] = "packets are dropped after failures in a row",
		[MF_PIPELINE_FAIL_LEFT] = "packets go through again",
		[MF_PIPELINE_BAD_SEND] = "packets were refused by the system",
		[MF_PIPELINE_HOLD_OVER] = "the process of a flow stayed unknown",
		[MF_PIPELINE_NAT_FULL] = "flows were refused because there are too many",
	};

	const char *text = (unsigned)ev->kind < MF_PIPELINE_EVENT_NUM ? what[ev->kind] : "?";

	_Static_assert(MF_ARRAY_SIZE(what) == MF_PIPELINE_EVENT_NUM, "a sentence per event");
	if (ev->kind == MF_PIPELINE_FAIL_ENTERED && !ev->fail_closed)
		text = "packets pass unjudged after failures in a row";
	snprintf(buf, size, "%s (%" PRIu64 ")%s%.100s", text, ev->count, ev->text[0] ? ": " : "",
		 ev->text);
	return buf;
}
