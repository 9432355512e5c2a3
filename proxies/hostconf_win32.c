/* SPDX-License-Identifier: Apache-2.0 */
/* hostconf_win32.c - resolvers of the network adapters, and the hosts file of the system directory */
#include <winsock2.h>
#include <ws2tcpip.h>

#include <iphlpapi.h>
#include <stdlib.h>

#include "core/base/win32.h"
#include "proxies/hostconf.h"

enum {
	FIRST_ROOM = 16384,
	TRIES = 4, /* adapters come and go between the calls */
};

/* What every system lists for adapters without a resolver of IPv6 (fec0:0:0:ffff::1 to 3), and nobody answers at. */
static bool is_placeholder(const struct mf_addr *a)
{
	static const uint8_t prefix[] = { 0xfe, 0xc0, 0, 0, 0, 0, 0xff, 0xff };

	return a->family == 6 && memcmp(a->bytes, prefix, sizeof(prefix)) == 0;
}

/* A link-local address says nothing without its interface. */
static bool is_link_local(const struct mf_addr *a)
{
	return a->family == 6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static IP_ADAPTER_ADDRESSES *read_adapters(ULONG *ret_error)
{
	const ULONG flags = GAA_FLAG_SKIP_UNICAST | GAA_FLAG_SKIP_ANYCAST |
			    GAA_FLAG_SKIP_MULTICAST | GAA_FLAG_SKIP_FRIENDLY_NAME;
	ULONG room = FIRST_ROOM;

	*ret_error = ERROR_NOT_ENOUGH_MEMORY;
	for (unsigned i = 0; i < TRIES; i++) {
		IP_ADAPTER_ADDRESSES *list = malloc(room);

		if (!list)
			return NULL;
		*ret_error = GetAdaptersAddresses(AF_UNSPEC, flags, NULL, list, &room);
		if (*ret_error == NO_ERROR)
			return list;
		free(list);
		if (*ret_error != ERROR_BUFFER_OVERFLOW)
			return NULL;
	}
	return NULL;
}

static ULONG metric_of(const IP_ADAPTER_ADDRESSES *a)
{
	return a->Ipv4Metric < a->Ipv6Metric || a->Ipv6Metric == 0 ? a->Ipv4Metric : a->Ipv6Metric;
}

static size_t add(struct mf_endpoint *ret, size_t cnt, size_t cap, const struct sockaddr *sa)
{
	struct mf_endpoint ep;

	if (cnt == cap || !mf_endpoint_from_sockaddr(&ep, sa) || is_placeholder(&ep.addr) ||
	    is_link_local(&ep.addr))
		return cnt;
	for (size_t i = 0; i < cnt; i++)
		if (mf_addr_eq(&ret[i].addr, &ep.addr))
			return cnt;
	ep.port = 53;
	ret[cnt] = ep;
	return cnt + 1;
}

/*
 * The adapters that are up, the best way out (lowest metric) first, as Windows' own client asks them. Its policy table
 * (NRPT) and encrypted resolvers are not read.
 */
int mf_hostconf_servers(struct mf_endpoint *ret, size_t cap, struct mf_err *err)
{
	ULONG error, metric = 0;
	IP_ADAPTER_ADDRESSES *list = read_adapters(&error), *a;
	char text[320];
	size_t cnt = 0;
	bool more = true;

	if (!list)
		return mf_err_set(err, MF_E_IO,
				  "cannot ask Windows for its resolvers, give them with --dns: %s",
				  mf_win32_message(error, text, sizeof(text)));
	/* few adapters: one pass for each metric that occurs, in ascending order */
	while (more && cnt < cap) {
		ULONG next = ULONG_MAX;

		more = false;
		for (a = list; a; a = a->Next) {
			ULONG m = metric_of(a);

			if (a->OperStatus != IfOperStatusUp)
				continue;
			for (IP_ADAPTER_DNS_SERVER_ADDRESS *s =
				     m == metric ? a->FirstDnsServerAddress : NULL;
			     s; s = s->Next)
				cnt = add(ret, cnt, cap, s->Address.lpSockaddr);
			if (m > metric && m <= next) {
				next = m;
				more = true;
			}
		}
		metric = next;
	}
	free(list);
	if (cnt == 0)
		return mf_err_set(
			err, MF_E_IO,
			"no network adapter of this machine has a resolver; give one with --dns");
	return (int)cnt;
}

const char *mf_hostconf_hosts_file(char *buf, size_t room)
{
	static const char tail[] = "\\drivers\\etc\\hosts";
	wchar_t wide[MAX_PATH];
	UINT n = GetSystemDirectoryW(wide, MAX_PATH);
	char *dir = n > 0 && n < MAX_PATH ? mf_win32_utf8(wide) : NULL;
	size_t len = dir ? strlen(dir) : 0;
	bool fits = dir && len + sizeof(tail) <= room;

	if (fits) {
		memcpy(buf, dir, len);
		memcpy(buf + len, tail, sizeof(tail));
	}
	free(dir);
	return fits ? buf : NULL;
}
