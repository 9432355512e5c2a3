/* SPDX-License-Identifier: Apache-2.0 */
/* sockets.h - the system's headers of socket addresses; on Windows before windows.h */
#ifndef MF_BASE_SOCKETS_H
#define MF_BASE_SOCKETS_H

#ifdef _WIN32
#include <winsock2.h>
#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#endif

/* BSD's addresses say in their first byte how long they are. */
#ifdef __APPLE__
#define mf_sockaddr_set_len(sa) (((struct sockaddr *)(void *)(sa))->sa_len = sizeof(*(sa)))
#else
#define mf_sockaddr_set_len(sa) ((void)(sa))
#endif

#endif
