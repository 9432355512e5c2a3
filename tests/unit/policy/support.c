/* SPDX-License-Identifier: Apache-2.0 */
/* support.c - see support.h */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/os/os.h"

#include <cmocka.h>

static uint64_t fence_mono(void *ctx)
{
	return ((struct fence *)ctx)->mono_ns;
}

static uint64_t fence_wall(void *ctx)
{
	return ((struct fence *)ctx)->wall_ns;
}

void fence_init(struct fence *f)
{
	struct mf_runtime_options *o = &f->config.options;

	memset(f, 0, sizeof(*f));
	f->mono_ns = 1000 * MF_NS_PER_S;
	f->wall_ns = UINT64_C(1763719200) * MF_NS_PER_S; /* Friday 2025-11-21 10:00:00 UTC */
	f->config.clock =
		(struct mf_clock){ .monotonic = fence_mono, .wall = fence_wall, .ctx = f };
	f->config.counters = mf_counters_new(0);
	o->size = sizeof(*o);
	o->step_limit = 100000;
	o->time_limit_us = 5000;
	o->memory_limit = 16u << 20;
	o->load_step_limit = 50000000;
	o->load_time_limit_ms = 10000;
	o->graph_nodes_max = 65536;
	o->memo_entries_max = 16384;
	assert_int_equal(test_temp_dir(f->dir, sizeof(f->dir)), 0);
}

void fence_write(struct fence *f, const char *name, const char *text)
{
	char path[512], *slash;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", f->dir, name);
	slash = strrchr(path, '/');
	*slash = '\0';
	assert_int_equal(test_make_dir(path), 0);
	*slash = '/';
	file = fopen(path, "wb");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

int fence_load(struct fence *f)
{
	const char *path = f->dir;
	int r = mf_source_set_read(&path, 1, NULL, &f->set, &f->err);

	return r < 0 ? r : mf_vm_state_new(&f->config, f->set, 1, &f->state, &f->err);
}

struct mf_vm_state *fence_another(struct fence *f)
{
	struct mf_vm_state *state;

	if (mf_vm_state_new(&f->config, f->set, 1, &state, &f->err) < 0)
		fail_msg("%s", f->err.msg);
	return state;
}

void fence_done(struct fence *f)
{
	mf_vm_state_free(f->state);
	mf_source_set_unref(f->set);
	mf_counters_free(f->config.counters);
	assert_int_equal(test_remove_tree(f->dir), 0);
}

void fence_open(struct fence *f, const char *lua)
{
	fence_init(f);
	fence_write(f, "10-test.lua", lua);
	if (fence_load(f) < 0)
		fail_msg("%s:%u: %s", f->err.file, f->err.line, f->err.msg);
}

int fence_ask(struct fence *f, struct mf_request *req, struct mf_decision *ret)
{
	size_t policy;

	*ret = (struct mf_decision)MF_DECISION_INIT;
	return mf_vm_state_decide(f->state, req, ret, &policy);
}

struct mf_request *ask_dns(const char *name)
{
	struct mf_request *req = mf_request_new(MF_DNS);

	assert_int_equal(mf_request_set_str(req, MF_F_NAME, name, strlen(name)), 0);
	assert_int_equal(mf_request_set_str(req, MF_F_TYPE, "A", 1), 0);
	return req;
}

struct mf_request *ask_connect(const char *host, const char *ip, int port)
{
	struct mf_request *req = mf_request_new(MF_CONNECT);

	assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, ip), 0);
	assert_int_equal(mf_request_set_int(req, MF_F_PORT, port), 0);
	assert_int_equal(mf_request_set_str(req, MF_F_PROTO, "tcp", 3), 0);
	if (host) {
		assert_int_equal(mf_request_set_str(req, MF_F_HOST, host, strlen(host)), 0);
		assert_int_equal(mf_request_add_str(req, MF_F_HOSTS, host, strlen(host)), 0);
	}
	return req;
}

struct mf_request *ask_file(const char *op, const char *path)
{
	struct mf_request *req = mf_request_new(MF_FILE);

	assert_int_equal(mf_request_set_str(req, MF_F_OP, op, strlen(op)), 0);
	assert_int_equal(mf_request_set_str(req, MF_F_PATH, path, strlen(path)), 0);
	return req;
}
