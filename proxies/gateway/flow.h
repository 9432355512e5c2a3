/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow.h - one TCP connection that a browser asked for, by whatever protocol it asked
 *
 * How it works
 *
 *	host, port -> the names of the member's own DNS (policies: dns, dns_answer) -> the built-in floor -> connect
 *		-> one end of a pair of sockets goes to the TCP proxy (mf_proxy_take_tcp()), the other is here
 *
 * So a browser's connection is any session's connection: redirects, TLS names, HTTP requests, interception, questions to a person, and
 * events are the TCP proxy's, and there is one implementation of each. What is here: where it may go at all, bytes, bounds.
 *
 * Bounds: mf_gw_flow_write() tells what waits; who writes stops reading from its client then. While it is paused nothing is read from
 * the server. Beside what waits, the kernel's buffers of the pair and of the server's connection hold bytes.
 *
 * Everything is told from the loop, never from inside a call.
 */
#ifndef MF_PROXIES_GATEWAY_FLOW_H
#define MF_PROXIES_GATEWAY_FLOW_H

#include "core/base/span.h"
#include "proxies/gateway/host.h"

struct mf_gateway;
struct mf_gw_flow;
struct mf_gw_member;

enum mf_gw_why {
	MF_GW_DENIED,	  /* by a policy */
	MF_GW_NOT_PUBLIC, /* by the floor */
	MF_GW_NO_NAME,	  /* its name leads nowhere */
	MF_GW_DIAL,	  /* no server there */
	MF_GW_REFUSED,	  /* ... but somebody who says so */
	MF_GW_TIMED_OUT,  /* ... that answers */
	MF_GW_IDLE,
	MF_GW_RESET,
	MF_GW_LIMIT,	/* the member has too many */
	MF_GW_TOO_FAST, /* it, its address or all open them too fast */
	MF_GW_MEMORY,
	MF_GW_WHY_NUM
};

struct mf_gw_flow_handler {
	void (*judged)(void *ctx); /* it may go, and is being dialled; NULL: nobody wants to know */
	void (*reached)(void *ctx); /* its server is there; NULL: nobody wants to know */
	/* MF_WS_ROOM bytes before @bytes, and they themselves, may be overwritten */
	void (*bytes)(void *ctx, struct mf_span bytes);
	/* There is something to be read, which is left to its owner: mf_gw_flow_read(). NULL: it is read as it comes */
	void (*ready)(void *ctx);
	/* some of what was written has gone, @waits bytes have not; NULL: nobody counts */
	void (*sent)(void *ctx, size_t waits);
	void (*eof)(void *ctx);	 /* the server has said all; bytes to it still go */
	void (*room)(void *ctx); /* all that was written has gone */
	void (*failed)(void *ctx, enum mf_gw_why why); /* the last call: the flow is gone */
};

/**
 * mf_gw_flow_open() - @client: for policies and events; @member: a reference is taken
 * Return: 0; MF_E_NOMEM
 */
int mf_gw_flow_open(struct mf_gateway *gw, struct mf_gw_member *member,
		    const struct mf_endpoint *client, const struct mf_gw_host *host, uint16_t port,
		    const struct mf_gw_flow_handler *handler, void *ctx, struct mf_gw_flow **ret);

/** mf_gw_flow_lift_floor() - Right after it was opened: its target is the operator's word, and may be any address */
void mf_gw_flow_lift_floor(struct mf_gw_flow *f);
/** mf_gw_flow_write() - To the server, also before it is reached; copied. Return: bytes that wait, MF_E_NOMEM, MF_E_CLOSED */
int64_t mf_gw_flow_write(struct mf_gw_flow *f, struct mf_span bytes);
/** mf_gw_flow_end() - No more will be written; the server hears of that behind all that was */
void mf_gw_flow_end(struct mf_gw_flow *f);
/**
 * mf_gw_flow_read() - One piece, after ready(): bytes(), eof() or failed() may be called from inside
 * Return: whether there may be more; else ready() tells again
 */
bool mf_gw_flow_read(struct mf_gw_flow *f);
void mf_gw_flow_pause(struct mf_gw_flow *f, bool pause);
/** mf_gw_flow_close() - What was written still goes, for a bounded time, unless @reset; nothing more is told. NULL is fine */
void mf_gw_flow_close(struct mf_gw_flow *f, bool reset);

#endif
