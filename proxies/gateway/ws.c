/* SPDX-License-Identifier: Apache-2.0 */
/* ws.c - see ws.h */
#include "proxies/gateway/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <wslay/wslay.h>

#include "proxies/sock.h"
#include "proxies/sockwatch.h"
#include "proxies/timeouts.h"
#include "proxies/tls_io.h"

enum {
	CHUNK = 65536,
	ROUNDS_MAX = 8, /* reads of one connection, then others have their turn */
	PINGS_MAX = 3,
	DRAIN_MAX = 4 << 20,
	REASON_MAX = 123,
};

struct mf_ws_set {
	struct event_base *base;
	struct mf_ws_options opt;
	struct mf_ws *all;
	size_t cnt;
	struct mf_timeouts *timeouts;
	struct mf_timeout_queue ping, linger;
	uint8_t in[CHUNK], out[CHUNK], pieces[CHUNK];
	size_t pieces_len; /* of the message that is being read */
};

struct mf_ws {
	struct mf_ws_set *set;
	struct mf_ws *prev, *next;
	struct mf_sockwatch watch;
	struct mf_timeout timeout;
	struct event again;
	wslay_event_context_ptr wslay;
	const struct mf_ws_handler *handler; /* NULL: nobody is told any more */
	void *ctx;
	int fd;
	SSL *ssl;
	uint64_t message_max, message_len;
	struct mf_span in; /* being read: of set->in, or of early */
	uint8_t *left;	   /* of set->out, that the socket did not take */
	size_t left_len, queued;
	unsigned silent; /* pings without a word in between */
	unsigned code;
	unsigned
		close_code; /* of the Close that waits for what was sent before; libwslay would send it first */
	char *close_reason;
	bool close_waits, stream, by_pieces, begins, in_data, text, shut, readable, writable, eof,
		broken, paused, closing, busy, told_full, heard;
	uint8_t *early;
	size_t early_len;
	struct {
		uint8_t *ptr;
		size_t len;
	} room;
};

static void pump(struct mf_ws *ws);

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
	event_del(&ws->again);
	mf_sockwatch_stop(&ws->watch);
	wslay_event_context_free(ws->wslay);
	SSL_free(ws->ssl);
	mf_sock_close(ws->fd);
	free(ws->early);
	free(ws->left);
	free(ws->close_reason);
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

/* --- bytes to and from libwslay ------------------------------------------------------------------------------------------- */

static ssize_t on_recv(wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *user)
{
	struct mf_ws *ws = user;

	(void)flags;
	if (ws->in.len == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (len > ws->in.len)
		len = ws->in.len;
	memcpy(buf, ws->in.ptr, len);
	ws->in = mf_span_sub(ws->in, len, ws->in.len);
	return (ssize_t)len;
}

static ssize_t on_send(wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags,
		       void *user)
{
	struct mf_ws *ws = user;

	(void)flags;
	if (ws->room.len == 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	if (len > ws->room.len)
		len = ws->room.len;
	memcpy(ws->room.ptr, data, len);
	ws->room.ptr += len;
	ws->room.len -= len;
	return (ssize_t)len;
}

static void too_big(struct mf_ws *ws)
{
	ws->closing = true;
	wslay_event_shutdown_read(ws->wslay);
	(void)wslay_event_queue_close(ws->wslay, WSLAY_CODE_MESSAGE_TOO_BIG, NULL, 0);
	tell_end(ws, WSLAY_CODE_MESSAGE_TOO_BIG);
}

/* A piece of one message only: what came of it. */
static void hand_on_piece(struct mf_ws *ws, bool ends)
{
	size_t len = ws->set->pieces_len;
	bool begins = ws->begins;

	ws->set->pieces_len = 0;
	ws->begins = false;
	if (ws->handler && (len || begins || ends))
		ws->handler->piece(ws->ctx, ws->text, begins, ends,
				   mf_span_of(ws->set->pieces, len));
}

/* libwslay hands out 4 KiB at a time; a socket, and whoever sends it on, is better asked once. */
static void hand_on(struct mf_ws *ws)
{
	size_t len = ws->set->pieces_len;

	if (ws->by_pieces) {
		if (len)
			hand_on_piece(ws, false);
		return;
	}
	ws->set->pieces_len = 0;
	if (len && ws->handler)
		ws->handler->message(ws->ctx, false, mf_span_of(ws->set->pieces, len));
}

static void on_frame(wslay_event_context_ptr ctx,
		     const struct wslay_event_on_frame_recv_start_arg *arg, void *user)
{
	struct mf_ws *ws = user;

	(void)ctx;
	ws->in_data = ws->stream && !wslay_is_ctrl_frame(arg->opcode) && ws->handler;
	if (!ws->in_data)
		return;
	if (arg->opcode != WSLAY_CONTINUATION_FRAME) {
		ws->text = arg->opcode == WSLAY_TEXT_FRAME;
		ws->message_len = 0;
		ws->begins = true;
		if (ws->text && !ws->by_pieces) {
			hand_on(ws);
			if (ws->handler)
				ws->handler->message(ws->ctx, true, mf_span_of("", 0));
		}
	}
	if (ws->handler && arg->payload_length > ws->message_max - ws->message_len)
		too_big(ws);
	else
		ws->message_len += arg->payload_length;
}

static void on_chunk(wslay_event_context_ptr ctx,
		     const struct wslay_event_on_frame_recv_chunk_arg *arg, void *user)
{
	struct mf_ws *ws = user;

	struct mf_ws_set *set = ws->set;

	(void)ctx;
	if (!ws->in_data || (ws->text && !ws->by_pieces))
		return;
	if (arg->data_length > CHUNK - set->pieces_len)
		hand_on(ws);
	memcpy(set->pieces + set->pieces_len, arg->data, arg->data_length);
	set->pieces_len += arg->data_length;
}

static void on_message(wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg,
		       void *user)
{
	struct mf_ws *ws = user;

	(void)ctx;
	if (arg->opcode == WSLAY_CONNECTION_CLOSE) {
		ws->code = arg->status_code ? arg->status_code : 1005;
		return;
	}
	if (wslay_is_ctrl_frame(arg->opcode) || !ws->handler)
		return;
	if (ws->by_pieces)
		hand_on_piece(ws, true);
	if (ws->stream)
		return;
	ws->handler->message(ws->ctx, arg->opcode == WSLAY_TEXT_FRAME,
			     mf_span_of(arg->msg, arg->msg_length));
}

static const struct wslay_event_callbacks plain = {
	.recv_callback = on_recv,
	.send_callback = on_send,
	.on_msg_recv_callback = on_message,
};

static const struct wslay_event_callbacks streams = {
	.recv_callback = on_recv,
	.send_callback = on_send,
	.on_frame_recv_start_callback = on_frame,
	.on_frame_recv_chunk_callback = on_chunk,
	.on_msg_recv_callback = on_message,
};

/* --- sockets -------------------------------------------------------------------------------------------------------------- */

static ssize_t sock_send(struct mf_ws *ws, const uint8_t *ptr, size_t len)
{
	ssize_t n = ws->ssl ? mf_tls_send(ws->ssl, ptr, len) : mf_sock_send(ws->fd, ptr, len);

	if (n == MF_E_AGAIN)
		ws->writable = false;
	else if (n <= 0)
		ws->broken = true;
	return n > 0 ? n : 0;
}

static bool send_left(struct mf_ws *ws)
{
	size_t at = 0;

	while (at < ws->left_len && ws->writable && !ws->broken)
		at += (size_t)sock_send(ws, ws->left + at, ws->left_len - at);
	if (at < ws->left_len) {
		memmove(ws->left, ws->left + at, ws->left_len - at);
		ws->left_len -= at;
		return false;
	}
	free(ws->left);
	ws->left = NULL;
	ws->left_len = 0;
	return true;
}

/* One buffer of frames. Return: whether there may be more */
static bool send_some(struct mf_ws *ws)
{
	struct mf_ws_set *set = ws->set;
	size_t len, at = 0;

	if (ws->left_len && !send_left(ws))
		return false;
	if (!wslay_event_want_write(ws->wslay))
		return false;
	ws->room.ptr = set->out;
	ws->room.len = CHUNK;
	if (wslay_event_send(ws->wslay) != 0) {
		ws->broken = true;
		return false;
	}
	len = CHUNK - ws->room.len;
	ws->queued = wslay_event_get_queued_msg_length(ws->wslay);
	while (at < len && ws->writable && !ws->broken)
		at += (size_t)sock_send(ws, set->out + at, len - at);
	if (at < len && !ws->broken) {
		ws->left = malloc(len - at);
		if (!ws->left) {
			ws->broken = true;
			return false;
		}
		ws->left_len = len - at;
		memcpy(ws->left, set->out + at, ws->left_len);
		return false;
	}
	return len > 0;
}

/* Return: whether a Close is to be sent now */
static bool close_now(struct mf_ws *ws)
{
	if (!ws->close_waits || wslay_event_get_queued_msg_count(ws->wslay))
		return false;
	ws->close_waits = false;
	return wslay_event_queue_close(ws->wslay, (uint16_t)ws->close_code,
				       (const uint8_t *)ws->close_reason,
				       ws->close_reason ? strlen(ws->close_reason) : 0) == 0;
}

static bool reads_on(const struct mf_ws *ws)
{
	return ws->readable && !ws->paused && !ws->eof && !ws->broken &&
	       mf_ws_waiting(ws) < ws->set->opt.waiting_max &&
	       wslay_event_get_read_enabled(ws->wslay);
}

static bool read_some(struct mf_ws *ws)
{
	uint8_t *early = NULL;
	ssize_t n;

	if (ws->early_len) {
		early = ws->early;
		ws->in = mf_span_of(early, ws->early_len);
		ws->early = NULL;
		ws->early_len = 0;
	} else {
		n = ws->ssl ? mf_tls_recv(ws->ssl, ws->set->in, CHUNK)
			    : mf_sock_recv(ws->fd, ws->set->in, CHUNK);
		if (n == MF_E_AGAIN)
			ws->readable = false;
		else if (n == 0)
			ws->eof = true;
		else if (n < 0)
			ws->broken = true;
		if (n <= 0)
			return false;
		ws->in = mf_span_of(ws->set->in, (size_t)n);
	}
	ws->heard = true;
	/* of some mistakes libwslay only tells, of others it has a Close ready: what it has stands */
	if (wslay_event_recv(ws->wslay) != 0) {
		wslay_event_shutdown_read(ws->wslay);
		(void)wslay_event_queue_close(ws->wslay, WSLAY_CODE_PROTOCOL_ERROR, NULL, 0);
	}
	hand_on(ws);
	ws->queued = wslay_event_get_queued_msg_length(ws->wslay);
	free(early);
	return true;
}

/* Nothing of it is understood any more: what it still says is thrown away, so that no reset overtakes our Close. */
static void drain(struct mf_ws *ws)
{
	size_t sum = 0;
	ssize_t n = 1;

	while (ws->readable && !ws->eof && !ws->broken && sum < DRAIN_MAX) {
		n = ws->ssl ? mf_tls_recv(ws->ssl, ws->set->in, CHUNK)
			    : mf_sock_recv(ws->fd, ws->set->in, CHUNK);
		if (n == MF_E_AGAIN)
			ws->readable = false;
		else if (n == 0)
			ws->eof = true;
		else if (n < 0)
			ws->broken = true;
		sum += n > 0 ? (size_t)n : 0;
	}
	if (sum >= DRAIN_MAX)
		ws->broken = true;
	if (!ws->shut && !ws->broken && !ws->close_waits && !ws->left_len &&
	    !wslay_event_want_write(ws->wslay)) {
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
	if (ws->left_len || ws->close_waits || wslay_event_want_write(ws->wslay))
		return false;
	return ws->eof ||
	       (wslay_event_get_close_sent(ws->wslay) && wslay_event_get_close_received(ws->wslay));
}

static void pump(struct mf_ws *ws)
{
	unsigned rounds = 0;
	bool moved, sent;

	if (ws->busy)
		return;
	ws->busy = true;
	do {
		moved = false;
		if (reads_on(ws) || (ws->early_len && !ws->paused && !ws->broken))
			moved = read_some(ws);
		do {
			sent = ws->writable && !ws->broken && send_some(ws);
		} while (sent || close_now(ws));
		if (ws->told_full && mf_ws_waiting(ws) == 0 && !ws->broken) {
			ws->told_full = false;
			if (ws->handler) {
				ws->handler->room(ws->ctx);
				moved = true;
			}
		}
	} while (moved && !ws->broken && ++rounds < ROUNDS_MAX);
	ws->busy = false;
	/* libwslay has closed for itself: a Close of the client's, or a mistake of it */
	if (ws->handler && (ws->code || ws->eof || !wslay_event_get_read_enabled(ws->wslay)))
		tell_end(ws, ws->code ? ws->code : 1006);
	if (!ws->handler && !wslay_event_get_read_enabled(ws->wslay))
		drain(ws);
	if (is_over(ws)) {
		end(ws, ws->code ? ws->code : 1006);
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

	if (what & (EV_READ | EV_CLOSED))
		ws->readable = true;
	if (what & EV_WRITE)
		ws->writable = true;
	/* nobody reads what it said last: it has a moment, and not as long as its server likes */
	/* a reset comes as room and something to read, neither of which anybody looks at in one that is paused */
	if (ws->paused && mf_sock_error(fd))
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

static void pump_soon(struct mf_ws *ws)
{
	if (!ws->busy)
		event_add(&ws->again, &(struct timeval){ 0, 0 });
}

/* --- time ----------------------------------------------------------------------------------------------------------------- */

static struct mf_ws *ws_of(struct mf_timeout *t)
{
	return (struct mf_ws *)((char *)t - offsetof(struct mf_ws, timeout));
}

static void on_ping(struct mf_timeout *t, void *ctx)
{
	const struct wslay_event_msg ping = { .opcode = WSLAY_PING };
	struct mf_ws *ws = ws_of(t);

	(void)ctx;
	ws->silent = ws->heard ? 0 : ws->silent + 1;
	ws->heard = false;
	/* one that is not read cannot be heard: what waits there decides for itself */
	if (ws->silent > PINGS_MAX && !ws->paused) {
		tell_end(ws, 1006);
		mf_ws_close(ws, 1000, "idle timeout");
		return;
	}
	mf_timeout_arm(t, &ws->set->ping);
	if (!ws->paused && wslay_event_get_queued_msg_count(ws->wslay) == 0)
		(void)wslay_event_queue_msg(ws->wslay, &ping);
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
	    wslay_event_context_server_init(&ws->wslay, stream ? &streams : &plain, ws) != 0 ||
	    mf_sockwatch_start(&ws->watch, set->base, taken->fd, on_io, ws) < 0) {
		if (ws && ws->wslay)
			wslay_event_context_free(ws->wslay);
		if (ws)
			free(ws->early);
		free(ws);
		SSL_free(taken->ssl);
		mf_sock_close(taken->fd);
		return MF_E_NOMEM;
	}
	wslay_event_config_set_no_buffering(ws->wslay, stream);
	wslay_event_config_set_max_recv_msg_length(ws->wslay, message_max);
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
	pump_soon(ws);
	*ret = ws;
	return 0;
}

int mf_ws_send(struct mf_ws *ws, bool text, struct mf_span head, struct mf_span bytes)
{
	struct wslay_event_msg m = { .opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME };
	uint8_t *both = NULL;
	int r;

	m.msg = bytes.ptr;
	m.msg_length = bytes.len;
	if (head.len) {
		both = malloc(head.len + bytes.len);
		if (!both)
			return MF_E_NOMEM;
		memcpy(both, head.ptr, head.len);
		if (bytes.len)
			memcpy(both + head.len, bytes.ptr, bytes.len);
		m.msg = both;
		m.msg_length += head.len;
	}
	r = wslay_event_queue_msg(ws->wslay, &m);
	free(both);
	if (r != 0)
		return r == WSLAY_ERR_NOMEM ? MF_E_NOMEM : MF_E_CLOSED;
	ws->queued = wslay_event_get_queued_msg_length(ws->wslay);
	ws->told_full = true;
	pump_soon(ws);
	return 0;
}

size_t mf_ws_waiting(const struct mf_ws *ws)
{
	return ws->left_len + ws->queued;
}

void mf_ws_pause(struct mf_ws *ws, bool pause)
{
	if (ws->paused == pause)
		return;
	ws->paused = pause;
	if (!pause)
		pump_soon(ws);
}

void mf_ws_close(struct mf_ws *ws, unsigned code, const char *reason)
{
	size_t len = reason ? strlen(reason) : 0;

	if (!ws)
		return;
	ws->handler = NULL;
	ws->paused = false;
	if (len > REASON_MAX) {
		len = REASON_MAX;
		while (len && ((uint8_t)reason[len] & 0xc0) == 0x80)
			len--;
	}
	if (code && len)
		ws->close_reason = strndup(reason, len);
	ws->close_code = code;
	ws->close_waits = true;
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
