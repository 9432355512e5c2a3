/* SPDX-License-Identifier: Apache-2.0 */
/* ask.h - the events that say what came of a question (core/ask/ask.h has the questions) */
#ifndef MF_PROXIES_ASK_H
#define MF_PROXIES_ASK_H

#include "core/ask/ask.h"
#include "core/observe/events.h"

struct mf_proxy;

/** mf_ask_begin_event() - Envelope, decision, and reason, rule, policy, file, line, generation where the type has them */
void mf_ask_begin_event(struct mf_proxy *p, struct mf_event *ev, enum mf_event_type type,
			const struct mf_session_flow *flow, const char *domain,
			const char *operation, const char *action, const struct mf_decision *d);
/** mf_ask_add() - A text field, unless the event's type does not have it */
void mf_ask_add(struct mf_event *ev, enum mf_event_field field, const char *text);
void mf_ask_send(struct mf_proxy *p, struct mf_event *ev);
/** mf_ask_announce_connect() - The event of a connect decision about a flow; @host: the name that it belongs to, or NULL */
void mf_ask_announce_connect(struct mf_proxy *p, const struct mf_session_flow *flow,
			     const char *host, const char *action, const struct mf_decision *d);
/** mf_ask_announce_hello() - The event of a ClientHello; @d: NULL where no policy had an opinion */
void mf_ask_announce_hello(struct mf_proxy *p, const struct mf_session_flow *flow, const char *host,
			   const struct mf_tls_hello *h, bool verified, const struct mf_decision *d,
			   const char *action);

/** mf_ask_is_host() - Whether the client said the name that connect's answer belongs to; @host may be NULL */
bool mf_ask_is_host(const char *host, const char *said, size_t len);

#endif
