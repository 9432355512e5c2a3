/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forward.h - domain forwarding: names of this machine lead to their servers, everything else goes where it went before
 *
 *	mf_forward_config_init(&config);
 *	mf_forward_new(base, &options, &forward, &err);
 *	mf_forward_routes_set(mf_forward_get_routes(forward), MF_FORWARD_MANUAL, "app.localhost", &target, &err);
 *	event_base_dispatch(base);
 *
 * How it works
 *
 * Connections come to listeners, either because rules of the host redirect them there (then options.find_original knows
 * where they were going) or because a client connects to the listener itself. A TCP proxy (proxy.h) reads each client's
 * first words and asks route() here (router.h). A name of the route table (forward_routes.h) is ended with a certificate
 * of our authority and led to its server in cleartext, or passed, as its route says. Every other name, and what says none,
 * goes to its original destination byte for byte. What has no other original destination than our own listener is refused.
 *
 * Limits (forward_config): who may connect, how many at a time, to which ports never, and for how long what may take; each
 * refusal has a counter.
 *
 * Threads: the loop's.
 */
#ifndef MF_PROXIES_FORWARD_H
#define MF_PROXIES_FORWARD_H

#include <jansson.h>

#include "core/base/span.h"
#include "core/match/cidr_set.h"
#include "core/policy/session.h"
#include "proxies/forward_routes.h"

struct event_base;
struct mf_forward;
struct mf_tls_authority;
struct mf_http_exchange;
struct mf_http_request;

#define MF_FORWARD_LISTENERS_MAX 2
#define MF_FORWARD_NETWORKS_MAX	 64
#define MF_FORWARD_PORTS_MAX	 64

/* Where a client goes that says no name (D4). */
enum mf_forward_no_name {
	MF_FORWARD_NO_NAME_ORIGINAL,
	MF_FORWARD_NO_NAME_DENY,
	MF_FORWARD_NO_NAME_NUM
};

struct mf_forward_config {
	struct mf_cidr clients[MF_FORWARD_NETWORKS_MAX]; /* who may connect */
	size_t client_cnt;
	uint16_t blocked_ports[MF_FORWARD_PORTS_MAX]; /* of servers, mapped and original ones */
	size_t blocked_port_cnt;
	uint32_t connections_max, connections_per_client;
	uint32_t dial_ms, hello_ms, idle_ms;
	enum mf_forward_no_name no_name;
};

/** mf_forward_config_init() - The defaults: private and loopback clients, no mail or shell ports, 1,000 connections ... */
void mf_forward_config_init(struct mf_forward_config *c);

/**
 * mf_forward_config_read() - Take over what a JSON object says; what it does not say stays
 * Keys: "allowed_networks", "blocked_ports", "max_connections", "max_connections_per_client", "dial_timeout_ms",
 * "hello_timeout_ms", "idle_timeout_ms", "no_sni"; others are refused.
 * Return: 0; MF_E_SYNTAX: @err names the key, and @c is half changed
 */
int mf_forward_config_read(struct mf_forward_config *c, json_t *object, struct mf_err *err);
/** mf_forward_config_write() - The same as an object; NULL without memory */
json_t *mf_forward_config_write(const struct mf_forward_config *c);

/** mf_forward_target_read() - One target of these: "TARGET" or {"target", "mode"}; Return: 0, MF_E_SYNTAX */
int mf_forward_target_read(json_t *value, struct mf_forward_target *ret, struct mf_err *err);
/** mf_forward_maps_read() - Manual routes of {"NAME": "TARGET" | {"target", "mode"}}; Return: 0, MF_E_SYNTAX and those of routes_set() */
int mf_forward_maps_read(struct mf_forward_routes *t, json_t *object, struct mf_err *err);
json_t *mf_forward_maps_write(const struct mf_forward_routes *t);

/* What went wrong, or was refused; one counter each. */
enum mf_forward_error {
	MF_FORWARD_E_CLIENT,	 /* of no allowed network */
	MF_FORWARD_E_TOTAL,	 /* too many connections */
	MF_FORWARD_E_PER_CLIENT, /* too many of one client */
	MF_FORWARD_E_PORT,	 /* a blocked port */
	MF_FORWARD_E_LOOP,	 /* meant for our own listener, or for nobody else */
	MF_FORWARD_E_HELLO_BAD,	 /* malformed; passed on */
	MF_FORWARD_E_HELLO_LATE, /* not whole in time */
	MF_FORWARD_E_NO_NAME,	 /* denied for want of a name */
	MF_FORWARD_E_NOT_TLS,	 /* cleartext for a server that speaks TLS only */
	MF_FORWARD_E_POLICY,
	MF_FORWARD_E_DIAL, /* no connection to a server of others */
	MF_FORWARD_E_DOWN, /* ... of ours */
	MF_FORWARD_E_IDLE,
	MF_FORWARD_E_BROKEN, /* anything else that ended a connection before its time */
	MF_FORWARD_E_NUM
};
const char *mf_forward_error_name(enum mf_forward_error e);

enum mf_forward_part {
	MF_FORWARD_PROXY,
	MF_FORWARD_CERTIFICATES,
	MF_FORWARD_RULES,
	MF_FORWARD_DEV_SERVERS,
	MF_FORWARD_PART_NUM
};

struct mf_forward_options {
	size_t size;			   /* sizeof(struct mf_forward_options) */
	int fds[MF_FORWARD_LISTENERS_MAX]; /* listening; stay the caller's */
	size_t fd_cnt;
	/* Where a redirected connection was going. Return: 0; MF_E_NOENT: it was not redirected. NULL: nothing is. */
	int (*find_original)(void *ctx, int fd, const struct mf_endpoint *local,
			     struct mf_endpoint *ret);
	void *find_original_ctx;
	struct mf_tls_authority *authority; /* borrowed */
	struct mf_session *session; /* borrowed; its vm, where there is one, is asked (D3) */
	const struct mf_forward_config *config; /* copied */
	/*
	 * A connected descriptor behind which our own page is served; non-blocking, becomes ours. NULL: there is no page.
	 * Return: negative: none
	 */
	int (*open_page)(void *ctx);
	/* The same for mf_forward_write_down(), to be served under any path; may be NULL */
	int (*open_down)(void *ctx);
	void *open_page_ctx; /* of both */
	/* The servers there are, for status and page: a new reference to an array of mf_dev_server_to_json(); may be NULL */
	json_t *(*list_servers)(void *ctx);
	/* Whether a detected or mapped server on this port speaks TLS, for MF_FORWARD_AUTO; may be NULL */
	enum mf_forward_mode (*guess_mode)(void *ctx, const struct mf_forward_target *target);
	void *servers_ctx;
	bool copy_only; /* proxy.h */
};

/** mf_forward_new() - Return: 0, MF_E_INVAL, MF_E_NOMEM, MF_E_IO */
int mf_forward_new(struct event_base *base, const struct mf_forward_options *options,
		   struct mf_forward **ret, struct mf_err *err);
void mf_forward_free(struct mf_forward *f); /* NULL is fine */

struct mf_forward_routes *mf_forward_get_routes(struct mf_forward *f);
const struct mf_forward_config *mf_forward_get_config(const struct mf_forward *f);

/** mf_forward_allows() - Whether a client of this address may connect to a listener */
bool mf_forward_allows(const struct mf_forward *f, const struct mf_addr *addr);
/** mf_forward_is_blocked() - Whether the configuration lets nobody reach servers on this port */
bool mf_forward_is_blocked(const struct mf_forward *f, uint16_t port);
/** mf_forward_map() - mf_forward_routes_set() of a manual route, after a look at the blocked ports: MF_E_PERM */
int mf_forward_map(struct mf_forward *f, const char *name, const struct mf_forward_target *target,
		   struct mf_err *err);

/** mf_forward_set_health() - @detail: one short sentence, copied; since is moved only where ok changes */
void mf_forward_set_health(struct mf_forward *f, enum mf_forward_part part, bool ok,
			   const char *detail);

/* What programs and people are told; new references, NULL without memory. */
json_t *mf_forward_health_json(struct mf_forward *f, bool *ret_ok);
json_t *mf_forward_status_json(struct mf_forward *f);
json_t *mf_forward_maps_json(struct mf_forward *f); /* with what came of each route */
/**
 * mf_forward_test_json() - Where a connection would go: {name, port, source, rule, target, mode}
 * @port: of the destination; 0: 443
 */
json_t *mf_forward_test_json(struct mf_forward *f, const char *name, uint16_t port);

struct mf_strbuf;
/** mf_forward_write_metrics() - Prometheus text */
void mf_forward_write_metrics(struct mf_forward *f, struct mf_strbuf *buf);
/** mf_forward_write_page() - The page as HTML; nothing of it is loaded from elsewhere, all text is escaped */
void mf_forward_write_page(struct mf_forward *f, struct mf_strbuf *buf);
/**
 * mf_forward_write_down() - The page in the place of a server that cannot be reached; it loads itself again until it can
 * @name: as the client asks for it
 */
void mf_forward_write_down(struct mf_forward *f, struct mf_span name, struct mf_strbuf *buf);

#endif
