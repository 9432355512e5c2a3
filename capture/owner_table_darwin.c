/* SPDX-License-Identifier: Apache-2.0 */
/*
 * owner_table_darwin.c - sockets of all processes by libproc, as rows for owner_table.h
 *
 * There is no table with owners, so each process is asked for its descriptors and each socket for its ends. Root sees all
 * processes, others their own. A process that ends meanwhile is left out.
 */
#include <libproc.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/proc_info.h>

#include "capture/owner_table.h"

/* Room beyond what was told: processes and descriptors come while we read. */
#define SLACK	 64
#define PIDS_MAX 65536
#define FDS_MAX	 65536

struct reading {
	uint8_t proto, family;
	struct mf_owner_row *rows;
	size_t max, cnt;
	struct proc_fdinfo *fds;
	int fds_room; /* bytes */
};

/* Ports stand in network order in the low half of an int. */
static uint16_t port_of(int raw)
{
	return ntohs((uint16_t)raw);
}

static void put_ends(struct mf_flow *f, const struct in_sockinfo *in, uint8_t family, bool remote)
{
	f->src_port = port_of(in->insi_lport);
	if (family == 4)
		memcpy(f->src, &in->insi_laddr.ina_46.i46a_addr4, 4);
	else
		memcpy(f->src, &in->insi_laddr.ina_6, 16);
	if (!remote)
		return;
	f->dst_port = port_of(in->insi_fport);
	if (family == 4)
		memcpy(f->dst, &in->insi_faddr.ina_46.i46a_addr4, 4);
	else
		memcpy(f->dst, &in->insi_faddr.ina_6, 16);
}

/* A socket that serves both families (bound to ::) is an IPv6 one: look-ups of IPv4 flows fall back on those. */
static uint8_t family_of(const struct in_sockinfo *in)
{
	if (in->insi_vflag & INI_IPV6)
		return 6;
	return in->insi_vflag & INI_IPV4 ? 4 : 0;
}

static void take_socket(struct reading *r, pid_t pid, const struct socket_info *s)
{
	struct mf_owner_row row = { .flow = { .proto = r->proto, .family = r->family },
				    .pid = (uint32_t)pid };
	const struct in_sockinfo *in;
	bool remote = false;

	if (r->proto == MF_PROTO_TCP && s->soi_kind == SOCKINFO_TCP) {
		in = &s->soi_proto.pri_tcp.tcpsi_ini;
		if (s->soi_proto.pri_tcp.tcpsi_state == TSI_S_LISTEN)
			row.flags = MF_OWNER_LISTENS;
		else
			remote = true;
	} else if (r->proto == MF_PROTO_UDP && s->soi_kind == SOCKINFO_IN &&
		   s->soi_protocol == IPPROTO_UDP) {
		in = &s->soi_proto.pri_in;
	} else {
		return;
	}
	if (family_of(in) != r->family || in->insi_lport == 0)
		return;
	put_ends(&row.flow, in, r->family, remote);
	if (r->cnt < r->max)
		r->rows[r->cnt] = row;
	r->cnt++;
}

static void take_process(struct reading *r, pid_t pid)
{
	int want = proc_pidinfo(pid, PROC_PIDLISTFDS, 0, NULL, 0), len;

	if (want <= 0)
		return;
	want += SLACK * (int)sizeof(struct proc_fdinfo);
	if (want > FDS_MAX * (int)sizeof(struct proc_fdinfo))
		want = FDS_MAX * (int)sizeof(struct proc_fdinfo);
	if (want > r->fds_room) {
		void *more = realloc(r->fds, (size_t)want);

		if (!more)
			return;
		r->fds = more;
		r->fds_room = want;
	}
	len = proc_pidinfo(pid, PROC_PIDLISTFDS, 0, r->fds, r->fds_room);
	for (int i = 0; i < len / (int)sizeof(struct proc_fdinfo); i++) {
		struct socket_fdinfo s;

		if (r->fds[i].proc_fdtype != PROX_FDTYPE_SOCKET)
			continue;
		if (proc_pidfdinfo(pid, r->fds[i].proc_fd, PROC_PIDFDSOCKETINFO, &s, sizeof(s)) ==
		    (int)sizeof(s))
			take_socket(r, pid, &s.psi);
	}
}

static int read_system(void *ctx, uint8_t proto, uint8_t family, struct mf_owner_row *rows,
		       size_t max)
{
	struct reading r = { .proto = proto, .family = family, .rows = rows, .max = max };
	int want = proc_listpids(PROC_ALL_PIDS, 0, NULL, 0), len;
	pid_t *pids;

	(void)ctx;
	if (want <= 0)
		return MF_E_IO;
	want += SLACK * (int)sizeof(*pids);
	if (want > PIDS_MAX * (int)sizeof(*pids))
		want = PIDS_MAX * (int)sizeof(*pids);
	pids = malloc((size_t)want);
	if (!pids)
		return MF_E_NOMEM;
	len = proc_listpids(PROC_ALL_PIDS, 0, pids, want);
	for (int i = 0; i < len / (int)sizeof(*pids); i++)
		if (pids[i] > 0)
			take_process(&r, pids[i]);
	free(r.fds);
	free(pids);
	return len < 0 ? MF_E_IO : (int)r.cnt;
}

const struct mf_owner_source mf_owner_source_system = { .read = read_system };
