/* SPDX-License-Identifier: Apache-2.0 */
/* addr_sockaddr.c - endpoints from and to the sockets' addresses; see addr.h */
#include "core/base/sockets.h"

#include "core/base/addr.h"

bool mf_endpoint_from_sockaddr(struct mf_endpoint *ret, const struct sockaddr *sa)
{
	struct mf_endpoint ep = { 0 };

	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		mf_addr_from_bytes(&ep.addr, (const uint8_t *)&in.sin_addr, 4);
		ep.port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		mf_addr_from_bytes(&ep.addr, (const uint8_t *)&in6.sin6_addr, 16);
		ep.port = ntohs(in6.sin6_port);
	} else {
		return false;
	}
	*ret = ep;
	return true;
}

static const uint8_t mapped_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

size_t mf_endpoint_to_sockaddr(const struct mf_endpoint *ep, bool map_v4,
			       struct sockaddr_storage *ret)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(ep->port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(ep->port) };

	mf_sockaddr_set_len(&in);
	mf_sockaddr_set_len(&in6);
	memset(ret, 0, sizeof(*ret));
	if (ep->addr.family == 4 && !map_v4) {
		memcpy(&in.sin_addr, ep->addr.bytes, 4);
		memcpy(ret, &in, sizeof(in));
		return sizeof(in);
	}
	if (ep->addr.family == 4) {
		memcpy(&in6.sin6_addr, mapped_prefix, 12);
		memcpy((uint8_t *)&in6.sin6_addr + 12, ep->addr.bytes, 4);
	} else if (ep->addr.family == 6) {
		memcpy(&in6.sin6_addr, ep->addr.bytes, 16);
	} else {
		return 0;
	}
	memcpy(ret, &in6, sizeof(in6));
	return sizeof(in6);
}
