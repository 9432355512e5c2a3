// SPDX-License-Identifier: Apache-2.0
// test_event.c - one event as JSON: members, escaping, paths that are not UTF-8, what does not fit
#include <jansson.h>

#include "core/observe/events.h"
#include "tests/unit/test.h"

static json_t *parse(struct mf_event *ev)
{
	size_t len;
	const char *line = mf_event_end(ev, &len);
	json_error_t e;
	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &e);

	assert_true(len < MF_EVENT_ROOM);
	assert_null(memchr(line, '\n', len));
	if (!j)
		fail_msg("%s: %.*s", e.text, (int)len, line);
	return j;
}

static const char *text(json_t *j, const char *key)
{
	return json_string_value(json_object_get(j, key));
}

static void a_full_event_has_its_members_in_their_places(void **state)
{
	static const char *const names[] = { "a.example", "b.example" };
	struct mf_endpoint remote = { .port = 443 };
	const struct mf_decision d = { .size = sizeof(d),
				       .verdict = MF_DENY,
				       .origin = MF_FROM_RULES,
				       .visibility = MF_WARN,
				       .rule = "network_rules[2] no-lan",
				       .message = "ask the network team",
				       .reason = "no LAN",
				       .policy = "corp",
				       .pack = "corp-egress",
				       .file = "policy.lua",
				       .line = 12,
				       .generation = 3 };
	struct mf_event ev;
	json_t *j, *p, *f;

	(void)state;
	mf_addr_parse("192.0.2.1", 9, &remote.addr);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_NET_CONNECT,
						     .session_id = "s1",
						     .source = "session",
						     .pid = 4321,
						     .parent_pid = 1,
						     .domain = "a.example",
						     .remote = &remote,
						     .operation = "connect",
						     .effective_action = "blocked",
						     .decision = &d });
	mf_event_add_cstr(&ev, MF_EVF_PROTO, "tcp");
	mf_event_add_addr(&ev, MF_EVF_RESOLVED_IP, &remote.addr);
	mf_event_add_list(&ev, MF_EVF_NAMES, names, 2);
	mf_event_add_cstr(&ev, MF_EVF_CLIENT, "");
	assert_true(ev.priority);
	assert_int_equal(ev.visibility, MF_WARN);
	assert_string_equal((ev.notice[ev.notice_len] = '\0', ev.notice),
			    "a.example:443: deny: ask the network team (network_rules[2] no-lan)");
	j = parse(&ev);
	assert_string_equal(text(j, "type"), "net_connect");
	assert_string_equal(text(j, "session_id"), "s1");
	assert_string_equal(text(j, "source"), "session");
	assert_int_equal(json_integer_value(json_object_get(j, "pid")), 4321);
	assert_string_equal(text(j, "domain"), "a.example");
	assert_string_equal(text(j, "remote"), "a.example:443");
	assert_string_equal(text(j, "operation"), "connect");
	assert_string_equal(text(j, "effective_action"), "blocked");
	p = json_object_get(j, "policy");
	assert_string_equal(text(p, "decision"), "deny");
	assert_string_equal(text(p, "effective_decision"), "deny");
	assert_string_equal(text(p, "rule"), "network_rules[2] no-lan");
	assert_string_equal(text(p, "reason"), "no LAN");
	assert_string_equal(text(p, "origin"), "rules");
	assert_int_equal(json_integer_value(json_object_get(p, "line")), 12);
	f = json_object_get(j, "fields");
	assert_int_equal(json_object_size(f), 3);
	assert_string_equal(text(f, "resolved_ip"), "192.0.2.1");
	assert_int_equal(json_array_size(json_object_get(f, "names")), 2);
	assert_null(json_object_get(j, "truncated"));
	json_decref(j);
}

static void an_audited_decision_says_audit_and_what_was_carried_out(void **state)
{
	const struct mf_decision d = { .verdict = MF_ALLOW, .audit = true };
	const struct mf_decision ask = { .verdict = MF_ASK };
	const struct mf_decision settled = {
		.verdict = MF_ALLOW, .audit = true, .settled = true, .decided = MF_REDIRECT
	};
	struct mf_event ev;
	json_t *j, *p;

	(void)state;
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_DNS_QUERY, .decision = &d });
	assert_true(ev.priority);
	j = parse(&ev);
	p = json_object_get(j, "policy");
	assert_string_equal(text(p, "decision"), "audit");
	assert_string_equal(text(p, "effective_decision"), "allow");
	json_decref(j);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_DNS_QUERY,
						     .decision = &ask,
						     .effective_decision = "deny" });
	j = parse(&ev);
	p = json_object_get(j, "policy");
	assert_string_equal(text(p, "decision"), "ask");
	assert_string_equal(text(p, "effective_decision"), "deny");
	json_decref(j);
	mf_event_begin(&ev,
		       &(struct mf_event_head){ .type = MF_EV_DNS_QUERY, .decision = &settled });
	assert_true(ev.priority);
	j = parse(&ev);
	p = json_object_get(j, "policy");
	assert_string_equal(text(p, "decision"), "redirect");
	assert_string_equal(text(p, "effective_decision"), "allow");
	json_decref(j);
}

static void an_event_without_anything_is_still_json_with_its_envelope(void **state)
{
	struct mf_event ev;
	json_t *j;

	(void)state;
	for (int t = 0; t < MF_EV_NUM; t++) {
		mf_event_begin(&ev, &(struct mf_event_head){ .type = t });
		j = parse(&ev);
		assert_string_equal(text(j, "type"), mf_event_type_info(t)->name);
		assert_string_equal(text(j, "session_id"), "");
		assert_non_null(text(j, "timestamp"));
		assert_non_null(text(j, "id"));
		assert_int_equal(ev.priority, mf_event_type_info(t)->urgent);
		json_decref(j);
	}
}

static void control_bytes_quotes_and_bad_utf8_are_escaped(void **state)
{
	static const struct {
		const char *in;
		size_t len;
		const char *want;
	} cases[] = {
		{ "plain", 5, "plain" },
		{ "a\"b\\c", 5, "a\\\"b\\\\c" },
		{ "\n\r\t\b\f", 5, "\\n\\r\\t\\b\\f" },
		{ "\0\x1b\x7f", 3, "\\u0000\\u001b\\u007f" },
		{ "\xc2\x9b", 2, "\\u009b" },
		{ "\xe2\x80\xa8", 3, "\\u2028" },
		{ "\xc3\xa9", 2, "\xc3\xa9" },
		{ "a\xff"
		  "b",
		  3,
		  "a\xef\xbf\xbd"
		  "b" },
		{ "\xed\xa0\x80", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf0\x9f\x98\x80", 4, "\xf0\x9f\x98\x80" },
		{ "\xf0\x9f\x98", 3, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	char out[64];

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(cases); i++) {
		size_t used, n = mf_json_escape(cases[i].in, cases[i].len, out, sizeof(out), &used);

		assert_int_equal(used, cases[i].len);
		assert_int_equal(n, strlen(cases[i].want));
		assert_memory_equal(out, cases[i].want, n);
		// What does not fit is not begun.
		for (size_t room = 0; room < n; room++)
			assert_true(mf_json_escape(cases[i].in, cases[i].len, out, room, &used) <=
				    room);
	}
	assert_true(mf_utf8_valid("\xc3\xa9", 2));
	assert_false(mf_utf8_valid("\xc3", 1));
}

static void a_path_that_is_not_utf8_is_given_in_base64_as_well(void **state)
{
	struct mf_event ev;
	json_t *j;

	(void)state;
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_FILE_OPEN, .path = "/a\xff\n" });
	j = parse(&ev);
	assert_string_equal(text(j, "path"), "/a\xef\xbf\xbd\n");
	assert_string_equal(text(j, "path_b64"), "L2H/Cg==");
	json_decref(j);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_FILE_OPEN,
						     .path = "/\xff"
							     "b\0c",
						     .path_len = 5 });
	j = parse(&ev);
	assert_string_equal(text(j, "path_b64"), "L/9iAGM=");
	json_decref(j);
	mf_event_begin(&ev,
		       &(struct mf_event_head){ .type = MF_EV_FILE_OPEN, .path = "/\xc3\xa9" });
	j = parse(&ev);
	assert_null(json_object_get(j, "path_b64"));
	json_decref(j);
}

static void what_does_not_fit_is_left_out_and_said(void **state)
{
	static char big[100000];
	const char *items[200];
	struct mf_event ev;
	uint64_t seed = 5;

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(items); i++)
		items[i] = "0123456789012345678901234567890123456789012345678901234567890123456789";
	for (int round = 0; round < 300; round++) {
		json_t *j;

		// Text of every length about the limits, of characters of every width.
		memset(big, "a\x01\xff\""[round % 4], sizeof(big));
		big[test_below(&seed, 4500)] = '\0';
		mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_SESSION_START,
							     .session_id = round % 3 ? "s" : big,
							     .path = big,
							     .source = big,
							     .operation = round % 2 ? big : NULL });
		mf_event_add_cstr(&ev, MF_EVF_BACKEND, big);
		mf_event_add_list(&ev, MF_EVF_ARGV, items, test_below(&seed, 200));
		mf_event_add_cstr(&ev, MF_EVF_BACKEND, big);
		mf_event_add_list(&ev, MF_EVF_ARGV, items, test_below(&seed, 200));
		for (int k = 0; k < 20; k++)
			mf_event_add_int(&ev, MF_EVF_GENERATION, 1000 + k);
		// Duplicates were only made to fill the line.
		{
			size_t len;
			const char *line = mf_event_end(&ev, &len);

			j = json_loadb(line, len, 0, NULL);
		}
		assert_non_null(j);
		if (strlen(big) > MF_EVENT_TEXT_MAX)
			assert_true(json_is_true(json_object_get(j, "truncated")));
		json_decref(j);
	}
}

static void text_is_cut_between_characters(void **state)
{
	char big[MF_EVENT_TEXT_MAX + 10];
	struct mf_event ev;
	json_t *j;

	(void)state;
	memset(big, 'a', sizeof(big));
	memcpy(big + MF_EVENT_TEXT_MAX - 1, "\xc3\xa9", 2);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_SESSION_START });
	mf_event_add_str(&ev, MF_EVF_BACKEND, big, sizeof(big));
	j = parse(&ev);
	assert_int_equal(strlen(text(json_object_get(j, "fields"), "backend")),
			 MF_EVENT_TEXT_MAX - 1);
	assert_true(json_is_true(json_object_get(j, "truncated")));
	json_decref(j);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_event_has_its_members_in_their_places),
		cmocka_unit_test(an_audited_decision_says_audit_and_what_was_carried_out),
		cmocka_unit_test(an_event_without_anything_is_still_json_with_its_envelope),
		cmocka_unit_test(control_bytes_quotes_and_bad_utf8_are_escaped),
		cmocka_unit_test(a_path_that_is_not_utf8_is_given_in_base64_as_well),
		cmocka_unit_test(what_does_not_fit_is_left_out_and_said),
		cmocka_unit_test(text_is_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
