/* SPDX-License-Identifier: Apache-2.0 */
/* run_metrics.c - see run_metrics.h */
#include "cli/run_metrics.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/console.h"
#include "core/base/files.h"

/* One counter of a family, told apart by one label. */
static void count(struct mf_metrics *m, const char *family, const char *help, const char *label,
		  const char *value, uint64_t n)
{
	const struct mf_label l = { label, value };

	mf_counter_add(mf_metrics_counter(m, family, help, label ? &l : NULL, label ? 1 : 0), n);
}

static void gauge(struct mf_metrics *m, const char *name, const char *help, uint64_t n)
{
	/* added: where several threads write to one page, it is the sum */
	mf_gauge_add(mf_metrics_gauge(m, name, help, NULL, 0), (int64_t)n);
}

static void gather_proxy(struct mf_metrics *m, const struct mf_proxy *proxy)
{
	static const char tcp[] = "moonfence_tcp_connections_total",
			  udp[] = "moonfence_udp_flows_total",
			  icmp[] = "moonfence_icmp_flows_total";
	static const char kept[] = "moonfence_dns_cache_hits_total";
	static const char dns[] = "moonfence_dns_queries_total", tls[] = "moonfence_tls_total";
	static const char bytes[] = "moonfence_relayed_bytes_total";
	struct mf_proxy_stats s = { .size = sizeof(s) };

	mf_proxy_get_stats(proxy, &s);
	count(m, dns, "DNS questions by outcome", "outcome", "allowed", s.dns_allowed);
	count(m, dns, "", "outcome", "denied", s.dns_denied);
	count(m, dns, "", "outcome", "redirected", s.dns_redirected);
	count(m, dns, "", "outcome", "failed", s.dns_failed);
	count(m, dns, "", "outcome", "malformed", s.dns_bad);
	count(m, kept, "Answers of resolvers that came out of the cache", "state", "fresh",
	      s.dns_cached);
	count(m, kept, "", "state", "stale", s.dns_stale);
	count(m, tcp, "TCP connections by outcome", "outcome", "allowed", s.tcp_allowed);
	count(m, tcp, "", "outcome", "denied", s.tcp_denied);
	count(m, tcp, "", "outcome", "redirected", s.tcp_redirected);
	count(m, tcp, "", "outcome", "failed", s.tcp_failed);
	count(m, tcp, "", "outcome", "over_limit", s.tcp_refused_limit);
	count(m, udp, "UDP flows by outcome", "outcome", "allowed", s.udp_allowed);
	count(m, udp, "", "outcome", "denied", s.udp_denied);
	count(m, udp, "", "outcome", "redirected", s.udp_redirected);
	count(m, udp, "", "outcome", "evicted", s.udp_evicted);
	count(m, icmp, "Pings by outcome: one for each client, destination and identifier",
	      "outcome", "allowed", s.icmp_allowed);
	count(m, icmp, "", "outcome", "denied", s.icmp_denied);
	count(m, icmp, "", "outcome", "redirected", s.icmp_redirected);
	count(m, icmp, "", "outcome", "evicted", s.icmp_evicted);
	count(m, icmp, "", "outcome", "no_socket", s.icmp_unable);
	count(m, tls, "TLS ClientHellos by what became of them", "what", "read", s.tls_hellos);
	count(m, tls, "", "what", "malformed", s.tls_bad);
	count(m, tls, "", "what", "denied", s.sni_denied);
	count(m, tls, "", "what", "name_changed", s.sni_rewritten);
	count(m, tls, "", "what", "intercepted", s.tls_intercepted);
	count(m, tls, "", "what", "server_failed", s.tls_server_failed);
	count(m, tls, "", "what", "client_refused", s.tls_client_refused);
	count(m, tls, "", "what", "passed_pinned", s.tls_passed);
	count(m, tls, "", "what", "quic", s.quic_hellos);
	count(m, bytes, "Bytes relayed", "direction", "to_server", s.bytes_to_server);
	count(m, bytes, "", "direction", "to_client", s.bytes_to_client);
}

static void gather_vm(struct mf_metrics *m, const struct mf_vm *vm)
{
	static const char how[] = "moonfence_decisions_total",
			  evicted[] = "moonfence_decision_evictions_total";
	struct mf_vm_stats s = { .size = sizeof(s) };

	mf_vm_get_stats(vm, &s);
	count(m, how, "Decisions by how they were found", "how", "memo", s.memo_hits);
	count(m, how, "", "how", "graph", s.graph_hits);
	count(m, how, "", "how", "rules", s.rule_hits);
	count(m, how, "", "how", "lua", s.lua_entries);
	count(m, "moonfence_policy_errors_total", "Errors of policies", NULL, NULL, s.errors);
	count(m, evicted, "What made room in the decision cache", "part", "graph",
	      s.graph_evictions);
	count(m, evicted, "", "part", "memo", s.memo_evictions);
	gauge(m, "moonfence_decision_graph_nodes", "Nodes of the decision graph", s.graph_nodes);
	gauge(m, "moonfence_memo_entries", "Entries of the memo", s.memo_entries);
	gauge(m, "moonfence_lua_bytes", "Heap of the sandbox", s.lua_bytes);
}

static void gather_events(struct mf_metrics *m, struct mf_events *events)
{
	static const char family[] = "moonfence_events_total";
	struct mf_events_stats s;

	mf_events_get_stats(events, &s);
	count(m, family, "Events by what became of them", "what", "sent", s.sent);
	count(m, family, "", "what", "silent", s.silent);
	count(m, family, "", "what", "dropped", s.dropped);
	count(m, family, "", "what", "lost", s.lost);
	count(m, family, "", "what", "truncated", s.truncated);
}

static void gather_names(struct mf_metrics *m, struct mf_names *names)
{
	struct mf_names_stats s;

	mf_names_get_stats(names, &s);
	gauge(m, "moonfence_names_addresses", "Addresses that have a name in the session", s.addrs);
	count(m, "moonfence_names_evictions_total", "Addresses that lost their names for room",
	      NULL, NULL, s.evicted_addrs);
}

void mf_run_metrics_gather(struct mf_metrics *m, const struct mf_run_metrics *from)
{
	if (from->proxy)
		gather_proxy(m, from->proxy);
	if (from->vm)
		gather_vm(m, from->vm);
	if (from->names)
		gather_names(m, from->names);
	if (from->events)
		gather_events(m, from->events);
}

int mf_run_metrics_write(struct mf_metrics *m, const char *path, struct mf_err *err)
{
	struct mf_strbuf buf = MF_STRBUF_INIT(16u << 20);
	FILE *f;
	int r = 0;

	mf_metrics_write(m, &buf);
	if (buf.failed)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the metrics");
	f = mf_fopen(path, "wbe");
	if (!f || fwrite(buf.str ? buf.str : "", 1, buf.len, f) != buf.len)
		r = mf_err_set(err, MF_E_IO, "cannot write metrics to %s: %s", path,
			       strerror(errno));
	if (f && fclose(f) != 0 && r == 0)
		r = mf_err_set(err, MF_E_IO, "cannot write metrics to %s: %s", path,
			       strerror(errno));
	mf_strbuf_done(&buf);
	return r;
}
