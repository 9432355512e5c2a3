/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock_win32.c - sockets of Winsock; no pipes that could be spliced
 *
 * A SOCKET is a kernel handle: an index with 32 significant bits, whatever its type's width, so that it fits an int, as
 * OpenSSL and others have it. What would not fit is refused where sockets are made (take()).
 */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <afunix.h>
#include <limits.h>
#include <mstcpip.h>
#include <mswsock.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/base/err.h"
#include "core/base/win32.h"
#include "proxies/sock.h"

#ifndef SIO_UDP_CONNRESET
#define SIO_UDP_CONNRESET _WSAIOW(IOC_VENDOR, 12)
#endif

enum {
	KEEPALIVE_IDLE_MS = 120000,
	KEEPALIVE_INTERVAL_MS = 10000,
};

static SOCKET socket_of(int fd)
{
	return (SOCKET)(intptr_t)fd;
}

static int error_of(int err)
{
	switch (err) {
	case WSAEWOULDBLOCK:
	case WSAEINTR:
	case WSAECONNRESET: /* of accept(): gone before it was taken */
	case WSAECONNABORTED:
		return MF_E_AGAIN;
	case WSAEMFILE:
	case WSAENOBUFS:
	case WSA_NOT_ENOUGH_MEMORY:
		return MF_E_FULL;
	default:
		return MF_E_IO;
	}
}

static void set_int(int fd, int level, int name, int value)
{
	/* every caller can live without it */
	(void)setsockopt(socket_of(fd), level, name, (const char *)&value, sizeof(value));
}

static void close_keeping_error(SOCKET s)
{
	int err = WSAGetLastError();

	closesocket(s);
	WSASetLastError(err);
}

/* A new socket for us: non-blocking, in no child's hands. */
static int take(SOCKET s)
{
	unsigned long on = 1;

	if (s == INVALID_SOCKET)
		return error_of(WSAGetLastError());
	if (s > INT_MAX) {
		closesocket(s);
		WSASetLastError(WSAEMFILE);
		return MF_E_FULL;
	}
	if (ioctlsocket(s, FIONBIO, &on) != 0) {
		close_keeping_error(s);
		return MF_E_IO;
	}
	/* for those of accept(), which takes no flags */
	(void)SetHandleInformation((HANDLE)s, HANDLE_FLAG_INHERIT, 0);
	return (int)s;
}

static int make(int family, int type, int proto)
{
	return take(WSASocketW(family, type, proto, NULL, 0,
			       WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT));
}

int mf_sock_start(void)
{
	WSADATA data;

	/* counted by Winsock, and never ended: sockets live as long as the process */
	return WSAStartup(MAKEWORD(2, 2), &data) == 0 ? 0 : MF_E_UNSUPPORTED;
}

void mf_sock_prepare_listener(int fd)
{
	struct tcp_keepalive alive = { 1, KEEPALIVE_IDLE_MS, KEEPALIVE_INTERVAL_MS };
	DWORD len;

	set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	(void)WSAIoctl(socket_of(fd), SIO_KEEPALIVE_VALS, &alive, sizeof(alive), NULL, 0, &len,
		       NULL, NULL);
}

void mf_sock_prepare_udp(int fd)
{
	DWORD off = 0, len;

	/* whichever of the two fits the socket's family */
	set_int(fd, IPPROTO_IP, IP_PKTINFO, 1);
	set_int(fd, IPPROTO_IPV6, IPV6_PKTINFO, 1);
	/* an answer that nobody wanted would make the next receive fail */
	(void)WSAIoctl(socket_of(fd), SIO_UDP_CONNRESET, &off, sizeof(off), NULL, 0, &len, NULL,
		       NULL);
}

int mf_sock_listen(const struct mf_endpoint *at, bool tcp, int backlog)
{
	struct sockaddr_storage ss;
	int len = (int)mf_endpoint_to_sockaddr(at, false, &ss), fd;

	if (len == 0) {
		WSASetLastError(WSAEAFNOSUPPORT);
		return MF_E_IO;
	}
	fd = make(ss.ss_family, tcp ? SOCK_STREAM : SOCK_DGRAM, tcp ? IPPROTO_TCP : IPPROTO_UDP);
	if (fd < 0)
		return fd;
	/* nobody else may bind to the same port and take what is meant for us */
	set_int(fd, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
	if (ss.ss_family == AF_INET6)
		set_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
	if (bind(socket_of(fd), (struct sockaddr *)&ss, len) != 0 ||
	    (tcp && listen(socket_of(fd), backlog) != 0)) {
		close_keeping_error(socket_of(fd));
		return MF_E_IO;
	}
	return fd;
}

int mf_sock_accept(int listener, struct mf_endpoint *ret_client)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss);
	int fd = take(accept(socket_of(listener), (struct sockaddr *)&ss, &len));

	if (fd < 0)
		return fd;
	mf_sock_prepare_listener(fd);
	if (!mf_endpoint_from_sockaddr(ret_client, (struct sockaddr *)&ss))
		memset(ret_client, 0, sizeof(*ret_client));
	return fd;
}

bool mf_sock_local(int fd, struct mf_endpoint *ret)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss);

	return getsockname(socket_of(fd), (struct sockaddr *)&ss, &len) == 0 &&
	       mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&ss);
}

bool mf_sock_peer(int fd, struct mf_endpoint *ret)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss);

	return getpeername(socket_of(fd), (struct sockaddr *)&ss, &len) == 0 &&
	       mf_endpoint_from_sockaddr(ret, (struct sockaddr *)&ss);
}

static int start_connect(int fd, const struct sockaddr *sa, int len)
{
	if (fd < 0)
		return fd;
	if (connect(socket_of(fd), sa, len) != 0 && WSAGetLastError() != WSAEWOULDBLOCK) {
		close_keeping_error(socket_of(fd));
		return MF_E_IO;
	}
	return fd;
}

int mf_sock_dial(const struct mf_endpoint *to)
{
	struct sockaddr_storage ss;
	int len = (int)mf_endpoint_to_sockaddr(to, false, &ss), fd;

	if (len == 0) {
		WSASetLastError(WSAEAFNOSUPPORT);
		return MF_E_IO;
	}
	fd = make(ss.ss_family, SOCK_STREAM, IPPROTO_TCP);
	if (fd >= 0)
		set_int(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return start_connect(fd, (struct sockaddr *)&ss, len);
}

int mf_sock_dial_unix(const char *path)
{
	SOCKADDR_UN sun = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if (len == 0 || len >= sizeof(sun.sun_path)) {
		WSASetLastError(WSAENAMETOOLONG);
		return MF_E_IO;
	}
	memcpy(sun.sun_path, path, len + 1);
	return start_connect(make(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&sun, sizeof(sun));
}

int mf_sock_error(int fd)
{
	int err = 0, len = sizeof(err);

	if (getsockopt(socket_of(fd), SOL_SOCKET, SO_ERROR, (char *)&err, &len) != 0)
		return WSAGetLastError();
	return err;
}

int mf_sock_last_error(void)
{
	return WSAGetLastError();
}

/* What events say must not depend on the system, where the systems mean the same. */
const char *mf_sock_error_text(int err)
{
	static const struct {
		int err;
		const char *text;
	} texts[] = {
		{ WSAECONNREFUSED, "Connection refused" },
		{ WSAETIMEDOUT, "Connection timed out" },
		{ WSAENETUNREACH, "Network is unreachable" },
		{ WSAEHOSTUNREACH, "No route to host" },
		{ WSAENETDOWN, "Network is down" },
		{ WSAEHOSTDOWN, "Host is down" },
		{ WSAECONNRESET, "Connection reset by peer" },
		{ WSAECONNABORTED, "Software caused connection abort" },
		{ WSAEACCES, "Permission denied" },
		{ WSAEADDRNOTAVAIL, "Cannot assign requested address" },
		{ WSAEADDRINUSE, "Address already in use" },
		{ WSAEAFNOSUPPORT, "Address family not supported by protocol" },
		{ WSAENAMETOOLONG, "File name too long" },
		{ WSAEINVAL, "Invalid argument" },
		{ WSAENOBUFS, "No buffer space available" },
		{ WSAEMFILE, "Too many open files" },
	};
	static _Thread_local char other[320];

	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++)
		if (texts[i].err == err)
			return texts[i].text;
	return mf_win32_message((unsigned long)err, other, sizeof(other));
}

static ssize_t receive(int fd, void *buf, size_t len, int flags)
{
	int n = recv(socket_of(fd), buf, len < INT_MAX ? (int)len : INT_MAX, flags), err;

	if (n >= 0)
		return n;
	err = WSAGetLastError();
	return err == WSAEWOULDBLOCK || err == WSAEINTR ? MF_E_AGAIN : MF_E_CLOSED;
}

ssize_t mf_sock_recv(int fd, void *buf, size_t len)
{
	return receive(fd, buf, len, 0);
}

ssize_t mf_sock_peek(int fd, void *buf, size_t len)
{
	return receive(fd, buf, len, MSG_PEEK);
}

ssize_t mf_sock_send(int fd, const void *buf, size_t len)
{
	int n = send(socket_of(fd), buf, len < INT_MAX ? (int)len : INT_MAX, 0), err;

	if (n >= 0)
		return n;
	err = WSAGetLastError();
	/* not connected: still dialling, or the dialling failed, which the loop tells */
	return err == WSAEWOULDBLOCK || err == WSAEINTR || err == WSAENOTCONN ? MF_E_AGAIN
									      : MF_E_CLOSED;
}

ssize_t mf_sock_send_last(int fd, const void *buf, size_t len)
{
	return mf_sock_send(fd, buf, len);
}

void mf_sock_shutdown_write(int fd)
{
	(void)shutdown(socket_of(fd), SD_SEND);
}

void mf_sock_reset(int fd)
{
	struct linger l = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(socket_of(fd), SOL_SOCKET, SO_LINGER, (const char *)&l, sizeof(l));
	closesocket(socket_of(fd));
}

void mf_sock_close(int fd)
{
	closesocket(socket_of(fd));
}

bool mf_sock_set_fragments(int fd, enum mf_sock_fragments how)
{
	(void)fd;
	(void)how;
	return false;
}

bool mf_sock_same_place(int fd_a, int fd_b)
{
	(void)fd_a;
	(void)fd_b;
	return true;
}

int mf_sock_open_udp(const struct mf_endpoint *to)
{
	struct sockaddr_storage ss;
	int len = (int)mf_endpoint_to_sockaddr(to, false, &ss);

	if (len == 0) {
		WSASetLastError(WSAEAFNOSUPPORT);
		return MF_E_IO;
	}
	return start_connect(make(ss.ss_family, SOCK_DGRAM, IPPROTO_UDP), (struct sockaddr *)&ss,
			     len);
}

int mf_sock_open_udp_any(const struct mf_endpoint *to)
{
	if (!to->addr.family) {
		WSASetLastError(WSAEAFNOSUPPORT);
		return MF_E_IO;
	}
	return make(to->addr.family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM, IPPROTO_UDP);
}

bool mf_sock_take_udp_error(int fd, struct mf_endpoint *ret_to)
{
	(void)fd;
	(void)ret_to;
	return false;
}

/* --- datagrams of many ---------------------------------------------------------------------------------------------- */

/* WSARecvMsg is the provider's; there is one provider for IP. */
static LPFN_WSARECVMSG recv_msg_of(int fd)
{
	static _Atomic(LPFN_WSARECVMSG) known;
	LPFN_WSARECVMSG fn = atomic_load(&known);
	GUID id = WSAID_WSARECVMSG;
	DWORD len;

	if (!fn && WSAIoctl(socket_of(fd), SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof(id), &fn,
			    sizeof(fn), &len, NULL, NULL) == 0)
		atomic_store(&known, fn);
	return fn;
}

/* Room for one packet information of either family. */
union control {
	WSACMSGHDR align;
	char bytes[WSA_CMSG_SPACE(sizeof(IN6_PKTINFO))];
};

static void read_local(WSAMSG *mh, struct mf_addr *ret)
{
	for (WSACMSGHDR *c = WSA_CMSG_FIRSTHDR(mh); c; c = WSA_CMSG_NXTHDR(mh, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			IN_PKTINFO info;

			memcpy(&info, WSA_CMSG_DATA(c), sizeof(info));
			mf_addr_from_bytes(ret, (const uint8_t *)&info.ipi_addr, 4);
		} else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			IN6_PKTINFO info;

			memcpy(&info, WSA_CMSG_DATA(c), sizeof(info));
			mf_addr_from_bytes(ret, (const uint8_t *)&info.ipi6_addr, 16);
		}
	}
}

/* Return: false when there is none now */
static bool recv_one(int fd, const struct mf_endpoint *bound, struct mf_datagram *d)
{
	LPFN_WSARECVMSG recv_msg = recv_msg_of(fd);
	struct sockaddr_storage from;
	union control control;
	WSABUF buf = { .len = (ULONG)d->room, .buf = (char *)d->buf };
	WSAMSG mh = { .name = (struct sockaddr *)&from,
		      .namelen = sizeof(from),
		      .lpBuffers = &buf,
		      .dwBufferCount = 1,
		      .Control = { .len = sizeof(control), .buf = control.bytes } };
	DWORD n = 0;

	d->cut = false;
	if (!recv_msg)
		return false;
	if (recv_msg(socket_of(fd), &mh, &n, NULL, NULL) != 0) {
		if (WSAGetLastError() != WSAEMSGSIZE)
			return false;
		d->cut = true;
	}
	memset(&d->client, 0, sizeof(d->client));
	d->server = *bound;
	(void)mf_endpoint_from_sockaddr(&d->client, (struct sockaddr *)&from);
	read_local(&mh, &d->server.addr);
	d->len = n;
	d->cut |= (mh.dwFlags & MSG_TRUNC) != 0;
	return true;
}

size_t mf_sock_recv_from(int fd, struct mf_datagram *dgrams, size_t cnt)
{
	struct mf_endpoint bound = { 0 };
	size_t n = 0;

	(void)mf_sock_local(fd, &bound);
	while (n < cnt && recv_one(fd, &bound, &dgrams[n]))
		n++;
	return n;
}

/* Control data that makes @from the source, in the form of the socket's family; Return: its length */
static ULONG put_source(const struct mf_endpoint *from, bool in6, union control *control)
{
	WSACMSGHDR *c = &control->align;
	struct sockaddr_storage ss;

	memset(control, 0, sizeof(*control));
	if (mf_endpoint_to_sockaddr(from, in6, &ss) == 0)
		return 0;
	if (ss.ss_family == AF_INET) {
		IN_PKTINFO info = { .ipi_addr = ((struct sockaddr_in *)&ss)->sin_addr };

		*c = (WSACMSGHDR){ .cmsg_level = IPPROTO_IP,
				   .cmsg_type = IP_PKTINFO,
				   .cmsg_len = WSA_CMSG_LEN(sizeof(info)) };
		memcpy(WSA_CMSG_DATA(c), &info, sizeof(info));
		return (ULONG)WSA_CMSG_SPACE(sizeof(info));
	}
	IN6_PKTINFO info6 = { .ipi6_addr = ((struct sockaddr_in6 *)&ss)->sin6_addr };

	*c = (WSACMSGHDR){ .cmsg_level = IPPROTO_IPV6,
			   .cmsg_type = IPV6_PKTINFO,
			   .cmsg_len = WSA_CMSG_LEN(sizeof(info6)) };
	memcpy(WSA_CMSG_DATA(c), &info6, sizeof(info6));
	return (ULONG)WSA_CMSG_SPACE(sizeof(info6));
}

static bool is_any(const struct mf_addr *addr)
{
	static const uint8_t none[16];

	return memcmp(addr->bytes, none, sizeof(none)) == 0;
}

int mf_sock_send_to(int fd, const struct mf_endpoint *from, const struct mf_endpoint *to,
		    const void *buf, size_t len)
{
	struct sockaddr_storage bound = { 0 }, ss;
	int bound_len = sizeof(bound);
	struct mf_endpoint at;
	union control control;
	WSABUF data = { .len = (ULONG)len, .buf = (char *)(uintptr_t)buf };
	WSAMSG mh = { .name = (struct sockaddr *)&ss, .lpBuffers = &data, .dwBufferCount = 1 };
	bool in6;
	DWORD n;

	if (getsockname(socket_of(fd), (struct sockaddr *)&bound, &bound_len) != 0)
		return MF_E_CLOSED;
	in6 = bound.ss_family == AF_INET6;
	mh.namelen = (int)mf_endpoint_to_sockaddr(to, in6, &ss);
	/* a socket that is bound to an address answers from there anyway */
	if (mf_endpoint_from_sockaddr(&at, (struct sockaddr *)&bound) && is_any(&at.addr) &&
	    from->addr.family == to->addr.family && !is_any(&from->addr)) {
		mh.Control.buf = control.bytes;
		mh.Control.len = put_source(from, in6, &control);
	}
	if (WSASendMsg(socket_of(fd), &mh, 0, &n, NULL, NULL) == 0)
		return 0;
	return WSAGetLastError() == WSAEWOULDBLOCK ? MF_E_AGAIN : MF_E_CLOSED;
}

void mf_sock_send_many(int fd, const struct mf_datagram *dgrams, size_t cnt)
{
	for (size_t i = 0; i < cnt; i++)
		(void)mf_sock_send_to(fd, &dgrams[i].server, &dgrams[i].client, dgrams[i].buf,
				      dgrams[i].len);
}

/* --- pipes: there are none ------------------------------------------------------------------------------------------ */

int mf_pipe_open(struct mf_pipe *ret, size_t size)
{
	(void)ret;
	(void)size;
	return MF_E_UNSUPPORTED;
}

void mf_pipe_close(struct mf_pipe *pipe)
{
	(void)pipe;
}

ssize_t mf_pipe_fill(struct mf_pipe *pipe, int fd, size_t len)
{
	(void)pipe;
	(void)fd;
	(void)len;
	return MF_E_CLOSED;
}

ssize_t mf_pipe_drain(struct mf_pipe *pipe, int fd, size_t len, bool more)
{
	(void)pipe;
	(void)fd;
	(void)len;
	(void)more;
	return MF_E_CLOSED;
}

int mf_sock_share(int fd)
{
	(void)fd;
	return MF_E_UNSUPPORTED;
}

int mf_sock_listen_beside(int fd, int backlog)
{
	(void)fd;
	(void)backlog;
	return MF_E_UNSUPPORTED;
}
