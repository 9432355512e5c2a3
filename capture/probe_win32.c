/* SPDX-License-Identifier: Apache-2.0 */
/*
 * probe_win32.c - the proof: a helper connects to an address that nobody has, and its connection must arrive here
 *
 * The helper is this program once more, started by a secret word on its command line, in a job of its own and with its
 * process in the session's set. What must work for that: the driver tells of its socket and diverts its packets, the
 * pipeline joins both, the rewritten packets reach the listener, the answers find their way back.
 */
#include <winsock2.h>

#include <windows.h>

#include <stdlib.h>

#include "capture/internal_win32.h"
#include "core/base/win32.h"

#define HELPER_WORD "--moonfence-probe"

/*
 * 203.0.113.0/24 (RFC 5737) and 2001:db8::/32 (RFC 3849) are for documentation: no program of a session has business there.
 * The last byte is chosen anew each time.
 */
static const struct mf_addr nets[] = {
	{ .family = 4, .bytes = { 203, 0, 113, 0 } },
	{ .family = 6, .bytes = { 0x20, 0x01, 0x0d, 0xb8, 0xff, [14] = 1 } },
};

/* Exit statuses of the helper */
enum { HELPER_FINE = 0, HELPER_USAGE = 2, HELPER_NO_ROUTE = 3, HELPER_FAILED = 4 };

/* A wait may end early: the helper's end and packets wake us, all else is looked for this often. */
#define LOOK_EVERY_US 20000
#define LET_GO_NS     (200 * MF_NS_PER_MS)

/* ---- the helper ------------------------------------------------------------------------------------------------ */

static int helper_connect(const struct sockaddr *sa, int len)
{
	SOCKET s = socket(sa->sa_family, SOCK_STREAM, IPPROTO_TCP);
	char byte = 'x';
	int code;

	if (s == INVALID_SOCKET)
		return HELPER_FAILED;
	if (connect(s, sa, len) == 0) {
		// A byte says that answers find their way back; then until the other side has seen enough.
		(void)send(s, &byte, 1, 0);
		(void)recv(s, &byte, 1, 0);
		closesocket(s);
		return HELPER_FINE;
	}
	code = WSAGetLastError();
	closesocket(s);
	return code == WSAENETUNREACH || code == WSAEHOSTUNREACH || code == WSAEADDRNOTAVAIL
		       ? HELPER_NO_ROUTE
		       : HELPER_FAILED;
}

bool mf_capture_helper_main(int argc, char **argv, int *ret_status)
{
	struct sockaddr_storage sa;
	struct mf_endpoint ep = { 0 };
	const char *host;
	size_t host_len, len;
	WSADATA wsa;

	if (argc != 3 || strcmp(argv[1], HELPER_WORD) != 0)
		return false;
	*ret_status = HELPER_USAGE;
	if (mf_hostport_parse(argv[2], strlen(argv[2]), &host, &host_len, &ep.port) < 0 ||
	    mf_addr_parse(host, host_len, &ep.addr) < 0)
		return true;
	len = mf_endpoint_to_sockaddr(&ep, false, &sa);
	*ret_status = HELPER_FAILED;
	if (WSAStartup(MAKEWORD(2, 2), &wsa) == 0)
		*ret_status = helper_connect((struct sockaddr *)&sa, (int)len);
	return true;
}

/* ---- the proof ------------------------------------------------------------------------------------------------- */

struct probe {
	struct mf_capture *cap;
	struct mf_endpoint server;
	SOCKET listener;
	struct mf_job *helper;
	SOCKET arrived; /* the helper's connection at the listener */
	char text[MF_ENDPOINT_TEXT_MAX];
};

static int start_helper(struct probe *p, struct mf_err *err)
{
	const struct mf_session_wake wake = { mf_wake_set, &p->cap->packets_wake };
	wchar_t self[32768];
	char word[] = HELPER_WORD, *argv[] = { NULL, word, p->text, NULL };
	DWORD n = GetModuleFileNameW(NULL, self, MF_ARRAY_SIZE(self));
	int r;

	if (!n || n >= MF_ARRAY_SIZE(self) || !(argv[0] = mf_win32_utf8(self)))
		return mf_err_set(err, MF_E_IO, "this program does not know its own name");
	r = mf_job_new(&wake, &p->helper, err);
	if (r == 0)
		r = mf_job_spawn(p->helper, argv, NULL, NULL, err);
	free(argv[0]);
	if (r < 0)
		return r;
	mf_log_info(p->cap->options.log, "probe: a connection of process %u to %s must arrive",
		    mf_job_pid(p->helper), p->text);
	r = mf_capture_packets_add_pid(p->cap, mf_job_pid(p->helper));
	if (r < 0)
		return mf_err_set(err, r, "the set of the session's processes takes none");
	return mf_job_resume(p->helper, err);
}

/* Whether a connection at the listener is the helper's. */
static bool is_probe(const struct probe *p, SOCKET s, const struct sockaddr_storage *from)
{
	struct mf_endpoint peer, local;
	struct sockaddr_storage at;
	struct mf_session_flow flow;
	int len = sizeof(at);

	return getsockname(s, (struct sockaddr *)&at, &len) == 0 &&
	       mf_endpoint_from_sockaddr(&peer, (const struct sockaddr *)from) &&
	       mf_endpoint_from_sockaddr(&local, (struct sockaddr *)&at) &&
	       mf_capture_find_flow(p->cap, MF_TCP, &peer, &local, &flow) == 0 &&
	       memcmp(&flow.server, &p->server, sizeof(p->server)) == 0;
}

/* Take what reached the listener. Return: true when the helper's connection is there, and its byte has come */
static bool arrived(struct probe *p)
{
	char byte;

	while (p->arrived == INVALID_SOCKET) {
		struct sockaddr_storage from;
		int len = sizeof(from);
		SOCKET s = accept(p->listener, (struct sockaddr *)&from, &len);

		if (s == INVALID_SOCKET)
			return false;
		if (is_probe(p, s, &from))
			p->arrived = s; // as non-blocking as its listener
		else
			closesocket(s);
	}
	return recv(p->arrived, &byte, 1, 0) == 1;
}

static void wait_a_little(const struct probe *p)
{
	const struct mf_capture *cap = p->cap;
	struct timeval tv = { 0, LOOK_EVERY_US };
	fd_set read;

	FD_ZERO(&read);
	FD_SET((SOCKET)cap->packets_wake.fd, &read);
	FD_SET(p->arrived == INVALID_SOCKET ? p->listener : p->arrived, &read);
	(void)select(0, &read, NULL, NULL, &tv);
}

static int not_proven(const struct probe *p, const char *why, struct mf_err *err)
{
	return mf_err_set(
		err, MF_E_IO,
		"a connection of our own to %s %s. Does another product hold packets back "
		"(firewall, VPN, another program with WinDivert)?",
		p->text, why);
}

static int watch(struct probe *p, uint64_t deadline_ns, struct mf_err *err)
{
	uint32_t code = 0;

	for (;;) {
		bool ended = mf_job_ended(p->helper, &code);

		while (mf_capture_run_packets(p->cap) > 0)
			;
		if (arrived(p))
			return 0;
		// Where no packet can leave, none can be seen; the driver itself stands.
		if (ended && code == HELPER_NO_ROUTE)
			return mf_err_set(err, MF_E_AGAIN,
					  "this machine has no route to anywhere now");
		if (ended)
			return not_proven(p, "went past us", err);
		if (mf_clock_now(&mf_clock_system) >= deadline_ns)
			return not_proven(
				p,
				p->arrived == INVALID_SOCKET
					? "did not arrive in time"
					: "arrived, but our answers did not come back to it",
				err);
		wait_a_little(p);
	}
}

/* Let the helper's connection end as connections do; what is left after a moment goes with its process. */
static void let_go(struct probe *p)
{
	uint64_t end = mf_clock_now(&mf_clock_system) + LET_GO_NS;
	uint32_t code;

	closesocket(p->arrived);
	p->arrived = INVALID_SOCKET;
	while (!mf_job_ended(p->helper, &code) && mf_clock_now(&mf_clock_system) < end) {
		while (mf_capture_run_packets(p->cap) > 0)
			;
		wait_a_little(p);
	}
}

int mf_capture_probe(struct mf_capture *cap, uint8_t family, uint64_t deadline_ns,
		     struct mf_err *err)
{
	bool ip6 = family == 6;
	struct probe p = { .cap = cap,
			   .listener = (SOCKET)cap->listeners[ip6].tcp_fd,
			   .arrived = INVALID_SOCKET,
			   .server = { .addr = nets[ip6] } };
	uint64_t salt = mf_clock_wall(&mf_clock_system) / 100 ^ GetCurrentProcessId() * 2654435761u;
	int r;

	// Not the same one each time, so that what is left of an earlier one is not taken for it.
	p.server.addr.bytes[ip6 ? 15 : 3] = (uint8_t)(1 + salt % 254);
	p.server.port = (uint16_t)(20000 + salt / 254 % 40000);
	(void)mf_endpoint_format(&p.server, p.text, sizeof(p.text));
	mf_capture_packets_set_probe(cap, &p.server);
	r = start_helper(&p, err);
	if (r == 0)
		r = watch(&p, deadline_ns, err);
	if (p.arrived != INVALID_SOCKET)
		let_go(&p);
	if (p.helper && mf_job_pid(p.helper)) {
		uint32_t pid = mf_job_pid(p.helper);

		mf_job_free(p.helper);
		mf_capture_packets_remove_pid(cap, pid);
	} else {
		mf_job_free(p.helper);
	}
	mf_capture_packets_set_probe(cap, NULL);
	return r;
}
