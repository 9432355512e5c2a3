/* SPDX-License-Identifier: Apache-2.0 */
/* testrun_internal.h - one test file being run: shared by testrun.c (order, report) and bind_test.c (what tests see) */
#ifndef MF_POLICY_TESTRUN_INTERNAL_H
#define MF_POLICY_TESTRUN_INTERNAL_H

#include <lua.h>

#include "core/base/strbuf.h"
#include "core/policy/outcome.h"
#include "core/policy/testrun.h"

#define MF_TESTS_MAX	 4096 /* of one file */
#define MF_TEST_NAME_MAX 200
#define MF_ANSWERS_MAX	 65536 /* of one test */
#define MF_TEST_T_META	 "mf.test.t"

/* A test that a file has announced. */
struct mf_test_entry {
	char name[MF_TEST_NAME_MAX + 1];
	unsigned line;
	int ref; /* its function; LUA_NOREF when it is to be skipped */
	int row; /* of test.each(): what the function gets besides; LUA_NOREF for none */
};

/* An answer that the running test got. */
struct mf_test_answer {
	struct mf_outcome *outcome;
	char *question;
};

struct mf_test_run {
	struct mf_vm_state *state;
	struct mf_request *req;
	struct mf_test_entry *entries;
	size_t entry_cnt;
	bool collecting; /* the file is being read: test() may be called */

	/* the running test */
	const char *name, *file;
	struct mf_strbuf inputs; /* values of t:for_all() that are being tried */
	uint32_t serial;	 /* answers know theirs: one that outlives its test is refused */
	struct mf_test_answer *answers;
	size_t answer_cnt, answer_room;
	struct mf_strbuf failure; /* "" while nothing has failed */
	char fail_file[256];
	unsigned fail_line;

	/* Told of every decision; may be NULL */
	void (*decided)(void *ctx, const struct mf_decision *d);
	void *ctx;
	const struct mf_test_report *report; /* for its on_question */
};

/** mf_bind_test() - Add test() to the globals on top of the stack; the sandbox's owner is a struct mf_test_run */
void mf_bind_test(lua_State *L);

/* bind_forall.c: what t has besides questions; and their metatables */
int mf_test_for_all(lua_State *L);
int mf_test_any_name(lua_State *L);
int mf_test_any_address(lua_State *L);
int mf_test_any_path(lua_State *L);
int mf_test_any_number(lua_State *L);
void mf_bind_test_generators(lua_State *L);

/** mf_test_push_t() - Push what a test's function gets */
void mf_test_push_t(lua_State *L);

#endif
