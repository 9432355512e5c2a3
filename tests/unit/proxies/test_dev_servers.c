// SPDX-License-Identifier: Apache-2.0
// The table of detected servers over a system that the test makes up: what is told of, in which order, under which names.
#include <event2/event.h>
#include <sched.h>
#include <stdatomic.h>

#include "proxies/dev_servers_int.h"
#include "proxies/sock.h"
#include "tests/unit/test.h"

#define SELF_PID 999
#define ME	 1000

/* --- the made-up system: listeners, whose they are, what they speak --------------------------------------------------- */

static struct world {
	struct mf_dev_listener l[MF_DEV_LISTEN_MAX];
	size_t cnt;
	int fail; /* of list() */
	enum mf_dev_speech speech[65536];
	size_t asked;
	const char *taken;
	bool closed;
} world;

/* What the worker's thread reads: written only while it has nothing to do. By inode. */
static struct mf_dev_facts owners[MF_DEV_LISTEN_MAX + 1];

/* The look-up waits, as one of a dead file system does. */
static atomic_bool hangs;

static int list(void *ctx, struct mf_dev_listener *ret, size_t max)
{
	(void)ctx;
	if (world.fail)
		return world.fail;
	memcpy(ret, world.l, (world.cnt < max ? world.cnt : max) * sizeof(*ret));
	return (int)world.cnt;
}

static void look_up(struct mf_dev_facts *facts, size_t cnt)
{
	while (atomic_load(&hangs))
		sched_yield();
	for (size_t i = 0; i < cnt; i++) {
		const struct mf_dev_facts *o = &owners[facts[i].inode];

		facts[i].pid = o->pid;
		facts[i].kind = o->kind;
		memcpy(facts[i].label, o->label, sizeof(o->label));
		memcpy(facts[i].cwd, o->cwd, sizeof(o->cwd));
		memcpy(facts[i].process, o->process, sizeof(o->process));
	}
}

static enum mf_dev_speech ask(void *ctx, const struct mf_endpoint *at)
{
	(void)ctx;
	world.asked++;
	return world.speech[at->port];
}

static void close_world(void *ctx)
{
	(void)ctx;
	world.closed = true;
}

static bool is_taken(void *ctx, const char *name)
{
	(void)ctx;
	return world.taken && strcmp(name, world.taken) == 0;
}

static uint64_t next_inode;

/* Return: the listener's inode; @label NULL: nobody knows whose it is */
static uint64_t open_listener(const char *addr, uint16_t port, uint32_t pid, const char *label)
{
	struct mf_dev_listener *l = &world.l[world.cnt++];
	struct mf_dev_facts *o = &owners[++next_inode];

	*l = (struct mf_dev_listener){
		.cookie = 0x100000000 - next_inode, .inode = next_inode, .uid = ME, .only_v6 = true
	};
	assert_int_equal(mf_addr_parse(addr, strlen(addr), &l->at.addr), 0);
	l->at.port = port;
	memset(o, 0, sizeof(*o));
	o->pid = pid;
	snprintf(o->label, sizeof(o->label), "%s", label ? label : "");
	if (label) {
		snprintf(o->cwd, sizeof(o->cwd), "/p/%s", label);
		snprintf(o->process, sizeof(o->process), "node");
		o->kind = MF_DEV_NODE;
	}
	world.speech[port] = MF_DEV_HTTP;
	return next_inode;
}

static void close_listener(uint64_t inode)
{
	for (size_t i = 0; i < world.cnt; i++)
		if (world.l[i].inode == inode) {
			world.l[i] = world.l[--world.cnt];
			return;
		}
	fail_msg("no listener %u", (unsigned)inode);
}

/* --- what is told --------------------------------------------------------------------------------------------------- */

static char story[4096];

static void told(void *ctx, enum mf_dev_change change, const struct mf_dev_server *s)
{
	size_t len = strlen(story);

	(void)ctx;
	snprintf(story + len, sizeof(story) - len, "%s %u %s %s|", mf_dev_change_name(change),
		 s->at.port, s->name[0] ? s->name : "-", mf_dev_speech_name(s->speech));
}

static struct event_base *base;
static struct mf_dev_servers *d;

static void start(uint32_t owner_wait_ms)
{
	struct mf_dev_source source = { .list = list,
					.look_up = look_up,
					.ask = ask,
					.close = close_world,
					.self_pid = SELF_PID,
					.self_uid = ME };
	static const uint16_t skip[] = { 9999 };
	/* only mf_dev_servers_look() looks */
	struct mf_dev_servers_options o = { .size = sizeof(o),
					    .skip_ports = skip,
					    .skip_port_cnt = 1,
					    .is_taken = is_taken,
					    .told = told,
					    .tick_ms = 1000000000 };
	struct mf_err err;

	source.owner_wait_ms = owner_wait_ms;
	assert_int_equal(mf_sock_start(), 0);
	base = event_base_new();
	assert_non_null(base);
	story[0] = '\0';
	assert_int_equal(mf_dev_servers_start_with(base, &o, &source, &d, &err), 0);
}

/* Look, and let what begins with it end. */
static const char *look(void)
{
	story[0] = '\0';
	mf_dev_servers_look(d);
	while (mf_dev_servers_is_busy(d))
		event_base_loop(base, EVLOOP_ONCE);
	return story;
}

static int set_up(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	start(1000000);
	return 0;
}

static int set_up_impatient(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	start(1);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	mf_dev_servers_stop(d);
	event_base_free(base);
	assert_true(world.closed);
	return 0;
}

/* --- tests ---------------------------------------------------------------------------------------------------------- */

static void a_server_comes_and_goes(void **state)
{
	uint64_t a;
	const struct mf_dev_server *s;

	(void)state;
	assert_string_equal(look(), "");
	a = open_listener("127.0.0.1", 3000, 1, "shop");
	assert_string_equal(look(), "appeared 3000 shop.localhost http|");
	assert_string_equal(look(), "");
	s = mf_dev_servers_find(d, "shop.localhost");
	assert_true(s && s == mf_dev_servers_next(d, NULL) && !mf_dev_servers_next(d, s));
	assert_null(mf_dev_servers_find(d, "other.localhost"));
	assert_null(mf_dev_servers_find(d, ""));
	assert_int_equal(world.asked, 1);
	close_listener(a);
	assert_string_equal(look(), "disappeared 3000 shop.localhost http|");
	assert_null(mf_dev_servers_next(d, NULL));
}

static void names_are_unique_and_frontends_first(void **state)
{
	uint64_t a, b;

	(void)state;
	a = open_listener("127.0.0.1", 3000, 1, "shop");
	b = open_listener("127.0.0.1", 5173, 2, "shop");
	owners[b].kind = MF_DEV_VITE;
	(void)look();
	assert_int_equal(mf_dev_servers_find(d, "shop.localhost")->at.port, 5173);
	assert_int_equal(mf_dev_servers_find(d, "shop-3000.localhost")->at.port, 3000);
	/* nobody is renamed because another went; who comes gets what is free */
	close_listener(b);
	assert_string_equal(look(), "disappeared 5173 shop.localhost http|");
	open_listener("127.0.0.1", 3001, 3, "shop");
	assert_string_equal(look(), "appeared 3001 shop.localhost http|");
	close_listener(a);
	assert_string_equal(look(), "disappeared 3000 shop-3000.localhost http|");
}

static void of_equals_the_lower_port_is_first(void **state)
{
	(void)state;
	open_listener("127.0.0.1", 4002, 1, "x");
	open_listener("127.0.0.1", 4000, 2, "x");
	open_listener("127.0.0.1", 4001, 3, "x");
	(void)look();
	assert_int_equal(mf_dev_servers_find(d, "x.localhost")->at.port, 4000);
	assert_non_null(mf_dev_servers_find(d, "x-4002.localhost"));
}

static void two_servers_of_one_port_have_two_names(void **state)
{
	(void)state;
	open_listener("127.0.0.1", 4000, 1, "x");
	owners[open_listener("127.0.0.2", 4000, 2, "x")].cwd[3] = 'y';
	owners[open_listener("127.0.0.3", 4000, 3, "x")].cwd[3] = 'z';
	owners[open_listener("127.0.0.4", 4000, 4, "x")].cwd[3] = 'w';
	(void)look();
	assert_non_null(mf_dev_servers_find(d, "x.localhost"));
	assert_non_null(mf_dev_servers_find(d, "x-4000.localhost"));
	assert_non_null(mf_dev_servers_find(d, "x-4000-b.localhost"));
	/* the fourth has none, and is listed */
	assert_non_null(strstr(story, "appeared 4000 - http|"));
}

static void taken_and_privileged_names_are_not_proposed(void **state)
{
	(void)state;
	world.taken = "shop.localhost";
	open_listener("127.0.0.1", 4000, 1, "shop");
	open_listener("127.0.0.1", 4001, 2, "moonfence");
	open_listener("127.0.0.1", 4002, 3, "localhost");
	(void)look();
	assert_non_null(mf_dev_servers_find(d, "shop-4000.localhost"));
	assert_non_null(mf_dev_servers_find(d, "moonfence-4001.localhost"));
	assert_non_null(mf_dev_servers_find(d, "localhost-4002.localhost"));
	story[0] = '\0';
	world.taken = "moonfence-4001.localhost";
	mf_dev_servers_rename(d);
	assert_string_equal(story, "changed 4001 moonfence-4001-b.localhost http|");
}

static void families_workers_and_processes_are_grouped(void **state)
{
	uint64_t a, b;

	(void)state;
	a = open_listener("127.0.0.1", 3000, 1, "a");
	b = open_listener("::1", 3000, 1, "a");
	assert_string_equal(look(), "appeared 3000 a.localhost http|");
	assert_int_equal(world.asked, 1);
	/* one family goes, and comes again */
	close_listener(a);
	assert_string_equal(look(), "changed 3000 a.localhost http|");
	assert_true(mf_dev_servers_next(d, NULL)->on_v6 && !mf_dev_servers_next(d, NULL)->on_v4);
	open_listener("127.0.0.1", 3000, 1, "a");
	assert_string_equal(look(), "changed 3000 a.localhost http|");
	close_listener(b);
	(void)look();
	/* another process at the same address: SO_REUSEPORT */
	open_listener("127.0.0.1", 3000, 7, "other");
	assert_string_equal(look(), "");
	assert_int_equal(world.asked, 1);
}

static void a_restart_keeps_the_entry(void **state)
{
	uint64_t a, id;

	(void)state;
	a = open_listener("127.0.0.1", 3000, 1, "a");
	(void)look();
	id = mf_dev_servers_next(d, NULL)->id;
	close_listener(a);
	a = open_listener("127.0.0.1", 3000, 2, "a");
	assert_string_equal(look(), "changed 3000 a.localhost http|"); /* the process */
	assert_int_equal(mf_dev_servers_next(d, NULL)->pid, 2);
	assert_true(mf_dev_servers_next(d, NULL)->id == id);
	assert_int_equal(world.asked, 2);
	/* as another project's */
	close_listener(a);
	open_listener("127.0.0.1", 3000, 3, "b");
	assert_string_equal(look(), "changed 3000 b.localhost http|");
}

static void what_is_not_asked_for_is_not_seen(void **state)
{
	(void)state;
	open_listener("127.0.0.1", 443, 1, "privileged");
	open_listener("127.0.0.1", 9999, 1, "skipped");
	open_listener("192.0.2.1", 3000, 1, "beyond");
	open_listener("2001:db8::1", 3000, 1, "beyond");
	open_listener("127.0.0.1", 3001, 1, "somebody's");
	world.l[world.cnt - 1].uid = ME + 1;
	open_listener("127.0.0.1", 3002, SELF_PID, "ours");
	assert_string_equal(look(), "");
	assert_int_equal(world.asked, 0);
}

static void services_are_listed_and_not_asked(void **state)
{
	(void)state;
	owners[open_listener("127.0.0.1", 7000, 1, "db")].kind = MF_DEV_SERVICE;
	open_listener("127.0.0.1", 5432, 2, "db");
	(void)look();
	assert_non_null(strstr(story, "appeared 7000 - other|"));
	assert_non_null(strstr(story, "appeared 5432 - other|"));
	assert_int_equal(world.asked, 0);
}

static void other_protocols_have_no_name_and_keep_none_from_others(void **state)
{
	(void)state;
	open_listener("127.0.0.1", 3000, 1, "a");
	world.speech[3000] = MF_DEV_OTHER;
	assert_string_equal(look(), "appeared 3000 - other|");
	open_listener("127.0.0.1", 3001, 2, "a");
	assert_string_equal(look(), "appeared 3001 a.localhost http|");
}

static void owners_that_are_not_known(void **state)
{
	struct mf_dev_servers_stats s = { .size = sizeof(s) };

	(void)state;
	open_listener("0.0.0.0", 3000, 0, NULL);
	assert_string_equal(look(), "appeared 3000 - http|");
	assert_true(mf_dev_servers_next(d, NULL)->on_any_address);
	mf_dev_servers_get_stats(d, &s);
	assert_int_equal(s.unowned, 1);
}

static void a_kernel_that_refuses_changes_nothing(void **state)
{
	struct mf_dev_servers_stats s = { .size = sizeof(s) };

	(void)state;
	open_listener("127.0.0.1", 3000, 1, "a");
	(void)look();
	world.fail = MF_E_IO;
	assert_string_equal(look(), "");
	mf_dev_servers_get_stats(d, &s);
	assert_int_equal(s.failed_ticks, 1);
	assert_int_equal(s.servers, 1);
}

static void more_servers_than_are_listed(void **state)
{
	struct mf_dev_servers_stats s = { .size = sizeof(s) };

	(void)state;
	for (int i = 0; i < MF_DEV_SERVERS_MAX + 100; i++)
		open_listener("127.0.0.1", (uint16_t)(20000 + i), (uint32_t)i + 1, "many");
	(void)look();
	mf_dev_servers_get_stats(d, &s);
	assert_int_equal(s.servers, MF_DEV_SERVERS_MAX);
	assert_int_equal(s.left_out, 100);
	world.cnt = 0;
	(void)look();
	assert_null(mf_dev_servers_next(d, NULL));
}

/* Any sequence of openings and closings: the list is always what listens, each name is one server's. */
static void any_sequence(void **state)
{
	uint64_t random = 42;

	(void)state;
	for (int round = 0; round < 300; round++) {
		size_t names = 0, servers = 0;

		for (int n = test_below(&random, 4); n >= 0; n--) {
			static const char *const addrs[] = { "127.0.0.1", "::1", "0.0.0.0",
							     "::", "127.0.0.9" };
			static const char *const labels[] = { "a", "b", NULL, "moonfence" };

			if (world.cnt && (world.cnt > 40 || test_below(&random, 2)))
				close_listener(
					world.l[test_below(&random, (uint32_t)world.cnt)].inode);
			else if (next_inode < MF_DEV_LISTEN_MAX)
				open_listener(addrs[test_below(&random, 5)],
					      (uint16_t)(3000 + test_below(&random, 6)),
					      1 + test_below(&random, 5),
					      labels[test_below(&random, 4)]);
		}
		(void)look();
		for (const struct mf_dev_server *s = NULL; (s = mf_dev_servers_next(d, s));
		     servers++) {
			bool listens = false;

			for (size_t i = 0; i < world.cnt; i++)
				listens |= world.l[i].at.port == s->at.port;
			assert_true(listens);
			assert_true(s->on_v4 || s->on_v6);
			if (!s->name[0])
				continue;
			names++;
			assert_ptr_equal(mf_dev_servers_find(d, s->name), s);
		}
		for (size_t i = 0; i < world.cnt; i++) {
			bool listed = false;

			for (const struct mf_dev_server *s = NULL; (s = mf_dev_servers_next(d, s));)
				listed |= s->at.port == world.l[i].at.port;
			assert_true(listed);
		}
		assert_true(names <= servers);
	}
}

static void json_has_every_field(void **state)
{
	json_t *j;

	(void)state;
	open_listener("127.0.0.1", 3000, 7, "a");
	(void)look();
	j = mf_dev_server_to_json(mf_dev_servers_next(d, NULL));
	assert_non_null(j);
	assert_string_equal(json_string_value(json_object_get(j, "at")), "127.0.0.1:3000");
	assert_string_equal(json_string_value(json_object_get(j, "url")), "https://a.localhost");
	assert_string_equal(json_string_value(json_object_get(j, "speech")), "http");
	assert_string_equal(json_string_value(json_object_get(j, "title")), "Node.js");
	assert_int_equal(json_integer_value(json_object_get(j, "pid")), 7);
	assert_true(json_is_true(json_object_get(j, "on_v4")));
	json_decref(j);
}

static void a_look_up_that_hangs_holds_nothing_but_owners(void **state)
{
	(void)state;
	atomic_store(&hangs, true);
	open_listener("127.0.0.1", 3000, 1, "a");
	story[0] = '\0';
	while (!story[0]) {
		mf_dev_servers_look(d);
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
	assert_string_equal(story, "appeared 3000 - http|");
	story[0] = '\0';
	open_listener("127.0.0.1", 3001, 1, "b");
	while (!story[0])
		mf_dev_servers_look(d);
	assert_string_equal(story, "appeared 3001 - http|");
	/* what it finds in the end counts */
	atomic_store(&hangs, false);
	(void)look();
	assert_non_null(mf_dev_servers_find(d, "a.localhost"));
}

static void it_may_be_stopped_at_any_time(void **state)
{
	(void)state;
	open_listener("127.0.0.1", 3000, 1, "a");
	mf_dev_servers_look(d); /* the worker is asked; the end follows at once */
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		CASE(a_server_comes_and_goes),
		CASE(names_are_unique_and_frontends_first),
		CASE(of_equals_the_lower_port_is_first),
		CASE(two_servers_of_one_port_have_two_names),
		CASE(taken_and_privileged_names_are_not_proposed),
		CASE(families_workers_and_processes_are_grouped),
		CASE(a_restart_keeps_the_entry),
		CASE(what_is_not_asked_for_is_not_seen),
		CASE(services_are_listed_and_not_asked),
		CASE(other_protocols_have_no_name_and_keep_none_from_others),
		CASE(owners_that_are_not_known),
		CASE(a_kernel_that_refuses_changes_nothing),
		CASE(more_servers_than_are_listed),
		CASE(any_sequence),
		CASE(json_has_every_field),
		cmocka_unit_test_setup_teardown(a_look_up_that_hangs_holds_nothing_but_owners,
						set_up_impatient, tear_down),
		CASE(it_may_be_stopped_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
