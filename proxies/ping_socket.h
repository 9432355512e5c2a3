/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ping_socket.h - echo requests to one host, by a socket that needs no privilege where the system allows that
 *
 * Linux: a ping socket (icmp(7), net.ipv4.ping_group_range); where those are forbidden, a raw one, with CAP_NET_RAW. Both
 * speak from mf_sock_set_source()'s address and hear of ICMP errors about what they sent. Elsewhere there is none (yet).
 */
#ifndef MF_PROXIES_PING_SOCKET_H
#define MF_PROXIES_PING_SOCKET_H

#include "core/policy/session.h"

struct mf_ping_socket {
	int fd;
	struct mf_addr to;
	bool raw;
	uint16_t id; /* that the request has on its way; 0: the kernel's affair */
};

/* What came back. */
struct mf_ping_answer {
	bool is_error; /* else an echo reply, from whom was asked */
	struct mf_session_echo_error error;
	struct mf_session_echo
		echo; /* of the reply, or what the error quotes; @payload in the caller's buffer */
};

#define MF_PING_ROOM 65536u /* bytes for mf_ping_socket_receive() */

/**
 * mf_ping_socket_open() - Non-blocking, closed on exec
 * Return: 0; MF_E_PERM: neither kind is allowed; MF_E_UNSUPPORTED; MF_E_FULL; MF_E_IO (no route, no such source address)
 */
int mf_ping_socket_open(const struct mf_addr *to, struct mf_ping_socket *ret);
void mf_ping_socket_close(struct mf_ping_socket *s);

/** mf_ping_socket_send() - Return: 0; MF_E_AGAIN; MF_E_LIMIT: longer than the path takes; MF_E_IO: lost otherwise */
int mf_ping_socket_send(struct mf_ping_socket *s, const struct mf_session_echo *echo);

/** mf_ping_socket_receive() - What is neither a reply to ours nor an error about one is passed over. Return: 1 with *ret; 0: nothing now */
int mf_ping_socket_receive(struct mf_ping_socket *s, uint8_t *buf, struct mf_ping_answer *ret);

#endif
