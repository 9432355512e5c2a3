/* SPDX-License-Identifier: Apache-2.0 */
/* test_serve_near_linux.c - a thread stays where another one is, and goes anywhere again */
#include "tests/unit/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fs/serve_near_linux.h"

struct server {
	pthread_t thread;
	pthread_mutex_t held; /* by the test until it ends */
	_Atomic pid_t tid;
};

static void *serve(void *arg)
{
	struct server *s = arg;

	s->tid = gettid();
	pthread_mutex_lock(&s->held);
	pthread_mutex_unlock(&s->held);
	return NULL;
}

static void begin(struct server *s)
{
	s->tid = 0;
	pthread_mutex_init(&s->held, NULL);
	pthread_mutex_lock(&s->held);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
	while (!s->tid)
		sched_yield();
}

static void end(struct server *s)
{
	pthread_mutex_unlock(&s->held);
	pthread_join(s->thread, NULL);
	pthread_mutex_destroy(&s->held);
}

static cpu_set_t places_of(pid_t tid)
{
	cpu_set_t set;

	assert_int_equal(sched_getaffinity(tid, sizeof(set), &set), 0);
	return set;
}

static void stays_and_leaves(void **state)
{
	struct mf_fuse_near near = { 0 };
	cpu_set_t all = places_of(0), now;
	struct server s, other;

	(void)state;
	begin(&s);
	begin(&other);
	mf_fuse_near_init(&near);
	mf_fuse_near_stay(&near, s.tid, gettid());
	now = places_of(s.tid);
	assert_int_equal(CPU_COUNT(&now), 1);
	assert_true(CPU_ISSET(near.cpu, &now));
	// Another one serves: the first is free, the second is not.
	mf_fuse_near_stay(&near, other.tid, gettid());
	now = places_of(s.tid);
	assert_true(CPU_EQUAL(&now, &all));
	now = places_of(other.tid);
	assert_int_equal(CPU_COUNT(&now), 1);
	mf_fuse_near_leave(&near);
	now = places_of(other.tid);
	assert_true(CPU_EQUAL(&now, &all));
	mf_fuse_near_leave(&near);
	end(&s);
	end(&other);
}

static void who_has_gone_holds_nobody(void **state)
{
	struct mf_fuse_near near = { 0 };
	cpu_set_t all = places_of(0), now;
	struct server s, gone;
	pid_t tid;

	(void)state;
	begin(&s);
	begin(&gone);
	tid = gone.tid;
	mf_fuse_near_init(&near);
	mf_fuse_near_stay(&near, s.tid, tid);
	end(&gone);
	while (mf_fuse_near_cpu(tid) >= 0) // joined, and in /proc a little longer
		sched_yield();
	near.rest = 0;
	mf_fuse_near_stay(&near, s.tid, tid);
	now = places_of(s.tid);
	assert_true(CPU_EQUAL(&now, &all));
	end(&s);
}

static void *begin_main(void *arg)
{
	struct mf_fuse_near *near = arg;
	cpu_set_t now;

	mf_fuse_near_begin(near);
	now = places_of(0);
	assert_true(CPU_EQUAL(&now, &near->all));
	return NULL;
}

static void what_a_thread_inherits_is_undone(void **state)
{
	struct mf_fuse_near near = { 0 };
	cpu_set_t one, now;
	pthread_t thread;

	(void)state;
	mf_fuse_near_init(&near);
	mf_fuse_near_stay(&near, gettid(), gettid());
	one = places_of(0);
	assert_int_equal(CPU_COUNT(&one), 1);
	assert_int_equal(pthread_create(&thread, NULL, begin_main, &near), 0);
	pthread_join(thread, NULL);
	mf_fuse_near_leave(&near);
	now = places_of(0);
	assert_true(CPU_EQUAL(&now, &near.all));
}

static void nobody_is_nowhere(void **state)
{
	(void)state;
	assert_int_equal(mf_fuse_near_cpu(0), -1);
	assert_int_equal(mf_fuse_near_cpu(-1), -1);
	assert_true(mf_fuse_near_cpu(gettid()) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stays_and_leaves),
		cmocka_unit_test(who_has_gone_holds_nobody),
		cmocka_unit_test(what_a_thread_inherits_is_undone),
		cmocka_unit_test(nobody_is_nowhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
