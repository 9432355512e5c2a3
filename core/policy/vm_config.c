/* SPDX-License-Identifier: Apache-2.0 */
/* vm_config.c - what VMs are made with: options with their defaults; see runtime.h */
#include <stdlib.h>
#include <string.h>

#include "core/base/installed.h"
#include "core/policy/counters.h"
#include "core/policy/runtime.h"
#include "core/policy/shared_sets.h"
#include "core/policy/vars.h"

#ifndef MF_STDLIB_DIR
#define MF_STDLIB_DIR "/usr/local/share/moonfence/stdlib"
#endif

static uint64_t system_monotonic(void *ctx)
{
	(void)ctx;
	return mf_clock_now(&mf_clock_system);
}

static uint64_t system_wall(void *ctx)
{
	(void)ctx;
	return mf_clock_wall(&mf_clock_system);
}

static void fill_defaults(struct mf_runtime_options *o)
{
	if (!o->monotonic)
		o->monotonic = system_monotonic;
	if (!o->wall)
		o->wall = system_wall;
	if (!o->step_limit)
		o->step_limit = 100000;
	if (!o->time_limit_us)
		o->time_limit_us = 5000;
	if (!o->memory_limit)
		o->memory_limit = (size_t)16 << 20;
	if (!o->load_step_limit)
		o->load_step_limit = 50000000;
	if (!o->load_time_limit_ms)
		o->load_time_limit_ms = 10000;
	if (!o->graph_nodes_max)
		o->graph_nodes_max = 65536;
	if (!o->memo_entries_max)
		o->memo_entries_max = 16384;
	if (!o->quarantine_after)
		o->quarantine_after = 16;
}

int mf_vm_config_init(struct mf_vm_config *config, const struct mf_runtime_options *options)
{
	struct mf_runtime_options *o = &config->options;
	char *stdlib;

	*config = (struct mf_vm_config){ 0 };
	if (options) {
		if (options->size == 0 || options->size > sizeof(*o))
			return MF_E_INVAL;
		memcpy(o, options, options->size);
	}
	o->size = sizeof(*o);
	for (int kind = 0; kind < MF_KIND_NUM; kind++)
		if ((unsigned)o->fail_mode[kind] >= MF_FAIL_MODE_NUM)
			return MF_E_INVAL;
	fill_defaults(o);
	if (o->session_name && !(o->session_name = strdup(o->session_name)))
		return MF_E_NOMEM;
	stdlib = o->stdlib_dir ? strdup(o->stdlib_dir)
			       : mf_installed(MF_STDLIB_DIR, "share/moonfence/stdlib");
	if (!stdlib) {
		free((void *)(uintptr_t)o->session_name);
		return MF_E_NOMEM;
	}
	o->stdlib_dir = stdlib;
	config->clock = (struct mf_clock){
		.monotonic = o->monotonic,
		.wall = o->wall,
		.ctx = o->clock_ctx,
	};
	/* A host with a clock of its own bounds policies by that one. */
	if (o->monotonic == system_monotonic) {
		config->clock.cpu = mf_clock_system.cpu;
		config->clock.cpu_error_ns = mf_clock_system.cpu_error_ns;
	}
	config->log = (struct mf_log){ o->log, o->log_ctx };
	config->counters = mf_counters_new(0);
	config->sets = mf_shared_sets_new();
	config->vars = mf_vars_new(o->variables, o->workspace);
	o->variables = NULL; /* copied */
	o->workspace = NULL;
	if (!config->counters || !config->sets || !config->vars) {
		mf_vm_config_done(config);
		return MF_E_NOMEM;
	}
	return 0;
}

void mf_vm_config_done(struct mf_vm_config *config)
{
	mf_counters_free(config->counters);
	mf_shared_sets_free(config->sets);
	mf_vars_free(config->vars);
	free((void *)(uintptr_t)config->options.stdlib_dir);
	free((void *)(uintptr_t)config->options.session_name);
	*config = (struct mf_vm_config){ 0 };
}
