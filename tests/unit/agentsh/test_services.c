/* SPDX-License-Identifier: Apache-2.0 */
/* test_services.c - http_services: what is let through to a service, and what is refused before any rule is asked */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/policy/api_services.h"
#include "core/policy/source.h"
#include "tests/unit/agentsh/agentsh_help.h"

#define HEAD "version: 1\nname: t\n"

static struct mf_api_services *services;

static void take(const char *text)
{
	const char *path = engine_write("s.yaml", text);
	struct mf_source_set *set;
	struct mf_err err;

	mf_api_services_free(services);
	services = NULL;
	assert_int_equal(mf_source_set_read(&path, 1, NULL, &set, &err), 0);
	assert_int_equal(mf_api_services_new(set, &services, &err), 0);
	mf_source_set_unref(set);
}

static struct mf_api_service_judgement judged;

/* "allow http_services[0].rules[1] name", with the reason behind a bar where there is one */
static const char *asked(const char *name, const char *method, const char *path)
{
	static char text[512];
	const struct mf_api_service *s = mf_api_services_find(services, mf_span_str(name));

	assert_non_null(s);
	mf_api_service_judge(s, mf_span_str(method), mf_span_str(path), &judged);
	snprintf(text, sizeof(text), "%s %s%s%s", mf_verdict_name(judged.d.verdict), judged.d.rule,
		 judged.d.reason ? " | " : "", judged.d.reason ? judged.d.reason : "");
	return text;
}

static const char policy[] = HEAD
	"http_services:\n"
	"  - name: git-hub\n"
	"    upstream: https://api.example:8443/v3/\n"
	"    rules:\n"
	"      - {name: no-keys, paths: [/repos/*/keys, \"/repos/*/keys/**\"], decision: deny, "
	"message: never}\n"
	"      - {name: read, methods: [GET, HEAD], paths: [\"/repos/**\", /user], decision: "
	"allow}\n"
	"      - {name: issues, methods: [POST], paths: [\"/repos/*/issues\"], decision: approve}\n"
	"      - {name: nothing, paths: [], decision: allow}\n"
	"      - {name: watched, methods: [OPTIONS], decision: audit}\n"
	"  - {name: open, upstream: \"http://[2001:db8::1]/\", default: allow, expose_as: "
	"OPEN_URL}\n";

static void the_first_rule_decides_and_nothing_is_denied(void **state)
{
	(void)state;
	take(policy);
	assert_string_equal(asked("git-hub", "GET", "/repos/a/b"),
			    "allow http_services[0].rules[1] read");
	assert_string_equal(asked("git-hub", "head", "/user/"),
			    "allow http_services[0].rules[1] read");
	assert_string_equal(asked("git-hub", "GET", "/repos/a/keys"),
			    "deny http_services[0].rules[0] no-keys");
	assert_string_equal(asked("git-hub", "GET", "/repos/a/keys/1/"),
			    "deny http_services[0].rules[0] no-keys");
	assert_string_equal(asked("git-hub", "GET", "/repos/a/%6beys"),
			    "deny http_services[0].rules[0] no-keys");
	assert_string_equal(asked("git-hub", "POST", "/repos/a/issues"),
			    "ask http_services[0].rules[2] issues");
	assert_string_equal(asked("git-hub", "DELETE", "/repos/a"),
			    "deny http_services[0] git-hub");
	assert_string_equal(asked("git-hub", "GET", "/users"), "deny http_services[0] git-hub");
	assert_string_equal(asked("git-hub", "OPTIONS", ""),
			    "allow http_services[0].rules[4] watched");
	assert_string_equal(asked("open", "PATCH", "/x"), "allow http_services[1] open");
	take(HEAD "approve_without_channel: allow\nhttp_services:\n"
		  "  - {name: a, upstream: \"https://a.example\", default: approve}\n");
	assert_string_equal(asked("a", "GET", "/"), "ask http_services[0] a");
	assert_true(judged.d.else_allow);
}

static void where_a_service_is(void **state)
{
	const struct mf_api_service *s;

	(void)state;
	take(policy);
	assert_int_equal(mf_api_services_count(services), 2);
	s = mf_api_services_at(services, 0);
	assert_string_equal(s->env, "GIT_HUB_API_URL");
	assert_string_equal(s->host, "api.example");
	assert_int_equal(s->port, 8443);
	assert_true(s->tls);
	assert_true(mf_span_eq(mf_span_of(s->authority, s->authority_len),
			       mf_span_str("api.example:8443")));
	assert_true(mf_span_eq(mf_span_of(s->base, s->base_len), mf_span_str("/v3")));
	s = mf_api_services_at(services, 1);
	assert_string_equal(s->env, "OPEN_URL");
	assert_string_equal(s->host, "2001:db8::1");
	assert_int_equal(s->port, 80);
	assert_false(s->tls);
	assert_int_equal(s->base_len, 0);
	assert_null(mf_api_services_find(services, mf_span_str("git")));
}

/* What two servers could read in two ways is refused, also where everything is allowed. */
static void paths_that_mislead_are_refused(void **state)
{
	static const char *const paths[] = {
		"x",	   "//x",	"/a//b",   "/a//",   "/./a",	      "/a/.",	"/a/..",
		"/a/../b", "/%2e%2e/b", "/.%2E/b", "/..;/b", "/a/.;x/b",      "/a%2fb", "/a%2Fb",
		"/a%5cb",  "/a\\b",	"/a%00b",  "/a%0ab", "/%252e%252e/x", "/a%",	"/a%4",
		"/a%zz",   "/a%23b",	"/a#b",	   "/a\x7f",
	};
	static const char *const plain[] = { "/",    "/...",   "/..a/b",    "/a..", "/a.b/c;d",
					     "/%41", "/a%20b", "/\xc3\xa9", "/.a",  "/a/" };
	char path[MF_API_SERVICE_PATH_MAX + 8];

	(void)state;
	take(policy);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		if (strncmp(asked("open", "GET", paths[i]), "deny http_services[1] open | its path",
			    37) != 0)
			fail_msg("%s: %s", paths[i], asked("open", "GET", paths[i]));
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (strcmp(asked("open", "GET", plain[i]), "allow http_services[1] open") != 0)
			fail_msg("%s: %s", plain[i], asked("open", "GET", plain[i]));
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	path[MF_API_SERVICE_PATH_MAX] = '\0';
	assert_string_equal(asked("open", "GET", path), "allow http_services[1] open");
	path[MF_API_SERVICE_PATH_MAX] = 'a';
	path[MF_API_SERVICE_PATH_MAX + 1] = '\0';
	assert_string_equal(asked("open", "GET", path),
			    "deny http_services[1] open | its path is too long");
}

static int done(void **state)
{
	mf_api_services_free(services);
	services = NULL;
	return engine_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_decides_and_nothing_is_denied),
		cmocka_unit_test(where_a_service_is),
		cmocka_unit_test(paths_that_mislead_are_refused),
	};

	return cmocka_run_group_tests(tests, engine_setup, done);
}
