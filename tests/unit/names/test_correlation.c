// SPDX-License-Identifier: Apache-2.0
// test_correlation.c - names and addresses of a session: rules P34 to P43, bounds, and a comparison with a slow model
#include "core/names/correlation.h"
#include "tests/unit/test.h"

struct fake_clock {
	uint64_t now_ns;
};

static uint64_t fake_now(void *ctx)
{
	return ((struct fake_clock *)ctx)->now_ns;
}

struct fixture {
	struct fake_clock time;
	struct mf_clock clock;
	struct mf_names *names;
};

static struct fixture *begin(struct fixture *f, struct mf_names_options options)
{
	f->time.now_ns = 1000 * MF_NS_PER_S;
	f->clock = (struct mf_clock){ .monotonic = fake_now, .wall = fake_now, .ctx = &f->time };
	options.clock = &f->clock;
	assert_int_equal(mf_names_new(&options, &f->names, NULL), 0);
	return f;
}

static void pass(struct fixture *f, uint64_t seconds)
{
	f->time.now_ns += seconds * MF_NS_PER_S;
}

static struct mf_addr addr(const char *text)
{
	struct mf_addr a;

	assert_int_equal(mf_addr_parse(text, strlen(text), &a), 0);
	return a;
}

static int learn(struct fixture *f, const char *name, const char *address, uint32_t ttl)
{
	struct mf_addr a = addr(address);

	return mf_names_learn(f->names, &(struct mf_names_answer){ .question = name,
								   .question_len = strlen(name),
								   .addrs = &a,
								   .addr_cnt = 1,
								   .ttl_s = ttl });
}

static bool has(struct fixture *f, const char *address, const char *name)
{
	struct mf_addr a = addr(address);

	return mf_names_has(f->names, &a, name, strlen(name));
}

static const char *recent(struct fixture *f, const char *address)
{
	static char name[MF_NAME_ROOM];
	struct mf_addr a = addr(address);

	size_t len;

	name[0] = '\0';
	len = mf_names_recent(f->names, &a, name);
	assert_int_equal(len, strlen(name));
	return name;
}

static struct mf_names_stats stats(struct fixture *f)
{
	struct mf_names_stats s;

	mf_names_get_stats(f->names, &s);
	return s;
}

/* All of the table, which must be what asking for each address says. Return: addresses */
static size_t walk(struct fixture *f)
{
	struct mf_names_item items[8], asked[8];
	struct mf_addr at_addr;
	uint32_t at = 0;
	size_t cnt = 0, n;

	while ((n = mf_names_walk(f->names, &at, &at_addr, items, 8))) {
		assert_int_equal(mf_names_list(f->names, &at_addr, asked, 8), n);
		for (size_t i = 0; i < n; i++) {
			assert_string_equal(items[i].name, asked[i].name);
			assert_int_equal(items[i].expires_in_s, asked[i].expires_in_s);
		}
		cnt++;
	}
	return cnt;
}

static void an_address_keeps_several_names_and_a_name_several_addresses(void **state)
{
	struct fixture f;
	struct mf_names_item items[4];
	struct mf_addr a = addr("192.0.2.1"), both[4];

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	assert_int_equal(learn(&f, "one.example", "192.0.2.1", 300), 0);
	assert_int_equal(learn(&f, "two.example", "192.0.2.1", 300), 0);
	assert_int_equal(learn(&f, "one.example", "192.0.2.2", 300), 0);
	assert_true(has(&f, "192.0.2.1", "one.example"));
	assert_true(has(&f, "192.0.2.1", "two.example"));
	assert_false(has(&f, "192.0.2.2", "two.example"));
	assert_false(has(&f, "192.0.2.3", "one.example"));
	assert_string_equal(recent(&f, "192.0.2.1"), "two.example");
	assert_int_equal(mf_names_list(f.names, &a, items, 4), 2);
	assert_string_equal(items[0].name, "two.example");
	assert_string_equal(items[1].name, "one.example");
	assert_int_equal(items[0].expires_in_s, 300);
	assert_int_equal(mf_names_list(f.names, &a, items, 1), 1);
	assert_int_equal(mf_names_addrs(f.names, "one.example", 11, both, 4), 2);
	assert_int_equal(walk(&f), 2);
	// Asked for again, it is the most recent again.
	assert_int_equal(learn(&f, "one.example", "192.0.2.1", 300), 0);
	assert_string_equal(recent(&f, "192.0.2.1"), "one.example");
	mf_names_free(f.names);
}

static void a_tie_lives_as_long_as_its_record_within_floor_and_cap(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	learn(&f, "short.example", "192.0.2.1", 0);
	learn(&f, "middle.example", "192.0.2.1", 100);
	learn(&f, "long.example", "192.0.2.1", 1000000);
	pass(&f, 59);
	assert_true(has(&f, "192.0.2.1", "short.example"));
	pass(&f, 1);
	assert_false(has(&f, "192.0.2.1", "short.example"));
	assert_true(has(&f, "192.0.2.1", "middle.example"));
	pass(&f, 40);
	assert_false(has(&f, "192.0.2.1", "middle.example"));
	pass(&f, 3499);
	assert_true(has(&f, "192.0.2.1", "long.example"));
	pass(&f, 1);
	assert_false(has(&f, "192.0.2.1", "long.example"));
	assert_string_equal(recent(&f, "192.0.2.1"), "");
	assert_int_equal(stats(&f).ties, 0);
	assert_int_equal(stats(&f).addrs, 0);
	assert_int_equal(stats(&f).names, 0);
	assert_int_equal(stats(&f).expired_ties, 3);
	mf_names_free(f.names);
}

static void a_fixed_life_can_be_set_for_compatibility(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct mf_names_options){ .ttl_fixed_s = 300 });
	learn(&f, "a.example", "192.0.2.1", 1);
	learn(&f, "b.example", "192.0.2.1", 86400);
	pass(&f, 299);
	assert_true(has(&f, "192.0.2.1", "a.example") && has(&f, "192.0.2.1", "b.example"));
	pass(&f, 1);
	assert_false(has(&f, "192.0.2.1", "a.example") || has(&f, "192.0.2.1", "b.example"));
	mf_names_free(f.names);
}

static void an_open_connection_keeps_the_names_of_its_address_for_the_grace_period(void **state)
{
	struct fixture f;
	struct mf_addr a = addr("192.0.2.1"), unknown = addr("192.0.2.9");

	(void)state;
	begin(&f, (struct mf_names_options){ .grace_s = 500 });
	assert_false(mf_names_hold(f.names, &unknown));
	learn(&f, "a.example", "192.0.2.1", 100);
	assert_true(mf_names_hold(f.names, &a));
	assert_true(mf_names_hold(f.names, &a));
	pass(&f, 400);
	assert_true(has(&f, "192.0.2.1", "a.example"));
	mf_names_release(f.names, &a);
	assert_true(has(&f, "192.0.2.1", "a.example"));
	mf_names_release(f.names, &a);
	assert_false(has(&f, "192.0.2.1", "a.example"));
	// Not for ever, however long the connection is open.
	learn(&f, "a.example", "192.0.2.1", 100);
	assert_true(mf_names_hold(f.names, &a));
	pass(&f, 599);
	assert_true(has(&f, "192.0.2.1", "a.example"));
	pass(&f, 1);
	assert_false(has(&f, "192.0.2.1", "a.example"));
	mf_names_release(f.names, &a);
	mf_names_release(f.names, &a);
	assert_int_equal(stats(&f).addrs, 0);
	mf_names_free(f.names);
}

static void an_answer_without_an_address_lets_its_tie_run_out_in_its_own_time(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	learn(&f, "a.example", "192.0.2.1", 100);
	pass(&f, 50);
	learn(&f, "a.example", "192.0.2.2", 100);
	// The old address is still found immediately after.
	assert_true(has(&f, "192.0.2.1", "a.example"));
	assert_true(has(&f, "192.0.2.2", "a.example"));
	pass(&f, 50);
	assert_false(has(&f, "192.0.2.1", "a.example"));
	assert_true(has(&f, "192.0.2.2", "a.example"));
	mf_names_free(f.names);
}

static void members_of_a_chain_belong_to_the_address_and_can_be_read_back(void **state)
{
	static const char *const aliases[] = { "WWW.cdn.example.", "edge.cdn.example" };
	struct fixture f;
	struct mf_addr a = addr("192.0.2.1");
	struct mf_names_item items[8];
	const struct mf_names_answer answer = { .question = "shop.example",
						.question_len = 12,
						.aliases = aliases,
						.alias_cnt = 2,
						.addrs = &a,
						.addr_cnt = 1,
						.ttl_s = 60 };

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	assert_int_equal(mf_names_learn(f.names, &answer), 0);
	assert_true(has(&f, "192.0.2.1", "shop.example"));
	assert_true(has(&f, "192.0.2.1", "www.cdn.example"));
	assert_true(has(&f, "192.0.2.1", "edge.cdn.example"));
	assert_string_equal(recent(&f, "192.0.2.1"), "shop.example");
	assert_int_equal(mf_names_list(f.names, &a, items, 8), 3);
	assert_false(items[0].alias);
	assert_true(items[1].alias && items[2].alias);
	assert_int_equal(mf_names_chain(f.names, &a, "shop.example", 12, items, 8), 2);
	assert_string_equal(items[0].name, "www.cdn.example");
	assert_string_equal(items[1].name, "edge.cdn.example");
	assert_int_equal(mf_names_chain(f.names, &a, "www.cdn.example", 15, items, 8), 1);
	assert_int_equal(mf_names_chain(f.names, &a, "edge.cdn.example", 16, items, 8), 0);
	// Asked for itself, an alias is a name like any other.
	assert_int_equal(learn(&f, "edge.cdn.example", "192.0.2.1", 60), 0);
	assert_string_equal(recent(&f, "192.0.2.1"), "edge.cdn.example");
	// A chain that changed is the new one.
	assert_int_equal(learn(&f, "shop.example", "192.0.2.1", 60), 0);
	assert_int_equal(mf_names_chain(f.names, &a, "shop.example", 12, items, 8), 0);
	mf_names_free(f.names);
}

static void names_are_canonical_and_mapped_addresses_are_ipv4(void **state)
{
	struct fixture f;
	struct mf_addr raw = { .family = 6, .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 1 } };
	const struct mf_names_answer answer = { .question = "B\xc3\x9c"
							    "CHER.example.",
						.question_len = 16,
						.addrs = &raw,
						.addr_cnt = 1,
						.ttl_s = 60 };

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	assert_int_equal(mf_names_learn(f.names, &answer), 0);
	assert_true(has(&f, "192.0.2.1", "xn--bcher-kva.example"));
	assert_true(has(&f, "::ffff:192.0.2.1",
			"b\xc3\xbc"
			"cher.EXAMPLE."));
	assert_int_equal(learn(&f, "bad..name", "192.0.2.1", 60), MF_E_SYNTAX);
	assert_int_equal(learn(&f, "192.0.2.1", "192.0.2.1", 60), MF_E_SYNTAX);
	mf_names_free(f.names);
}

static void an_address_without_an_answer_has_no_name(void **state)
{
	struct fixture f;
	struct mf_addr a = addr("198.51.100.1"), got;
	struct mf_names_item items[2];

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	assert_string_equal(recent(&f, "198.51.100.1"), "");
	assert_false(has(&f, "198.51.100.1", "198.51.100.1"));
	assert_int_equal(mf_names_list(f.names, &a, items, 2), 0);
	assert_int_equal(mf_names_addrs(f.names, "a.example", 9, &got, 1), 0);
	mf_names_free(f.names);
}

static void two_sessions_know_nothing_of_each_other(void **state)
{
	struct fixture f, g;

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	begin(&g, (struct mf_names_options){ 0 });
	learn(&f, "a.example", "192.0.2.1", 60);
	assert_false(has(&g, "192.0.2.1", "a.example"));
	mf_names_free(f.names);
	mf_names_free(g.names);
}

static void the_least_recently_used_address_goes_when_there_is_no_room(void **state)
{
	struct fixture f;
	char text[32];

	(void)state;
	begin(&f, (struct mf_names_options){ .addr_max = 100 });
	for (int i = 0; i < 100; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d", i);
		learn(&f, "a.example", text, 3000);
	}
	assert_int_equal(stats(&f).evicted_addrs, 0);
	assert_true(has(&f, "10.0.0.0", "a.example"));
	learn(&f, "b.example", "10.0.1.1", 3000);
	assert_int_equal(stats(&f).evicted_addrs, 1);
	assert_int_equal(stats(&f).addrs, 100);
	// It was asked about last, so the next oldest went.
	assert_true(has(&f, "10.0.0.0", "a.example"));
	assert_false(has(&f, "10.0.0.1", "a.example"));
	mf_names_free(f.names);
}

static void addresses_with_open_connections_go_last(void **state)
{
	struct fixture f;
	struct mf_addr a = addr("10.0.0.0");
	char text[32];

	(void)state;
	begin(&f, (struct mf_names_options){ .addr_max = 10 });
	learn(&f, "a.example", "10.0.0.0", 3000);
	assert_true(mf_names_hold(f.names, &a));
	for (int i = 1; i < 200; i++) {
		snprintf(text, sizeof(text), "10.0.1.%d", i);
		learn(&f, "b.example", text, 3000);
	}
	assert_true(has(&f, "10.0.0.0", "a.example"));
	assert_int_equal(stats(&f).addrs, 10);
	mf_names_free(f.names);
}

static void a_client_cannot_make_it_grow(void **state)
{
	struct fixture f;
	char text[32], name[64];
	struct mf_names_stats s;

	(void)state;
	begin(&f, (struct mf_names_options){ .addr_max = 256, .names_per_addr = 4 });
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(text, sizeof(text), "10.0.%u.%u", (i * 7) >> 8 & 255, (i * 7) & 255);
		snprintf(name, sizeof(name), "n%u.example", i);
		assert_int_equal(learn(&f, name, text, 3600), 0);
	}
	s = stats(&f);
	assert_true(s.addrs <= 256);
	assert_true(s.ties <= 4 * 256);
	assert_true(s.names <= s.ties);
	assert_true(s.bytes < 256 * 1024);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "n%u.example", i);
		learn(&f, name, "192.0.2.1", 3600);
	}
	assert_false(has(&f, "192.0.2.1", "n5.example"));
	assert_true(has(&f, "192.0.2.1", "n9.example"));
	assert_true(stats(&f).evicted_ties >= 6);
	mf_names_free(f.names);
}

static void expired_entries_go_a_few_at_a_time(void **state)
{
	struct fixture f;
	char text[32];
	size_t dropped = 0;

	(void)state;
	begin(&f, (struct mf_names_options){ 0 });
	for (int i = 0; i < 1000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i >> 8, i & 255);
		learn(&f, "a.example", text, 60);
	}
	pass(&f, 61);
	// One learn looks at a handful.
	learn(&f, "b.example", "192.0.2.1", 60);
	assert_true(stats(&f).addrs > 980);
	for (int i = 0; i < 101; i++) {
		size_t n = mf_names_sweep(f.names, 10);

		assert_true(n <= 10);
		dropped += n;
	}
	assert_int_equal(stats(&f).addrs, 1);
	assert_int_equal(stats(&f).expired_ties, 1000);
	assert_true(dropped <= 1000);
	mf_names_free(f.names);
}

static void chains_have_a_limit(void **state)
{
	const char *aliases[MF_NAMES_ALIASES_MAX + 1];
	struct fixture f;
	struct mf_addr a = addr("192.0.2.1");
	struct mf_names_answer answer = { .question = "q.example",
					  .question_len = 9,
					  .aliases = aliases,
					  .alias_cnt = MF_NAMES_ALIASES_MAX + 1,
					  .addrs = &a,
					  .addr_cnt = 1 };

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(aliases); i++)
		aliases[i] = "a.example";
	begin(&f, (struct mf_names_options){ 0 });
	assert_int_equal(mf_names_learn(f.names, &answer), MF_E_LIMIT);
	// A name that is its own alias is one tie, and was asked for.
	answer.alias_cnt = MF_NAMES_ALIASES_MAX;
	aliases[3] = "q.example";
	assert_int_equal(mf_names_learn(f.names, &answer), 0);
	assert_string_equal(recent(&f, "192.0.2.1"), "q.example");
	assert_int_equal(stats(&f).ties, 2);
	mf_names_free(f.names);
}

// ------------------------------------------------------------------------------------------------------------------

#define MODEL_ADDRS 20u
#define MODEL_NAMES 12u

static void random_use_agrees_with_a_table_of_expiries(void **state)
{
	static uint64_t expires[MODEL_ADDRS][MODEL_NAMES];
	uint32_t holds[MODEL_ADDRS] = { 0 };
	uint64_t seed = 31337;
	struct fixture f;

	(void)state;
	memset(expires, 0, sizeof(expires));
	begin(&f, (struct mf_names_options){ .grace_s = 200 });
	for (int step = 0; step < 60000; step++) {
		uint32_t a = test_below(&seed, MODEL_ADDRS), n = test_below(&seed, MODEL_NAMES);
		uint64_t now = f.time.now_ns / MF_NS_PER_S;
		char at[32], name[32];
		struct mf_addr key;
		bool live, any = false;

		snprintf(at, sizeof(at), "10.0.0.%u", a);
		snprintf(name, sizeof(name), "n%u.example", n);
		key = addr(at);
#define LIVE(i) (now < expires[a][i] || (holds[a] && now < expires[a][i] + 200 && expires[a][i]))
		live = LIVE(n);
		for (uint32_t i = 0; i < MODEL_NAMES; i++) {
			any |= LIVE(i);
			// What has run out once is gone, a later hold does not bring it back.
			if (!LIVE(i))
				expires[a][i] = 0;
		}
		switch (test_below(&seed, 6)) {
		case 0: {
			uint32_t ttl = test_below(&seed, 400), life = ttl < 60 ? 60 : ttl;

			assert_int_equal(learn(&f, name, at, ttl), 0);
			if (now + life > expires[a][n])
				expires[a][n] = now + life;
			break;
		}
		case 1:
			assert_int_equal(mf_names_hold(f.names, &key), any);
			holds[a] += any;
			break;
		case 2:
			if (holds[a]) {
				mf_names_release(f.names, &key);
				holds[a]--;
			}
			break;
		case 3:
			mf_names_sweep(f.names, test_below(&seed, 5));
			pass(&f, test_below(&seed, 20));
			break;
		default:
			assert_int_equal(has(&f, at, name), live);
			assert_int_equal(recent(&f, at)[0] != '\0', any);
		}
	}
	mf_names_free(f.names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_keeps_several_names_and_a_name_several_addresses),
		cmocka_unit_test(a_tie_lives_as_long_as_its_record_within_floor_and_cap),
		cmocka_unit_test(a_fixed_life_can_be_set_for_compatibility),
		cmocka_unit_test(
			an_open_connection_keeps_the_names_of_its_address_for_the_grace_period),
		cmocka_unit_test(an_answer_without_an_address_lets_its_tie_run_out_in_its_own_time),
		cmocka_unit_test(members_of_a_chain_belong_to_the_address_and_can_be_read_back),
		cmocka_unit_test(names_are_canonical_and_mapped_addresses_are_ipv4),
		cmocka_unit_test(an_address_without_an_answer_has_no_name),
		cmocka_unit_test(two_sessions_know_nothing_of_each_other),
		cmocka_unit_test(the_least_recently_used_address_goes_when_there_is_no_room),
		cmocka_unit_test(addresses_with_open_connections_go_last),
		cmocka_unit_test(a_client_cannot_make_it_grow),
		cmocka_unit_test(expired_entries_go_a_few_at_a_time),
		cmocka_unit_test(chains_have_a_limit),
		cmocka_unit_test(random_use_agrees_with_a_table_of_expiries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
