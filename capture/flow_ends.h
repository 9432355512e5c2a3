/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flow_ends.h - the same flow as packets have it (core/packet/flow.h) and as sessions do (core/policy/session.h)
 */
#ifndef MF_CAPTURE_FLOW_ENDS_H
#define MF_CAPTURE_FLOW_ENDS_H

#include "core/packet/flow.h"
#include "core/policy/session.h"

/** mf_flow_to_session() - @f: from the program to the server; Return: false for what is neither TCP nor UDP */
static inline bool mf_flow_to_session(const struct mf_flow *f, struct mf_session_flow *ret)
{
	/* As a whole: whose it is, and what else is not known here, is nobody's. */
	*ret = (struct mf_session_flow){ .proto = f->proto == MF_PROTO_UDP ? MF_UDP : MF_TCP,
					 .client = mf_flow_src(f),
					 .server = mf_flow_dst(f) };
	return f->proto == MF_PROTO_UDP || f->proto == MF_PROTO_TCP;
}

/** mf_flow_from_session() - Return: false if the ends' families differ or one has none */
static inline bool mf_flow_from_session(const struct mf_session_flow *f, struct mf_flow *ret)
{
	return mf_flow_make(ret, f->proto == MF_UDP ? MF_PROTO_UDP : MF_PROTO_TCP, &f->client,
			    &f->server);
}

#endif
