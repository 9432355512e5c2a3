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

#endif
