/* SPDX-License-Identifier: Apache-2.0 */
/* api_http.c - see api_http.h */
#include "cli/api_http.h"

#include <event2/event.h>
#include <stdlib.h>

#include "proxies/http_service.h"

enum {
	ACCEPT_BATCH = 32,
	BACKOFF_MS = 50,
	STRANGERS_MAX = 8,
	STRANGER_MS = 2000,
};

struct mf_api_http {
	struct event_base *base;
	struct mf_api *api;
	struct mf_listen *listen;
	struct mf_http_service *service, *strangers;
	struct event *ev, *backoff;
	struct mf_counter *connections, *refused, *forbidden;
	bool (*is_stranger)(void *ctx, int64_t pid);
	void *stranger_ctx;
	bool stopped;
};

/* --- answers ----------------------------------------------------------------------------------------------------- */

static void carry_answer(void *carrier, const struct mf_api_answer *a)
{
	struct mf_http_field fields[2] = { { mf_span_str("cache-control"),
					     mf_span_str("no-store") } };
	size_t cnt = 1;

	if (a->allow)
		fields[cnt++] =
			(struct mf_http_field){ mf_span_str("allow"), mf_span_str(a->allow) };
	mf_http_answer(carrier, &(struct mf_http_answer){ .status = a->status,
							  .type = a->type,
							  .body = a->body,
							  .fields = fields,
							  .field_cnt = cnt });
}

static void on_gone(void *ctx, struct mf_http_exchange *x)
{
	mf_api_stream_gone(ctx);
	mf_http_answer_end(x);
}

static void on_room(void *ctx, struct mf_http_exchange *x)
{
	(void)x;
	mf_api_stream_room(ctx);
}

static int carry_begin(void *carrier, const char *type, struct mf_api_call *call)
{
	struct mf_http_field field = { mf_span_str("cache-control"), mf_span_str("no-store") };
	int r = mf_http_answer_begin(
		carrier, &(struct mf_http_answer){
				 .status = 200, .type = type, .fields = &field, .field_cnt = 1 });

	if (r < 0)
		return MF_E_UNSUPPORTED;
	mf_http_exchange_on_gone(carrier, on_gone, call);
	mf_http_answer_on_room(carrier, on_room, call);
	return 0;
}

static int64_t carry_send(void *carrier, struct mf_span bytes)
{
	return mf_http_answer_send(carrier, bytes);
}

static void carry_end(void *carrier)
{
	mf_http_answer_end(carrier);
}

static const struct mf_api_transport transport = { carry_answer, carry_begin, carry_send,
						   carry_end };

/* --- requests ---------------------------------------------------------------------------------------------------- */

/* A connection's tag: the user and the process that opened it. */
static uint64_t tag_of(const struct mf_peer *peer)
{
	return (uint64_t)peer->uid << 32 | (uint32_t)peer->pid;
}

static void on_request(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	struct mf_api_http *h = ctx;

	mf_api_dispatch(
		h->api, &transport, x,
		&(struct mf_api_request){ .method = req->head ? mf_span_str("GET") : req->method,
					  .path = req->path,
					  .query = req->query,
					  .type = mf_http_find_field(req, "content-type"),
					  .body = req->body,
					  .last_event_id = mf_http_find_field(req, "last-event-id"),
					  .peer = { true, (uint32_t)(req->tag >> 32),
						    (int64_t)(uint32_t)req->tag } });
}

static void on_stranger(void *ctx, struct mf_http_exchange *x, const struct mf_http_request *req)
{
	static const char text[] =
		"{\"type\": \"about:blank\", \"title\": \"Forbidden\", \"status\": 403, \"code\": "
		"\"not_allowed\", \"detail\": \"this user may not use the API: api.allow_users and "
		"api.allow_groups of moonfence.yaml say who may\"}\n";

	(void)ctx;
	(void)req;
	mf_http_answer(x, &(struct mf_http_answer){ .status = 403,
						    .type = "application/problem+json",
						    .body = mf_span_str(text) });
}

#define ALL_METHODS(handler)                                                          \
	{ .method = "GET", .path = "/", .prefix = true, .fn = (handler) },            \
		{ .method = "POST", .path = "/", .prefix = true, .fn = (handler) },   \
		{ .method = "PUT", .path = "/", .prefix = true, .fn = (handler) },    \
		{ .method = "PATCH", .path = "/", .prefix = true, .fn = (handler) },  \
		{ .method = "DELETE", .path = "/", .prefix = true, .fn = (handler) }, \
	{                                                                             \
		.method = "OPTIONS", .path = "/", .prefix = true, .fn = (handler)     \
	}

static const struct mf_http_route all[] = { ALL_METHODS(on_request) };
static const struct mf_http_route strange[] = { ALL_METHODS(on_stranger) };

/* --- connections ------------------------------------------------------------------------------------------------- */

static bool accept_one(struct mf_api_http *h)
{
	struct timeval later = { .tv_usec = BACKOFF_MS * 1000 };
	struct mf_peer peer;
	bool may;
	int fd = mf_listen_accept(h->listen, &peer, &may), r;

	if (fd == MF_E_FULL) {
		/* it would fail again and again: let some connections end first */
		event_del(h->ev);
		event_add(h->backoff, &later);
	}
	if (fd < 0)
		return false;
	if (may && h->is_stranger)
		may = !h->is_stranger(h->stranger_ctx, peer.pid);
	mf_counter_add(may ? h->connections : h->forbidden, 1);
	r = mf_http_service_take_tagged(may ? h->service : h->strangers, fd, tag_of(&peer));
	if (r < 0)
		mf_counter_add(h->refused, 1);
	return true;
}

static void on_accept(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	for (unsigned i = 0; i < ACCEPT_BATCH && accept_one(ctx); i++)
		;
}

static void on_backoff(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_api_http *h = ctx;

	(void)fd;
	(void)what;
	if (!h->stopped)
		event_add(h->ev, NULL);
}

/* --- life -------------------------------------------------------------------------------------------------------- */

static void make_counters(struct mf_api_http *h)
{
	struct mf_metrics *m = mf_api_metrics(h->api);

	h->connections = mf_metrics_counter(m, "moonfence_api_connections_total",
					    "Connections of who may use the API", NULL, 0);
	h->forbidden = mf_metrics_counter(m, "moonfence_api_forbidden_total",
					  "Connections of who may not", NULL, 0);
	h->refused = mf_metrics_counter(m, "moonfence_api_refused_total",
					"Connections that were one too many", NULL, 0);
}

static int make_services(struct mf_api_http *h, const struct mf_api_http_options *options,
			 struct mf_err *err)
{
	struct mf_http_service_options o = { .size = sizeof(o),
					     .connections_max = options->connections_max,
					     .body_max = options->body_max,
					     .idle_ms = options->idle_ms,
					     .http1_only = true };
	struct mf_http_service_options s = { .size = sizeof(s),
					     .connections_max = STRANGERS_MAX,
					     .request_ms = STRANGER_MS,
					     .idle_ms = STRANGER_MS,
					     .send_ms = STRANGER_MS,
					     .http1_only = true };
	int r = mf_http_service_new(h->base, &o, &h->service, err);

	if (r == 0)
		r = mf_http_service_new(h->base, &s, &h->strangers, err);
	if (r == 0)
		r = mf_http_service_add(h->service, all, MF_ARRAY_SIZE(all), h);
	if (r == 0)
		r = mf_http_service_add(h->strangers, strange, MF_ARRAY_SIZE(strange), h);
	return r;
}

int mf_api_http_new(struct event_base *base, struct mf_api *api, struct mf_listen *listen,
		    const struct mf_api_http_options *options, struct mf_api_http **ret,
		    struct mf_err *err)
{
	struct mf_api_http *h = calloc(1, sizeof(*h));
	int r;

	if (!h)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	h->base = base;
	h->api = api;
	h->listen = listen;
	h->is_stranger = options->is_stranger;
	h->stranger_ctx = options->stranger_ctx;
	make_counters(h);
	r = make_services(h, options, err);
	if (r == 0) {
		h->ev = event_new(base, mf_listen_fd(listen), EV_READ | EV_PERSIST, on_accept, h);
		h->backoff = event_new(base, -1, 0, on_backoff, h);
		if (!h->ev || !h->backoff || event_add(h->ev, NULL) < 0)
			r = mf_err_set(err, MF_E_NOMEM, "cannot watch the control socket");
	}
	if (r < 0)
		mf_api_http_free(h);
	else
		*ret = h;
	return r;
}

void mf_api_http_stop(struct mf_api_http *h)
{
	h->stopped = true;
	event_del(h->ev);
}

bool mf_api_http_is_idle(const struct mf_api_http *h)
{
	return mf_api_waiting(h->api) == 0;
}

void mf_api_http_free(struct mf_api_http *h)
{
	if (!h)
		return;
	if (h->ev)
		event_free(h->ev);
	if (h->backoff)
		event_free(h->backoff);
	mf_http_service_free(h->service);
	mf_http_service_free(h->strangers);
	free(h);
}
