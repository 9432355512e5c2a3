/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner_table.h - which process owns the local end of a flow, by the system's own tables of sockets (W17)
 *
 * For systems that do not say whose a packet is. The tables come from a source, so that what they may hold is tested with
 * tables of our own (wine, for one, has no owners in its IPv6 TCP table); mf_owner_source_system is the system's. Finding
 * the row of a flow in a table, with wildcards and dual-stack sockets, is the same for all.
 *
 *	struct mf_owner_table *t;
 *
 *	mf_owner_table_new(&mf_owner_source_system, &t, &err);
 *	if (mf_owner_table_find(t, &flow, now_ns, &pid) == 0) ...
 *
 * Threads: a table belongs to one thread; a source may be read by several at once.
 */
#ifndef MF_CAPTURE_OWNER_TABLE_H
#define MF_CAPTURE_OWNER_TABLE_H

#include "core/base/err.h"
#include "core/packet/flow.h"

/* A host with more sockets than this: those behind are not found, and the read is counted as cut. */
#define MF_OWNER_ROWS_MAX 131072
/* A table is read again at most this often ... */
#define MF_OWNER_READ_EVERY_NS UINT64_C(2000000)
/* ... and what it said is believed no longer than this: ports are used again. */
#define MF_OWNER_BELIEVE_NS UINT64_C(20000000)

/* struct mf_owner_row flags */
#define MF_OWNER_LISTENS 0x01 /* TCP: waits for connections, has no remote end */

/* One socket. */
struct mf_owner_row {
	/* src: the local end, all zero for the wildcard; dst: the remote end, zero where there is none (UDP, listeners) */
	struct mf_flow flow;
	uint32_t pid; /* never 0: sockets whose owner is not known have no row */
	uint32_t flags;
};

struct mf_owner_source {
	/**
	 * read() - All sockets of a protocol and family
	 * @proto:  MF_PROTO_TCP or MF_PROTO_UDP; @family: 4 or 6
	 * @rows:   filled in any order, at most @max
	 * Return: how many there are, which may be more than @max; MF_E_NOMEM, MF_E_IO, MF_E_UNSUPPORTED
	 */
	int (*read)(void *ctx, uint8_t proto, uint8_t family, struct mf_owner_row *rows,
		    size_t max);
	void *ctx;
};

#if defined(_WIN32) || defined(__APPLE__)
/* GetExtendedTcpTable(), GetExtendedUdpTable(), owner_table_win32.c; libproc, owner_table_darwin.c */
extern const struct mf_owner_source mf_owner_source_system;
#endif

struct mf_owner_table;

struct mf_owner_stats {
	uint64_t reads, read_failures, rows_cut;
	uint64_t finds, found;
};

/** mf_owner_table_new() - @source is copied; Return: 0, MF_E_NOMEM */
int mf_owner_table_new(const struct mf_owner_source *source, struct mf_owner_table **ret,
		       struct mf_err *err);

/**
 * mf_owner_table_find() - Who owns the local end of a flow
 * @flow:   src is the local end. TCP: both ends must be those of a socket; else a listener on the local address or the
 *          wildcard counts. UDP: the local address, or the wildcard. An IPv4 flow may belong to a socket bound to ::
 * @now_ns: as mf_clock_now(); the tables are read at most every MF_OWNER_READ_EVERY_NS
 * Cost:    O(log rows) when the tables were read lately, else reading them (1 ms for some thousand sockets)
 * Return: 0 with *ret_pid; MF_E_NOENT: nobody, not TCP or UDP, or the tables cannot be read (counted)
 */
int mf_owner_table_find(struct mf_owner_table *t, const struct mf_flow *flow, uint64_t now_ns,
			uint32_t *ret_pid);

/**
 * mf_owner_table_each() - All sockets there are now, read afresh: to begin with before there are events
 * @fn: false ends it
 * Return: sockets told, or MF_E_* when no table could be read
 */
int mf_owner_table_each(struct mf_owner_table *t, uint64_t now_ns,
			bool (*fn)(void *ctx, const struct mf_owner_row *row), void *ctx);

void mf_owner_table_get_stats(const struct mf_owner_table *t, struct mf_owner_stats *ret);
void mf_owner_table_free(struct mf_owner_table *t);

#endif
