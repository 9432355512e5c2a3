/* SPDX-License-Identifier: Apache-2.0 */
/* ping_socket_nolinux.c - none: nothing hands over echo requests on these systems */
#include "proxies/ping_socket.h"

int mf_ping_socket_open(const struct mf_addr *to, struct mf_ping_socket *ret)
{
	(void)to;
	ret->fd = -1;
	return MF_E_UNSUPPORTED;
}

void mf_ping_socket_close(struct mf_ping_socket *s)
{
	(void)s;
}

int mf_ping_socket_send(struct mf_ping_socket *s, const struct mf_session_echo *echo)
{
	(void)s;
	(void)echo;
	return MF_E_UNSUPPORTED;
}

int mf_ping_socket_receive(struct mf_ping_socket *s, uint8_t *buf, struct mf_ping_answer *ret)
{
	(void)s;
	(void)buf;
	(void)ret;
	return 0;
}
