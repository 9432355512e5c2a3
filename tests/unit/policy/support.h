/* SPDX-License-Identifier: Apache-2.0 */
/* support.h - for tests of decisions: a vm_state from policy text, with clocks that stand still until they are moved */
#ifndef MF_TEST_POLICY_SUPPORT_H
#define MF_TEST_POLICY_SUPPORT_H

#include "core/policy/state.h"

struct fence {
	struct mf_vm_config config;
	struct mf_source_set *set;
	struct mf_vm_state *state;
	struct mf_err err;
	uint64_t mono_ns, wall_ns;
	char dir[256];
	unsigned policies;
};

/* Begin with defaults; change @f->config.options before fence_load(). */
void fence_init(struct fence *f);
/* Write a file below the fence's directory: a policy "10-x.lua", or data "data/x.txt". */
void fence_write(struct fence *f, const char *name, const char *text);
/* Load all that was written. Return: as mf_vm_state_new(), with f->err */
int fence_load(struct fence *f);
/* A second state of the same sources. */
struct mf_vm_state *fence_another(struct fence *f);
void fence_done(struct fence *f);

/* fence_init(), one policy, fence_load(); fails the test with the message when it does not load. */
void fence_open(struct fence *f, const char *lua);

int fence_ask(struct fence *f, struct mf_request *req, struct mf_decision *ret);

struct mf_request *ask_dns(const char *name);
struct mf_request *ask_connect(const char *host, const char *ip, int port);
struct mf_request *ask_file(const char *op, const char *path);

#endif
