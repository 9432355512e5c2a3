/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf.h - macOS: flows redirected to our listeners by pf(4), and where they were going; docs/macos.md is the map
 *
 *	struct mf_pf_ports https = { .proto = MF_TCP, .first = 443, .last = 443, .listener = 8443 };
 *	struct mf_pf_options o = { .size = sizeof(o), .rules = { .anchor = MF_PF_ANCHOR, .ports = &https, .port_cnt = 1,
 *				   .proxy_user = uid, .ip4 = true, .ip6 = true } };
 *	struct mf_pf *pf;
 *
 *	mf_pf_start(&o, &pf, &err);           // as root: starts the broker, which loads the rules
 *	mf_pf_become_user(uid, gid, &err);    // the proxies run without privileges
 *	... proxy options: .find_flow = mf_pf_find_flow, .find_flow_ctx = pf
 *	mf_pf_stop(pf, &err);
 *
 * How it works
 *
 * A flow of this machine leaves through en0, say. A filter rule there sends it to lo0 instead, where it comes in again;
 * a translation rule on lo0 changes its destination to a listener of ours. What that destination was the kernel tells in
 * answer to the ioctl DIOCNATLOOK, but only to root, at every call. So a small process keeps the privileges, the broker:
 * it owns the rules and answers questions over a socket pair. The proxies run as a user of their own, and one rule
 * lets what this user sends go out.
 *
 * Rules are owned. They stand in one anchor, which holds nothing else, are loaded in one transaction by /sbin/pfctl (fixed
 * arguments, text on its standard input, no shell), and go when the proxies end or die; a record on disk lets the next
 * start remove what a broker that was killed left behind. pf is turned on by reference (-E and -X), never on or off
 * for everybody.
 *
 * What is in pf_darwin.c has been compiled for macOS and never been run there; all the rest is pure and runs in the tests
 * of every system.
 */
#ifndef MF_CAPTURE_PF_H
#define MF_CAPTURE_PF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/pf_abi_darwin.h"
#include "core/base/addr.h"
#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/strbuf.h"
#include "core/packet/flow.h"
#include "core/policy/session.h"

/* ------------------------------------------------------------------------------------------------------------------ */
/* Rules (pf_rules.c)                                                                                                 */

/*
 * The main rule set that macOS comes with refers to all anchors below com.apple and to no others; those are looked through
 * in the order of their names, and Apple's begin with 200. An anchor elsewhere is never looked at unless pf.conf names it.
 */
#define MF_PF_ANCHOR	     "com.apple/050.moonfence"
#define MF_PF_ANCHOR_MAX     64 /* bytes, without NUL */
#define MF_PF_PORTS_MAX	     16
#define MF_PF_INTERFACES_MAX 8
#define MF_PF_USERS_MAX	     8
#define MF_PF_ALIASES_MAX    8
#define MF_PF_TEXT_MAX	     (256u << 10) /* bytes of rules */

/* Which ports go to which listener of ours, on 127.0.0.1 and ::1. */
struct mf_pf_ports {
	enum mf_proto proto;
	uint16_t first, last; /* of the server, 1 to 65535 */
	uint16_t listener;
};

/* An address of this machine; who connects to it from elsewhere is redirected as well. */
struct mf_pf_alias {
	const char *interface; /* "en0" */
	struct mf_addr addr;
};

/* The rule that the self-test needs, for one family: from loopback port @port to @listener. 0 for none. */
struct mf_pf_probe {
	uint16_t port, listener;
};

struct mf_pf_rules {
	const char *anchor;
	const struct mf_pf_ports *ports;
	size_t port_cnt; /* 1 to MF_PF_PORTS_MAX */
	const char *const
		*interfaces; /* through which flows of this machine leave; none: all but lo0 */
	size_t interface_cnt;
	const uint32_t *users; /* whose flows are redirected; none: everybody's but the proxies' */
	size_t user_cnt;
	uint32_t
		proxy_user; /* whose flows are not; never 0, which would let all of root's traffic out */
	const struct mf_pf_alias *aliases;
	size_t alias_cnt;
	bool ip4, ip6;
	/*
	 * Refuse UDP to ports of which TCP is redirected and UDP is not (ICMP port unreachable), so that programs that
	 * prefer QUIC take TCP.
	 */
	bool refuse_udp;
	/* Where IPv6 flows are sent to: ::1, or fe80::1, which some have found necessary. Family 0: ::1 */
	struct mf_addr loopback6;
	struct mf_pf_probe probe4, probe6;
};

/**
 * mf_pf_rules_format() - The text of the anchor, translation first, as pf.conf(5) wants it
 * Every value is checked against what it may be and written by us: no text from outside gets in but names of interfaces,
 * which are a few letters and digits.
 * @ret: emptied first
 * Return: 0, MF_E_INVAL (the text says what), MF_E_NOMEM
 */
int mf_pf_rules_format(const struct mf_pf_rules *rules, struct mf_strbuf *ret, struct mf_err *err);

/** mf_pf_anchor_is_valid() - Components of letters, digits, dots, - and _, none of them special to pf or pfctl */
bool mf_pf_anchor_is_valid(const char *anchor);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Questions to the kernel (pf_natlook.c)                                                                             */

/* Where an accepted connection, or a datagram, comes from and where it arrived, as its socket says. */
struct mf_pf_question {
	enum mf_proto proto;
	struct mf_endpoint peer, local;
	uint32_t
		scope; /* index of lo0, for the kernel's own form of link-local addresses; 0: not known */
};

/**
 * mf_pf_natlook_fill() - The @attempt-th way to ask, from 0: the state of a redirected flow is found as going out; then
 * the other direction, then both with the scope written into link-local addresses, as the kernel keeps them
 * Return: false when there is no such way, or the question is none (families differ, a port is 0)
 */
bool mf_pf_natlook_fill(struct mf_pf_natlook *nl, const struct mf_pf_question *q, unsigned attempt);

/**
 * mf_pf_natlook_read() - The kernel's answer
 * Scopes are taken out of link-local addresses.
 * Return: 0; MF_E_BAD: no address and port that anybody can dial
 */
int mf_pf_natlook_read(const struct mf_pf_natlook *nl, struct mf_endpoint *ret);

/* ------------------------------------------------------------------------------------------------------------------ */
/* What pfctl prints (pf_output.c). Text may be anything; none of these reads past @len.                              */

/** mf_pf_output_token() - The reference that "pfctl -E" prints. Return: 0, MF_E_BAD */
int mf_pf_output_token(const char *text, size_t len, uint64_t *ret);

/** mf_pf_output_has_token() - Whether "pfctl -s References" lists it */
bool mf_pf_output_has_token(const char *text, size_t len, uint64_t token);

/** mf_pf_output_enabled() - "pfctl -s info". Return: 1 on, 0 off, MF_E_BAD */
int mf_pf_output_enabled(const char *text, size_t len);

/* How the main rule set refers to an anchor. */
enum mf_pf_reference {
	MF_PF_MISSING,	   /* not at all: its rules have no effect */
	MF_PF_CONDITIONAL, /* for some packets only */
	MF_PF_LATE,	   /* after com.apple's anchors, whose rules may decide first */
	MF_PF_PRESENT,
	MF_PF_REFERENCE_NUM
};

/**
 * mf_pf_output_reference() - Look for @anchor in "pfctl -s nat" or "pfctl -s rules"
 * @kind: "rdr-anchor" or "anchor"
 */
enum mf_pf_reference mf_pf_output_reference(const char *text, size_t len, const char *kind,
					    const char *anchor);
const char *mf_pf_reference_name(enum mf_pf_reference reference);

/** mf_pf_output_skips_lo0() - "pfctl -v -s Interfaces -i lo0": "set skip on lo0" turns all rules off there */
bool mf_pf_output_skips_lo0(const char *text, size_t len);

/** mf_pf_output_count_rules() - Rules in "pfctl -a ANCHOR -s nat" or "-s rules", warnings not counted */
unsigned mf_pf_output_count_rules(const char *text, size_t len);

/* ------------------------------------------------------------------------------------------------------------------ */
/* The record of what we changed (pf_record.c)                                                                        */

#define MF_PF_RECORD_MAX 512 /* bytes of its text */

struct mf_pf_record {
	char anchor[MF_PF_ANCHOR_MAX + 1]; /* holds our rules */
	uint64_t token;			   /* our reference; 0: none yet */
	bool was_enabled;		   /* whether pf was on before */
};

/** mf_pf_record_format() - Return: length without NUL, 0 if @room (MF_PF_RECORD_MAX is enough) does not do */
size_t mf_pf_record_format(const struct mf_pf_record *r, char *buf, size_t room);
/** mf_pf_record_parse() - Strict: a record that we did not write is not acted upon. Return: 0, MF_E_BAD */
int mf_pf_record_parse(const char *text, size_t len, struct mf_pf_record *ret);

/* ------------------------------------------------------------------------------------------------------------------ */
/* Messages between proxies and broker (pf_wire.c): one request, one answer, 64 bytes each                            */

#define MF_PF_WIRE_LEN 64

enum mf_pf_request {
	MF_PF_LOOKUP, /* where was this flow going? */
	MF_PF_OWNER,  /* which process has the client's end? Of flows looked up lately only */
	MF_PF_CHECK,  /* is all still as we left it? */
	MF_PF_RELOAD, /* load the rules again: addresses of this machine have changed */
	MF_PF_STOP,   /* remove everything and end */
	MF_PF_REQUEST_NUM
};

/* What MF_PF_CHECK finds; all of them set is health. */
#define MF_PF_OK_ENABLED 0x01 /* pf is on */
#define MF_PF_OK_TOKEN	 0x02 /* our reference is there */
#define MF_PF_OK_RDR	 0x04 /* the main rule set refers to our translation rules */
#define MF_PF_OK_FILTER	 0x08 /* and to our filter rules */
#define MF_PF_OK_LO0	 0x10 /* lo0 is not skipped */
#define MF_PF_OK_RULES	 0x20 /* as many rules as we loaded */
#define MF_PF_OK_ALL	 0x3f

struct mf_pf_message {
	enum mf_pf_request kind;
	bool is_answer;
	uint64_t id; /* of the request; its answer has the same */
	/* LOOKUP; OWNER: peer is the client, local the server that it meant. The scope is not sent. */
	struct mf_pf_question q;
	int status;		   /* answers: 0 or MF_E_* */
	struct mf_endpoint server; /* answer to LOOKUP with status 0 */
	uint32_t value; /* answer to CHECK: MF_PF_OK_...; to OWNER with status 0: the process id */
};

void mf_pf_wire_encode(const struct mf_pf_message *m, uint8_t buf[static MF_PF_WIRE_LEN]);
/** mf_pf_wire_decode() - Every byte counts. Return: 0, MF_E_BAD */
int mf_pf_wire_decode(const uint8_t buf[static MF_PF_WIRE_LEN], struct mf_pf_message *ret);

/* ------------------------------------------------------------------------------------------------------------------ */
/* The broker's work (pf_control.c), over what the system must do for it                                              */

struct mf_pf_system {
	/**
	 * pfctl() - Run /sbin/pfctl
	 * @args: NULL-terminated, without the program's name
	 * @input: for its standard input, NULL for none
	 * @ret_output: what it printed, both streams, is added
	 * Return: its exit status, or MF_E_*
	 */
	int (*pfctl)(void *ctx, const char *const *args, const char *input,
		     struct mf_strbuf *ret_output);
	/* DIOCNATLOOK. Return: 0, MF_E_NOENT (no such state), MF_E_INVAL (the kernel does not like the question), MF_E_IO */
	int (*natlook)(void *ctx, struct mf_pf_natlook *nl);
	/* Who owns the local end (src) of @flow, by the system's tables. Return: 0, MF_E_NOENT */
	int (*find_owner)(void *ctx, const struct mf_flow *flow, uint32_t *ret_pid);
	/* The record. Return: length or 0; MF_E_NOENT, MF_E_PERM (not ours to read), MF_E_IO */
	int (*read_record)(void *ctx, char *buf, size_t room);
	int (*write_record)(void *ctx, const char *text, size_t len);
	int (*remove_record)(void *ctx);
	/* Self-test: reserve a port of loopback that nobody listens at, and open a listener on @target, where flows are sent. */
	int (*open_probe)(void *ctx, const struct mf_addr *target, struct mf_pf_probe *ret);
	/* Connect to the probe's port, accept at its listener; who is it? Return: 0, MF_E_TIME (nothing came), MF_E_IO */
	int (*run_probe)(void *ctx, uint8_t family, struct mf_pf_question *ret);
	void (*close_probe)(void *ctx, uint8_t family);
	uint32_t lo0_index; /* the interface's number, 0 if it is not known */
	void *ctx;
};

struct mf_pf_control;

/**
 * mf_pf_control_new() - Check the options and make the rules; touches nothing
 * @rules: read now, not kept; its probes are ignored
 * @system: copied
 * Return: 0, MF_E_INVAL, MF_E_NOMEM
 */
int mf_pf_control_new(const struct mf_pf_rules *rules, const struct mf_pf_system *system,
		      const struct mf_log *log, struct mf_pf_control **ret, struct mf_err *err);
void mf_pf_control_free(struct mf_pf_control *c);

/**
 * mf_pf_control_start() - Remove what an earlier broker left, look whether the rules would have effect, load them, turn pf
 * on, and see by a connection to ourselves that the kernel answers as we understand it
 * Return: 0; on failure all is as before: MF_E_UNSUPPORTED (the main rule set does not name the anchor, lo0 is skipped,
 * the self-test went wrong), MF_E_IO
 */
int mf_pf_control_start(struct mf_pf_control *c, struct mf_err *err);

/** mf_pf_control_stop() - Remove all; what cannot be removed stays in the record. Return: 0, MF_E_IO */
int mf_pf_control_stop(struct mf_pf_control *c, struct mf_err *err);

/**
 * mf_pf_control_handle() - Serve one request of the proxies
 * Looks up flows that arrived at our own listeners only: whoever takes over a proxy learns nothing of others.
 * Return: 0; 1: answered, and the broker is to end; MF_E_BAD: not a request, end without an answer
 */
int mf_pf_control_handle(struct mf_pf_control *c, const uint8_t request[static MF_PF_WIRE_LEN],
			 uint8_t answer[static MF_PF_WIRE_LEN]);

struct mf_pf_stats {
	uint64_t lookups, found, not_found;
	uint64_t second_way; /* found by another than the first way to ask */
	uint64_t loops;	     /* the original destination was a listener of ours: refused */
	uint64_t refused;    /* not about our listeners */
	uint64_t failed;     /* the kernel refused, or said what makes no sense */
	uint64_t owners, owners_found;
};
void mf_pf_control_get_stats(const struct mf_pf_control *c, struct mf_pf_stats *ret);

/* ------------------------------------------------------------------------------------------------------------------ */
/* The backend (pf_darwin.c): macOS only. One thread at a time.                                                       */

struct mf_pf_options {
	size_t size; /* of this struct */
	struct mf_pf_rules rules;
	const char *record_path;  /* NULL: "/var/run/moonfence-pf" */
	const struct mf_log *log; /* of the proxies' side; may be NULL */
};

struct mf_pf;

/**
 * mf_pf_start() - As root, before other threads: fork the broker and wait until rules are loaded and proven
 * Return: 0, what mf_pf_control_new() and mf_pf_control_start() say, MF_E_PERM (not root)
 */
int mf_pf_start(const struct mf_pf_options *options, struct mf_pf **ret, struct mf_err *err);

/** mf_pf_become_user() - Give root up for good. Return: 0, MF_E_PERM */
int mf_pf_become_user(uint32_t uid, uint32_t gid, struct mf_err *err);

/**
 * mf_pf_find_flow() - Where a connection or datagram was going; the shape that proxies ask in
 * @pf: the struct mf_pf
 * Cost: a round trip to the broker, at most a second
 * Return: 0; MF_E_NOENT (pf knows no such flow: a direct connection), MF_E_PERM (a loop), MF_E_TIME, MF_E_CLOSED (the
 *	broker is gone)
 */
int mf_pf_find_flow(void *pf, enum mf_proto proto, const struct mf_endpoint *peer,
		    const struct mf_endpoint *local, struct mf_session_flow *ret);

/** mf_pf_check() - Health; Return: 0 with *ret_health, MF_E_CLOSED */
int mf_pf_check(struct mf_pf *pf, uint32_t *ret_health);
/** mf_pf_reload() - After addresses of this machine changed. Return: 0, MF_E_IO, MF_E_CLOSED */
int mf_pf_reload(struct mf_pf *pf);

/** mf_pf_fd() - Readable when the broker has gone, with what it did; borrowed */
int mf_pf_fd(const struct mf_pf *pf);

/** mf_pf_stop() - Have the broker remove everything, and wait for it; NULL is fine. Return: 0, MF_E_IO, MF_E_CLOSED */
int mf_pf_stop(struct mf_pf *pf, struct mf_err *err);

/**
 * mf_pf_find_process() - mf_session_ops.find_process: who owns the client end of @flow, which mf_pf_find_flow() told
 * The arguments are there for processes of the proxies' own user only.
 * Return: 0, MF_E_NOENT
 */
int mf_pf_find_process(void *pf, const struct mf_session_flow *flow, struct mf_process *ret);

#endif
