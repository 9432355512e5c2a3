// SPDX-License-Identifier: Apache-2.0
// The route table of domain forwarding: order of sources, exact names before wildcards, what detection may not map.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "proxies/forward_routes.h"

static struct mf_forward_routes *table(void)
{
	struct mf_forward_routes *t;

	assert_int_equal(mf_forward_routes_new(&t, NULL), 0);
	return t;
}

static int set(struct mf_forward_routes *t, enum mf_forward_source source, const char *name,
	       const char *to)
{
	struct mf_forward_target target;
	struct mf_err err;

	assert_int_equal(mf_forward_target_parse(to, &target, &err), 0);
	return mf_forward_routes_set(t, source, name, &target, &err);
}

// The port that @name leads to; 0: nowhere
static unsigned port_of(struct mf_forward_routes *t, const char *name)
{
	struct mf_forward_route *r = mf_forward_routes_find(t, name, strlen(name));

	return r ? r->target.port : 0;
}

static void test_targets(void **state)
{
	static const struct {
		const char *text, *host;
		unsigned port; // 0: refused
	} cases[] = {
		{ "3000", "localhost", 3000 },
		{ "65535", "localhost", 65535 },
		{ "[::1]:80", "::1", 80 },
		{ "192.0.2.1:80", "192.0.2.1", 80 },
		{ "DB.Local.:81", "db.local", 81 },
		{ "0", "", 0 },
		{ "65536", "", 0 },
		{ "", "", 0 },
		{ "-1", "", 0 },
		{ "3000x", "", 0 },
		{ "host", "", 0 },
		{ "host:0", "", 0 },
		{ ":80", "", 0 },
		{ "a..b:80", "", 0 },
		{ "127.1:80", "", 0 },
		{ "::1:80", "", 0 },
		{ "999999999999999999999", "", 0 },
	};
	struct mf_forward_target t;
	struct mf_err err;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		int r = mf_forward_target_parse(cases[i].text, &t, &err);

		if (!cases[i].port) {
			assert_int_equal(r, MF_E_SYNTAX);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(t.host, cases[i].host);
		assert_int_equal(t.port, cases[i].port);
	}
}

static void test_exact_before_wildcard(void **state)
{
	struct mf_forward_routes *t = table();

	(void)state;
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "*.app.test", "1"), 0);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "app.test", "2"), 0);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "api.app.test", "3"), 0);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "*.deep.app.test", "4"), 0);
	assert_int_equal(port_of(t, "app.test"), 2);
	assert_int_equal(port_of(t, "api.app.test"), 3);
	assert_int_equal(port_of(t, "x.app.test"), 1);
	assert_int_equal(port_of(t, "y.x.app.test"), 1);
	assert_int_equal(port_of(t, "y.deep.app.test"), 4);
	assert_int_equal(port_of(t, "deep.app.test"), 1);
	assert_int_equal(port_of(t, "notapp.test"), 0);
	assert_int_equal(port_of(t, "test"), 0);
	mf_forward_routes_free(t);
}

static void test_canonical(void **state)
{
	static const char nul[] = "app.test\0.evil";
	struct mf_forward_routes *t = table();

	(void)state;
	assert_int_equal(set(t, MF_FORWARD_MANUAL,
			     "B\xc3\xbc"
			     "cher.Test.",
			     "7"),
			 0);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "app.test", "8"), 0);
	assert_int_equal(port_of(t, "xn--bcher-kva.test"), 7);
	assert_int_equal(port_of(t, "XN--BCHER-KVA.TEST."), 7);
	assert_int_equal(port_of(t, "APP.test."), 8);
	assert_int_equal(port_of(t, "app.test.."), 0);
	assert_int_equal(port_of(t, "app.test:443"), 0);
	assert_int_equal(port_of(t, ""), 0);
	assert_null(mf_forward_routes_find(t, nul, sizeof(nul) - 1));
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "127.0.0.1", "8"), MF_E_SYNTAX);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "a b.test", "8"), MF_E_SYNTAX);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "*.", "8"), MF_E_SYNTAX);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "a.*.test", "8"), MF_E_SYNTAX);
	mf_forward_routes_free(t);
}

static void test_sources(void **state)
{
	struct mf_forward_routes *t = table();

	(void)state;
	assert_int_equal(set(t, MF_FORWARD_DETECTED, "shop.localhost", "1"), 0);
	assert_int_equal(set(t, MF_FORWARD_OWN, "moonfence.localhost", "2"), 0);
	assert_int_equal(port_of(t, "shop.localhost"), 1);
	// also a wildcard of a person's goes before what was detected
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "*.localhost", "3"), 0);
	assert_int_equal(port_of(t, "shop.localhost"), 3);
	assert_int_equal(mf_forward_routes_unset(t, MF_FORWARD_MANUAL, "*.localhost", NULL), 0);
	assert_int_equal(port_of(t, "shop.localhost"), 1);
	assert_int_equal(mf_forward_routes_unset(t, MF_FORWARD_MANUAL, "shop.localhost", NULL),
			 MF_E_NOENT);
	// and a name of a person's is not for detection
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "blog.localhost", "4"), 0);
	assert_int_equal(set(t, MF_FORWARD_DETECTED, "blog.localhost", "5"), MF_E_PERM);
	// where a server was detected first, the person's map wins
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "shop.localhost", "6"), 0);
	assert_int_equal(port_of(t, "SHOP.localhost"), 6);
	mf_forward_routes_free(t);
}

static void test_detection_gets_few_names(void **state)
{
	static const char *const names[] = { "localhost",     "moonfence.localhost",
					     "bank.example",  "*.localhost",
					     "a.b.localhost", "a.moonfence.localhost",
					     "evillocalhost", "x.localhost.example" };
	struct mf_forward_routes *t = table();

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(names); i++)
		assert_int_equal(set(t, MF_FORWARD_DETECTED, names[i], "1"), MF_E_PERM);
	assert_int_equal(mf_forward_routes_count(t, MF_FORWARD_DETECTED), 0);
	mf_forward_routes_free(t);
}

static void test_many(void **state)
{
	struct mf_forward_routes *t = table();
	char name[64];

	(void)state;
	// in an order that is neither up nor down
	for (unsigned i = 0; i < MF_FORWARD_ROUTES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.test", i * 7919 % MF_FORWARD_ROUTES_MAX);
		assert_int_equal(set(t, MF_FORWARD_MANUAL, name, "9"), 0);
	}
	assert_int_equal(mf_forward_routes_count(t, MF_FORWARD_MANUAL), MF_FORWARD_ROUTES_MAX);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "one-more.test", "9"), MF_E_LIMIT);
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "n0.test", "10"), 0);
	assert_int_equal(port_of(t, "n0.test"), 10);
	for (size_t i = 1; i < MF_FORWARD_ROUTES_MAX; i++)
		assert_true(strcmp(mf_forward_routes_at(t, MF_FORWARD_MANUAL, i - 1)->name,
				   mf_forward_routes_at(t, MF_FORWARD_MANUAL, i)->name) < 0);
	for (unsigned i = 0; i < MF_FORWARD_ROUTES_MAX; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		assert_int_equal(port_of(t, name), i ? 9 : 10);
		assert_int_equal(mf_forward_routes_unset(t, MF_FORWARD_MANUAL, name, NULL), 0);
		assert_int_equal(port_of(t, name), 0);
	}
	mf_forward_routes_free(t);
}

static void test_held(void **state)
{
	struct mf_forward_routes *t = table();
	struct mf_forward_route *r;

	(void)state;
	assert_int_equal(set(t, MF_FORWARD_MANUAL, "app.test", "9"), 0);
	r = mf_forward_route_ref(mf_forward_routes_find(t, "app.test", 8));
	assert_int_equal(mf_forward_routes_unset(t, MF_FORWARD_MANUAL, "app.test", NULL), 0);
	mf_forward_routes_free(t);
	r->connections++;
	mf_forward_route_unref(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_exact_before_wildcard),
		cmocka_unit_test(test_canonical),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_detection_gets_few_names),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
