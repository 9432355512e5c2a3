/* SPDX-License-Identifier: Apache-2.0 */
/*
 * testrun.h - runs the tests that come with policies
 *
 *	test("metadata service is out of reach", function(t)
 *	  t:connect { ip = "169.254.169.254", port = 80 } :is_denied()
 *	end)
 *
 * How it works
 *
 * A pack's tests ask a vm_state that is made for them and has that pack's policies only. Test files run in a sandbox of
 * their own, with generous limits; a test is a function that a test file hands to test(), run after the file was read. An
 * expectation that does not hold ends its test, the others still run. Every answer that a policy failed to give is a
 * failure, whatever was expected: a fail mode's deny is not the deny that a test means.
 *
 * A test whose name begins with "todo" is counted as skipped, as is test.todo("..."). A test file without tests fails.
 */
#ifndef MF_POLICY_TESTRUN_H
#define MF_POLICY_TESTRUN_H

#include "core/base/strbuf.h"
#include "core/policy/vm.h"

enum mf_test_status { MF_TEST_PASSED, MF_TEST_FAILED, MF_TEST_SKIPPED, MF_TEST_STATUS_NUM };

struct mf_test_result {
	enum mf_test_status status;
	char *name; /* "" for a failure of the file itself */
	char *file; /* of the failure; of the test when it passed */
	unsigned line;
	char *text; /* what was asked, expected and decided, several lines; NULL unless it failed */
	uint64_t elapsed_ns;
};

/* Lines and rules that the tests reached. */
struct mf_test_line {
	char *file;
	unsigned line;
	uint64_t hits;
};

struct mf_test_rule {
	char *policy, *rule; /* "corp-egress", "dns_redirects[2] npm-mirror" */
	char *file;	     /* of the policy */
	unsigned line;	     /* 0: not known */
	uint64_t hits;
};

#define MF_TEST_ROUNDS	   100 /* of t:for_all() */
#define MF_TEST_ROUNDS_MAX 10000

/* An explanation that a test wants to stay as it is: answer:explains_as "NAME" */
struct mf_test_explained {
	const char *file;     /* of the test */
	const char *name;     /* as the test says, not checked */
	const char *question; /* as a line */
	const char *json;     /* mf_vm_state_explain() */
};

struct mf_test_report {
	size_t passed, failed, skipped;
	struct mf_test_result *results;
	size_t result_cnt;
	bool coverage;	    /* in: gather lines and rules; slow */
	const char *filter; /* in: only tests whose name contains this; NULL for all */
	/* in: told of every question before it is asked, @req borrowed for the call; may be NULL */
	void (*on_question)(void *ctx, const struct mf_request *req);
	void *ctx;
	/* in: whether the explanation is as it should be, else why not; NULL: tests do not care */
	bool (*explained)(void *ctx, const struct mf_test_explained *e, struct mf_strbuf *why);
	void *explained_ctx;
	unsigned rounds; /* in: of t:for_all(), at most MF_TEST_ROUNDS_MAX; 0 for MF_TEST_ROUNDS */
	uint64_t seed;	 /* in: of its random values; 0 is as good as any */
	struct mf_test_line
		*lines; /* sorted by file and line; lines that ran while loading count too */
	size_t line_cnt;
	struct mf_test_rule *rules; /* every declarative rule of the policies under test */
	size_t rule_cnt;
};

#define MF_TEST_REPORT_INIT \
	{                   \
		.passed = 0 \
	}

/**
 * mf_testrun_all() - Run the tests of every pack of @set
 * @config:    of a runtime, or made for this; its limits hold for the policies
 * @max_failures: stop after so many, 0 for none
 * @report:    added to; mf_test_report_done() frees it
 * Return: 0 when the tests could be run, whatever came of them; MF_E_* and @err when a pack does not load
 */
int mf_testrun_all(const struct mf_vm_config *config, struct mf_source_set *set,
		   size_t max_failures, struct mf_test_report *report, struct mf_err *err);

/** mf_testrun_pack() - The same for the pack of policy @policy only; nothing when it has no tests */
int mf_testrun_pack(const struct mf_vm_config *config, struct mf_source_set *set, size_t policy,
		    size_t max_failures, struct mf_test_report *report, struct mf_err *err);

/** mf_test_report_error() - The first failure as an error, MF_E_TEST with file and line; 0 when nothing failed */
int mf_test_report_error(const struct mf_test_report *report, struct mf_err *err);

void mf_test_report_done(struct mf_test_report *report);

#endif
