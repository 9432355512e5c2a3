/* SPDX-License-Identifier: Apache-2.0 */
/* runtime.c - the public runtime: loading, swapping and watching generations; see runtime.h for how it works */
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/strbuf.h"
#include "core/policy/reaper.h"
#include "core/policy/runtime_internal.h"
#include "core/policy/testrun.h"
#include "core/policy/value.h"

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
	rt->reaper = mf_reaper_new();
	if (!rt->reaper || !init_locks(rt)) {
		mf_reaper_free(rt->reaper);
		free(rt);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	r = mf_vm_config_init(&rt->config, options);
	if (r < 0) {
		mf_reaper_free(rt->reaper);
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

void mf_runtime_free(struct mf_runtime *rt)
{
	if (!rt)
		return;
	mf_runtime_unwatch(rt);
	if (mf_bug(rt->vms != NULL))
		mf_log_error(&rt->config.log, "mf_runtime_free() with %zu VMs left", rt->vm_cnt);
	mf_reaper_free(rt->reaper);
	mf_source_set_unref(rt->set);
	mf_source_set_unref(rt->tried);
	mf_generations_done(&rt->past);
	mf_paths_free(rt->paths, rt->path_cnt);
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

uint64_t mf_vm_newest_generation(const struct mf_vm *vm)
{
	return mf_runtime_generation(vm->rt);
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

/* Builds states from number *ret_cnt on, up to @want; *ret_states belongs to the caller, on failure too. */
static int build_states(struct mf_runtime *rt, struct mf_source_set *set, uint64_t generation,
			struct mf_vm_state ***ret_states, size_t *ret_cnt, size_t want,
			struct mf_err *err)
{
	struct mf_vm_state **more = realloc(*ret_states, want * sizeof(struct mf_vm_state *));
	int r = 0;

	if (!more)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while loading policies");
	*ret_states = more;
	while (r == 0 && *ret_cnt < want) {
		r = mf_vm_state_new(&rt->config, set, generation, &more[*ret_cnt], err);
		if (r == 0)
			++*ret_cnt;
	}
	return r;
}

/*
 * From here on the new generation is in force. VMs may have been freed or added since the states were built: where there are
 * more of them than states, nothing happens.
 *
 * All that tells of generations changes under one lock, and before the first VM can judge by the new one: who has seen its decision
 * finds its number in force, finds it in the list, and can go back from it.
 * @note: what is kept of it, which is the list's then; NULL: nothing is. Return: 0, or how many states are wanted
 */
static size_t publish(struct mf_runtime *rt, const struct mf_generation *g,
		      struct mf_generation *note, struct mf_vm_state **states, size_t cnt)
{
	struct mf_generation dropped = { 0 };
	struct mf_source_set *old;
	size_t n = 0;

	mf_reaper_start(rt->reaper);
	pthread_mutex_lock(&rt->lock);
	if (rt->vm_cnt > cnt) {
		n = rt->vm_cnt;
		pthread_mutex_unlock(&rt->lock);
		return n;
	}
	old = rt->set;
	rt->set = g->set;
	if (note)
		mf_generations_add(&rt->past, note, &dropped);
	atomic_store_explicit(&rt->generation, g->number, memory_order_release);
	for (struct mf_vm *vm = rt->vms; vm; vm = vm->next, n++)
		/* What comes back was never adopted: it becomes ours again, to free. */
		states[n] = atomic_exchange_explicit(&vm->mail, states[n], memory_order_acq_rel);
	pthread_mutex_unlock(&rt->lock);
	free_states(states, cnt);
	mf_source_set_unref(old);
	mf_generation_done(&dropped);
	return 0;
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

/* Under reload_lock. Build, test and publish; g->number is filled in. */
static int put_in_force(struct mf_runtime *rt, struct mf_generation *g, bool test,
			struct mf_err *err)
{
	struct mf_vm_state **states = NULL;
	struct mf_load_report report = { 0 };
	struct mf_generation note = { 0 };
	size_t cnt = 0, want;
	int r;

	g->number = mf_runtime_generation(rt) + 1;
	pthread_mutex_lock(&rt->lock);
	want = rt->vm_cnt ? rt->vm_cnt : 1; /* one that nobody gets shows that they load */
	pthread_mutex_unlock(&rt->lock);
	r = build_states(rt, g->set, g->number, &states, &cnt, want, err);
	if (r == 0 && test)
		r = run_tests(rt, g->set, &report.tests, err);
	if (r == 0 && rt->past.keep && mf_generation_copy(g, &note) < 0)
		r = mf_err_set(err, MF_E_NOMEM, "out of memory while loading policies");
	note.wall_ns = mf_clock_wall(&rt->config.clock);
	/* of the states whoever asks them may soon be the owner */
	report.rules = r == 0 ? mf_vm_state_rule_count(states[0]) : 0;
	while (r == 0 && (want = publish(rt, g, rt->past.keep ? &note : NULL, states, cnt)))
		r = build_states(rt, g->set, g->number, &states, &cnt, want, err);
	if (r < 0) {
		free_states(states, cnt);
		mf_generation_done(&note);
		return r;
	}
	mf_source_set_ref(g->set); /* the runtime's */
	report.generation = g->number;
	report.by = g->by;
	report.took_ns = mf_clock_now(&rt->config.clock) - rt->load_begun_ns;
	mf_runtime_report_loaded(rt, g->set, &report);
	return 0;
}

int mf_runtime_read(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
		    struct mf_source_set **ret_set, struct mf_err *err)
{
	const struct mf_runtime_options *o = &rt->config.options;
	const struct mf_source_reader reader = { o->session_name, rt->guard };

	return mf_source_set_read_for(&reader, paths, path_cnt, o->stdlib_dir, ret_set, err);
}

/* Under reload_lock. */
static int load(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
		const struct mf_generation_asker *by, struct mf_err *err)
{
	struct mf_generation g = { .paths = (char **)(uintptr_t)paths, .path_cnt = path_cnt };
	int r;

	if (by)
		g.by = *by;
	rt->load_begun_ns = mf_clock_now(&rt->config.clock);
	r = mf_runtime_read(rt, paths, path_cnt, &g.set, err);
	if (r < 0)
		return r;
	r = put_in_force(rt, &g, true, err);
	if (r == 0) {
		keep_tried(rt, NULL);
		mf_source_set_unref(g.set);
	} else {
		keep_tried(rt, g.set);
		rt->tried_may_pass = may_pass(r);
	}
	return r;
}

/* Under reload_lock. Return: the paths before, for mf_paths_free() */
static char **change_paths(struct mf_runtime *rt, char **paths, size_t *cnt)
{
	char **old = rt->paths;
	size_t old_cnt = rt->path_cnt;

	pthread_mutex_lock(&rt->lock);
	rt->paths = paths;
	rt->path_cnt = *cnt;
	pthread_mutex_unlock(&rt->lock);
	*cnt = old_cnt;
	return old;
}

int mf_runtime_load(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
		    struct mf_err *err)
{
	struct mf_err why = { 0 };
	char **copy;
	int r;

	if (!paths || path_cnt == 0)
		return mf_err_set(err, MF_E_INVAL, "there is no policy to load");
	copy = mf_paths_copy(paths, path_cnt);
	if (!copy)
		return mf_err_set(err, MF_E_NOMEM, "out of memory while loading policies");
	pthread_mutex_lock(&rt->reload_lock);
	r = load(rt, paths, path_cnt, NULL, &why);
	/* The first paths count also when they do not load, so that the watch sees them being mended. */
	if (r == 0 || !rt->paths)
		copy = change_paths(rt, copy, &path_cnt);
	pthread_mutex_unlock(&rt->reload_lock);
	mf_paths_free(copy, path_cnt);
	if (r < 0) {
		mf_runtime_report_failed(rt, NULL, &why);
		if (err)
			*err = why;
	}
	return r;
}

int mf_runtime_activate(struct mf_runtime *rt, const struct mf_generation *g, bool test,
			struct mf_err *err)
{
	struct mf_generation copy;
	struct mf_source_set *before;
	struct mf_err why = { 0 };
	int r = mf_generation_copy(g, &copy);

	if (r < 0)
		return mf_err_set(err, r, "out of memory");
	pthread_mutex_lock(&rt->reload_lock);
	rt->load_begun_ns = mf_clock_now(&rt->config.clock);
	before = mf_runtime_sources(rt);
	r = put_in_force(rt, &copy, test, &why);
	if (r == 0) {
		copy.paths = change_paths(rt, copy.paths, &copy.path_cnt);
		/* what was in force may be what the files say: that is no news */
		keep_tried(rt, before);
		rt->tried_may_pass = false;
		before = NULL;
	}
	pthread_mutex_unlock(&rt->reload_lock);
	mf_source_set_unref(before);
	mf_generation_done(&copy);
	if (r < 0) {
		mf_runtime_report_failed(rt, &g->by, &why);
		if (err)
			*err = why;
	}
	return r;
}

void mf_runtime_guard(struct mf_runtime *rt, const struct mf_source_guard *guard)
{
	rt->guard = *guard;
}

void mf_runtime_keep(struct mf_runtime *rt, size_t cnt)
{
	rt->past.keep = cnt > MF_GENERATIONS_MAX ? MF_GENERATIONS_MAX : cnt;
}

size_t mf_runtime_generations(struct mf_runtime *rt, struct mf_generation *ret, size_t max)
{
	size_t n = 0;

	pthread_mutex_lock(&rt->lock);
	for (size_t i = rt->past.cnt; i && n < max; i--)
		if (mf_generation_copy(&rt->past.items[i - 1], &ret[n]) == 0)
			n++;
	pthread_mutex_unlock(&rt->lock);
	return n;
}

int mf_runtime_reload(struct mf_runtime *rt, struct mf_err *err)
{
	return mf_runtime_reload_by(rt, NULL, err);
}

int mf_runtime_reload_by(struct mf_runtime *rt, const struct mf_generation_asker *by,
			 struct mf_err *err)
{
	struct mf_err why = { 0 };
	int r;

	pthread_mutex_lock(&rt->reload_lock);
	if (!rt->paths) {
		pthread_mutex_unlock(&rt->reload_lock);
		return mf_err_set(err, MF_E_INVAL, "nothing was loaded yet");
	}
	r = load(rt, (const char *const *)rt->paths, rt->path_cnt, by, &why);
	pthread_mutex_unlock(&rt->reload_lock);
	if (r < 0) {
		mf_runtime_report_failed(rt, by, &why);
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
		r = load(rt, (const char *const *)rt->paths, rt->path_cnt, NULL, &why);
	told = is_told(rt, &why);
	pthread_mutex_unlock(&rt->reload_lock);
	if (r < 0 && !told)
		mf_runtime_report_failed(rt, NULL, &why);
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
