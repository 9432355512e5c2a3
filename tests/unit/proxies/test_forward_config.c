// SPDX-License-Identifier: Apache-2.0
// The settings of domain forwarding: the defaults of the design, what is refused, and that what is written is read again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proxies/forward.h"

static bool allows(const struct mf_forward_config *c, const char *text)
{
	struct mf_addr addr;

	assert_int_equal(mf_addr_parse(text, strlen(text), &addr), 0);
	for (size_t i = 0; i < c->client_cnt; i++)
		if (mf_cidr_has(&c->clients[i], &addr))
			return true;
	return false;
}

static void test_defaults(void **state)
{
	static const char *const in[] = { "127.0.0.1",	    "127.9.9.9", "::1",
					  "192.168.7.1",    "10.1.2.3",	 "172.16.0.1",
					  "172.31.255.255", "fd00::1",	 "fe80::1",
					  "169.254.1.1" };
	static const char *const out[] = { "172.32.0.1",  "172.15.0.1", "11.0.0.1", "::2",
					   "2001:db8::1", "100.64.0.1", "0.0.0.0" };
	struct mf_forward_config c;

	(void)state;
	mf_forward_config_init(&c);
	for (size_t i = 0; i < MF_ARRAY_SIZE(in); i++)
		assert_true(allows(&c, in[i]));
	for (size_t i = 0; i < MF_ARRAY_SIZE(out); i++)
		assert_false(allows(&c, out[i]));
	assert_int_equal(c.blocked_port_cnt, 6);
	assert_int_equal(c.connections_max, 1000);
	assert_int_equal(c.connections_per_client, 100);
	assert_int_equal(c.hello_ms, 5000);
	assert_int_equal(c.dial_ms, 10000);
	assert_int_equal(c.idle_ms, 3600000);
}

static int read_text(struct mf_forward_config *c, const char *text, struct mf_err *err)
{
	json_t *o = json_loads(text, JSON_DECODE_ANY, NULL);
	int r;

	assert_non_null(o);
	mf_forward_config_init(c);
	r = mf_forward_config_read(c, o, err);
	json_decref(o);
	return r;
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"[]",
		"7",
		"{\"unknown\": 1}",
		"{\"max_connections\": 0}",
		"{\"max_connections\": -1}",
		"{\"max_connections\": 1000001}",
		"{\"max_connections\": \"7\"}",
		"{\"max_connections\": 7.5}",
		"{\"hello_timeout_ms\": 86400001}",
		"{\"hello_timeout_ms\": null}",
		"{\"allowed_networks\": {}}",
		"{\"allowed_networks\": [7]}",
		"{\"allowed_networks\": [\"10.0.0.0/33\"]}",
		"{\"allowed_networks\": [\"host\"]}",
		"{\"blocked_ports\": [0]}",
		"{\"blocked_ports\": [65536]}",
		"{\"blocked_ports\": [\"22\"]}",
		"{\"blocked_ports\": 22}",
		"{\"no_sni\": \"daemon\"}",
		"{\"no_sni\": 1}",
	};
	struct mf_forward_config c;
	struct mf_err err;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(texts); i++) {
		err.msg[0] = '\0';
		assert_int_equal(read_text(&c, texts[i], &err), MF_E_SYNTAX);
		assert_true(err.msg[0]);
	}
}

static void test_lists_have_an_end(void **state)
{
	struct mf_forward_config c;
	json_t *o = json_object(), *ports = json_array(), *networks = json_array();
	struct mf_err err;

	(void)state;
	for (unsigned i = 0; i < MF_FORWARD_PORTS_MAX; i++) {
		json_array_append_new(ports, json_integer(i + 1));
		json_array_append_new(networks, json_string("10.0.0.0/8"));
	}
	json_object_set_new(o, "blocked_ports", ports);
	json_object_set_new(o, "allowed_networks", networks);
	mf_forward_config_init(&c);
	assert_int_equal(mf_forward_config_read(&c, o, &err), 0);
	assert_int_equal(c.blocked_port_cnt, MF_FORWARD_PORTS_MAX);
	json_array_append_new(ports, json_integer(99));
	assert_int_equal(mf_forward_config_read(&c, o, &err), MF_E_SYNTAX);
	json_array_remove(ports, 0);
	json_array_append_new(networks, json_string("10.0.0.0/8"));
	assert_int_equal(mf_forward_config_read(&c, o, &err), MF_E_SYNTAX);
	json_decref(o);
}

static void test_round(void **state)
{
	struct mf_forward_config c, again;
	struct mf_err err;
	json_t *o;

	(void)state;
	assert_int_equal(read_text(&c,
				   "{\"allowed_networks\": [\"10.0.0.0/8\", \"fd00::/8\"],"
				   "\"blocked_ports\": [], \"max_connections\": 7,"
				   "\"idle_timeout_ms\": 86400000, \"no_sni\": \"deny\"}",
				   &err),
			 0);
	assert_int_equal(c.client_cnt, 2);
	assert_int_equal(c.blocked_port_cnt, 0);
	assert_int_equal(c.no_name, MF_FORWARD_NO_NAME_DENY);
	assert_int_equal(c.dial_ms, 10000); // what is not said stays
	o = mf_forward_config_write(&c);
	mf_forward_config_init(&again);
	assert_int_equal(mf_forward_config_read(&again, o, &err), 0);
	json_decref(o);
	o = mf_forward_config_write(&again);
	assert_int_equal(again.client_cnt, 2);
	assert_int_equal(again.connections_max, 7);
	assert_int_equal(again.idle_ms, 86400000);
	assert_int_equal(again.no_name, MF_FORWARD_NO_NAME_DENY);
	json_decref(o);
}

static void test_maps(void **state)
{
	static const char text[] = "{\"a.test\": \"3000\", \"*.b.test\": {\"target\": "
				   "\"[::1]:81\", \"mode\": \"pass\"}}";
	json_t *o = json_loads(text, 0, NULL), *written;
	struct mf_forward_routes *t;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_forward_routes_new(&t, NULL), 0);
	assert_int_equal(mf_forward_maps_read(t, o, &err), 0);
	assert_int_equal(mf_forward_routes_count(t, MF_FORWARD_MANUAL), 2);
	assert_int_equal(mf_forward_routes_find(t, "x.b.test", 8)->target.mode, MF_FORWARD_PASS);
	written = mf_forward_maps_write(t);
	mf_forward_routes_free(t);
	assert_int_equal(mf_forward_routes_new(&t, NULL), 0);
	assert_int_equal(mf_forward_maps_read(t, written, &err), 0);
	assert_int_equal(mf_forward_routes_find(t, "x.b.test", 8)->target.port, 81);
	assert_string_equal(mf_forward_routes_find(t, "a.test", 6)->target.host, "localhost");
	json_decref(written);
	json_decref(o);
	o = json_loads("{\"c.test\": {\"target\": \"80\", \"mode\": \"x\"}}", 0, NULL);
	assert_int_equal(mf_forward_maps_read(t, o, &err), MF_E_SYNTAX);
	json_decref(o);
	o = json_loads("{\"c.test\": 80}", 0, NULL);
	assert_int_equal(mf_forward_maps_read(t, o, &err), MF_E_SYNTAX);
	json_decref(o);
	mf_forward_routes_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_lists_have_an_end),
		cmocka_unit_test(test_round),
		cmocka_unit_test(test_maps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
