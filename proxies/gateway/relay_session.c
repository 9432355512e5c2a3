/* SPDX-License-Identifier: Apache-2.0 */
/* relay_session.c - sessions of the UDP relay, whatever they came by: how many, and one of each JWT's "sid" */
#include <openssl/rand.h>
#include <stdio.h>

#include "proxies/gateway/gateway_int.h"

int mf_gw_relay_session_begin(struct mf_gateway *gw, struct mf_gw_member *member, bool by_jwt,
			      struct mf_gw_relay_session *ret)
{
	const uint32_t max = gw->opt.relay.sessions_max;
	uint8_t bytes[16];
	int r = 0;

	if (by_jwt && atomic_exchange(&member->relay_session, true))
		return MF_E_EXIST;
	/* counted before it is looked at: other threads do the same */
	if (gw->house->relay_sessions++ >= max && max) {
		gw->relay_events[MF_RELAY_TOO_MANY_SESSIONS]++;
		r = MF_E_FULL;
	} else if (RAND_bytes(bytes, sizeof(bytes)) != 1) {
		r = MF_E_IO;
	}
	if (r < 0) {
		gw->house->relay_sessions--;
		if (by_jwt)
			atomic_store(&member->relay_session, false);
		return r;
	}
	for (unsigned i = 0; i < sizeof(bytes); i++)
		snprintf(ret->id + 2 * i, 3, "%02x", bytes[i]);
	ret->member = by_jwt ? mf_gw_member_ref(member) : NULL;
	return 0;
}

void mf_gw_relay_session_end(struct mf_gateway *gw, struct mf_gw_relay_session *s)
{
	if (!s->id[0])
		return;
	gw->house->relay_sessions--;
	if (s->member) {
		s->member->relay_session = false;
		mf_gw_member_unref(s->member);
	}
	*s = (struct mf_gw_relay_session){ 0 };
}
