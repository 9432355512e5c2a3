/* SPDX-License-Identifier: Apache-2.0 */
/* forward_report.c - what domain forwarding tells of itself: metrics, health, status, where a name leads */
#include <stdio.h>
#include <string.h>

#include "proxies/forward_int.h"

static const char *const error_names[] = {
	[MF_FORWARD_E_CLIENT] = "client_network",
	[MF_FORWARD_E_TOTAL] = "max_connections",
	[MF_FORWARD_E_PER_CLIENT] = "max_connections_per_client",
	[MF_FORWARD_E_PORT] = "blocked_port",
	[MF_FORWARD_E_LOOP] = "loop",
	[MF_FORWARD_E_HELLO_BAD] = "hello_malformed",
	[MF_FORWARD_E_HELLO_LATE] = "hello_timeout",
	[MF_FORWARD_E_NO_NAME] = "no_name",
	[MF_FORWARD_E_NOT_TLS] = "cleartext",
	[MF_FORWARD_E_POLICY] = "policy",
	[MF_FORWARD_E_DIAL] = "dial",
	[MF_FORWARD_E_DOWN] = "server_down",
	[MF_FORWARD_E_IDLE] = "idle_timeout",
	[MF_FORWARD_E_BROKEN] = "broken",
};
_Static_assert(MF_ARRAY_SIZE(error_names) == MF_FORWARD_E_NUM, "a name for each error");

static const char *const part_names[] = { "proxy", "certificates", "rules", "devServers" };
_Static_assert(MF_ARRAY_SIZE(part_names) == MF_FORWARD_PART_NUM, "a name for each part");

const char *mf_forward_error_name(enum mf_forward_error e)
{
	return error_names[e];
}

/* --- metrics -------------------------------------------------------------------------------------------------------- */

enum {
	SERIES_MAX = 128, /* of a family: of routes there may be more, which then share one */
};

bool mf_forward_init_metrics(struct mf_forward *f)
{
	static const uint64_t bounds[] = { 50000,     100000,	 250000,     500000,	1000000,
					   2500000,   5000000,	 10000000,   25000000,	50000000,
					   100000000, 250000000, 1000000000, 5000000000 };
	struct mf_metrics *m = f->metrics = mf_metrics_new(SERIES_MAX);

	if (!m)
		return false;
	f->accepted = mf_metrics_counter(m, "moonfence_forward_connections_total",
					 "Connections that came", NULL, 0);
	f->open_gauge = mf_metrics_gauge(m, "moonfence_forward_connections_open",
					 "Connections that are open", NULL, 0);
	f->bytes_to_server = mf_metrics_counter(
		m, "moonfence_forward_bytes_total", "Bytes of connections that have ended",
		(struct mf_label[]){ { "direction", "to_server" } }, 1);
	f->bytes_to_client = mf_metrics_counter(
		m, "moonfence_forward_bytes_total", "Bytes of connections that have ended",
		(struct mf_label[]){ { "direction", "to_client" } }, 1);
	f->passed = mf_metrics_counter(
		m, "moonfence_forward_routes_total", "Connections by the name they were routed by",
		(struct mf_label[]){ { "source", "original" }, { "domain", "" } }, 2);
	f->latency =
		mf_metrics_histogram(m, "moonfence_forward_latency_seconds",
				     "From a client's first words to a connection with its server",
				     NULL, 0, bounds, MF_ARRAY_SIZE(bounds), 1e-9);
	for (unsigned i = 0; i < MF_FORWARD_E_NUM; i++)
		f->errors[i] = mf_metrics_counter(
			m, "moonfence_forward_errors_total", "What was refused or went wrong",
			(struct mf_label[]){ { "kind", error_names[i] } }, 1);
	return true;
}

void mf_forward_count_route(struct mf_forward *f, const struct mf_forward_route *route)
{
	char name[MF_NAME_ROOM + 2];

	snprintf(name, sizeof(name), "%s%s", route->wildcard ? "*." : "", route->name);
	mf_counter_add(mf_metrics_counter(f->metrics, "moonfence_forward_routes_total", "",
					  (struct mf_label[]){ { "source", mf_forward_source_name(
										   route->source) },
							       { "domain", name } },
					  2),
		       1);
}

void mf_forward_write_metrics(struct mf_forward *f, struct mf_strbuf *buf)
{
	for (unsigned i = 0; i < MF_FORWARD_PART_NUM; i++)
		mf_gauge_set(mf_metrics_gauge(f->metrics, "moonfence_forward_healthy",
					      "Whether a part is well",
					      (struct mf_label[]){ { "part", part_names[i] } }, 1),
			     f->health[i].ok);
	mf_metrics_write(f->metrics, buf);
}

/* --- JSON ----------------------------------------------------------------------------------------------------------- */

json_t *mf_forward_health_json(struct mf_forward *f, bool *ret_ok)
{
	json_t *o = json_object();
	int failed = !o;

	*ret_ok = true;
	for (unsigned i = 0; i < MF_FORWARD_PART_NUM; i++) {
		const struct mf_forward_health *h = &f->health[i];

		*ret_ok = *ret_ok && h->ok;
		failed |=
			json_object_set_new(o, part_names[i],
					    json_pack("{s:b, s:s, s:I}", "ok", h->ok, "detail",
						      h->detail, "since", (json_int_t)h->since_ms));
	}
	if (!failed)
		return o;
	json_decref(o);
	return NULL;
}

static json_t *route_json(const struct mf_forward_route *r)
{
	char name[MF_NAME_ROOM + 2], target[MF_FORWARD_TARGET_TEXT_MAX];

	snprintf(name, sizeof(name), "%s%s", r->wildcard ? "*." : "", r->name);
	mf_forward_target_format(&r->target, target, sizeof(target));
	return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "name", name, "source",
			 mf_forward_source_name(r->source), "target",
			 r->target.host[0] ? target : "moonfence", "mode",
			 mf_forward_mode_name(r->target.mode), "connections",
			 (json_int_t)r->connections, "failures", (json_int_t)r->failures, "bytes",
			 (json_int_t)r->bytes);
}

json_t *mf_forward_maps_json(struct mf_forward *f)
{
	json_t *list = json_array();

	for (unsigned s = 0; s < MF_FORWARD_SOURCE_NUM; s++)
		for (size_t i = 0; i < mf_forward_routes_count(f->routes, s); i++)
			(void)json_array_append_new(
				list, route_json(mf_forward_routes_at(f->routes, s, i)));
	return list;
}

static json_t *listeners_json(const struct mf_forward *f)
{
	json_t *list = json_array();
	char text[MF_ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < f->opt.fd_cnt; i++)
		(void)json_array_append_new(list, json_string(mf_endpoint_format(
							  &f->listeners[i], text, sizeof(text))));
	return list;
}

static json_t *errors_json(struct mf_forward *f)
{
	json_t *o = json_object();

	for (unsigned i = 0; i < MF_FORWARD_E_NUM; i++)
		(void)json_object_set_new(o, error_names[i],
					  json_integer((json_int_t)mf_counter_get(f->errors[i])));
	return o;
}

static json_t *latency_json(struct mf_forward *f)
{
	uint64_t cnt = 0, sum = atomic_load_explicit(&f->latency->sum, memory_order_relaxed);

	for (unsigned i = 0; i <= f->latency->bound_cnt; i++)
		cnt += atomic_load_explicit(&f->latency->buckets[i], memory_order_relaxed);
	return json_pack("{s:I, s:f}", "count", (json_int_t)cnt, "meanMs",
			 cnt ? (double)sum / (double)cnt / 1e6 : 0.0);
}

json_t *mf_forward_status_json(struct mf_forward *f)
{
	bool ok;
	json_t *health = mf_forward_health_json(f, &ok);

	return json_pack("{s:b, s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "ok",
			 ok, "backend", f->opt.find_original ? "redirect" : "explicit", "listeners",
			 listeners_json(f), "started", (json_int_t)f->started_ms,
			 "connectionsActive", (json_int_t)f->open, "connectionsTotal",
			 (json_int_t)mf_counter_get(f->accepted), "bytesToServer",
			 (json_int_t)mf_counter_get(f->bytes_to_server), "bytesToClient",
			 (json_int_t)mf_counter_get(f->bytes_to_client), "latency", latency_json(f),
			 "errors", errors_json(f), "health", health, "limits",
			 mf_forward_config_write(&f->config), "routes", mf_forward_maps_json(f));
}

json_t *mf_forward_test_json(struct mf_forward *f, const char *name, uint16_t port)
{
	const struct mf_forward_route *r = mf_forward_routes_find(f->routes, name, strlen(name));
	json_t *o = r ? route_json(r)
		      : json_pack("{s:s, s:s, s:s, s:s}", "name", "", "source", "original",
				  "target", "the original destination", "mode", "pass");

	if (!o)
		return NULL;
	(void)json_object_set(o, "rule", json_object_get(o, "name"));
	(void)json_object_set_new(o, "name", json_string(name));
	(void)json_object_set_new(o, "port", json_integer(port ? port : 443));
	if (r && r->target.mode == MF_FORWARD_AUTO)
		(void)json_object_set_new(
			o, "mode",
			json_string(mf_forward_mode_name(
				f->opt.guess_mode
					? f->opt.guess_mode(f->opt.servers_ctx, &r->target)
					: MF_FORWARD_PLAIN)));
	(void)json_object_set_new(
		o, "blocked", json_boolean(mf_forward_is_blocked(f, r ? r->target.port : port)));
	(void)json_object_set_new(
		o, "policy", json_boolean(f->session.vm && (!r || r->source != MF_FORWARD_MANUAL)));
	return o;
}
