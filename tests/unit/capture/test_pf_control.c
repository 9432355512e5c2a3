/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_pf_control.c - the broker's work against a system of our own: a pf that keeps anchors and references, and can fail
 * at every single call
 */
#include "tests/unit/test.h"

#include "capture/pf.h"

#define CALLS_MAX 128

struct fake {
	/* pf */
	char rules[65536]; /* of our anchor; "" for none */
	char other[64];	   /* an anchor that an earlier session left, "" for none */
	uint64_t tokens[4];
	unsigned token_cnt;
	bool skips_lo0;
	const char *nat, *filter; /* what the main rule set shows */
	uint64_t next_token;
	/* the record */
	char record[1024];
	size_t record_len;
	bool has_record;
	/* the self-test */
	unsigned open_probes;
	struct mf_pf_probe probe;
	bool kernel_forgets, kernel_lies, probe_is_lost;
	/* one redirected flow */
	struct mf_endpoint peer, local, server;
	uint8_t known_direction;
	uint32_t pid;	    /* who has its client's end */
	int natlook_result; /* other than 0: always that */
	/* failing */
	int fail_call;	/* which pfctl call ends with status 1; -1 for none */
	int fail_error; /* the same, but it does not run */
	bool fail_writing;
	char calls[CALLS_MAX][160];
	unsigned call_cnt;
	bool loaded_before_enabled, flushed_nat_first;
};

static bool has_arg(const char *const *args, const char *arg)
{
	for (; *args; args++)
		if (strcmp(*args, arg) == 0)
			return true;
	return false;
}

static const char *arg_after(const char *const *args, const char *arg)
{
	for (; *args; args++)
		if (strcmp(*args, arg) == 0)
			return args[1];
	return NULL;
}

static void note(struct fake *f, const char *const *args)
{
	char *to = f->calls[f->call_cnt++];
	size_t n = 0;

	assert_true(f->call_cnt <= CALLS_MAX);
	for (; *args; args++)
		n += (size_t)snprintf(to + n, sizeof(f->calls[0]) - n, "%s%s", n ? " " : "", *args);
}

static void show_anchor(const struct fake *f, bool nat, struct mf_strbuf *out)
{
	for (const char *p = f->rules, *nl; *p; p = nl + 1) {
		bool is_nat = strncmp(p, "rdr", 3) == 0 || strncmp(p, "no ", 3) == 0;

		nl = strchr(p, '\n');
		if (*p != '#' && is_nat == nat)
			mf_strbuf_add(out, p, (size_t)(nl - p) + 1);
	}
}

static void show(struct fake *f, const char *const *args, struct mf_strbuf *out)
{
	const char *what = arg_after(args, "-s");

	if (has_arg(args, "-a"))
		show_anchor(f, strcmp(what, "nat") == 0, out);
	else if (strcmp(what, "nat") == 0)
		mf_strbuf_adds(out, f->nat);
	else if (strcmp(what, "rules") == 0)
		mf_strbuf_adds(out, f->filter);
	else if (strcmp(what, "info") == 0)
		mf_strbuf_addf(out, "Status: %s for 0 days\n",
			       f->token_cnt ? "Enabled" : "Disabled");
	else if (strcmp(what, "Interfaces") == 0)
		mf_strbuf_addf(out, "lo0%s\n", f->skips_lo0 ? " (skip)" : "");
	else if (strcmp(what, "References") == 0)
		for (unsigned i = 0; i < f->token_cnt; i++)
			mf_strbuf_addf(out, "%u pfctl %llu 0 days\n", 100 + i,
				       (unsigned long long)f->tokens[i]);
	else
		fail_msg("pfctl -s %s", what);
}

static void flush(struct fake *f, const char *anchor, const char *what)
{
	char kept[sizeof(f->rules)];
	size_t n = 0;
	bool nat = strcmp(what, "nat") == 0;

	if (strcmp(anchor, f->other) == 0 && nat)
		f->other[0] = '\0';
	if (strcmp(anchor, MF_PF_ANCHOR) != 0)
		return;
	for (const char *p = f->rules, *nl; *p; p = nl + 1) {
		bool is_nat = strncmp(p, "rdr", 3) == 0 || strncmp(p, "no ", 3) == 0;

		nl = strchr(p, '\n');
		if (is_nat == nat)
			continue;
		if (nat && *p != '#')
			f->flushed_nat_first = true;
		memcpy(kept + n, p, (size_t)(nl - p) + 1);
		n += (size_t)(nl - p) + 1;
	}
	kept[n] = '\0';
	if (n && kept[0] == '#' && strchr(kept, '\n')[1] == '\0')
		kept[0] = '\0';
	strcpy(f->rules, kept);
}

static int give_back(struct fake *f, const char *text)
{
	uint64_t token = strtoull(text, NULL, 10);

	for (unsigned i = 0; i < f->token_cnt; i++) {
		if (f->tokens[i] != token)
			continue;
		f->tokens[i] = f->tokens[--f->token_cnt];
		return 0;
	}
	return 1;
}

static int fake_pfctl(void *ctx, const char *const *args, const char *input, struct mf_strbuf *out)
{
	struct fake *f = ctx;

	note(f, args);
	mf_strbuf_adds(out, "No ALTQ support in kernel\nALTQ related functions disabled\n");
	if ((int)f->call_cnt - 1 == f->fail_call) {
		mf_strbuf_adds(out, "pfctl: something\x1b[31m is wrong\n");
		return f->fail_error ? f->fail_error : 1;
	}
	/* -d, -e and loading the main rule set are for nobody of ours. */
	assert_false(has_arg(args, "-d") || has_arg(args, "-e"));
	if (has_arg(args, "-f")) {
		assert_string_equal(arg_after(args, "-a"), MF_PF_ANCHOR);
		assert_string_equal(arg_after(args, "-f"), "-");
		assert_non_null(input);
		if (has_arg(args, "-n"))
			return 0;
		assert_true(f->has_record); /* written down before */
		if (!f->token_cnt)
			f->loaded_before_enabled = true;
		snprintf(f->rules, sizeof(f->rules), "%s", input);
		return 0;
	}
	assert_null(input);
	if (has_arg(args, "-s"))
		show(f, args, out);
	else if (has_arg(args, "-F"))
		flush(f, arg_after(args, "-a"), arg_after(args, "-F"));
	else if (has_arg(args, "-X"))
		return give_back(f, arg_after(args, "-X"));
	else if (has_arg(args, "-E"))
		mf_strbuf_addf(out, "pf enabled\nToken : %llu\n",
			       (unsigned long long)(f->tokens[f->token_cnt++] = f->next_token++));
	else
		fail_msg("pfctl %s", f->calls[f->call_cnt - 1]);
	return 0;
}

/* As xnu does it: the state of a redirected flow is found as going out. */
static int fake_natlook(void *ctx, struct mf_pf_natlook *nl)
{
	struct fake *f = ctx;
	size_t len = f->peer.addr.family == 4 ? 4 : 16;

	if (f->natlook_result)
		return f->natlook_result;
	if (nl->direction != f->known_direction ||
	    memcmp(nl->saddr, f->peer.addr.bytes, len) != 0 ||
	    memcmp(nl->daddr, f->local.addr.bytes, len) != 0 ||
	    nl->sxport[0] != f->peer.port >> 8 || nl->sxport[1] != (f->peer.port & 0xff) ||
	    nl->dxport[0] != f->local.port >> 8 || nl->dxport[1] != (f->local.port & 0xff))
		return MF_E_NOENT;
	memcpy(nl->rdaddr, f->server.addr.bytes, 16);
	nl->rdxport[0] = (uint8_t)(f->server.port >> 8);
	nl->rdxport[1] = (uint8_t)f->server.port;
	return 0;
}

static int fake_find_owner(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid)
{
	struct fake *f = ctx;

	if (flow->src_port != f->peer.port || flow->proto != MF_PROTO_TCP || flow->family != 4)
		return MF_E_NOENT;
	*ret_pid = f->pid;
	return 0;
}

static int fake_read(void *ctx, char *buf, size_t room)
{
	struct fake *f = ctx;

	if (!f->has_record)
		return MF_E_NOENT;
	assert_true(f->record_len <= room);
	memcpy(buf, f->record, f->record_len);
	return (int)f->record_len;
}

static int fake_write(void *ctx, const char *text, size_t len)
{
	struct fake *f = ctx;

	if (f->fail_writing)
		return MF_E_IO;
	memcpy(f->record, text, len);
	f->record_len = len;
	f->has_record = true;
	return 0;
}

static int fake_remove(void *ctx)
{
	struct fake *f = ctx;

	/* Nothing may be left when it goes. */
	assert_string_equal(f->rules, "");
	f->has_record = false;
	return 0;
}

static struct mf_endpoint endpoint(const char *text)
{
	struct mf_endpoint ep = { 0 };
	const char *host;
	size_t len;

	assert_int_equal(mf_hostport_parse(text, strlen(text), &host, &len, &ep.port), 0);
	assert_int_equal(mf_addr_parse(host, len, &ep.addr), 0);
	return ep;
}

static int fake_open_probe(void *ctx, const struct mf_addr *target, struct mf_pf_probe *ret)
{
	struct fake *f = ctx;

	assert_true(mf_addr_is_loopback(target));
	f->open_probes++;
	*ret = f->probe = (struct mf_pf_probe){ 50001, 50002 };
	return 0;
}

static int fake_run_probe(void *ctx, uint8_t family, struct mf_pf_question *ret)
{
	struct fake *f = ctx;
	char want[128];

	if (f->probe_is_lost)
		return MF_E_TIME;
	/* The rule for it is loaded, before the one that spares this machine's own addresses. */
	snprintf(want, sizeof(want),
		 "rdr pass on lo0 %s proto tcp from any to %s port 50001 -> %s port 50002\n",
		 family == 4 ? "inet" : "inet6", family == 4 ? "127.0.0.1" : "::1",
		 family == 4 ? "127.0.0.1" : "::1");
	assert_non_null(strstr(f->rules, want));
	assert_true(strstr(f->rules, want) <
		    strstr(f->rules, family == 4 ? "no rdr on lo0 inet " : "no rdr on lo0 inet6 "));
	f->peer = endpoint(family == 4 ? "127.0.0.1:61000" : "[::1]:61000");
	f->local = endpoint(family == 4 ? "127.0.0.1:50002" : "[::1]:50002");
	f->server = endpoint(family == 4 ? "127.0.0.1:50001" : "[::1]:50001");
	if (f->kernel_lies)
		f->server.port = 443;
	if (f->kernel_forgets)
		f->known_direction = 0;
	*ret = (struct mf_pf_question){ .proto = MF_TCP, .peer = f->peer, .local = f->local };
	return 0;
}

static void fake_close_probe(void *ctx, uint8_t family)
{
	struct fake *f = ctx;

	(void)family;
	f->open_probes--;
}

static void setup(struct fake *f)
{
	memset(f, 0, sizeof(*f));
	f->nat = "nat-anchor \"com.apple/*\" all\nrdr-anchor \"com.apple/*\" all\n";
	f->filter = "anchor \"com.apple/*\" all\n";
	f->next_token = 13971906727590307623u;
	f->fail_call = -1;
	f->known_direction = MF_PF_ABI_OUT;
}

static struct mf_pf_control *new_control(struct fake *f, bool ip6)
{
	const struct mf_pf_system sys = { .pfctl = fake_pfctl,
					  .natlook = fake_natlook,
					  .find_owner = fake_find_owner,
					  .read_record = fake_read,
					  .write_record = fake_write,
					  .remove_record = fake_remove,
					  .open_probe = fake_open_probe,
					  .run_probe = fake_run_probe,
					  .close_probe = fake_close_probe,
					  .lo0_index = 1,
					  .ctx = f };
	/* All of it may go after the call. */
	char interface[] = "en0";
	const char *interfaces[] = { interface };
	struct mf_pf_ports ports[] = { { MF_TCP, 443, 443, 8443 } };
	uint32_t users[] = { 501 };
	struct mf_pf_rules r = { .anchor = MF_PF_ANCHOR,
				 .ports = ports,
				 .port_cnt = 1,
				 .interfaces = interfaces,
				 .interface_cnt = 1,
				 .users = users,
				 .user_cnt = 1,
				 .proxy_user = 333,
				 .ip4 = true,
				 .ip6 = ip6 };
	struct mf_pf_control *c;

	assert_int_equal(mf_pf_control_new(&r, &sys, NULL, &c, NULL), 0);
	memset(interface, 'x', sizeof(interface) - 1);
	memset(ports, 0xff, sizeof(ports));
	memset(users, 0xff, sizeof(users));
	return c;
}

static void assert_clean(const struct fake *f, unsigned tokens)
{
	assert_string_equal(f->rules, "");
	assert_int_equal(f->token_cnt, tokens);
	assert_false(f->has_record);
	assert_int_equal(f->open_probes, 0);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static void started_and_stopped_nothing_is_left(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	f->tokens[f->token_cnt++] = 5; /* somebody else's */
	c = new_control(f, true);
	if (mf_pf_control_start(c, &err))
		fail_msg("%s", err.msg);
	assert_true(strstr(f->rules, "port 50001") == NULL);
	assert_non_null(
		strstr(f->rules, "rdr pass on lo0 inet proto tcp from any to any port 443"));
	assert_non_null(strstr(f->rules, "pass out quick on en0 route-to lo0 inet6 proto tcp"));
	assert_non_null(strstr(f->rules, "user { 501 }"));
	assert_int_equal(f->token_cnt, 2);
	f->record[f->record_len] = '\0';
	assert_string_equal(f->record, "moonfence-pf 1\nanchor com.apple/050.moonfence\n"
				       "token 13971906727590307623\nenabled 1\nend\n");
	/* Looked at before anything is changed, tried dry, turned on before it is loaded. */
	assert_string_equal(f->calls[0], "-s nat");
	assert_string_equal(f->calls[1], "-s rules");
	assert_string_equal(f->calls[2], "-v -s Interfaces -i lo0");
	assert_string_equal(f->calls[3], "-n -a com.apple/050.moonfence -f -");
	assert_string_equal(f->calls[4], "-s info");
	assert_string_equal(f->calls[5], "-E");
	assert_string_equal(f->calls[6], "-a com.apple/050.moonfence -f -");
	assert_false(f->loaded_before_enabled);
	assert_int_equal(mf_pf_control_start(c, &err), MF_E_EXIST);
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	assert_clean(f, 1);
	assert_false(f->flushed_nat_first);
	assert_int_equal(mf_pf_control_stop(c, &err), 0); /* twice does no harm */
	mf_pf_control_free(c);
	free(f);
}

static void whichever_call_fails_all_is_as_before(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	unsigned failures = 0;

	(void)state;
	for (int at = 0;; at++) {
		struct mf_pf_control *c;
		struct mf_err err = { 0 };
		int e;

		setup(f);
		f->tokens[f->token_cnt++] = 5;
		f->fail_call = at;
		c = new_control(f, true);
		e = mf_pf_control_start(c, &err);
		if ((int)f->call_cnt <= at) { /* it never came to that */
			assert_int_equal(e, 0);
			mf_pf_control_free(c);
			break;
		}
		assert_int_equal(e, MF_E_IO);
		/* The message says what pfctl said, without its escapes. */
		assert_non_null(strstr(err.msg, "something?[31m is wrong"));
		assert_clean(f, 1);
		mf_pf_control_free(c);
		failures++;
	}
	assert_true(failures >= 10);
	free(f);
}

static void a_pfctl_that_does_not_run_is_told(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	f->fail_call = 0;
	f->fail_error = MF_E_NOENT;
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), MF_E_IO);
	assert_non_null(strstr(err.msg, "/sbin/pfctl does not run (not found)"));
	mf_pf_control_free(c);
	free(f);
}

static void start_fails(struct fake *f, const char *why)
{
	struct mf_pf_control *c = new_control(f, false);
	struct mf_err err = { 0 };
	unsigned tokens = f->token_cnt;

	assert_int_equal(mf_pf_control_start(c, &err), MF_E_UNSUPPORTED);
	if (!strstr(err.msg, why))
		fail_msg("%s", err.msg);
	assert_clean(f, tokens);
	mf_pf_control_free(c);
}

static void rules_without_effect_are_not_loaded(void **state)
{
	struct fake *f = malloc(sizeof(*f));

	(void)state;
	setup(f);
	f->nat = "";
	start_fails(f, "rdr-anchor \"com.apple/*\"");
	setup(f);
	f->filter = "anchor \"com.apple/*\" on en1 all\n";
	start_fails(f, "conditional");
	setup(f);
	f->skips_lo0 = true;
	start_fails(f, "set skip on lo0");
	free(f);
}

static void the_self_test_decides(void **state)
{
	struct fake *f = malloc(sizeof(*f));

	(void)state;
	setup(f);
	f->probe_is_lost = true;
	start_fails(f, "did not arrive");
	setup(f);
	f->kernel_forgets = true;
	start_fails(f, "does not tell");
	setup(f);
	f->kernel_lies = true;
	start_fails(f, "was going to 127.0.0.1:443");
	setup(f);
	f->natlook_result = MF_E_INVAL; /* our structure is not the kernel's */
	start_fails(f, "input/output error");
	free(f);
}

static void what_an_earlier_broker_left_is_removed_first(void **state)
{
	static const char left[] =
		"moonfence-pf 1\nanchor com.apple/old\ntoken 77\nenabled 0\nend\n";
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	strcpy(f->other, "com.apple/old");
	f->tokens[f->token_cnt++] = 77;
	memcpy(f->record, left, sizeof(left) - 1);
	f->record_len = sizeof(left) - 1;
	f->has_record = true;
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	assert_string_equal(f->other, "");
	assert_int_equal(f->token_cnt, 1); /* ours, not the old one */
	assert_true(f->tokens[0] != 77);
	assert_string_equal(f->calls[0], "-a com.apple/old -F rules");
	assert_string_equal(f->calls[1], "-a com.apple/old -F nat");
	assert_string_equal(f->calls[2], "-s References");
	assert_string_equal(f->calls[3], "-X 77");
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	assert_clean(f, 0);
	mf_pf_control_free(c);

	/* After the machine was started anew the token is nobody's. */
	setup(f);
	memcpy(f->record, left, sizeof(left) - 1);
	f->record_len = sizeof(left) - 1;
	f->has_record = true;
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	for (unsigned i = 0; i < f->call_cnt; i++)
		assert_null(strstr(f->calls[i], "-X 77"));
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	mf_pf_control_free(c);
	free(f);
}

static void a_damaged_record_is_not_acted_upon(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	strcpy(f->record, "moonfence-pf 1\nanchor com.apple\ntoken 1\nenabled 0\n");
	f->record_len = strlen(f->record);
	f->has_record = true;
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	assert_string_equal(f->calls[0], "-s nat");
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	mf_pf_control_free(c);
	free(f);
}

static void without_a_record_nothing_is_loaded(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	f->fail_writing = true;
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), MF_E_IO);
	assert_clean(f, 0);
	for (unsigned i = 0; i < f->call_cnt; i++)
		assert_true(strcmp(f->calls[i], "-E") != 0);
	mf_pf_control_free(c);
	free(f);
}

static void what_cannot_be_removed_stays_in_the_record(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	f->fail_call = (int)f->call_cnt; /* -F rules */
	assert_int_equal(mf_pf_control_stop(c, &err), MF_E_IO);
	assert_true(f->has_record);
	assert_int_equal(f->token_cnt, 0);
	f->fail_call = -1;
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	assert_clean(f, 0);
	mf_pf_control_free(c);
	free(f);
}

/* ------------------------------------------------------------------------------------------------------------------ */

static struct mf_pf_message ask(struct mf_pf_control *c, struct mf_pf_message m, int want)
{
	uint8_t request[MF_PF_WIRE_LEN], answer[MF_PF_WIRE_LEN];
	struct mf_pf_message a;

	m.id = 99;
	mf_pf_wire_encode(&m, request);
	assert_int_equal(mf_pf_control_handle(c, request, answer), want);
	assert_int_equal(mf_pf_wire_decode(answer, &a), 0);
	assert_true(a.is_answer);
	assert_int_equal(a.id, 99);
	assert_int_equal(a.kind, m.kind);
	return a;
}

static struct mf_pf_message look_up(struct mf_pf_control *c, const char *peer, const char *local)
{
	return ask(c,
		   (struct mf_pf_message){ .kind = MF_PF_LOOKUP,
					   .q = { .proto = MF_TCP,
						  .peer = endpoint(peer),
						  .local = endpoint(local) } },
		   0);
}

static void lookups_are_answered(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_pf_message a;
	struct mf_pf_stats s;
	struct mf_endpoint want;
	struct mf_err err;

	(void)state;
	setup(f);
	c = new_control(f, true);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	f->peer = endpoint("192.168.1.20:51234");
	f->local = endpoint("127.0.0.1:8443");
	f->server = want = endpoint("203.0.113.9:443");
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:8443");
	assert_int_equal(a.status, 0);
	assert_memory_equal(&a.server, &want, sizeof(want));
	/* found in the other direction only */
	f->known_direction = MF_PF_ABI_IN;
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:8443");
	assert_int_equal(a.status, 0);
	/* not redirected: who connected to the listener itself */
	a = look_up(c, "192.168.1.20:51235", "127.0.0.1:8443");
	assert_int_equal(a.status, MF_E_NOENT);
	/* a loop: redirected from a listener of ours */
	f->server = endpoint("127.0.0.1:8443");
	f->known_direction = MF_PF_ABI_OUT;
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:8443");
	assert_int_equal(a.status, MF_E_PERM);
	f->server = endpoint("127.0.0.2:8443");
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:8443");
	assert_int_equal(a.status, MF_E_PERM);
	f->server = endpoint("0.0.0.0:443");
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:8443");
	assert_int_equal(a.status, MF_E_IO);
	f->natlook_result = MF_E_INVAL;
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:8443");
	assert_int_equal(a.status, MF_E_IO);
	/* Flows of others are none of our business. */
	f->natlook_result = 0;
	a = look_up(c, "192.168.1.20:51234", "192.168.1.20:8443");
	assert_int_equal(a.status, MF_E_PERM);
	a = look_up(c, "192.168.1.20:51234", "127.0.0.1:22");
	assert_int_equal(a.status, MF_E_PERM);
	mf_pf_control_get_stats(c, &s);
	assert_int_equal(s.lookups, 9);
	assert_int_equal(s.found, 2);
	assert_int_equal(s.second_way, 1);
	assert_int_equal(s.not_found, 1);
	assert_int_equal(s.loops, 2);
	assert_int_equal(s.refused, 2);
	assert_int_equal(s.failed, 2);
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	mf_pf_control_free(c);
	free(f);
}

static void owners_are_told_of_flows_that_were_looked_up(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_message q = { .kind = MF_PF_OWNER,
				   .q = { .proto = MF_TCP,
					  .peer = endpoint("192.168.1.20:51234"),
					  .local = endpoint("203.0.113.9:443") } };
	struct mf_pf_control *c;
	struct mf_pf_message a;
	struct mf_err err;
	char peer[32];

	(void)state;
	setup(f);
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	f->peer = q.q.peer;
	f->local = endpoint("127.0.0.1:8443");
	f->server = q.q.local;
	f->pid = 4711;
	assert_int_equal(ask(c, q, 0).status,
			 MF_E_PERM); /* whose flows these are is not for everybody */
	assert_int_equal(look_up(c, "192.168.1.20:51234", "127.0.0.1:8443").status, 0);
	a = ask(c, q, 0);
	assert_int_equal(a.status, 0);
	assert_int_equal(a.value, 4711);
	f->pid = 0;
	assert_int_equal(ask(c, q, 0).status, MF_E_NOENT);
	q.q.local.port = 80;
	assert_int_equal(ask(c, q, 0).status, MF_E_PERM);
	q.q.local.port = 443;
	/* Not for ever. */
	for (unsigned i = 0; i < 1024; i++) {
		assert_int_equal(ask(c, q, 0).status, MF_E_NOENT);
		f->peer.port = (uint16_t)(10000 + i);
		snprintf(peer, sizeof(peer), "192.168.1.20:%u", 10000 + i);
		assert_int_equal(look_up(c, peer, "127.0.0.1:8443").status, 0);
	}
	assert_int_equal(ask(c, q, 0).status, MF_E_PERM);
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	mf_pf_control_free(c);
	free(f);
}

static uint32_t health(struct mf_pf_control *c)
{
	return ask(c, (struct mf_pf_message){ .kind = MF_PF_CHECK }, 0).value;
}

static void health_tells_what_others_changed(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	assert_int_equal(health(c), MF_PF_OK_ALL);
	f->skips_lo0 = true;
	assert_int_equal(health(c), MF_PF_OK_ALL & ~MF_PF_OK_LO0);
	f->skips_lo0 = false;
	f->nat = "";
	assert_int_equal(health(c), MF_PF_OK_ALL & ~MF_PF_OK_RDR);
	f->nat = "rdr-anchor \"com.apple/*\" all\n";
	f->filter = "";
	assert_int_equal(health(c), MF_PF_OK_ALL & ~MF_PF_OK_FILTER);
	f->filter = "anchor \"com.apple/*\" all\n";
	f->rules[0] = '\0'; /* "pfctl -F all" of somebody */
	assert_int_equal(health(c), MF_PF_OK_ALL & ~MF_PF_OK_RULES);
	assert_int_equal(ask(c, (struct mf_pf_message){ .kind = MF_PF_RELOAD }, 0).status, 0);
	assert_int_equal(health(c), MF_PF_OK_ALL);
	f->token_cnt = 0; /* "pfctl -d" of somebody */
	assert_int_equal(health(c), MF_PF_OK_ALL & ~(MF_PF_OK_ENABLED | MF_PF_OK_TOKEN));
	assert_int_equal(mf_pf_control_stop(c, &err), 0);
	assert_clean(f, 0);
	mf_pf_control_free(c);
	free(f);
}

static void a_request_to_stop_is_the_last(void **state)
{
	struct fake *f = malloc(sizeof(*f));
	uint8_t answer[MF_PF_WIRE_LEN], bad[MF_PF_WIRE_LEN] = { 0 };
	struct mf_pf_message echo = { .kind = MF_PF_STOP, .is_answer = true };
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	setup(f);
	c = new_control(f, false);
	assert_int_equal(mf_pf_control_start(c, &err), 0);
	assert_int_equal(mf_pf_control_handle(c, bad, answer), MF_E_BAD);
	mf_pf_wire_encode(&echo, bad);
	assert_int_equal(mf_pf_control_handle(c, bad, answer), MF_E_BAD); /* no request */
	f->fail_call = (int)f->call_cnt;
	assert_int_equal(ask(c, (struct mf_pf_message){ .kind = MF_PF_RELOAD }, 0).status, MF_E_IO);
	assert_int_equal(ask(c, (struct mf_pf_message){ .kind = MF_PF_STOP }, 1).status, 0);
	assert_clean(f, 0);
	mf_pf_control_free(c);
	free(f);
}

static void wrong_options_are_refused_at_once(void **state)
{
	struct mf_pf_rules r = { .anchor = "a b" };
	struct mf_pf_system sys = { 0 };
	struct mf_pf_control *c;
	struct mf_err err;

	(void)state;
	assert_int_equal(mf_pf_control_new(&r, &sys, NULL, &c, &err), MF_E_INVAL);
	mf_pf_control_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(started_and_stopped_nothing_is_left),
		cmocka_unit_test(whichever_call_fails_all_is_as_before),
		cmocka_unit_test(a_pfctl_that_does_not_run_is_told),
		cmocka_unit_test(rules_without_effect_are_not_loaded),
		cmocka_unit_test(the_self_test_decides),
		cmocka_unit_test(what_an_earlier_broker_left_is_removed_first),
		cmocka_unit_test(a_damaged_record_is_not_acted_upon),
		cmocka_unit_test(without_a_record_nothing_is_loaded),
		cmocka_unit_test(what_cannot_be_removed_stays_in_the_record),
		cmocka_unit_test(lookups_are_answered),
		cmocka_unit_test(owners_are_told_of_flows_that_were_looked_up),
		cmocka_unit_test(health_tells_what_others_changed),
		cmocka_unit_test(a_request_to_stop_is_the_last),
		cmocka_unit_test(wrong_options_are_refused_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
