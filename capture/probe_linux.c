/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_linux.c - the proof, before each session, that what the command sends arrives at the listeners
 *
 * The command's process connects to addresses that nobody has, and asks resolvers that do not exist; the caller sees
 * each arrive with that destination and with this session's nonce, and answers. An answer in turn proves that replies
 * find their way, with the address that the command expects.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "capture/internal_linux.h"

struct target {
	const char *addr;
	uint16_t port;
	enum mf_proto proto;
	const char *name; /* for messages */
};

static const struct target targets[] = {
	[MF_CAPTURE_PROBE_TCP4] = { MF_CAPTURE_PROBE4, MF_CAPTURE_PROBE_TCP_PORT, MF_TCP,
				    "TCP over IPv4" },
	[MF_CAPTURE_PROBE_UDP4] = { MF_CAPTURE_PROBE4, MF_CAPTURE_PROBE_UDP_PORT, MF_UDP,
				    "DNS over IPv4" },
	[MF_CAPTURE_PROBE_LOOPBACK_DNS] = { MF_CAPTURE_PROBE_RESOLVER, MF_CAPTURE_PROBE_UDP_PORT,
					    MF_UDP, "DNS to a loopback resolver" },
	[MF_CAPTURE_PROBE_TCP6] = { MF_CAPTURE_PROBE6, MF_CAPTURE_PROBE_TCP_PORT, MF_TCP,
				    "TCP over IPv6" },
	[MF_CAPTURE_PROBE_UDP6] = { MF_CAPTURE_PROBE6, MF_CAPTURE_PROBE_UDP_PORT, MF_UDP,
				    "DNS over IPv6" },
};
_Static_assert(MF_ARRAY_SIZE(targets) == MF_CAPTURE_PROBE_NUM, "a target per probe");

#define QUERY_MAX 96

static struct mf_endpoint target_endpoint(const struct target *t)
{
	struct mf_endpoint ep = { .port = t->port };

	(void)mf_addr_parse(t->addr, strlen(t->addr), &ep.addr);
	return ep;
}

/* A DNS query for NONCE.probe.moonfence.invalid, type A (RFC 1035 section 4); Return: its length */
static size_t make_query(const uint8_t nonce[16], uint8_t out[QUERY_MAX])
{
	static const char tail[] = "\5probe\11moonfence\7invalid\0\0\1\0\1";
	uint8_t *at = out;

	memcpy(at, nonce, 2);
	memcpy(at + 2, "\1\0\0\1\0\0\0\0\0\0", 10);
	at += 12;
	*at++ = 32;
	for (int i = 0; i < 16; i++) {
		*at++ = (uint8_t) "0123456789abcdef"[nonce[i] >> 4];
		*at++ = (uint8_t) "0123456789abcdef"[nonce[i] & 15];
	}
	memcpy(at, tail, sizeof(tail) - 1);
	return (size_t)(at - out) + sizeof(tail) - 1;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* In the command                                                                                                   */

static int probe_failed(const struct target *t, const char *what, struct mf_err *err)
{
	return mf_err_set(err, MF_E_IO, "the probe of %s failed: %s: %s", t->name, what,
			  errno ? strerror(errno) : "wrong answer");
}

static int exchange(const struct mf_capture_plan *plan, const struct target *t, int fd,
		    struct mf_err *err)
{
	uint8_t query[QUERY_MAX], answer[QUERY_MAX] = { 0 };
	size_t len = t->proto == MF_TCP ? sizeof(plan->nonce) : make_query(plan->nonce, query);
	ssize_t n;

	if (t->proto == MF_TCP)
		memcpy(query, plan->nonce, len);
	if (send(fd, query, len, MSG_NOSIGNAL) != (ssize_t)len)
		return probe_failed(t, "cannot send", err);
	do
		n = recv(fd, answer, sizeof(answer), 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return probe_failed(t, "no answer", err);
	/* The answer is the question with its third byte's highest bit turned: QR in DNS. */
	query[2] ^= 0x80;
	errno = 0;
	if (n != (ssize_t)len || memcmp(query, answer, len) != 0)
		return probe_failed(t, "cannot be used", err);
	return 0;
}

static int send_one(const struct mf_capture_plan *plan, const struct target *t, struct mf_err *err)
{
	struct mf_endpoint ep = target_endpoint(t);
	struct sockaddr_storage sa;
	size_t sa_len = mf_endpoint_to_sockaddr(&ep, false, &sa);
	int fd = socket(sa.ss_family,
			(t->proto == MF_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return probe_failed(t, "no socket", err);
	if (connect(fd, (struct sockaddr *)&sa, (socklen_t)sa_len) < 0)
		r = probe_failed(t, "cannot connect", err);
	else
		r = exchange(plan, t, fd, err);
	close(fd);
	return r;
}

/* A server and a client on loopback, both here: this must not go to the listeners. */
static int check_loopback(struct mf_err *err)
{
	struct sockaddr_in here = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(here);
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), taken = -1, r = 0;

	if (server < 0 || client < 0 || bind(server, (struct sockaddr *)&here, len) < 0 ||
	    listen(server, 1) < 0 || getsockname(server, (struct sockaddr *)&here, &len) < 0 ||
	    connect(client, (struct sockaddr *)&here, len) < 0 ||
	    (taken = accept4(server, NULL, NULL, SOCK_CLOEXEC)) < 0)
		r = mf_err_set(err, MF_E_IO, "loopback does not work inside the session: %s",
			       strerror(errno));
	close(server);
	close(client);
	close(taken);
	return r;
}

int mf_capture_probe_send(const struct mf_capture_plan *plan, struct mf_err *err)
{
	int r = check_loopback(err);

	for (int i = 0; r == 0 && i < MF_CAPTURE_PROBE_NUM; i++)
		if (plan->has6 || (i != MF_CAPTURE_PROBE_TCP6 && i != MF_CAPTURE_PROBE_UDP6))
			r = send_one(plan, &targets[i], err);
	return r;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* In the caller                                                                                                    */

static int find_target(enum mf_proto proto, const struct mf_endpoint *ep)
{
	for (int i = 0; i < MF_CAPTURE_PROBE_NUM; i++) {
		struct mf_endpoint t = target_endpoint(&targets[i]);

		if (targets[i].proto == proto && t.port == ep->port &&
		    mf_addr_eq(&t.addr, &ep->addr))
			return i;
	}
	return -1;
}

static int not_a_probe(const char *proto, const struct mf_endpoint *ep, struct mf_err *err)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	return mf_err_set(err, MF_E_IO,
			  "a %s probe arrived with the wrong destination or content, as if for %s",
			  proto, mf_endpoint_format(ep, text, sizeof(text)));
}

/* The nonce comes right behind the handshake; with a TUN device we carry its packets ourselves meanwhile. */
static bool read_nonce(struct mf_capture *cap, int fd, uint8_t nonce[16])
{
	uint64_t deadline = mf_clock_now(&mf_clock_system) + 10 * MF_NS_PER_S;
	struct pollfd p[] = { { fd, POLLIN, 0 }, { mf_capture_packet_fd(cap), POLLIN, 0 } };
	size_t have = 0;

	while (have < 16) {
		uint64_t now = mf_clock_now(&mf_clock_system);
		ssize_t n;

		while (mf_capture_run_packets(cap) > 0)
			;
		n = recv(fd, nonce + have, 16 - have, MSG_DONTWAIT);
		if (n > 0)
			have += (size_t)n;
		else if (n == 0 || (errno != EAGAIN && errno != EINTR) || now >= deadline)
			return false;
		else
			(void)poll(p, 2, (int)((deadline - now) / MF_NS_PER_MS) + 1);
	}
	return true;
}

static bool find_server(struct mf_capture *cap, enum mf_proto proto, const struct sockaddr *peer,
			const struct mf_endpoint *local, struct mf_session_flow *ret)
{
	struct mf_endpoint from = { 0 };

	memset(ret, 0, sizeof(*ret));
	return mf_endpoint_from_sockaddr(&from, peer) &&
	       mf_capture_find_flow(cap, proto, &from, local, ret) == 0;
}

int mf_capture_probe_take_tcp(struct mf_capture *cap, unsigned *seen, struct mf_err *err)
{
	struct sockaddr_storage sa, peer;
	socklen_t len = sizeof(sa), peer_len = sizeof(peer);
	struct mf_endpoint local = { 0 };
	struct mf_session_flow flow = { 0 };
	uint8_t nonce[16];
	int fd = accept4(cap->fd[MF_CAPTURE_FD_TCP], (struct sockaddr *)&peer, &peer_len,
			 SOCK_CLOEXEC);
	int which = -1, r = 0;

	if (fd < 0)
		return 0;
	if (getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
	    mf_endpoint_from_sockaddr(&local, (struct sockaddr *)&sa) &&
	    find_server(cap, MF_TCP, (struct sockaddr *)&peer, &local, &flow))
		which = find_target(MF_TCP, &flow.server);
	if (which < 0 || !read_nonce(cap, fd, nonce) ||
	    memcmp(nonce, cap->plan.nonce, sizeof(nonce)) != 0) {
		r = not_a_probe("TCP", &flow.server, err);
	} else {
		nonce[2] ^= 0x80;
		if (send(fd, nonce, sizeof(nonce), MSG_NOSIGNAL) == sizeof(nonce))
			*seen |= 1u << which;
	}
	close(fd);
	return r;
}

static void read_original(struct msghdr *h, struct mf_endpoint *ret)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) ||
		    (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR)) {
			struct sockaddr_storage sa = { 0 };
			size_t n = c->cmsg_len - CMSG_LEN(0);

			memcpy(&sa, CMSG_DATA(c), n < sizeof(sa) ? n : sizeof(sa));
			(void)mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&sa);
		}
	}
}

/* On a socket that speaks for the server, or through the listener, whose datagrams the pipeline rewrites */
static bool answer(struct mf_capture *cap, const struct mf_session_flow *flow,
		   const struct msghdr *from, const uint8_t *text, size_t len)
{
	int fd = mf_capture_ops_open_udp(cap, flow);
	ssize_t n;

	if (fd == MF_E_UNSUPPORTED)
		return sendto(cap->fd[MF_CAPTURE_FD_UDP], text, len, MSG_DONTWAIT, from->msg_name,
			      from->msg_namelen) == (ssize_t)len;
	if (fd < 0)
		return false;
	n = send(fd, text, len, 0);
	close(fd);
	return n == (ssize_t)len;
}

int mf_capture_probe_take_udp(struct mf_capture *cap, unsigned *seen, struct mf_err *err)
{
	uint8_t query[QUERY_MAX], got[QUERY_MAX];
	char control[256] __attribute__((aligned(8)));
	struct sockaddr_storage from;
	struct iovec iov = { got, sizeof(got) };
	struct msghdr h = { .msg_name = &from,
			    .msg_namelen = sizeof(from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct mf_session_flow flow = { .proto = MF_UDP };
	struct mf_endpoint local = { 0 };
	size_t len = make_query(cap->plan.nonce, query);
	ssize_t n = recvmsg(cap->fd[MF_CAPTURE_FD_UDP], &h, MSG_DONTWAIT);
	int which = -1;

	if (n < 0)
		return 0;
	read_original(&h, &local);
	if (find_server(cap, MF_UDP, (struct sockaddr *)&from, &local, &flow))
		which = find_target(MF_UDP, &flow.server);
	if (which < 0 || n != (ssize_t)len || memcmp(got, query, len) != 0)
		return not_a_probe("UDP", &flow.server, err);
	query[2] ^= 0x80;
	if (!answer(cap, &flow, &h, query, len))
		return mf_err_set(err, MF_E_IO, "cannot answer the UDP probe of %s: %s",
				  targets[which].name, strerror(errno));
	*seen |= 1u << which;
	return 0;
}
