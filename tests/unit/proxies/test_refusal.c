// SPDX-License-Identifier: Apache-2.0
// How a request is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/err.h"
#include "proxies/refusal.h"

static void a_refusal_carries_rule_and_reason_and_its_exact_length(void **state)
{
	struct mf_decision d = MF_DECISION_INIT;
	char out[MF_HTTP_REFUSAL_MAX + 1], *body;

	(void)state;
	d.verdict = MF_DENY;
	d.rule = "network_rules[3] no-lan";
	d.reason = "no LAN from agents";
	d.policy = "corp";
	d.file = "corp/policy.lua";
	d.line = 7;
	out[mf_http_write_refusal(&d, "GET 10.0.0.1:80", out)] = '\0';
	assert_memory_equal(out, "HTTP/1.1 403 ", 13);
	assert_non_null(strstr(out, "\r\nX-Moonfence-Rule: network_rules[3] no-lan\r\n"));
	assert_non_null(strstr(out, "\r\nX-Moonfence-Reason: no LAN from agents\r\n"));
	body = strstr(out, "\r\n\r\n") + 4;
	assert_non_null(strstr(body, "corp/policy.lua:7"));
	assert_int_equal(atoi(strstr(out, "Content-Length: ") + 16), strlen(body));
}

static void a_policy_cannot_break_out_of_the_header(void **state)
{
	struct mf_decision d = MF_DECISION_INIT;
	char out[MF_HTTP_REFUSAL_MAX + 1], longest[5000];

	(void)state;
	d.reason = "x\r\nSet-Cookie: a=b\r\n\r\n<html>";
	out[mf_http_write_refusal(&d, "GET /", out)] = '\0';
	assert_null(strstr(out, "\nSet-Cookie"));
	memset(longest, 'r', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	d.reason = d.rule = d.policy = d.file = longest;
	assert_true(mf_http_write_refusal(&d, "GET /", out) < MF_HTTP_REFUSAL_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_refusal_carries_rule_and_reason_and_its_exact_length),
		cmocka_unit_test(a_policy_cannot_break_out_of_the_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
