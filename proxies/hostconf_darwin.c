/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostconf_darwin.c - /etc, as far as it tells: configd writes resolv.conf for the resolvers of the main network. Those of
 * single domains (/etc/resolver, VPNs) are not in it.
 */
#include <stdio.h>

#include "proxies/hostconf.h"

int mf_hostconf_servers(struct mf_endpoint *ret, size_t cap, struct mf_err *err)
{
	return mf_hostconf_read("/etc/resolv.conf", ret, cap, err);
}

const char *mf_hostconf_hosts_file(char *buf, size_t room)
{
	return (size_t)snprintf(buf, room, "/etc/hosts") < room ? buf : NULL;
}
