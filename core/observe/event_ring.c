/* SPDX-License-Identifier: Apache-2.0 */
/*
 * event_ring.c - see event_ring.h
 *
 * Line number n (from 1) is described by slot n % lines: where it begins and how long it is. Lines do not wrap around the
 * end of the block: what does not fit behind the last one begins at its start, and the bytes in between are not used.
 */
#include "core/observe/event_ring.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/observe/event_stamp.h"

#define BYTES_DEFAULT ((size_t)4 << 20)
#define BYTES_LEAST   ((size_t)4 * MF_EVENT_ROOM)
#define BYTES_MOST    ((size_t)1 << 30)
#define LINES_DEFAULT 16384u
#define LINES_LEAST   16u
#define LINES_MOST    (1u << 24)

_Static_assert(MF_EVENT_ID_AT == MF_EVENT_RUN_AT && MF_EVENT_ID_LEN == MF_EVENT_NUMBER_AT +
									       MF_EVENT_NUMBER_LEN -
									       MF_EVENT_RUN_AT,
	       "where the id stands");

struct slot {
	uint32_t at, len;
};

struct mf_event_reader {
	struct mf_event_ring *ring;
	struct mf_event_reader *next_reader;
	uint64_t next; /* number of the line that it reads next */
	bool lost;     /* nobody knows how much is missing before that */
	bool sleeping; /* to be woken */
	void (*wake)(void *ctx);
	void *wake_ctx;
};

struct mf_event_ring {
	pthread_mutex_t lock;
	char *bytes;
	struct slot *slots;
	size_t byte_cnt, end; /* @end: where the last line ends */
	uint32_t slot_cnt;
	uint64_t first, next; /* numbers of the oldest line and of the one to come */
	char gone
		[MF_EVENT_ID_LEN]; /* id of the line before the oldest; its first byte is 0: there was none */
	struct mf_event_reader *readers;
	struct mf_event_ring_stats stats;
};

int mf_event_ring_new(const struct mf_event_ring_options *options, struct mf_event_ring **ret_ring,
		      struct mf_err *err)
{
	struct mf_event_ring *r = calloc(1, sizeof(*r));
	size_t bytes = options && options->bytes ? options->bytes : BYTES_DEFAULT;
	uint32_t lines = options && options->lines ? options->lines : LINES_DEFAULT;

	if (!r || pthread_mutex_init(&r->lock, NULL)) {
		free(r);
		return mf_err_set(err, MF_E_NOMEM, "No memory for the last events.");
	}
	r->byte_cnt = bytes < BYTES_LEAST ? BYTES_LEAST : bytes > BYTES_MOST ? BYTES_MOST : bytes;
	r->slot_cnt = lines < LINES_LEAST ? LINES_LEAST : lines > LINES_MOST ? LINES_MOST : lines;
	r->bytes = malloc(r->byte_cnt);
	r->slots = calloc(r->slot_cnt, sizeof(*r->slots));
	r->first = r->next = 1;
	if (!r->bytes || !r->slots) {
		mf_event_ring_free(r);
		return mf_err_set(err, MF_E_NOMEM, "No memory for the last events.");
	}
	*ret_ring = r;
	return 0;
}

void mf_event_ring_free(struct mf_event_ring *r)
{
	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r->bytes);
	free(r->slots);
	free(r);
}

static struct slot *slot_of(const struct mf_event_ring *r, uint64_t number)
{
	return &r->slots[number % r->slot_cnt];
}

static const char *id_of(const struct mf_event_ring *r, uint64_t number)
{
	return r->bytes + slot_of(r, number)->at + MF_EVENT_ID_AT;
}

static void drop_oldest(struct mf_event_ring *r)
{
	memcpy(r->gone, id_of(r, r->first), MF_EVENT_ID_LEN);
	r->first++;
}

/* Where a line of @len bytes may stand, once what is in its way has gone. */
static size_t make_room(struct mf_event_ring *r, size_t len)
{
	size_t at = r->end;

	if (r->next - r->first == r->slot_cnt)
		drop_oldest(r);
	if (at + len > r->byte_cnt) {
		// The oldest lines stand behind the last one or nowhere: they go with the end of the block.
		while (r->first < r->next && slot_of(r, r->first)->at >= at)
			drop_oldest(r);
		at = 0;
	}
	while (r->first < r->next) {
		const struct slot *s = slot_of(r, r->first);

		if (s->at >= at + len || s->at + s->len <= at)
			break;
		drop_oldest(r);
	}
	return at;
}

int mf_event_ring_put(struct mf_event_ring *r, const char *line, size_t len)
{
	size_t at;

	if (len < sizeof(MF_EVENT_STAMP) - 1 || len > MF_EVENT_ROOM)
		return MF_E_INVAL;
	pthread_mutex_lock(&r->lock);
	at = make_room(r, len);
	memcpy(r->bytes + at, line, len);
	*slot_of(r, r->next) = (struct slot){ (uint32_t)at, (uint32_t)len };
	r->end = at + len;
	r->next++;
	r->stats.put++;
	for (struct mf_event_reader *reader = r->readers; reader; reader = reader->next_reader) {
		if (!reader->sleeping)
			continue;
		reader->sleeping = false;
		if (reader->wake)
			reader->wake(reader->wake_ctx);
	}
	pthread_mutex_unlock(&r->lock);
	return 0;
}

void mf_event_ring_on_event(void *ctx, const char *line, size_t len)
{
	mf_event_ring_put(ctx, line, len);
}

static bool is_id(const char *text, size_t len)
{
	if (len != MF_EVENT_ID_LEN || text[8] != '-')
		return false;
	for (size_t i = 0; i < 8; i++)
		if (!strchr("0123456789abcdef", text[i]) || !text[i])
			return false;
	for (size_t i = 9; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return true;
}

/* Puts @reader behind the line with this id. */
static void seek(struct mf_event_ring *r, struct mf_event_reader *reader, const char *id)
{
	for (uint64_t n = r->next; n > r->first; n--) {
		if (memcmp(id_of(r, n - 1), id, MF_EVENT_ID_LEN) == 0) {
			reader->next = n;
			return;
		}
	}
	reader->next = r->first;
	reader->lost = memcmp(r->gone, id, MF_EVENT_ID_LEN) != 0;
}

int mf_event_ring_open(struct mf_event_ring *r, const char *after, size_t after_len,
		       void (*wake)(void *ctx), void *wake_ctx, struct mf_event_reader **ret_reader,
		       struct mf_err *err)
{
	struct mf_event_reader *reader;

	if (after && after_len && !is_id(after, after_len))
		return mf_err_set(err, MF_E_INVAL,
				  "'%.*s' is no id of an event: 8 hexadecimal digits, '-', 12 "
				  "digits are wanted.",
				  after_len > 64 ? 64 : (int)after_len, after);
	reader = calloc(1, sizeof(*reader));
	if (!reader)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	*reader = (struct mf_event_reader){ .ring = r, .wake = wake, .wake_ctx = wake_ctx };
	pthread_mutex_lock(&r->lock);
	if (r->stats.readers == MF_EVENT_RING_READERS_MAX) {
		pthread_mutex_unlock(&r->lock);
		free(reader);
		return mf_err_set(err, MF_E_FULL, "Events have at most %u readers at a time.",
				  MF_EVENT_RING_READERS_MAX);
	}
	reader->next = after ? r->first : r->next;
	if (after && after_len)
		seek(r, reader, after);
	reader->next_reader = r->readers;
	r->readers = reader;
	r->stats.readers++;
	pthread_mutex_unlock(&r->lock);
	*ret_reader = reader;
	return 0;
}

void mf_event_ring_close(struct mf_event_reader *reader)
{
	struct mf_event_reader **at;
	struct mf_event_ring *r;

	if (!reader)
		return;
	r = reader->ring;
	pthread_mutex_lock(&r->lock);
	for (at = &r->readers; *at != reader; at = &(*at)->next_reader)
		;
	*at = reader->next_reader;
	r->stats.readers--;
	pthread_mutex_unlock(&r->lock);
	free(reader);
}

/* The line for those that are gone; it has the time of the first that is there. Under the lock. */
static size_t tell_missing(struct mf_event_ring *r, struct mf_event_reader *reader, char *line)
{
	struct mf_event ev;
	const char *text;
	size_t len;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_EVENTS_DROPPED });
	if (!reader->lost) {
		mf_event_add_int(&ev, MF_EVF_COUNT, (int64_t)(r->first - reader->next));
		r->stats.missed += r->first - reader->next;
	}
	mf_event_add_cstr(&ev, MF_EVF_SINK, "reader");
	text = mf_event_end(&ev, &len);
	memcpy(line, text, len);
	if (r->first < r->next)
		memcpy(line + MF_EVENT_TIME_AT,
		       r->bytes + slot_of(r, r->first)->at + MF_EVENT_TIME_AT,
		       sizeof("0000-00-00T00:00:00.000000Z") - 1);
	if (r->gone[0])
		memcpy(line + MF_EVENT_ID_AT, r->gone, MF_EVENT_ID_LEN);
	reader->lost = false;
	reader->next = r->first;
	return len;
}

size_t mf_event_ring_next(struct mf_event_reader *reader, char *line)
{
	struct mf_event_ring *r = reader->ring;
	size_t len = 0;

	pthread_mutex_lock(&r->lock);
	if (reader->lost || reader->next < r->first) {
		len = tell_missing(r, reader, line);
	} else if (reader->next < r->next) {
		const struct slot *s = slot_of(r, reader->next);

		len = s->len;
		memcpy(line, r->bytes + s->at, len);
		reader->next++;
	} else {
		reader->sleeping = true;
	}
	pthread_mutex_unlock(&r->lock);
	return len;
}

void mf_event_ring_get_stats(struct mf_event_ring *r, struct mf_event_ring_stats *ret)
{
	pthread_mutex_lock(&r->lock);
	*ret = r->stats;
	ret->kept = r->next - r->first;
	pthread_mutex_unlock(&r->lock);
}
