/* SPDX-License-Identifier: Apache-2.0 */
/* test_reload_cost.c - who pays for a reload: not the thread that asks; and that large policies fit into the usual limits */
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/strbuf.h"
#include "core/match/domain_set.h"
#include "tests/unit/runtime/tree.h"

#include <cmocka.h>

#include <moonfence/moonfence.h>

static struct mf_runtime_options options;
static struct mf_runtime *rt;
static struct mf_vm *vm;
static struct mf_request *req;
static struct mf_decision d;
static struct mf_err err;

/* Calls of the VMs' allocator: by the thread that asks, and by others. */
static pthread_t asking;
static atomic_size_t ours, others;

static void *counting_alloc(void *ctx, void *ptr, size_t old_size, size_t size)
{
	(void)ctx;
	(void)old_size;
	atomic_fetch_add(pthread_equal(pthread_self(), asking) ? &ours : &others, 1);
	if (size == 0) {
		free(ptr);
		return NULL;
	}
	return realloc(ptr, size);
}

static int setup(void **state)
{
	options = (struct mf_runtime_options){ .size = sizeof(options) };
	/* What is tested is memory, not the speed of sanitizers. */
	options.load_time_limit_ms = 600000;
	asking = pthread_self();
	atomic_store(&ours, 0);
	atomic_store(&others, 0);
	req = mf_request_new(MF_CONNECT);
	d = (struct mf_decision)MF_DECISION_INIT;
	return tree_setup(state);
}

static int teardown(void **state)
{
	mf_vm_free(vm);
	mf_runtime_free(rt);
	mf_request_free(req);
	vm = NULL;
	rt = NULL;
	return tree_teardown(state);
}

static void start(const char *policy)
{
	const char *path = tree_path(policy);

	assert_int_equal(mf_runtime_new(&options, &rt, &err), 0);
	if (mf_runtime_load(rt, &path, 1, &err) < 0)
		fail_msg("%s:%d: %s", err.file, (int)err.line, err.msg);
	assert_int_equal(mf_vm_new(rt, &vm, &err), 0);
}

static void ask(const char *host)
{
	mf_request_reset(req, MF_CONNECT);
	assert_int_equal(mf_request_set_str(req, MF_F_HOST, host, strlen(host)), 0);
	assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, "9.9.9.9"), 0);
	assert_int_equal(mf_request_set_int(req, MF_F_PORT, 443), 0);
	assert_int_equal(mf_decide(vm, req, &d), 0);
}

/* Rules, and a table of @cnt fields that stays in the VM. */
static void write_policy(unsigned cnt, const char *verdict)
{
	struct mf_strbuf b = MF_STRBUF_INIT((size_t)1 << 20);

	mf_strbuf_adds(&b, "local t = {");
	for (unsigned i = 0; i < cnt; i++)
		mf_strbuf_addf(&b, "{ %u, 'x%u' },", i, i);
	mf_strbuf_addf(
		&b,
		"}\nreturn { name = 'p', sni = function(s) return t[1][2] == 'x' and deny() end,\n"
		"network_rules = {{ domains = {'a.example'}, decision = '%s' }} }\n",
		verdict);
	assert_false(b.failed);
	tree_write("p.lua", b.str);
	mf_strbuf_done(&b);
}

static void what_a_reload_leaves_is_not_freed_by_who_asks(void **state)
{
	size_t before;

	(void)state;
	options.alloc = counting_alloc;
	write_policy(2000, "allow");
	start("p.lua");
	ask("a.example");
	assert_int_equal(d.verdict, MF_ALLOW);
	for (int i = 0; i < 3; i++) {
		write_policy(2000, i % 2 ? "allow" : "deny");
		assert_int_equal(mf_runtime_reload(rt, &err), 0);
		before = atomic_load(&ours);
		ask("a.example");
		assert_int_equal(d.verdict, i % 2 ? MF_ALLOW : MF_DENY);
		assert_int_equal(d.generation, i + 2);
		/* The old state has some ten thousand blocks: none of them was given back, or another one taken, here. */
		assert_int_equal(atomic_load(&ours), before);
	}
	/* But they were, by another thread: the runtime's end waits for that. */
	mf_vm_free(vm);
	vm = NULL;
	mf_runtime_free(rt);
	rt = NULL;
	assert_true(atomic_load(&others) > 3 * 4000);
}

static void ten_thousand_rules_fit(void **state)
{
	struct mf_strbuf b = MF_STRBUF_INIT((size_t)4 << 20);

	(void)state;
	mf_strbuf_adds(&b, "return { name = 'p', network_rules = {\n");
	for (unsigned i = 0; i < 10000; i++)
		mf_strbuf_addf(&b,
			       "  { name = \"rule-%u\", domains = { \"host%u.example\", "
			       "\"*.host%u.example\" }, ports = { 443 }, decision = \"%s\" },\n",
			       i, i, i, i % 2 ? "allow" : "deny");
	mf_strbuf_adds(&b, "} }\n");
	assert_false(b.failed);
	tree_write("p.lua", b.str);
	mf_strbuf_done(&b);
	start("p.lua");
	ask("host9999.example");
	assert_int_equal(d.verdict, MF_ALLOW);
	assert_string_equal(d.rule, "network_rules[10000] rule-9999");
	ask("host9998.example");
	assert_int_equal(d.verdict, MF_DENY);
	ask("unknown.example");
	assert_int_equal(d.origin, MF_FROM_DEFAULT);
}

/* Rules are taken out of the table before it is frozen: what a hook reaches by another way is there all the same. */
static void a_hook_still_sees_its_rules(void **state)
{
	(void)state;
	tree_write("p.lua",
		   "local p = { name = 'p', network_default = 'none',\n"
		   "  network_rules = {{ domains = {'a.example'}, decision = 'allow' }} }\n"
		   "p.connect = function(c)\n"
		   "  return deny(p.network_rules[1].domains[1] .. p.network_default .. "
		   "#p.network_rules)\n"
		   "end\n"
		   "return p\n");
	start("p.lua");
	ask("a.example");
	assert_int_equal(d.verdict, MF_ALLOW);
	ask("b.example");
	assert_string_equal(d.reason, "a.examplenone1");
	/* And cannot be changed. */
	tree_write("p.lua",
		   "local p = { name = 'p',\n"
		   "  network_rules = {{ domains = {'a.example'}, decision = 'allow' }} }\n"
		   "p.connect = function(c)\n"
		   "  p.network_rules[1].decision = 'deny'\n"
		   "end\n"
		   "return p\n");
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	assert_int_equal(mf_request_set_str(req, MF_F_HOST, "b.example", 9), 0);
	assert_int_equal(mf_decide(vm, req, &d), MF_E_POLICY);
	assert_non_null(strstr(d.reason, "cannot change"));
}

static void errors_of_rules_are_the_same_with_a_metatable(void **state)
{
	static const char *const texts[] = {
		"return { name = 'p', network_rules = {{ domains = {'a.example'}, decision = 'no' "
		"}} }\n",
		"return setmetatable({ name = 'p',\n"
		"  network_rules = {{ domains = {'a.example'}, decision = 'no' }} }, {})\n",
	};
	const char *path = NULL;

	(void)state;
	assert_int_equal(mf_runtime_new(&options, &rt, &err), 0);
	for (int i = 0; i < 2; i++) {
		tree_write("p.lua", texts[i]);
		path = tree_path("p.lua");
		assert_int_equal(mf_runtime_load(rt, &path, 1, &err), MF_E_POLICY);
		assert_non_null(strstr(err.msg, "network_rules[1]"));
		assert_int_equal(err.line, i + 1);
	}
}

/* Mappings of compiled lists in this process; -1 where nobody can tell, or lists are none */
static int mapped_lists(void)
{
#ifndef __linux__ /* wine has Linux's file, and no descriptors for memory */
	return -1;
#endif
	FILE *f = fopen("/proc/self/maps", "r");
	char line[600];
	int n = 0;

	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		n += strstr(line, "/memfd:moonfence-list-") != NULL;
	fclose(f);
	return n;
}

static void write_list(unsigned names)
{
	const struct mf_domain_set_options o = { .for_image = true };
	struct mf_domain_set_builder *b;
	struct mf_domain_set *set;
	char name[40];
	void *image;
	size_t len;
	FILE *f;

	assert_int_equal(mf_domain_set_builder_new(&o, &b, &err), 0);
	for (unsigned i = 0; i < names; i++) {
		int n = snprintf(name, sizeof(name), "n%u.example", i);

		assert_int_equal(
			mf_domain_set_builder_add(b, name, (size_t)n, MF_DOMAIN_UNDER, 0, &err), 0);
	}
	assert_int_equal(mf_domain_set_builder_seal(b, &set, &err), 0);
	assert_int_equal(mf_domain_set_make_image(set, &image, &len, &err), 0);
	f = fopen(tree_path("p/list"), "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(image, 1, len, f), len);
	fclose(f);
	free(image);
	mf_domain_set_free(set);
}

/* One mapping for all generations and VMs, which outlives what is done to the file. */
static void a_compiled_list_is_there_once(void **state)
{
	static const char policy[] =
		"local l = domains { file = 'list' }\nreturn { name = 'p',\n"
		"  connect = function(c) if c:under(l) then return deny '%d' end end }\n";
	int before = mapped_lists();
	struct mf_vm *more = NULL;
	char text[300];
	FILE *f;

	(void)state;
	snprintf(text, sizeof(text), policy, 1);
	tree_write("p/policy.lua", text);
	write_list(3000);
	start("p");
	assert_int_equal(mf_vm_new(rt, &more, &err), 0);
	ask("n2999.example");
	assert_string_equal(d.reason, "1");
	snprintf(text, sizeof(text), policy, 2);
	tree_write("p/policy.lua", text);
	assert_int_equal(mf_runtime_reload(rt, &err), 0);
	if (before >= 0)
		assert_int_equal(mapped_lists(), before + 1);
	/* Cut while it is searched. */
	f = fopen(tree_path("p/list"), "wb");
	assert_non_null(f);
	fclose(f);
	for (unsigned i = 0; i < 3000; i += 11) {
		snprintf(text, sizeof(text), "x.n%u.example", i);
		ask(text);
		assert_string_equal(d.reason, "2");
	}
	ask("n3000.example");
	assert_int_equal(d.origin, MF_FROM_DEFAULT);
	mf_vm_free(more);
	mf_vm_free(vm);
	vm = NULL;
	mf_runtime_free(rt);
	rt = NULL;
	assert_int_equal(mapped_lists(), before);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_a_reload_leaves_is_not_freed_by_who_asks),
		T(ten_thousand_rules_fit),
		T(a_hook_still_sees_its_rules),
		T(errors_of_rules_are_the_same_with_a_metatable),
		T(a_compiled_list_is_there_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
