// SPDX-License-Identifier: Apache-2.0
// test_event_filter.c - which lines pass: by kind, type, verdict, session, host and path
#include "core/base/addr.h"
#include "core/observe/event_filter.h"
#include "tests/unit/test.h"

/* "name=value name=value" */
static struct mf_event_filter *make(const char *text)
{
	struct mf_event_filter *f;
	struct mf_err err = { 0 };
	char copy[512], *save;

	snprintf(copy, sizeof(copy), "%s", text);
	assert_int_equal(mf_event_filter_new(&f, NULL), 0);
	for (char *pair = strtok_r(copy, " ", &save); pair; pair = strtok_r(NULL, " ", &save)) {
		char *value = strchr(pair, '=');

		*value++ = '\0';
		if (mf_event_filter_add(f, pair, value, &err))
			fail_msg("%s", err.msg);
	}
	return f;
}

static bool passes(const char *filter, struct mf_event *ev)
{
	struct mf_event_filter *f = make(filter);
	size_t len;
	const char *line = mf_event_end(ev, &len);
	bool good = mf_event_filter_match(f, line, len);

	mf_event_filter_free(f);
	return good;
}

static void test_connection(void **state)
{
	const struct mf_decision d = { .verdict = MF_DENY, .audit = false };
	struct mf_endpoint at = { .port = 443 };
	struct mf_event ev;

	(void)state;
	mf_addr_parse("2001:db8::1", 11, &at.addr);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_NET_CONNECT,
						     .session_id = "run-1",
						     .remote = &at,
						     .decision = &d });
	mf_event_add_cstr(&ev, MF_EVF_RESOLVED_IP, "2001:db8::1");
	assert_true(passes("", &ev));
	assert_true(passes("kind=connect", &ev));
	assert_true(passes("kind=dns kind=connect", &ev));
	assert_false(passes("kind=dns", &ev));
	assert_true(passes("type=net_connect", &ev));
	assert_false(passes("type=net_close", &ev));
	assert_false(passes("kind=connect type=net_close", &ev));
	assert_true(passes("verdict=deny", &ev));
	assert_true(passes("verdict=allow verdict=deny", &ev));
	assert_false(passes("verdict=allow", &ev));
	assert_true(passes("session=run-1", &ev));
	assert_true(passes("session=run-*", &ev));
	assert_false(passes("session=run", &ev));
	assert_true(passes("host=2001:db8::1", &ev));
	assert_true(passes("host=2001:db8:*", &ev));
	assert_false(passes("host=2001:db9:*", &ev));
	assert_false(passes("path=/**", &ev));
	assert_true(passes("kind=connect verdict=deny session=run-* host=2001:*", &ev));
	assert_false(passes("kind=connect verdict=deny session=other host=2001:*", &ev));
}

static void test_names(void **state)
{
	struct mf_endpoint at = { .port = 443 };
	struct mf_event ev;

	(void)state;
	mf_addr_parse("192.0.2.7", 9, &at.addr);
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_NET_TLS_HELLO,
						     .session_id = "s",
						     .domain = "api.vendor.example",
						     .remote = &at });
	mf_event_add_cstr(&ev, MF_EVF_SNI, "other.example");
	assert_true(passes("host=api.vendor.example", &ev));
	assert_true(passes("host=*.vendor.example", &ev));
	assert_true(passes("host=**.example", &ev));
	assert_false(passes("host=*.api.vendor.example", &ev));
	assert_true(passes("host=other.example", &ev));
	assert_false(passes("host=example", &ev));
	assert_true(passes("kind=sni", &ev));
	assert_false(passes("verdict=allow", &ev)); // no decision in it
}

static void test_files(void **state)
{
	const struct mf_decision d = { .verdict = MF_ALLOW, .audit = true };
	struct mf_event ev;

	(void)state;
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_FILE_RENAME,
						     .session_id = "a\"b",
						     .path = "/ws/a \"quoted\"",
						     .decision = &d });
	mf_event_add_cstr(&ev, MF_EVF_FROM_PATH, "/ws/a \"quoted\"");
	mf_event_add_cstr(&ev, MF_EVF_TO_PATH, "/other/b");
	assert_true(passes("kind=file", &ev));
	assert_true(passes("path=/ws/*", &ev));
	assert_true(passes("path=/ws/*\"quoted\"", &ev));
	assert_true(passes("path=/other/**", &ev));
	assert_false(passes("path=/ws", &ev));
	assert_true(passes("verdict=audit", &ev));
	assert_true(passes("verdict=allow", &ev)); // carried out
	assert_true(passes("session=a\"b", &ev));
	assert_false(passes("session=a\\\\\"b", &ev));
}

static void test_gaps_pass(void **state)
{
	struct mf_event ev;

	(void)state;
	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_EVENTS_DROPPED });
	mf_event_add_int(&ev, MF_EVF_COUNT, 3);
	assert_true(passes("kind=dns verdict=deny session=x host=y path=/z", &ev));
}

static void test_no_events(void **state)
{
	static const char *const lines[] = { "", "{}", "x",
					     "{\"timestamp\":\"\",\"type\":\"dns_query\"}" };
	struct mf_event_filter *f = make("kind=dns");

	(void)state;
	for (size_t i = 0; i < MF_ARRAY_SIZE(lines); i++)
		assert_false(mf_event_filter_match(f, lines[i], strlen(lines[i])));
	assert_true(mf_event_filter_match(NULL, "x", 1));
	mf_event_filter_free(f);
}

static void test_every_kind_can_be_asked_for(void **state)
{
	static const char *const names[] = { "dns",	"connect", "sni",     "http", "file",
					     "session", "policy",  "capture", "trash" };
	bool seen[MF_EVENT_KIND_NUM] = { false };

	(void)state;
	for (unsigned t = 0; t < MF_EV_NUM; t++) {
		enum mf_event_kind kind = mf_event_kind_of((enum mf_event_type)t);
		char filter[64];
		struct mf_event ev;

		seen[kind] = true;
		if (kind == MF_EVENT_KIND_OTHER)
			continue;
		mf_event_begin(&ev, &(struct mf_event_head){ .type = (enum mf_event_type)t });
		for (unsigned k = 0; k < MF_EVENT_KIND_OTHER; k++) {
			snprintf(filter, sizeof(filter), "kind=%s", names[k]);
			assert_int_equal(passes(filter, &ev), k == kind);
		}
	}
	for (unsigned k = 0; k < MF_EVENT_KIND_NUM; k++)
		assert_true(seen[k]);
}

static void test_wrong(void **state)
{
	static const struct {
		const char *name, *value;
		int code;
	} wrong[] = {
		{ "kind", "dsn", MF_E_INVAL },	     { "type", "dns", MF_E_INVAL },
		{ "verdict", "denied", MF_E_INVAL }, { "colour", "red", MF_E_INVAL },
		{ "path", "/a/{b", MF_E_SYNTAX },    { "host", "[", MF_E_SYNTAX },
	};
	struct mf_event_filter *f;

	(void)state;
	assert_int_equal(mf_event_filter_new(&f, NULL), 0);
	for (size_t i = 0; i < MF_ARRAY_SIZE(wrong); i++) {
		struct mf_err err = { 0 };

		assert_int_equal(mf_event_filter_add(f, wrong[i].name, wrong[i].value, &err),
				 wrong[i].code);
		assert_true(err.msg[0] != '\0');
	}
	for (unsigned i = 0; i < MF_EVENT_FILTER_VALUES_MAX; i++)
		assert_int_equal(mf_event_filter_add(f, "host", "a.example", NULL), 0);
	assert_int_equal(mf_event_filter_add(f, "host", "a.example", NULL), MF_E_FULL);
	mf_event_filter_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connection),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_gaps_pass),
		cmocka_unit_test(test_no_events),
		cmocka_unit_test(test_every_kind_can_be_asked_for),
		cmocka_unit_test(test_wrong),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
