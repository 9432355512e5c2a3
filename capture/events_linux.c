/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events_linux.c - what happens while a session runs: the command's changes, drift, refusals, new sockets of the host
 *
 * One epoll descriptor holds all sources; each is read without blocking, and what comes of it goes into a short queue.
 * Nothing may change in the namespace once it is built. A message of the watches over links, routes and rules is a reason
 * to look, as is every tick of the timer: what is there is compared with what was built, and a difference is drift. The
 * kernel announces some things twice (an IPv6 address when its work queue has got to it), so a message alone says nothing.
 * An opener that ends or does not answer is drift too.
 */
#include <errno.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/internal_linux.h"

#define RESCAN_MS	2000
#define REFUSED_PER_S	20
#define RESCAN_LATE_MAX 3		   /* ticks without an answer of the opener, and */
#define RESCAN_LATE_NS	(10 * MF_NS_PER_S) /* a busy machine must not end a session */
#define BATCH		16		   /* messages of one source in one turn */

/* ---------------------------------------------------------------------------------------------------------------- */
/* The queue                                                                                                        */

/* NULL when there is no room: what matters most is kept by never queueing more than a few of the rest. */
static struct mf_capture_event *push(struct mf_capture *cap, enum mf_capture_event_kind kind)
{
	bool less = kind == MF_CAPTURE_REFUSED || kind == MF_CAPTURE_MASKED ||
		    kind == MF_CAPTURE_PACKETS;
	size_t room = less ? 16 : 0;
	struct mf_capture_event *ev;

	if (cap->queue_cnt + room >= MF_CAPTURE_EVENTS_MAX)
		return NULL;
	ev = &cap->queue[(cap->queue_at + cap->queue_cnt++) % MF_CAPTURE_EVENTS_MAX];
	*ev = (struct mf_capture_event){ .kind = kind };
	return ev;
}

static void push_text(struct mf_capture *cap, enum mf_capture_event_kind kind, int64_t pid,
		      const char *text)
{
	struct mf_capture_event *ev = push(cap, kind);

	if (!ev)
		return;
	ev->pid = pid;
	snprintf(ev->text, sizeof(ev->text), "%.255s", text);
}

void mf_capture_events_drift(struct mf_capture *cap, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	/* Cut each time: what was down may have been brought up. Tell once. */
	mf_capture_cut(cap);
	if (cap->drifted)
		return;
	cap->drifted = true;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	push_text(cap, MF_CAPTURE_DRIFT, 0, text);
}

void mf_capture_events_tell(struct mf_capture *cap, enum mf_capture_event_kind kind,
			    const char *text)
{
	push_text(cap, kind, 0, text);
}

/* At most REFUSED_PER_S a second: the session must not be able to fill somebody's log. */
static void push_refused(struct mf_capture *cap, int64_t pid, const char *text)
{
	uint64_t now = mf_clock_now(&mf_clock_system);

	if (now - cap->refused_since_ns > MF_NS_PER_S) {
		cap->refused_since_ns = now;
		cap->refused_cnt = 0;
	}
	if (cap->refused_cnt++ < REFUSED_PER_S)
		push_text(cap, MF_CAPTURE_REFUSED, pid, text);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Drift                                                                                                            */

int mf_capture_events_record(struct mf_capture *cap, struct mf_err *err)
{
	uint64_t seed;
	int r;

	memcpy(&seed, cap->plan.nonce, sizeof(seed));
	r = mf_capture_netstate_read(cap->fd[MF_CAPTURE_FD_STATE], seed, &cap->state_seq,
				     &cap->built);
	if (r < 0 || cap->built.more)
		return mf_err_set(err, MF_E_IO,
				  "cannot read the network of the session's namespace");
	cap->has_generation =
		mf_capture_rules_generation(cap->fd[MF_CAPTURE_FD_NFT], &cap->generation) == 0;
	return 0;
}

/* After a cut there is nothing left to lose, and the changes are our own. */
static void check_network(struct mf_capture *cap)
{
	char text[200];

	if (cap->cut)
		return;
	if (mf_capture_netstate_read(cap->fd[MF_CAPTURE_FD_STATE], cap->built.seed, &cap->state_seq,
				     &cap->now) < 0)
		mf_capture_events_drift(cap,
					"the network of the session's namespace cannot be read, "
					"or does not stand still");
	else if (mf_capture_netstate_differs(&cap->built, &cap->now, text, sizeof(text)))
		mf_capture_events_drift(cap, "in the session's namespace %s", text);
}

static void check_rules(struct mf_capture *cap)
{
	uint32_t now;

	if (cap->cut || !cap->has_generation)
		return;
	if (mf_capture_rules_generation(cap->fd[MF_CAPTURE_FD_NFT], &now) < 0)
		mf_capture_events_drift(cap, "the nftables rules of the session's namespace cannot "
					     "be read");
	else if (now != cap->generation)
		mf_capture_events_drift(
			cap, "in the session's namespace the nftables rules were changed");
}

/* Empty a watch, BATCH messages at most. Return: how many there were; more than went in (ENOBUFS) counts as one */
static int drain(struct mf_capture *cap, int fd, const char *what)
{
	char buf[8192] __attribute__((aligned(8)));

	for (int i = 0; i < BATCH; i++) {
		if (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) >= 0 || errno == ENOBUFS)
			continue;
		if (errno != EAGAIN && errno != EINTR)
			mf_capture_events_drift(cap, "the watch over %s failed: %s", what,
						strerror(errno));
		return i;
	}
	return BATCH;
}

static void on_route_watch(struct mf_capture *cap)
{
	if (drain(cap, cap->fd[MF_CAPTURE_FD_ROUTE_WATCH], "links and routes"))
		check_network(cap);
}

static void on_nft_watch(struct mf_capture *cap)
{
	if (!drain(cap, cap->fd[MF_CAPTURE_FD_NFT_WATCH], "nftables rules"))
		return;
	check_rules(cap);
	/* Where the kernel does not tell their generation, the message is all we have. */
	if (!cap->has_generation)
		mf_capture_events_drift(
			cap, "in the session's namespace the nftables rules were changed");
}

/* The same in case a message should ever be lost. */
static void check_state(struct mf_capture *cap)
{
	check_network(cap);
	check_rules(cap);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The opener                                                                                                       */

void mf_capture_events_take_msg(struct mf_capture *cap, const struct mf_capture_msg *m,
				const int *fds, size_t fd_cnt)
{
	struct mf_capture_pool *pool = &cap->pool[m->value == 6];

	for (size_t i = 0; i < fd_cnt; i++) {
		if (m->kind == MF_CAPTURE_MSG_OPENED && pool->cnt < MF_CAPTURE_POOL_MAX)
			pool->fd[pool->cnt++] = fds[i];
		else
			close(fds[i]);
	}
	if (m->kind == MF_CAPTURE_MSG_FAILED)
		mf_capture_events_drift(cap, "%.200s", m->text);
	if (m->kind == MF_CAPTURE_MSG_RESCANNED)
		cap->rescanning = false;
	if (m->kind == MF_CAPTURE_MSG_MASKED && m->value < 0)
		mf_capture_events_drift(cap, "the Unix socket %.180s of the host cannot be masked",
					m->text);
	else if (m->kind == MF_CAPTURE_MSG_MASKED)
		push_text(cap, MF_CAPTURE_MASKED, 0, m->text);
}

static void drop_source(struct mf_capture *cap, int *fd)
{
	(void)epoll_ctl(cap->epoll_fd, EPOLL_CTL_DEL, *fd, NULL);
	close(*fd);
	*fd = -1;
}

static void on_opener(struct mf_capture *cap)
{
	int fds[MF_CAPTURE_MSG_FDS_MAX];
	struct mf_capture_msg m;
	size_t cnt;

	for (int i = 0; i < BATCH; i++) {
		int r = mf_capture_msg_recv(cap->opener_sock, false, &m, fds, &cnt);

		if (r == 0)
			return;
		if (r < 0) {
			drop_source(cap, &cap->opener_sock);
			mf_capture_events_drift(cap, "the session's opener has ended");
			return;
		}
		mf_capture_events_take_msg(cap, &m, fds, cnt);
	}
}

static void on_timer(struct mf_capture *cap)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_RESCAN };
	uint64_t ticks;

	if (read(cap->timer_fd, &ticks, sizeof(ticks)) != sizeof(ticks))
		return;
	check_state(cap);
	if (cap->opener_sock < 0)
		return;
	/* One tick at a time: after we were stopped ourselves many have gone by at once. */
	if (cap->rescanning && ++cap->rescan_late >= RESCAN_LATE_MAX &&
	    mf_clock_now(&mf_clock_system) - cap->rescan_since_ns >= RESCAN_LATE_NS)
		mf_capture_events_drift(cap, "the session's opener does not answer");
	if (cap->rescanning)
		return;
	cap->rescan_late = 0;
	cap->rescan_since_ns = mf_clock_now(&mf_clock_system);
	cap->rescanning = mf_capture_msg_send(cap->opener_sock, &m, NULL, 0) == 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Refusals                                                                                                         */

static const char *family_name(uint64_t family)
{
	static const struct {
		uint64_t family;
		const char *name;
	} names[] = { { AF_PACKET, "AF_PACKET" },   { AF_VSOCK, "AF_VSOCK" },
		      { AF_ALG, "AF_ALG" },	    { AF_BLUETOOTH, "AF_BLUETOOTH" },
		      { AF_NETLINK, "AF_NETLINK" }, { AF_KEY, "AF_KEY" },
		      { AF_CAN, "AF_CAN" },	    { AF_TIPC, "AF_TIPC" },
		      { AF_RDS, "AF_RDS" },	    { AF_XDP, "AF_XDP" } };

	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		if (names[i].family == family)
			return names[i].name;
	return NULL;
}

static int describe_call(const struct seccomp_data *d, char *text, size_t size)
{
	char *name = seccomp_syscall_resolve_num_arch(d->arch, d->nr);
	bool native = d->arch == seccomp_arch_native();
	int e = ENOSYS;

	if (name && strcmp(name, "socket") == 0 && native) {
		const char *family = family_name(d->args[0]);

		e = d->args[0] == AF_NETLINK ? EPROTONOSUPPORT : EAFNOSUPPORT;
		if (e == EPROTONOSUPPORT)
			snprintf(text, size, "socket(AF_NETLINK, protocol %llu)",
				 (unsigned long long)d->args[2]);
		else if (family)
			snprintf(text, size, "socket(%s)", family);
		else
			snprintf(text, size, "socket(family %llu)", (unsigned long long)d->args[0]);
	} else if (name && strncmp(name, "socket", 6) == 0) {
		e = EAFNOSUPPORT;
		snprintf(text, size, "32-bit %s()", name);
	} else if (name && strcmp(name, "ioctl") == 0) {
		e = EPERM;
		snprintf(text, size, "ioctl(%s)",
			 (d->args[1] & 0xffffffff) == 0x5412 ? "TIOCSTI" : "TIOCLINUX");
	} else {
		snprintf(text, size, "%s()", name ? name : "a system call");
	}
	free(name);
	return e;
}

static void on_notify(struct mf_capture *cap)
{
	/* The kernel may have longer ones than our headers know; it wants zeroes. */
	union {
		struct seccomp_notif n;
		char room[512];
	} req;
	union {
		struct seccomp_notif_resp r;
		char room[256];
	} resp;
	char text[128];

	memset(&req, 0, sizeof(req));
	memset(&resp, 0, sizeof(resp));
	if (ioctl(cap->notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &req.n) < 0)
		return;
	resp.r.id = req.n.id;
	resp.r.error = -describe_call(&req.n.data, text, sizeof(text));
	/* Fails when the caller was killed meanwhile; then nobody waits for it. */
	(void)ioctl(cap->notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &resp.r);
	push_refused(cap, req.n.pid, text);
}

static void describe_packet(const uint8_t *p, size_t len, char *text, size_t size)
{
	static const struct {
		uint8_t proto;
		const char *name;
	} names[] = { { 1, "ICMP" }, { 2, "IGMP" },   { 6, "TCP" },
		      { 17, "UDP" }, { 33, "DCCP" },  { 58, "ICMPv6" },
		      { 47, "GRE" }, { 132, "SCTP" }, { 136, "UDP-Lite" } };
	bool six = len >= 40 && p[0] >> 4 == 6;
	struct mf_addr to = { 0 };
	char addr[MF_ADDR_TEXT_MAX];
	uint8_t proto;

	if (len < 20) {
		snprintf(text, size, "a packet");
		return;
	}
	(void)mf_addr_from_bytes(&to, p + (six ? 24 : 16), six ? 16 : 4);
	proto = six ? p[6] : p[9];
	mf_addr_format(&to, addr, sizeof(addr));
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++) {
		if (names[i].proto == proto) {
			snprintf(text, size, "%s packet to %s", names[i].name, addr);
			return;
		}
	}
	snprintf(text, size, "packet of protocol %u to %s", proto, addr);
}

static void on_nflog(struct mf_capture *cap)
{
	char buf[4096] __attribute__((aligned(8))), text[128];

	for (int i = 0; i < BATCH; i++) {
		ssize_t n = recv(cap->fd[MF_CAPTURE_FD_NFLOG], buf, sizeof(buf), MSG_DONTWAIT);
		size_t left = n > 0 ? (size_t)n : 0;

		if (n <= 0)
			return; /* an overflow loses some of what is told, nothing else */
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			struct rtattr *a =
				(struct rtattr *)((char *)NLMSG_DATA(h) + sizeof(struct nfgenmsg));
			size_t room = NLMSG_PAYLOAD(h, sizeof(struct nfgenmsg));

			if (h->nlmsg_type != (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
				continue;
			for (; RTA_OK(a, room); a = RTA_NEXT(a, room)) {
				if ((a->rta_type & NLA_TYPE_MASK) != NFULA_PAYLOAD)
					continue;
				describe_packet(RTA_DATA(a), RTA_PAYLOAD(a), text, sizeof(text));
				push_refused(cap, 0, text);
			}
		}
	}
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The command                                                                                                      */

static void on_command_change(struct mf_capture *cap, const siginfo_t *si)
{
	struct mf_capture_event *ev;

	if (si->si_code == CLD_STOPPED || si->si_code == CLD_CONTINUED) {
		bool stopped = si->si_code == CLD_STOPPED;

		if (stopped)
			mf_capture_signals_note_stop(cap);
		else
			cap->stopped = false;
		ev = push(cap, stopped ? MF_CAPTURE_STOPPED : MF_CAPTURE_RESUMED);
		if (ev && stopped)
			ev->signal = si->si_status;
		return;
	}
	if (si->si_code != CLD_EXITED && si->si_code != CLD_KILLED && si->si_code != CLD_DUMPED)
		return;
	cap->command = 0;
	cap->state = MF_CAPTURE_ENDED;
	ev = push(cap, MF_CAPTURE_EXITED);
	if (!ev)
		return;
	ev->core_dumped = si->si_code == CLD_DUMPED;
	ev->signal = si->si_code == CLD_EXITED ? 0 : si->si_status;
	ev->status = ev->signal ? 128 + ev->signal : si->si_status;
}

static void wait_command(struct mf_capture *cap)
{
	while (cap->command > 0 && cap->state == MF_CAPTURE_RUNNING) {
		siginfo_t si = { 0 };

		if (waitid(P_PID, (id_t)cap->command, &si,
			   WEXITED | WSTOPPED | WCONTINUED | WNOHANG) < 0 ||
		    si.si_pid == 0)
			return;
		on_command_change(cap, &si);
	}
}

static void on_signal(struct mf_capture *cap)
{
	struct signalfd_siginfo si[BATCH];
	ssize_t n = read(cap->signal_fd, si, sizeof(si));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(*si); i++)
		mf_capture_signals_forward(cap, &si[i]);
	wait_command(cap);
	mf_capture_orphans_reap(cap);
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* The loop's end of it                                                                                             */

struct source {
	void (*on)(struct mf_capture *cap);
	size_t fd; /* offset in struct mf_capture */
};

#define FD_AT(kind) (offsetof(struct mf_capture, fd) + (kind) * sizeof(int))

/* In the order in which they are served: an answer of the opener before the tick that would miss it. */
static const struct source sources[] = {
	{ on_route_watch, FD_AT(MF_CAPTURE_FD_ROUTE_WATCH) },
	{ on_nft_watch, FD_AT(MF_CAPTURE_FD_NFT_WATCH) },
	{ on_notify, offsetof(struct mf_capture, notify_fd) },
	{ on_nflog, FD_AT(MF_CAPTURE_FD_NFLOG) },
	{ on_opener, offsetof(struct mf_capture, opener_sock) },
	{ on_timer, offsetof(struct mf_capture, timer_fd) },
	{ on_signal, offsetof(struct mf_capture, signal_fd) },
};

static int source_fd(const struct mf_capture *cap, size_t i)
{
	int fd;

	memcpy(&fd, (const char *)cap + sources[i].fd, sizeof(fd));
	return fd;
}

int mf_capture_events_begin(struct mf_capture *cap, struct mf_err *err)
{
	unsigned ms = cap->options.rescan_ms ? cap->options.rescan_ms : RESCAN_MS;
	struct itimerspec every = { .it_interval = { ms / 1000, (long)(ms % 1000) * 1000000 } };

	every.it_value = every.it_interval;
	cap->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	cap->signal_fd = signalfd(-1, &cap->taken, SFD_NONBLOCK | SFD_CLOEXEC);
	cap->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (cap->epoll_fd < 0 || cap->signal_fd < 0 || cap->timer_fd < 0 ||
	    timerfd_settime(cap->timer_fd, 0, &every, NULL) < 0)
		return mf_err_set(err, MF_E_IO, "cannot watch the session: %s", strerror(errno));
	for (size_t i = 0; i < MF_ARRAY_SIZE(sources); i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = i };
		int fd = source_fd(cap, i);

		/* EPERM is the /dev/null of what this kernel does not have. */
		if (fd >= 0 && epoll_ctl(cap->epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0 &&
		    errno != EPERM)
			return mf_err_set(err, MF_E_IO, "cannot watch the session: %s",
					  strerror(errno));
	}
	return 0;
}

int mf_capture_fd(const struct mf_capture *cap)
{
	return cap->epoll_fd;
}

static void collect(struct mf_capture *cap)
{
	struct epoll_event ready[MF_ARRAY_SIZE(sources)];
	int n = epoll_wait(cap->epoll_fd, ready, MF_ARRAY_SIZE(sources), 0);

	for (size_t s = 0; s < MF_ARRAY_SIZE(sources); s++)
		for (int i = 0; i < n; i++)
			if (ready[i].data.u64 == s && source_fd(cap, s) >= 0) {
				/* A hang-up without data: nobody is left who could be refused anything. */
				if (sources[s].on == on_notify && !(ready[i].events & EPOLLIN))
					drop_source(cap, &cap->notify_fd);
				else
					sources[s].on(cap);
			}
}

bool mf_capture_has_event(const struct mf_capture *cap)
{
	return cap->queue_cnt > 0;
}

bool mf_capture_next_event(struct mf_capture *cap, struct mf_capture_event *ret)
{
	if (!cap->queue_cnt && cap->epoll_fd >= 0)
		collect(cap);
	if (!cap->queue_cnt)
		return false;
	*ret = cap->queue[cap->queue_at];
	cap->queue_at = (cap->queue_at + 1) % MF_CAPTURE_EVENTS_MAX;
	cap->queue_cnt--;
	return true;
}
