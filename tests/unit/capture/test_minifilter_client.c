/* SPDX-License-Identifier: Apache-2.0 */
/* test_minifilter_client.c - the conversation with a driver that insists on the protocol */
#include "tests/unit/test.h"

#include "tests/unit/capture/minifilter_double.h"

#define TOKEN UINT64_C(0x1122334455667788)

struct stage {
	struct minifilter_double driver;
	struct mf_minifilter_client *client;
	pthread_t thread;
	int served;
	unsigned woken;
	enum mf_minifilter_decision judgement;
	unsigned judged;
	char judged_path[64];
};

static void wake(void *ctx)
{
	struct stage *s = ctx;

	pthread_mutex_lock(&s->driver.lock);
	s->woken++;
	pthread_cond_broadcast(&s->driver.changed);
	pthread_mutex_unlock(&s->driver.lock);
}

static enum mf_minifilter_decision judge(void *ctx, const struct mf_minifilter_msg *check)
{
	struct stage *s = ctx;

	s->judged++;
	snprintf(s->judged_path, sizeof(s->judged_path), "%.60s", check->file.path.text);
	return s->judgement;
}

static void *serve(void *arg)
{
	struct stage *s = arg;

	s->served = mf_minifilter_client_serve(s->client);
	return NULL;
}

static struct mf_minifilter_options options_of(struct stage *s)
{
	return (struct mf_minifilter_options){ .size = sizeof(struct mf_minifilter_options),
					       .token = TOKEN,
					       .own_pid = 4711,
					       .workspace = "C:\\work",
					       .wake = { wake, s } };
}

static void begin(struct stage *s, const struct mf_minifilter_options *o)
{
	struct mf_minifilter_transport t;
	struct mf_err err = { 0 };

	memset(s, 0, sizeof(*s));
	double_init(&s->driver);
	t = double_transport(&s->driver);
	assert_int_equal(mf_minifilter_client_new(o, &t, &s->client, &err), 0);
	assert_int_equal(mf_minifilter_client_connect(s->client, &err), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(struct stage *s, int served)
{
	mf_minifilter_client_stop(s->client);
	pthread_join(s->thread, NULL);
	assert_int_equal(s->served, served);
	assert_int_equal(s->driver.refused, 0);
	mf_minifilter_client_free(s->client);
	double_done(&s->driver);
}

/* A file check without its header: token, pid, tid, operation, disposition, access, path. */
static void say_file(struct stage *s, uint32_t op, const char *path, uint64_t message,
		     uint32_t reply_len)
{
	uint8_t body[2112] = { 0 };

	memcpy(body, &(uint64_t){ TOKEN }, 8);
	memcpy(body + 8, &(uint32_t){ 9 }, 4);
	memcpy(body + 16, &op, 4);
	for (size_t i = 0; path[i]; i++)
		body[28 + 2 * i] = (uint8_t)path[i];
	double_say(&s->driver, 1, 2128, 77, reply_len, message, body, sizeof(body));
}

static void say_process(struct stage *s, uint32_t type, uint64_t token, uint32_t pid,
			uint32_t parent, uint64_t time)
{
	uint8_t body[24];

	memcpy(body, &token, 8);
	memcpy(body + 8, &pid, 4);
	memcpy(body + 12, &parent, 4);
	memcpy(body + 16, &time, 8);
	double_say(&s->driver, type, 40, 1, 0, 1, body, sizeof(body));
}

static void it_introduces_itself(void **state)
{
	struct mf_minifilter_options o;
	struct mf_minifilter_metrics m;
	struct stage s;

	(void)state;
	o = options_of(&s);
	begin(&s, &o);
	assert_int_equal(s.driver.client_pid, 4711);
	assert_int_equal(s.driver.excluded_pid, 4711);
	assert_int_equal(s.driver.configured, 1);
	assert_int_equal(s.driver.fail_mode, 0);
	assert_int_equal(s.driver.registered, 0);
	assert_int_equal(mf_minifilter_client_register(s.client, 1234), 0);
	assert_int_equal(s.driver.registered, 1);
	assert_int_equal(s.driver.root_pid, 1234);
	assert_true(s.driver.token == TOKEN);
	assert_string_equal(s.driver.workspace, "C:\\work");
	assert_int_equal(mf_minifilter_client_ask_metrics(s.client, &m), 0);
	assert_int_equal(m.cache_hits, 1);
	assert_int_equal(m.processes, 12);
	assert_int_equal(m.failures_in_row, 13);
	mf_minifilter_client_stop(s.client);
	assert_int_equal(s.driver.unregistered, 1);
	assert_int_equal(mf_minifilter_client_ask_metrics(s.client, &m), MF_E_CLOSED);
	end(&s, MF_E_UNSUPPORTED);
}

static void pings_are_answered_as_they_came(void **state)
{
	uint8_t ping[16] = { 3, 0, 1, 0 };
	struct mf_minifilter_options o;
	struct mf_minifilter_stats stats;
	struct stage s;

	(void)state;
	o = options_of(&s);
	begin(&s, &o);
	ping[8] = 5;
	double_say(&s.driver, 0, 32, 31, 48, 8, ping, sizeof(ping));
	double_wait(&s.driver, &s.driver.pongs, 1);
	assert_int_equal(s.driver.replies, 1);
	assert_int_equal(s.driver.reply_message, 8);
	assert_int_equal(s.driver.reply_request, 31);
	// The driver speaks 1.3, we 1.0.
	assert_int_equal(s.driver.pong_version, 0x00010000);
	double_say(&s.driver, 0, 32, 32, 0, 9, ping, sizeof(ping));
	double_wait(&s.driver, &s.driver.pongs, 2);
	assert_int_equal(s.driver.replies, 1);
	mf_minifilter_client_get_stats(s.client, &stats);
	assert_int_equal(stats.pings, 2);
	assert_int_equal(stats.version, 0x00010000);
	end(&s, MF_E_UNSUPPORTED);
}

static void another_major_version_ends_it_for_good(void **state)
{
	const uint8_t ping[16] = { 0, 0, 2, 0 };
	struct mf_minifilter_options o;
	struct mf_err err = { 0 };
	struct stage s;

	(void)state;
	o = options_of(&s);
	begin(&s, &o);
	double_say(&s.driver, 0, 32, 31, 48, 8, ping, sizeof(ping));
	pthread_join(s.thread, NULL);
	assert_int_equal(s.served, MF_E_UNSUPPORTED);
	assert_int_equal(s.driver.reply_status, (int32_t)0xC00000BB);
	assert_int_equal(mf_minifilter_client_connect(s.client, &err), MF_E_CLOSED);
	assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
	end(&s, MF_E_UNSUPPORTED);
}

static void checks_without_a_judge_follow_the_settings(void **state)
{
	char longest[521];

	(void)state;
	memset(longest, 'x', 520);
	longest[520] = '\0';
	for (uint32_t closed = 0; closed < 2; closed++) {
		struct mf_minifilter_options o;
		struct mf_minifilter_stats stats;
		struct stage s;

		o = options_of(&s);
		o.config = (struct mf_minifilter_config){ closed, 5000, 10, 4096, 7000 };
		begin(&s, &o);
		assert_int_equal(s.driver.fail_mode, closed);
		say_file(&s, 1, "C:\\a", 5, 40);
		double_wait(&s.driver, &s.driver.replies, 1);
		assert_int_equal(s.driver.decision, closed);
		assert_int_equal(s.driver.ttl, 7000);
		assert_int_equal(s.driver.reply_message, 5);
		assert_int_equal(s.driver.reply_request, 77);
		// Whatever the settings say: a path that was cut is denied.
		say_file(&s, 1, longest, 6, 40);
		double_wait(&s.driver, &s.driver.replies, 2);
		assert_int_equal(s.driver.decision, 1);
		// Nobody waits for so many bytes: the status alone.
		say_file(&s, 1, "C:\\a", 7, 20);
		double_wait(&s.driver, &s.driver.replies, 3);
		assert_int_equal(s.driver.reply_len, 16);
		assert_int_equal(s.driver.reply_status, (int32_t)0xC000000D);
		mf_minifilter_client_get_stats(s.client, &stats);
		assert_int_equal(stats.allowed, closed ? 0 : 2);
		assert_int_equal(stats.denied, closed ? 3 : 1);
		end(&s, MF_E_UNSUPPORTED);
	}
}

static void a_judge_is_asked_about_what_can_be_judged(void **state)
{
	struct mf_minifilter_options o;
	struct stage s;

	(void)state;
	o = options_of(&s);
	o.judge = judge;
	o.judge_ctx = &s;
	o.answer_ttl_ms = 100;
	begin(&s, &o);
	s.judgement = MF_MINIFILTER_DENY;
	say_file(&s, 4, "C:\\secret", 5, 40);
	double_wait(&s.driver, &s.driver.replies, 1);
	assert_int_equal(s.driver.decision, 1);
	assert_int_equal(s.driver.ttl, 100);
	assert_int_equal(s.judged, 1);
	assert_string_equal(s.judged_path, "C:\\secret");
	s.judgement = MF_MINIFILTER_ALLOW;
	say_file(&s, 99, "C:\\secret", 5, 40);
	double_wait(&s.driver, &s.driver.replies, 2);
	assert_int_equal(s.driver.decision, 1);
	assert_int_equal(s.judged, 1);
	end(&s, MF_E_UNSUPPORTED);
}

static void processes_become_events(void **state)
{
	struct mf_minifilter_options o;
	struct mf_session_events source;
	struct mf_session_event ev;
	struct mf_minifilter_stats stats;
	struct stage s;

	(void)state;
	o = options_of(&s);
	begin(&s, &o);
	source = mf_minifilter_client_events(s.client);
	assert_int_equal(source.next(source.ctx, &ev), 0);
	say_process(&s, 3, TOKEN, 100, 50, UINT64_C(116444736000000000) + 15);
	say_process(&s, 3, TOKEN + 1, 101, 50, 0); // of another session
	say_process(&s, 4, TOKEN, 100, 50, 0);
	double_wait(&s.driver, &s.woken, 2);
	assert_int_equal(source.next(source.ctx, &ev), 1);
	assert_int_equal(ev.kind, MF_SESSION_CREATED);
	assert_int_equal(ev.pid, 100);
	assert_int_equal(ev.parent, 50);
	assert_int_equal(ev.time_ns, 1500);
	assert_int_equal(source.next(source.ctx, &ev), 1);
	assert_int_equal(ev.kind, MF_SESSION_EXITED);
	assert_int_equal(ev.pid, 100);
	assert_int_equal(source.next(source.ctx, &ev), 0);
	mf_minifilter_client_get_stats(s.client, &stats);
	assert_int_equal(stats.created, 1);
	assert_int_equal(stats.ended, 1);
	assert_int_equal(stats.foreign, 1);
	end(&s, MF_E_UNSUPPORTED);
}

static void what_is_no_message_is_refused_and_counted(void **state)
{
	struct mf_minifilter_options o;
	struct mf_minifilter_stats stats;
	struct stage s;

	(void)state;
	o = options_of(&s);
	begin(&s, &o);
	double_say(&s.driver, 1, 1068, 3, 40, 21, NULL, 0); // a file check that is too short
	double_wait(&s.driver, &s.driver.replies, 1);
	assert_int_equal(s.driver.reply_status, (int32_t)0xC000000D);
	assert_int_equal(s.driver.reply_message, 21);
	double_say(&s.driver, 200, 24, 3, 16, 22, NULL, 0);
	double_wait(&s.driver, &s.driver.replies, 2);
	assert_int_equal(s.driver.reply_status, (int32_t)0xC00000BB);
	double_say(&s.driver, 107, 24, 3, 16, 23, NULL, 0); // ours, said to us
	double_wait(&s.driver, &s.driver.replies, 3);
	double_say(&s.driver, 200, 24, 3, 0, 24, NULL, 0); // nobody waits
	double_say(&s.driver, 3, 36, 3, 0, 25, NULL, 0);
	say_process(&s, 3, TOKEN, 100, 50, 0);
	double_wait(&s.driver, &s.woken, 1);
	assert_int_equal(s.driver.replies, 3);
	mf_minifilter_client_get_stats(s.client, &stats);
	assert_int_equal(stats.malformed, 2);
	assert_int_equal(stats.unknown, 3);
	end(&s, MF_E_UNSUPPORTED);
}

static void a_lost_connection_is_made_again_with_its_session(void **state)
{
	struct mf_minifilter_options o;
	struct mf_err err = { 0 };
	struct stage s;

	(void)state;
	o = options_of(&s);
	begin(&s, &o);
	assert_int_equal(mf_minifilter_client_register(s.client, 55), 0);
	s.driver.present = false;
	double_disconnect(&s.driver);
	pthread_join(s.thread, NULL);
	assert_int_equal(s.served, MF_E_CLOSED);
	assert_int_equal(mf_minifilter_client_connect(s.client, &err), MF_E_NOENT);
	assert_int_equal(mf_minifilter_client_register(s.client, 66), MF_E_CLOSED);
	s.driver.present = true;
	assert_int_equal(mf_minifilter_client_connect(s.client, &err), 0);
	assert_int_equal(s.driver.excluded, 2);
	assert_int_equal(s.driver.registered, 2);
	assert_int_equal(s.driver.root_pid, 66);
	assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
	end(&s, MF_E_UNSUPPORTED);
}

static void a_flood_of_processes_is_told_as_lost(void **state)
{
	static struct mf_session_queue q;
	struct mf_session_event ev = { .kind = MF_SESSION_CREATED };

	(void)state;
	for (uint32_t i = 0; i < MF_SESSION_QUEUE_LEN + 3; i++) {
		ev.pid = i + 1;
		assert_int_equal(mf_session_queue_put(&q, &ev), i < MF_SESSION_QUEUE_LEN);
	}
	for (uint32_t i = 0; i < MF_SESSION_QUEUE_LEN; i++) {
		assert_int_equal(mf_session_queue_take(&q, &ev), 1);
		assert_int_equal(ev.pid, i + 1);
	}
	assert_int_equal(mf_session_queue_take(&q, &ev), 1);
	assert_int_equal(ev.kind, MF_SESSION_LOST);
	assert_int_equal(ev.pid, 3);
	assert_int_equal(mf_session_queue_take(&q, &ev), 0);
}

static void options_are_checked(void **state)
{
	struct mf_minifilter_transport t = { 0 };
	struct mf_minifilter_client *c = NULL;
	static char path[600];
	struct mf_err err = { 0 };
	struct mf_minifilter_options o, good;
	struct stage s;

	(void)state;
	good = o = options_of(&s);
	o.token = 0;
	assert_int_equal(mf_minifilter_client_new(&o, &t, &c, &err), MF_E_INVAL);
	o = good;
	o.config.timeout_ms = 5;
	assert_int_equal(mf_minifilter_client_new(&o, &t, &c, &err), MF_E_INVAL);
	o = good;
	o.workspace = memset(path, 'x', 520);
	assert_int_equal(mf_minifilter_client_new(&o, &t, &c, &err), MF_E_LIMIT);
	o.workspace = "\xff";
	assert_int_equal(mf_minifilter_client_new(&o, &t, &c, &err), MF_E_SYNTAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_introduces_itself),
		cmocka_unit_test(pings_are_answered_as_they_came),
		cmocka_unit_test(another_major_version_ends_it_for_good),
		cmocka_unit_test(checks_without_a_judge_follow_the_settings),
		cmocka_unit_test(a_judge_is_asked_about_what_can_be_judged),
		cmocka_unit_test(processes_become_events),
		cmocka_unit_test(what_is_no_message_is_refused_and_counted),
		cmocka_unit_test(a_lost_connection_is_made_again_with_its_session),
		cmocka_unit_test(a_flood_of_processes_is_told_as_lost),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
