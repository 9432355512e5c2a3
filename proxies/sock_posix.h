/* SPDX-License-Identifier: Apache-2.0 */
/* sock_posix.h - between sock_posix.c and the two systems that it serves; not for anybody else */
#ifndef MF_PROXIES_SOCK_POSIX_H
#define MF_PROXIES_SOCK_POSIX_H

#include <stdbool.h>

struct mf_endpoint;
struct sockaddr_storage;

/* Each system's: sockets that neither block, nor stay open in a new program, nor kill by SIGPIPE where that is the socket's */
int mf_sock_make(int family, int type, int protocol); /* Return: fd or MF_E_* with errno */
int mf_sock_take(int listener, struct sockaddr_storage *ret_peer); /* accept(); the same */

/* sock_posix.c */
int mf_sock_code(int err); /* errno as MF_E_* */
/* For options that every caller can live without */
void mf_sock_set_int(int fd, int level, int name, int value);
/* mf_sock_set_source() for a socket towards @to. Return: false: the address is not the system's (any more) */
bool mf_sock_bind_source(int fd, const struct mf_endpoint *to);

#endif
