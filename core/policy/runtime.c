/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c - the public runtime and VMs over generations; see runtime.h for how it works */
#include "core/policy/runtime.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/hash.h"
#include "core/base/installed.h"
#include "core/base/strbuf.h"
#include "core/observe/event_stamp.h"
#include "core/observe/events.h"
#include "core/policy/counters.h"
#include "core/policy/request.h"
#include "core/policy/shared_sets.h"
#include "core/policy/testrun.h"

#ifndef MF_STDLIB_DIR
#define MF_STDLIB_DIR "/usr/local/share/moonfence/stdlib"
#endif

#define EVENT_SECOND_LEN 19 /* "2026-01-31T23:59:59" */

struct mf_runtime {
	struct mf_vm_config config;
	pthread_mutex_t reload_lock;
	pthread_mutex_t lock;
	struct mf_source_set *set; /* of the current generation; under lock */
	/* What did not load last, for the watch; NULL after a good load; under lock, changed under reload_lock too */
	struct mf_source_set *tried;
	bool tried_may_pass; /* the same text may load later; under reload_lock */
	struct mf_err told;  /* the failure that the watch reported last; under reload_lock */
	atomic_uint_least64_t generation;
	unsigned event_run; /* first part of event ids */
	atomic_uint_least64_t event_number;
	char **paths; /* under reload_lock; read by the watch under lock */
	size_t path_cnt;
	struct mf_vm *vms; /* under lock */
	size_t vm_cnt;
	struct mf_watch *watch; /* under watch_lock */
	pthread_mutex_t watch_lock;
};

struct mf_vm {
	_Atomic(struct mf_vm_state *) mail; /* the next state, put there by a reload */
	struct mf_vm_state *state;
	struct mf_vm_state *before; /* for keep_last */
	struct mf_runtime *rt;
	struct mf_vm_stats past;    /* of states that are gone */
	struct mf_vm *next, **link; /* under rt->lock */
};

/* --- options ------------------------------------------------------------------------------------------------------ */

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
	stdlib = o->stdlib_dir ? strdup(o->stdlib_dir)
			       : mf_installed(MF_STDLIB_DIR, "share/moonfence/stdlib");
	if (!stdlib)
		return MF_E_NOMEM;
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
	if (!config->counters || !config->sets) {
		mf_vm_config_done(config);
		return MF_E_NOMEM;
	}
	return 0;
}

void mf_vm_config_done(struct mf_vm_config *config)
{
	mf_counters_free(config->counters);
	mf_shared_sets_free(config->sets);
	free((void *)(uintptr_t)config->options.stdlib_dir);
	*config = (struct mf_vm_config){ 0 };
}

/* --- events ------------------------------------------------------------------------------------------------------- */

/* Time and id of an event, which a queue of events would have filled in. */
static void stamp_event(struct mf_runtime *rt, char *line)
{
	uint64_t us = mf_clock_wall(&rt->config.clock) / 1000;
	time_t seconds = (time_t)(us / 1000000);
	char text[64];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) != EVENT_SECOND_LEN)
		return;
	memcpy(line + MF_EVENT_TIME_AT, text, EVENT_SECOND_LEN);
	snprintf(text, sizeof(text), "%06u", (unsigned)(us % 1000000));
	memcpy(line + MF_EVENT_TIME_AT + EVENT_SECOND_LEN + 1, text, 6);
	snprintf(text, sizeof(text), "%08x-%012llu", rt->event_run,
		 (unsigned long long)atomic_fetch_add(&rt->event_number, 1) + 1);
	memcpy(line + MF_EVENT_RUN_AT, text,
	       MF_EVENT_NUMBER_AT + MF_EVENT_NUMBER_LEN - MF_EVENT_RUN_AT);
}

static void emit(struct mf_runtime *rt, struct mf_event *ev)
{
	const struct mf_runtime_options *o = &rt->config.options;
	size_t len;

	(void)mf_event_end(ev, &len);
	stamp_event(rt, ev->buf);
	o->event(o->event_ctx, ev->buf, len);
}

/* Begins an event of the runtime; false: nobody listens. */
static bool begin_event(struct mf_runtime *rt, struct mf_event *ev, enum mf_event_type type)
{
	if (!rt->config.options.event)
		return false;
	mf_event_begin(ev, &(struct mf_event_head){ .type = type, .operation = "reload" });
	return true;
}

static void report_loaded(struct mf_runtime *rt, struct mf_source_set *set, uint64_t generation,
			  size_t tests)
{
	const char *names[64];
	struct mf_event ev;
	size_t n = 0;

	mf_log_info(&rt->config.log,
		    "policies loaded: generation %llu, %zu policies, %zu tests passed",
		    (unsigned long long)generation, mf_source_set_count(set), tests);
	if (!begin_event(rt, &ev, MF_EV_POLICY_LOADED))
		return;
	while (n < MF_ARRAY_SIZE(names) && n < mf_source_set_count(set)) {
		names[n] = mf_source_set_policy(set, n)->pack;
		n++;
	}
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)generation);
	mf_event_add_list(&ev, MF_EVF_POLICIES, names, n);
	mf_event_add_int(&ev, MF_EVF_TESTS, (int64_t)tests);
	emit(rt, &ev);
	if (generation <= 1 || !begin_event(rt, &ev, MF_EV_POLICY_CHANGED))
		return;
	mf_event_add_int(&ev, MF_EVF_PREVIOUS_GENERATION, (int64_t)generation - 1);
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)generation);
	emit(rt, &ev);
}

static void report_failed(struct mf_runtime *rt, const struct mf_err *err)
{
	struct mf_event ev;
	char text[1100];

	mf_log_error(&rt->config.log, "policies were not reloaded, the old ones stay: %s",
		     mf_err_format(err, text, sizeof(text)));
	if (!begin_event(rt, &ev, MF_EV_POLICY_RELOAD_FAILED))
		return;
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)mf_runtime_generation(rt));
	mf_event_add_cstr(&ev, MF_EVF_ERROR, err->msg);
	mf_event_add_cstr(&ev, MF_EVF_FILE, err->file);
	mf_event_add_int(&ev, MF_EVF_LINE, err->line);
	emit(rt, &ev);
}

static void report_policy(struct mf_vm *vm, enum mf_event_type type, size_t policy, int code,
			  const struct mf_decision *d, enum mf_kind kind, uint32_t errors)
{
	static const char *const modes[] = { "closed", "open", "keep_last" };
	_Static_assert(MF_ARRAY_SIZE(modes) == MF_FAIL_MODE_NUM, "a word for each fail mode");
	struct mf_runtime *rt = vm->rt;
	const char *name = mf_vm_state_policy_name(vm->state, policy);
	struct mf_event ev;

	if (type == MF_EV_POLICY_QUARANTINED)
		mf_log_error(&rt->config.log,
			     "policy %s is in quarantine after %u errors in a row: %s", name,
			     errors, d->reason ? d->reason : mf_strerror(code));
	if (!begin_event(rt, &ev, type))
		return;
	mf_event_add_cstr(&ev, MF_EVF_POLICY, name);
	mf_event_add_cstr(&ev, MF_EVF_KIND, mf_kind_name(kind));
	mf_event_add_cstr(&ev, MF_EVF_ERROR, d->reason ? d->reason : mf_strerror(code));
	mf_event_add_cstr(&ev, MF_EVF_FILE, d->file);
	mf_event_add_int(&ev, MF_EVF_LINE, d->line);
	if (type == MF_EV_POLICY_QUARANTINED)
		mf_event_add_int(&ev, MF_EVF_ERRORS, errors);
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)d->generation);
	mf_event_add_cstr(&ev, MF_EVF_FAIL_MODE, modes[rt->config.options.fail_mode[kind]]);
	emit(rt, &ev);
}

/* --- runtime ------------------------------------------------------------------------------------------------------ */

/* Some systems allocate a mutex' memory: all three or none. */
static bool init_locks(struct mf_runtime *rt)
{
	pthread_mutex_t *locks[] = { &rt->reload_lock, &rt->lock, &rt->watch_lock };

	for (size_t i = 0; i < MF_ARRAY_SIZE(locks); i++) {
		if (pthread_mutex_init(locks[i], NULL) == 0)
			continue;
		while (i)
			pthread_mutex_destroy(locks[--i]);
		return false;
	}
	return true;
}

static void destroy_locks(struct mf_runtime *rt)
{
	pthread_mutex_destroy(&rt->reload_lock);
	pthread_mutex_destroy(&rt->lock);
	pthread_mutex_destroy(&rt->watch_lock);
}

int mf_runtime_new(const struct mf_runtime_options *options, struct mf_runtime **ret_rt,
		   struct mf_err *err)
{
	struct mf_runtime *rt = calloc(1, sizeof(*rt));
	int r;

	if (!rt)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	if (!init_locks(rt)) {
		free(rt);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	r = mf_vm_config_init(&rt->config, options);
	if (r < 0) {
		destroy_locks(rt);
		free(rt);
		return mf_err_set(err, r, "%s",
				  r == MF_E_INVAL ? "the runtime's options are wrong"
						  : "out of memory");
	}
	atomic_init(&rt->generation, 0);
	atomic_init(&rt->event_number, 0);
	rt->event_run = (unsigned)mf_hash_seed();
	*ret_rt = rt;
	return 0;
}

static void free_paths(char **paths, size_t cnt)
{
	for (size_t i = 0; paths && i < cnt; i++)
		free(paths[i]);
	free(paths);
}

void mf_runtime_free(struct mf_runtime *rt)
{
	if (!rt)
		return;
	mf_runtime_unwatch(rt);
	if (mf_bug(rt->vms != NULL))
		mf_log_error(&rt->config.log, "mf_runtime_free() with %zu VMs left", rt->vm_cnt);
	mf_source_set_unref(rt->set);
	mf_source_set_unref(rt->tried);
	free_paths(rt->paths, rt->path_cnt);
	mf_vm_config_done(&rt->config);
	destroy_locks(rt);
	free(rt);
}

const struct mf_vm_config *mf_runtime_config(const struct mf_runtime *rt)
{
	return &rt->config;
}

uint64_t mf_runtime_generation(const struct mf_runtime *rt)
{
	return atomic_load_explicit(&rt->generation, memory_order_acquire);
}

struct mf_source_set *mf_runtime_sources(struct mf_runtime *rt)
{
	struct mf_source_set *set;

	pthread_mutex_lock(&rt->lock);
	set = rt->set ? mf_source_set_ref(rt->set) : NULL;
	pthread_mutex_unlock(&rt->lock);
	return set;
}

char *mf_runtime_policies(struct mf_runtime *rt)
{
	struct mf_source_set *set = mf_runtime_sources(rt);
	struct mf_strbuf json = MF_STRBUF_INIT((size_t)1 << 20);

	mf_strbuf_addc(&json, '[');
	for (size_t i = 0; set && i < mf_source_set_count(set); i++) {
		const char *pack = mf_source_set_policy(set, i)->pack;

		if (i)
			mf_strbuf_addc(&json, ',');
		mf_json_add_str(&json, pack, strlen(pack));
	}
	mf_strbuf_addc(&json, ']');
	mf_source_set_unref(set);
	return json.str;
}

/* --- loading ------------------------------------------------------------------------------------------------------ */

static void free_states(struct mf_vm_state **states, size_t cnt)
{
	for (size_t i = 0; states && i < cnt; i++)
		mf_vm_state_free(states[i]);
	free(states);
}

/* One state for each VM that is registered now, and one that nobody gets where there is none: it shows that they load. */
static int build_states(struct mf_runtime *rt, struct mf_source_set *set, uint64_t generation,
			struct mf_vm_state ***ret_states, size_t *ret_cnt, struct mf_err *err)
{
	struct mf_vm_state **states;
	size_t cnt, n = 0;
	int r = 0;

	pthread_mutex_lock(&rt->lock);
	cnt = rt->vm_cnt ? rt->vm_cnt : 1;
	pthread_mutex_unlock(&rt->lock);
	states = calloc(cnt, sizeof(*states));
	if (!states)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while loading policies");
	while (r == 0 && n < cnt) {
		r = mf_vm_state_new(&rt->config, set, generation, &states[n], err);
		if (r == 0)
			n++;
	}
	if (r < 0) {
		free_states(states, n);
		return r;
	}
	*ret_states = states;
	*ret_cnt = cnt;
	return 0;
}

/* From here on the new generation is in force. VMs may have been freed since the states were built, none was added. */
static void publish(struct mf_runtime *rt, struct mf_source_set *set, uint64_t generation,
		    struct mf_vm_state **states, size_t cnt)
{
	struct mf_source_set *old;
	size_t n = 0;

	pthread_mutex_lock(&rt->lock);
	for (struct mf_vm *vm = rt->vms; vm && n < cnt; vm = vm->next, n++)
		/* What comes back was never adopted: it becomes ours again, to free. */
		states[n] = atomic_exchange_explicit(&vm->mail, states[n], memory_order_acq_rel);
	old = rt->set;
	rt->set = set;
	atomic_store_explicit(&rt->generation, generation, memory_order_release);
	pthread_mutex_unlock(&rt->lock);
	free_states(states, cnt);
	mf_source_set_unref(old);
}

static int run_tests(struct mf_runtime *rt, struct mf_source_set *set, size_t *ret_passed,
		     struct mf_err *err)
{
	struct mf_test_report report = MF_TEST_REPORT_INIT;
	int r = mf_testrun_all(&rt->config, set, 1, &report, err);

	if (r == 0)
		r = mf_test_report_error(&report, err);
	*ret_passed = report.passed;
	mf_test_report_done(&report);
	return r;
}

/* Is the same text worth another try? What the policies themselves are to blame for is not. */
static bool may_pass(int code)
{
	return code == MF_E_TIME || code == MF_E_NOMEM || code == MF_E_IO;
}

/* What a load that failed has looked at is watched as well: there it will be mended. */
static void keep_tried(struct mf_runtime *rt, struct mf_source_set *set)
{
	struct mf_source_set *old;

	pthread_mutex_lock(&rt->lock);
	old = rt->tried;
	rt->tried = set;
	pthread_mutex_unlock(&rt->lock);
	mf_source_set_unref(old);
}

/* Under reload_lock. */
static int load(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
		struct mf_err *err)
{
	uint64_t generation = mf_runtime_generation(rt) + 1;
	struct mf_source_set *set = NULL;
	struct mf_vm_state **states = NULL;
	size_t cnt = 0, passed = 0;
	int r;

	r = mf_source_set_read(paths, path_cnt, rt->config.options.stdlib_dir, &set, err);
	if (r == 0)
		r = build_states(rt, set, generation, &states, &cnt, err);
	if (r < 0)
		goto out;
	r = run_tests(rt, set, &passed, err);
	if (r < 0) {
		free_states(states, cnt);
		goto out;
	}
	publish(rt, set, generation, states, cnt);
	report_loaded(rt, set, generation, passed);
	set = NULL;
	keep_tried(rt, NULL);
out:
	if (set) {
		keep_tried(rt, set);
		rt->tried_may_pass = may_pass(r);
	}
	return r;
}

static char **copy_paths(const char *const *paths, size_t cnt)
{
	char **copy = calloc(cnt + 1, sizeof(*copy));

	for (size_t i = 0; copy && i < cnt; i++) {
		copy[i] = strdup(paths[i]);
		if (!copy[i]) {
			free_paths(copy, cnt);
			return NULL;
		}
	}
	return copy;
}

int mf_runtime_load(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
		    struct mf_err *err)
{
	struct mf_err why = { 0 };
	char **copy, **old;
	size_t old_cnt;
	int r;

	if (!paths || path_cnt == 0)
		return mf_err_set(err, MF_E_INVAL, "there is no policy to load");
	copy = copy_paths(paths, path_cnt);
	if (!copy)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while loading policies");
	pthread_mutex_lock(&rt->reload_lock);
	r = load(rt, paths, path_cnt, &why);
	/* The first paths count also when they do not load, so that the watch sees them being mended. */
	if (r == 0 || !rt->paths) {
		pthread_mutex_lock(&rt->lock);
		old = rt->paths;
		old_cnt = rt->path_cnt;
		rt->paths = copy;
		rt->path_cnt = path_cnt;
		pthread_mutex_unlock(&rt->lock);
		copy = old;
		path_cnt = old_cnt;
	}
	pthread_mutex_unlock(&rt->reload_lock);
	free_paths(copy, path_cnt);
	if (r < 0) {
		report_failed(rt, &why);
		if (err)
			*err = why;
	}
	return r;
}

int mf_runtime_reload(struct mf_runtime *rt, struct mf_err *err)
{
	struct mf_err why = { 0 };
	int r;

	pthread_mutex_lock(&rt->reload_lock);
	if (!rt->paths) {
		pthread_mutex_unlock(&rt->reload_lock);
		return mf_err_set(err, MF_E_INVAL, "nothing was loaded yet");
	}
	r = load(rt, (const char *const *)rt->paths, rt->path_cnt, &why);
	pthread_mutex_unlock(&rt->reload_lock);
	if (r < 0) {
		report_failed(rt, &why);
		if (err)
			*err = why;
	}
	return r;
}

/* --- watching ----------------------------------------------------------------------------------------------------- */

static void each_watched(void *ctx, void (*add)(void *add_ctx, const char *path), void *add_ctx)
{
	struct mf_runtime *rt = ctx;
	struct mf_source_set *sets[2];

	pthread_mutex_lock(&rt->lock);
	for (size_t i = 0; i < rt->path_cnt; i++)
		add(add_ctx, rt->paths[i]);
	sets[0] = rt->set ? mf_source_set_ref(rt->set) : NULL;
	sets[1] = rt->tried ? mf_source_set_ref(rt->tried) : NULL;
	pthread_mutex_unlock(&rt->lock);
	for (size_t i = 0; i < 2; i++) {
		if (sets[i])
			mf_source_set_each_dir(sets[i], add, add_ctx);
		mf_source_set_unref(sets[i]);
	}
}

/* Under reload_lock. What did not load is not tried, and not reported, again while it stays as it is. */
static bool is_known(struct mf_runtime *rt)
{
	const char *const *paths = (const char *const *)rt->paths;

	if (rt->set && mf_source_set_is_current(rt->set, paths, rt->path_cnt)) {
		keep_tried(rt, NULL);
		return true;
	}
	return rt->tried && !rt->tried_may_pass &&
	       mf_source_set_is_current(rt->tried, paths, rt->path_cnt);
}

/* Under reload_lock. What is looked for again and again (a file that is missing) is reported once. */
static bool is_told(struct mf_runtime *rt, const struct mf_err *why)
{
	bool told = (why->code == MF_E_NOENT || may_pass(why->code)) &&
		    why->code == rt->told.code && strcmp(why->msg, rt->told.msg) == 0;

	rt->told = *why;
	return told;
}

static bool watched_changed(void *ctx)
{
	struct mf_runtime *rt = ctx;
	struct mf_err why = { 0 };
	bool told;
	int r = 0;

	pthread_mutex_lock(&rt->reload_lock);
	if (rt->paths && !is_known(rt))
		r = load(rt, (const char *const *)rt->paths, rt->path_cnt, &why);
	told = is_told(rt, &why);
	pthread_mutex_unlock(&rt->reload_lock);
	if (r < 0 && !told)
		report_failed(rt, &why);
	return may_pass(r);
}

int mf_runtime_watch(struct mf_runtime *rt, uint32_t debounce_ms, struct mf_err *err)
{
	struct mf_watch_ops ops = { each_watched, watched_changed, rt, &rt->config.log };
	int r;

	pthread_mutex_lock(&rt->watch_lock);
	if (rt->watch)
		r = mf_err_set(err, MF_E_EXIST, "the policies are being watched already");
	else
		r = mf_watch_start(&ops, debounce_ms ? debounce_ms : 100, &rt->watch, err);
	pthread_mutex_unlock(&rt->watch_lock);
	return r;
}

void mf_runtime_unwatch(struct mf_runtime *rt)
{
	struct mf_watch *watch;

	pthread_mutex_lock(&rt->watch_lock);
	watch = rt->watch;
	rt->watch = NULL;
	pthread_mutex_unlock(&rt->watch_lock);
	mf_watch_stop(watch);
}

/* --- VMs ---------------------------------------------------------------------------------------------------------- */

int mf_vm_new(struct mf_runtime *rt, struct mf_vm **ret_vm, struct mf_err *err)
{
	struct mf_vm *vm = calloc(1, sizeof(*vm));
	struct mf_source_set *set = NULL;
	int r = 0;

	if (!vm)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	vm->rt = rt;
	atomic_init(&vm->mail, NULL);
	pthread_mutex_lock(&rt->reload_lock);
	if (rt->set)
		set = mf_source_set_ref(rt->set);
	else
		r = mf_source_set_read(NULL, 0, rt->config.options.stdlib_dir, &set, err);
	if (r == 0)
		r = mf_vm_state_new(&rt->config, set, mf_runtime_generation(rt), &vm->state, err);
	if (r == 0) {
		pthread_mutex_lock(&rt->lock);
		vm->next = rt->vms;
		vm->link = &rt->vms;
		if (rt->vms)
			rt->vms->link = &vm->next;
		rt->vms = vm;
		rt->vm_cnt++;
		pthread_mutex_unlock(&rt->lock);
	}
	pthread_mutex_unlock(&rt->reload_lock);
	mf_source_set_unref(set);
	if (r < 0) {
		free(vm);
		return r;
	}
	*ret_vm = vm;
	return 0;
}

void mf_vm_free(struct mf_vm *vm)
{
	struct mf_runtime *rt;

	if (!vm)
		return;
	rt = vm->rt;
	pthread_mutex_lock(&rt->lock);
	*vm->link = vm->next;
	if (vm->next)
		vm->next->link = vm->link;
	rt->vm_cnt--;
	pthread_mutex_unlock(&rt->lock);
	mf_vm_state_free(atomic_load_explicit(&vm->mail, memory_order_acquire));
	mf_vm_state_free(vm->before);
	mf_vm_state_free(vm->state);
	free(vm);
}

static void add_stats(struct mf_vm_stats *sum, const struct mf_vm_state *state)
{
	struct mf_vm_stats s = { .size = sizeof(s) };

	mf_vm_state_stats(state, &s);
	sum->decisions += s.decisions;
	sum->memo_hits += s.memo_hits;
	sum->graph_hits += s.graph_hits;
	sum->rule_hits += s.rule_hits;
	sum->lua_entries += s.lua_entries;
	sum->uncacheable += s.uncacheable;
	sum->errors += s.errors;
	sum->graph_evictions += s.graph_evictions;
	sum->memo_evictions += s.memo_evictions;
}

static bool keeps_last(const struct mf_vm *vm)
{
	for (int kind = 0; kind < MF_KIND_NUM; kind++)
		if (vm->rt->config.options.fail_mode[kind] == MF_KEEP_LAST)
			return true;
	return false;
}

static bool was_good(struct mf_vm_state *state)
{
	for (size_t i = 0; i < mf_vm_state_policy_count(state); i++)
		if (mf_vm_state_health(state, i)->quarantined)
			return false;
	return mf_vm_state_policy_count(state) > 0;
}

/* Between two decisions: take the state that a reload has left. */
static void adopt(struct mf_vm *vm)
{
	struct mf_vm_state *next = atomic_exchange_explicit(&vm->mail, NULL, memory_order_acq_rel);
	struct mf_vm_state *old = vm->state;

	if (!next)
		return;
	add_stats(&vm->past, old);
	vm->state = next;
	if (keeps_last(vm) && was_good(old)) {
		mf_vm_state_free(vm->before);
		vm->before = old;
	} else {
		mf_vm_state_free(old);
	}
}

static inline struct mf_vm_state *current_state(struct mf_vm *vm)
{
	if (__builtin_expect(atomic_load_explicit(&vm->mail, memory_order_relaxed) != NULL, 0))
		adopt(vm);
	return vm->state;
}

/* keep_last: what the generation before says; false: it cannot say. */
static bool ask_before(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret)
{
	size_t policy;

	return vm->before && mf_vm_state_decide(vm->before, req, ret, &policy) == 0;
}

/* The policy failed and @ret says deny: what the kind's fail mode makes of it. */
static void apply_fail_mode(struct mf_vm *vm, struct mf_request *req, int code,
			    struct mf_decision *ret)
{
	enum mf_fail_mode mode = vm->rt->config.options.fail_mode[req->kind];
	struct mf_decision all = MF_DECISION_INIT, kept = MF_DECISION_INIT;
	size_t size = ret->size < sizeof(all) ? ret->size : sizeof(all);

	memcpy(&all, ret, size);
	if (mode == MF_KEEP_LAST && ask_before(vm, req, &kept)) {
		kept.origin = MF_FROM_FAIL_MODE;
		kept.error = code;
		all = kept;
	} else {
		all.rule = "fail-mode";
		all.verdict = mode == MF_OPEN ? MF_ALLOW : MF_DENY;
	}
	all.expires_ns = 0; /* the next such question may find the policy well */
	all.size = ret->size;
	memcpy(ret, &all, size);
}

static int failed(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret, int code,
		  size_t policy)
{
	struct mf_policy_health *health;

	if (policy < mf_vm_state_policy_count(vm->state)) {
		health = mf_vm_state_health(vm->state, policy);
		/* One event for a run of errors, one for the quarantine: a client cannot flood the sink. */
		if (!health->quarantined &&
		    health->errors_in_a_row >= vm->rt->config.options.quarantine_after) {
			health->quarantined = true;
			report_policy(vm, MF_EV_POLICY_QUARANTINED, policy, code, ret,
				      (enum mf_kind)req->kind, health->errors_in_a_row);
		} else if (health->errors_in_a_row == 1) {
			report_policy(vm, MF_EV_POLICY_ERROR, policy, code, ret,
				      (enum mf_kind)req->kind, 1);
		}
	}
	apply_fail_mode(vm, req, code, ret);
	return code;
}

int mf_decide(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret)
{
	struct mf_vm_state *state = current_state(vm);
	size_t policy;
	int r = mf_vm_state_decide(state, req, ret, &policy);

	return __builtin_expect(r < 0, 0) ? failed(vm, req, ret, r, policy) : r;
}

int mf_explain(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret,
	       const char **ret_json)
{
	int r = mf_vm_state_explain(current_state(vm), req, ret, ret_json);

	if (r < 0)
		apply_fail_mode(vm, req, r, ret);
	return r;
}

void mf_vm_get_stats(const struct mf_vm *vm, struct mf_vm_stats *ret)
{
	struct mf_vm_stats now = { .size = sizeof(now) }, all = vm->past;
	size_t size = ret->size < sizeof(all) ? ret->size : sizeof(all);

	mf_vm_state_stats(vm->state, &now);
	add_stats(&all, vm->state);
	all.graph_nodes = now.graph_nodes;
	all.memo_entries = now.memo_entries;
	all.lua_bytes = now.lua_bytes;
	all.size = ret->size;
	memcpy(ret, &all, size);
}
