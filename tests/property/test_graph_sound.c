/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_graph_sound.c - the promise of the decision graph: what it answers is what Lua would have answered
 *
 * Random policies over all fields and predicates, asked random questions that repeat often, by two states: one with graph
 * and memo, one without either. Verdict, parameters, provenance and error code must agree every time. Time moves, sometimes
 * backwards; counters count; process fields are fetched; some rounds have room for a few nodes only.
 *
 *	MF_SEED=N    the seed (printed at the start; 1 by default, so that a run can be repeated)
 *	MF_PAIRS=N   number of decisions compared: 50,000, or 1,000,000 with MF_SLOW=1
 *	MF_SHOW=1    print each policy
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/printf.h"
#include "tests/os/os.h"
#include "tests/unit/policy/support.h"

#define PAIRS_PER_POLICY 2000
#define CORPUS		 150 /* questions that repeat */

static uint64_t rng;

static uint32_t pick(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)((rng * UINT64_C(0x2545f4914f6cdd1d)) >> 33) % n;
}

#define ONE_OF(table) ((table)[pick(MF_ARRAY_SIZE(table))])

static const char *const names[] = { "a.example",
				     "b.example",
				     "www.a.example",
				     "x.y.a.example",
				     "deep.x.y.b.test",
				     "test",
				     "a.test",
				     "api.corp.test",
				     "xn--bcher-kva.example",
				     "long-label-with-dashes.example" };
static const char *const ips[] = { "10.0.0.1",	   "10.1.2.3",	  "192.0.2.1",
				   "198.51.100.7", "8.8.8.8",	  "127.0.0.1",
				   "fd00::1",	   "2001:db8::5", "2606:4700::1" };
static const int ports[] = { 22, 25, 53, 80, 443, 443, 8080, 8443, 65535, 0 };
static const char *const words[] = { "curl", "git", "node", "python3", "", "vpn" };
static const char *const types[] = { "A", "AAAA", "TXT", "HTTPS", "ANY" };
static const char *const ops[] = { "open", "read", "write", "create", "delete", "rename", "stat" };
static const char *const paths[] = {
	"/",	  "/workspace/a.txt", "/workspace/.env", "/workspace/x/.env.local", "/etc/passwd",
	"/tmp/x", "/home/u/.ssh/id",  "/workspacex/a",	 "/workspace/src/main.c"
};
static const char *const flags[] = { "read", "write", "create", "truncate", "append" };
static const char *const labels[] = { "team", "env", "tier" };
static const char *const label_values[] = { "red", "blue", "ci", "" };

/* --- policies ----------------------------------------------------------------------------------------------------- */

struct writer {
	struct mf_strbuf b;
	enum mf_kind kind;
	unsigned locals; /* variables v1 .. vn that are in scope */
	bool counters;
};

static void out(struct writer *w, const char *text)
{
	mf_strbuf_adds(&w->b, text);
}

static void outf(struct writer *w, const char *fmt, ...) MF_PRINTF(2, 3);
static void outf(struct writer *w, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out(w, text);
}

/* An expression that reads a field of @type, nil where it has no value. Return: false when the kind has none. */
static bool write_field(struct writer *w, enum mf_type type)
{
	unsigned start = pick(MF_F_NUM), i, f;

	if (type == MF_T_STR && pick(8) == 0) {
		outf(w, "q.session.labels.%s", ONE_OF(labels));
		return true;
	}
	for (i = 0; i < MF_F_NUM; i++) {
		f = (start + i) % MF_F_NUM;
		if (mf_field_table[f].kinds >> w->kind & 1 &&
		    (mf_field_table[f].type == type ||
		     (type == MF_T_STR && mf_field_table[f].type == MF_T_ADDR))) {
			outf(w, "q.%s", mf_field_table[f].name);
			return true;
		}
	}
	return false;
}

static void write_text(struct writer *w)
{
	switch (pick(6)) {
	case 0:
		if (w->locals) {
			outf(w, "v%u", pick(w->locals) + 1);
			return;
		}
		break;
	case 1:
		out(w, "tostring(");
		write_field(w, MF_T_INT);
		out(w, ")");
		return;
	default:
		break;
	}
	out(w, "(");
	write_field(w, MF_T_STR);
	out(w, " or '-')");
}

static void write_literal(struct writer *w)
{
	switch (pick(4)) {
	case 0:
		outf(w, "'%s'", ONE_OF(names));
		break;
	case 1:
		outf(w, "'%s'", ONE_OF(words));
		break;
	case 2:
		outf(w, "'%s'", w->kind == MF_FILE ? ONE_OF(paths) : ONE_OF(ips));
		break;
	default:
		outf(w, "'%s'", w->kind == MF_FILE ? ONE_OF(ops) : ONE_OF(types));
		break;
	}
}

static void write_cond(struct writer *w, unsigned depth);

static void write_name_arg(struct writer *w)
{
	if (w->kind == MF_FILE) {
		switch (pick(4)) {
		case 0:
			outf(w, "'%s'", ONE_OF(paths));
			break;
		case 1:
			outf(w, "{ '%s', '%s' }", ONE_OF(paths), ONE_OF(paths));
			break;
		case 2:
			/* An argument that follows from an earlier read. */
			out(w, "(q.path:match('^(/[^/]*)') or '/')");
			break;
		default:
			out(w, "'/workspace'");
			break;
		}
		return;
	}
	switch (pick(5)) {
	case 0:
		outf(w, "{ '%s', '%s' }", ONE_OF(names), ONE_OF(names));
		break;
	case 1:
		outf(w, "((%s or 'a.example'):match('[^.]+[.][^.]+$') or 'test')",
		     w->kind == MF_DNS ? "q.name" : "q.host");
		break;
	default:
		outf(w, "'%s'", ONE_OF(names));
		break;
	}
}

static void write_predicate(struct writer *w)
{
	static const char *const globs[] = { "*.example", "**.example", "a.*", "*.{test,example}",
					     "x?y" };
	static const char *const file_globs[] = { "/workspace/**", "**/.env*", "/tmp/*",
						  "/**/*.c" };
	static const char *const regexes[] = { "^a", "test$", "[xy][.]", "(a|b)[.]ex", "e.*e" };
	static const char *const nets[] = { "lan", "'10.0.0.0/8'", "'8.8.8.8'",
					    "{ 'fd00::/8', '192.0.2.0/24' }" };
	static const char *const port_args[] = { "web", "{ 80, 443 }", "443", "{ '1-1023' }",
						 "{ 22, '8000-9000' }" };
	bool net = w->kind == MF_CONNECT || w->kind == MF_SNI;

	switch (pick(net ? 9 : 6)) {
	case 0:
	case 1:
		out(w, "q:under(");
		if (w->kind != MF_FILE && pick(3) == 0)
			out(w, "set");
		else
			write_name_arg(w);
		out(w, ")");
		break;
	case 2:
		out(w, "q:is(");
		write_name_arg(w);
		out(w, ")");
		break;
	case 3:
		outf(w, "q:glob '%s'", w->kind == MF_FILE ? ONE_OF(file_globs) : ONE_OF(globs));
		break;
	case 4:
		outf(w, "q:regex '%s'", ONE_OF(regexes));
		break;
	case 5:
		outf(w, "now:between('%02u:00', '%02u:30')", pick(24), pick(24));
		break;
	case 6:
		outf(w, "q:to(%s)", ONE_OF(nets));
		break;
	case 7:
		outf(w, "q:port_in(%s)", ONE_OF(port_args));
		break;
	default:
		out(w, w->kind == MF_SNI ? "q:matches_dns()" : "q:to_private()");
		break;
	}
}

static void write_text_cond(struct writer *w)
{
	switch (pick(6)) {
	case 0:
		write_text(w);
		outf(w, ":find('%c', 1, true)", 'a' + (int)pick(8));
		break;
	case 1:
		write_text(w);
		outf(w, ":sub(1, %u) == ", 1 + pick(3));
		write_literal(w);
		break;
	case 2:
		out(w, "#");
		write_text(w);
		outf(w, " %% %u == %u", 2 + pick(3), pick(2));
		break;
	case 3:
		write_text(w);
		out(w, pick(2) ? " == " : " ~= ");
		write_text(w);
		break;
	case 4:
		write_text(w);
		out(w, " < ");
		write_literal(w);
		break;
	default:
		write_text(w);
		out(w, " == ");
		write_literal(w);
		break;
	}
}

static void write_list_cond(struct writer *w)
{
	unsigned mark = (unsigned)w->b.len;

	out(w, "#(");
	if (!write_field(w, MF_T_LIST)) {
		w->b.len = mark;
		out(w, "q.kind == 'x'");
		return;
	}
	outf(w, " or {}) > %u", pick(3));
}

static void write_bool_cond(struct writer *w)
{
	unsigned mark = (unsigned)w->b.len;

	if (write_field(w, MF_T_BOOL))
		return;
	w->b.len = mark;
	write_text_cond(w);
}

static void write_time_cond(struct writer *w)
{
	static const char *const fields[] = { "hour", "minute", "weekday",
					      "day",  "second", "yearday" };

	outf(w, "now.%s %% %u == 0", ONE_OF(fields), 2 + pick(3));
}

static void write_cond(struct writer *w, unsigned depth)
{
	switch (pick(depth ? 14 : 11)) {
	case 0:
	case 1:
	case 2:
	case 3:
		write_predicate(w);
		return;
	case 4:
	case 5:
		write_text_cond(w);
		return;
	case 6:
		out(w, "(");
		write_field(w, MF_T_INT);
		outf(w, " or -1) %s %d",
		     pick(2) ? "<" : "==", pick(2) ? ONE_OF(ports) : (int)pick(2000));
		return;
	case 7:
		write_list_cond(w);
		return;
	case 8:
		write_bool_cond(w);
		return;
	case 9:
		if (pick(3) == 0) {
			write_time_cond(w);
			return;
		}
		write_field(w, MF_T_STR);
		out(w, pick(2) ? " == nil" : " ~= nil");
		return;
	case 10:
		if (w->counters && pick(4) == 0) {
			out(w, "counter('c', ");
			write_text(w);
			outf(w, "):over(%u, '%um')", pick(5), 1 + pick(3));
			return;
		}
		/* A protected call, a coroutine: reads are reads. */
		if (pick(2)) {
			out(w, "select(2, pcall(function() return ");
			write_cond(w, 0);
			out(w, " end))");
		} else {
			out(w, "coroutine.wrap(function() coroutine.yield(");
			write_cond(w, 0);
			out(w, ") end)()");
		}
		return;
	case 11:
		out(w, "not (");
		write_cond(w, depth - 1);
		out(w, ")");
		return;
	default:
		out(w, "(");
		write_cond(w, depth - 1);
		out(w, pick(2) ? " and " : " or ");
		write_cond(w, depth - 1);
		out(w, ")");
		return;
	}
}

static void write_verdict(struct writer *w)
{
	switch (pick(7)) {
	case 0:
		out(w, "allow()");
		return;
	case 1:
		out(w, "nil");
		return;
	case 2:
		/* The answer itself may be made of what was read. */
		out(w, "deny('r ' .. ");
		write_text(w);
		out(w, ")");
		return;
	case 3:
		out(w, "no");
		return;
	case 4:
		outf(w, "audit(deny { reason = 'a%u', visibility = 'silent' })", pick(3));
		return;
	case 5:
		switch (w->kind) {
		case MF_DNS:
			outf(w, "resolve { '10.0.0.%u', ttl = %u }", pick(4), pick(100));
			return;
		case MF_FILE:
			outf(w, "soft_delete { hash = %s }", pick(2) ? "true" : "false");
			return;
		default:
			outf(w, "redirect { to = 'r%u.corp:%u', on_failure = 'fail_open' }",
			     pick(3), 1 + pick(3));
			return;
		}
	default:
		outf(w, "deny 'd%u'", pick(5));
		return;
	}
}

static void write_block(struct writer *w, unsigned depth, unsigned indent)
{
	unsigned n = 1 + pick(3), i, locals = w->locals;

	for (i = 0; i < n; i++) {
		switch (pick(depth ? 8 : 3)) {
		case 0:
			out(w, "  local v");
			outf(w, "%u = ", w->locals + 1);
			write_text(w);
			out(w, "\n");
			w->locals++;
			break;
		case 1:
			out(w, "  for _, h in ipairs(");
			if (!write_field(w, MF_T_LIST))
				out(w, "nil");
			outf(w, " or {}) do if h:find('%c', 1, true) then return ",
			     'a' + (int)pick(8));
			write_verdict(w);
			out(w, " end end\n");
			break;
		case 2:
			out(w, "  if ");
			write_cond(w, 1);
			out(w, " then return ");
			write_verdict(w);
			out(w, " end\n");
			break;
		case 3:
			if (pick(30) == 0) {
				out(w, "  if ");
				write_cond(w, 1);
				out(w, " then error('oops') end\n");
				break;
			}
			/* fall through */
		default:
			out(w, "  if ");
			write_cond(w, 2);
			out(w, " then\n");
			write_block(w, depth - 1, indent + 1);
			if (pick(2)) {
				out(w, "  else\n");
				write_block(w, depth - 1, indent + 1);
			}
			out(w, "  end\n");
			break;
		}
	}
	w->locals = locals;
}

static void write_rules(struct writer *w)
{
	unsigned i;

	if (pick(2)) {
		out(w, "  network_rules = {\n");
		for (i = pick(3); i < 3; i++)
			outf(w,
			     "    { name = 'n%u', domains = { '%s' }, ports = { %d, 443 }, "
			     "decision = '%s' },\n",
			     i, ONE_OF(names), 1 + (int)pick(100), pick(2) ? "allow" : "deny");
		out(w, "  },\n");
	}
	if (pick(2))
		outf(w,
		     "  dns_redirects = { { name = 'd', match = '%s', resolve_to = '10.9.9.9' } "
		     "},\n",
		     ONE_OF(names));
	if (pick(2))
		outf(w,
		     "  connect_redirects = { { name = 'c', match = '%s:443', redirect_to = "
		     "'c.corp:1' } },\n",
		     ONE_OF(names));
	if (pick(2))
		outf(w, "  file_rules = { { name = 'f', paths = { '%s' }, decision = 'deny' } },\n",
		     ONE_OF(paths));
}

static char *make_policy(unsigned number)
{
	struct writer w = { .b = MF_STRBUF_INIT(1u << 20) };
	int kind;

	w.counters = pick(4) == 0;
	out(&w, "local set = domains { 'a.example', 'corp.test' }\n"
		"local lan = networks { '10.0.0.0/8', 'fd00::/8' }\n"
		"local web = ports { 80, 443, '8000-8999' }\n"
		"local no = deny { reason = 'made while loading' }\n");
	outf(&w, "return { name = 'p%u',\n", number);
	if (pick(3) == 0)
		write_rules(&w);
	for (kind = 0; kind < MF_KIND_NUM; kind++) {
		if (pick(8) == 0)
			continue;
		w.kind = (enum mf_kind)kind;
		w.locals = 0;
		outf(&w, "%s = function(q)\n", mf_kind_name((enum mf_kind)kind));
		write_block(&w, 3, 1);
		if (pick(3)) {
			out(&w, "  do return ");
			write_verdict(&w);
			out(&w, " end\n");
		}
		out(&w, "end,\n");
	}
	out(&w, "}\n");
	assert_false(w.b.failed);
	return w.b.str;
}

/* --- questions ---------------------------------------------------------------------------------------------------- */

/* What a question holds, so that it can be asked twice. */
struct question {
	enum mf_kind kind;
	uint64_t seed;
};

struct process {
	const char *name, *user;
	int pid;
	bool all_at_once;
};

static int fetch_process(struct mf_request *req, enum mf_field field, void *ctx)
{
	struct process *p = ctx;

	if (p->all_at_once || field == MF_F_PROCESS_NAME)
		mf_request_set_str(req, MF_F_PROCESS_NAME, p->name, strlen(p->name));
	if (p->all_at_once || field == MF_F_PROCESS_PID)
		mf_request_set_int(req, MF_F_PROCESS_PID, p->pid);
	if (p->user && (p->all_at_once || field == MF_F_PROCESS_USER))
		mf_request_set_str(req, MF_F_PROCESS_USER, p->user, strlen(p->user));
	if (p->all_at_once) {
		mf_request_add_str(req, MF_F_PROCESS_ARGS, p->name, strlen(p->name));
		/* It may even know more than it was asked for. */
		mf_request_set_str(req, MF_F_SOURCE, "session", 7);
	}
	return 0;
}

static void set_text(struct mf_request *req, enum mf_field f, const char *text)
{
	mf_request_set_str(req, f, text, strlen(text));
}

static void set_common(struct mf_request *req, struct process *p)
{
	unsigned i;

	if (pick(2))
		set_text(req, MF_F_SOURCE, pick(2) ? "session" : "api");
	if (pick(3) == 0)
		set_text(req, MF_F_SESSION_ID, ONE_OF(words));
	for (i = 0; i < MF_ARRAY_SIZE(labels); i++)
		if (pick(3) == 0)
			mf_request_set_label(req, labels[i], ONE_OF(label_values));
	*p = (struct process){ ONE_OF(words), pick(2) ? "root" : NULL, 1 + (int)pick(3), pick(2) };
	switch (pick(4)) {
	case 0:
		break;
	case 1:
		set_text(req, MF_F_PROCESS_NAME, p->name);
		mf_request_set_int(req, MF_F_PROCESS_PID, p->pid);
		break;
	default:
		mf_request_set_fetch(
			req, fetch_process, p,
			MF_FIELD_BIT(MF_F_PROCESS_NAME) | MF_FIELD_BIT(MF_F_PROCESS_PID) |
				MF_FIELD_BIT(MF_F_PROCESS_USER) | MF_FIELD_BIT(MF_F_PROCESS_ARGS));
		break;
	}
}

static void set_connect(struct mf_request *req)
{
	unsigned i;

	if (pick(12))
		mf_request_set_addr_text(req, MF_F_IP, ONE_OF(ips));
	if (pick(12))
		mf_request_set_int(req, MF_F_PORT, ONE_OF(ports));
	if (pick(4))
		set_text(req, MF_F_PROTO, pick(4) ? "tcp" : "udp");
	if (pick(4))
		set_text(req, MF_F_HOST, ONE_OF(names));
	for (i = pick(4); i < 3; i++) {
		const char *name = ONE_OF(names);

		mf_request_add_str(req, MF_F_HOSTS, name, strlen(name));
	}
}

static void set_sni(struct mf_request *req)
{
	static const char *const alpn[] = { "h2", "http/1.1", "h3" };
	unsigned i;

	if (pick(6))
		set_text(req, MF_F_SNI, ONE_OF(names));
	for (i = pick(4); i < 3; i++)
		mf_request_add_str(req, MF_F_ALPN, alpn[i], strlen(alpn[i]));
	if (pick(2))
		mf_request_set_bool(req, MF_F_ECH, pick(3) == 0);
	if (pick(2))
		mf_request_add_str(req, MF_F_VERSIONS, "TLS1.3", 6);
	if (pick(4) == 0)
		set_text(req, MF_F_JA4, "t13d1516h2");
	if (pick(2))
		mf_request_set_bool(req, MF_F_QUIC, pick(2));
}

static void set_file(struct mf_request *req)
{
	unsigned i;

	set_text(req, MF_F_OP, ONE_OF(ops));
	set_text(req, MF_F_PATH, ONE_OF(paths));
	if (pick(3) == 0)
		set_text(req, MF_F_TARGET, ONE_OF(paths));
	for (i = pick(5) + 2; i < 5; i++)
		mf_request_add_str(req, MF_F_FLAGS, flags[i], strlen(flags[i]));
	if (pick(2))
		mf_request_set_int(req, MF_F_UID, pick(2) ? 0 : 1000);
	if (pick(3) == 0)
		mf_request_set_int(req, MF_F_SIZE, pick(5000));
}

/* Fill @req as the question's seed says: twice the same. */
static void fill(struct mf_request *req, const struct question *q, struct process *p)
{
	uint64_t saved = rng;

	rng = q->seed;
	mf_request_reset(req, q->kind);
	set_common(req, p);
	switch (q->kind) {
	case MF_DNS:
		set_text(req, MF_F_NAME, ONE_OF(names));
		set_text(req, MF_F_TYPE, ONE_OF(types));
		if (pick(3) == 0)
			mf_request_set_addr_text(req, MF_F_CLIENT, ONE_OF(ips));
		break;
	case MF_SNI:
		set_sni(req);
		/* fall through */
	case MF_CONNECT:
		set_connect(req);
		break;
	default:
		set_file(req);
		break;
	}
	rng = saved;
}

static struct question random_question(void)
{
	struct question q = { (enum mf_kind)pick(MF_KIND_NUM), 1 + pick(1u << 30) };

	/* xorshift needs some rounds before small seeds differ. */
	q.seed *= UINT64_C(0x9e3779b97f4a7c15);
	return q;
}

/* --- the test ------------------------------------------------------------------------------------------------------ */

struct round {
	struct fence f;
	struct mf_vm_config plain_config;
	struct mf_vm_state *plain; /* without graph and memo */
	char *policies[3];
	unsigned policy_cnt;
};

static void begin_round(struct round *r)
{
	static const uint32_t nodes[] = { 65536, 65536, 4096, 200, 40, 16 };
	static const uint32_t entries[] = { 16384, 16384, 1024, 64, 8, 0 };
	char file[32];
	unsigned i;

	fence_init(&r->f);
	r->f.config.options.graph_nodes_max = ONE_OF(nodes);
	r->f.config.options.memo_entries_max = ONE_OF(entries);
	r->f.config.options.default_allow[pick(MF_KIND_NUM)] = true;
	r->policy_cnt = 1 + pick(3);
	for (i = 0; i < r->policy_cnt; i++) {
		r->policies[i] = make_policy(i);
		snprintf(file, sizeof(file), "%u.lua", i);
		fence_write(&r->f, file, r->policies[i]);
		if (getenv("MF_SHOW"))
			printf("%s", r->policies[i]);
	}
	if (fence_load(&r->f) < 0)
		fail_msg("%s:%u: %s", r->f.err.file, r->f.err.line, r->f.err.msg);
	/* Counters of its own: both count the same. */
	r->plain_config = r->f.config;
	r->plain_config.counters = mf_counters_new(0);
	if (mf_vm_state_new(&r->plain_config, r->f.set, 1, &r->plain, &r->f.err) < 0)
		fail_msg("%s", r->f.err.msg);
	mf_vm_state_set_cache(r->plain, false);
}

static void end_round(struct round *r)
{
	unsigned i;

	mf_vm_state_free(r->plain);
	mf_counters_free(r->plain_config.counters);
	for (i = 0; i < r->policy_cnt; i++)
		free(r->policies[i]);
	fence_done(&r->f);
}

static void move_time(struct round *r)
{
	static const int64_t jumps_s[] = { 1, 1, 5, 61, 600, 3600, 86400, -30, -4000 };
	int64_t jump = ONE_OF(jumps_s) * (int64_t)MF_NS_PER_S;

	r->f.wall_ns += (uint64_t)jump;
	if (jump > 0)
		r->f.mono_ns += (uint64_t)jump;
}

static void compare(struct round *r, const struct question *q, struct mf_request *req[2],
		    uint64_t pair)
{
	struct mf_decision a = MF_DECISION_INIT, b = MF_DECISION_INIT;
	struct process p[2];
	const char *json = "";
	size_t policy_a, policy_b;
	int ra, rb;
	unsigned i;

	fill(req[0], q, &p[0]);
	fill(req[1], q, &p[1]);
	ra = mf_vm_state_decide(r->f.state, req[0], &a, &policy_a);
	rb = mf_vm_state_decide(r->plain, req[1], &b, &policy_b);
	if (ra == rb && policy_a == policy_b && mf_decision_same(&a, &b))
		return;
	for (i = 0; i < r->policy_cnt; i++)
		printf("--- policy %u\n%s", i, r->policies[i]);
	printf("--- pair %llu: %s by %s line %u '%s' (%d), but Lua says %s by %s line %u '%s' "
	       "(%d)\n",
	       (unsigned long long)pair, mf_verdict_name(a.verdict), mf_origin_name(a.origin),
	       a.line, a.reason ? a.reason : "", ra, mf_verdict_name(b.verdict),
	       b.policy ? b.policy : "", b.line, b.reason ? b.reason : "", rb);
	fill(req[1], q, &p[1]);
	mf_vm_state_explain(r->plain, req[1], &b, &json);
	fail_msg("%s", json);
}

static uint64_t number(const char *variable, uint64_t otherwise)
{
	const char *text = getenv(variable);

	return text && *text ? strtoull(text, NULL, 0) : otherwise;
}

static void test_graph_and_memo_answer_as_lua_does(void **state)
{
	const char *slow = getenv("MF_SLOW");
	uint64_t seed = number("MF_SEED", 1), pairs, pair = 0, memo = 0, graph = 0, lua = 0,
		 evicted = 0;
	struct mf_request *req[2] = { mf_request_new(MF_DNS), mf_request_new(MF_DNS) };
	struct question corpus[CORPUS], q;
	static struct round r;
	struct mf_vm_stats st;
	const char *broken;
	unsigned i, n;

	(void)state;
	pairs = number("MF_PAIRS", slow && *slow == '1' ? 1000000 : 50000);
	printf("MF_SEED=%llu MF_PAIRS=%llu\n", (unsigned long long)seed, (unsigned long long)pairs);
	rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	while (pair < pairs) {
		begin_round(&r);
		for (i = 0; i < CORPUS; i++)
			corpus[i] = random_question();
		for (n = 0; n < PAIRS_PER_POLICY && pair < pairs; n++, pair++) {
			/* Few questions are asked often, some once. */
			q = pick(4) ? corpus[pick(1 + pick(CORPUS))] : random_question();
			compare(&r, &q, req, pair);
			if (pick(40) == 0)
				move_time(&r);
			if (n % 256 == 0 && (broken = mf_graph_check(r.f.state->graph)))
				fail_msg("%s", broken);
		}
		assert_false(r.f.state->impure);
		st = (struct mf_vm_stats){ .size = sizeof(st) };
		mf_vm_state_stats(r.f.state, &st);
		memo += st.memo_hits;
		graph += st.graph_hits;
		lua += st.lua_entries;
		evicted += st.graph_evictions + st.memo_evictions;
		end_round(&r);
	}
	printf("%llu pairs: %llu by memo, %llu by graph, %llu runs of Lua, %llu evictions\n",
	       (unsigned long long)pairs, (unsigned long long)memo, (unsigned long long)graph,
	       (unsigned long long)lua, (unsigned long long)evicted);
	/* A test of caches that never hit would prove nothing. */
	if (pairs >= 50000) {
		assert_true(memo > pairs / 10);
		assert_true(graph > pairs / 20);
		assert_true(evicted > 100);
	}
	mf_request_free(req[0]);
	mf_request_free(req[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_graph_and_memo_answer_as_lua_does),
	};

	test_set_env("TZ", "UTC0");
	return cmocka_run_group_tests(tests, NULL, NULL);
}
