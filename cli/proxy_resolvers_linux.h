/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_resolvers_linux.h - which resolvers the programs of this host ask, as files say, and when that changes
 *
 * /etc/resolv.conf, and what systemd-resolved asks in its turn (/run/systemd/resolve/resolv.conf): programs that reach it by its
 * own library, and not by DNS, are heard there.
 */
#ifndef MF_CLI_PROXY_RESOLVERS_LINUX_H
#define MF_CLI_PROXY_RESOLVERS_LINUX_H

#include <stdbool.h>
#include <sys/stat.h>

#include "core/base/addr.h"

#define MF_PROXY_RESOLVERS_MAX 8

struct mf_proxy_resolvers {
	struct mf_endpoint at[MF_PROXY_RESOLVERS_MAX]; /* each once, in their order */
	size_t cnt;
	struct stat seen[2]; /* the files as they were read */
};

/** mf_proxy_resolvers_read() - Cost: two system calls where no file has changed; Return: whether others are asked than before */
bool mf_proxy_resolvers_read(struct mf_proxy_resolvers *r);

#endif
