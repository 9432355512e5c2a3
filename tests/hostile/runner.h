/* SPDX-License-Identifier: Apache-2.0 */
/* runner.h - reading and running the scripts of the hostile corpus; shared by the test and the benchmark */
#ifndef MF_TESTS_HOSTILE_RUNNER_H
#define MF_TESTS_HOSTILE_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy/sandbox.h"

/* One script, as its first lines describe it. */
struct hostile {
	char name[64];
	char attempt[160];
	char load[64],
		call[64]; /* allowed outcomes, "steps|time"; call is "" when loading must fail */
	bool has_result;
	char result[256]; /* what the call returns, as text */
	char *text;	  /* the policy, directives expanded */
	size_t len;
};

struct outcome {
	int code; /* 0 or MF_E_* */
	uint64_t steps;
	uint64_t ns;	  /* CPU time of this thread */
	uint64_t wall_ns; /* of a call: wall time */
	char result[256];
	struct mf_err err;
};

/* The CPU time of this thread: what other processes of the machine do is not counted. */
extern const struct mf_clock hostile_clock;

/** hostile_read_all() - All scripts of @dir by name; exits on an error of ours. Return: their number */
size_t hostile_read_all(const char *dir, struct hostile **ret);
void hostile_free_all(struct hostile *all, size_t n);

struct mf_sandbox *hostile_open(void);
void hostile_load(struct mf_sandbox *sb, const struct hostile *h,
		  const struct mf_sandbox_limits *limits, int *ref, struct outcome *ret);
void hostile_call(struct mf_sandbox *sb, int ref, const struct mf_sandbox_limits *limits,
		  struct outcome *ret);
const char *hostile_code_name(int code);
/** hostile_allows() - Is @code one of those in @allowed? */
bool hostile_allows(const char *allowed, int code);

#endif
