/* SPDX-License-Identifier: Apache-2.0 */
/* hostconf.h - what the host says of names: its resolvers, and its hosts file; one file per system for where that is */
#ifndef MF_PROXIES_HOSTCONF_H
#define MF_PROXIES_HOSTCONF_H

#include <stddef.h>

#include "core/base/addr.h"
#include "core/base/err.h"

/**
 * mf_hostconf_servers() - The resolvers that the system's own programs ask, at most @cap, in their order, port 53
 * Return: how many, at least 1; MF_E_IO: none are known, @err says where they were looked for
 */
int mf_hostconf_servers(struct mf_endpoint *ret, size_t cap, struct mf_err *err);

/** mf_hostconf_read() - The same of a file in the form of resolv.conf(5) */
int mf_hostconf_read(const char *path, struct mf_endpoint *ret, size_t cap, struct mf_err *err);

/** mf_hostconf_parse() - Nameserver lines of a resolv.conf's @text; Return: how many */
size_t mf_hostconf_parse(const char *text, size_t len, struct mf_endpoint *ret, size_t cap);

/** mf_hostconf_hosts_file() - Path of the system's hosts file in @buf; Return: @buf, or NULL if it does not fit */
const char *mf_hostconf_hosts_file(char *buf, size_t room);

/** mf_hostconf_find_host() - Addresses of @host in a hosts file, at most @cap; Return: how many */
size_t mf_hostconf_find_host(const char *path, const char *host, struct mf_addr *ret, size_t cap);

#endif
