/* SPDX-License-Identifier: Apache-2.0 */
/* rtc_none.c - WebRTC where there is no usrsctp: it can be asked for, and says that there is none */
#include "proxies/rtc/rtc.h"

const char *const mf_rtc_hash_names[MF_RTC_HASH_NUM] = { "sha-256", "sha-384", "sha-512" };
const char *const mf_rtc_end_names[MF_RTC_END_NUM] = {
	"peer", "connect_timeout", "consent", "idle",	"message_too_long",
	"dtls", "identity",	   "sctp",    "memory",
};

int mf_rtc_new(struct event_base *base, const struct mf_rtc_options *options, struct mf_rtc **ret,
	       struct mf_err *err)
{
	(void)base;
	(void)options;
	(void)ret;
	return mf_err_set(err, MF_E_UNSUPPORTED,
			  "this build has no WebRTC: it was made without usrsctp");
}

void mf_rtc_free(struct mf_rtc *rtc)
{
	(void)rtc;
}

int mf_rtc_session_new(struct mf_rtc *rtc, const struct mf_rtc_remote *remote,
		       const struct mf_rtc_handler *handler, void *ctx, struct mf_rtc_session **ret,
		       struct mf_rtc_local *ret_local, struct mf_err *err)
{
	(void)rtc;
	(void)remote;
	(void)handler;
	(void)ctx;
	(void)ret;
	(void)ret_local;
	return mf_err_set(err, MF_E_UNSUPPORTED, "this build has no WebRTC");
}

void mf_rtc_session_close(struct mf_rtc_session *session)
{
	(void)session;
}

void mf_rtc_session_hold(struct mf_rtc_session *session, bool hold)
{
	(void)session;
	(void)hold;
}

bool mf_rtc_session_peer(const struct mf_rtc_session *session, struct mf_endpoint *ret)
{
	(void)session;
	(void)ret;
	return false;
}

void mf_rtc_add_remote_candidate(struct mf_rtc_session *session, struct mf_span candidate)
{
	(void)session;
	(void)candidate;
}

int mf_rtc_channel_open(struct mf_rtc_session *session, const struct mf_rtc_channel_info *info,
			struct mf_rtc_channel **ret)
{
	(void)session;
	(void)info;
	(void)ret;
	return MF_E_UNSUPPORTED;
}

void mf_rtc_channel_close(struct mf_rtc_channel *channel)
{
	(void)channel;
}

void mf_rtc_channel_set_user(struct mf_rtc_channel *channel, void *user)
{
	(void)channel;
	(void)user;
}

void *mf_rtc_channel_user(const struct mf_rtc_channel *channel)
{
	(void)channel;
	return NULL;
}

struct mf_rtc_session *mf_rtc_channel_session(const struct mf_rtc_channel *channel)
{
	(void)channel;
	return NULL;
}

uint16_t mf_rtc_channel_id(const struct mf_rtc_channel *channel)
{
	(void)channel;
	return 0;
}

int mf_rtc_send(struct mf_rtc_channel *channel, bool text, struct mf_span data)
{
	(void)channel;
	(void)text;
	(void)data;
	return MF_E_UNSUPPORTED;
}

size_t mf_rtc_waiting(const struct mf_rtc_channel *channel)
{
	(void)channel;
	return 0;
}

void mf_rtc_get_stats(const struct mf_rtc *rtc, struct mf_rtc_stats *ret)
{
	(void)rtc;
	*ret = (struct mf_rtc_stats){ 0 };
}
