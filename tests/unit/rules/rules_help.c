/* SPDX-License-Identifier: Apache-2.0 */
/* rules_help.c - see rules_help.h */
#include "tests/unit/rules/rules_help.h"

#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "core/base/addr.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

struct reading {
	struct rules_case *c;
	struct mf_sandbox_source chunk;
	const struct mf_rule_observer *observer;
	int ref;
};

static int read_rules(lua_State *L)
{
	struct reading *r = lua_touserdata(L, 1);

	lua_rawgeti(L, LUA_REGISTRYINDEX, r->ref);
	r->c->code =
		mf_rules_from_lua(L, -1, "test", &r->chunk, r->observer, &r->c->rules, &r->c->err);
	assert_int_equal(lua_gettop(L), 2);
	return 0;
}

void rules_load(struct rules_case *c, const char *lua)
{
	rules_load_observed(c, lua, NULL);
}

void rules_load_observed(struct rules_case *c, const char *lua,
			 const struct mf_rule_observer *observer)
{
	struct mf_sandbox_options options = { .memory = (size_t)256 << 20,
					      .clock = &mf_clock_system };
	struct mf_sandbox_limits limits = { .steps = UINT64_C(1) << 40,
					    .time_ns = 60 * MF_NS_PER_S };
	struct reading r = { .c = c,
			     .observer = observer,
			     .chunk = { .name = "test.lua", .text = lua, .len = strlen(lua) } };

	memset(c, 0, sizeof(*c));
	if (mf_sandbox_new(&options, &c->sb, &c->err) < 0 || mf_sandbox_seal(c->sb, &c->err) < 0 ||
	    mf_sandbox_load(c->sb, &limits, &r.chunk, &r.ref, &c->err) < 0 ||
	    mf_sandbox_call(c->sb, &limits, read_rules, &r, &c->err) < 0)
		fail_msg("%s:%u: %s", c->err.file, c->err.line, c->err.msg);
}

void rules_done(struct rules_case *c)
{
	mf_rules_free(c->rules);
	mf_sandbox_free(c->sb);
	memset(c, 0, sizeof(*c));
}

static const char *answer(struct mf_rules *rules, struct mf_request *req)
{
	static char text[1024];
	struct mf_outcome *o = NULL;
	const struct mf_decision *d;
	int r = mf_rules_ask(rules, req, &o), n;

	mf_request_free(req);
	if (r < 0) {
		snprintf(text, sizeof(text), "error %d", r);
		return text;
	}
	if (!o)
		return "none";
	d = &o->d;
	n = snprintf(text, sizeof(text), "%s%s", mf_verdict_name(d->verdict),
		     d->audit ? " audited" : "");
	for (size_t i = 0; i < d->addr_cnt; i++) {
		char buf[MF_ADDR_TEXT_MAX];
		struct mf_addr a;

		assert_true(mf_addr_from_bytes(&a, d->addrs[i].bytes,
					       d->addrs[i].family == 4 ? 4 : 16));
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %s",
			      mf_addr_format(&a, buf, sizeof(buf)));
	}
	if (d->redirect_host)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %s:%u", d->redirect_host,
			      d->redirect_port);
	if (d->redirect_unix)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %s", d->redirect_unix);
	if (d->tls_mode == MF_TLS_REWRITE_SNI)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " sni %s", d->sni);
	if (d->path_target)
		n += snprintf(text + n, sizeof(text) - (size_t)n, " %s", d->path_target);
	snprintf(text + n, sizeof(text) - (size_t)n, " %s", d->rule);
	return text;
}

static void set_str(struct mf_request *req, enum mf_field field, const char *str)
{
	assert_int_equal(mf_request_set_str(req, field, str, strlen(str)), 0);
}

const char *rules_dns(struct mf_rules *rules, const char *name)
{
	struct mf_request *req = mf_request_new(MF_DNS);

	set_str(req, MF_F_NAME, name);
	return answer(rules, req);
}

static struct mf_request *flow(enum mf_kind kind, const char *ip, int port, const char *hosts)
{
	struct mf_request *req = mf_request_new(kind);
	bool first = true;

	if (ip)
		assert_int_equal(mf_request_set_addr_text(req, MF_F_IP, ip), 0);
	if (port >= 0)
		assert_int_equal(mf_request_set_int(req, MF_F_PORT, port), 0);
	while (hosts && *hosts) {
		size_t n = strcspn(hosts, " ");

		if (first)
			assert_int_equal(mf_request_set_str(req, MF_F_HOST, hosts, n), 0);
		assert_int_equal(mf_request_add_str(req, MF_F_HOSTS, hosts, n), 0);
		first = false;
		hosts += n + (hosts[n] == ' ');
	}
	return req;
}

const char *rules_connect(struct mf_rules *rules, const char *ip, int port, const char *host)
{
	return answer(rules, flow(MF_CONNECT, ip, port, host));
}

const char *rules_sni(struct mf_rules *rules, const char *ip, int port, const char *host,
		      const char *sni)
{
	struct mf_request *req = flow(MF_SNI, ip, port, host);

	if (sni)
		set_str(req, MF_F_SNI, sni);
	return answer(rules, req);
}

const char *rules_file(struct mf_rules *rules, const char *op, const char *path, const char *target)
{
	struct mf_request *req = mf_request_new(MF_FILE);

	set_str(req, MF_F_OP, op);
	set_str(req, MF_F_PATH, path);
	if (target)
		set_str(req, MF_F_TARGET, target);
	return answer(rules, req);
}
