/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nic_host_linux.c - moonfence nic-host: QEMU with one of our network cards in it
 *
 * QEMU is our child. It gets two sockets: the card's (x-pci-proxy-dev) and qtest's, by which interrupts come. Frames go
 * to and come from a Unix datagram socket, one a datagram, as QEMU's "-netdev dgram" and others speak.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/nic_host.h"
#include "cli/output.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "nic/e1000.h"
#include "nic/qemu.h"
#include "nic/virtio_net.h"

_Static_assert(sizeof(((struct sockaddr_un *)0)->sun_path) == MF_NIC_HOST_PATH_ROOM, "a path fits");

enum {
	FRAME_MAX = 69632, /* as vm-net's: the largest jumbo frame of any driver, and more */
	SOCKET_BUFFER = 1 << 20,
	QUEUE_SIZE = 4 << 20, /* bytes of frames that the network has not taken yet */
	FRAMES_AT_ONCE = 64,
	ARGUMENTS_EXTRA = 9,
	END_MS = 5000, /* that QEMU has to end in, once it was told to */
};

struct nic_host {
	const struct mf_nic_host_wishes *w;
	struct mf_guest_memory memory;
	struct mf_qemu *qemu;
	struct mf_nic *nic;
	int link[2], qtest[2], frames; /* [0] ours, [1] QEMU's */
	bool connected;
	pid_t pid;
	int signals;	     /* SIGTERM, SIGINT and SIGHUP, which would leave the socket behind */
	sigset_t mask;	     /* before they were blocked: QEMU's */
	uint64_t kill_at_ns; /* 0: it was not told to end */
	/* frames that wait: u32 length and bytes each */
	uint8_t *queue;
	size_t queue_from, queue_to;
	/* the frame that the guest has no buffer for */
	uint8_t kept[FRAME_MAX];
	size_t kept_len;
};

/* ---- cards ---- */

static int new_e1000(const struct nic_host *h, const struct mf_nic_host *host, struct mf_nic **nic,
		     struct mf_err *err)
{
	struct mf_e1000_options o;

	memcpy(o.mac, h->w->mac, sizeof(o.mac));
	return mf_e1000_new(&o, host, nic, err);
}

static int new_virtio_net(const struct nic_host *h, const struct mf_nic_host *host,
			  struct mf_nic **nic, struct mf_err *err)
{
	struct mf_virtio_net_options o = { .mtu = h->w->mtu,
					   .pairs = h->w->pairs,
					   .packed = h->w->packed,
					   .modern_only = h->w->modern_only,
					   .coalesce = h->w->coalesce };

	memcpy(o.mac, h->w->mac, sizeof(o.mac));
	return mf_virtio_net_new(&o, host, nic, err);
}

static int (*const makers[])(const struct nic_host *h, const struct mf_nic_host *host,
			     struct mf_nic **nic, struct mf_err *err) = {
	[MF_NIC_HOST_E1000] = new_e1000,
	[MF_NIC_HOST_VIRTIO_NET] = new_virtio_net,
};
_Static_assert(MF_ARRAY_SIZE(makers) == MF_NIC_HOST_MODEL_NUM, "each model can be made");

static uint64_t now_ns(void *ctx)
{
	(void)ctx;
	return mf_clock_now(&mf_clock_system);
}

/* ---- frames ---- */

static bool is_connected(struct nic_host *h)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (h->connected)
		return true;
	memcpy(un.sun_path, h->w->remote, strlen(h->w->remote));
	h->connected = connect(h->frames, (struct sockaddr *)&un, sizeof(un)) == 0;
	return h->connected;
}

/* Return: 1 sent or lost for good, 0 it has to wait */
static int send_now(struct nic_host *h, const struct iovec *iov, size_t cnt)
{
	struct msghdr m = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = cnt };

	if (!is_connected(h))
		return 1; // nobody is there, as on a cable that ends nowhere
	if (sendmsg(h->frames, &m, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 1;
	if (errno == ECONNREFUSED || errno == ENOTCONN || errno == ECONNRESET)
		h->connected = false;
	return errno != EAGAIN && errno != ENOBUFS;
}

static bool enqueue(struct nic_host *h, const struct mf_span *parts, unsigned cnt, size_t len)
{
	uint32_t head = (uint32_t)len;

	if (len + sizeof(head) > QUEUE_SIZE - h->queue_to)
		return false;
	memcpy(h->queue + h->queue_to, &head, sizeof(head));
	h->queue_to += sizeof(head);
	for (unsigned i = 0; i < cnt; i++) {
		memcpy(h->queue + h->queue_to, parts[i].ptr, parts[i].len);
		h->queue_to += parts[i].len;
	}
	mf_nic_hold(h->nic, true);
	return true;
}

static bool frame_out(void *ctx, const struct mf_span *parts, unsigned cnt, size_t len,
		      const struct mf_nic_offload *offload)
{
	struct nic_host *h = ctx;
	struct iovec iov[MF_NIC_PARTS_MAX];

	(void)offload; // none, or such as the network finishes itself (--large-frames)
	for (unsigned i = 0; i < cnt; i++)
		iov[i] = (struct iovec){ (void *)(uintptr_t)parts[i].ptr, parts[i].len };
	if (h->queue_to == 0 && send_now(h, iov, cnt))
		return true;
	return enqueue(h, parts, cnt, len);
}

static void send_queue(struct nic_host *h)
{
	while (h->queue_from < h->queue_to) {
		struct iovec iov;
		uint32_t len;

		memcpy(&len, h->queue + h->queue_from, sizeof(len));
		iov = (struct iovec){ h->queue + h->queue_from + sizeof(len), len };
		if (!send_now(h, &iov, 1))
			return;
		h->queue_from += sizeof(len) + len;
	}
	h->queue_from = h->queue_to = 0;
	mf_nic_hold(h->nic, false);
}

/* To the guest; a frame without a buffer is kept, and no other is read until it has got one. */
static bool give_kept(struct nic_host *h)
{
	struct mf_span part = mf_span_of(h->kept, h->kept_len);

	if (h->kept_len &&
	    mf_nic_receive(h->nic, &part, 1, h->kept_len, NULL, now_ns(h)) == MF_NIC_NO_BUFFER)
		return false;
	h->kept_len = 0;
	return true;
}

static void read_frames(struct nic_host *h)
{
	for (unsigned i = 0; i < FRAMES_AT_ONCE && give_kept(h); i++) {
		ssize_t n = recv(h->frames, h->kept, sizeof(h->kept), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0)
			return;
		h->kept_len = n <= (ssize_t)sizeof(h->kept) ? (size_t)n : 0;
	}
}

static void meanwhile(void *ctx)
{
	read_frames(ctx);
}

static void set_line(void *ctx, bool level)
{
	struct nic_host *h = ctx;

	mf_qemu_set_line(h->qemu, level);
}

static void send_message(void *ctx, uint64_t address, uint32_t data)
{
	struct nic_host *h = ctx;

	mf_qemu_send_message(h->qemu, address, data);
}

static void tell_odd(void *ctx, const char *text)
{
	struct nic_host *h = ctx;

	if (h->w->verbose)
		fprintf(stderr, "moonfence: %s\n", text);
}

/* ---- signals ---- */

static int take_signals(struct nic_host *h)
{
	sigset_t ours;

	sigemptyset(&ours);
	sigaddset(&ours, SIGTERM);
	sigaddset(&ours, SIGINT);
	sigaddset(&ours, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &ours, &h->mask) < 0)
		return -1;
	return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* QEMU ends as it was told to, with its card served to the last; a second time it is killed, and when it takes too long. */
static void on_signal(struct nic_host *h)
{
	struct signalfd_siginfo si;

	if (read(h->signals, &si, sizeof(si)) != sizeof(si))
		return;
	kill(h->pid, h->kill_at_ns ? SIGKILL : SIGTERM);
	if (!h->kill_at_ns)
		h->kill_at_ns = now_ns(h) + END_MS * MF_NS_PER_MS;
}

/* A socket that nobody has open any more, as one of us that was killed leaves it, is in the way. */
static void clear_path(const struct sockaddr_un *un)
{
	struct stat st;
	int fd;

	if (lstat(un->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) && errno == ECONNREFUSED)
		unlink(un->sun_path);
	close(fd);
}

static int open_frames(struct nic_host *h, struct mf_err *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int size = SOCKET_BUFFER, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(un.sun_path, h->w->local, strlen(h->w->local));
	clear_path(&un);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof(un))) {
		int problem = errno;

		if (fd >= 0)
			close(fd);
		return mf_err_set(err, MF_E_IO, "Cannot open the socket %s: %s.", h->w->local,
				  strerror(problem));
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	h->frames = fd;
	return 0;
}

/* ---- QEMU ---- */

static int set_up(struct nic_host *h, struct mf_err *err)
{
	struct mf_qemu_options bus = { .now_ns = now_ns, .meanwhile = meanwhile, .ctx = h };
	struct mf_nic_host host = { .ctx = h,
				    .memory = &h->memory,
				    .frame_out_can = h->w->large
							     ? MF_NIC_CAN_CSUM | MF_NIC_CAN_TSO4 |
								       MF_NIC_CAN_TSO6
							     : 0,
				    .frame_out = frame_out,
				    .set_line = set_line,
				    .send_message = send_message,
				    .log = tell_odd };
	int rc;

	h->queue = malloc(QUEUE_SIZE);
	if (!h->queue)
		return mf_err_set(err, MF_E_NOMEM, "No memory for frames.");
	h->signals = take_signals(h);
	if (h->signals < 0)
		return mf_err_set(err, MF_E_IO, "Cannot wait for signals: %s.", strerror(errno));
	rc = open_frames(h, err);
	if (rc)
		return rc;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, h->link) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, h->qtest))
		return mf_err_set(err, MF_E_IO, "Cannot make sockets: %s.", strerror(errno));
	bus.link_fd = h->link[0];
	bus.qtest_fd = h->qtest[0];
	rc = mf_qemu_new(&bus, &h->memory, &h->qemu, err);
	if (rc == 0)
		rc = makers[h->w->model](h, &host, &h->nic, err);
	if (rc == 0)
		mf_qemu_attach(h->qemu, h->nic);
	return rc;
}

/* In the child. */
static _Noreturn void become_qemu(struct nic_host *h, char **argv, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL); // without its card it would spin
	if (getppid() != parent)
		_exit(MF_EXIT_SETUP);
	sigprocmask(SIG_SETMASK, &h->mask, NULL);
	fcntl(h->link[1], F_SETFD, 0);
	fcntl(h->qtest[1], F_SETFD, 0);
	execvp(argv[0], argv);
	fprintf(stderr, "moonfence: cannot run %s: %s\n", argv[0], strerror(errno));
	_exit(MF_EXIT_SETUP);
}

static int start(struct nic_host *h, struct mf_err *err)
{
	char **argv = calloc((size_t)h->w->command_cnt + ARGUMENTS_EXTRA, sizeof(*argv));
	char device[96], chardev[64];
	pid_t parent = getpid();
	int n = h->w->command_cnt;

	if (!argv)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a command.");
	snprintf(device, sizeof(device), "x-pci-proxy-dev,id=moonfence-card,addr=0x5,fd=%d",
		 h->link[1]);
	snprintf(chardev, sizeof(chardev), "socket,id=qtest,fd=%d", h->qtest[1]);
	memcpy(argv, h->w->command, (size_t)n * sizeof(*argv));
	argv[n++] = (char[]){ "-chardev" };
	argv[n++] = chardev;
	argv[n++] = (char[]){ "-qtest" };
	argv[n++] = (char[]){ "chardev:qtest" };
	argv[n++] = (char[]){ "-qtest-log" };
	argv[n++] = (char[]){ "/dev/null" };
	argv[n++] = (char[]){ "-device" };
	argv[n++] = device;
	h->pid = fork();
	if (h->pid == 0)
		become_qemu(h, argv, parent);
	free(argv);
	if (h->pid < 0)
		return mf_err_set(err, MF_E_IO, "Cannot start QEMU: %s.", strerror(errno));
	close(h->link[1]);
	close(h->qtest[1]);
	h->link[1] = h->qtest[1] = -1;
	return 0;
}

/* Milliseconds until the card wants its tick, rounded up; -1: not at all. */
static int timeout_of(const struct nic_host *h, uint64_t now)
{
	uint64_t at = mf_nic_deadline(h->nic);

	if (h->kill_at_ns && h->kill_at_ns < at)
		at = h->kill_at_ns;
	if (at == UINT64_MAX)
		return -1;
	if (at <= now)
		return 0;
	return at - now > 1000 * MF_NS_PER_MS ? 1000
					      : (int)((at - now + MF_NS_PER_MS - 1) / MF_NS_PER_MS);
}

static int serve(struct nic_host *h, struct mf_err *err)
{
	for (;;) {
		struct pollfd p[] = {
			{ .fd = h->link[0], .events = POLLIN },
			{ .fd = h->qtest[0], .events = POLLIN },
			{ .fd = h->frames,
			  .events = (short)((h->kept_len ? 0 : POLLIN) |
					    (h->queue_to ? POLLOUT : 0)) },
			{ .fd = h->signals, .events = POLLIN },
		};
		uint64_t now = now_ns(h);
		int rc = 0;

		if (poll(p, MF_ARRAY_SIZE(p), timeout_of(h, now)) < 0 && errno != EINTR)
			return mf_err_set(err, MF_E_IO, "Cannot wait: %s.", strerror(errno));
		if (p[3].revents)
			on_signal(h);
		if (h->kill_at_ns && now >= h->kill_at_ns)
			kill(h->pid, SIGKILL);
		if (p[0].revents)
			rc = mf_qemu_serve(h->qemu, err);
		if (rc == 0 && p[1].revents)
			rc = mf_qemu_read_answers(h->qemu, err);
		if (rc)
			return rc;
		if (h->queue_to)
			send_queue(h);
		if (p[2].revents & POLLIN || h->kept_len)
			read_frames(h);
		mf_nic_tick(h->nic, now_ns(h));
	}
}

static void tear_down(struct nic_host *h)
{
	int fds[] = { h->link[0], h->link[1], h->qtest[0], h->qtest[1], h->frames, h->signals };

	if (h->nic && h->w->counts)
		for (unsigned i = 0; i < MF_NIC_COUNT_NUM; i++)
			fprintf(stderr, "%s %llu\n", mf_nic_count_name(i),
				(unsigned long long)h->nic->counts[i]);
	mf_nic_free(h->nic);
	mf_qemu_free(h->qemu);
	for (unsigned i = 0; i < MF_ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (h->frames >= 0) /* bound by us: where somebody else serves, it is his */
		unlink(h->w->local);
	free(h->queue);
	free(h);
}

int mf_nic_host_run(const struct mf_nic_host_wishes *wishes)
{
	struct nic_host *h = calloc(1, sizeof(*h));
	struct mf_err err = { 0 };
	int status = MF_EXIT_SETUP, rc, wstatus;

	if (!h)
		return MF_EXIT_SETUP;
	h->w = wishes;
	h->link[0] = h->link[1] = h->qtest[0] = h->qtest[1] = h->frames = h->signals = -1;
	rc = set_up(h, &err);
	if (rc == 0)
		rc = start(h, &err);
	if (rc == 0)
		rc = serve(h, &err);
	if (rc != MF_E_CLOSED) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
		if (h->pid > 0)
			kill(h->pid, SIGKILL);
	}
	if (h->pid > 0 && waitpid(h->pid, &wstatus, 0) == h->pid && rc == MF_E_CLOSED)
		status = WIFEXITED(wstatus) ? WEXITSTATUS(wstatus) : 128 + WTERMSIG(wstatus);
	tear_down(h);
	return status;
}
