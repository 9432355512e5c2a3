/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_ring.h - the last events, for readers that come and go: live, from an event on, and none of them waited for
 *
 *	mf_event_ring_new(NULL, &ring, &err);
 *	mf_events_add_callback(events, mf_event_ring_on_event, ring, "ring", &err);
 *
 *	mf_event_ring_open(ring, after, strlen(after), wake, ctx, &reader, &err);   // after: an event's id; NULL: what comes
 *	while ((n = mf_event_ring_next(reader, line)) > 0)
 *		... a line of n bytes
 *	... n == 0: @wake is called once when there is more
 *	mf_event_ring_close(reader);
 *
 * Lines stand behind one another in one block; a new one takes the place of the oldest ones, whether they were read or not.
 * A reader is a place in that order, no queue: one that is too slow finds that lines are missing and is told so by an
 * events_dropped line in their place, whose count is exact and whose id is that of the last line that is missing: who
 * comes back with any id that was given out loses nothing and gets nothing twice, as long as the ring still has it.
 *
 * The ring may hold events of several sessions: an id is that of one event, whoever made it. A line whose place a reader
 * asks for by id and that is not there (another process's, or long gone) is answered with all that there is, after an
 * events_dropped line without a count.
 *
 * Threads: any. Cost: a lock and a copy of the line; no allocation after the beginning.
 */
#ifndef MF_OBSERVE_EVENT_RING_H
#define MF_OBSERVE_EVENT_RING_H

#include "core/observe/events.h"

#define MF_EVENT_ID_AT		  49u /* in every line */
#define MF_EVENT_ID_LEN		  21u /* "9f2c11ab-000000000001" */
#define MF_EVENT_RING_READERS_MAX 64u

/* Zero means the default. */
struct mf_event_ring_options {
	size_t bytes;	/* 4 MiB; at least 4 x MF_EVENT_ROOM, at most 1 GiB */
	uint32_t lines; /* 16,384; 16 to 16,777,216 */
};

struct mf_event_ring;
struct mf_event_reader;

int mf_event_ring_new(const struct mf_event_ring_options *options, struct mf_event_ring **ret_ring,
		      struct mf_err *err);
/** mf_event_ring_free() - When nobody puts lines any more and all readers are closed; NULL is fine */
void mf_event_ring_free(struct mf_event_ring *ring);

/**
 * mf_event_ring_put() - Append a line as mf_event_end() made it and a stream stamped it, without its newline
 * Never waits for a reader. Return: 0, MF_E_INVAL (no such line)
 */
int mf_event_ring_put(struct mf_event_ring *ring, const char *line, size_t len);
/** mf_event_ring_on_event() - The same as the callback of a sink; @ctx is the ring */
void mf_event_ring_on_event(void *ctx, const char *line, size_t len);

/**
 * mf_event_ring_open() - A new reader
 * @after: id of the last event that it knows, NULL: begin with the next one, "": with the oldest that there is
 * @wake:  called from the thread of whoever puts a line, after a mf_event_ring_next() that returned 0, once; must not wait
 *         nor call the ring; may be NULL
 * Return: 0; MF_E_INVAL (@after is no id), MF_E_FULL (MF_EVENT_RING_READERS_MAX), MF_E_NOMEM
 */
int mf_event_ring_open(struct mf_event_ring *ring, const char *after, size_t after_len,
		       void (*wake)(void *ctx), void *wake_ctx, struct mf_event_reader **ret_reader,
		       struct mf_err *err);
void mf_event_ring_close(
	struct mf_event_reader *reader); /* NULL is fine; @wake is not called afterwards */

/**
 * mf_event_ring_next() - The next line, or the events_dropped line for those that are gone
 * @line: MF_EVENT_ROOM bytes, not NUL-terminated. Return: its length, 0 when there is none yet
 */
size_t mf_event_ring_next(struct mf_event_reader *reader, char *line);

struct mf_event_ring_stats {
	uint64_t put;	  /* lines since the beginning */
	uint64_t kept;	  /* in the ring now */
	uint64_t missed;  /* lines that readers were too slow for */
	uint32_t readers; /* now */
};
void mf_event_ring_get_stats(struct mf_event_ring *ring, struct mf_event_ring_stats *ret);

#endif
