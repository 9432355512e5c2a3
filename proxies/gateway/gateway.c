/* SPDX-License-Identifier: Apache-2.0 */
/* gateway.c - see gateway.h: options, WebSockets from their upgrade to their end, life */
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "proxies/ask.h"
#include "proxies/gateway/gateway_int.h"
#include "proxies/gateway/peer.h"
#include "proxies/gateway/ws_frame.h"

enum {
	FIELD_MAX = 256,
	PAYLOAD_MAX = 65507, /* of UDP over IPv4 */
};

/* --- WebSockets ----------------------------------------------------------------------------------------------------------- */

static void count_out(struct mf_gateway *gw, struct mf_gw_address *address,
		      struct mf_gw_member *member)
{
	mf_gw_address_close(gw->house->addresses, address);
	member->sockets--;
	gw->house->sockets--;
}

static void free_front(struct mf_gw_front *f)
{
	struct mf_gateway *gw = f->gw;

	mf_gw_front_let_go(f);
	mf_gw_expiry_stop(&f->expiry);
	if (f->prev)
		f->prev->next = f->next;
	else
		gw->fronts = f->next;
	if (f->next)
		f->next->prev = f->prev;
	count_out(gw, f->address, f->member);
	gw->stats.sockets_open--;
	mf_gw_member_unref(f->member);
	free(f->origin);
	free(f);
}

static void announce(struct mf_gw_front *f, bool over, unsigned code, const char *reason)
{
	struct mf_proxy *p = f->gw->proxy;
	struct mf_event *ev = &p->event;
	char client[MF_ENDPOINT_TEXT_MAX];
	uint64_t received, sent;

	if (!p->session->events)
		return;
	mf_event_begin(ev, &(struct mf_event_head){
				   .type = over ? MF_EV_GATEWAY_CLOSE : MF_EV_GATEWAY_OPEN,
				   .session_id = f->member->pub.id,
				   .source = p->session->source,
			   });
	mf_event_add_cstr(ev, MF_EVF_KIND, f->kind->name);
	mf_event_add_cstr(ev, MF_EVF_CLIENT,
			  mf_endpoint_format(&f->client, client, sizeof(client)));
	if (over) {
		mf_ws_get_bytes(f->ws, &received, &sent);
		mf_event_add_int(ev, MF_EVF_CODE, code);
		if (reason && *reason)
			mf_event_add_cstr(ev, MF_EVF_REASON, reason);
		mf_event_add_int(ev, MF_EVF_DURATION_MS, (int64_t)(mf_now_ms() - f->open_ms));
		mf_event_add_int(ev, MF_EVF_BYTES_SENT, (int64_t)received);
		mf_event_add_int(ev, MF_EVF_BYTES_RECEIVED, (int64_t)sent);
	}
	mf_ask_send(p, ev);
}

static void done(struct mf_gw_front *f)
{
	f->ws = NULL;
	f->kind->done(f);
	free_front(f);
}

static void on_message(void *ctx, bool text, struct mf_span bytes)
{
	struct mf_gw_front *f = ctx;

	f->kind->message(f, text, bytes);
}

static void on_piece(void *ctx, bool text, bool begins, bool ends, struct mf_span bytes)
{
	struct mf_gw_front *f = ctx;

	f->kind->piece(f, text, begins, ends, bytes);
}

static void on_room(void *ctx)
{
	struct mf_gw_front *f = ctx;

	if (f->kind->room)
		f->kind->room(f);
}

static void on_moved(void *ctx, size_t len)
{
	struct mf_gw_front *f = ctx;

	if (!f->kind->datagrams)
		mf_gw_front_moved(f, len);
}

static void on_ended(void *ctx, unsigned code)
{
	announce(ctx, true, code, NULL);
	done(ctx);
}

static const struct mf_ws_handler handler = {
	.message = on_message, .moved = on_moved, .room = on_room, .ended = on_ended
};
static const struct mf_ws_handler piece_handler = {
	.piece = on_piece, .moved = on_moved, .room = on_room, .ended = on_ended
};

static void on_expired(void *ctx)
{
	struct mf_gw_front *f = ctx;

	f->gw->stats.expired++;
	mf_gw_front_end(f, 1008, "token expired");
}

/* Without memory it ends: nobody has a token for longer than it is good. */
static bool start_expiry(struct mf_gw_front *f)
{
	return !f->expires ||
	       mf_gw_expiry_start(&f->expiry, f->gw->base, f->member, on_expired, f) == 0;
}

static void on_taken(void *ctx, const struct mf_http_taken *taken)
{
	struct mf_gw_front *f = ctx;

	if (!taken || mf_ws_new(f->gw->sockets, taken,
				f->message_max ? f->message_max : f->gw->opt.message_max,
				f->kind->streams || f->kind->piece,
				f->kind->piece ? &piece_handler : &handler, f, &f->ws) < 0) {
		done(f);
		return;
	}
	f->gw->stats.sockets++;
	f->open_ms = mf_now_ms();
	announce(f, false, 0, NULL);
	if (f->gw->stopping)
		mf_gw_front_end(f, 1001, "shutting down");
	else if (!start_expiry(f))
		mf_gw_front_end(f, 1011, "out of memory");
	else
		f->kind->open(f);
}

/* One value of at most FIELD_MAX bytes. Return: false: several, or too long */
static bool find_single(const struct mf_http_request *req, const char *name, struct mf_span *ret)
{
	size_t len = strlen(name);
	unsigned cnt = 0;

	*ret = mf_span_of(NULL, 0);
	for (size_t i = 0; i < req->field_cnt; i++) {
		const struct mf_http_field *f = &req->fields[i];

		if (f->name.len == len && strncasecmp((const char *)f->name.ptr, name, len) == 0) {
			*ret = f->value;
			cnt++;
		}
	}
	return cnt <= 1 && ret->len <= FIELD_MAX;
}

static bool has_word(struct mf_span list, const char *word)
{
	size_t len = strlen(word);

	while (list.len) {
		const uint8_t *comma = memchr(list.ptr, ',', list.len);
		size_t n = comma ? (size_t)(comma - list.ptr) : list.len, skip = 0, end = n;

		while (skip < end && (list.ptr[skip] == ' ' || list.ptr[skip] == '\t'))
			skip++;
		while (end > skip && (list.ptr[end - 1] == ' ' || list.ptr[end - 1] == '\t'))
			end--;
		if (end - skip == len && strncasecmp((const char *)list.ptr + skip, word, len) == 0)
			return true;
		list = mf_span_sub(list, n + 1, list.len);
	}
	return false;
}

/* RFC 6455 4.2.1; Return: why it is none */
const char *mf_gw_check_handshake(const struct mf_http_request *req, char accept[29])
{
	struct mf_span upgrade, connection, version, key;
	bool ok = find_single(req, "upgrade", &upgrade) &&
		  find_single(req, "connection", &connection) &&
		  find_single(req, "sec-websocket-version", &version);

	if (!ok || req->http2 || !has_word(upgrade, "websocket") ||
	    !has_word(connection, "upgrade") || !mf_span_eq(version, mf_span_str("13")))
		return "Invalid WebSocket upgrade";
	if (!find_single(req, "sec-websocket-key", &key) || key.len == 0)
		return "Missing required header: Sec-WebSocket-Key";
	mf_ws_accept_key(key, accept);
	return NULL;
}

int mf_gw_offers(const struct mf_http_request *req, const char *protocol)
{
	struct mf_span list = mf_http_find_field(req, "sec-websocket-protocol"), one;
	bool found = false;
	unsigned cnt = 0;
	int r;

	while ((r = mf_gw_next_protocol(&list, &one)) == 1) {
		found |= mf_span_eq(one, mf_span_str(protocol));
		if (++cnt > 32)
			return MF_E_BAD;
	}
	return r < 0 ? r : found;
}

bool mf_gw_is_blocked(const struct mf_gateway *gw, const struct mf_addr *addr)
{
	for (size_t i = 0; i < gw->opt.blocked_client_cnt; i++)
		if (mf_cidr_has(&gw->opt.blocked_clients[i], addr))
			return true;
	return false;
}

static bool count_up(atomic_uint *cnt, uint32_t max)
{
	if (atomic_fetch_add(cnt, 1) < max)
		return true;
	atomic_fetch_sub(cnt, 1);
	return false;
}

enum mf_gateway_refusal mf_gw_count_in(struct mf_gateway *gw, const struct mf_addr *addr,
				       struct mf_gw_member *member, struct mf_gw_address **ret)
{
	const struct mf_gateway_options *o = &gw->opt;
	enum mf_gateway_refusal why;

	*ret = mf_gw_address_open(gw->house->addresses, addr, o->address_sockets_max);
	if (!*ret)
		return MF_GW_REFUSED_ADDRESS_SOCKETS;
	if (!member || !count_up(&gw->house->sockets, o->sockets_max)) {
		mf_gw_address_close(gw->house->addresses, *ret);
		return MF_GW_REFUSED_SOCKETS;
	}
	why = count_up(&member->sockets, o->member_sockets_max)
		      ? mf_gw_find_used_up(gw, (struct mf_gw_party){ member, *ret })
		      : MF_GW_REFUSED_MEMBER_SOCKETS;
	if (why == MF_GW_REFUSED_NUM)
		return why;
	member->sockets -= why != MF_GW_REFUSED_MEMBER_SOCKETS;
	gw->house->sockets--;
	mf_gw_address_close(gw->house->addresses, *ret);
	return why;
}

static void refuse(struct mf_gateway *gw, struct mf_http_exchange *x,
		   const struct mf_http_request *req, int status, enum mf_gateway_refusal why,
		   const char *text)
{
	mf_gw_refused(gw, req, why, status);
	mf_gw_refuse(gw, x, status, text);
}

static bool check(struct mf_gateway *gw, struct mf_http_exchange *x,
		  const struct mf_http_request *req, const char *protocol, bool late,
		  struct mf_gw_who *who, char accept[29])
{
	const char *why = mf_gw_check_handshake(req, accept);
	char text[96];
	int r;

	if (gw->stopping) {
		refuse(gw, x, req, 503, MF_GW_REFUSED_STOPPING, "Shutting down");
		return false;
	}
	if (why) {
		refuse(gw, x, req, 400, MF_GW_REFUSED_HANDSHAKE, why);
		return false;
	}
	mf_gw_who_read(gw, req, who);
	r = protocol ? mf_gw_offers(req, protocol) : 1;
	if (!who->known && !late) { /* 401 comes first */
		refuse(gw, x, req, 401, MF_GW_REFUSED_CREDENTIALS, "Unauthorized");
	} else if (mf_gw_is_blocked(gw, &req->peer.addr)) {
		refuse(gw, x, req, 403, MF_GW_REFUSED_CLIENT, "Client IP blocked");
	} else if (!who->origin_ok) {
		refuse(gw, x, req, 403, MF_GW_REFUSED_ORIGIN, "Origin not allowed");
	} else if (!who->host_ok) {
		refuse(gw, x, req, 403, MF_GW_REFUSED_HOST, "Host not allowed");
	} else if (r != 1) {
		snprintf(text, sizeof(text), "Missing required subprotocol: %s", protocol);
		refuse(gw, x, req, 400, MF_GW_REFUSED_HANDSHAKE,
		       r < 0 ? "Invalid Sec-WebSocket-Protocol header" : text);
	} else {
		return true;
	}
	return false;
}

void *mf_gw_front_begin(struct mf_gateway *gw, struct mf_http_exchange *x,
			const struct mf_http_request *req, const struct mf_gw_front_kind *kind,
			const char *protocol, size_t size)
{
	struct mf_gw_address *address;
	struct mf_gw_member *member;
	enum mf_gateway_refusal why;
	struct mf_gw_front *f;
	struct mf_gw_who who;
	char accept[29];

	if (!check(gw, x, req, protocol, kind->late, &who, accept))
		return NULL;
	member = mf_gw_who_member(gw, req, &who);
	why = mf_gw_count_in(gw, &req->peer.addr, member, &address);
	if (why != MF_GW_REFUSED_NUM) {
		mf_gw_member_unref(member);
		refuse(gw, x, req, 429, why,
		       why >= MF_GW_REFUSED_MEMBER_BYTES ? "Byte quota exceeded"
							 : "Too many concurrent connections");
		return NULL;
	}
	f = mf_gw_front_new(gw, x, req, kind, member, address, accept, size);
	if (!f)
		return NULL;
	f->protocol = protocol;
	f->known = who.known;
	f->by_jwt = who.by_jwt;
	f->offered = who.offered;
	f->expires = who.known && who.until_ms;
	if ((!who.known || f->expires) && who.origin[0])
		f->origin = strdup(who.origin);
	return f;
}

void *mf_gw_front_new(struct mf_gateway *gw, struct mf_http_exchange *x,
		      const struct mf_http_request *req, const struct mf_gw_front_kind *kind,
		      struct mf_gw_member *member, struct mf_gw_address *address,
		      const char accept[29], size_t size)
{
	struct mf_gw_front *f = calloc(1, size);

	if (!f) {
		count_out(gw, address, member);
		mf_gw_member_unref(member);
		mf_gw_refuse(gw, x, 503, "Out of memory");
		return NULL;
	}
	f->gw = gw;
	f->member = member;
	f->address = address;
	f->client = req->peer;
	f->x = x;
	f->kind = kind;
	memcpy(f->accept, accept, sizeof(f->accept));
	gw->stats.sockets_open++;
	f->next = gw->fronts;
	if (f->next)
		f->next->prev = f;
	gw->fronts = f;
	return f;
}

void mf_gw_front_accept(struct mf_gw_front *f)
{
	struct mf_http_field fields[2] = { { mf_span_str("sec-websocket-accept"),
					     mf_span_str(f->accept) } };
	struct mf_http_exchange *x = f->x;
	size_t cnt = 1;

	if (f->protocol)
		fields[cnt++] = (struct mf_http_field){ mf_span_str("sec-websocket-protocol"),
							mf_span_str(f->protocol) };
	f->x = NULL;
	mf_http_exchange_on_gone(x, NULL, NULL);
	if (mf_http_upgrade(x, "websocket", fields, cnt, on_taken, f) < 0) {
		mf_gw_refuse(f->gw, x, 400, "Invalid WebSocket upgrade");
		done(f);
	}
}

void mf_gw_front_refuse(struct mf_gw_front *f, int status, const char *text)
{
	mf_gw_refuse(f->gw, f->x, status, text);
	f->x = NULL;
	done(f);
}

int mf_gw_front_become(struct mf_gw_front *f, const char *sid)
{
	struct mf_gw_member *m;

	m = mf_gw_member_get(f->gw->members, sid);
	if (!m || !count_up(&m->sockets, f->gw->opt.member_sockets_max)) {
		mf_gw_member_unref(m);
		return MF_E_FULL;
	}
	mf_gw_front_settle(f);
	f->member->sockets--;
	mf_gw_member_unref(f->member);
	f->member = m;
	return 0;
}

int mf_gw_front_authenticate(struct mf_gw_front *f, const char *credential)
{
	struct mf_gw_who who = { .origin_ok = true };
	int r;

	if (f->origin)
		snprintf(who.origin, sizeof(who.origin), "%s", f->origin);
	if (!mf_gw_who_take(f->gw, mf_span_str(credential), &who))
		return MF_E_BAD;
	f->known = true;
	f->by_jwt = who.by_jwt;
	r = who.sid[0] ? mf_gw_front_become(f, who.sid) : 0;
	if (r == 0 && who.until_ms) {
		mf_gw_expiry_raise(f->member, who.until_ms);
		f->expires = true;
		r = start_expiry(f) ? 0 : MF_E_FULL;
	}
	return r;
}

void mf_gw_front_renew(struct mf_gw_front *f, const char *credential)
{
	struct mf_gw_who who = { .origin_ok = true };

	if (!f->expires)
		return;
	if (f->origin)
		snprintf(who.origin, sizeof(who.origin), "%s", f->origin);
	if (mf_gw_who_take(f->gw, mf_span_str(credential), &who) &&
	    strcmp(who.sid, f->member->id) == 0)
		mf_gw_expiry_raise(f->member, who.until_ms);
}

void mf_gw_front_end(struct mf_gw_front *f, unsigned code, const char *reason)
{
	struct mf_ws *ws = f->ws;

	if (ws) {
		announce(f, true, code ? code : MF_WS_NO_CODE, reason);
		mf_ws_close(ws, code, reason);
	}
	done(f);
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void set_defaults(struct mf_gateway_options *o)
{
	struct {
		uint32_t *value, fallback;
	} numbers[] = {
		{ &o->session_ttl_s, 86400 },	 { &o->sockets_max, 16384 },
		{ &o->member_sockets_max, 256 }, { &o->member_flows_max, 1024 },
		{ &o->members_max, 65536 },	 { &o->mux_streams_max, 1024 },
		{ &o->message_max, 1048576 },	 { &o->buffer_max, 262144 },
		{ &o->udp_payload_max, 1200 },	 { &o->udp_ports_max, 128 },
		{ &o->udp_remotes_max, 1024 },	 { &o->udp_idle_ms, 60000 },
		{ &o->dns_message_max, 4096 },	 { &o->relay.auth_ms, 2000 },
		{ &o->relay.buckets_max, 1024 }, { &o->relay.violation_window_ms, 10000 },
		{ &o->wisp_streams_max, 1024 },	 { &o->wisp_window, 128 },
		{ &o->addresses_max, 65536 },	 { &o->wisp_buffer_max, 4 << 20 },
		{ &o->stall_ms, 30000 },	 { &o->l2.wires_max, 4096 },
		{ &o->l2.frame_max, 2048 },	 { &o->l2.control_max, 256 },
		{ &o->l2.queue_max, 1048576 },	 { &o->webrtc.turn_ttl_s, 3600 },
		{ &o->webrtc.signal_rate, 50 },	 { &o->webrtc.signal_max, 65536 },
		{ &o->relay.token_ttl_s, 300 },	 { &o->quota_window_s, 86400 },
		{ &o->refusal_events, 60 },
	};

	for (size_t i = 0; i < MF_ARRAY_SIZE(numbers); i++)
		if (*numbers[i].value == 0)
			*numbers[i].value = numbers[i].fallback;
	if (o->udp_payload_max > PAYLOAD_MAX)
		o->udp_payload_max = PAYLOAD_MAX;
	if (!o->webrtc.turn_prefix)
		o->webrtc.turn_prefix = "aero";
	if (!o->relay.remote_idle_ms)
		o->relay.remote_idle_ms = o->udp_idle_ms;
	if (!o->version)
		o->version = mf_version();
	if (!o->wisp_path)
		o->wisp_path = "/wisp";
}

int mf_gateway_new(struct event_base *base, struct mf_proxy *proxy, struct mf_http_service *http,
		   const struct mf_gateway_options *options, struct mf_gateway **ret,
		   struct mf_err *err)
{
	struct mf_ws_options ws = { .size = sizeof(ws),
				    .ping_ms = options->ping_ms,
				    .waiting_max = options->buffer_max };
	struct mf_gateway *gw;

	if (options->size != sizeof(*options) ||
	    (options->auth & MF_GW_BY_JWT &&
	     !(options->keys && mf_keyring_has_jwt(options->keys))) ||
	    (options->auth & MF_GW_BY_KEY &&
	     !(options->keys && mf_keyring_has_api_key(options->keys))))
		return mf_err_set(err, MF_E_INVAL,
				  "a gateway wants a secret for each way to be let in");
	gw = calloc(1, sizeof(*gw));
	if (!gw)
		return mf_err_set(err, MF_E_NOMEM, "no memory for the gateway");
	gw->base = base;
	gw->proxy = proxy;
	gw->http = http;
	gw->opt = *options;
	set_defaults(&gw->opt);
	gw->house = options->house;
	if (!gw->house) {
		const struct mf_gateway_house_options own = { .size = sizeof(own),
							      .members_max = gw->opt.members_max,
							      .addresses_max =
								      gw->opt.addresses_max };
		int r = mf_gateway_house_new(&own, &gw->own_house, err);

		if (r < 0) {
			free(gw);
			return r;
		}
		gw->house = gw->own_house;
	}
	if (mf_gw_house_enter(gw->house, gw, base, &gw->seat) < 0) {
		mf_gateway_house_free(gw->own_house);
		free(gw);
		return mf_err_set(err, MF_E_NOMEM, "no memory for the gateway's thread");
	}
	if (!gw->opt.keys)
		gw->opt.keys = gw->house->keys;
	if (!mf_keyring_has_secret(gw->opt.keys) && mf_keyring_add_random(gw->opt.keys) < 0) {
		mf_gw_house_leave(gw->house, gw->seat);
		mf_gateway_house_free(gw->own_house);
		free(gw);
		return mf_err_set(err, MF_E_IO, "no random numbers, or no memory");
	}
	if (mf_gw_rtc_start(gw, err) < 0) {
		mf_gw_rtc_free(gw);
		mf_gw_house_leave(gw->house, gw->seat);
		mf_gateway_house_free(gw->own_house);
		free(gw);
		return MF_E_INVAL;
	}
	gw->members = gw->house->members;
	mf_gw_pace_init(gw);
	gw->timeouts = mf_timeouts_new(base);
	if (!gw->timeouts || mf_ws_set_new(base, &ws, &gw->sockets) < 0 ||
	    mf_gw_session_add(gw, http) < 0 || mf_gw_tcp_add(gw, http) < 0 ||
	    mf_gw_mux_add(gw, http) < 0 || mf_gw_udp_add(gw, http) < 0 ||
	    mf_gw_l2_add(gw, http) < 0 || mf_gw_dns_add(gw, http) < 0 ||
	    mf_gw_relays_add(gw, http) < 0 || mf_gw_offer_add(gw, http) < 0 ||
	    (gw->opt.webrtc.wanted && mf_gw_signal_add(gw, http) < 0)) {
		mf_gateway_free(gw);
		return mf_err_set(err, MF_E_NOMEM, "no memory for the gateway");
	}
	mf_gw_flows_init(gw);
	mf_gw_surface_add(gw, http);
	*ret = gw;
	return 0;
}

void mf_gateway_drain(struct mf_gateway *gw)
{
	gw->stopping = true;
}

size_t mf_gateway_open(const struct mf_gateway *gw)
{
	return mf_ws_set_count(gw->sockets);
}

size_t mf_gateway_stop(struct mf_gateway *gw)
{
	struct mf_gw_front *f = gw->fronts, *next;

	mf_gateway_drain(gw);
	for (; f; f = next) {
		next = f->next;
		if (f->ws)
			mf_gw_front_end(f, 1001, "shutting down");
	}
	mf_gw_rtc_stop(gw);
	return mf_gateway_open(gw);
}

void mf_gateway_free(struct mf_gateway *gw)
{
	if (!gw)
		return;
	gw->http = NULL;
	mf_gw_house_leave(gw->house, gw->seat);
	mf_gw_dns_free(gw);
	mf_ws_set_free(gw->sockets);
	mf_gw_pace_free(gw);
	mf_gw_rtc_free(gw);
	mf_gw_flows_free(gw);
	mf_gw_relays_free(gw);
	if (gw->timeouts)
		mf_timeouts_free(gw->timeouts);
	/* connections of the proxy still point at members */
	if (gw->proxy->tcp)
		mf_tcp_proxy_cut(gw->proxy->tcp);
	if (mf_gw_is_home(gw) && gw->opt.frames && gw->opt.frames->let_go)
		gw->opt.frames->let_go(gw->opt.frames->ctx);
	mf_gateway_house_free(gw->own_house);
	free(gw);
}

void mf_gateway_get_stats(const struct mf_gateway *gw, struct mf_gateway_stats *ret)
{
	*ret = gw->stats;
	ret->members = mf_gw_members_count(gw->members);
}
