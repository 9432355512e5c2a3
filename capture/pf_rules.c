/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_rules.c - the text of our anchor
 *
 * Order matters. Of translation rules the first match counts: what stays on this machine must not be touched, for the
 * answers of our own listeners come in through lo0 as well and would else be redirected again, back to the listener. Of
 * filter rules the last match counts, but for quick ones: all of ours are.
 */
#include <stdio.h>
#include <string.h>

#include "capture/pf.h"

#define USER_NONE UINT32_MAX /* what pf calls "unknown" */

/* ------------------------------------------------------------------------------------------------------------------ */
/* Checks                                                                                                             */

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '.' || c == '_' || c == '-';
}

/* pf keeps names that begin with _ for itself; pfctl would take a - for an option. */
bool mf_pf_anchor_is_valid(const char *anchor)
{
	size_t len = strnlen(anchor, MF_PF_ANCHOR_MAX + 1);
	bool begins = true;

	if (len == 0 || len > MF_PF_ANCHOR_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = anchor[i];

		if (c == '/' ? begins : !is_word(c))
			return false;
		if (begins && (c == '_' || c == '-' || c == '.'))
			return false;
		begins = c == '/';
	}
	return !begins;
}

/*
 * Letters, then a number: every device of macOS has such a name ("en0", "utun3", "bridge100"), and no word of pf.conf(5)
 * but one.
 */
static bool is_interface(const char *name)
{
	size_t letters = 0, digits = 0;

	while (letters < 12 && name[letters] >= 'a' && name[letters] <= 'z')
		letters++;
	while (digits < 3 && name[letters + digits] >= '0' && name[letters + digits] <= '9')
		digits++;
	return letters && digits && !name[letters + digits] && strcmp(name, "inet6") != 0;
}

static int check_interface(const char *name, struct mf_err *err)
{
	if (!name || !is_interface(name))
		return mf_err_set(err, MF_E_INVAL,
				  "\"%.32s\" is not the name of a network interface",
				  name ? name : "");
	if (strcmp(name, "lo0") == 0)
		return mf_err_set(err, MF_E_INVAL,
				  "flows are not redirected on their way out through lo0");
	return 0;
}

static int check_ports(const struct mf_pf_rules *r, struct mf_err *err)
{
	if (r->port_cnt == 0 || r->port_cnt > MF_PF_PORTS_MAX)
		return mf_err_set(err, MF_E_INVAL, "1 to %d ranges of ports can be redirected",
				  MF_PF_PORTS_MAX);
	for (size_t i = 0; i < r->port_cnt; i++) {
		const struct mf_pf_ports *p = &r->ports[i];

		if (p->proto != MF_TCP && p->proto != MF_UDP)
			return mf_err_set(err, MF_E_INVAL, "only TCP and UDP can be redirected");
		if (p->first == 0 || p->first > p->last || p->listener == 0)
			return mf_err_set(err, MF_E_INVAL,
					  "ports %u to %u cannot be redirected to port %u",
					  p->first, p->last, p->listener);
		for (size_t k = 0; k < i; k++)
			if (r->ports[k].proto == p->proto && r->ports[k].first <= p->last &&
			    p->first <= r->ports[k].last)
				return mf_err_set(err, MF_E_INVAL,
						  "ports %u to %u are to be redirected twice",
						  p->first, p->last);
	}
	return 0;
}

static int check_users(const struct mf_pf_rules *r, struct mf_err *err)
{
	if (r->proxy_user == 0 || r->proxy_user == USER_NONE)
		return mf_err_set(
			err, MF_E_INVAL,
			"the proxies need a user of their own: what their user sends is not "
			"redirected, and user %u cannot be that one",
			(unsigned)r->proxy_user);
	if (r->user_cnt > MF_PF_USERS_MAX)
		return mf_err_set(err, MF_E_INVAL, "at most %d users can be redirected",
				  MF_PF_USERS_MAX);
	for (size_t i = 0; i < r->user_cnt; i++)
		if (r->users[i] == r->proxy_user || r->users[i] == USER_NONE)
			return mf_err_set(err, MF_E_INVAL, "flows of user %u cannot be redirected",
					  (unsigned)r->users[i]);
	return 0;
}

static bool is_link_local6(const struct mf_addr *a)
{
	return a->family == 6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

static bool is_unspecified(const struct mf_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

static int check_alias(const struct mf_pf_rules *r, const struct mf_pf_alias *a, struct mf_err *err)
{
	char text[MF_ADDR_TEXT_MAX];
	int e = check_interface(a->interface, err);

	if (e)
		return e;
	if (!(a->addr.family == 4 && r->ip4) && !(a->addr.family == 6 && r->ip6))
		return mf_err_set(err, MF_E_INVAL, "an address on %s is of a family not redirected",
				  a->interface);
	/* A link-local one means something only with its interface, and pf would want to be told that, too. */
	if (is_unspecified(&a->addr) || mf_addr_is_loopback(&a->addr) ||
	    mf_addr_is_multicast(&a->addr) || is_link_local6(&a->addr))
		return mf_err_set(err, MF_E_INVAL, "%s on %s is no address that others connect to",
				  mf_addr_format(&a->addr, text, sizeof(text)), a->interface);
	return 0;
}

static int check_loopback6(const struct mf_addr *a, struct mf_err *err)
{
	static const uint8_t link_local[16] = { 0xfe, 0x80, [15] = 1 };

	if (a->family == 0 || (a->family == 6 && mf_addr_is_loopback(a)) ||
	    (a->family == 6 && memcmp(a->bytes, link_local, sizeof(link_local)) == 0))
		return 0;
	return mf_err_set(err, MF_E_INVAL, "IPv6 flows can be sent to ::1 or fe80::1 only");
}

static int check_probe(const struct mf_pf_probe *p, struct mf_err *err)
{
	if ((p->port == 0) == (p->listener == 0) && (p->port == 0 || p->port != p->listener))
		return 0;
	return mf_err_set(err, MF_E_INVAL, "the self-test cannot go from port %u to port %u",
			  p->port, p->listener);
}

static int check(const struct mf_pf_rules *r, struct mf_err *err)
{
	int e;

	if (!r->anchor || !mf_pf_anchor_is_valid(r->anchor))
		return mf_err_set(err, MF_E_INVAL, "\"%.80s\" cannot be the name of a pf anchor",
				  r->anchor ? r->anchor : "");
	if (!r->ip4 && !r->ip6)
		return mf_err_set(err, MF_E_INVAL, "neither IPv4 nor IPv6 is to be redirected");
	e = check_ports(r, err);
	if (!e)
		e = check_users(r, err);
	if (!e)
		e = check_loopback6(&r->loopback6, err);
	if (!e)
		e = check_probe(&r->probe4, err);
	if (!e)
		e = check_probe(&r->probe6, err);
	if (!e && (r->interface_cnt > MF_PF_INTERFACES_MAX || r->alias_cnt > MF_PF_ALIASES_MAX))
		e = mf_err_set(err, MF_E_INVAL, "at most %d interfaces and %d addresses",
			       MF_PF_INTERFACES_MAX, MF_PF_ALIASES_MAX);
	for (size_t i = 0; !e && i < r->interface_cnt; i++)
		e = check_interface(r->interfaces[i], err);
	for (size_t i = 0; !e && i < r->alias_cnt; i++)
		e = check_alias(r, &r->aliases[i], err);
	return e;
}

/* ------------------------------------------------------------------------------------------------------------------ */
/* Text                                                                                                               */

/* One family's words. */
struct family {
	uint8_t number;
	const char *name, *loopback, *target;
	const struct mf_pf_probe *probe;
};

static const char *proto_name(enum mf_proto proto)
{
	return proto == MF_TCP ? "tcp" : "udp";
}

static const char *range_text(const struct mf_pf_ports *p, char buf[static 16])
{
	if (p->first == p->last)
		snprintf(buf, 16, "%u", p->first);
	else
		snprintf(buf, 16, "%u:%u", p->first, p->last);
	return buf;
}

static void add_translation(struct mf_strbuf *b, const struct mf_pf_rules *r,
			    const struct family *f)
{
	bool tcp = false, udp = false;
	char range[16], addr[MF_ADDR_TEXT_MAX];

	if (f->probe->port)
		mf_strbuf_addf(
			b, "rdr pass on lo0 %s proto tcp from any to %s port %u -> %s port %u\n",
			f->name, f->loopback, f->probe->port, f->target, f->probe->listener);
	for (size_t i = 0; i < r->port_cnt; i++) {
		tcp |= r->ports[i].proto == MF_TCP;
		udp |= r->ports[i].proto == MF_UDP;
	}
	if (tcp)
		mf_strbuf_addf(b, "no rdr on lo0 %s proto tcp from any to self\n", f->name);
	if (udp)
		mf_strbuf_addf(b, "no rdr on lo0 %s proto udp from any to self\n", f->name);
	for (size_t i = 0; i < r->port_cnt; i++) {
		const struct mf_pf_ports *p = &r->ports[i];

		mf_strbuf_addf(
			b, "rdr pass on lo0 %s proto %s from any to any port %s -> %s port %u\n",
			f->name, proto_name(p->proto), range_text(p, range), f->target,
			p->listener);
		for (size_t k = 0; k < r->alias_cnt; k++)
			if (r->aliases[k].addr.family == f->number)
				mf_strbuf_addf(
					b,
					"rdr pass on %s %s proto %s from any to %s port %s -> %s "
					"port %u\n",
					r->aliases[k].interface, f->name, proto_name(p->proto),
					mf_addr_format(&r->aliases[k].addr, addr, sizeof(addr)),
					range, f->target, p->listener);
	}
}

/* Whose flows: " user { 501, 502 }", or everybody's. */
static void add_users(struct mf_strbuf *b, const struct mf_pf_rules *r)
{
	for (size_t i = 0; i < r->user_cnt; i++)
		mf_strbuf_addf(b, "%s%u", i ? ", " : " user { ", (unsigned)r->users[i]);
	if (r->user_cnt)
		mf_strbuf_adds(b, " }");
}

/* The rules of one interface, of all but lo0 where @interface is NULL. */
static void add_way_out(struct mf_strbuf *b, const struct mf_pf_rules *r, const struct family *f,
			const char *interface)
{
	const char *on = interface ? interface : "! lo0";
	char range[16];

	for (size_t i = 0; i < r->port_cnt; i++) {
		const struct mf_pf_ports *p = &r->ports[i];

		mf_strbuf_addf(
			b, "pass out quick on %s route-to lo0 %s proto %s from any to any port %s",
			on, f->name, proto_name(p->proto), range_text(p, range));
		add_users(b, r);
		mf_strbuf_adds(b, " keep state\n");
	}
	for (size_t i = 0; r->refuse_udp && i < r->port_cnt; i++) {
		if (r->ports[i].proto != MF_TCP)
			continue;
		mf_strbuf_addf(b,
			       "block return out quick on %s %s proto udp from any to any port %s",
			       on, f->name, range_text(&r->ports[i], range));
		if (r->user_cnt)
			add_users(b, r);
		else
			mf_strbuf_addf(b, " user != %u", (unsigned)r->proxy_user);
		mf_strbuf_addc(b, '\n');
	}
}

static void add_filter(struct mf_strbuf *b, const struct mf_pf_rules *r, const struct family *f)
{
	char range[16];

	for (size_t i = 0; i < r->port_cnt; i++)
		mf_strbuf_addf(b, "pass out quick %s proto %s from any to any port %s user %u\n",
			       f->name, proto_name(r->ports[i].proto),
			       range_text(&r->ports[i], range), (unsigned)r->proxy_user);
	for (size_t i = 0; i < r->interface_cnt; i++)
		add_way_out(b, r, f, r->interfaces[i]);
	if (!r->interface_cnt)
		add_way_out(b, r, f, NULL);
}

int mf_pf_rules_format(const struct mf_pf_rules *r, struct mf_strbuf *ret, struct mf_err *err)
{
	char loopback6[MF_ADDR_TEXT_MAX] = "::1";
	struct family families[] = {
		{ 4, "inet", "127.0.0.1", "127.0.0.1", &r->probe4 },
		{ 6, "inet6", "::1", loopback6, &r->probe6 },
	};
	bool wanted[] = { r->ip4, r->ip6 };
	int e = check(r, err);

	mf_strbuf_clear(ret);
	if (e)
		return e;
	if (r->loopback6.family)
		mf_addr_format(&r->loopback6, loopback6, sizeof(loopback6));
	mf_strbuf_adds(ret, "# Made by moonfence, and removed when it ends.\n");
	for (size_t i = 0; i < MF_ARRAY_SIZE(families); i++)
		if (wanted[i])
			add_translation(ret, r, &families[i]);
	for (size_t i = 0; i < MF_ARRAY_SIZE(families); i++)
		if (wanted[i])
			add_filter(ret, r, &families[i]);
	return ret->failed ? mf_err_set(err, MF_E_NOMEM, "out of memory for pf's rules") : 0;
}
