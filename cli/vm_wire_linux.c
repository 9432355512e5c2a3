/* SPDX-License-Identifier: Apache-2.0 */
/* vm_wire_linux.c - see vm_wire.h */
#include "cli/vm_wire.h"

#include <errno.h>
#include <event2/event.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "capture/pcap_file.h"
#include "capture/pcapng_write.h"
#include "cli/vm_echo.h"
#include "cli/vm_stack.h"
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/packet/flow.h"
#include "nic/coalesce.h"
#include "nic/frame_socket.h"
#include "nic/frame_tap_linux.h"
#include "proxies/sock.h"

#define FRAMES_PER_TURN	 64
#define PACKETS_PER_TURN 64
#define BYTES_PER_TURN	 (256 << 10)
#define WAITING_MAX	 (384u << 10) /* of one guest: half of what its source holds */
#define TICK_S		 5	      /* advertisements that are due are looked for */
#define LINK_ETHERNET	 1
#define SOCKET_BUFFER	 (1 << 20)

struct guest {
	struct mf_vm_wire *wire;
	struct mf_guest *guest;
	struct event *readable, *writable;
	struct event *
		again; /* frames that one turn had no time for: their socket tells no more of them */
	uint64_t joined_ns; /* 0: has not */
};

struct listener {
	struct mf_vm_wire *wire;
	struct mf_vm_place_open place;
	struct event *readable;
};

struct mf_vm_wire {
	const struct mf_vm_wire_options *options;
	struct event_base *base;
	struct mf_guest_net *net;
	struct mf_pcapng *pcap;
	struct listener listeners[MF_VM_WIRE_PLACES_MAX];
	size_t listener_cnt;
	int device; /* where packets go, or the stack; without one -1 and NULL */
	struct mf_vm_stack *stack;
	struct mf_vm_echo *echo;
	struct event *packets, *tick;
	struct guest *guests[MF_GUESTS_MAX];
	unsigned guest_cnt;
	struct mf_vm_wire_stats stats; /* of guests that have gone */
	uint8_t packet[sizeof(struct virtio_net_hdr) + MF_FRAME_MAX];
	struct mf_guest *turn;
	struct mf_coalesce coalesce; /* what the guest sends whose turn it is */
};

/* ---- frames ------------------------------------------------------------------------------------------------------ */

static uint64_t now_ns(void *ctx)
{
	(void)ctx;
	return mf_clock_now(&mf_clock_system);
}

static void observe(void *ctx, struct mf_guest *guest, bool from_guest, const uint8_t *head,
		    size_t head_len, const uint8_t *body, size_t body_len)
{
	struct mf_vm_wire *w = ctx;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	(void)mf_pcapng_write(
		w->pcap,
		&(struct mf_pcapng_packet){
			.head = mf_span_of(head, head_len),
			.body = mf_span_of(body, body_len),
			.wire_len = (uint32_t)(head_len + body_len),
			.time_ns = (uint64_t)now.tv_sec * MF_NS_PER_S + (uint64_t)now.tv_nsec,
			.interface = mf_guest_number(guest),
			.link = LINK_ETHERNET,
			.direction = from_guest ? MF_PCAP_OUTBOUND : MF_PCAP_INBOUND,
		});
}

/*
 * What comes over a socket is whole, and monitors with offloads leave checksums open: TCP and UDP are handed to the kernel as
 * packets whose checksum somebody else computes, which it does not look at.
 */
static void make_header(const uint8_t *pkt, size_t len, struct virtio_net_hdr *h)
{
	size_t start = 0;
	uint8_t proto = 0;

	if (pkt[0] >> 4 == 4 && !(mf_load_be16(pkt + 6) & 0x3fff)) {
		start = (pkt[0] & 15u) * 4u;
		proto = pkt[9];
	} else if (pkt[0] >> 4 == 6) {
		start = 40;
		proto = pkt[6];
	}
	if ((proto != MF_PROTO_TCP || len < start + 20) &&
	    (proto != MF_PROTO_UDP || len < start + 8))
		return;
	h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	h->csum_start = (uint16_t)start;
	h->csum_offset = proto == MF_PROTO_TCP ? 16 : 6;
}

static void write_packet(void *ctx, const struct mf_coalesced *p)
{
	struct mf_vm_wire *w = ctx;
	struct virtio_net_hdr h = { 0 };
	struct iovec iov[2] = { { &h, sizeof(h) }, { p->ptr, p->len } };

	make_header(p->ptr, p->len, &h);
	if (p->segment) {
		h.gso_type =
			p->ptr[0] >> 4 == 4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		h.gso_size = p->segment;
		h.hdr_len = (uint16_t)(p->csum_start + (p->ptr[p->csum_start + 12] >> 4) * 4);
	}
	/* What the kernel does not take is lost, as on any wire. */
	if (writev(w->device, iov, 2) < 0 && errno == EINTR)
		(void)!writev(w->device, iov, 2);
}

static void input_packet(void *ctx, const struct mf_coalesced *p)
{
	struct mf_vm_wire *w = ctx;

	mf_vm_stack_input(w->stack, mf_guest_data(w->turn), p->ptr, p->len);
}

static void on_packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct mf_vm_wire *w = ctx;

	w->turn = guest;
	mf_coalesce_add(&w->coalesce, pkt, len, w->stack ? input_packet : write_packet, w);
}

static void on_echo(void *ctx, struct mf_guest *guest, const struct mf_view *request)
{
	struct mf_vm_wire *w = ctx;

	(void)guest;
	mf_vm_echo_take(w->echo, request);
}

/* Not by its data, which is the stack's. Once for each guest. */
static struct guest *find_guest(const struct mf_vm_wire *w, const struct mf_guest *guest)
{
	unsigned i = 0;

	while (w->guests[i]->guest != guest)
		i++;
	return w->guests[i];
}

static void on_guest(void *ctx, struct mf_guest *guest, bool leased)
{
	struct mf_vm_wire *w = ctx;
	struct guest *g = find_guest(w, guest);
	const uint8_t *m = mf_guest_mac(guest), *a = mf_guest_address4(guest);

	mf_log_info(w->options->log, "guest %u: %02x:%02x:%02x:%02x:%02x:%02x %s %u.%u.%u.%u",
		    mf_guest_number(guest), m[0], m[1], m[2], m[3], m[4], m[5],
		    leased ? "asked for its address" : "may have", a[0], a[1], a[2], a[3]);
	if (leased || g->joined_ns)
		return;
	g->joined_ns = now_ns(NULL);
	if (w->options->guest)
		w->options->guest(w->options->ctx, guest, MF_VM_GUEST_HERE, 0);
}

/* ---- the device -------------------------------------------------------------------------------------------------- */

static void give_packet(struct mf_vm_wire *w, const struct virtio_net_hdr *h, uint8_t *pkt,
			size_t len)
{
	struct mf_guest_unfinished how = { .csum_start = h->csum_start,
					   .csum_offset = h->csum_offset };
	int r;

	if (h->gso_type != VIRTIO_NET_HDR_GSO_NONE)
		how.segment = h->gso_size;
	if (h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		r = mf_guest_net_packet_unfinished(w->net, pkt, len, &how);
	else
		r = mf_guest_net_packet(w->net, pkt, len);
	if (r == MF_E_NOENT)
		w->stats.unclaimed++;
}

static bool is_crowded(const struct mf_guest *guest, size_t limit)
{
	return mf_guest_source(guest)->waiting > limit;
}

/*
 * With one guest alone, what it has not read yet may wait in the kernel, where nothing is lost; with more, nobody waits for
 * another.
 */
static bool is_full(const struct mf_vm_wire *w)
{
	return w->guest_cnt == 1 && is_crowded(w->guests[0]->guest, WAITING_MAX);
}

static void watch_device(struct mf_vm_wire *w)
{
	bool full = is_full(w);

	if (!w->packets)
		return; /* another stack */
	if (full && event_pending(w->packets, EV_READ, NULL))
		event_del(w->packets);
	else if (!full && !event_pending(w->packets, EV_READ, NULL))
		event_add(w->packets, NULL);
}

static void take_packets(struct mf_vm_wire *w)
{
	const size_t head = sizeof(struct virtio_net_hdr);
	size_t bytes = 0;

	for (int i = 0; i < PACKETS_PER_TURN && bytes < BYTES_PER_TURN && !is_full(w); i++) {
		struct virtio_net_hdr h;
		ssize_t n = read(w->device, w->packet, sizeof(w->packet));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < (ssize_t)head)
			break;
		memcpy(&h, w->packet, head);
		bytes += (size_t)n;
		give_packet(w, &h, w->packet + head, (size_t)n - head);
	}
}

/* Room for a socket that was full is worth a look only then. */
static void watch_writable(struct guest *g)
{
	bool wants = mf_guest_source(g->guest)->wants_write;

	if (wants && !event_pending(g->writable, EV_WRITE, NULL))
		event_add(g->writable, NULL);
	else if (!wants && event_pending(g->writable, EV_WRITE, NULL))
		event_del(g->writable);
}

/* Connections that waited until their guest has read. Return: true: there are some */
static bool go_on(struct mf_vm_wire *w)
{
	bool some = false;

	for (unsigned i = 0; i < w->guest_cnt; i++) {
		struct mf_guest *guest = w->guests[i]->guest;

		if (!mf_guest_stack_stopped(mf_guest_data(guest)) ||
		    is_crowded(guest, WAITING_MAX / 2))
			continue;
		mf_guest_stack_go_on(mf_guest_data(guest));
		some = true;
	}
	return some;
}

static void flush(struct mf_vm_wire *w)
{
	if (w->stack)
		mf_vm_stack_flush(w->stack);
	mf_guest_net_flush(w->net);
	/* once in a turn: others want theirs, too */
	if (w->stack && go_on(w))
		mf_vm_stack_again(w->stack);
	for (unsigned i = 0; i < w->guest_cnt; i++)
		watch_writable(w->guests[i]);
	watch_device(w);
}

static void on_stack_packet(void *ctx, const uint8_t *pkt, size_t len)
{
	struct mf_vm_wire *w = ctx;

	if (mf_guest_net_packet(w->net, pkt, len) == MF_E_NOENT)
		w->stats.unclaimed++;
}

static void on_stack_large(void *ctx, uint8_t *pkt, size_t len, uint16_t transport,
			   uint16_t segment)
{
	const struct mf_guest_unfinished how = { .csum_start = transport,
						 .csum_offset = 16,
						 .segment = segment };
	struct mf_vm_wire *w = ctx;

	if (mf_guest_net_packet_unfinished(w->net, pkt, len, &how) == MF_E_NOENT)
		w->stats.unclaimed++;
}

static bool on_stack_full(void *ctx, void *owner)
{
	(void)ctx;
	return is_crowded(owner, WAITING_MAX);
}

static void on_stack_changed(void *ctx)
{
	flush(ctx);
}

static void on_device(evutil_socket_t fd, short what, void *ctx)
{
	struct mf_vm_wire *w = ctx;

	(void)fd;
	(void)what;
	take_packets(w);
	flush(w);
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
	(void)fd;
	(void)what;
	flush(ctx);
}

static void on_echo_packet(void *ctx, uint8_t *pkt, size_t len)
{
	struct mf_vm_wire *w = ctx;

	(void)mf_guest_net_packet_whole(w->net, pkt, len);
}

static const uint8_t *router(void *ctx, uint8_t family)
{
	return mf_guest_net_router(((struct mf_vm_wire *)ctx)->net, family);
}

/* ---- guests ------------------------------------------------------------------------------------------------------ */

static void count(struct mf_vm_wire_stats *sum, const struct mf_guest *guest)
{
	struct mf_guest_stats s;

	mf_guest_get_stats(guest, &s);
	sum->frames_in += s.frames.in;
	sum->frames_out += s.frames.out;
	sum->bytes_in += s.frames.in_bytes;
	sum->bytes_out += s.frames.out_bytes;
	for (int i = 0; i < MF_GUEST_DROP_NUM; i++)
		sum->dropped[i] += s.dropped[i];
}

/* What is told and counted of a machine that leaves */
static void tell_left(struct guest *g, enum mf_vm_guest_left left)
{
	struct mf_vm_wire *w = g->wire;

	if (g->joined_ns && w->options->guest)
		w->options->guest(w->options->ctx, g->guest, left, now_ns(NULL) - g->joined_ns);
	count(&w->stats, g->guest);
}

static void on_replaced(void *ctx, struct mf_guest *guest)
{
	struct mf_vm_wire *w = ctx;
	struct guest *g = find_guest(w, guest);
	struct mf_stack_peer *peer;

	/* what it has sent is still its own */
	mf_coalesce_flush(&w->coalesce, w->stack ? input_packet : write_packet, w);
	mf_log_info(w->options->log, "guest %u: another machine has come to its socket",
		    mf_guest_number(guest));
	tell_left(g, MF_VM_GUEST_REPLACED);
	g->joined_ns = 0;
	w->stats.guests++;
	/* without memory its connections stay, and end by themselves */
	if (w->stack && mf_vm_stack_join(w->stack, guest, &peer) == 0) {
		mf_guest_stack_leave(mf_guest_data(guest));
		mf_guest_set_data(guest, peer);
	}
}

static void drop_guest(struct guest *g, enum mf_vm_guest_left left)
{
	struct mf_vm_wire *w = g->wire;

	if (g->readable)
		event_free(g->readable);
	if (g->writable)
		event_free(g->writable);
	if (g->again)
		event_free(g->again);
	if (g->guest) {
		tell_left(g, left);
		if (w->stack)
			mf_guest_stack_leave(mf_guest_data(g->guest));
		mf_guest_detach(g->guest);
	}
	for (unsigned i = 0; i < w->guest_cnt; i++) {
		if (w->guests[i] == g) {
			w->guests[i] = w->guests[--w->guest_cnt];
			break;
		}
	}
	watch_device(w);
	free(g);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	static const struct timeval at_once = { 0, 0 };
	struct guest *g = ctx;
	struct mf_vm_wire *w = g->wire;
	int r = mf_guest_run(g->guest, FRAMES_PER_TURN);

	(void)fd;
	(void)what;
	mf_coalesce_flush(&w->coalesce, w->stack ? input_packet : write_packet, w);
	/* What the kernel answers at once (a SYN, an acknowledgement) is there by now. */
	if (r > 0 && !w->stack)
		take_packets(w);
	flush(w);
	if (r == FRAMES_PER_TURN)
		event_add(g->again, &at_once);
	if (r >= 0)
		return;
	mf_log_info(w->options->log, "guest %u: %s", mf_guest_number(g->guest),
		    r == MF_E_CLOSED ? "its wire has ended" : "what it sends are no frames");
	drop_guest(g, r == MF_E_CLOSED ? MF_VM_GUEST_CLOSED : MF_VM_GUEST_MALFORMED);
	if (!w->guest_cnt && w->options->all_gone)
		w->options->all_gone(w->options->ctx);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct guest *g = ctx;

	(void)fd;
	(void)what;
	if (g->wire->stack) {
		flush(g->wire);
		return;
	}
	mf_frame_source_flush(mf_guest_source(g->guest));
	watch_writable(g);
	watch_device(g->wire);
}

static int add_guest(struct mf_vm_wire *w, struct mf_frame_source *source, struct mf_err *err)
{
	struct guest *g = calloc(1, sizeof(*g));
	struct mf_stack_peer *peer = NULL;
	int fd = source->fd, r;

	if (!g) {
		mf_frame_source_free(source);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	g->wire = w;
	r = mf_guest_attach(w->net, source, &g->guest, err);
	if (r < 0) {
		free(g);
		return r;
	}
	w->guests[w->guest_cnt++] = g;
	w->stats.guests++;
	if (w->stack && mf_vm_stack_join(w->stack, g->guest, &peer) < 0) {
		drop_guest(g, MF_VM_GUEST_SESSION_END);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	mf_guest_set_data(g->guest, peer);
	g->readable = event_new(w->base, fd, EV_READ | EV_PERSIST, on_readable, g);
	g->writable = event_new(w->base, fd, EV_WRITE | EV_PERSIST, on_writable, g);
	g->again = evtimer_new(w->base, on_readable, g);
	if (g->readable && g->writable && g->again && event_add(g->readable, NULL) == 0)
		return 0;
	drop_guest(g, MF_VM_GUEST_SESSION_END);
	return mf_err_set(err, MF_E_NOMEM, "out of memory");
}

/* Whoever connects must be the same user, or root: the socket's mode says so already, where it still has that mode. */
static bool is_ours(int fd)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) == 0 &&
	       (c.uid == 0 || c.uid == geteuid());
}

static void set_buffers(int fd)
{
	int size = SOCKET_BUFFER;

	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void on_connect(evutil_socket_t listener, short what, void *ctx)
{
	struct listener *l = ctx;
	struct mf_frame_source *source;
	struct mf_err err = { 0 };
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)what;
	if (fd < 0)
		return;
	if (l->place.kind == MF_VM_PLACE_STREAM && !is_ours(fd)) {
		mf_log_warning(l->wire->options->log, "another user's connection to %s is refused",
			       l->place.path);
		close(fd);
		return;
	}
	set_buffers(fd);
	if (mf_frame_stream_new(fd, &source, &err) < 0 || add_guest(l->wire, source, &err) < 0)
		mf_log_warning(l->wire->options->log, "a guest is refused: %s", err.msg);
}

/* ---- begin and end ----------------------------------------------------------------------------------------------- */

static int begin_listener(struct mf_vm_wire *w, struct listener *l, struct mf_err *err)
{
	struct mf_frame_source *source = NULL;
	int fd = l->place.fd, r = 0;

	if (l->place.kind == MF_VM_PLACE_STREAM || l->place.kind == MF_VM_PLACE_TCP) {
		l->readable = event_new(w->base, fd, EV_READ | EV_PERSIST, on_connect, l);
		if (!l->readable || event_add(l->readable, NULL))
			return mf_err_set(err, MF_E_NOMEM, "out of memory");
		return 0;
	}
	l->place.fd = -1;
	if (l->place.kind != MF_VM_PLACE_TAP)
		set_buffers(fd);
	if (l->place.kind == MF_VM_PLACE_DGRAM)
		r = mf_frame_dgram_new(fd, &source, err);
	else if (l->place.kind == MF_VM_PLACE_TAP)
		r = mf_frame_tap_new(fd, &source, err);
	else
		r = mf_frame_stream_new(fd, &source, err);
	return r < 0 ? r : add_guest(w, source, err);
}

int mf_vm_wire_open(const struct mf_vm_wire_options *options, struct mf_vm_wire **ret,
		    struct mf_err *err)
{
	struct mf_vm_wire *w = calloc(1, sizeof(*w));
	struct mf_guest_net_ops ops = {
		.packet = on_packet,
		.echo = on_echo,
		.event = on_guest,
		.now = now_ns,
		.replaced = on_replaced,
		.ctx = w,
	};
	const struct mf_vm_echo_wires echo = {
		.packet = on_echo_packet, .router = router, .changed = on_stack_changed, .ctx = w
	};
	int r;

	if (!w)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->options = options;
	w->device = -1;
	if (options->pcap)
		ops.observe = observe;
	r = mf_guest_net_new(&options->net, &ops, &w->net, err);
	if (r == 0)
		w->echo = mf_vm_echo_new(&echo);
	if (r == 0 && !w->echo)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < options->place_cnt; i++) {
		struct listener *l = &w->listeners[w->listener_cnt];

		l->wire = w;
		r = mf_vm_place_open(&options->places[i], &l->place, err);
		w->listener_cnt += r == 0;
	}
	if (r == 0 && options->pcap)
		r = mf_pcapng_open(options->pcap, "moonfence vm-net", &w->pcap, err);
	if (r < 0) {
		(void)mf_vm_wire_free(w, NULL);
		return r;
	}
	*ret = w;
	return 0;
}

static int begin(struct mf_vm_wire *w, struct event_base *base, struct mf_proxy *proxy,
		 struct mf_err *err)
{
	const struct timeval tick = { .tv_sec = TICK_S };
	int r = 0;

	w->base = base;
	w->tick = event_new(base, -1, EV_PERSIST, on_tick, w);
	if (!w->tick || event_add(w->tick, &tick) || mf_vm_echo_begin(w->echo, base, proxy) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	for (size_t i = 0; r == 0 && i < w->listener_cnt; i++)
		r = begin_listener(w, &w->listeners[i], err);
	return r;
}

int mf_vm_wire_begin(struct mf_vm_wire *w, struct event_base *base, int device,
		     struct mf_proxy *proxy, struct mf_err *err)
{
	w->device = device;
	w->packets = event_new(base, device, EV_READ | EV_PERSIST, on_device, w);
	if (!w->packets || event_add(w->packets, NULL))
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	return begin(w, base, proxy, err);
}

int mf_vm_wire_begin_stack(struct mf_vm_wire *w, struct event_base *base, struct mf_vm_stack *stack,
			   struct mf_proxy *proxy, struct mf_err *err)
{
	const struct mf_vm_stack_wires wires = { .packet = on_stack_packet,
						 .large = on_stack_large,
						 .full = on_stack_full,
						 .changed = on_stack_changed,
						 .ctx = w };

	if (mf_vm_stack_begin(stack, base, proxy, &wires) < 0)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	w->stack = stack;
	return begin(w, base, proxy, err);
}

void mf_vm_wire_get_echo_ops(struct mf_vm_wire *w, struct mf_session_ops *ops)
{
	mf_vm_echo_get_ops(w->echo, ops);
}

void mf_vm_wire_end_proxy(struct mf_vm_wire *w)
{
	if (w)
		mf_vm_echo_end(w->echo);
}

void mf_vm_wire_end_guests(struct mf_vm_wire *w)
{
	while (w->guest_cnt)
		drop_guest(w->guests[0], MF_VM_GUEST_SESSION_END);
}

void mf_vm_wire_get_stats(const struct mf_vm_wire *w, struct mf_vm_wire_stats *ret)
{
	*ret = w->stats;
	ret->open = w->guest_cnt;
	for (unsigned i = 0; i < w->guest_cnt; i++)
		count(ret, w->guests[i]->guest);
}

const char *mf_vm_wire_place(const struct mf_vm_wire *w, size_t i)
{
	return w->listeners[i].place.at[0] ? w->listeners[i].place.at : w->options->places[i].at;
}

int mf_vm_wire_free(struct mf_vm_wire *w, struct mf_err *err)
{
	int r = 0;

	if (!w)
		return 0;
	mf_vm_wire_end_guests(w);
	for (size_t i = 0; i < w->listener_cnt; i++) {
		struct listener *l = &w->listeners[i];

		if (l->readable)
			event_free(l->readable);
		if (l->place.fd >= 0)
			close(l->place.fd);
		if (l->place.path)
			(void)unlink(l->place.path);
	}
	if (w->packets)
		event_free(w->packets);
	if (w->tick)
		event_free(w->tick);
	mf_vm_echo_free(w->echo);
	mf_guest_net_free(w->net);
	if (w->device >= 0)
		close(w->device);
	if (w->pcap)
		r = mf_pcapng_close(w->pcap, true, err);
	free(w);
	return r;
}
