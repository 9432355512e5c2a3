/* SPDX-License-Identifier: Apache-2.0 */
/* ice.c - where WebRTC is reached: our candidates, and the STUN and TURN servers that browsers are told of */
#include <ifaddrs.h>
#include <jansson.h>
#include <net/if.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/sockets.h"
#include "proxies/gateway/peer.h"

enum { USERNAME_MAX = 512, SERVERS_MAX = 32, URLS_MAX = 32 };

/* --- candidates ----------------------------------------------------------------------------------------------------------- */

static bool is_link_local(const struct mf_addr *a)
{
	return a->family == 4 ? a->bytes[0] == 169 && a->bytes[1] == 254
			      : a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool is_any(const struct mf_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

/* Addresses of this system's interfaces; those of loopback where there are no others. */
static size_t list_addresses(struct mf_addr *ret, size_t max, bool only_v4)
{
	struct ifaddrs *all, *i;
	struct mf_endpoint at;
	size_t cnt = 0;

	if (getifaddrs(&all) < 0)
		return 0;
	for (unsigned loopback = 0; loopback < 2 && cnt == 0; loopback++) {
		for (i = all; i && cnt < max; i = i->ifa_next) {
			if (!i->ifa_addr || !(i->ifa_flags & IFF_UP) ||
			    !mf_endpoint_from_sockaddr(&at, i->ifa_addr) ||
			    is_link_local(&at.addr) || (only_v4 && at.addr.family != 4) ||
			    mf_addr_is_loopback(&at.addr) != (loopback == 1))
				continue;
			ret[cnt++] = at.addr;
		}
	}
	freeifaddrs(all);
	return cnt;
}

size_t mf_gw_candidates(const struct mf_gateway_webrtc *o, struct mf_rtc_candidate *ret, size_t max)
{
	struct mf_addr local[MF_RTC_CANDIDATES_MAX];
	struct mf_endpoint at;
	size_t local_cnt = 1, cnt = 0;

	if (!mf_sock_local(o->fd, &at))
		return 0;
	local[0] = at.addr;
	if (is_any(&at.addr))
		local_cnt = list_addresses(local, MF_RTC_CANDIDATES_MAX, at.addr.family == 4);
	for (size_t i = 0; i < o->external_cnt && cnt < max; i++) {
		struct mf_rtc_candidate *c = &ret[cnt++];

		*c = (struct mf_rtc_candidate){
			.at = { .addr = o->external[i].addr, .port = at.port },
			.srflx = o->external[i].srflx,
			.base = { .addr = { .family = o->external[i].addr.family },
				  .port = at.port },
		};
		for (size_t k = 0; k < local_cnt; k++)
			if (local[k].family == c->at.addr.family) {
				c->base.addr = local[k];
				break;
			}
	}
	for (size_t i = 0; i < local_cnt && cnt < max && !o->external_cnt; i++)
		ret[cnt++] =
			(struct mf_rtc_candidate){ .at = { .addr = local[i], .port = at.port } };
	return cnt;
}

/* --- servers -------------------------------------------------------------------------------------------------------------- */

static bool is_url(const json_t *v, bool *turn)
{
	static const char *const schemes[] = { "stun:", "stuns:", "turn:", "turns:" };
	const char *s = json_string_value(v);

	for (size_t i = 0; s && i < MF_ARRAY_SIZE(schemes); i++)
		if (strncmp(s, schemes[i], strlen(schemes[i])) == 0) {
			*turn |= i >= 2;
			return true;
		}
	return false;
}

/* Return: 1: it has a TURN server, 0: it has none; MF_E_BAD */
static int check_server(const json_t *server)
{
	const json_t *urls = json_object_get(server, "urls"), *url;
	bool turn = false, good;
	size_t i;

	good = json_is_object(server) &&
	       (is_url(urls, &turn) || (json_is_array(urls) && json_array_size(urls) > 0 &&
					json_array_size(urls) <= URLS_MAX));
	json_array_foreach(urls, i, url)
	{
		good = good && is_url(url, &turn);
	}
	return good ? turn : MF_E_BAD;
}

int mf_gw_ice_read(struct mf_span text, json_t **ret, struct mf_err *err)
{
	json_error_t why;
	json_t *all = json_loadb((const char *)text.ptr, text.len, JSON_REJECT_DUPLICATES, &why),
	       *one;
	size_t i;

	if (!all)
		return mf_err_set(err, MF_E_BAD, "ICE servers: %s in line %d", why.text, why.line);
	if (json_is_object(all)) { /* as browsers are told of them */
		one = json_incref(json_object_get(all, "iceServers"));
		json_decref(all);
		all = one;
	}
	if (!json_is_array(all) || json_array_size(all) > SERVERS_MAX) {
		json_decref(all);
		return mf_err_set(err, MF_E_BAD, "ICE servers: an array of at most %d is wanted",
				  SERVERS_MAX);
	}
	json_array_foreach(all, i, one)
	{
		if (check_server(one) >= 0)
			continue;
		json_decref(all);
		return mf_err_set(err, MF_E_BAD,
				  "ICE servers: entry %zu wants urls of stun:, stuns:, turn: or "
				  "turns:",
				  i + 1);
	}
	*ret = all;
	return 0;
}

/* What a TURN server with the same secret takes until then (draft-uberti-behave-turn-rest). */
static bool make_credential(struct mf_span secret, const char *prefix, int64_t until_s,
			    char username[USERNAME_MAX], char credential[64])
{
	uint8_t bytes[16], mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0;
	size_t len;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return false;
	len = (size_t)snprintf(username, USERNAME_MAX, "%lld:%.64s:", (long long)until_s, prefix);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		len += (size_t)snprintf(username + len, USERNAME_MAX - len, "%02x", bytes[i]);
	if (!HMAC(EVP_sha1(), secret.ptr, (int)secret.len, (const uint8_t *)username, len, mac,
		  &mac_len))
		return false;
	EVP_EncodeBlock((uint8_t *)credential, mac, (int)mac_len);
	return true;
}

char *mf_gw_ice_text(const struct mf_gateway *gw)
{
	const struct mf_gateway_webrtc *o = &gw->opt.webrtc;
	char username[USERNAME_MAX], credential[64], *text;
	json_t *all = gw->ice_servers ? json_deep_copy(gw->ice_servers) : json_array(), *one, *top;
	bool good = all != NULL;
	size_t i;

	json_array_foreach(all, i, one)
	{
		if (!o->turn_secret.len || check_server(one) != 1)
			continue;
		good = good &&
		       make_credential(o->turn_secret, o->turn_prefix,
				       (int64_t)time(NULL) + o->turn_ttl_s, username, credential) &&
		       json_object_set_new(one, "username", json_string(username)) == 0 &&
		       json_object_set_new(one, "credential", json_string(credential)) == 0;
	}
	top = json_pack("{s:o}", "iceServers", all);
	text = good && top ? json_dumps(top, JSON_COMPACT) : NULL;
	json_decref(top);
	return text;
}
