/* SPDX-License-Identifier: Apache-2.0 */
/* agentsh_help.h - what the tests of agentsh policies share: loading them as a host program does, questions, files */
#ifndef MF_TESTS_AGENTSH_HELP_H
#define MF_TESTS_AGENTSH_HELP_H

#include <moonfence/moonfence.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine {
	struct mf_runtime *rt;
	struct mf_vm *vm;
	struct mf_err err;
	int code; /* of the load */
};

/* The variables of the tests: HOME=/home/u, PROJECT_ROOT=/src/p, GIT_ROOT=/src, Windows' ones below C:\Users\bob. */
extern const char *const engine_variables[];

/* From a file, or from a text as a file of that name in a directory of the test's own. */
void engine_load(struct engine *e, const char *path);
void engine_load_text(struct engine *e, const char *name, const char *text);
void engine_done(struct engine *e);

/* A file in the test's directory; static storage. */
const char *engine_write(const char *name, const char *text);

/* The decision, valid until the next question. @target may be NULL. */
const struct mf_decision *engine_file(struct engine *e, const char *op, const char *path,
				      const char *target);
const struct mf_decision *engine_dns(struct engine *e, const char *name);
/* @hosts: names with blanks between, or NULL; @ip may be NULL; @port -1 for none */
const struct mf_decision *engine_connect(struct engine *e, const char *hosts, const char *ip,
					 int port);

/* "deny network_rules[3] name": verdict ("audit" for an audited allow), its parameters, rule. Static storage. */
const char *engine_text(const struct mf_decision *d);

/* The whole of a file of tests/data/agentsh, free() it. */
char *engine_data(const char *name);

/* cmocka group setup and teardown: the directory. */
int engine_setup(void **state);
int engine_teardown(void **state);

#endif
