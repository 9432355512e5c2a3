/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sock.h - what the proxies want of an operating system's sockets and pipes; one file per system implements it
 *
 * A descriptor is an int on every system (sock_win32.c says why that holds for Windows' SOCKET).
 * All descriptors are non-blocking and closed on exec. Functions that return a descriptor return it or MF_E_AGAIN (nothing
 * there now), MF_E_FULL (out of descriptors or memory), MF_E_IO; mf_sock_last_error() keeps the reason.
 */
#ifndef MF_PROXIES_SOCK_H
#define MF_PROXIES_SOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "core/base/addr.h"

/**
 * mf_sock_start() - Before anything else here, and before an event loop is made; any number of times
 * SIGPIPE is ignored from now on, where there is such a thing. Return: 0, MF_E_UNSUPPORTED
 */
int mf_sock_start(void);

/**
 * mf_sock_listen() - A listener, or a UDP socket, of our own: nobody else can bind to its port
 * @at: port 0 takes any that is free; "::" takes both families
 */
int mf_sock_listen(const struct mf_endpoint *at, bool tcp, int backlog);
/**
 * mf_sock_listen_beside() - Another TCP listener of this process at the place of @fd, whose new connections are shared out among them
 * Linux: by their addresses (SO_REUSEPORT); the port stays ours as long as we are the only ones of our user who ask for it in this way.
 */
int mf_sock_listen_beside(int fd, int backlog);
/** mf_sock_share() - Another descriptor of the same socket; MF_E_UNSUPPORTED where there is none */
int mf_sock_share(int fd);
/** mf_sock_prepare_listener() - Options that accepted connections inherit: no Nagle, keep-alive probes */
void mf_sock_prepare_listener(int fd);
int mf_sock_accept(int listener, struct mf_endpoint *ret_client);
/** mf_sock_local() - The socket's own address; Return: false for a family that is not IP */
bool mf_sock_local(int fd, struct mf_endpoint *ret);
/** mf_sock_peer() - The same of the other end; false where there is none */
bool mf_sock_peer(int fd, struct mf_endpoint *ret);

/** mf_sock_dial() - Begin to connect; the result shows when the socket becomes writable (mf_sock_error()) */
int mf_sock_dial(const struct mf_endpoint *to);
int mf_sock_dial_unix(const char *path);
/**
 * mf_sock_set_source() - From now on what is dialled, and UDP sockets, speak from this address of the system's: one a family
 * Destinations on loopback are spoken to as before. Not on Windows. Of the whole process; before the first socket.
 */
void mf_sock_set_source(const struct mf_addr *addr);
/** mf_sock_error() - The pending error, a number of the system's, 0 for none */
int mf_sock_error(int fd);
/** mf_sock_last_error() - Why the last function of this header failed; valid until the next system call */
int mf_sock_last_error(void);
/** mf_sock_error_text() - An error number in words, the same on every system where it means the same */
const char *mf_sock_error_text(int err);

/** mf_sock_recv(), mf_sock_send() - Bytes moved; 0 at the end (recv); MF_E_AGAIN; MF_E_CLOSED for any error */
ssize_t mf_sock_recv(int fd, void *buf, size_t len);
/** mf_sock_peek() - The same, and the bytes stay where they are */
ssize_t mf_sock_peek(int fd, void *buf, size_t len);
ssize_t mf_sock_send(int fd, const void *buf, size_t len);
/** mf_sock_send_last() - The same, and it may wait for mf_sock_shutdown_write(), which follows at once */
ssize_t mf_sock_send_last(int fd, const void *buf, size_t len);
void mf_sock_shutdown_write(int fd);
/** mf_sock_reset() - Close with a TCP reset at once, whatever is still unsent */
void mf_sock_reset(int fd);
void mf_sock_close(int fd);
/** mf_sock_same_place() - Whether two sockets live in one network namespace; true where that cannot be told */
bool mf_sock_same_place(int fd_a, int fd_b);

/** mf_sock_open_udp() - A UDP socket connected to @to, so that nobody else is heard; a fresh random port */
int mf_sock_open_udp(const struct mf_endpoint *to);
/** mf_sock_open_udp_any() - One that reaches @to with mf_sock_send_to() and hears everybody: its owner looks who speaks */
int mf_sock_open_udp_any(const struct mf_endpoint *to);
/**
 * mf_sock_take_udp_error() - What the network said of a datagram of such a socket (ICMP); *@ret_to: where it went
 * Return: false: nothing (more), or this system does not tell
 */
bool mf_sock_take_udp_error(int fd, struct mf_endpoint *ret_to);

/** mf_sock_prepare_udp() - From now on each datagram of @fd tells where it arrived, as far as the system can */
void mf_sock_prepare_udp(int fd);

/* One datagram with the addresses of both ends. */
struct mf_datagram {
	struct mf_endpoint client, server;
	uint8_t *buf;
	size_t len, room;
	bool cut; /* was longer than room */
};

/**
 * mf_sock_recv_from() - Up to @cnt datagrams of a capture's socket with where they arrived: with TPROXY the original
 * destinations, otherwise addresses of ours
 * Return: how many; 0 when there are none now
 */
size_t mf_sock_recv_from(int fd, struct mf_datagram *dgrams, size_t cnt);
/**
 * mf_sock_send_to() - Answer on the socket that received
 * @from: where the client's datagram arrived, an address of ours: the answer comes from there, also where the socket is
 *        bound to none; its port is the socket's
 * Return: 0, MF_E_AGAIN, MF_E_CLOSED
 */
int mf_sock_send_to(int fd, const struct mf_endpoint *from, const struct mf_endpoint *to,
		    const void *buf, size_t len);

/** mf_sock_send_many() - The same for @cnt datagrams, from .server to .client each; what the socket does not take now is lost */
void mf_sock_send_many(int fd, const struct mf_datagram *dgrams, size_t cnt);

/* What becomes of datagrams that are longer than a link takes. */
enum mf_sock_fragments {
	MF_SOCK_FRAGMENTS_DEFAULT, /* by the sender, once routers have said so; none says it may take them apart itself */
	MF_SOCK_FRAGMENTS_NEVER,  /* lost, whatever is known of the path: probes (RFC 8899 4.1) */
	MF_SOCK_FRAGMENTS_ALWAYS, /* taken apart, by us or by whoever must */
};

/** mf_sock_set_fragments() - Of all that @fd sends from now on; Return: false: not on this system */
bool mf_sock_set_fragments(int fd, enum mf_sock_fragments how);

/* A kernel buffer that bytes pass through without being copied. */
struct mf_pipe {
	struct mf_pipe *next; /* in the pool */
	int rd, wr;
};

/** mf_pipe_open() - @size: wished for, bytes; Return: 0, MF_E_FULL, MF_E_UNSUPPORTED (no such thing on this system) */
int mf_pipe_open(struct mf_pipe *ret, size_t size);
void mf_pipe_close(struct mf_pipe *pipe);
/** mf_pipe_fill(), mf_pipe_drain() - Socket to pipe, pipe to socket; results as mf_sock_recv() */
ssize_t mf_pipe_fill(struct mf_pipe *pipe, int fd, size_t len);
ssize_t mf_pipe_drain(struct mf_pipe *pipe, int fd, size_t len, bool more);

#endif
