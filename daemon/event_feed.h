/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_feed.h - GET /v1/events: the events of a ring as an answer without an end, one stream a client
 *
 *	mf_event_feed_new(base, ring, &feed, &err);
 *	mf_api_add(api, &mf_event_feed_set, feed, &err);
 *	...
 *	mf_event_feed_end(feed);       what is in the ring goes out, then every stream ends
 *	mf_event_feed_free(feed);
 *
 * A client says after which event it wants to begin, and which events it wants (core/observe/event_filter.h). One that takes
 * its lines slowly is not waited for: what it has not taken is bounded here, what it has not read stands in the ring, and what
 * the ring no longer has is told as an events_dropped line with the number of lines that are missing.
 *
 * Threads: that of the loop; lines are put into the ring by whom it pleases.
 */
#ifndef MF_DAEMON_EVENT_FEED_H
#define MF_DAEMON_EVENT_FEED_H

#include "core/observe/event_ring.h"
#include "daemon/api.h"

struct event_base;
struct mf_event_feed;

/** mf_event_feed_new() - @ring: borrowed. Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_event_feed_new(struct event_base *base, struct mf_event_ring *ring,
		      struct mf_event_feed **ret_feed, struct mf_err *err);

/** mf_event_feed_end() - No more lines will come: streams end when what is in the ring has been sent, new ones at once */
void mf_event_feed_end(struct mf_event_feed *feed);

/** mf_event_feed_open() - Streams that have not ended */
uint32_t mf_event_feed_open(const struct mf_event_feed *feed);

/** mf_event_feed_free() - Ends what is open as it is. NULL is fine */
void mf_event_feed_free(struct mf_event_feed *feed);

extern const struct mf_api_set mf_event_feed_set; /* its ctx: a feed */

#endif
