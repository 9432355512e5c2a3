/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_wire.h - DNS messages as bytes (RFC 1035, 2181, 2308, 6891, 7873, 8482, 8914, 9460)
 *
 * Pure and bounded: names are followed through at most MF_DNS_JUMPS_MAX pointers, which must lead backwards; a message
 * is walked once. Questions come from programs that are not trusted, answers from resolvers that are trusted no more.
 */
#ifndef MF_WIRE_DNS_WIRE_H
#define MF_WIRE_DNS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/base/addr.h"
#include "core/base/span.h"

#define MF_DNS_NAME_MAX 255 /* bytes on the wire */
#define MF_DNS_TEXT_MAX 256 /* text without the trailing dot, and its NUL */
#define MF_DNS_UDP_MIN	512
#define MF_DNS_UDP_MAX \
	1232 /* what we offer upstream and the most that we answer by UDP: no fragments */
#define MF_DNS_MESSAGE_MAX 65535
#define MF_DNS_JUMPS_MAX   32
#define MF_DNS_HEAD_LEN	   12

enum mf_dns_type {
	MF_DNS_A = 1,
	MF_DNS_CNAME = 5,
	MF_DNS_SOA = 6,
	MF_DNS_AAAA = 28,
	MF_DNS_OPT = 41,
	MF_DNS_SVCB = 64,
	MF_DNS_HTTPS = 65,
	MF_DNS_ANY = 255
};

enum mf_dns_rcode {
	MF_DNS_NOERROR = 0,
	MF_DNS_FORMERR = 1,
	MF_DNS_SERVFAIL = 2,
	MF_DNS_NXDOMAIN = 3,
	MF_DNS_NOTIMP = 4,
	MF_DNS_REFUSED = 5,
	MF_DNS_BADVERS = 16, /* from here on with EDNS only */
	MF_DNS_BADCOOKIE = 23
};

/* RFC 8914 info codes */
enum mf_dns_ede {
	MF_DNS_EDE_NONE = -1,
	MF_DNS_EDE_OTHER = 0,
	MF_DNS_EDE_STALE = 3,
	MF_DNS_EDE_FORGED = 4,
	MF_DNS_EDE_BLOCKED = 15,
	MF_DNS_EDE_FILTERED = 17,
	MF_DNS_EDE_PROHIBITED = 18,
	MF_DNS_EDE_NO_AUTHORITY = 22,
	MF_DNS_EDE_NETWORK_ERROR = 23
};

struct mf_dns_name {
	uint8_t len; /* bytes with the final zero; 0: none */
	uint8_t wire[MF_DNS_NAME_MAX];
};

/* Cookies (RFC 7873) are between two neighbours: 8 bytes of the asking side, then 8 to 32 of the answering one. */
#define MF_DNS_COOKIE_HALF 8
#define MF_DNS_COOKIE_MAX  40

struct mf_dns_cookie {
	uint8_t len; /* 0: none; 8; 16 to 40 */
	uint8_t bytes[MF_DNS_COOKIE_MAX];
};

struct mf_dns_query {
	uint16_t id, type, class;
	uint16_t udp_size;    /* what the client takes by UDP: 512 without EDNS */
	uint8_t edns_version; /* above 0: answer BADVERS */
	bool has_edns, dnssec_ok, recursion, checking_disabled, authentic_data;
	/* read: the client's own 8 bytes; written into answers: those and what the caller added behind them */
	struct mf_dns_cookie cookie;
	struct mf_dns_name name; /* letter case as sent */
};

/**
 * mf_dns_read_query() - One question of a program
 * Return: 0; MF_E_BAD (not a query, truncated, bad name; @ret->id is set if two bytes were there);
 *         MF_E_UNSUPPORTED (an opcode other than QUERY, several questions or none: answer NOTIMP or FORMERR)
 */
int mf_dns_read_query(struct mf_span msg, struct mf_dns_query *ret);

/**
 * mf_dns_format_name() - "www.example" of a wire name; the root is "."
 * Return: 0 or MF_E_SYNTAX: a label with a byte that is no printable ASCII, a dot, a backslash or a space
 */
int mf_dns_format_name(const struct mf_dns_name *name, char *ret, size_t size);
/** mf_dns_parse_name() - Wire form of text; Return: 0 or MF_E_SYNTAX */
int mf_dns_parse_name(const char *text, struct mf_dns_name *ret);
/** mf_dns_name_eq() - Equal but for ASCII letter case */
bool mf_dns_name_eq(const struct mf_dns_name *a, const struct mf_dns_name *b);
/** mf_dns_type_format() - "A", "HTTPS", "TYPE65280" (RFC 3597); Return: @buf of at least 12 bytes */
const char *mf_dns_type_format(uint16_t type, char *buf, size_t size);
/** mf_dns_type_parse() - The other way, in any letter case, also a number; Return: the type or MF_E_SYNTAX */
int mf_dns_type_parse(const char *text);
const char *mf_dns_class_format(uint16_t class, char *buf, size_t size);
/** mf_dns_rcode_name() - "NXDOMAIN"; "RCODE" for one without a name */
const char *mf_dns_rcode_name(unsigned rcode);

/* What a synthetic answer says. Zero: an empty NOERROR answer. */
struct mf_dns_answer {
	enum mf_dns_rcode rcode;
	const struct mf_addr *addrs; /* those of the asked type's family are used */
	size_t addr_cnt;
	const struct mf_dns_name *cname; /* or NULL */
	uint32_t ttl_s;
	enum mf_dns_ede ede;  /* MF_DNS_EDE_NONE for none */
	const char *ede_text; /* or NULL; cut at 200 bytes */
	bool soa;	      /* an SOA for negative caching where there are no records */
	bool authoritative;
};

/**
 * mf_dns_write_answer() - Answer a question ourselves
 * @cap: size of @out; over @limit (the client's UDP size, or MF_DNS_MESSAGE_MAX) the answer is truncated with TC set
 * Return: bytes written, or MF_E_LIMIT when not even the question fits
 */
int mf_dns_write_answer(const struct mf_dns_query *q, const struct mf_dns_answer *a, uint8_t *out,
			size_t cap, size_t limit);

/**
 * mf_dns_write_query() - A clean question for an upstream: header, question, and OPT with our size, nothing else
 * @id: of the new message. Whatever else the program put into its message does not leave, its cookie neither.
 * @cookie: ours for this upstream, or NULL
 * Return: bytes written (at most MF_DNS_QUERY_MAX), or MF_E_LIMIT
 */
int mf_dns_write_query(const struct mf_dns_query *q, uint16_t id,
		       const struct mf_dns_cookie *cookie, uint8_t *out, size_t cap);
#define MF_DNS_QUERY_MAX (12 + MF_DNS_NAME_MAX + 4 + 11 + 4 + MF_DNS_COOKIE_MAX)

/* What a message's OPT says; all zero without one. */
struct mf_dns_opt {
	bool found;
	uint8_t rcode_high; /* bits 4 to 11 of the response code */
	uint8_t version;
	struct mf_dns_cookie cookie;
};

/** mf_dns_read_opt() - Return: 0, or MF_E_BAD (cut, two OPTs, a cookie of an impossible length) */
int mf_dns_read_opt(struct mf_span msg, struct mf_dns_opt *ret);

/* One record of the answer section. */
struct mf_dns_record {
	struct mf_dns_name owner;
	uint16_t type, class;
	uint32_t ttl_s;
	struct mf_span data;	   /* in the message */
	struct mf_dns_name target; /* CNAME */
	struct mf_addr addr;	   /* A, AAAA */
};

/* A response being walked. */
struct mf_dns_walk {
	struct mf_span msg;
	size_t pos;
	uint16_t answers_left;
	uint8_t rcode;
	bool truncated;
};

/**
 * mf_dns_begin_walk() - Check that @msg answers @q: id, response bit, opcode, the very question
 * Letter case of the name is not compared (0x20).
 * Return: 0; MF_E_NOT_MINE (another id or question: keep waiting); MF_E_BAD
 */
int mf_dns_begin_walk(struct mf_span msg, const struct mf_dns_query *q, uint16_t id,
		      struct mf_dns_walk *ret);
/** mf_dns_next_record() - The next answer record; Return: 1, 0 at the end, MF_E_BAD */
int mf_dns_next_record(struct mf_dns_walk *walk, struct mf_dns_record *ret);

/**
 * mf_dns_copy_response() - What an upstream said, made fit for the client
 * Copies header flags, the client's own question, and the records of the answer and authority sections with names
 * uncompressed where they are known to be compressible, drops ech, ipv4hint and ipv6hint from SVCB and HTTPS records
 * (P74; a record that makes one of them mandatory is dropped whole), cuts TTLs over their limit, and puts a fresh OPT.
 * Over @limit: the question with TC.
 * Return: bytes written; MF_E_BAD for a malformed response; MF_E_LIMIT
 */
struct mf_dns_copy {
	uint32_t ttl_max_s;
	enum mf_dns_ede ede; /* MF_DNS_EDE_NONE for none */
	const char *ede_text;
	/* A and AAAA records to leave out, or NULL: those for which it says true */
	bool (*drops)(void *ctx, const struct mf_addr *addr);
	void *drops_ctx;
};
int mf_dns_copy_response(struct mf_span msg, const struct mf_dns_query *q,
			 const struct mf_dns_copy *how, uint8_t *out, size_t cap, size_t limit);

/**
 * mf_dns_lifetime() - For how long a response may be kept: the smallest TTL of its answers; of a negative one its SOA's
 * (RFC 2308)
 * Return: seconds, at most @ttl_max_s; 0: not at all (an error, truncated, negative without SOA); MF_E_BAD
 */
int mf_dns_lifetime(struct mf_span msg, uint16_t qtype, uint32_t ttl_max_s);

/** mf_dns_set_age() - Count every TTL of a kept response down by @age_s, to no less than @ttl_min_s; Return: 0, MF_E_BAD */
int mf_dns_set_age(uint8_t *msg, size_t len, uint32_t age_s, uint32_t ttl_min_s);

#endif
