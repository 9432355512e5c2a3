/* SPDX-License-Identifier: Apache-2.0 */
/* ws.c - see ws.h */
#include "proxies/gateway/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "proxies/gateway/ws_frame.h"
#include "proxies/sock.h"
#include "proxies/sockwatch.h"
#include "proxies/timeouts.h"
#include "proxies/tls_io.h"

enum {
	CHUNK = 65536,
	ROUNDS_MAX = 8, /* reads of one connection, then others have their turn */
	PINGS_MAX = 3,
	DRAIN_MAX = 4 << 20,
	REASON_MAX = MF_WS_CONTROL_MAX - 2,
	DOUBT_MS = 250,
	SMALL = 512,	   /* a block of pings, and of what else is said by one that is idle */
	SPARE_MAX = 16,	   /* blocks that are kept for the next who needs one */
	DIRECT_MIN = 8192, /* bytes that are worth a system call of their own */
};

/* Bytes that wait for a client. */
struct block {
	struct block *next;
	uint32_t at, len, room;
	uint8_t bytes[];
};

struct mf_ws_set {
	struct event_base *base;
	struct mf_ws_options opt;
	struct mf_ws *all;
	atomic_size_t cnt; /* written by the loop's thread, read by any */
	struct mf_timeouts *timeouts;
	struct mf_timeout_queue ping, linger, doubt;
	uint8_t in[CHUNK];
	struct block *spare;
	size_t spare_cnt;
};

struct mf_ws {
	struct mf_ws_set *set;
	struct mf_ws *prev, *next;
	struct mf_sockwatch watch;
	struct mf_timeout timeout, doubt;
	struct event again;
	struct mf_ws_reader reader;
	const struct mf_ws_handler *handler; /* NULL: nobody is told any more */
	void *ctx;
	int fd;
	SSL *ssl;
	uint64_t message_max, message_len;
	uint64_t received, sent; /* of messages */
	struct mf_span pieces;	 /* of a message that streams: read, and not yet handed on */
	uint8_t *message;	 /* what came of one that does not, in pieces */
	size_t kept, message_room;
	struct block *out, *out_last; /* whole frames, but for what has gone of the first */
	size_t out_len;
	unsigned silent;	      /* pings without a word in between */
	unsigned code;		      /* how the client ended; 0: it has not */
	bool by_pieces, begins, text; /* of a message that streams */
	bool stream, shut, readable, writable, ended, eof, broken, paused, closing, busy, told_full,
		heard;
	bool held; /* its bytes come too fast */
	bool deaf; /* its frames are not read any more: it closed, or made a mistake */
	bool close_sent;
	uint8_t *early;
	size_t early_len;
};

static void pump(struct mf_ws *ws);
static void give_block(struct mf_ws_set *set, struct block *b);

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void free_ws(struct mf_ws *ws)
{
	struct mf_ws_set *set = ws->set;

	if (ws->prev)
		ws->prev->next = ws->next;
	else
		set->all = ws->next;
	if (ws->next)
		ws->next->prev = ws->prev;
	set->cnt--;
	mf_timeout_disarm(&ws->timeout);
	mf_timeout_disarm(&ws->doubt);
	event_del(&ws->again);
	mf_sockwatch_stop(&ws->watch);
	SSL_free(ws->ssl);
	mf_sock_close(ws->fd);
	free(ws->early);
	free(ws->message);
	for (struct block *b = ws->out; b; b = ws->out) {
		ws->out = b->next;
		give_block(set, b);
	}
	free(ws);
}

static void tell_end(struct mf_ws *ws, unsigned code)
{
	const struct mf_ws_handler *h = ws->handler;

	ws->handler = NULL;
	if (h)
		h->ended(ws->ctx, code);
}

static void end(struct mf_ws *ws, unsigned code)
{
	tell_end(ws, code);
	free_ws(ws);
}

/* --- towards the client --------------------------------------------------------------------------------------------------- */

static size_t sock_send(struct mf_ws *ws, const uint8_t *ptr, size_t len)
{
	ssize_t n = ws->ssl ? mf_tls_send(ws->ssl, ptr, len) : mf_sock_send(ws->fd, ptr, len);

	/* what a socket takes only in part has filled it */
	if (n == MF_E_AGAIN || (n > 0 && (size_t)n < len && !ws->ssl))
		ws->writable = false;
	else if (n <= 0)
		ws->broken = true;
	return n > 0 ? (size_t)n : 0;
}

/* One for @len bytes, or the first of them. */
static struct block *take_block(struct mf_ws *ws, size_t len)
{
	struct mf_ws_set *set = ws->set;
	struct block *b = set->spare;
	size_t room = len <= SMALL && !ws->out ? SMALL : CHUNK;

	if (b && room == CHUNK) {
		set->spare = b->next;
		set->spare_cnt--;
	} else {
		b = malloc(sizeof(*b) + room);
		if (!b)
			return NULL;
		b->room = (uint32_t)room;
	}
	b->next = NULL;
	b->at = b->len = 0;
	return b;
}

/* One that is idle keeps nothing. */
static void give_block(struct mf_ws_set *set, struct block *b)
{
	if (b->room < CHUNK || set->spare_cnt >= SPARE_MAX) {
		free(b);
		return;
	}
	b->next = set->spare;
	set->spare = b;
	set->spare_cnt++;
}

/*
 * Bytes behind all that waits; @all: with what will be appended right after them, so that they share a block
 * Return: false without memory: the connection is broken, since a part of them may wait
 */
static bool append(struct mf_ws *ws, struct mf_span s, size_t all)
{
	while (s.len) {
		struct block *b = ws->out ? ws->out_last : NULL;
		size_t n;

		if (!b || b->at + b->len == b->room) {
			b = take_block(ws, all);
			if (!b) {
				ws->broken = true;
				return false;
			}
			if (ws->out)
				ws->out_last->next = b;
			else
				ws->out = b;
			ws->out_last = b;
		}
		n = b->room - b->at - b->len;
		n = n < s.len ? n : s.len;
		memcpy(b->bytes + b->at + b->len, s.ptr, n);
		b->len += (uint32_t)n;
		ws->out_len += n;
		s = mf_span_sub(s, n, s.len);
	}
	return true;
}

/* A frame behind all that waits. Return: 0, MF_E_NOMEM */
static int queue(struct mf_ws *ws, enum mf_ws_opcode opcode, struct mf_span head,
		 struct mf_span bytes)
{
	uint8_t first[MF_WS_HEAD_MAX];
	size_t len = mf_ws_head_write(opcode, head.len + bytes.len, first);
	size_t all = len + head.len + bytes.len;

	return append(ws, mf_span_of(first, len), all) && append(ws, head, all) &&
			       append(ws, bytes, all)
		       ? 0
		       : MF_E_NOMEM;
}

/* @code MF_WS_NO_CODE: a Close without one */
static void queue_close(struct mf_ws *ws, unsigned code, struct mf_span reason)
{
	uint8_t two[2];

	if (ws->close_sent)
		return;
	ws->close_sent = true;
	mf_store_be16(two, (uint16_t)code);
	if (queue(ws, MF_WS_CLOSE, mf_span_of(two, code == MF_WS_NO_CODE ? 0 : 2), reason) < 0)
		ws->broken = true;
}

/* All that waits, as far as the socket takes it */
static void flush(struct mf_ws *ws)
{
	while (ws->out && ws->writable && !ws->broken) {
		struct block *b = ws->out;
		size_t n = sock_send(ws, b->bytes + b->at, b->len);

		b->at += (uint32_t)n;
		b->len -= (uint32_t)n;
		ws->out_len -= n;
		if (b->len == 0) {
			ws->out = b->next;
			give_block(ws->set, b);
		}
	}
}

/* --- from the client ------------------------------------------------------------------------------------------------------ */

/* It is not understood, or says too much: it is told so, and not heard any more. */
static void refuse(struct mf_ws *ws, unsigned code)
{
	ws->deaf = true;
	queue_close(ws, code, mf_span_of(NULL, 0));
}

/* A piece of one message only: what came of it. */
static void hand_on_piece(struct mf_ws *ws, bool ends)
{
	struct mf_span bytes = ws->pieces;
	bool begins = ws->begins;

	ws->pieces = mf_span_of(NULL, 0);
	ws->begins = false;
	if (ws->handler && (bytes.len || begins || ends))
		ws->handler->piece(ws->ctx, ws->text, begins, ends, bytes);
}

/* A socket, and whoever sends it on, is better asked once. */
static void hand_on(struct mf_ws *ws)
{
	struct mf_span bytes = ws->pieces;

	if (bytes.len == 0)
		return;
	if (ws->by_pieces) {
		hand_on_piece(ws, false);
		return;
	}
	ws->pieces = mf_span_of(NULL, 0);
	if (ws->handler)
		ws->handler->message(ws->ctx, false, bytes);
}

static void take_close(struct mf_ws *ws, const struct mf_ws_piece *p)
{
	struct mf_span payload = mf_span_of(p->ptr, p->len);
	int code = mf_ws_close_read(payload);

	if (code < 0) {
		refuse(ws, code == MF_E_SYNTAX ? MF_WS_BAD_TEXT : MF_WS_PROTOCOL_ERROR);
		return;
	}
	ws->code = (unsigned)code;
	ws->deaf = true;
	queue_close(ws, ws->code, mf_span_of(NULL, 0));
}

static void take_control(struct mf_ws *ws, const struct mf_ws_piece *p)
{
	if (p->opcode == MF_WS_CLOSE)
		take_close(ws, p);
	else if (p->opcode == MF_WS_PING && !ws->close_sent &&
		 queue(ws, MF_WS_PONG, mf_span_of(NULL, 0), mf_span_of(p->ptr, p->len)) < 0)
		ws->broken = true;
}

/* Return: false: the message is too long */
static bool count(struct mf_ws *ws, const struct mf_ws_piece *p)
{
	if (!p->begins)
		return true;
	if (p->begins_message)
		ws->message_len = 0;
	if (p->frame_len > ws->message_max - ws->message_len) {
		refuse(ws, MF_WS_TOO_BIG);
		return false;
	}
	ws->message_len += p->frame_len;
	ws->received += p->frame_len;
	return true;
}

static void take_piece(struct mf_ws *ws, const struct mf_ws_piece *p)
{
	ws->text = p->opcode == MF_WS_TEXT;
	ws->begins |= p->begins_message;
	if (ws->text && !ws->by_pieces) {
		if (p->begins_message)
			ws->handler->message(ws->ctx, true, mf_span_of("", 0));
		return;
	}
	if (ws->pieces.len == 0)
		ws->pieces.ptr = p->ptr;
	ws->pieces.len += p->len;
	if (p->ends_message && ws->by_pieces)
		hand_on_piece(ws, true);
}

static void deliver(struct mf_ws *ws, bool text, struct mf_span message)
{
	if (text && !mf_ws_is_text(message))
		refuse(ws, MF_WS_BAD_TEXT);
	else
		ws->handler->message(ws->ctx, text, message);
}

/* A whole message, or a piece, which is kept; count() bounds it */
static void take_message(struct mf_ws *ws, const struct mf_ws_piece *p)
{
	bool text = p->opcode == MF_WS_TEXT;

	if (p->begins_message && p->ends_message) {
		deliver(ws, text, mf_span_of(p->ptr, p->len));
		return;
	}
	if (ws->kept + p->len > ws->message_room) {
		size_t room = ws->message_room ? ws->message_room * 2 : SMALL;
		uint8_t *more;

		while (room < ws->kept + p->len)
			room *= 2;
		more = realloc(ws->message, room);
		if (!more) {
			ws->broken = true;
			return;
		}
		ws->message = more;
		ws->message_room = room;
	}
	if (p->len)
		memcpy(ws->message + ws->kept, p->ptr, p->len);
	ws->kept += p->len;
	if (!p->ends_message)
		return;
	deliver(ws, text, mf_span_of(ws->message, ws->kept));
	ws->kept = 0;
	free(ws->message);
	ws->message = NULL;
	ws->message_room = 0;
}

/* What was just read, all of it. */
static void take(struct mf_ws *ws, uint8_t *in, size_t len)
{
	struct mf_ws_piece p;
	int r = 1;

	while (!ws->deaf && !ws->broken) {
		/* pieces come to lie side by side */
		uint8_t *to = ws->pieces.len ? (uint8_t *)(uintptr_t)ws->pieces.ptr + ws->pieces.len
					     : NULL;

		r = mf_ws_read(&ws->reader, &in, &len, to, &p);
		if (r <= 0)
			break;
		if (p.opcode == MF_WS_CLOSE || (p.opcode == MF_WS_TEXT && !ws->by_pieces))
			hand_on(ws);
		if (p.opcode >= MF_WS_CLOSE)
			take_control(ws, &p);
		else if (!ws->handler || !count(ws, &p))
			continue;
		else if (ws->stream)
			take_piece(ws, &p);
		else
			take_message(ws, &p);
	}
	hand_on(ws);
	if (r < 0)
		refuse(ws, MF_WS_PROTOCOL_ERROR);
}

static size_t sock_recv(struct mf_ws *ws)
{
	size_t have = 0;

	/* TLS gives a record at a time */
	while (have < CHUNK) {
		size_t room = CHUNK - have;
		ssize_t n = ws->ssl ? mf_tls_recv(ws->ssl, ws->set->in + have, room)
				    : mf_sock_recv(ws->fd, ws->set->in, room);

		if (n == MF_E_AGAIN)
			ws->readable = false;
		else if (n == 0)
			ws->eof = true;
		else if (n < 0)
			ws->broken = true;
		if (n <= 0)
			break;
		have += (size_t)n;
		if (!ws->ssl) {
			/* empty; but an end that came with the last bytes is told no more */
			if ((size_t)n < room)
				ws->readable = ws->ended;
			break;
		}
	}
	return have;
}

static bool reads_on(const struct mf_ws *ws)
{
	return ws->readable && !ws->paused && !ws->held && !ws->eof && !ws->broken && !ws->deaf &&
	       mf_ws_waiting(ws) < ws->set->opt.waiting_max;
}

static void tell_moved(struct mf_ws *ws, size_t len)
{
	if (ws->handler && ws->handler->moved)
		ws->handler->moved(ws->ctx, len);
}

static bool read_some(struct mf_ws *ws)
{
	uint8_t *early = ws->early;
	size_t n;

	if (early) {
		ws->early = NULL;
		n = ws->early_len;
		ws->early_len = 0;
	} else {
		n = sock_recv(ws);
		/* what came before an error is no less said */
		if (n == 0)
			return false;
	}
	ws->heard = true;
	tell_moved(ws, n);
	take(ws, early ? early : ws->set->in, n);
	free(early);
	return true;
}

/* Nothing of it is understood any more: what it still says is thrown away, so that no reset overtakes our Close. */
static void drain(struct mf_ws *ws)
{
	size_t sum = 0;

	while (ws->readable && !ws->eof && !ws->broken && sum < DRAIN_MAX)
		sum += sock_recv(ws);
	if (sum >= DRAIN_MAX)
		ws->broken = true;
	if (!ws->shut && !ws->broken && !ws->out_len) {
		ws->shut = true;
		if (ws->ssl)
			(void)SSL_shutdown(ws->ssl);
		mf_sock_shutdown_write(ws->fd);
	}
}

/* The Close went both ways, or nothing works any more. */
static bool is_over(const struct mf_ws *ws)
{
	if (ws->broken)
		return true;
	return !ws->out_len && (ws->eof || (ws->close_sent && ws->code));
}

static void pump(struct mf_ws *ws)
{
	unsigned rounds = 0;
	bool moved;

	if (ws->busy)
		return;
	ws->busy = true;
	do {
		moved = false;
		if (reads_on(ws) || (ws->early && !ws->paused && !ws->held && !ws->broken))
			moved = read_some(ws);
		flush(ws);
		if (ws->told_full && ws->out_len == 0 && !ws->broken && !ws->held) {
			ws->told_full = false;
			if (ws->handler) {
				ws->handler->room(ws->ctx);
				moved = true;
			}
		}
	} while (moved && !ws->broken && ++rounds < ROUNDS_MAX);
	ws->busy = false;
	/* the client's Close, its end, or a mistake of it */
	if (ws->handler && (ws->eof || ws->deaf))
		tell_end(ws, ws->code ? ws->code : MF_WS_ABNORMAL);
	if (!ws->handler && ws->deaf)
		drain(ws);
	if (is_over(ws)) {
		end(ws, ws->code ? ws->code : MF_WS_ABNORMAL);
		return;
	}
	if (!ws->handler && !ws->closing) {
		ws->closing = true;
		mf_timeout_arm(&ws->timeout, &ws->set->linger);
	}
	if (moved)
		event_add(&ws->again, &(struct timeval){ 0, 0 });
	mf_sockwatch_want(&ws->watch,
			  (short)((ws->readable || ws->paused || ws->eof ? 0 : EV_READ) |
				  (ws->writable ? 0 : EV_WRITE)));
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_ws *ws = ctx;

	if (what & EV_CLOSED)
		ws->ended = true;
	/*
	 * libevent tells of a reset like this, once, also where there are bytes before it; and of bytes that come to a socket with room.
	 * To look for an end behind each message would be a system call more for it, so it is looked for a moment later.
	 */
	if (what & EV_READ && what & EV_WRITE && !mf_timeout_armed(&ws->doubt))
		mf_timeout_arm(&ws->doubt, &ws->set->doubt);
	if (what & (EV_READ | EV_CLOSED))
		ws->readable = true;
	if (what & EV_WRITE)
		ws->writable = true;
	/* nobody reads what it said last: it has a moment, and not as long as its server likes */
	/* a reset comes as room and something to read, neither of which anybody looks at in one that is paused */
	if ((ws->paused || ws->held) && mf_sock_error(fd))
		ws->broken = true;
	else if (what & EV_CLOSED && ws->paused && !ws->closing)
		mf_timeout_arm(&ws->timeout, &ws->set->linger);
	pump(ws);
}

static void on_again(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	pump(ctx);
}

/* Behind what the loop has to do in this turn: what all of that says goes together. */
static void pump_soon(struct mf_ws *ws)
{
	if (!ws->busy)
		event_active(&ws->again, EV_TIMEOUT, 0);
}

/* --- time ----------------------------------------------------------------------------------------------------------------- */

static struct mf_ws *ws_of(struct mf_timeout *t)
{
	return (struct mf_ws *)((char *)t - offsetof(struct mf_ws, timeout));
}

static void on_ping(struct mf_timeout *t, void *ctx)
{
	struct mf_ws *ws = ws_of(t);

	(void)ctx;
	ws->silent = ws->heard || ws->held ? 0 : ws->silent + 1;
	ws->heard = false;
	/* one that is not read cannot be heard: what waits there decides for itself */
	if (ws->silent > PINGS_MAX && !ws->paused) {
		tell_end(ws, MF_WS_ABNORMAL);
		mf_ws_close(ws, MF_WS_NORMAL, "idle timeout");
		return;
	}
	mf_timeout_arm(t, &ws->set->ping);
	if (!ws->paused && !ws->out_len && !ws->close_sent)
		(void)queue(ws, MF_WS_PING, mf_span_of(NULL, 0), mf_span_of(NULL, 0));
	pump_soon(ws);
}

static void on_linger(struct mf_timeout *t, void *ctx)
{
	struct mf_ws *ws = ws_of(t);

	(void)ctx;
	if (ws->closing || ws->paused)
		end(ws, 1006);
	else /* it had hung up while nobody read it; now its end is read */
		mf_timeout_arm(t, &ws->set->ping);
}

/* There may have been an end behind what was read last. */
static void on_doubt(struct mf_timeout *t, void *ctx)
{
	struct mf_ws *ws = (struct mf_ws *)((char *)t - offsetof(struct mf_ws, doubt));

	(void)ctx;
	ws->readable = true;
	pump(ws);
}

/* --- what owners call ----------------------------------------------------------------------------------------------------- */

int mf_ws_set_new(struct event_base *base, const struct mf_ws_options *options,
		  struct mf_ws_set **ret)
{
	struct mf_ws_set *set = calloc(1, sizeof(*set));

	if (!set)
		return MF_E_NOMEM;
	set->timeouts = mf_timeouts_new(base);
	if (!set->timeouts) {
		free(set);
		return MF_E_NOMEM;
	}
	set->base = base;
	set->opt = *options;
	if (!set->opt.ping_ms)
		set->opt.ping_ms = 30000;
	if (!set->opt.linger_ms)
		set->opt.linger_ms = 3000;
	if (!set->opt.waiting_max)
		set->opt.waiting_max = 262144;
	mf_timeout_queue_init(&set->ping, set->timeouts, set->opt.ping_ms, on_ping, set);
	mf_timeout_queue_init(&set->linger, set->timeouts, set->opt.linger_ms, on_linger, set);
	mf_timeout_queue_init(&set->doubt, set->timeouts, DOUBT_MS, on_doubt, set);
	*ret = set;
	return 0;
}

void mf_ws_set_free(struct mf_ws_set *set)
{
	if (!set)
		return;
	while (set->all)
		end(set->all, 1006);
	mf_timeouts_free(set->timeouts);
	for (struct block *b = set->spare; b; b = set->spare) {
		set->spare = b->next;
		free(b);
	}
	free(set);
}

size_t mf_ws_set_count(const struct mf_ws_set *set)
{
	return set->cnt;
}

int mf_ws_new(struct mf_ws_set *set, const struct mf_http_taken *taken, uint64_t message_max,
	      bool stream, const struct mf_ws_handler *handler, void *ctx, struct mf_ws **ret)
{
	struct mf_ws *ws = calloc(1, sizeof(*ws));

	if (ws && taken->early.len) {
		ws->early = malloc(taken->early.len);
		ws->early_len = taken->early.len;
		if (ws->early)
			memcpy(ws->early, taken->early.ptr, taken->early.len);
	}
	if (!ws || (taken->early.len && !ws->early) ||
	    mf_sockwatch_start(&ws->watch, set->base, taken->fd, on_io, ws) < 0) {
		if (ws)
			free(ws->early);
		free(ws);
		SSL_free(taken->ssl);
		mf_sock_close(taken->fd);
		return MF_E_NOMEM;
	}
	event_assign(&ws->again, set->base, -1, 0, on_again, ws);
	ws->set = set;
	ws->fd = taken->fd;
	ws->ssl = taken->ssl;
	ws->message_max = message_max;
	ws->stream = stream;
	ws->by_pieces = stream && handler->piece;
	ws->handler = handler;
	ws->ctx = ctx;
	ws->readable = ws->writable = true;
	ws->next = set->all;
	if (ws->next)
		ws->next->prev = ws;
	set->all = ws;
	set->cnt++;
	mf_timeout_arm(&ws->timeout, &set->ping);
	mf_timeout_arm(&ws->doubt, &set->doubt); /* the HTTP service may have been told of an end */
	pump_soon(ws);
	*ret = ws;
	return 0;
}

int mf_ws_send(struct mf_ws *ws, bool text, struct mf_span head, struct mf_span bytes)
{
	int r = ws->close_sent || ws->broken
			? MF_E_CLOSED
			: queue(ws, text ? MF_WS_TEXT : MF_WS_BINARY, head, bytes);

	if (r < 0)
		return r;
	ws->sent += head.len + bytes.len;
	ws->told_full = true;
	pump_soon(ws);
	tell_moved(ws, mf_ws_head_len(head.len + bytes.len) + head.len + bytes.len);
	return 0;
}

int mf_ws_send_in_place(struct mf_ws *ws, struct mf_span head, uint8_t *bytes, size_t len,
			bool alone)
{
	uint8_t *at = bytes - head.len - mf_ws_head_len(head.len + len);
	size_t sent, all = (size_t)(bytes - at) + len;

	/* what is small goes with the others of this turn, in one call, where there may be others */
	if ((len < DIRECT_MIN && !alone) || ws->out_len || !ws->writable || ws->busy ||
	    ws->close_sent)
		return mf_ws_send(ws, false, head, mf_span_of(bytes, len));
	if (head.len)
		memcpy(bytes - head.len, head.ptr, head.len);
	(void)mf_ws_head_write(MF_WS_BINARY, head.len + len, at);
	ws->sent += head.len + len;
	sent = sock_send(ws, at, all);
	if (ws->broken || sent < all) {
		(void)append(ws, mf_span_of(at + sent, all - sent), all - sent);
		ws->told_full = true;
		pump_soon(ws);
	}
	tell_moved(ws, all);
	return 0;
}

size_t mf_ws_waiting(const struct mf_ws *ws)
{
	return ws->out_len;
}

bool mf_ws_is_held(const struct mf_ws *ws)
{
	return ws->held;
}

bool mf_ws_is_full(const struct mf_ws *ws)
{
	return ws->held || ws->out_len >= ws->set->opt.waiting_max;
}

void mf_ws_hold(struct mf_ws *ws, bool hold)
{
	if (ws->held == hold)
		return;
	ws->held = hold;
	if (hold)
		return;
	if (ws->out_len == 0 && ws->handler && !ws->broken) {
		ws->told_full = false;
		ws->handler->room(ws->ctx);
	} else { /* whatever waits: who asked meanwhile was told that it is full */
		ws->told_full = true;
	}
	if (!ws->busy)
		event_add(&ws->again, &(struct timeval){ 0, 0 });
}

void mf_ws_get_bytes(const struct mf_ws *ws, uint64_t *ret_received, uint64_t *ret_sent)
{
	*ret_received = ws->received;
	*ret_sent = ws->sent;
}

void mf_ws_pause(struct mf_ws *ws, bool pause)
{
	if (ws->paused == pause)
		return;
	ws->paused = pause;
	if (!pause) {
		pump_soon(ws);
	} else if (mf_sock_error(ws->fd)) { /* what was told before is not told again */
		ws->broken = true;
		pump_soon(ws);
	} else if (ws->ended && !ws->closing) {
		mf_timeout_arm(&ws->timeout, &ws->set->linger);
	}
}

void mf_ws_close(struct mf_ws *ws, unsigned code, const char *reason)
{
	size_t len = reason && code ? strlen(reason) : 0;

	if (!ws)
		return;
	ws->handler = NULL;
	ws->paused = ws->held = false;
	if (len > REASON_MAX) {
		len = REASON_MAX;
		while (len && ((uint8_t)reason[len] & 0xc0) == 0x80)
			len--;
	}
	queue_close(ws, code ? code : MF_WS_NO_CODE, mf_span_of(reason, len));
	ws->closing = true;
	mf_timeout_arm(&ws->timeout, &ws->set->linger);
	pump_soon(ws);
}

void mf_ws_accept_key(struct mf_span key, char ret[29])
{
	static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */
	uint8_t text[512], hash[SHA_DIGEST_LENGTH];

	if (key.len > sizeof(text) - sizeof(guid))
		key.len = 0;
	if (key.len)
		memcpy(text, key.ptr, key.len);
	memcpy(text + key.len, guid, sizeof(guid) - 1);
	SHA1(text, key.len + sizeof(guid) - 1, hash);
	(void)EVP_EncodeBlock((uint8_t *)ret, hash, sizeof(hash));
}
