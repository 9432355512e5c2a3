// SPDX-License-Identifier: Apache-2.0
// test_events.c - sinks and queues: nothing is lost while they take it, nobody waits when they do not, drops are reported
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "core/observe/events.h"
#include "tests/os/os.h"
#include "tests/unit/test.h"

#define WAIT_MS 60000u

static struct mf_events *make(struct mf_events_options options)
{
	struct mf_events *e;
	struct mf_err err = { 0 };

	if (mf_events_new(&options, &e, &err))
		fail_msg("%s", err.msg);
	return e;
}

static int send_verdict(struct mf_events *e, enum mf_verdict verdict, enum mf_visibility visibility,
			int64_t number)
{
	const struct mf_decision d = { .verdict = verdict,
				       .visibility = visibility,
				       .reason = "why" };
	struct mf_event ev;

	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_DNS_QUERY,
						     .session_id = "s",
						     .domain = "a.example",
						     .decision = &d });
	mf_event_add_int(&ev, MF_EVF_TTL, number);
	return mf_events_send(e, &ev);
}

static struct mf_events_stats stats(struct mf_events *e)
{
	struct mf_events_stats s;

	mf_events_get_stats(e, &s);
	return s;
}

// A sink that counts, and that can be held up.
struct collector {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool hold, waiting;
	uint64_t lines, denied, dropped_said, dropped_lines, last_number;
	bool ordered;
};

static void collect(void *ctx, const char *text, size_t len)
{
	struct collector *c = ctx;
	json_t *j = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *type, *id, *decision;
	uint64_t number;

	assert_non_null(j);
	type = json_string_value(json_object_get(j, "type"));
	id = json_string_value(json_object_get(j, "id"));
	decision = json_string_value(json_object_get(json_object_get(j, "policy"), "decision"));
	number = strtoull(strchr(id, '-') + 1, NULL, 10);
	pthread_mutex_lock(&c->lock);
	c->waiting = true;
	pthread_cond_broadcast(&c->changed);
	while (c->hold)
		pthread_cond_wait(&c->changed, &c->lock);
	c->waiting = false;
	if (strcmp(type, "events_dropped") == 0) {
		c->dropped_lines++;
		c->dropped_said += (uint64_t)json_integer_value(
			json_object_get(json_object_get(j, "fields"), "count"));
	} else {
		c->lines++;
		c->denied += decision && strcmp(decision, "deny") == 0;
		c->ordered &= number > c->last_number;
		c->last_number = number;
	}
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
	json_decref(j);
}

static void collector_init(struct collector *c)
{
	memset(c, 0, sizeof(*c));
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->changed, NULL);
	c->ordered = true;
}

static void collector_hold(struct collector *c, bool hold)
{
	pthread_mutex_lock(&c->lock);
	c->hold = hold;
	pthread_cond_broadcast(&c->changed);
	pthread_mutex_unlock(&c->lock);
}

static void collector_wait_until_stuck(struct collector *c)
{
	pthread_mutex_lock(&c->lock);
	while (!c->waiting)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

static void collector_wait_for(struct collector *c, uint64_t lines)
{
	pthread_mutex_lock(&c->lock);
	while (c->lines < lines)
		pthread_cond_wait(&c->changed, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

static void every_event_reaches_every_sink_in_order(void **state)
{
	struct mf_events *e = make((struct mf_events_options){ .queue_bytes = 8 << 20 });
	struct collector a, b;

	(void)state;
	collector_init(&a);
	collector_init(&b);
	assert_int_equal(mf_events_add_callback(e, collect, &a, "a", NULL), 0);
	assert_int_equal(mf_events_add_callback(e, collect, &b, "b", NULL), 0);
	for (int i = 0; i < 2000; i++)
		assert_int_equal(send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, i), 0);
	assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
	assert_int_equal(a.lines, 2000);
	assert_int_equal(b.lines, 2000);
	assert_true(a.ordered && b.ordered);
	assert_int_equal(stats(e).sent, 2000);
	assert_int_equal(stats(e).dropped, 0);
	mf_events_free(e);
}

static void ending_writes_what_is_still_queued(void **state)
{
	struct mf_events *e =
		make((struct mf_events_options){ .linger_ms = 60000, .queue_bytes = 8 << 20 });
	struct collector c;

	(void)state;
	collector_init(&c);
	assert_int_equal(mf_events_add_callback(e, collect, &c, "c", NULL), 0);
	for (int i = 0; i < 1000; i++)
		send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, i);
	mf_events_free(e);
	assert_int_equal(c.lines, 1000);
}

static void a_sink_that_stands_still_stops_nobody_and_denials_are_dropped_last(void **state)
{
	struct mf_events *e = make((struct mf_events_options){ .queue_bytes = 64 * 1024 });
	struct collector stuck, fine;
	uint64_t dropped_allow = 0, dropped_deny = 0, sent = 1, queued_denials = 0;

	(void)state;
	collector_init(&stuck);
	collector_init(&fine);
	collector_hold(&stuck, true);
	assert_int_equal(mf_events_add_callback(e, collect, &stuck, "stuck", NULL), 0);
	assert_int_equal(mf_events_add_callback(e, collect, &fine, "fine", NULL), 0);
	send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, 0);
	collector_wait_until_stuck(&stuck);
	assert_int_equal(mf_events_flush(e, 0), MF_E_TIME);
	// Now its queue fills: allowed lines up to three quarters, then denials until it is full.
	for (; dropped_allow < 10; sent++) {
		dropped_allow += send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, 0) == MF_E_FULL;
		collector_wait_for(&fine, sent + 1);
	}
	for (; dropped_deny < 10; sent++) {
		int r = send_verdict(e, MF_DENY, MF_AUDIT_ONLY, 0);

		dropped_deny += r == MF_E_FULL;
		queued_denials += r == 0;
		collector_wait_for(&fine, sent + 1);
	}
	assert_true(queued_denials > 20);
	assert_int_equal(stats(e).dropped, 20);
	// The other sink has all of them.
	assert_int_equal(fine.lines, sent);
	collector_hold(&stuck, false);
	mf_events_free(e);
	assert_int_equal(stuck.lines, sent - 20);
	assert_int_equal(stuck.denied, queued_denials);
	assert_int_equal(stuck.dropped_said, 20);
	assert_int_equal(fine.dropped_said, 0);
}

struct notices {
	pthread_mutex_t lock;
	unsigned cnt;
	char last[512];
};

static void notice(void *ctx, const char *text, size_t len)
{
	struct notices *n = ctx;

	pthread_mutex_lock(&n->lock);
	n->cnt++;
	snprintf(n->last, sizeof(n->last), "%.*s", (int)len, text);
	pthread_mutex_unlock(&n->lock);
}

static void silent_makes_no_event_and_warn_also_gives_a_notice(void **state)
{
	struct notices n = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct mf_events *e =
		make((struct mf_events_options){ .notice = notice, .notice_ctx = &n });
	struct collector c;

	(void)state;
	collector_init(&c);
	assert_int_equal(mf_events_add_callback(e, collect, &c, "c", NULL), 0);
	assert_int_equal(send_verdict(e, MF_DENY, MF_SILENT, 1), 0);
	assert_int_equal(send_verdict(e, MF_DENY, MF_AUDIT_ONLY, 2), 0);
	assert_int_equal(send_verdict(e, MF_DENY, MF_WARN, 3), 0);
	assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
	assert_int_equal(c.lines, 2);
	assert_int_equal(n.cnt, 1);
	assert_string_equal(n.last, "a.example: deny: why");
	assert_int_equal(stats(e).silent, 1);
	assert_int_equal(stats(e).notices, 1);
	mf_events_free(e);
}

static void lines_of_a_file_are_whole_and_private(void **state)
{
	char dir[256], path[300], line[MF_EVENT_ROOM + 2];
	struct mf_events *e = make((struct mf_events_options){ 0 });
	unsigned cnt = 0;
	FILE *f;

	(void)state;
	assert_int_equal(test_temp_dir(dir, sizeof(dir)), 0);
	snprintf(path, sizeof(path), "%s/events", dir);
	f = fopen(path, "wb");
	assert_non_null(f);
	fputs("before\n", f);
	fclose(f);
	assert_int_equal(mf_events_add_file(e, path, NULL), 0);
	for (int i = 0; i < 500; i++)
		send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, i);
	mf_events_free(e);
	f = fopen(path, "rb");
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "before\n");
	while (fgets(line, sizeof(line), f)) {
		json_t *j = json_loads(line, 0, NULL);

		assert_non_null(j);
		assert_int_equal(
			json_integer_value(json_object_get(json_object_get(j, "fields"), "ttl")),
			cnt++);
		json_decref(j);
	}
	assert_int_equal(cnt, 500);
	fclose(f);
	assert_int_equal(remove(path), 0);
	e = make((struct mf_events_options){ 0 });
	assert_int_equal(mf_events_add_file(e, path, NULL), 0);
	assert_true(test_is_private(path));
	mf_events_free(e);
	assert_int_equal(test_remove_tree(dir), 0);
}

static void a_file_that_cannot_be_opened_is_an_error_with_its_name(void **state)
{
	struct mf_events *e = make((struct mf_events_options){ 0 });
	struct mf_err err = { 0 };

	(void)state;
	assert_int_equal(mf_events_add_file(e, "/nonexistent/events", &err), MF_E_IO);
	assert_string_equal(err.file, "/nonexistent/events");
	assert_int_equal(mf_events_add_fd(e, -1, "x", &err), MF_E_INVAL);
	for (int i = 0; i < MF_EVENTS_SINKS_MAX; i++)
		assert_int_equal(mf_events_add_fd(e, 2, "stderr", NULL), 0);
	assert_int_equal(mf_events_add_fd(e, 2, "stderr", &err), MF_E_FULL);
	mf_events_free(e);
	assert_int_equal(mf_events_send(NULL, &(struct mf_event){ 0 }), 0);
}

static void a_pipe_that_nobody_reads_holds_up_neither_senders_nor_the_end(void **state)
{
	struct mf_events *e = make(
		(struct mf_events_options){ .queue_bytes = 128 * 1024, .close_timeout_ms = 300 });
	int p[2];
	unsigned full = 0;

	(void)state;
	assert_int_equal(test_pipe(p), 0);
	assert_int_equal(mf_events_add_fd(e, p[1], "pipe", NULL), 0);
	for (int i = 0; i < 5000; i++)
		full += send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, i) == MF_E_FULL;
	assert_true(full > 0);
	assert_int_equal(stats(e).dropped, full);
	mf_events_free(e);
	test_close(p[0]);
	test_close(p[1]);
}

static void a_reader_that_goes_away_kills_nobody_and_is_counted(void **state)
{
	struct mf_events *e = make((struct mf_events_options){ 0 });
	int p[2];

	(void)state;
	assert_int_equal(test_pipe(p), 0);
	test_close(p[0]);
	assert_int_equal(mf_events_add_fd(e, p[1], "pipe", NULL), 0);
	for (int i = 0; i < 100; i++)
		send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, i);
	assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
	assert_int_equal(stats(e).lost, 100);
	mf_events_free(e);
	test_close(p[1]);
}

static void a_full_disk_loses_lines_that_are_reported_later(void **state)
{
	struct mf_events *e;
	struct mf_err err = { 0 };
	FILE *f;

	(void)state;
	f = fopen("/dev/full", "ab");
	if (!f)
		skip();
	fclose(f);
	e = make((struct mf_events_options){ 0 });
	assert_int_equal(mf_events_add_file(e, "/dev/full", &err), 0);
	for (int i = 0; i < 10; i++)
		send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, i);
	assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
	assert_int_equal(stats(e).lost, 10);
	mf_events_free(e);
}

static void keep_line(void *ctx, const char *text, size_t len)
{
	snprintf(ctx, MF_EVENT_ROOM, "%.*s", (int)len, text);
}

// A store whose room somebody else says, and that can be held up.
struct store {
	_Atomic bool room, hold, held;
	_Atomic uint64_t lines, asked_for;
};

static int store_write(void *ctx, const char *text, size_t len, uint64_t missing,
		       bool (*give_up)(void *ctx), void *give_up_ctx, size_t *ret_written)
{
	struct store *s = ctx;

	(void)missing;
	(void)give_up;
	(void)give_up_ctx;
	while (s->hold) {
		s->held = true;
		sched_yield();
	}
	for (size_t i = 0; i < len; i++)
		s->lines += text[i] == '\n';
	*ret_written = len;
	return 0;
}

static void store_offer(void *ctx)
{
	(void)ctx;
}

static bool store_has_room(void *ctx, size_t room)
{
	struct store *s = ctx;

	s->asked_for = room;
	return s->room;
}

static const struct mf_events_writer store_writer = {
	.write = store_write,
	.reopen = store_offer,
	.offer = store_offer,
	.has_room = store_has_room,
	.close = store_offer,
};

static void a_strict_stream_says_whether_it_stores(void **state)
{
	struct mf_events *e = make((struct mf_events_options){ .queue_bytes = 1 << 16 });
	struct store s = { .room = true };
	struct mf_err err = { 0 };
	char line[MF_EVENT_ROOM];
	int sent = 0;

	(void)state;
	assert_true(mf_events_storing(NULL, 0));
	assert_int_equal(mf_events_add_callback(e, keep_line, line, "line", NULL), 0);
	assert_int_equal(mf_events_be_strict(e, &err), MF_E_INVAL); // a callback stores nothing
	assert_false(mf_events_is_strict(e));
	assert_int_equal(mf_events_add_writer(e, &store_writer, &s, "store", NULL), 0);
	s.room = false;
	assert_true(mf_events_storing(e, 0)); // nobody insists
	assert_int_equal(mf_events_be_strict(e, &err), 0);
	assert_int_equal(s.asked_for, 2 << 16); // what waits, and what is being written
	assert_false(mf_events_storing(e, 0));	// from the first moment
	assert_int_equal(stats(e).refused, 1);

	// It looks by itself, without anything that is sent.
	s.room = true;
	while (!mf_events_storing(e, 0))
		sched_yield();
	s.room = false;
	send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, 0);
	assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
	assert_false(mf_events_storing(e, 0));
	assert_int_equal(s.lines, 1);
	s.room = true;
	while (!mf_events_storing(e, 0))
		sched_yield();

	// A queue that is full up to the reserve; who may wait does.
	s.hold = true;
	assert_int_equal(send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, sent++), 0);
	while (!s.held) // from then on nothing is taken
		sched_yield();
	while (mf_events_storing(e, 0)) {
		assert_int_equal(send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, sent), 0);
		sent++;
	}
	assert_int_equal(stats(e).dropped, 0);
	assert_false(mf_events_storing(e, 1));
	s.hold = false;
	assert_true(mf_events_storing(e, WAIT_MS));
	assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
	assert_int_equal(s.lines, 1 + sent);
	assert_int_equal(stats(e).dropped + stats(e).lost, 0);
	mf_events_free(e);
}

static uint64_t fixed_wall(void *ctx)
{
	return *(uint64_t *)ctx;
}

static void times_are_rfc_3339_in_utc(void **state)
{
	static const struct {
		uint64_t s, us;
		const char *want;
	} cases[] = {
		{ 0, 1, "1970-01-01T00:00:00.000001Z" },
		{ 951782399, 999999, "2000-02-28T23:59:59.999999Z" },
		{ 951782400, 0, "2000-02-29T00:00:00.000000Z" },
		{ 1769682225, 250000, "2026-01-29T10:23:45.250000Z" },
		{ 4107542400, 0, "2100-03-01T00:00:00.000000Z" },
		{ 1735689599, 0, "2024-12-31T23:59:59.000000Z" },
	};
	static char line[MF_EVENT_ROOM];
	uint64_t now = 0;
	const struct mf_clock clock = { .monotonic = fixed_wall, .wall = fixed_wall, .ctx = &now };
	struct mf_events *e = make((struct mf_events_options){ .clock = &clock });

	(void)state;
	assert_int_equal(mf_events_add_callback(e, keep_line, line, "line", NULL), 0);
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		json_t *j;

		now = cases[i].s * MF_NS_PER_S + cases[i].us * MF_NS_PER_US;
		send_verdict(e, MF_ALLOW, MF_AUDIT_ONLY, 0);
		assert_int_equal(mf_events_flush(e, WAIT_MS), 0);
		j = json_loads(line, 0, NULL);
		assert_string_equal(json_string_value(json_object_get(j, "timestamp")),
				    cases[i].want);
		json_decref(j);
	}
	mf_events_free(e);
}

struct sender {
	struct mf_events *events;
	unsigned full;
};

static void *send_many(void *arg)
{
	struct sender *s = arg;

	for (int i = 0; i < 5000; i++)
		s->full +=
			send_verdict(s->events, i % 10 ? MF_ALLOW : MF_DENY, MF_AUDIT_ONLY, i) != 0;
	return NULL;
}

static void many_threads_send_and_every_line_is_accounted_for(void **state)
{
	struct mf_events *e = make((struct mf_events_options){ .queue_bytes = 64 * 1024 });
	struct sender s[4];
	pthread_t t[4];
	struct collector c;
	uint64_t full = 0;

	(void)state;
	collector_init(&c);
	assert_int_equal(mf_events_add_callback(e, collect, &c, "c", NULL), 0);
	for (int i = 0; i < 4; i++) {
		s[i] = (struct sender){ e, 0 };
		assert_int_equal(pthread_create(&t[i], NULL, send_many, &s[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		full += s[i].full;
	}
	assert_int_equal(stats(e).sent, 20000);
	assert_int_equal(stats(e).dropped, full);
	mf_events_free(e);
	assert_int_equal(c.lines + full, 20000);
	assert_int_equal(c.dropped_said, full);
	assert_true(c.ordered);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_event_reaches_every_sink_in_order),
		cmocka_unit_test(ending_writes_what_is_still_queued),
		cmocka_unit_test(
			a_sink_that_stands_still_stops_nobody_and_denials_are_dropped_last),
		cmocka_unit_test(silent_makes_no_event_and_warn_also_gives_a_notice),
		cmocka_unit_test(lines_of_a_file_are_whole_and_private),
		cmocka_unit_test(a_file_that_cannot_be_opened_is_an_error_with_its_name),
		cmocka_unit_test(a_pipe_that_nobody_reads_holds_up_neither_senders_nor_the_end),
		cmocka_unit_test(a_reader_that_goes_away_kills_nobody_and_is_counted),
		cmocka_unit_test(a_full_disk_loses_lines_that_are_reported_later),
		cmocka_unit_test(a_strict_stream_says_whether_it_stores),
		cmocka_unit_test(times_are_rfc_3339_in_utc),
		cmocka_unit_test(many_threads_send_and_every_line_is_accounted_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
