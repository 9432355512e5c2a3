/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ops_linux.c - what the proxies ask of a session: whose flow is it, a socket to answer on, a refusal
 *
 * All of it works with sockets that were made inside the namespace and passed out: a socket belongs to the namespace
 * that it was made in, whoever holds it.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "capture/internal_linux.h"
#include "core/base/bytes.h"

/* A search gives up after that many: whoever opens more descriptors than this hides from no one but the policy. */
#define SEARCH_PIDS_MAX 32768
#define SEARCH_FDS_MAX	65536
/* How long the opener may take before it counts as stopped, which ends the session: no mere busy machine takes that long. */
#define OPENER_WAIT_MS 10000

/* ---------------------------------------------------------------------------------------------------------------- */
/* UDP sockets                                                                                                      */

static int refill(struct mf_capture *cap, int family)
{
	struct mf_capture_msg m = { .kind = MF_CAPTURE_MSG_OPEN, .value = family };
	struct mf_capture_pool *pool = &cap->pool[family == 6];
	uint64_t deadline = mf_clock_now(&mf_clock_system) + OPENER_WAIT_MS * MF_NS_PER_MS;
	int fds[MF_CAPTURE_MSG_FDS_MAX];
	size_t cnt;

	if (mf_capture_msg_send(cap->opener_sock, &m, NULL, 0) < 0)
		return MF_E_CLOSED;
	while (!pool->cnt) {
		struct pollfd p = { cap->opener_sock, POLLIN, 0 };
		uint64_t now = mf_clock_now(&mf_clock_system);
		int r;

		if (now >= deadline)
			return MF_E_CLOSED;
		(void)poll(&p, 1, (int)((deadline - now) / MF_NS_PER_MS) + 1);
		r = mf_capture_msg_recv(cap->opener_sock, false, &m, fds, &cnt);
		if (r < 0)
			return MF_E_CLOSED;
		if (r == 0)
			continue;
		mf_capture_events_take_msg(cap, &m, fds, cnt);
		if (m.kind == MF_CAPTURE_MSG_OPENED && cnt == 0)
			return MF_E_IO; /* out of descriptors, most likely */
	}
	return 0;
}

int mf_capture_ops_open_udp(void *ctx, const struct mf_session_flow *flow)
{
	struct mf_capture *cap = ctx;
	struct mf_capture_pool *pool = &cap->pool[flow->server.addr.family == 6];
	struct sockaddr_storage server, client;
	size_t len;
	int fd, r = 0;

	if (flow->server.addr.family != flow->client.addr.family || flow->server.addr.family == 0 ||
	    (flow->server.addr.family == 6 && !cap->plan.has6))
		return MF_E_INVAL;
	if (cap->cut)
		return MF_E_CLOSED;
	/* The listener answers; the pipeline makes it come from the server. */
	if (cap->packets && !mf_capture_packets_is_loopback(&flow->server))
		return MF_E_UNSUPPORTED;
	if (!pool->cnt)
		r = refill(cap, flow->server.addr.family);
	if (r == MF_E_CLOSED)
		mf_capture_events_drift(cap, "the session's opener does not answer");
	if (r < 0)
		return r;
	fd = pool->fd[--pool->cnt];
	len = mf_endpoint_to_sockaddr(&flow->server, false, &server);
	(void)mf_endpoint_to_sockaddr(&flow->client, false, &client);
	if (bind(fd, (struct sockaddr *)&server, (socklen_t)len) < 0 ||
	    connect(fd, (struct sockaddr *)&client, (socklen_t)len) < 0) {
		close(fd);
		return MF_E_IO;
	}
	return fd;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Refusals                                                                                                         */

static uint16_t checksum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += mf_load_be16(p + i);
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The refused datagram as it was: IP and UDP headers and what fits of the payload. Return: bytes written */
static size_t quote(const struct mf_session_flow *f, const uint8_t *payload, size_t len,
		    size_t room, uint8_t *out)
{
	bool six = f->client.addr.family == 6;
	size_t head = six ? 40 : 20, cut;
	uint16_t udp_len = (uint16_t)(len > 65507 ? 65507 + 8 : len + 8);

	memset(out, 0, head + 8);
	if (six) {
		out[0] = 0x60;
		mf_store_be16(out + 4, udp_len);
		out[6] = IPPROTO_UDP;
		out[7] = 64;
		memcpy(out + 8, f->client.addr.bytes, 16);
		memcpy(out + 24, f->server.addr.bytes, 16);
	} else {
		out[0] = 0x45;
		mf_store_be16(out + 2, (uint16_t)(20 + udp_len));
		out[8] = 64;
		out[9] = IPPROTO_UDP;
		memcpy(out + 12, f->client.addr.bytes, 4);
		memcpy(out + 16, f->server.addr.bytes, 4);
		mf_store_be16(out + 10, checksum(out, 20));
	}
	mf_store_be16(out + head, f->client.port);
	mf_store_be16(out + head + 2, f->server.port);
	mf_store_be16(out + head + 4, udp_len);
	cut = room - head - 8;
	cut = len < cut ? len : cut;
	if (cut)
		memcpy(out + head + 8, payload, cut);
	return head + 8 + cut;
}

int mf_capture_ops_refuse_udp(void *ctx, const struct mf_session_flow *flow, const uint8_t *packet,
			      size_t len)
{
	struct mf_capture *cap = ctx;
	bool six = flow->client.addr.family == 6;
	struct mf_endpoint to = { .addr = flow->client.addr }; /* a raw socket has no port */
	struct sockaddr_storage sa;
	size_t sa_len = mf_endpoint_to_sockaddr(&to, false, &sa), n;
	uint8_t icmp
		[8 +
		 1232]; /* IPv6's least MTU less its header (RFC 4443 section 2.4), enough for IPv4 */

	if (!sa_len || flow->server.addr.family != flow->client.addr.family ||
	    (six && !cap->plan.has6))
		return MF_E_INVAL;
	if (cap->packets && !mf_capture_packets_is_loopback(&flow->server))
		return mf_capture_packets_refuse_udp(cap, flow, packet, len);
	memset(icmp, 0, 8);
	/* Administratively prohibited: RFC 1812 section 5.2.7.1 and RFC 4443 section 3.1 */
	icmp[0] = six ? 1 : 3;
	icmp[1] = six ? 1 : 13;
	n = 8 + quote(flow, packet, len, six ? sizeof(icmp) - 8 : 548, icmp + 8);
	if (!six)
		mf_store_be16(icmp + 2, checksum(icmp, n)); /* the kernel does it for ICMPv6 */
	if (sendto(cap->fd[six ? MF_CAPTURE_FD_ICMP6 : MF_CAPTURE_FD_ICMP4], icmp, n, MSG_DONTWAIT,
		   (struct sockaddr *)&sa, (socklen_t)sa_len) < 0)
		return errno == EAGAIN || errno == ENOBUFS ? MF_E_AGAIN : MF_E_IO;
	return 0;
}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Processes                                                                                                        */

/* One side of an inet_diag id. */
static void put_side(const struct mf_endpoint *ep, __be16 *port, __be32 addr[4])
{
	*port = htons(ep->port);
	memset(addr, 0, 16);
	memcpy(addr, ep->addr.bytes, ep->addr.family == 6 ? 16 : 4);
}

/* Return: inode of the socket with local end @local, 0 if there is none */
static uint32_t diag_lookup(int fd, int family, int proto, const struct mf_endpoint *src,
			    const struct mf_endpoint *dst, const struct mf_endpoint *local)
{
	struct {
		struct nlmsghdr h;
		struct inet_diag_req_v2 r;
	} q = { .h = { .nlmsg_len = sizeof(q),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = (uint8_t)family,
		       .sdiag_protocol = (uint8_t)proto,
		       .idiag_states = ~0u,
		       .id = { .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } } };
	char buf[2048] __attribute__((aligned(8)));
	struct nlmsghdr *h = (struct nlmsghdr *)buf;
	const struct inet_diag_msg *m = NLMSG_DATA(h);
	ssize_t n;

	put_side(src, &q.r.id.idiag_sport, q.r.id.idiag_src);
	put_side(dst, &q.r.id.idiag_dport, q.r.id.idiag_dst);
	if (send(fd, &q, sizeof(q), 0) < 0)
		return 0;
	n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT); /* answered within send() */
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(*m)) || h->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return 0;
	return m->id.idiag_sport == htons(local->port) ? m->idiag_inode : 0;
}

static uint32_t find_inode(struct mf_capture *cap, const struct mf_session_flow *f)
{
	int family = f->client.addr.family == 6 ? AF_INET6 : AF_INET;
	int fd = cap->fd[MF_CAPTURE_FD_DIAG];
	uint32_t inode;

	if (f->proto == MF_TCP)
		return diag_lookup(fd, family, IPPROTO_TCP, &f->client, &f->server, &f->client);
	/* For UDP the kernel takes the two ends the other way round. */
	inode = diag_lookup(fd, family, IPPROTO_UDP, &f->server, &f->client, &f->client);
	return inode ? inode
		     : diag_lookup(fd, family, IPPROTO_UDP, &f->client, &f->server, &f->client);
}

static uint64_t netns_of(int64_t pid)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%lld/ns/net", (long long)pid);
	return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

bool mf_capture_ops_is_inside(struct mf_capture *cap, int64_t pid)
{
	if (!cap->who.netns)
		cap->who.netns = netns_of(cap->opener ? cap->opener : cap->command);
	if (!cap->who.netns && cap->command)
		cap->who.netns = netns_of(cap->command);
	return cap->who.netns && netns_of(pid) == cap->who.netns;
}

/* Does @pid hold the socket? @budget counts descriptors. */
static bool holds(int64_t pid, uint32_t inode, unsigned *budget)
{
	char path[64], want[32], link[64];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%lld/fd", (long long)pid);
	snprintf(want, sizeof(want), "socket:[%u]", inode);
	d = opendir(path);
	while (d && !found && *budget && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		--*budget;
		if (n <= 0)
			continue;
		link[n] = '\0';
		found = strcmp(link, want) == 0;
	}
	if (d)
		closedir(d);
	return found;
}

static int64_t search(struct mf_capture *cap, uint32_t inode)
{
	unsigned budget = SEARCH_FDS_MAX, pids = 0;
	int64_t found = 0;
	struct dirent *e;
	DIR *d;

	if (cap->who.last_pid && holds(cap->who.last_pid, inode, &budget))
		return cap->who.last_pid;
	if (cap->command && holds(cap->command, inode, &budget))
		return cap->command;
	d = opendir("/proc");
	while (d && !found && budget && pids < SEARCH_PIDS_MAX && (e = readdir(d))) {
		char *end;
		long pid = strtol(e->d_name, &end, 10);

		if (*end || pid <= 0)
			continue;
		pids++;
		if (pid != cap->opener && mf_capture_ops_is_inside(cap, pid) &&
		    holds(pid, inode, &budget))
			found = pid;
	}
	if (d)
		closedir(d);
	return found;
}

/* "1234 (name with ) and spaces) S 1 ...": the parent is the second field after the last parenthesis. */
static bool read_stat(int64_t pid, struct mf_capture_who *w, int64_t *ret_parent)
{
	char path[64], *text, *open_at, *close_at;
	long long parent = 0;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
	if (mf_capture_read_file(path, 4096, &text, &len) < 0)
		return false;
	open_at = strchr(text, '(');
	close_at = strrchr(text, ')');
	if (open_at && close_at && close_at > open_at) {
		snprintf(w->name, sizeof(w->name), "%.*s", (int)(close_at - open_at - 1),
			 open_at + 1);
		if (sscanf(close_at + 1, " %*c %lld", &parent) != 1)
			parent = 0;
	}
	free(text);
	*ret_parent = parent;
	return open_at && close_at;
}

static void read_args(int64_t pid, struct mf_capture_who *w)
{
	char path[64], *text;
	size_t len, cnt = 0;

	w->args[0] = NULL;
	snprintf(path, sizeof(path), "/proc/%lld/cmdline", (long long)pid);
	if (mf_capture_read_file(path, sizeof(w->text), &text, &len) < 0)
		return;
	if (len >= sizeof(w->text))
		len = sizeof(w->text) - 1;
	memcpy(w->text, text, len);
	w->text[len] = '\0';
	free(text);
	for (size_t at = 0; at < len && cnt < MF_CAPTURE_ARGS_MAX; at += strlen(w->text + at) + 1)
		w->args[cnt++] = w->text + at;
	w->args[cnt] = NULL;
}

static void read_user(int64_t pid, struct mf_capture_who *w)
{
	char path[64], buf[1024];
	struct passwd pw, *found = NULL;
	struct stat st;

	*w->user = '\0';
	snprintf(path, sizeof(path), "/proc/%lld", (long long)pid);
	if (stat(path, &st) < 0)
		return;
	if (getpwuid_r(st.st_uid, &pw, buf, sizeof(buf), &found) == 0 && found)
		snprintf(w->user, sizeof(w->user), "%s", found->pw_name);
	else
		snprintf(w->user, sizeof(w->user), "%u", (unsigned)st.st_uid);
}

static void read_exe(int64_t pid, struct mf_capture_who *w)
{
	static const char gone[] = " (deleted)";
	char path[64];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%lld/exe", (long long)pid);
	n = readlink(path, w->exe, sizeof(w->exe) - 1);
	w->exe[n > 0 ? n : 0] = '\0';
	if (n >= (ssize_t)sizeof(gone) && strcmp(w->exe + n - (sizeof(gone) - 1), gone) == 0)
		w->exe[n - (ssize_t)(sizeof(gone) - 1)] = '\0';
}

int mf_capture_ops_find_process(void *ctx, const struct mf_session_flow *flow,
				struct mf_process *ret)
{
	struct mf_capture *cap = ctx;
	struct mf_capture_who *w = &cap->who;
	int64_t pid, parent = 0;
	uint32_t inode;

	if (flow->client.addr.family != flow->server.addr.family || !flow->client.addr.family)
		return MF_E_NOENT;
	inode = find_inode(cap, flow);
	pid = inode ? search(cap, inode) : 0;
	if (!pid || !read_stat(pid, w, &parent))
		return MF_E_NOENT;
	w->last_pid = pid;
	read_exe(pid, w);
	read_args(pid, w);
	read_user(pid, w);
	*ret = (struct mf_process){ .pid = pid,
				    .parent = parent,
				    .name = w->name,
				    .exe = w->exe,
				    .user = w->user,
				    .args = w->args };
	return 0;
}
