/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_control.c - the broker's work: rules in, proven, watched, out; see pf.h
 *
 * What has been done is undone in reverse, and every step can fail. The record on disk is written before the first rule is
 * loaded and taken away after the last is gone, so whoever comes after a broker that was killed knows what to remove.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/pf.h"

#define OUTPUT_MAX	  (1u << 20) /* of one pfctl; a rule set that prints more is not read */
#define LOOKED_UP_MAX	  1024
#define TEXT_OF_PFCTL_MAX 240 /* bytes of pfctl's complaint in our message */

struct mf_pf_control {
	struct mf_pf_system sys;
	const struct mf_log *log;
	char anchor[MF_PF_ANCHOR_MAX + 1];
	struct mf_strbuf text; /* the rules */
	/* For texts with a probe, which are made when its ports are known: all of it copied. */
	struct mf_pf_rules rules;
	struct mf_pf_ports ports[MF_PF_PORTS_MAX];
	struct mf_pf_alias aliases[MF_PF_ALIASES_MAX];
	const char *interfaces[MF_PF_INTERFACES_MAX];
	uint32_t users[MF_PF_USERS_MAX];
	char names[MF_PF_INTERFACES_MAX + MF_PF_ALIASES_MAX][16];

	struct mf_pf_record record;
	bool has_record, has_rules;
	unsigned rdr_cnt, filter_cnt;		 /* rules as pfctl shows them after loading */
	struct mf_flow looked_up[LOOKED_UP_MAX]; /* from the client to where it was going; a ring */
	size_t looked_up_at;
	struct mf_pf_stats stats;
};

/* ------------------------------------------------------------------------------------------------------------------ */
/* Making one                                                                                                         */

/* The names have been checked: none is longer than 15 bytes. */
static const char *copy_name(struct mf_pf_control *c, size_t at, const char *name)
{
	snprintf(c->names[at], sizeof(c->names[at]), "%s", name);
	return c->names[at];
}

static void copy_rules(struct mf_pf_control *c, const struct mf_pf_rules *r)
{
	c->rules = *r;
	c->rules.anchor = c->anchor;
	snprintf(c->anchor, sizeof(c->anchor), "%s", r->anchor);
	memcpy(c->ports, r->ports, r->port_cnt * sizeof(c->ports[0]));
	c->rules.ports = c->ports;
	if (r->user_cnt)
		memcpy(c->users, r->users, r->user_cnt * sizeof(c->users[0]));
	c->rules.users = c->users;
	for (size_t i = 0; i < r->interface_cnt; i++)
		c->interfaces[i] = copy_name(c, i, r->interfaces[i]);
	c->rules.interfaces = c->interfaces;
	for (size_t i = 0; i < r->alias_cnt; i++) {
		c->aliases[i] = r->aliases[i];
		c->aliases[i].interface =
			copy_name(c, MF_PF_INTERFACES_MAX + i, r->aliases[i].interface);
	}
	c->rules.aliases = c->aliases;
	c->rules.probe4 = c->rules.probe6 = (struct mf_pf_probe){ 0 };
}

int mf_pf_control_new(const struct mf_pf_rules *rules, const struct mf_pf_system *system,
		      const struct mf_log *log, struct mf_pf_control **ret, struct mf_err *err)
{
	struct mf_pf_control *c = calloc(1, sizeof(*c));
	struct mf_pf_rules plain = *rules;
	int e;

	if (!c)
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	c->sys = *system;
	c->log = log;
	c->text = (struct mf_strbuf)MF_STRBUF_INIT(MF_PF_TEXT_MAX);
	plain.probe4 = plain.probe6 = (struct mf_pf_probe){ 0 };
	e = mf_pf_rules_format(&plain, &c->text, err);
	if (e) {
		mf_pf_control_free(c);
		return e;
	}
	copy_rules(c, rules);
	*ret = c;
	return 0;
}

void mf_pf_control_free(struct mf_pf_control *c)
{
	if (!c)
		return;
	mf_strbuf_done(&c->text);
	free(c);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* pfctl                                                                                                              */

/* The last line that pfctl printed and that is not the usual noise, for a message. */
static const char *complaint(const struct mf_strbuf *out, char buf[static TEXT_OF_PFCTL_MAX])
{
	const char *line = out->str ? out->str : "", *end;

	buf[0] = '\0';
	for (; *line; line = *end ? end + 1 : end) {
		size_t len;

		end = strchr(line, '\n');
		end = end ? end : line + strlen(line);
		len = (size_t)(end - line);
		if (len == 0 || strncmp(line, "No ALTQ", 7) == 0 || strncmp(line, "ALTQ ", 5) == 0)
			continue;
		snprintf(buf, TEXT_OF_PFCTL_MAX, "%.*s", (int)(len < 200 ? len : 200), line);
	}
	/* It goes to terminals and logs. */
	for (char *p = buf; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return buf[0] ? buf : "it does not say why";
}

/* Run pfctl to @what; its output is in @out, for mf_strbuf_done(). Return: 0, MF_E_IO */
static int run(struct mf_pf_control *c, const char *what, const char *const *args,
	       const char *input, struct mf_strbuf *out, struct mf_err *err)
{
	char why[TEXT_OF_PFCTL_MAX];
	int status;

	*out = (struct mf_strbuf)MF_STRBUF_INIT(OUTPUT_MAX);
	status = c->sys.pfctl(c->sys.ctx, args, input, out);
	if (status == 0 && !out->failed)
		return 0;
	if (status < 0)
		return mf_err_set(err, MF_E_IO, "cannot %s: /sbin/pfctl does not run (%s)", what,
				  mf_strerror(status));
	if (out->failed)
		return mf_err_set(err, MF_E_IO, "cannot %s: pfctl prints more than %u bytes", what,
				  OUTPUT_MAX);
	return mf_err_set(err, MF_E_IO, "cannot %s: pfctl ends with status %d: %s", what, status,
			  complaint(out, why));
}

/* The same where what it prints does not matter. */
static int run_quiet(struct mf_pf_control *c, const char *what, const char *const *args,
		     const char *input, struct mf_err *err)
{
	struct mf_strbuf out;
	int e = run(c, what, args, input, &out, err);

	mf_strbuf_done(&out);
	return e;
}

static int load(struct mf_pf_control *c, const char *text, bool dry, struct mf_err *err)
{
	const char *const dry_args[] = { "-n", "-a", c->anchor, "-f", "-", NULL };

	return dry ? run_quiet(c, "have pf's rules checked", dry_args, text, err)
		   : run_quiet(c, "load pf's rules", dry_args + 1, text, err);
}

/* Filter rules first: without them nothing is sent to lo0 that would find no translation there. */
static int flush(struct mf_pf_control *c, const char *anchor, struct mf_err *err)
{
	const char *const filter[] = { "-a", anchor, "-F", "rules", NULL };
	const char *const translation[] = { "-a", anchor, "-F", "nat", NULL };
	int e = run_quiet(c, "remove pf's filter rules", filter, NULL, err);
	int e2 = run_quiet(c, "remove pf's translation rules", translation, NULL, e ? NULL : err);

	return e ? e : e2;
}

static int release(struct mf_pf_control *c, uint64_t token, struct mf_err *err)
{
	char text[24];
	const char *const args[] = { "-X", text, NULL };
	const char *const list[] = { "-s", "References", NULL };
	struct mf_strbuf out;
	bool there;
	int e;

	/* Somebody's "pfctl -d" takes all references away, and a restart of the machine does. */
	e = run(c, "read pf's references", list, NULL, &out, err);
	there = !e && mf_pf_output_has_token(out.str ? out.str : "", out.len, token);
	mf_strbuf_done(&out);
	if (e || !there)
		return e;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)token);
	return run_quiet(c, "give the reference to pf back", args, NULL, err);
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Starting                                                                                                           */

static int write_record(struct mf_pf_control *c, struct mf_err *err)
{
	char buf[MF_PF_RECORD_MAX];
	size_t len = mf_pf_record_format(&c->record, buf, sizeof(buf));
	int e = len ? c->sys.write_record(c->sys.ctx, buf, len) : MF_E_BUG;

	if (e)
		return mf_err_set(err, MF_E_IO, "cannot write down what is changed in pf: %s",
				  mf_strerror(e));
	c->has_record = true;
	return 0;
}

/* What a broker left that could not clean up. */
static int recover(struct mf_pf_control *c, struct mf_err *err)
{
	char buf[MF_PF_RECORD_MAX + 1];
	struct mf_pf_record old;
	int n = c->sys.read_record(c->sys.ctx, buf, sizeof(buf)), e;

	if (n == MF_E_NOENT)
		return 0;
	if (n < 0)
		return mf_err_set(err, MF_E_IO,
				  "cannot read the record of an earlier session's rules: %s",
				  mf_strerror(n));
	e = mf_pf_record_parse(buf, (size_t)n, &old);
	if (e) {
		/* Cut off while it was written, before any rule was loaded, or not ours at all. */
		mf_log_warning(c->log, "the record of an earlier session's pf rules is damaged");
	} else {
		mf_log_warning(c->log, "removing pf rules that an earlier session left in %s",
			       old.anchor);
		e = flush(c, old.anchor, err);
		if (!e && old.token)
			e = release(c, old.token, err);
		if (e)
			return e;
	}
	(void)c->sys.remove_record(c->sys.ctx);
	return 0;
}

static int not_named(const struct mf_pf_control *c, const char *kind, enum mf_pf_reference ref,
		     struct mf_err *err)
{
	const char *slash = strrchr(c->anchor, '/');
	int parent = slash ? (int)(slash - c->anchor) + 1 : 0;

	return mf_err_set(
		err, MF_E_UNSUPPORTED,
		"pf's main rule set does not refer to the anchor %s for every packet (%s %s): "
		"its rules would have no effect; add %s \"%.*s%s\" to /etc/pf.conf, before "
		"others of its kind, and load that",
		c->anchor, kind, mf_pf_reference_name(ref), kind,
		parent ? parent : (int)strlen(c->anchor), c->anchor, parent ? "*" : "");
}

static int check_reference(struct mf_pf_control *c, const char *kind, const char *show,
			   struct mf_err *err)
{
	const char *const args[] = { "-s", show, NULL };
	enum mf_pf_reference ref;
	struct mf_strbuf out;
	int e = run(c, "read pf's main rule set", args, NULL, &out, err);

	if (!e) {
		ref = mf_pf_output_reference(out.str ? out.str : "", out.len, kind, c->anchor);
		if (ref == MF_PF_LATE)
			mf_log_warning(c->log,
				       "pf looks at com.apple's anchors before %s: their rules may "
				       "decide first",
				       c->anchor);
		else if (ref != MF_PF_PRESENT)
			e = not_named(c, kind, ref, err);
	}
	mf_strbuf_done(&out);
	return e;
}

static int check_lo0(struct mf_pf_control *c, struct mf_err *err)
{
	const char *const args[] = { "-v", "-s", "Interfaces", "-i", "lo0", NULL };
	struct mf_strbuf out;
	int e = run(c, "read pf's interfaces", args, NULL, &out, err);

	if (!e && mf_pf_output_skips_lo0(out.str ? out.str : "", out.len))
		e = mf_err_set(
			err, MF_E_UNSUPPORTED,
			"pf skips lo0, so nothing can be redirected there: remove \"set skip on "
			"lo0\" from /etc/pf.conf, and load that");
	mf_strbuf_done(&out);
	return e;
}

static int read_enabled(struct mf_pf_control *c, bool *ret, struct mf_err *err)
{
	const char *const args[] = { "-s", "info", NULL };
	struct mf_strbuf out;
	int e = run(c, "read pf's state", args, NULL, &out, err), on;

	if (!e) {
		on = mf_pf_output_enabled(out.str ? out.str : "", out.len);
		if (on < 0)
			e = mf_err_set(err, MF_E_UNSUPPORTED,
				       "pfctl -s info does not say whether pf is on");
		*ret = on > 0;
	}
	mf_strbuf_done(&out);
	return e;
}

static int enable(struct mf_pf_control *c, struct mf_err *err)
{
	const char *const args[] = { "-E", NULL };
	struct mf_strbuf out;
	int e = run(c, "turn pf on", args, NULL, &out, err);

	if (!e && mf_pf_output_token(out.str ? out.str : "", out.len, &c->record.token))
		e = mf_err_set(err, MF_E_UNSUPPORTED, "pfctl -E does not print a reference to pf");
	mf_strbuf_done(&out);
	return e ? e : write_record(c, err);
}

static int count(struct mf_pf_control *c, const char *show, unsigned *ret, struct mf_err *err)
{
	const char *const args[] = { "-a", c->anchor, "-s", show, NULL };
	struct mf_strbuf out;
	int e = run(c, "read pf's rules", args, NULL, &out, err);

	if (!e)
		*ret = mf_pf_output_count_rules(out.str ? out.str : "", out.len);
	mf_strbuf_done(&out);
	return e;
}

/* Load the rules for good, and see that they are there. */
static int load_rules(struct mf_pf_control *c, struct mf_err *err)
{
	int e = load(c, c->text.str, false, err);

	if (!e)
		e = count(c, "nat", &c->rdr_cnt, err);
	if (!e)
		e = count(c, "rules", &c->filter_cnt, err);
	if (!e && (!c->rdr_cnt || !c->filter_cnt))
		e = mf_err_set(err, MF_E_UNSUPPORTED,
			       "pfctl has loaded rules into %s and shows none there", c->anchor);
	return e;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Questions                                                                                                          */

static bool is_listener(const struct mf_pf_control *c, const struct mf_endpoint *ep)
{
	if (!mf_addr_is_loopback(&ep->addr) && !mf_addr_eq(&ep->addr, &c->rules.loopback6))
		return false;
	for (size_t i = 0; i < c->rules.port_cnt; i++)
		if (c->ports[i].listener == ep->port)
			return true;
	return false;
}

static int look_up(struct mf_pf_control *c, const struct mf_pf_question *q, struct mf_endpoint *ret)
{
	struct mf_pf_natlook nl;
	bool loop = false, bad = false;

	for (unsigned way = 0; way < 4; way++) {
		struct mf_endpoint ep;
		int e;

		if (!mf_pf_natlook_fill(&nl, q, way))
			continue;
		e = c->sys.natlook(c->sys.ctx, &nl);
		if (e && e != MF_E_NOENT)
			bad = true;
		if (e)
			continue;
		if (mf_pf_natlook_read(&nl, &ep)) {
			bad = true;
		} else if (mf_addr_eq(&ep.addr, &q->local.addr) && ep.port == q->local.port) {
			/* Our own question said back: the other direction does so. */
			loop |= way == 0;
		} else {
			c->stats.second_way += way != 0;
			*ret = ep;
			return 0;
		}
	}
	return loop ? MF_E_PERM : bad ? MF_E_IO : MF_E_NOENT;
}

static struct mf_flow flow_of(enum mf_proto proto, const struct mf_endpoint *client,
			      const struct mf_endpoint *server)
{
	struct mf_flow f = { .src_port = client->port,
			     .dst_port = server->port,
			     .proto = proto == MF_TCP ? MF_PROTO_TCP : MF_PROTO_UDP,
			     .family = client->addr.family };

	memcpy(f.src, client->addr.bytes, sizeof(f.src));
	memcpy(f.dst, server->addr.bytes, sizeof(f.dst));
	return f;
}

static int serve_lookup(struct mf_pf_control *c, struct mf_pf_question *q, struct mf_endpoint *ret)
{
	int e;

	c->stats.lookups++;
	q->scope = c->sys.lo0_index;
	if (!is_listener(c, &q->local)) {
		c->stats.refused++;
		return MF_E_PERM;
	}
	e = look_up(c, q, ret);
	if (!e && is_listener(c, ret))
		e = MF_E_PERM;
	if (!e) {
		c->stats.found++;
		c->looked_up[c->looked_up_at++ % LOOKED_UP_MAX] = flow_of(q->proto, &q->peer, ret);
	} else if (e == MF_E_PERM) {
		c->stats.loops++;
	} else if (e == MF_E_NOENT) {
		c->stats.not_found++;
	} else {
		c->stats.failed++;
	}
	return e;
}

static int serve_owner(struct mf_pf_control *c, const struct mf_pf_question *q, uint32_t *ret)
{
	struct mf_flow f = flow_of(q->proto, &q->peer, &q->local);
	bool known = false;

	c->stats.owners++;
	for (size_t i = 0; i < LOOKED_UP_MAX && !known; i++)
		known = mf_flow_eq(&c->looked_up[i], &f);
	if (!known) {
		c->stats.refused++;
		return MF_E_PERM;
	}
	if (c->sys.find_owner(c->sys.ctx, &f, ret) || *ret == 0)
		return MF_E_NOENT;
	c->stats.owners_found++;
	return 0;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* The self-test                                                                                                      */

static struct mf_addr loopback(uint8_t family)
{
	static const uint8_t four[4] = { 127, 0, 0, 1 }, six[16] = { [15] = 1 };
	struct mf_addr a;

	mf_addr_from_bytes(&a, family == 4 ? four : six, family == 4 ? 4 : 16);
	return a;
}

static int judge_probe(struct mf_pf_control *c, uint8_t family, const struct mf_pf_probe *probe,
		       struct mf_err *err)
{
	struct mf_endpoint want = { .addr = loopback(family), .port = probe->port }, got;
	char want_text[MF_ENDPOINT_TEXT_MAX], got_text[MF_ENDPOINT_TEXT_MAX];
	struct mf_pf_question q = { 0 };
	int e = c->sys.run_probe(c->sys.ctx, family, &q);

	q.scope = c->sys.lo0_index;
	mf_endpoint_format(&want, want_text, sizeof(want_text));
	if (e)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"pf's self-test failed: a connection to %s did not arrive where the "
			"rules send it (%s)",
			want_text, mf_strerror(e));
	e = look_up(c, &q, &got);
	if (e)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"pf's self-test failed: the kernel does not tell that a connection "
			"was going to %s (%s)",
			want_text, mf_strerror(e));
	if (!mf_addr_eq(&got.addr, &want.addr) || got.port != want.port)
		return mf_err_set(
			err, MF_E_UNSUPPORTED,
			"pf's self-test failed: the kernel says that a connection to %s was "
			"going to %s",
			want_text, mf_endpoint_format(&got, got_text, sizeof(got_text)));
	return 0;
}

static int test_family(struct mf_pf_control *c, uint8_t family, struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(MF_PF_TEXT_MAX);
	struct mf_pf_rules rules = c->rules;
	struct mf_pf_probe *probe = family == 4 ? &rules.probe4 : &rules.probe6;
	struct mf_addr target = loopback(family);
	int e;

	if (family == 6 && rules.loopback6.family)
		target = rules.loopback6;
	e = c->sys.open_probe(c->sys.ctx, &target, probe);

	if (e)
		return mf_err_set(err, MF_E_IO, "cannot open sockets for pf's self-test: %s",
				  mf_strerror(e));
	e = mf_pf_rules_format(&rules, &text, err);
	if (!e)
		e = load(c, text.str, false, err);
	if (!e)
		e = judge_probe(c, family, probe, err);
	c->sys.close_probe(c->sys.ctx, family);
	mf_strbuf_done(&text);
	return e;
}

/* ------------------------------------------------------------------------------------------------------------------ */

static int start(struct mf_pf_control *c, struct mf_err *err)
{
	int e = recover(c, err);

	if (!e)
		e = check_reference(c, "rdr-anchor", "nat", err);
	if (!e)
		e = check_reference(c, "anchor", "rules", err);
	if (!e)
		e = check_lo0(c, err);
	if (!e)
		e = load(c, c->text.str, true, err);
	if (!e)
		e = read_enabled(c, &c->record.was_enabled, err);
	if (e)
		return e;
	memcpy(c->record.anchor, c->anchor, sizeof(c->anchor));
	e = write_record(c, err);
	if (!e)
		e = enable(c, err);
	if (e)
		return e;
	c->has_rules = true;
	if (c->rules.ip4)
		e = test_family(c, 4, err);
	if (!e && c->rules.ip6)
		e = test_family(c, 6, err);
	return e ? e : load_rules(c, err);
}

int mf_pf_control_start(struct mf_pf_control *c, struct mf_err *err)
{
	struct mf_err aside;
	int e;

	if (c->has_record || c->has_rules)
		return mf_err_set(err, MF_E_EXIST, "pf's rules are loaded already");
	e = start(c, err);
	if (e && mf_pf_control_stop(c, &aside))
		mf_log_error(c->log, "%s", aside.msg);
	return e;
}

int mf_pf_control_stop(struct mf_pf_control *c, struct mf_err *err)
{
	int e = 0;

	if (c->has_rules)
		e = flush(c, c->anchor, err);
	if (!e)
		c->has_rules = false;
	/* Even if rules stay: they do nothing once pf is off, and pf stays on if others want it. */
	if (c->record.token) {
		int e2 = release(c, c->record.token, e ? NULL : err);

		if (!e2)
			c->record.token = 0;
		e = e ? e : e2;
	}
	if (!e && c->has_record) {
		e = c->sys.remove_record(c->sys.ctx);
		if (e)
			return mf_err_set(err, MF_E_IO,
					  "cannot remove the record of pf's rules: %s",
					  mf_strerror(e));
		c->has_record = false;
	}
	return e;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Requests                                                                                                           */

static uint32_t check_health(struct mf_pf_control *c)
{
	const char *const list[] = { "-s", "References", NULL };
	unsigned rdr = 0, filter = 0;
	struct mf_strbuf out;
	uint32_t health = 0;
	bool on;

	if (read_enabled(c, &on, NULL) == 0 && on)
		health |= MF_PF_OK_ENABLED;
	if (run(c, "read pf's references", list, NULL, &out, NULL) == 0 && c->record.token &&
	    mf_pf_output_has_token(out.str ? out.str : "", out.len, c->record.token))
		health |= MF_PF_OK_TOKEN;
	mf_strbuf_done(&out);
	if (check_reference(c, "rdr-anchor", "nat", NULL) == 0)
		health |= MF_PF_OK_RDR;
	if (check_reference(c, "anchor", "rules", NULL) == 0)
		health |= MF_PF_OK_FILTER;
	if (check_lo0(c, NULL) == 0)
		health |= MF_PF_OK_LO0;
	if (count(c, "nat", &rdr, NULL) == 0 && count(c, "rules", &filter, NULL) == 0 &&
	    c->has_rules && rdr == c->rdr_cnt && filter == c->filter_cnt)
		health |= MF_PF_OK_RULES;
	return health;
}

int mf_pf_control_handle(struct mf_pf_control *c, const uint8_t request[static MF_PF_WIRE_LEN],
			 uint8_t answer[static MF_PF_WIRE_LEN])
{
	struct mf_pf_message m, a = { 0 };
	struct mf_err err;

	if (mf_pf_wire_decode(request, &m) || m.is_answer)
		return MF_E_BAD;
	a.kind = m.kind;
	a.is_answer = true;
	a.id = m.id;
	switch (m.kind) {
	case MF_PF_LOOKUP:
		a.status = serve_lookup(c, &m.q, &a.server);
		break;
	case MF_PF_OWNER:
		a.status = serve_owner(c, &m.q, &a.value);
		break;
	case MF_PF_CHECK:
		a.value = check_health(c);
		break;
	case MF_PF_RELOAD:
		a.status = load_rules(c, &err);
		break;
	case MF_PF_STOP:
		a.status = mf_pf_control_stop(c, &err);
		break;
	case MF_PF_REQUEST_NUM:
		return MF_E_BAD;
	}
	if (a.status && (m.kind == MF_PF_RELOAD || m.kind == MF_PF_STOP))
		mf_log_error(c->log, "%s", err.msg);
	mf_pf_wire_encode(&a, answer);
	return m.kind == MF_PF_STOP;
}

void mf_pf_control_get_stats(const struct mf_pf_control *c, struct mf_pf_stats *ret)
{
	*ret = c->stats;
}
