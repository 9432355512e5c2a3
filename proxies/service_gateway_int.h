/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service_gateway_int.h - one connection to the gateway of services: service_gateway.c moves its bytes, service_gateway_judge.c reads
 * its request and says what becomes of it
 */
#ifndef MF_PROXIES_SERVICE_GATEWAY_INT_H
#define MF_PROXIES_SERVICE_GATEWAY_INT_H

#include <event2/buffer.h>
#include <openssl/ssl.h>

#include "core/policy/api_services.h"
#include "core/wire/http_head.h"
#include "core/wire/http_watch.h"
#include "proxies/dns_upstream.h"
#include "proxies/held.h"
#include "proxies/proxy_int.h"
#include "proxies/service_gateway.h"
#include "proxies/sockwatch.h"

enum {
	MF_SERVICE_CHUNK = 16384,
	MF_SERVICE_IN_ROOM = MF_HTTP_WATCH_HELD_MAX + MF_SERVICE_CHUNK,
};

enum mf_service_state {
	MF_SERVICE_HEAD,
	MF_SERVICE_HELD,
	MF_SERVICE_RESOLVE,
	MF_SERVICE_DIAL,
	MF_SERVICE_SHAKE,
	MF_SERVICE_RELAY,
	MF_SERVICE_LINGERING,
	MF_SERVICE_GONE
};

struct mf_service_conn {
	struct mf_service_gateway *g;
	struct mf_service_conn *prev, *next;
	struct mf_session_flow flow;
	enum mf_service_state state;
	int client, server; /* -1: none */
	struct mf_sockwatch client_watch, server_watch;
	struct mf_timeout timer;
	bool running;
	struct mf_held held; /* until a person has answered */
	size_t head_len;     /* of what waits so */
	/* the server */
	struct mf_resolve *resolve;
	struct mf_addr addrs[MF_RESOLVE_ADDRS_MAX];
	size_t addr_cnt, addr_next;
	char host[MF_API_SERVICE_HOST_ROOM];
	uint16_t port;
	bool tls;
	SSL *ssl;
	/* the request: bytes that came and have not gone; the first head_left of them stand in @to_server in another form */
	struct mf_http_watch *watch;
	size_t in_len, head_left;
	bool begun, ended, client_eof;
	/* the answer */
	size_t answer_len; /* of the head, until it has passed */
	bool answering, server_eof;
	bool said_end; /* our end of the client's connection */
	struct evbuffer *to_server, *to_client;
	uint8_t *answer; /* ANSWER_HEAD_MAX */
	uint8_t in[MF_SERVICE_IN_ROOM];
};

struct mf_service_gateway {
	struct mf_proxy *p;
	struct mf_service_conn *conns;
	size_t cnt;
	struct mf_timeout_queue setup, idle, linger, left;
	struct mf_api_service_judgement judgement;
	char asked[MF_HTTP_HEAD_MAX]; /* method and target of the request being judged */
	uint8_t chunk[MF_SERVICE_CHUNK];
};

/** mf_service_conn_answer() - Our own words, where the server has not said any yet; then the connection ends */
void mf_service_conn_answer(struct mf_service_conn *c, int status, const char *reason,
			    const char *fmt, ...) MF_PRINTF(4, 5);
/** mf_service_conn_run() - Do what can be done now; @c may be gone then */
void mf_service_conn_run(struct mf_service_conn *c);
/** mf_service_conn_take_head() - Judge the request whose head is the first @len bytes of c->in, and begin what follows from it */
void mf_service_conn_take_head(struct mf_service_conn *c, size_t len);

#endif
