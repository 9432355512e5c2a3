// SPDX-License-Identifier: Apache-2.0
// test_event_ring.c - the last events: in order, resumed without loss or doubles, slow readers told what they missed
#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/observe/event_ring.h"
#include "tests/unit/test.h"

static struct mf_event_ring *make(size_t bytes, uint32_t lines)
{
	struct mf_event_ring *r;

	assert_int_equal(
		mf_event_ring_new(&(struct mf_event_ring_options){ bytes, lines }, &r, NULL), 0);
	return r;
}

/* A line of run @run with this number, and @pad bytes more. */
static size_t make_line(char *line, unsigned run, uint64_t number, size_t pad)
{
	int n = sprintf(line,
			"{\"timestamp\":\"2026-01-29T10:23:45.%06u000Z\",\"id\":\"%08x-%012llu\","
			"\"type\":\"dns_query\",\"session_id\":\"s\",\"pad\":\"",
			0u, run, (unsigned long long)number);

	// Six digits of microseconds, as the stamp has them.
	memmove(line + 40, line + 43, (size_t)n - 42);
	n -= 3;
	memset(line + n, 'x', pad);
	strcpy(line + n + pad, "\"}");
	return (size_t)n + pad + 2;
}

static void put(struct mf_event_ring *r, unsigned run, uint64_t number, size_t pad)
{
	char line[MF_EVENT_ROOM + 512];
	size_t len = make_line(line, run, number, pad);

	assert_int_equal(mf_event_ring_put(r, line, len), 0);
}

struct got {
	char type[32], id[32];
	unsigned run;
	uint64_t number;
	json_int_t count; /* -1: none */
};

static bool next(struct mf_event_reader *reader, struct got *got)
{
	char line[MF_EVENT_ROOM];
	size_t len = mf_event_ring_next(reader, line);
	unsigned long long number;
	json_t *j, *count;

	if (!len)
		return false;
	j = json_loadb(line, len, 0, NULL);
	assert_non_null(j);
	snprintf(got->type, sizeof(got->type), "%s", json_string_value(json_object_get(j, "type")));
	snprintf(got->id, sizeof(got->id), "%s", json_string_value(json_object_get(j, "id")));
	assert_int_equal(sscanf(got->id, "%x-%llu", &got->run, &number), 2);
	got->number = number;
	count = json_object_get(json_object_get(j, "fields"), "count");
	got->count = count ? json_integer_value(count) : -1;
	json_decref(j);
	return true;
}

static struct mf_event_reader *reader_after(struct mf_event_ring *r, const char *after)
{
	struct mf_event_reader *reader;

	assert_int_equal(
		mf_event_ring_open(r, after, after ? strlen(after) : 0, NULL, NULL, &reader, NULL),
		0);
	return reader;
}

static void test_live_and_from_the_beginning(void **state)
{
	struct mf_event_ring *r = make(0, 0);
	struct mf_event_reader *live, *all;
	struct got got;

	(void)state;
	put(r, 1, 1, 10);
	live = reader_after(r, NULL);
	all = reader_after(r, "");
	assert_false(next(live, &got));
	put(r, 1, 2, 10);
	assert_true(next(live, &got));
	assert_int_equal(got.number, 2);
	assert_false(next(live, &got));
	for (uint64_t n = 1; n <= 2; n++) {
		assert_true(next(all, &got));
		assert_int_equal(got.number, n);
	}
	assert_false(next(all, &got));
	mf_event_ring_close(live);
	mf_event_ring_close(all);
	mf_event_ring_free(r);
}

// Who stops after any line and comes back with its id sees the rest, whichever process that line is of.
static void test_resume_anywhere(void **state)
{
	struct mf_event_ring *r = make(0, 0);

	(void)state;
	for (unsigned n = 0; n < 60; n++)
		put(r, 0xa0 + n % 3, n / 3 + 1, n * 7);
	for (unsigned stop = 0; stop < 60; stop++) {
		struct mf_event_reader *reader = reader_after(r, "");
		struct got got;

		for (unsigned n = 0; n <= stop; n++)
			assert_true(next(reader, &got));
		mf_event_ring_close(reader);
		reader = reader_after(r, got.id);
		for (unsigned n = stop + 1; n < 60; n++) {
			assert_true(next(reader, &got));
			assert_int_equal(got.run, 0xa0 + n % 3);
			assert_int_equal(got.number, n / 3 + 1);
		}
		assert_false(next(reader, &got));
		mf_event_ring_close(reader);
	}
	mf_event_ring_free(r);
}

static void test_slow_reader(void **state)
{
	struct mf_event_ring *r = make(0, 16);
	struct mf_event_reader *reader = reader_after(r, NULL);
	struct mf_event_ring_stats s;
	struct got got;

	(void)state;
	for (uint64_t n = 1; n <= 100; n++)
		put(r, 7, n, 0);
	assert_true(next(reader, &got));
	assert_string_equal(got.type, "events_dropped");
	assert_int_equal(got.count, 84);
	assert_int_equal(got.number, 84); // the last that is missing
	mf_event_ring_close(reader);
	// Coming back with the gap's own id is no gap.
	reader = reader_after(r, got.id);
	for (uint64_t n = 85; n <= 100; n++) {
		assert_true(next(reader, &got));
		assert_string_equal(got.type, "dns_query");
		assert_int_equal(got.number, n);
	}
	assert_false(next(reader, &got));
	mf_event_ring_get_stats(r, &s);
	assert_int_equal(s.missed, 84);
	assert_int_equal(s.kept, 16);
	assert_int_equal(s.put, 100);
	assert_int_equal(s.readers, 1);
	mf_event_ring_close(reader);
	mf_event_ring_free(r);
}

static void test_unknown_id(void **state)
{
	struct mf_event_ring *r = make(0, 16);
	struct mf_event_reader *reader;
	struct mf_err err;
	struct got got;

	(void)state;
	for (uint64_t n = 1; n <= 20; n++)
		put(r, 7, n, 0);
	reader = reader_after(r, "00000008-000000000003");
	assert_true(next(reader, &got));
	assert_string_equal(got.type, "events_dropped");
	assert_int_equal(got.count, -1); // nobody knows
	for (uint64_t n = 5; n <= 20; n++) {
		assert_true(next(reader, &got));
		assert_int_equal(got.number, n);
	}
	mf_event_ring_close(reader);
	static const char *const no_ids[] = { "1", "00000007-00000000000x", "0000000g-000000000001",
					      "00000007-0000000000012", "00000007_000000000001" };
	for (size_t i = 0; i < MF_ARRAY_SIZE(no_ids); i++)
		assert_int_equal(mf_event_ring_open(r, no_ids[i], strlen(no_ids[i]), NULL, NULL,
						    &reader, &err),
				 MF_E_INVAL);
	mf_event_ring_free(r);
}

// Lines of all lengths, bytes as the limit: the newest stay, in order and unharmed, whatever was overwritten.
static void test_bytes(void **state)
{
	struct mf_event_ring *r = make(4 * MF_EVENT_ROOM, 1u << 16);
	uint64_t seed = 42, n = 0;

	(void)state;
	for (unsigned round = 0; round < 400; round++) {
		struct mf_event_reader *reader;
		struct mf_event_ring_stats s;
		struct got got;
		uint64_t expected;

		for (unsigned i = 0; i < 1 + test_below(&seed, 40); i++)
			put(r, 7, ++n, test_below(&seed, test_below(&seed, 4) ? 60 : 8000));
		mf_event_ring_get_stats(r, &s);
		// At least what fits beside one line of the greatest length and the end that is not used.
		assert_true(s.kept >= 1 && s.kept <= n);
		reader = reader_after(r, "");
		for (expected = n - s.kept + 1; expected <= n; expected++) {
			assert_true(next(reader, &got));
			assert_int_equal(got.number, expected);
		}
		assert_false(next(reader, &got));
		mf_event_ring_close(reader);
	}
	mf_event_ring_free(r);
}

static void test_bounds(void **state)
{
	struct mf_event_ring *r = make(0, 0);
	struct mf_event_reader *readers[MF_EVENT_RING_READERS_MAX], *more;
	char line[MF_EVENT_ROOM + 1];
	struct mf_err err;

	(void)state;
	memset(line, 'x', sizeof(line));
	assert_int_equal(mf_event_ring_put(r, line, sizeof(line)), MF_E_INVAL);
	assert_int_equal(mf_event_ring_put(r, "{}", 2), MF_E_INVAL);
	for (unsigned i = 0; i < MF_EVENT_RING_READERS_MAX; i++)
		readers[i] = reader_after(r, NULL);
	assert_int_equal(mf_event_ring_open(r, NULL, 0, NULL, NULL, &more, &err), MF_E_FULL);
	mf_event_ring_close(readers[3]);
	readers[3] = reader_after(r, NULL);
	for (unsigned i = 0; i < MF_EVENT_RING_READERS_MAX; i++)
		mf_event_ring_close(readers[i]);
	mf_event_ring_free(r);
}

static void count_wake(void *ctx)
{
	(*(unsigned *)ctx)++;
}

static void test_wake_once(void **state)
{
	struct mf_event_ring *r = make(0, 0);
	struct mf_event_reader *reader;
	unsigned woken = 0;
	struct got got;

	(void)state;
	assert_int_equal(mf_event_ring_open(r, NULL, 0, count_wake, &woken, &reader, NULL), 0);
	put(r, 1, 1, 0);
	assert_int_equal(woken, 0); // it has not asked yet
	assert_true(next(reader, &got));
	assert_false(next(reader, &got));
	put(r, 1, 2, 0);
	put(r, 1, 3, 0);
	assert_int_equal(woken, 1);
	while (next(reader, &got))
		;
	assert_int_equal(got.number, 3);
	put(r, 1, 4, 0);
	assert_int_equal(woken, 2);
	mf_event_ring_close(reader);
	put(r, 1, 5, 0);
	assert_int_equal(woken, 2);
	mf_event_ring_free(r);
}

// Writers and readers at the same time: every reader sees each writer's lines in order, and those it missed are counted.
#define WRITERS 3u
#define LINES	4000u
#define READERS 4u

struct crowd {
	struct mf_event_ring *ring;
	_Atomic unsigned started, ended;
};

static void *write_lines(void *arg)
{
	struct crowd *c = arg;
	unsigned run = atomic_fetch_add(&c->started, 1);

	for (uint64_t n = 1; n <= LINES; n++) {
		char line[MF_EVENT_ROOM];

		mf_event_ring_put(c->ring, line, make_line(line, run, n, n % 200));
	}
	atomic_fetch_add(&c->ended, 1);
	return NULL;
}

struct crowd_reader {
	struct crowd *crowd;
	struct mf_event_reader *reader;
	uint64_t last[WRITERS], seen, missing;
	bool disordered;
};

static void *read_lines(void *arg)
{
	struct crowd_reader *c = arg;
	bool over;

	do {
		struct got got;

		over = atomic_load(&c->crowd->ended) == WRITERS;
		while (next(c->reader, &got)) {
			if (strcmp(got.type, "events_dropped") == 0) {
				c->missing += (uint64_t)got.count;
				continue;
			}
			if (got.run >= WRITERS || got.number <= c->last[got.run])
				c->disordered = true;
			else
				c->last[got.run] = got.number;
			c->seen++;
		}
	} while (!over);
	return NULL;
}

static void test_crowd(void **state)
{
	struct crowd c = { .ring = make(0, 512) };
	struct crowd_reader readers[READERS];
	pthread_t threads[READERS], writers[WRITERS];

	(void)state;
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] =
			(struct crowd_reader){ .crowd = &c, .reader = reader_after(c.ring, NULL) };
		assert_int_equal(pthread_create(&threads[i], NULL, read_lines, &readers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_lines, &c), 0);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	for (unsigned i = 0; i < READERS; i++) {
		pthread_join(threads[i], NULL);
		assert_false(readers[i].disordered);
		assert_int_equal(readers[i].seen + readers[i].missing, WRITERS * LINES);
		mf_event_ring_close(readers[i].reader);
	}
	mf_event_ring_free(c.ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_live_and_from_the_beginning),
		cmocka_unit_test(test_resume_anywhere),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_unknown_id),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_wake_once),
		cmocka_unit_test(test_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
