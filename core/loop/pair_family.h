/* SPDX-License-Identifier: Apache-2.0 */
/* pair_family.h - the family of pairs of sockets: Windows has only those of IP */
#ifndef MF_LOOP_PAIR_FAMILY_H
#define MF_LOOP_PAIR_FAMILY_H

#include <event2/util.h>

#ifdef _WIN32
#define MF_PAIR_FAMILY AF_INET
#else
#include <sys/socket.h>
#define MF_PAIR_FAMILY AF_UNIX
#endif

#endif
