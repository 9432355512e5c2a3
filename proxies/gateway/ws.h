/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ws.h - one WebSocket (RFC 6455) behind its handshake, our side of it
 *
 * Framing and masks are ws_frame.h's. Here are messages, control frames, sockets, time and bounds: what waits to be sent is told
 * (mf_ws_waiting()), so that who sends can stop before it is too much; nothing is read while too much waits, answers to pings too; a
 * message above its limit, a client that has gone silent or does not take our Close end the connection.
 *
 * Life: the handler is told once that it ended (ended()); or its owner says mf_ws_close(), after which it hears nothing more. In both
 * cases it must not be touched again; what was sent before is still delivered, with the Close, for a bounded time.
 *
 * No extension is negotiated: permessage-deflate would cost a client nothing and us memory.
 */
#ifndef MF_PROXIES_GATEWAY_WS_H
#define MF_PROXIES_GATEWAY_WS_H

#include "core/base/span.h"
#include "proxies/http_service.h"

#define MF_WS_ROOM 32

struct event_base;
struct mf_ws;
struct mf_ws_set;

/* What all WebSockets of one loop share. Zero means the default. */
struct mf_ws_options {
	size_t size;
	uint32_t
		ping_ms; /* a silent client is asked so often: 30,000; it is gone when it says nothing for three times that */
	uint32_t
		linger_ms; /* for what was sent, and the other end's Close, once we have closed: 3,000 */
	uint32_t waiting_max; /* bytes and answers that wait before no more is read: 262,144 */
};

struct mf_ws_handler {
	/*
	 * A whole message; or, where a WebSocket streams, what came of one, in pieces of any length. A text message of which nothing
	 * came yet is told with an empty piece.
	 */
	void (*message)(void *ctx, bool text, struct mf_span bytes);
	/*
	 * In place of message(), where a WebSocket streams: what came of one message, and whether it is its first piece, its last; a
	 * piece may be empty. Text is here in pieces as well.
	 */
	void (*piece)(void *ctx, bool text, bool begins, bool ends, struct mf_span bytes);
	/* After mf_ws_waiting() was not 0: everything has been taken by the socket; and when it is held no more */
	void (*room)(void *ctx);
	/*
	 * So many bytes of frames were read, or are to be sent. It may mf_ws_hold(), and nothing else. NULL: nobody
	 * counts them.
	 */
	void (*moved)(void *ctx, size_t len);
	/* It is over: @code is the client's Close, 1005 without one in it, 1006 where the connection broke */
	void (*ended)(void *ctx, unsigned code);
};

int mf_ws_set_new(struct event_base *base, const struct mf_ws_options *options,
		  struct mf_ws_set **ret);
/** mf_ws_set_free() - Ends all, at once; their handlers are told */
void mf_ws_set_free(struct mf_ws_set *set);
/** mf_ws_set_count() - Open now, those that are closing included; any thread may ask */
size_t mf_ws_set_count(const struct mf_ws_set *set);

/**
 * mf_ws_new() - Take a connection over
 * @taken: its descriptor and TLS are the WebSocket's from now on, also where this fails
 * @message_max: bytes of a message; @stream: messages come in pieces
 * Handlers are called from the loop only. Return: 0, MF_E_NOMEM
 */
int mf_ws_new(struct mf_ws_set *set, const struct mf_http_taken *taken, uint64_t message_max,
	      bool stream, const struct mf_ws_handler *handler, void *ctx, struct mf_ws **ret);

/** mf_ws_send() - One message, copied; what cannot be sent now waits. Return: 0, MF_E_NOMEM, MF_E_CLOSED */
int mf_ws_send(struct mf_ws *ws, bool text, struct mf_span head, struct mf_span bytes);
/**
 * mf_ws_send_in_place() - The same of a binary message whose bytes lie in a buffer of the caller's: a big one is not copied
 * @bytes: MF_WS_ROOM bytes before it may be overwritten; @head: at most MF_WS_ROOM - 10 bytes
 * @alone: nobody else has something to send in this turn of the loop, so a small one is sent at once, too
 */
int mf_ws_send_in_place(struct mf_ws *ws, struct mf_span head, uint8_t *bytes, size_t len,
			bool alone);
/** mf_ws_waiting() - Bytes that the socket has not taken; what mf_ws_send() got in this turn of the loop counts */
size_t mf_ws_waiting(const struct mf_ws *ws);
/** mf_ws_get_bytes() - Of messages, so far: from the client, and to it (what waits counts); until mf_ws_close(), and in ended() */
void mf_ws_get_bytes(const struct mf_ws *ws, uint64_t *ret_received, uint64_t *ret_sent);
/** mf_ws_is_full() - Whether nobody should send more before room(): too much waits, or it is held */
bool mf_ws_is_full(const struct mf_ws *ws);
/**
 * mf_ws_hold() - Neither read nor, as far as its owner asks mf_ws_is_full(), send until it is told to
 * Letting go calls handlers at once: room() first; what has come is read in the loop's next turn, so that both ways have theirs.
 */
void mf_ws_hold(struct mf_ws *ws, bool hold);
bool mf_ws_is_held(const struct mf_ws *ws);
/** mf_ws_pause() - Read no more until it is told to */
void mf_ws_pause(struct mf_ws *ws, bool pause);
/** mf_ws_close() - Send what waits, a Close, and forget; @code 0: a Close without one. NULL is fine */
void mf_ws_close(struct mf_ws *ws, unsigned code, const char *reason);

/** mf_ws_accept_key() - Sec-WebSocket-Accept for a Sec-WebSocket-Key */
void mf_ws_accept_key(struct mf_span key, char ret[29]);

#endif
