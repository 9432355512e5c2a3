/* SPDX-License-Identifier: Apache-2.0 */
/* owner_table_win32.c - the system's tables of sockets: GetExtendedTcpTable(), GetExtendedUdpTable() */
#include <winsock2.h>

#include <windows.h>

#include <iphlpapi.h>
#include <stdlib.h>

#include "capture/owner_table.h"
#include "core/base/bytes.h"

/* The table grows between asking for its size and reading it. */
#define TRIES		5
#define TABLE_BYTES_MAX (64u << 20)

/* Ports are in the first two bytes of a DWORD, in network order. */
static uint16_t port_of(DWORD field)
{
	uint8_t bytes[4];

	memcpy(bytes, &field, sizeof(bytes));
	return mf_load_be16(bytes);
}

/* Return: rows; a socket without an owner (one that waits for late packets, wine's IPv6 table) gives none */
static size_t put(struct mf_owner_row *rows, size_t max, size_t n, const struct mf_owner_row *row)
{
	if (!row->pid)
		return n;
	if (n < max)
		rows[n] = *row;
	return n + 1;
}

static size_t take_tcp4(const MIB_TCPTABLE_OWNER_PID *t, struct mf_owner_row *rows, size_t max)
{
	size_t n = 0;

	for (DWORD i = 0; i < t->dwNumEntries; i++) {
		const MIB_TCPROW_OWNER_PID *r = &t->table[i];
		bool listens = r->dwState == MIB_TCP_STATE_LISTEN;
		struct mf_owner_row row = { .flow = { .src_port = port_of(r->dwLocalPort),
						      .proto = MF_PROTO_TCP,
						      .family = 4 },
					    .pid = r->dwOwningPid,
					    .flags = listens ? MF_OWNER_LISTENS : 0 };

		memcpy(row.flow.src, &r->dwLocalAddr, 4);
		if (!listens) {
			memcpy(row.flow.dst, &r->dwRemoteAddr, 4);
			row.flow.dst_port = port_of(r->dwRemotePort);
		}
		n = put(rows, max, n, &row);
	}
	return n;
}

static size_t take_tcp6(const MIB_TCP6TABLE_OWNER_PID *t, struct mf_owner_row *rows, size_t max)
{
	size_t n = 0;

	for (DWORD i = 0; i < t->dwNumEntries; i++) {
		const MIB_TCP6ROW_OWNER_PID *r = &t->table[i];
		bool listens = r->dwState == MIB_TCP_STATE_LISTEN;
		struct mf_owner_row row = { .flow = { .src_port = port_of(r->dwLocalPort),
						      .proto = MF_PROTO_TCP,
						      .family = 6 },
					    .pid = r->dwOwningPid,
					    .flags = listens ? MF_OWNER_LISTENS : 0 };

		memcpy(row.flow.src, r->ucLocalAddr, 16);
		if (!listens) {
			memcpy(row.flow.dst, r->ucRemoteAddr, 16);
			row.flow.dst_port = port_of(r->dwRemotePort);
		}
		n = put(rows, max, n, &row);
	}
	return n;
}

static size_t take_udp4(const MIB_UDPTABLE_OWNER_PID *t, struct mf_owner_row *rows, size_t max)
{
	size_t n = 0;

	for (DWORD i = 0; i < t->dwNumEntries; i++) {
		const MIB_UDPROW_OWNER_PID *r = &t->table[i];
		struct mf_owner_row row = { .flow = { .src_port = port_of(r->dwLocalPort),
						      .proto = MF_PROTO_UDP,
						      .family = 4 },
					    .pid = r->dwOwningPid };

		memcpy(row.flow.src, &r->dwLocalAddr, 4);
		n = put(rows, max, n, &row);
	}
	return n;
}

static size_t take_udp6(const MIB_UDP6TABLE_OWNER_PID *t, struct mf_owner_row *rows, size_t max)
{
	size_t n = 0;

	for (DWORD i = 0; i < t->dwNumEntries; i++) {
		const MIB_UDP6ROW_OWNER_PID *r = &t->table[i];
		struct mf_owner_row row = { .flow = { .src_port = port_of(r->dwLocalPort),
						      .proto = MF_PROTO_UDP,
						      .family = 6 },
					    .pid = r->dwOwningPid };

		memcpy(row.flow.src, r->ucLocalAddr, 16);
		n = put(rows, max, n, &row);
	}
	return n;
}

/* Return: a Windows error code */
static DWORD read_once(uint8_t proto, ULONG family, void *buf, DWORD *size)
{
	return proto == MF_PROTO_TCP
		       ? GetExtendedTcpTable(buf, size, FALSE, family, TCP_TABLE_OWNER_PID_ALL, 0)
		       : GetExtendedUdpTable(buf, size, FALSE, family, UDP_TABLE_OWNER_PID, 0);
}

static int read_system(void *ctx, uint8_t proto, uint8_t family, struct mf_owner_row *rows,
		       size_t max)
{
	ULONG af = family == 6 ? AF_INET6 : AF_INET;
	DWORD size = 16384, code = ERROR_INSUFFICIENT_BUFFER;
	void *buf = NULL;
	size_t n;

	(void)ctx;
	for (unsigned i = 0; i < TRIES && code == ERROR_INSUFFICIENT_BUFFER; i++) {
		void *more = size <= TABLE_BYTES_MAX ? realloc(buf, size) : NULL;

		if (!more) {
			free(buf);
			return MF_E_NOMEM;
		}
		buf = more;
		code = read_once(proto, af, buf, &size);
		if (code == ERROR_INSUFFICIENT_BUFFER)
			size += size / 4;
	}
	if (code != NO_ERROR) {
		free(buf);
		return code == ERROR_NOT_SUPPORTED ? MF_E_UNSUPPORTED : MF_E_IO;
	}
	if (proto == MF_PROTO_TCP)
		n = family == 6 ? take_tcp6(buf, rows, max) : take_tcp4(buf, rows, max);
	else
		n = family == 6 ? take_udp6(buf, rows, max) : take_udp4(buf, rows, max);
	free(buf);
	return n > INT32_MAX ? INT32_MAX : (int)n;
}

const struct mf_owner_source mf_owner_source_system = { .read = read_system };
