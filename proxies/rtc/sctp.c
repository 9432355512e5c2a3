/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sctp.c - SCTP associations by usrsctp
 *
 * usrsctp calls back with locks held, and frees when it likes. So its callbacks do nothing but hand a packet on and note that a
 * socket has news; news are read once usrsctp has returned. It knows associations by a number (an "address" of family
 * AF_CONN), never by a pointer: a late packet of a freed one finds an empty slot.
 *
 * A message is bounded before it is whole: beyond message_max usrsctp hands out the beginning (its partial delivery point), which
 * ends the association. Checksums are ours (crc32c.h): usrsctp's own take longer than all of the rest of it.
 */
#include "proxies/rtc/sctp.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>
#include <usrsctp.h>

#include "core/base/bytes.h"
#include "proxies/rtc/crc32c.h"
#include "proxies/timeouts.h" /* mf_now_ms() */

enum {
	HEADER = 12,
	CHECKSUM_AT = 8,
	TICK_MS = 10,
	QUIET_TICK_MS = 100, /* while nobody has sent or received for QUIET_AFTER_MS */
	QUIET_AFTER_MS = 3000,
	SLOT_BITS = 24, /* of an association's number, the rest counts who had the slot */
	READ_ROOM = 65536,
	PACKET_ROOM = 2048,
	/* chunks (RFC 9260 3.2, RFC 4820) */
	CHUNK_HEADER = 4,
	CHUNK_HEARTBEAT = 4,
	CHUNK_HEARTBEAT_ACK = 5,
	CHUNK_ABORT = 6,
	CHUNK_SHUTDOWN_COMPLETE = 14,
	CHUNK_PAD = 0x84,
	HEARTBEAT_INFO = 1, /* its one parameter */
	HEARTBEAT_LEN = CHUNK_HEADER + 4 + MF_SCTP_TOKEN_LEN,
};

struct mf_sctp {
	struct socket *so;
	const struct mf_sctp_handler *handler;
	void *ctx;
	uint64_t number;
	struct mf_sctp *next_news;
	bool news, reading, dead, hold, want_room, is_up, is_down;
	uint16_t remote_port, packet_max, packet_ceiling;
	bool tagged;
	uint8_t head[CHECKSUM_AT]; /* ports and tag, as usrsctp writes them */
	uint32_t message_max;
	uint8_t *part; /* of a message that came in pieces */
	uint32_t part_len;
};

static struct {
	unsigned users;
	bool running; /* usrsctp is: it may outlive its users for a while */
	struct event_base *base;
	struct event tick;
	uint64_t ticked_ms, busy_ms;
	struct mf_sctp **slots;
	uint32_t slot_cnt, slot_room, used;
	struct mf_sctp *news;
	uint8_t *read_buf;
} engine;

static void *to_address(uint64_t number)
{
	return (void *)(uintptr_t)number;
}

static struct mf_sctp *by_address(const void *addr)
{
	uint64_t number = (uintptr_t)addr;
	uint32_t slot = (uint32_t)(number & ((1u << SLOT_BITS) - 1)) - 1;
	struct mf_sctp *s = slot < engine.slot_cnt ? engine.slots[slot] : NULL;

	return s && s->number == number ? s : NULL;
}

static void put(struct mf_sctp *s, uint8_t *packet, size_t len)
{
	uint32_t crc;

	memset(packet + CHECKSUM_AT, 0, 4);
	crc = mf_crc32c(packet, len);
	memcpy(packet + CHECKSUM_AT, &crc, 4);
	s->handler->output(s->ctx, mf_span_of(packet, len));
}

static size_t chunk_room(const uint8_t *chunk)
{
	return (mf_load_be16(chunk + 2) + (size_t)3) & ~(size_t)3;
}

/* Between two chunks a packet can always be parted: usrsctp fills them up to what may be found to arrive later */
static void put_in_parts(struct mf_sctp *s, const uint8_t *packet, size_t len)
{
	uint8_t part[PACKET_ROOM];
	size_t have = HEADER, chunk;

	memcpy(part, packet, HEADER);
	for (size_t at = HEADER; at + CHUNK_HEADER <= len; at += chunk) {
		chunk = chunk_room(packet + at);
		if (chunk < CHUNK_HEADER || at + chunk > len)
			chunk = len - at;
		if (have > HEADER && have + chunk > s->packet_max) {
			put(s, part, have);
			have = HEADER;
		}
		memcpy(part + have, packet + at, chunk);
		have += chunk;
	}
	put(s, part, have);
}

static int on_output(void *addr, void *packet, size_t len, uint8_t tos, uint8_t set_df)
{
	struct mf_sctp *s = by_address(addr);
	const uint8_t *head = packet;

	(void)tos;
	(void)set_df;
	if (!s || len < HEADER + CHUNK_HEADER)
		return 0;
	/* INIT has no tag yet, and those two may have the other end's */
	if (head[HEADER] != CHUNK_ABORT && head[HEADER] != CHUNK_SHUTDOWN_COMPLETE &&
	    mf_load_be32(head + 4)) {
		memcpy(s->head, head, sizeof(s->head));
		s->tagged = true;
	}
	if (len > s->packet_max && len <= PACKET_ROOM)
		put_in_parts(s, packet, len);
	else
		put(s, packet, len);
	return 0;
}

static void note_news(struct mf_sctp *s)
{
	if (s->news || s->dead)
		return;
	s->news = true;
	s->next_news = engine.news;
	engine.news = s;
}

static void on_upcall(struct socket *so, void *arg, int flags)
{
	struct mf_sctp *s = by_address(arg);

	(void)so;
	(void)flags;
	if (s)
		note_news(s);
}

static void set_rules(void)
{
	/* nothing of addresses, none of what WebRTC has no use for */
	usrsctp_sysctl_set_sctp_ecn_enable(0);
	usrsctp_sysctl_set_sctp_asconf_enable(0);
	usrsctp_sysctl_set_sctp_auto_asconf(0);
	usrsctp_sysctl_set_sctp_auth_enable(0);
	usrsctp_sysctl_set_sctp_nrsack_enable(0);
	usrsctp_sysctl_set_sctp_pktdrop_enable(0);
	usrsctp_sysctl_set_sctp_blackhole(2); /* no answers to what belongs to nobody */
	/* one path, known to be there: a browser's own values */
	usrsctp_sysctl_set_sctp_initial_cwnd(10);
	/* a browser's socket holds some 100 packets: a whole window at once would be lost, and lost again when it is sent again */
	usrsctp_sysctl_set_sctp_max_burst_default(10);
	usrsctp_sysctl_set_sctp_fr_max_burst_default(4);
	/* usrsctp counts fast retransmissions of a chunk here too, and those say nothing of a peer that has gone: consent does (RFC 7675) */
	usrsctp_sysctl_set_sctp_assoc_rtx_max_default(60);
	usrsctp_sysctl_set_sctp_rto_min_default(200);
	usrsctp_sysctl_set_sctp_rto_initial_default(1000);
	usrsctp_sysctl_set_sctp_rto_max_default(10000);
	usrsctp_sysctl_set_sctp_init_rto_max_default(3000);
	usrsctp_sysctl_set_sctp_delayed_sack_time_default(20);
	/* not two: the answer to a message of 1,200 bytes, which comes in two packets of a browser's, takes the SACK along */
	usrsctp_sysctl_set_sctp_sack_freq_default(3);
	/* what is freed is freed: not kept for others to come */
	usrsctp_sysctl_set_sctp_asoc_free_resc_limit(0);
	usrsctp_sysctl_set_sctp_system_free_resc_limit(0);
	usrsctp_enable_crc32c_offload();
}

static void read_news(struct mf_sctp *s);

static void drain(void)
{
	struct mf_sctp *s;

	while ((s = engine.news)) {
		engine.news = s->next_news;
		s->news = false;
		read_news(s);
	}
}

static void arm_tick(void)
{
	unsigned ms = mf_now_ms() - engine.busy_ms < QUIET_AFTER_MS ? TICK_MS : QUIET_TICK_MS;
	struct timeval tv = { 0 };

	tv.tv_usec = (int)(ms * 1000);
	(void)event_add(&engine.tick, &tv);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	uint64_t now = mf_now_ms();

	(void)fd;
	(void)what;
	(void)ctx;
	usrsctp_handle_timers((uint32_t)(now - engine.ticked_ms));
	engine.ticked_ms = now;
	drain();
	if (engine.used)
		arm_tick();
}

/* Something is on its way: timers shall be heard in time */
static void be_busy(void)
{
	uint64_t now = mf_now_ms();

	if (now - engine.busy_ms >= QUIET_AFTER_MS ||
	    !event_pending(&engine.tick, EV_TIMEOUT, NULL)) {
		engine.busy_ms = now;
		arm_tick();
	}
	engine.busy_ms = now;
}

int mf_sctp_engine_use(struct event_base *base)
{
	if (engine.users && engine.base != base)
		return MF_E_UNSUPPORTED;
	if (!engine.users) {
		engine.read_buf = malloc(READ_ROOM);
		if (!engine.read_buf ||
		    event_assign(&engine.tick, base, -1, 0, on_tick, NULL) < 0) {
			free(engine.read_buf);
			engine.read_buf = NULL;
			return MF_E_NOMEM;
		}
		engine.base = base;
		engine.ticked_ms = mf_now_ms();
		if (!engine.running)
			usrsctp_init_nothreads(0, on_output, NULL);
		engine.running = true;
		set_rules();
	}
	engine.users++;
	return 0;
}

void mf_sctp_engine_leave(void)
{
	if (--engine.users)
		return;
	event_del(&engine.tick);
	/* what lingers after an abort is freed by its timer: one more round for that */
	usrsctp_handle_timers(1000);
	engine.running = usrsctp_finish() != 0;
	free(engine.read_buf);
	free(engine.slots);
	engine.read_buf = NULL;
	engine.slots = NULL;
	engine.slot_cnt = engine.slot_room = engine.used = 0;
	engine.news = NULL;
	engine.base = NULL;
}

static bool take_slot(struct mf_sctp *s)
{
	static uint64_t
		serial; /* of the process: usrsctp may outlive all users, and with it what lingers there */
	static uint32_t hint; /* where free slots are likely */
	uint32_t i = engine.slot_cnt;

	if (engine.used == engine.slot_cnt) {
		if (i == engine.slot_room) {
			uint32_t room = i ? i * 2 : 64;
			struct mf_sctp **slots =
				room < 1u << SLOT_BITS
					? realloc(engine.slots, room * sizeof(*slots))
					: NULL;

			if (!slots)
				return false;
			engine.slots = slots;
			engine.slot_room = room;
		}
		engine.slot_cnt++;
	} else {
		for (i = hint % engine.slot_cnt; engine.slots[i]; i = (i + 1) % engine.slot_cnt) {
		}
		hint = i + 1;
	}
	engine.slots[i] = s;
	engine.used++;
	s->number = ++serial << SLOT_BITS | (i + 1);
	return true;
}

static void leave_slot(struct mf_sctp *s)
{
	if (by_address(to_address(s->number))) {
		engine.slots[(s->number & ((1u << SLOT_BITS) - 1)) - 1] = NULL;
		engine.used--;
	}
}

static struct sockaddr_conn conn_address(const struct mf_sctp *s, uint16_t port)
{
	struct sockaddr_conn sa = { 0 };

#ifdef __APPLE__
	sa.sconn_len = sizeof(sa);
#endif
	sa.sconn_family = AF_CONN;
	mf_store_be16((uint8_t *)&sa.sconn_port, port);
	sa.sconn_addr = to_address(s->number);
	return sa;
}

static bool set_option(struct mf_sctp *s, int level, int option, const void *value, size_t len)
{
	return usrsctp_setsockopt(s->so, level, option, value, (socklen_t)len) == 0;
}

static bool set_up(struct mf_sctp *s, const struct mf_sctp_options *o)
{
	static const uint16_t events[] = { SCTP_ASSOC_CHANGE, SCTP_STREAM_RESET_EVENT };
	struct sockaddr_conn sa = conn_address(s, o->local_port);
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };
	struct sctp_initmsg init = { .sinit_num_ostreams = o->streams,
				     .sinit_max_instreams = o->streams };
	struct sctp_assoc_value reset = { .assoc_id = SCTP_ALL_ASSOC,
					  .assoc_value = SCTP_ENABLE_RESET_STREAM_REQ };
	int one = 1, zero = 0, receive = (int)o->receive_buffer, out = MF_SCTP_SEND_BUFFER;
	uint32_t point = o->message_max + 1;
	bool ok;

	ok = usrsctp_set_non_blocking(s->so, 1) == 0 &&
	     set_option(s, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) &&
	     set_option(s, SOL_SOCKET, SO_RCVBUF, &receive, sizeof(receive)) &&
	     set_option(s, SOL_SOCKET, SO_SNDBUF, &out, sizeof(out)) &&
	     set_option(s, IPPROTO_SCTP, SCTP_NODELAY, &one, sizeof(one)) &&
	     set_option(s, IPPROTO_SCTP, SCTP_RECVRCVINFO, &one, sizeof(one)) &&
	     set_option(s, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &zero, sizeof(zero)) &&
	     set_option(s, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)) &&
	     set_option(s, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &reset, sizeof(reset));
	if (point > o->receive_buffer)
		point = o->receive_buffer;
	ok = ok && set_option(s, IPPROTO_SCTP, SCTP_PARTIAL_DELIVERY_POINT, &point, sizeof(point));
	for (size_t i = 0; ok && i < MF_ARRAY_SIZE(events); i++) {
		struct sctp_event event = { .se_assoc_id = SCTP_ALL_ASSOC,
					    .se_type = events[i],
					    .se_on = 1 };

		ok = set_option(s, IPPROTO_SCTP, SCTP_EVENT, &event, sizeof(event));
	}
	return ok && usrsctp_bind(s->so, (struct sockaddr *)&sa, sizeof(sa)) == 0 &&
	       usrsctp_set_upcall(s->so, on_upcall, to_address(s->number)) == 0;
}

int mf_sctp_new(const struct mf_sctp_options *options, const struct mf_sctp_handler *handler,
		void *ctx, struct mf_sctp **ret)
{
	struct mf_sctp *s = calloc(1, sizeof(*s));

	if (!s || !take_slot(s)) {
		free(s);
		return MF_E_NOMEM;
	}
	s->handler = handler;
	s->ctx = ctx;
	s->remote_port = options->remote_port;
	s->packet_max = options->packet_max;
	s->packet_ceiling =
		options->packet_ceiling > s->packet_max ? options->packet_ceiling : s->packet_max;
	s->message_max = options->message_max;
	usrsctp_register_address(to_address(s->number));
	s->so = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
	if (!s->so || !set_up(s, options)) {
		mf_sctp_free(s, false);
		return MF_E_NOMEM;
	}
	be_busy();
	*ret = s;
	return 0;
}

static void forget(struct mf_sctp *s)
{
	for (struct mf_sctp **p = &engine.news; s->news && *p; p = &(*p)->next_news) {
		if (*p == s) {
			*p = s->next_news;
			break;
		}
	}
	free(s->part);
	free(s);
}

void mf_sctp_free(struct mf_sctp *s, bool tell)
{
	if (!s || s->dead)
		return;
	s->dead = true;
	if (!tell)
		leave_slot(s); /* what usrsctp says now is heard by nobody */
	if (s->so) {
		(void)usrsctp_set_upcall(s->so, NULL, NULL);
		usrsctp_close(s->so); /* lingers for no time: an ABORT */
		s->so = NULL;
	}
	usrsctp_deregister_address(to_address(s->number));
	leave_slot(s);
	if (!s->reading)
		forget(s);
}

int mf_sctp_connect(struct mf_sctp *s)
{
	struct sockaddr_conn sa = conn_address(s, s->remote_port);
	/*
	 * What usrsctp calls a path's MTU is without the packet's header. It can only be lowered afterwards, so it is the ceiling; messages
	 * are cut up by mf_sctp_set_packet_max(), and what is put together of several chunks is parted again
	 */
	struct sctp_paddrparams path = { .spp_flags = SPP_HB_DISABLE | SPP_PMTUD_DISABLE,
					 .spp_pathmtu = s->packet_ceiling - HEADER };

	if (usrsctp_connect(s->so, (struct sockaddr *)&sa, sizeof(sa)) < 0 && errno != EINPROGRESS)
		return MF_E_IO;
	/* of the path, which has taken a value of its own for a new one */
	memcpy(&path.spp_address, &sa, sizeof(sa));
	if (!set_option(s, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path)))
		return MF_E_IO;
	mf_sctp_set_packet_max(s, s->packet_max);
	be_busy();
	return 0;
}

/* Bytes of a message that go into one packet, as usrsctp would do it now (never more than 1,252); 0: it does not say */
static uint32_t fragmentation_point(struct mf_sctp *s)
{
	struct sctp_status status = { .sstat_assoc_id = SCTP_CURRENT_ASSOC };
	socklen_t len = sizeof(status);

	return usrsctp_getsockopt(s->so, IPPROTO_SCTP, SCTP_STATUS, &status, &len) == 0
		       ? status.sstat_fragmentation_point
		       : 0;
}

void mf_sctp_set_packet_max(struct mf_sctp *s, uint16_t bytes)
{
	struct sctp_assoc_value most = { .assoc_id = SCTP_CURRENT_ASSOC,
					 .assoc_value = bytes - MF_SCTP_DATA_OVERHEAD };
	uint32_t wanted = most.assoc_value, point;

	s->packet_max = bytes;
	if (s->dead || s->is_down)
		return;
	(void)set_option(s, IPPROTO_SCTP, SCTP_MAXSEG, &most, sizeof(most));
	/* some versions add what an IP header takes, which our packets have not */
	point = fragmentation_point(s);
	if (point > wanted && point - wanted < wanted) {
		most.assoc_value -= point - wanted;
		(void)set_option(s, IPPROTO_SCTP, SCTP_MAXSEG, &most, sizeof(most));
	}
}

int mf_sctp_probe(struct mf_sctp *s, uint16_t bytes, const uint8_t token[MF_SCTP_TOKEN_LEN])
{
	uint8_t packet[PACKET_ROOM] = { 0 }, *at = packet + HEADER;

	if (s->dead || s->is_down || !s->is_up || !s->tagged)
		return MF_E_CLOSED;
	if (mf_bug(bytes > sizeof(packet) || bytes < 64))
		return MF_E_CLOSED;
	memcpy(packet, s->head, sizeof(s->head));
	at[0] = CHUNK_HEARTBEAT;
	mf_store_be16(at + 2, HEARTBEAT_LEN);
	mf_store_be16(at + CHUNK_HEADER, HEARTBEAT_INFO);
	mf_store_be16(at + CHUNK_HEADER + 2, HEARTBEAT_LEN - CHUNK_HEADER);
	memcpy(at + CHUNK_HEADER + 4, token, MF_SCTP_TOKEN_LEN);
	at += HEARTBEAT_LEN;
	at[0] = CHUNK_PAD;
	mf_store_be16(at + 2, (uint16_t)(packet + bytes - at));
	put(s, packet, bytes);
	return 0;
}

/* The answer to a probe, which is not usrsctp's affair: for it that chunk becomes padding */
static bool take_answer(uint8_t *packet, size_t len, uint8_t ret[MF_SCTP_TOKEN_LEN])
{
	size_t room;

	for (size_t at = HEADER; at + CHUNK_HEADER <= len; at += room) {
		room = chunk_room(packet + at);
		if (room < CHUNK_HEADER || at + room > len)
			return false;
		if (packet[at] != CHUNK_HEARTBEAT_ACK ||
		    mf_load_be16(packet + at + 2) != HEARTBEAT_LEN)
			continue;
		memcpy(ret, packet + at + CHUNK_HEADER + 4, MF_SCTP_TOKEN_LEN);
		packet[at] = CHUNK_PAD;
		return true;
	}
	return false;
}

int mf_sctp_input(struct mf_sctp *s, struct mf_span packet)
{
	uint32_t crc, theirs;
	uint8_t copy[PACKET_ROOM], token[MF_SCTP_TOKEN_LEN];
	bool arrived;

	if (s->is_down || s->dead)
		return 0;
	if (packet.len < HEADER + 4 || packet.len > sizeof(copy))
		return MF_E_BAD;
	memcpy(copy, packet.ptr, packet.len);
	memcpy(&theirs, copy + CHECKSUM_AT, 4);
	memset(copy + CHECKSUM_AT, 0, 4);
	crc = mf_crc32c(copy, packet.len);
	if (crc != theirs)
		return MF_E_BAD;
	be_busy();
	arrived = take_answer(copy, packet.len, token);
	if (arrived && s->handler->probe_arrived)
		s->handler->probe_arrived(s->ctx, token);
	usrsctp_conninput(to_address(s->number), copy, packet.len, 0);
	drain();
	return 0;
}

void mf_sctp_hold(struct mf_sctp *s, bool hold)
{
	if (s->hold && !hold) {
		note_news(s);
		/* handlers are not called from here: the next turn reads */
		event_active(&engine.tick, EV_TIMEOUT, 0);
	}
	s->hold = hold;
}

static void go_down(struct mf_sctp *s, bool peer)
{
	if (s->is_down)
		return;
	s->is_down = true;
	s->handler->down(s->ctx, peer);
}

static void read_reset(struct mf_sctp *s, const struct sctp_stream_reset_event *ev)
{
	size_t cnt = (ev->strreset_length - sizeof(*ev)) / sizeof(uint16_t);

	if (ev->strreset_flags & (SCTP_STREAM_RESET_DENIED | SCTP_STREAM_RESET_FAILED))
		return;
	for (size_t i = 0; i < cnt && !s->dead; i++) {
		if (ev->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN)
			s->handler->reset_by_peer(s->ctx, ev->strreset_stream_list[i]);
		if (!s->dead && ev->strreset_flags & SCTP_STREAM_RESET_OUTGOING_SSN)
			s->handler->reset_done(s->ctx, ev->strreset_stream_list[i]);
	}
}

static void read_notification(struct mf_sctp *s, size_t len)
{
	union {
		union sctp_notification sn;
		uint8_t bytes[sizeof(struct sctp_stream_reset_event) + 2 * 1024];
	} n;

	/* in a copy, for its alignment and its length */
	if (len < sizeof(n.sn.sn_header) || len > sizeof(n))
		return;
	memcpy(&n, engine.read_buf, len);
	if (n.sn.sn_header.sn_length != len)
		return;
	switch (n.sn.sn_header.sn_type) {
	case SCTP_ASSOC_CHANGE:
		switch (n.sn.sn_assoc_change.sac_state) {
		case SCTP_COMM_UP:
			if (!s->is_up) {
				s->is_up = true;
				s->handler->up(s->ctx);
			}
			break;
		case SCTP_RESTART: /* WebRTC has none: a new peer would have a new DTLS connection */
		case SCTP_CANT_STR_ASSOC:
			go_down(s, false);
			break;
		case SCTP_COMM_LOST: /* with the ABORT where it was the peer who said it */
			go_down(s, len > sizeof(n.sn.sn_assoc_change));
			break;
		case SCTP_SHUTDOWN_COMP:
			go_down(s, true);
			break;
		}
		break;
	case SCTP_STREAM_RESET_EVENT:
		if (len >= sizeof(n.sn.sn_strreset_event))
			read_reset(s, &n.sn.sn_strreset_event);
		break;
	}
}

/* A piece of a message, @last or not */
static void read_piece(struct mf_sctp *s, const struct sctp_rcvinfo *info, size_t len, bool last)
{
	struct mf_span data = mf_span_of(engine.read_buf, len);

	if (len + s->part_len > s->message_max) {
		s->handler->too_long(s->ctx);
		return;
	}
	if (!last || s->part_len) {
		if (!s->part)
			s->part = malloc(s->message_max);
		if (!s->part) {
			go_down(s, false);
			return;
		}
		memcpy(s->part + s->part_len, data.ptr, len);
		s->part_len += (uint32_t)len;
		if (!last)
			return;
		data = mf_span_of(s->part, s->part_len);
	}
	s->handler->message(s->ctx, info->rcv_sid, mf_load_be32((const uint8_t *)&info->rcv_ppid),
			    data);
	if (!s->dead && s->part_len) {
		free(s->part);
		s->part = NULL;
		s->part_len = 0;
	}
}

static bool read_one(struct mf_sctp *s)
{
	struct sctp_rcvinfo info = { 0 };
	socklen_t from_len = 0, info_len = sizeof(info);
	unsigned type = 0;
	int flags = 0;
	ssize_t n = usrsctp_recvv(s->so, engine.read_buf, READ_ROOM, NULL, &from_len, &info,
				  &info_len, &type, &flags);

	if (n < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
			go_down(s, errno == ECONNRESET);
		return false;
	}
	if (n == 0) {
		if (s->is_up || !s->is_down)
			go_down(s, true);
		return false;
	}
	if (flags & MSG_NOTIFICATION)
		read_notification(s, (size_t)n);
	else if (type == SCTP_RECVV_RCVINFO)
		read_piece(s, &info, (size_t)n, flags & MSG_EOR);
	return true;
}

static void read_news(struct mf_sctp *s)
{
	int events = usrsctp_get_events(s->so);

	s->reading = true;
	while (!s->dead && !s->is_down && !s->hold && events & SCTP_EVENT_READ) {
		if (!read_one(s))
			break;
		if (!s->dead)
			events = usrsctp_get_events(s->so);
	}
	if (!s->dead && !s->is_down && events & SCTP_EVENT_ERROR)
		go_down(s, false);
	if (!s->dead && !s->is_down && s->want_room && events & SCTP_EVENT_WRITE) {
		s->want_room = false;
		s->handler->room(s->ctx);
	}
	s->reading = false;
	if (s->dead)
		forget(s);
}

int mf_sctp_send(struct mf_sctp *s, const struct mf_sctp_way *way, struct mf_span data)
{
	struct sctp_sendv_spa spa = { .sendv_flags = SCTP_SEND_SNDINFO_VALID };
	ssize_t n;

	if (data.len == 0 || data.len > MF_SCTP_MESSAGE_MAX)
		return MF_E_INVAL;
	if (s->is_down || s->dead || !s->is_up)
		return MF_E_CLOSED;
	spa.sendv_sndinfo.snd_sid = way->stream;
	spa.sendv_sndinfo.snd_flags = way->unordered ? SCTP_UNORDERED : 0;
	mf_store_be32((uint8_t *)&spa.sendv_sndinfo.snd_ppid, way->ppid);
	if (way->max_retransmits >= 0 || way->max_life_ms >= 0) {
		bool life = way->max_life_ms >= 0;

		spa.sendv_flags |= SCTP_SEND_PRINFO_VALID;
		spa.sendv_prinfo.pr_policy = life ? SCTP_PR_SCTP_TTL : SCTP_PR_SCTP_RTX;
		spa.sendv_prinfo.pr_value =
			(uint32_t)(life ? way->max_life_ms : way->max_retransmits);
	}
	be_busy();
	n = usrsctp_sendv(s->so, data.ptr, data.len, NULL, 0, &spa, sizeof(spa), SCTP_SENDV_SPA, 0);
	if (n >= 0)
		return 0;
	if (errno == EWOULDBLOCK || errno == EAGAIN || errno == ENOBUFS) {
		s->want_room = true;
		return MF_E_AGAIN;
	}
	return errno == EINVAL || errno == EMSGSIZE ? MF_E_INVAL : MF_E_CLOSED;
}

int mf_sctp_reset(struct mf_sctp *s, uint16_t stream)
{
	union {
		struct sctp_reset_streams srs;
		uint8_t bytes[sizeof(struct sctp_reset_streams) + sizeof(uint16_t)];
	} r = { 0 };

	if (s->is_down || s->dead)
		return MF_E_CLOSED;
	r.srs.srs_flags = SCTP_STREAM_RESET_OUTGOING;
	r.srs.srs_number_streams = 1;
	r.srs.srs_stream_list[0] = stream;
	be_busy();
	if (set_option(s, IPPROTO_SCTP, SCTP_RESET_STREAMS, &r, sizeof(r)))
		return 0;
	return errno == EALREADY || errno == EAGAIN || errno == EINPROGRESS ? MF_E_AGAIN
									    : MF_E_CLOSED;
}
