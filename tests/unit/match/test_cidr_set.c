// SPDX-License-Identifier: Apache-2.0
// test_cidr_set.c - networks: parsing, nesting, values, both families, and a comparison with a slow model
#include "core/match/cidr_set.h"
#include "tests/unit/test.h"

static struct mf_addr addr(const char *text)
{
	struct mf_addr a;

	assert_int_equal(mf_addr_parse(text, strlen(text), &a), 0);
	return a;
}

static void networks_are_read_in_their_canonical_form(void **state)
{
	static const struct {
		const char *text, *want; // NULL: refused
	} cases[] = {
		{ "10.0.0.0/8", "10.0.0.0/8" },
		{ "10.1.2.3/8", "10.0.0.0/8" },
		{ "192.0.2.1", "192.0.2.1/32" },
		{ "0.0.0.0/0", "0.0.0.0/0" },
		{ "::/0", "::/0" },
		{ "2001:db8::1", "2001:db8::1/128" },
		{ "2001:db8:ffff::/33", "2001:db8:8000::/33" },
		{ "::ffff:0:0/96", "0.0.0.0/0" },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8" },
		{ "::ffff:10.1.2.3", "10.1.2.3/32" },
		{ "::ffff:10.1.2.3/128", "10.1.2.3/32" },
		{ "::ffff:10.1.2.3/80", "::/80" },
		{ "::ffff:10.1.2.3/95", "::fffe:0:0/95" },
		{ "10.0.0.0/33", NULL },
		{ "10.0.0.0/104", NULL },
		{ "10.0.0.0/", NULL },
		{ "10.0.0.0/08", NULL },
		{ "10.0.0.0/-1", NULL },
		{ "10.0.0.0/8 ", NULL },
		{ "10.0.0/8", NULL },
		{ "2001:db8::/129", NULL },
		{ "fe80::1%eth0/64", NULL },
		{ "", NULL },
		{ "/8", NULL },
		{ "example.com", NULL },
	};

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		struct mf_cidr net;
		char buf[MF_CIDR_TEXT_MAX];
		int r = mf_cidr_parse(cases[i].text, strlen(cases[i].text), &net);

		if (!cases[i].want) {
			assert_int_equal(r, MF_E_SYNTAX);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(mf_cidr_format(&net, buf, sizeof(buf)), cases[i].want);
	}
}

static struct mf_cidr_set *make(const char *const *nets, size_t cnt)
{
	struct mf_cidr_set_builder *b;
	struct mf_cidr_set *set;

	assert_int_equal(mf_cidr_set_builder_new(0, &b, NULL), 0);
	for (size_t i = 0; i < cnt; i++)
		assert_int_equal(mf_cidr_set_builder_add_text(b, nets[i], strlen(nets[i]),
							      (uint32_t)i, NULL),
				 0);
	assert_int_equal(mf_cidr_set_builder_seal(b, &set, NULL), 0);
	return set;
}

static void nested_networks_give_the_lowest_number_and_the_longest_prefix(void **state)
{
	static const char *const nets[] = { "10.1.0.0/16",  "10.0.0.0/8", "10.1.2.0/24",
					    "10.1.2.0/24",  "0.0.0.0/0",  "::/0",
					    "2001:db8::/32" };
	struct mf_cidr_set *set = make(nets, MF_ARRAY_SIZE(nets));
	struct mf_addr a = addr("10.1.2.3"), b = addr("10.1.3.1"), c = addr("10.2.0.0");
	struct mf_addr d = addr("255.255.255.255"), e = addr("2001:db8::9"), f = addr("::2");
	struct mf_addr mapped = addr("::ffff:10.1.2.3"), none = { 0 };
	uint32_t v[8];

	(void)state;
	assert_int_equal(mf_cidr_set_find(set, &a), 0);
	assert_int_equal(mf_cidr_set_find_longest(set, &a), 2);
	assert_int_equal(mf_cidr_set_find(set, &mapped), 0);
	assert_int_equal(mf_cidr_set_find_longest(set, &b), 0);
	assert_int_equal(mf_cidr_set_find_longest(set, &c), 1);
	assert_int_equal(mf_cidr_set_find(set, &d), 4);
	assert_int_equal(mf_cidr_set_find(set, &e), 5);
	assert_int_equal(mf_cidr_set_find_longest(set, &e), 6);
	assert_int_equal(mf_cidr_set_find(set, &f), 5);
	assert_int_equal(mf_cidr_set_find_all(set, &a, v, 8), 5);
	assert_int_equal(v[4], 4);
	assert_int_equal(v[3], 1);
	assert_false(mf_cidr_set_has(set, &none));
	mf_cidr_set_free(set);
}

static void the_last_addresses_of_a_family_are_in_their_network_only(void **state)
{
	static const char *const nets[] = { "255.255.255.255", "0.0.0.0",
					    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::" };
	struct mf_cidr_set *set = make(nets, MF_ARRAY_SIZE(nets));
	struct mf_addr a = addr("255.255.255.254"), b = addr("255.255.255.255"),
		       c = addr("0.0.0.1");
	struct mf_addr d = addr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), e = addr("::1");

	(void)state;
	assert_false(mf_cidr_set_has(set, &a));
	assert_true(mf_cidr_set_has(set, &b));
	assert_false(mf_cidr_set_has(set, &c));
	assert_true(mf_cidr_set_has(set, &d));
	assert_false(mf_cidr_set_has(set, &e));
	mf_cidr_set_free(set);
}

static void an_empty_set_has_nothing(void **state)
{
	struct mf_cidr_set *set = make(NULL, 0);
	struct mf_addr a = addr("0.0.0.0"), b = addr("::");

	(void)state;
	assert_false(mf_cidr_set_has(set, &a));
	assert_false(mf_cidr_set_has(set, &b));
	assert_int_equal(mf_cidr_set_count(set), 0);
	mf_cidr_set_free(set);
}

static void a_set_takes_no_more_networks_than_it_may(void **state)
{
	struct mf_cidr_set_builder *b;
	struct mf_err err = { 0 };

	(void)state;
	assert_int_equal(mf_cidr_set_builder_new(2, &b, NULL), 0);
	assert_int_equal(mf_cidr_set_builder_add_text(b, "10.0.0.1", 8, 0, &err), 0);
	assert_int_equal(mf_cidr_set_builder_add_text(b, "10.0.0.x", 8, 0, &err), MF_E_SYNTAX);
	assert_non_null(strstr(err.msg, "10.0.0.x"));
	assert_int_equal(mf_cidr_set_builder_add_text(b, "10.0.0.2", 8, 0, &err), 0);
	assert_int_equal(mf_cidr_set_builder_add_text(b, "10.0.0.3", 8, 0, &err), MF_E_LIMIT);
	mf_cidr_set_builder_free(b);
}

// Few different bits, so that networks nest and meet.
static struct mf_cidr random_net(uint64_t *seed)
{
	struct mf_cidr net = { 0 };
	bool six = test_below(seed, 2);
	uint8_t bytes[16] = { 0 };

	for (int i = 0; i < 16; i++)
		bytes[i] = test_below(seed, 3) ? 0 : (uint8_t)(test_below(seed, 2) ? 0xff : 0x80);
	bytes[0] = 0x20;
	mf_addr_from_bytes(&net.addr, bytes, six ? 16 : 4);
	net.bits = (uint8_t)test_below(seed, six ? 129 : 33);
	return net;
}

static void random_sets_answer_as_a_linear_search_does(void **state)
{
	uint64_t seed = 4711;

	(void)state;
	for (int round = 0; round < 300; round++) {
		struct mf_cidr nets[100];
		uint32_t values[100], cnt = test_below(&seed, 100);
		struct mf_cidr_set_builder *b;
		struct mf_cidr_set *set;

		assert_int_equal(mf_cidr_set_builder_new(0, &b, NULL), 0);
		for (uint32_t i = 0; i < cnt; i++) {
			nets[i] = random_net(&seed);
			values[i] = test_below(&seed, 1000);
			assert_int_equal(mf_cidr_set_builder_add(b, &nets[i], values[i], NULL), 0);
		}
		assert_int_equal(mf_cidr_set_builder_seal(b, &set, NULL), 0);
		for (int k = 0; k < 300; k++) {
			struct mf_cidr at = random_net(&seed);
			uint32_t lowest = MF_MATCH_NONE, longest = MF_MATCH_NONE;
			int best = -1;

			for (uint32_t i = 0; i < cnt; i++) {
				if (!mf_cidr_has(&nets[i], &at.addr))
					continue;
				if (values[i] < lowest)
					lowest = values[i];
				if (nets[i].bits > best ||
				    (nets[i].bits == best && values[i] < longest)) {
					best = nets[i].bits;
					longest = values[i];
				}
			}
			assert_int_equal(mf_cidr_set_find(set, &at.addr), lowest);
			assert_int_equal(mf_cidr_set_find_longest(set, &at.addr), longest);
		}
		mf_cidr_set_free(set);
	}
}

static void a_large_set_with_an_index_finds_each_of_its_networks(void **state)
{
	struct mf_cidr_set_builder *b;
	struct mf_cidr_set *set;
	uint64_t seed = 99;

	(void)state;
	assert_int_equal(mf_cidr_set_builder_new(0, &b, NULL), 0);
	// Every second /24 of 16.0.0.0/8 and up.
	for (uint32_t i = 0; i < 20000; i++) {
		struct mf_cidr net = { .bits = 24 };
		uint8_t ip[4] = { (uint8_t)(16 + (i >> 15)), (uint8_t)(i >> 7), (uint8_t)(i << 1),
				  0 };

		mf_addr_from_bytes(&net.addr, ip, 4);
		assert_int_equal(mf_cidr_set_builder_add(b, &net, i, NULL), 0);
	}
	assert_int_equal(mf_cidr_set_builder_seal(b, &set, NULL), 0);
	for (int k = 0; k < 100000; k++) {
		uint32_t i = test_below(&seed, 20000), odd = test_below(&seed, 2);
		uint8_t ip[4] = { (uint8_t)(16 + (i >> 15)), (uint8_t)(i >> 7),
				  (uint8_t)((i << 1) + odd), (uint8_t)test_below(&seed, 256) };
		struct mf_addr a;

		mf_addr_from_bytes(&a, ip, 4);
		assert_int_equal(mf_cidr_set_find(set, &a), odd ? MF_MATCH_NONE : i);
	}
	mf_cidr_set_free(set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(networks_are_read_in_their_canonical_form),
		cmocka_unit_test(nested_networks_give_the_lowest_number_and_the_longest_prefix),
		cmocka_unit_test(the_last_addresses_of_a_family_are_in_their_network_only),
		cmocka_unit_test(an_empty_set_has_nothing),
		cmocka_unit_test(a_set_takes_no_more_networks_than_it_may),
		cmocka_unit_test(random_sets_answer_as_a_linear_search_does),
		cmocka_unit_test(a_large_set_with_an_index_finds_each_of_its_networks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
