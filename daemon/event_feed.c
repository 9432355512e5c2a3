/* SPDX-License-Identifier: Apache-2.0 */
/* event_feed.c - see event_feed.h */
#include "daemon/event_feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/loop/loop_wake.h"
#include "core/observe/event_filter.h"

enum {
	UNSENT_MAX = 256 * 1024, /* bytes that a client has not taken above which it gets no more */
	TURN_MAX = 256,		 /* lines for one client before the next one has its turn */
	VALUE_MAX = 1024,	 /* bytes of one query parameter */
};

struct stream {
	struct mf_event_feed *feed;
	struct stream *next, **at;
	struct mf_api_call *call;
	struct mf_event_reader *reader;
	struct mf_event_filter *filter; /* NULL: everything */
	bool sse, follow;
	bool full; /* the client has to take something first */
};

struct mf_event_feed {
	struct mf_event_ring *ring;
	struct mf_loop_wake *wake; /* lines are put by other threads */
	struct stream *streams;
	uint32_t cnt;
	bool ending;
};

/* ---- streams ---------------------------------------------------------------------------------------------------- */

static void free_stream(struct stream *s)
{
	*s->at = s->next;
	if (s->next)
		s->next->at = s->at;
	s->feed->cnt--;
	mf_event_ring_close(s->reader);
	mf_event_filter_free(s->filter);
	free(s);
}

static void end_stream(struct stream *s)
{
	struct mf_api_call *call = s->call;

	free_stream(s);
	mf_api_stream_end(call);
}

static size_t dress(const struct stream *s, char *text, const char *line, size_t len)
{
	size_t n = 0;

	if (s->sse) {
		memcpy(text, "id: ", 4);
		memcpy(text + 4, line + MF_EVENT_ID_AT, MF_EVENT_ID_LEN);
		memcpy(text + 4 + MF_EVENT_ID_LEN, "\ndata: ", 7);
		n = 4 + MF_EVENT_ID_LEN + 7;
	}
	memcpy(text + n, line, len);
	n += len;
	text[n++] = '\n';
	if (s->sse)
		text[n++] = '\n';
	return n;
}

/* Return: whether there is more, which must wait for its turn. May free @s. */
static bool pump(struct stream *s)
{
	char line[MF_EVENT_ROOM], text[MF_EVENT_ROOM + 64];

	for (unsigned i = 0; i < TURN_MAX && !s->full; i++) {
		size_t len = mf_event_ring_next(s->reader, line);

		if (!len) {
			if (!s->follow || s->feed->ending)
				end_stream(s);
			return false;
		}
		if (!mf_event_filter_match(s->filter, line, len))
			continue;
		s->full = mf_api_stream_send(s->call, mf_span_of(text, dress(s, text, line, len))) >
			  UNSENT_MAX;
	}
	return !s->full;
}

static void pump_all(void *ctx)
{
	struct mf_event_feed *f = ctx;
	bool more = false;

	for (struct stream *s = f->streams, *next; s; s = next) {
		next = s->next;
		more |= pump(s);
	}
	if (more)
		mf_loop_wake(f->wake);
}

static void on_gone(void *ctx)
{
	free_stream(ctx);
}

static void on_room(void *ctx)
{
	struct stream *s = ctx;

	s->full = false;
	if (pump(s))
		mf_loop_wake(s->feed->wake);
}

/* ---- the route -------------------------------------------------------------------------------------------------- */

/* Each of the values between commas. */
static int add_words(struct mf_event_filter *f, const char *name, char *words, struct mf_err *err)
{
	int r = 0;

	while (words && r == 0) {
		char *comma = strchr(words, ',');

		if (comma)
			*comma++ = '\0';
		r = mf_event_filter_add(f, name, words, err);
		words = comma;
	}
	return r;
}

static int read_filter(const struct mf_api_call *call, struct mf_event_filter **ret_filter,
		       struct mf_err *err)
{
	static const char *const lists[] = { "kind", "type", "verdict" };
	static const char *const globs[] = { "session", "host", "path" };
	struct mf_event_filter *f;
	char value[VALUE_MAX];
	int r = mf_event_filter_new(&f, err);

	for (size_t i = 0; r == 0 && i < MF_ARRAY_SIZE(lists); i++)
		if (mf_api_query(call, lists[i], value, sizeof(value)))
			r = add_words(f, lists[i], value, err);
	for (size_t i = 0; r == 0 && i < MF_ARRAY_SIZE(globs); i++)
		if (mf_api_query(call, globs[i], value, sizeof(value)))
			r = mf_event_filter_add(f, globs[i], value, err);
	if (r < 0)
		mf_event_filter_free(f);
	else
		*ret_filter = f;
	return r;
}

/*
 * Where to begin. A client that connects again repeats its first request, whose query is older than what it has seen since and
 * tells in the header.
 */
static bool read_after(const struct mf_api_call *call, char *after, size_t size)
{
	struct mf_span last = mf_api_last_event_id(call);

	if (!last.len)
		return mf_api_query(call, "after", after, size);
	snprintf(after, size, "%.*s", (int)(last.len < size ? last.len : size),
		 (const char *)last.ptr);
	return true;
}

static int read_query(struct stream *s, const struct mf_api_call *call, struct mf_err *err)
{
	char value[VALUE_MAX], after[64];
	bool has_after = read_after(call, after, sizeof(after));
	int r;

	s->follow = !mf_api_query(call, "follow", value, sizeof(value)) ||
		    (strcmp(value, "false") != 0 && strcmp(value, "0") != 0);
	if (mf_api_query(call, "format", value, sizeof(value))) {
		s->sse = strcmp(value, "sse") == 0;
		if (!s->sse && strcmp(value, "ndjson") != 0)
			return mf_err_set(err, MF_E_INVAL, "format is ndjson or sse.");
	}
	r = read_filter(call, &s->filter, err);
	if (r == 0)
		r = mf_event_ring_open(s->feed->ring,
				       has_after   ? after
				       : s->follow ? NULL
						   : "",
				       has_after ? strlen(after) : 0, mf_loop_wake, s->feed->wake,
				       &s->reader, err);
	return r;
}

static void get_events(void *ctx, struct mf_api_call *call)
{
	static const struct mf_api_stream_ops ops = { .gone = on_gone, .room = on_room };
	struct mf_event_feed *f = ctx;
	struct stream *s = calloc(1, sizeof(*s));
	struct mf_err err = { 0 };
	int r;

	if (!s) {
		mf_api_problem(call, 503, "no_memory", "out of memory");
		return;
	}
	s->feed = f;
	s->call = call;
	r = read_query(s, call, &err);
	if (r < 0) {
		mf_api_problem_err(call, r == MF_E_FULL || r == MF_E_NOMEM ? 503 : 422, &err);
		mf_event_filter_free(s->filter);
		free(s);
		return;
	}
	s->at = &f->streams;
	s->next = f->streams;
	if (s->next)
		s->next->at = &s->next;
	f->streams = s;
	f->cnt++;
	if (mf_api_stream_begin(call, s->sse ? "text/event-stream" : "application/x-ndjson", &ops,
				s) < 0) {
		free_stream(s);
		return;
	}
	if (pump(s))
		mf_loop_wake(f->wake);
}

#define TEXT_PARAM(name, description)                                                        \
	"{\"name\": \"" name "\", \"in\": \"query\", \"description\": \"" description "\", " \
	"\"schema\": {\"type\": \"string\"}}"

// clang-format off
static const char query[] =
	TEXT_PARAM("after", "begin behind the event with this id; empty: with the oldest one that is kept; without it: with the next one")
	", {\"name\": \"Last-Event-ID\", \"in\": \"header\", \"description\": \"as after, and before it: what clients of server-sent events say when they come back\", \"schema\": {\"type\": \"string\"}}"
	", " TEXT_PARAM("follow", "false: all that is kept, then the end")
	", " TEXT_PARAM("format", "ndjson (default), or sse: server-sent events")
	", " TEXT_PARAM("kind", "of these only, with commas: dns, connect, sni, http, file, session, policy, capture, trash")
	", " TEXT_PARAM("type", "of these types only, with commas")
	", " TEXT_PARAM("verdict", "decided or carried out so, with commas")
	", " TEXT_PARAM("session", "a glob of names of sessions")
	", " TEXT_PARAM("host", "a glob: *.example is one label more, **.example any number")
	", " TEXT_PARAM("path", "a glob: * stays in a directory, ** does not");
// clang-format on

static const struct mf_api_route routes[] = {
	{ .method = "GET",
	  .path = "/v1/events",
	  .id = "streamEvents",
	  .summary = "What happens, one event a line, until the client leaves",
	  .query = query,
	  .type = "application/x-ndjson",
	  .also = (const struct mf_api_also[]){ { 200, "text/event-stream", NULL }, { 0 } },
	  .fn = get_events },
};

const struct mf_api_set mf_event_feed_set = { routes, MF_ARRAY_SIZE(routes), NULL, 0 };

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

int mf_event_feed_new(struct event_base *base, struct mf_event_ring *ring,
		      struct mf_event_feed **ret_feed, struct mf_err *err)
{
	struct mf_event_feed *f = calloc(1, sizeof(*f));

	if (!f)
		return mf_err_set(err, MF_E_NOMEM, "Out of memory.");
	f->ring = ring;
	f->wake = mf_loop_wake_new(base, pump_all, f);
	if (!f->wake) {
		free(f);
		return mf_err_set(err, MF_E_IO, "No sockets for streams of events.");
	}
	*ret_feed = f;
	return 0;
}

void mf_event_feed_end(struct mf_event_feed *f)
{
	f->ending = true;
	pump_all(f);
}

uint32_t mf_event_feed_open(const struct mf_event_feed *f)
{
	return f->cnt;
}

void mf_event_feed_free(struct mf_event_feed *f)
{
	if (!f)
		return;
	while (f->streams)
		end_stream(f->streams);
	mf_loop_wake_free(f->wake);
	free(f);
}
