/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pf_rules.c - the text of pf's rules, against kept files (tests/data/pf), and what must never get into it
 *
 * MF_UPDATE=1 writes the kept files anew.
 */
#include "tests/unit/test.h"

#include "capture/pf.h"

#define ROOM (MF_PF_TEXT_MAX + 1)

static struct mf_addr addr(const char *text)
{
	struct mf_addr a;

	assert_int_equal(mf_addr_parse(text, strlen(text), &a), 0);
	return a;
}

static const struct mf_pf_ports https[] = { { MF_TCP, 443, 443, 8443 } };

/* What most of the tests begin with. */
static struct mf_pf_rules standard(void)
{
	return (struct mf_pf_rules){ .anchor = MF_PF_ANCHOR,
				     .ports = https,
				     .port_cnt = 1,
				     .proxy_user = 333,
				     .ip4 = true,
				     .ip6 = true };
}

static void compare(const struct mf_pf_rules *r, const char *name)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PF_TEXT_MAX);
	static char kept[ROOM];
	struct mf_err err;
	char path[512];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s/pf/%s", MF_TEST_DATA, name);
	if (mf_pf_rules_format(r, &text, &err))
		fail_msg("%s", err.msg);
	if (getenv("MF_UPDATE")) {
		f = fopen(path, "w");
		assert_non_null(f);
		assert_int_equal(fwrite(text.str, 1, text.len, f), text.len);
		fclose(f);
	}
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(kept, 1, ROOM - 1, f);
	kept[len] = '\0';
	fclose(f);
	assert_string_equal(text.str, kept);
	mf_strbuf_done(&text);
}

static void one_port_through_any_interface(void **state)
{
	struct mf_pf_rules r = standard();

	(void)state;
	compare(&r, "one-port.conf");
}

static void one_family_only(void **state)
{
	struct mf_pf_rules r = standard();

	(void)state;
	r.ip6 = false;
	compare(&r, "ip4.conf");
	r.ip4 = false;
	r.ip6 = true;
	r.loopback6 = addr("fe80::1");
	compare(&r, "ip6-link-local.conf");
}

static void everything_at_once(void **state)
{
	static const struct mf_pf_ports ports[] = { { MF_TCP, 80, 80, 8080 },
						    { MF_TCP, 443, 8442, 8443 },
						    { MF_UDP, 53, 53, 5353 } };
	static const char *const interfaces[] = { "en0", "utun12" };
	static const uint32_t users[] = { 501, 65 };
	struct mf_pf_alias aliases[] = { { "en0", addr("192.0.2.7") },
					 { "bridge100", addr("2001:db8::7") } };
	struct mf_pf_rules r = standard();

	(void)state;
	r.ports = ports;
	r.port_cnt = MF_ARRAY_SIZE(ports);
	r.interfaces = interfaces;
	r.interface_cnt = MF_ARRAY_SIZE(interfaces);
	r.users = users;
	r.user_cnt = MF_ARRAY_SIZE(users);
	r.aliases = aliases;
	r.alias_cnt = MF_ARRAY_SIZE(aliases);
	r.refuse_udp = true;
	compare(&r, "everything.conf");
}

static void the_self_test_adds_one_rule_a_family_before_all_others(void **state)
{
	struct mf_pf_rules r = standard();

	(void)state;
	r.probe4 = (struct mf_pf_probe){ 50001, 50002 };
	r.probe6 = (struct mf_pf_probe){ 50003, 50004 };
	r.refuse_udp = true;
	compare(&r, "probe.conf");
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void refuse(const struct mf_pf_rules *r, const char *why)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PF_TEXT_MAX);
	struct mf_err err = { 0 };

	mf_strbuf_adds(&text, "left over");
	assert_int_equal(mf_pf_rules_format(r, &text, &err), MF_E_INVAL);
	assert_int_equal(text.len, 0);
	assert_non_null(strstr(err.msg, why));
	mf_strbuf_done(&text);
}

static void no_name_of_an_interface_carries_a_rule(void **state)
{
	static const char *const bad[] = {
		"",
		"en",
		"0",
		"lo0",
		"inet6",
		"en0 ",
		" en0",
		"en0\n",
		"en0\npass all",
		"en0;",
		"{en0}",
		"\"en0\"",
		"any",
		"all",
		"! en0",
		"en0,en1",
		"en0/24",
		"(en0)",
		"EN0",
		"en-0",
		"en_0",
		"en0:network",
		"en0000",
		"abcdefghijklmn0",
		"e\xc3\xa9n0",
		"$if0",
		"<t0>",
		"en0#",
		"en\t0",
		"route-to0",
		"en0\\",
	};
	struct mf_pf_alias alias = { NULL, addr("192.0.2.7") };
	struct mf_pf_rules r = standard();
	const char *name = NULL;

	(void)state;
	r.interfaces = &name;
	r.interface_cnt = 1;
	refuse(&r, "interface");
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		name = bad[i];
		refuse(&r, strcmp(bad[i], "lo0") == 0 ? "lo0" : "interface");
	}
	r.interface_cnt = 0;
	r.aliases = &alias;
	r.alias_cnt = 1;
	refuse(&r, "interface");
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		alias.interface = bad[i];
		refuse(&r, strcmp(bad[i], "lo0") == 0 ? "lo0" : "interface");
	}
}

static void anchors_are_plain_paths(void **state)
{
	static const char *const good[] = { "moonfence", "com.apple/050.moonfence", "a/b/c",
					    "A-1_x.y" };
	static const char *const bad[] = {
		"",	  "/",
		"a/",	  "/a",
		"a//b",	  "-F",
		"a/-b",	  "_a",
		"a/_b",	  ".",
		"..",	  "../a",
		"a/../b", "a b",
		"a\n",	  "a*",
		"a/*",	  "\"a\"",
		"a;b",	  "a\\b",
		"a$b",	  "\xc3\xa9",
		"a:b",	  "0123456789012345678901234567890123456789012345678901234567890123456789",
	};
	struct mf_pf_rules r = standard();

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(good); i++)
		assert_true(mf_pf_anchor_is_valid(good[i]));
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		assert_false(mf_pf_anchor_is_valid(bad[i]));
		r.anchor = bad[i];
		refuse(&r, "anchor");
	}
	r.anchor = NULL;
	refuse(&r, "anchor");
}

static void ports_are_ports_and_no_two_ranges_meet(void **state)
{
	struct mf_pf_ports ports[2] = { { MF_TCP, 0, 443, 8443 } };
	struct mf_pf_rules r = standard();

	(void)state;
	r.ports = ports;
	refuse(&r, "ports 0 to 443");
	ports[0] = (struct mf_pf_ports){ MF_TCP, 444, 443, 8443 };
	refuse(&r, "ports 444 to 443");
	ports[0] = (struct mf_pf_ports){ MF_TCP, 443, 443, 0 };
	refuse(&r, "to port 0");
	ports[0] = (struct mf_pf_ports){ (enum mf_proto)7, 443, 443, 1 };
	refuse(&r, "TCP and UDP");
	ports[0] = (struct mf_pf_ports){ MF_TCP, 1, 443, 8443 };
	ports[1] = (struct mf_pf_ports){ MF_TCP, 443, 500, 8444 };
	r.port_cnt = 2;
	refuse(&r, "twice");
	r.port_cnt = 0;
	refuse(&r, "1 to 16");
	r.port_cnt = MF_PF_PORTS_MAX + 1;
	refuse(&r, "1 to 16");
}

static void the_proxies_have_a_user_of_their_own(void **state)
{
	struct mf_pf_rules r = standard();
	uint32_t users[MF_PF_USERS_MAX + 1] = { 333 };

	(void)state;
	r.proxy_user = 0;
	refuse(&r, "user 0");
	r.proxy_user = UINT32_MAX;
	refuse(&r, "own");
	r.proxy_user = 333;
	r.users = users;
	r.user_cnt = 1;
	refuse(&r, "user 333");
	users[0] = UINT32_MAX;
	refuse(&r, "4294967295");
	r.user_cnt = MF_PF_USERS_MAX + 1;
	refuse(&r, "at most 8 users");
}

static void addresses_are_some_that_others_connect_to(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "0.0.0.0", "224.0.0.251", "::1",
					   "::",	"fe80::1", "ff02::fb" };
	struct mf_pf_alias alias = { "en0", addr("192.0.2.7") };
	struct mf_pf_rules r = standard();

	(void)state;
	r.aliases = &alias;
	r.alias_cnt = 1;
	for (size_t i = 0; i < MF_ARRAY_SIZE(bad); i++) {
		alias.addr = addr(bad[i]);
		refuse(&r, "no address");
	}
	alias.addr = addr("192.0.2.7");
	r.ip4 = false;
	refuse(&r, "family");
	r.ip6 = false;
	refuse(&r, "neither");
	r = standard();
	r.loopback6 = addr("2001:db8::1");
	refuse(&r, "fe80::1");
	r.loopback6 = addr("127.0.0.1");
	refuse(&r, "fe80::1");
	r = standard();
	r.probe4 = (struct mf_pf_probe){ 5, 5 };
	refuse(&r, "self-test");
	r.probe4 = (struct mf_pf_probe){ 5, 0 };
	refuse(&r, "self-test");
	r = standard();
	r.alias_cnt = MF_PF_ALIASES_MAX + 1;
	refuse(&r, "at most 8");
}

/* Rules are made of these words, numbers and addresses, and of nothing else. */
static void assert_is_rule(const char *line, size_t len)
{
	static const char *const begins[] = { "rdr pass on ", "no rdr on lo0 ", "pass out quick ",
					      "block return out quick on ", "# Made by moonfence" };
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzM0123456789 .:{},!=-><#/";
	bool known = false;

	for (size_t i = 0; i < MF_ARRAY_SIZE(begins); i++)
		known |= strncmp(line, begins[i], strlen(begins[i])) == 0;
	if (!known)
		fail_msg("no rule of ours: %.*s", (int)len, line);
	for (size_t i = 0; i < len; i++)
		if (!memchr(allowed, line[i], sizeof(allowed) - 1))
			fail_msg("'%c' in: %.*s", line[i], (int)len, line);
}

static const char *random_name(uint64_t *rnd, char buf[20])
{
	static const char pool[] = "en0lo6uti \n\"{}!;*/x9";
	static const char *const plain[] = { "en0", "en7", "utun3", "awdl0", "bridge100" };
	size_t n = test_below(rnd, 12);

	if (test_below(rnd, 3))
		return plain[test_below(rnd, MF_ARRAY_SIZE(plain))];
	for (size_t i = 0; i < n; i++)
		buf[i] = pool[test_below(rnd, sizeof(pool) - 1)];
	buf[n] = '\0';
	return buf;
}

static struct mf_addr random_addr(uint64_t *rnd)
{
	uint8_t bytes[16];
	struct mf_addr a;

	for (size_t i = 0; i < 16; i++)
		bytes[i] = (uint8_t)(test_below(rnd, 4) ? test_random(rnd) : 0);
	mf_addr_from_bytes(&a, bytes, test_below(rnd, 2) ? 4 : 16);
	return a;
}

static void whatever_the_options_say_only_rules_of_ours_come_out(void **state)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PF_TEXT_MAX);
	uint64_t rnd = 20;
	unsigned made = 0;

	(void)state;
	for (unsigned round = 0; round < 20000; round++) {
		struct mf_pf_ports ports[4];
		const char *interfaces[3];
		struct mf_pf_alias aliases[2];
		uint32_t users[3];
		char names[5][20];
		struct mf_pf_rules r = standard();

		r.ports = ports;
		r.port_cnt = test_below(&rnd, 5);
		for (size_t i = 0; i < 4; i++) {
			uint16_t first = (uint16_t)test_random(&rnd);

			ports[i] =
				(struct mf_pf_ports){ test_below(&rnd, 2) ? MF_TCP : MF_UDP, first,
						      (uint16_t)(first + test_below(&rnd, 9)),
						      (uint16_t)test_random(&rnd) };
		}
		r.interfaces = interfaces;
		r.interface_cnt = test_below(&rnd, 4);
		for (size_t i = 0; i < 3; i++)
			interfaces[i] = random_name(&rnd, names[i]);
		r.aliases = aliases;
		r.alias_cnt = test_below(&rnd, 3);
		for (size_t i = 0; i < 2; i++)
			aliases[i] = (struct mf_pf_alias){ random_name(&rnd, names[3 + i]),
							   random_addr(&rnd) };
		r.users = users;
		r.user_cnt = test_below(&rnd, 4);
		for (size_t i = 0; i < 3; i++)
			users[i] = (uint32_t)test_random(&rnd);
		r.proxy_user = test_below(&rnd, 1000);
		r.refuse_udp = test_below(&rnd, 2);
		if (mf_pf_rules_format(&r, &text, NULL))
			continue;
		made++;
		for (const char *p = text.str, *nl; *p; p = nl + 1) {
			nl = strchr(p, '\n');
			assert_non_null(nl);
			assert_is_rule(p, (size_t)(nl - p));
		}
	}
	assert_true(made > 1000);
	mf_strbuf_done(&text);
}

static void the_largest_rule_set_fits(void **state)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PF_TEXT_MAX);
	struct mf_pf_ports ports[MF_PF_PORTS_MAX];
	const char *interfaces[MF_PF_INTERFACES_MAX];
	struct mf_pf_alias aliases[MF_PF_ALIASES_MAX];
	uint32_t users[MF_PF_USERS_MAX];
	struct mf_pf_rules r = standard();

	(void)state;
	for (unsigned i = 0; i < MF_PF_PORTS_MAX; i++)
		ports[i] = (struct mf_pf_ports){ MF_TCP, (uint16_t)(10000 + 2 * i),
						 (uint16_t)(10001 + 2 * i), 65535 };
	for (unsigned i = 0; i < MF_PF_INTERFACES_MAX; i++)
		interfaces[i] = "abcdefghijkl123";
	for (unsigned i = 0; i < MF_PF_ALIASES_MAX; i++)
		aliases[i] = (struct mf_pf_alias){ "abcdefghijkl123",
						   addr("2001:db8:1111:2222:3333:4444:5555:6666") };
	for (unsigned i = 0; i < MF_PF_USERS_MAX; i++)
		users[i] = UINT32_MAX - 1 - i;
	r.ports = ports;
	r.port_cnt = MF_PF_PORTS_MAX;
	r.interfaces = interfaces;
	r.interface_cnt = MF_PF_INTERFACES_MAX;
	r.aliases = aliases;
	r.alias_cnt = MF_PF_ALIASES_MAX;
	r.users = users;
	r.user_cnt = MF_PF_USERS_MAX;
	r.refuse_udp = true;
	assert_int_equal(mf_pf_rules_format(&r, &text, NULL), 0);
	assert_true(text.len > 1000);
	mf_strbuf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_port_through_any_interface),
		cmocka_unit_test(one_family_only),
		cmocka_unit_test(everything_at_once),
		cmocka_unit_test(the_self_test_adds_one_rule_a_family_before_all_others),
		cmocka_unit_test(no_name_of_an_interface_carries_a_rule),
		cmocka_unit_test(anchors_are_plain_paths),
		cmocka_unit_test(ports_are_ports_and_no_two_ranges_meet),
		cmocka_unit_test(the_proxies_have_a_user_of_their_own),
		cmocka_unit_test(addresses_are_some_that_others_connect_to),
		cmocka_unit_test(whatever_the_options_say_only_rules_of_ours_come_out),
		cmocka_unit_test(the_largest_rule_set_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
