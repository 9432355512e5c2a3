/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_guests.c - many guests on wires of one process: what an idle one costs, and whether idle ones cost those that are busy
 *
 *	bench_guests [--json] [--seconds N]
 *
 * 1,000 stream sockets as QEMU has them, five routers of 200 guests each, one libevent loop in one thread, as moonfence vm-net has
 * it. Each guest says who it is and is answered; then ten of them (1 %) send UDP in frames of 1,514 bytes, bursts of 32, and get
 * each one back from the stack. Their other ends are a thread of their own. Frames (there and back) are counted per second of
 * processor time of the thread with the loop, beside the same ten with nobody else. Memory is what became resident and private for each guest:
 * when all have been answered, and when all have been as busy as their buffers let them.
 */
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"
#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "nic/e1000.h"
#include "nic/frame_socket.h"
#include "nic/guest_net.h"
#include "nic/virtio_net.h"

#define PROGRAM	 "bench_guests"
#define GUESTS	 1000u
#define ACTIVE	 10u
#define NETS	 (GUESTS / MF_GUESTS_MAX)
#define BURST	 32u
#define LEN	 1514u
#define RECORD	 (4 + LEN)
#define PER_TURN 64u

struct wire {
	struct net *net;
	struct mf_guest *guest;
	struct event *readable, *writable;
	int peer;
};

struct net {
	struct mf_guest_net *guests;
};

static struct net nets[NETS];
static struct wire wires[GUESTS];
static struct event_base *base;
static uint64_t packets;
static atomic_bool stop;
static uint8_t burst[BURST * RECORD];

/* ---- the network ------------------------------------------------------------------------------------------------- */

/* The stack: everything comes back. */
static void packet(void *ctx, struct mf_guest *guest, uint8_t *pkt, size_t len)
{
	struct net *net = ctx;
	uint8_t address[4];

	(void)guest;
	memcpy(address, pkt + 12, 4);
	memcpy(pkt + 12, pkt + 16, 4);
	memcpy(pkt + 16, address, 4);
	packets += 1 + (mf_guest_net_packet(net->guests, pkt, len) == 0);
}

static uint64_t now_ns(void *ctx)
{
	(void)ctx;
	return mf_clock_now(&mf_clock_system);
}

static void flush(struct net *net)
{
	mf_guest_net_flush(net->guests);
}

static void watch(struct wire *w)
{
	if (mf_guest_source(w->guest)->wants_write)
		event_add(w->writable, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
	struct wire *w = ctx;

	(void)fd;
	(void)what;
	if (mf_guest_run(w->guest, PER_TURN) < 0)
		bench_die(PROGRAM, "a wire has ended");
	flush(w->net);
	watch(w);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
	struct wire *w = ctx;

	(void)fd;
	(void)what;
	mf_frame_source_flush(mf_guest_source(w->guest));
	watch(w);
}

static void open_wires(unsigned cnt)
{
	const struct mf_guest_net_options options = { .size = sizeof(options) };

	base = event_base_new();
	if (!base)
		bench_die(PROGRAM, "out of memory");
	for (unsigned i = 0; i < cnt; i++) {
		struct net *net = &nets[i / MF_GUESTS_MAX];
		struct wire *w = &wires[i];
		struct mf_guest_net_ops ops = { .packet = packet, .now = now_ns, .ctx = net };
		struct mf_frame_source *source;
		int fds[2];

		if (!net->guests && mf_guest_net_new(&options, &ops, &net->guests, NULL) < 0)
			bench_die(PROGRAM, "no network");
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
			bench_die(PROGRAM, "no sockets (ulimit -n)");
		for (unsigned k = 0; k < 2; k++)
			fcntl(fds[k], F_SETFL, O_NONBLOCK);
		if (mf_frame_stream_new(fds[0], &source, NULL) < 0 ||
		    mf_guest_attach(net->guests, source, &w->guest, NULL) < 0)
			bench_die(PROGRAM, "no guest");
		w->net = net;
		w->peer = fds[1];
		w->readable = event_new(base, fds[0], EV_READ | EV_PERSIST, on_readable, w);
		w->writable = event_new(base, fds[0], EV_WRITE, on_writable, w);
		if (!w->readable || !w->writable || event_add(w->readable, NULL))
			bench_die(PROGRAM, "out of memory");
	}
}

static void close_wires(unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		event_free(wires[i].readable);
		event_free(wires[i].writable);
		close(wires[i].peer);
	}
	for (unsigned i = 0; i < NETS; i++) {
		mf_guest_net_free(nets[i].guests);
		nets[i].guests = NULL;
	}
	event_base_free(base);
}

/* ---- guests ------------------------------------------------------------------------------------------------------ */

static void write_head(uint8_t *record, unsigned number, size_t len)
{
	mf_store_be32(record, (uint32_t)len);
	memcpy(record + 4, "\x52\x6d\x6f\x6f\x6e\x02\x52\x54\0\0", 10);
	mf_store_be16(record + 14, (uint16_t)number);
}

/* Asks for the router's MAC. Whoever is first in its net has the first address, and so on. */
static void hello(unsigned number)
{
	uint8_t record[4 + 60] = { 0 };

	write_head(record, number, 60);
	memcpy(record + 16, "\x08\x06\0\1\x08\0\6\4\0\1", 10);
	memcpy(record + 26, record + 10, 6);
	memcpy(record + 42, "\x0a\0\2\2", 4);
	if (write(wires[number].peer, record, sizeof(record)) != (ssize_t)sizeof(record))
		bench_die(PROGRAM, "a wire is full");
}

static void make_burst(unsigned number)
{
	for (unsigned i = 0; i < BURST; i++) {
		uint8_t *r = burst + i * RECORD, *ip = r + 18;

		memset(r, 0, RECORD);
		write_head(r, number, LEN);
		mf_store_be16(r + 16, 0x0800);
		ip[0] = 0x45;
		mf_store_be16(ip + 2, LEN - 14);
		ip[8] = 64;
		ip[9] = 17;
		memcpy(ip + 12, mf_guest_address4(wires[number].guest), 4);
		memcpy(ip + 16, "\xc0\0\2\1", 4);
	}
}

static void drain(int fd)
{
	static uint8_t sink[1 << 18];

	while (read(fd, sink, sizeof(sink)) > 0)
		;
}

/* The other ends of the busy ones: a burst as soon as there is room for it. */
static void *play(void *ctx)
{
	static uint8_t bursts[ACTIVE][sizeof(burst)];
	struct pollfd fds[ACTIVE];
	size_t at[ACTIVE] = { 0 };

	(void)ctx;
	for (unsigned i = 0; i < ACTIVE; i++) {
		make_burst(i);
		memcpy(bursts[i], burst, sizeof(burst));
		fds[i] = (struct pollfd){ .fd = wires[i].peer, .events = POLLIN | POLLOUT };
	}
	while (!atomic_load(&stop)) {
		(void)poll(fds, ACTIVE, 10);
		for (unsigned i = 0; i < ACTIVE; i++) {
			ssize_t n;

			drain(fds[i].fd);
			n = write(fds[i].fd, bursts[i] + at[i], sizeof(burst) - at[i]);
			if (n > 0)
				at[i] = (at[i] + (size_t)n) % sizeof(burst);
		}
	}
	return NULL;
}

/* ---- figures ----------------------------------------------------------------------------------------------------- */

/* Bytes that are resident and nobody else's. */
static double memory(void)
{
	long resident = 0, shared = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%*d %ld %ld", &resident, &shared) != 2)
		bench_die(PROGRAM, "no /proc/self/statm");
	fclose(f);
	return (double)(resident - shared) * (double)sysconf(_SC_PAGESIZE);
}

static void settle(void)
{
	for (unsigned i = 0; i < 4; i++)
		event_base_loop(base, EVLOOP_NONBLOCK);
}

/* Everybody is known and has been answered. */
static void greet(unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		hello(i);
	settle();
	for (unsigned i = 0; i < cnt; i++) {
		if (!mf_guest_address4(wires[i].guest)[0])
			bench_die(PROGRAM, "a guest is not known");
		drain(wires[i].peer);
	}
}

/* Return: M frames a second of the loop's processor time */
static double rate(double seconds)
{
	uint64_t begun, end, before = packets, cpu = bench_cpu_ns();
	pthread_t t;

	atomic_store(&stop, false);
	if (pthread_create(&t, NULL, play, NULL))
		bench_die(PROGRAM, "no thread");
	begun = mf_clock_now(&mf_clock_system);
	end = begun + (uint64_t)(seconds * 1e9);
	while (mf_clock_now(&mf_clock_system) < end)
		event_base_loop(base, EVLOOP_ONCE);
	cpu = bench_cpu_ns() - cpu;
	atomic_store(&stop, true);
	pthread_join(t, NULL);
	return (double)(packets - before) * 1e3 / (double)cpu;
}

/* Every wire as full as it can be, in both directions, then read out. */
static void fill_all(unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		unsigned stuck = 0;

		make_burst(i);
		/* Nobody reads the answers, so that they queue up to their bound. */
		while (stuck < 100) {
			ssize_t n = write(wires[i].peer, burst, sizeof(burst));

			for (size_t left = n > 0 ? sizeof(burst) - (size_t)n : 0; left;) {
				ssize_t m;

				event_base_loop(base, EVLOOP_NONBLOCK);
				m = write(wires[i].peer, burst + sizeof(burst) - left, left);
				left -= m > 0 ? (size_t)m : 0;
			}
			stuck++;
			event_base_loop(base, EVLOOP_NONBLOCK);
		}
		for (unsigned k = 0; k < 40; k++) {
			drain(wires[i].peer);
			event_base_loop(base, EVLOOP_NONBLOCK);
		}
	}
}

static bool no_frame(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
		     const struct mf_nic_offload *o)
{
	(void)ctx, (void)parts, (void)cnt, (void)len, (void)o;
	return true;
}

static void no_line(void *ctx, bool level)
{
	(void)ctx, (void)level;
}

/* What a hundred cards of a kind add. */
static double card_memory(bool e1000)
{
	static struct mf_nic *nics[100];
	static struct mf_guest_memory none;
	const struct mf_nic_host host = { .memory = &none,
					  .frame_out = no_frame,
					  .set_line = no_line };
	double before = memory();

	for (unsigned i = 0; i < 100; i++) {
		const struct mf_e1000_options e = { .mac = { 0x52, 0x54, 0, 0, 0, 1 } };
		const struct mf_virtio_net_options v = { .mac = { 0x52, 0x54, 0, 0, 0, 1 } };

		if ((e1000 ? mf_e1000_new(&e, &host, &nics[i], NULL)
			   : mf_virtio_net_new(&v, &host, &nics[i], NULL)) < 0)
			bench_die(PROGRAM, "no card");
	}
	before = memory() - before;
	for (unsigned i = 0; i < 100; i++)
		mf_nic_free(nics[i]);
	return before / 100;
}

int main(int argc, char **argv)
{
	struct bench_report r = { .name_width = 20, .value_width = 10, .decimals = 2 };
	struct rlimit files = { 4096, 4096 };
	double seconds = 1, before, alone[3], among[3];

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--json"))
			r.json = true;
		else if (!strcmp(argv[i], "--seconds") && i + 1 < argc)
			seconds = atof(argv[++i]);
		else
			bench_die(PROGRAM, "usage: bench_guests [--json] [--seconds N]");
	}
	(void)setrlimit(RLIMIT_NOFILE, &files);
	bench_begin(&r);
	bench_row(&r, "card_e1000", card_memory(true) / 1e3, "kB", "an 82540EM");
	bench_row(&r, "card_virtio", card_memory(false) / 1e3, "kB", "a virtio card");
	before = memory();
	open_wires(GUESTS);
	greet(GUESTS);
	bench_row(&r, "idle", (memory() - before) / GUESTS / 1e3, "kB",
		  "a guest that was answered once");
	/* By turns, each with wires of its own. */
	for (unsigned i = 0; i < 3; i++) {
		among[i] = rate(seconds);
		close_wires(GUESTS);
		open_wires(ACTIVE);
		greet(ACTIVE);
		alone[i] = rate(seconds);
		close_wires(ACTIVE);
		open_wires(GUESTS);
		greet(GUESTS);
	}
	fill_all(GUESTS);
	bench_row(&r, "idle_again", (memory() - before) / GUESTS / 1e3, "kB",
		  "a guest whose buffers have been full");
	close_wires(GUESTS);
	bench_row(&r, "frames", bench_median(among, 3), "M frames/s", "ten busy guests of 1,000");
	bench_row(&r, "frames_alone", bench_median(alone, 3), "M frames/s",
		  "ten busy guests of ten");
	/* 100 Mbit/s there and back, each */
	bench_row(&r, "share", 2 * ACTIVE * 100e6 / 8 / LEN / bench_median(among, 3) / 1e4, "%",
		  "of a core for ten with 100 Mbit/s there and back");
	bench_end(&r);
	return 0;
}
