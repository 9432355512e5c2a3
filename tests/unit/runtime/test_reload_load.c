/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_reload_load.c - reloads while several threads decide at full speed
 *
 * Two policies, A and B, each of whose decisions agrees with itself in every member. Every decision must be all A or all
 * B, fit its generation (odd ones are A), and no thread may see the generation go back. VMs come and go meanwhile.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/runtime/tree.h"

#include <cmocka.h>

#include <moonfence/moonfence.h>

#define THREADS 4
#define RELOADS 30

/* Rules, hook and a module: three places that a mixture could come from. */
static const char text_format[] =
	"local m = require 'm'\n"
	"return {\n"
	"  name = 'p%c',\n"
	"  connect_redirects = { { name = '%c', match = 'rule.example:*', redirect_to = "
	"'%c.example:1',\n"
	"    tls = { mode = 'rewrite_sni', sni = '%c.example' }, message = '%c' } },\n"
	"  connect = function(c)\n"
	"    if c.host == 'stop.example' then while true do end end\n"
	"    if c.port %% 2 == 0 then\n"
	"      return redirect { to = m.name .. '.example:1', tls = 'rewrite_sni', sni = "
	"'%c.example', message = m.name }\n"
	"    end\n"
	"    return redirect { to = '%c.example:1', tls = 'rewrite_sni', sni = m.name .. "
	"'.example', message = '%c' }\n"
	"  end,\n"
	"}\n";

static void write_policy(char c)
{
	char text[2048];

	snprintf(text, sizeof(text), "return { name = '%c' }", c);
	tree_write("p/lib/m.lua", text);
	snprintf(text, sizeof(text), text_format, c, c, c, c, c, c, c, c);
	tree_write("p/policy.lua", text);
	snprintf(text, sizeof(text),
		 "test('is %c', function(t)\n"
		 "  t:connect { host = 'rule.example', port = 5 } :redirects_to '%c.example:1'\n"
		 "  t:connect { host = 'x.example', port = 5 } :redirects_to '%c.example:1'\n"
		 "end)",
		 c, c, c);
	tree_write("p/tests/t.lua", text);
}

static struct mf_runtime *rt;
static atomic_bool stop;
static atomic_ulong decisions, changes;
static atomic_int broken;

struct thread {
	pthread_t id;
	unsigned number;
	char why[1024];
};

static bool is_whole(const struct mf_decision *d)
{
	char c = d->generation % 2 ? 'a' : 'b', target[16], policy[4] = { 'p', c, 0 },
	     text[2] = { c, 0 };

	snprintf(target, sizeof(target), "%c.example", c);
	return d->verdict == MF_REDIRECT && d->redirect_host &&
	       strcmp(d->redirect_host, target) == 0 && d->sni && strcmp(d->sni, target) == 0 &&
	       d->message && strcmp(d->message, text) == 0 && d->policy &&
	       strcmp(d->policy, policy) == 0;
}

/* One question with @vm; NULL or what is wrong with the answer. */
static const char *check(struct mf_vm *vm, struct mf_request *req, unsigned n, uint64_t *last,
			 char *buf, size_t size)
{
	const char *host = n % 3 ? "x.example" : "rule.example";
	struct mf_decision d = MF_DECISION_INIT;

	mf_request_reset(req, MF_CONNECT);
	if (mf_request_set_str(req, MF_F_HOST, host, strlen(host)) < 0 ||
	    mf_request_set_int(req, MF_F_PORT, 1 + n % 200) < 0)
		return "the request was refused";
	if (mf_decide(vm, req, &d) < 0)
		return "a decision was lost to a failure";
	if (!is_whole(&d)) {
		snprintf(buf, size,
			 "a mixture: generation %u verdict %d to %s sni %s message %s policy %s "
			 "rule %s origin %s host %s n %u",
			 (unsigned)d.generation, (int)d.verdict, d.redirect_host, d.sni, d.message,
			 d.policy, d.rule, mf_origin_name(d.origin), host, n);
		return buf;
	}
	if (d.generation < *last)
		return "the generation went back";
	if (d.generation != *last)
		atomic_fetch_add(&changes, 1);
	*last = d.generation;
	atomic_fetch_add_explicit(&decisions, 1, memory_order_relaxed);
	return NULL;
}

static void *run(void *arg)
{
	struct thread *t = arg;
	struct mf_request *req = mf_request_new(MF_CONNECT);
	struct mf_err err = { 0 };
	struct mf_vm *vm = NULL;
	const char *why = NULL;
	uint64_t last = 0;

	for (unsigned n = 0; !why && !atomic_load_explicit(&stop, memory_order_relaxed); n++) {
		if (!vm && mf_vm_new(rt, &vm, &err) < 0)
			why = err.msg;
		if (!why)
			why = check(vm, req, n, &last, t->why, sizeof(t->why));
		/* Half of the threads take a new VM now and then. */
		if (t->number % 2 && n % 5000 == 4999) {
			mf_vm_free(vm);
			vm = NULL;
		}
	}
	mf_vm_free(vm);
	mf_request_free(req);
	if (why) {
		if (why != t->why)
			snprintf(t->why, sizeof(t->why), "%s", why);
		atomic_store(&broken, 1);
	}
	return NULL;
}

/* Until the deciding threads have moved on by so many decisions. */
static void await_decisions(unsigned long more)
{
	unsigned long until = atomic_load(&decisions) + more;

	while (atomic_load(&decisions) < until && !atomic_load(&broken))
		sched_yield();
}

static void no_decision_is_lost_or_mixed_while_policies_are_reloaded(void **state)
{
	struct mf_runtime_options options = { .size = sizeof(options),
					      .time_limit_us = 60000000,
					      .load_time_limit_ms = 600000 };
	struct thread threads[THREADS] = { 0 };
	char where[4096];
	const char *path = where;
	struct mf_err err = { 0 };
	int refused = 0;

	(void)state;
	snprintf(where, sizeof(where), "%s", tree_path("p"));
	assert_int_equal(mf_runtime_new(&options, &rt, &err), 0);
	write_policy('a');
	assert_int_equal(mf_runtime_load(rt, &path, 1, &err), 0);
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i].number = i;
		assert_int_equal(pthread_create(&threads[i].id, NULL, run, &threads[i]), 0);
	}
	for (int i = 0; i < RELOADS && !atomic_load(&broken); i++) {
		await_decisions(200);
		if (i % 5 == 4) { /* broken ones in between change nothing */
			tree_write("p/policy.lua", "return {");
			refused += mf_runtime_load(rt, &path, 1, &err) == MF_E_SYNTAX;
		}
		write_policy(mf_runtime_generation(rt) % 2 ? 'b' : 'a');
		if (mf_runtime_load(rt, &path, 1, &err) < 0)
			fail_msg("%s:%u: %s", err.file, err.line, err.msg);
	}
	await_decisions(200);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i].id, NULL);
	for (unsigned i = 0; i < THREADS; i++)
		if (*threads[i].why)
			fail_msg("thread %u: %s", i, threads[i].why);
	assert_int_equal(mf_runtime_generation(rt), 1 + RELOADS);
	assert_int_equal(refused, RELOADS / 5);
	assert_true(atomic_load(&changes) > RELOADS);
	mf_runtime_free(rt);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			no_decision_is_lost_or_mixed_while_policies_are_reloaded, tree_setup,
			tree_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
