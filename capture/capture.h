/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capture.h - start a command in a namespace of its own, so that all its traffic arrives at our listeners
 *
 *	struct mf_capture_options o = { .size = sizeof(o), .argv = argv };
 *	struct mf_capture *cap;
 *	struct mf_capture_event ev;
 *
 *	mf_capture_new(&o, &cap, &err);      // forks the namespace's processes, returns at once
 *	...                                  // load policies meanwhile
 *	mf_capture_prove(cap, &err);         // namespace ready; probes have arrived at the listeners
 *	...                                  // give each mf_capture_tcp_fd(), mf_capture_udp_fd() and ops to the proxies
 *	mf_capture_exec(cap, &code, &err);   // the command starts; on failure exit with code (126, 127)
 *	while (poll mf_capture_fd(cap))      // or in any event loop
 *		while (mf_capture_next_event(cap, &ev)) ...
 *	mf_capture_free(cap);
 *	mf_capture_exit_like(&ev);
 *
 * How it works (Linux: docs/internals/capture-linux.md)
 *
 * Three processes: the caller (host namespaces, runs the proxies), the command, and a small opener that stays in the
 * namespace with the privileges that the command has lost.
 * TPROXY: the namespace has no device but lo and takes every address for its own, so there is no way out; nftables hands
 * each TCP and UDP flow that is not loopback to the listeners. Port 53 to a loopback address counts as not loopback, for
 * hosts whose resolv.conf names a local resolver.
 * TUN: all that is not loopback goes to a device whose other end is here. A pipeline asks about each flow that begins and
 * sends its packets back in, to the listeners.
 * When the caller dies, its listeners close, and the command's traffic ends in resets.
 *
 * Threads and signals: one thread at a time, the thread that called mf_capture_new() must outlive the command (the
 * kernel ties the command's life to it). mf_capture_new() blocks the signals that it forwards, in the calling thread:
 * call it before other threads start, and before changing signal dispositions or the signal mask, since the command
 * gets those that were in force then.
 */
#ifndef MF_CAPTURE_CAPTURE_H
#define MF_CAPTURE_CAPTURE_H

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/policy/session.h"

struct mf_capture;
struct mf_flow_verdict; /* pipeline.h */
struct mf_metrics;

/* How traffic comes to the listeners. */
enum mf_capture_backend {
	MF_CAPTURE_TPROXY,    /* the kernel hands each flow over */
	MF_CAPTURE_TUN,	      /* packets come to us, through a pipeline (pipeline.h) */
	MF_CAPTURE_WINDIVERT, /* Windows: the same, from the WinDivert driver */
	MF_CAPTURE_BLOCK, /* Windows: no driver, nothing is captured: the command's programs have no network */
	MF_CAPTURE_BACKEND_NUM
};

/* Of the TUN device: what IPv6 wants at least, and what IPv4 can name. */
#define MF_CAPTURE_MTU_MIN	  1280
#define MF_CAPTURE_MTU_MAX	  65535
#define MF_CAPTURE_TUN_QUEUES_MAX 8

/*
 * Linux, TPROXY: a session of guests instead of a command. There is a device in the namespace whose other end the caller
 * gets (mf_capture_take_guests()): IP packets that it writes there, from addresses of these networks, arrive at the listeners as a
 * command's would; what is for these networks can be read there. Nothing else goes in or out.
 */
struct mf_capture_guests {
	uint8_t net4[4]; /* of a /24, whose first /29 is no guest's */
	uint8_t net6[6]; /* of a /48, whose first /64 is no guest's */
	uint16_t mtu;	 /* of the device; 0: 1,500 */
};

struct mf_capture_options {
	size_t size; /* of this struct */
	enum mf_capture_backend backend;
	uint32_t mtu;	     /* TUN: bytes, 0 for 65,520 */
	unsigned tun_queues; /* TUN: of the device; 0: as many as suit the processors */
	bool tun_lanes_eager; /* TUN: queues but the first go to their threads at any packet, for tests */
	char *const *
		argv; /* the command, NULL-terminated; argv[0] is looked up in PATH; borrowed until free */
	char *const *envp; /* NULL: the caller's; borrowed until free */
	/*
	 * NULL: a command. With guests @argv counts for nothing, mf_capture_exec() is not called, and of the signals only SIGCHLD is
	 * blocked. Borrowed until free.
	 */
	const struct mf_capture_guests *guests;
	/*
	 * Unix sockets that the command may reach, beside those that it makes itself: paths of sockets, or of directories
	 * with all sockets in them. Everything else that listens on the host is masked. Borrowed until free.
	 */
	const char *const *unix_allow;
	size_t unix_allow_cnt;
	/* Inherited descriptors that the command keeps though they are sockets or alike; 0, 1, 2 always stay. */
	const int *keep_fds;
	size_t keep_fd_cnt;
	/*
	 * A certificate authority in PEM that the command is to trust, besides those that it trusts anyway; NULL for none.
	 * The bundle of the system, and those that SSL_CERT_FILE, CURL_CA_BUNDLE, GIT_SSL_CAINFO, REQUESTS_CA_BUNDLE,
	 * NODE_EXTRA_CA_CERTS and NIX_SSL_CERT_FILE name (regular files of at most 8 MiB), appear with it at their end, in
	 * the session only. SSL_CERT_FILE and NODE_EXTRA_CA_CERTS are set where they are not. At most 64 KiB; borrowed until
	 * mf_capture_exec().
	 */
	const char *extra_ca_pem;
	/*
	 * A directory that is empty for the command, where there is one when the session starts; NULL for none. Not on
	 * Windows. Borrowed until mf_capture_exec().
	 */
	const char *hidden_dir;
	const char *hidden_trash; /* another such directory */
	const char *hidden_run;	  /* and another, of sockets: none of them is masked one by one */
	/*
	 * Linux: a directory over which a FUSE filesystem is mounted for the command, absolute and without links; NULL for none.
	 * The caller serves it through mf_capture_take_workspace(), from before mf_capture_exec() on. Borrowed until free.
	 */
	const char *workspace;
	const char *
		directory; /* Windows: where the command starts, when it starts; NULL: where the caller is. Borrowed until free */
	bool own_sighup;   /* the caller wants SIGHUP for itself: neither blocked nor forwarded */
	bool own_sigusr;   /* the same for SIGUSR1 and SIGUSR2 */
	/*
	 * Linux: nobody of the session outlives mf_capture_free(). The caller is the parent of all that the command left behind
	 * (PR_SET_CHILD_SUBREAPER), and has no other children that it wants to wait for. Elsewhere it is so in any case.
	 */
	bool own_orphans;
	/*
	 * What cannot be judged because something fails passes, instead of being dropped (pipeline.h). Windows' WINDIVERT only:
	 * the others have no way that passes by us.
	 */
	bool fail_open;
	unsigned prove_timeout_ms; /* 0: 20,000; Windows 3,000 for IPv6 */
	unsigned rescan_ms;	   /* how often new host sockets are looked for; 0: 2,000 */
	const struct mf_log *log;  /* may be NULL */
};

/**
 * mf_capture_new() - Fork the processes of a new session and begin to build its namespace
 * Cost:   a fork; does not wait for the namespace
 * Return: 0, MF_E_INVAL, MF_E_NOMEM, MF_E_IO, MF_E_UNSUPPORTED (no such backend on this system)
 */
int mf_capture_new(const struct mf_capture_options *options, struct mf_capture **ret,
		   struct mf_err *err);

/**
 * mf_capture_prove() - Wait until the namespace stands, then see a probe of each kind arrive at the listeners
 * Probes are made by the process that will be the command, with its restrictions: TCP over IPv4 and IPv6, a DNS query
 * over UDP on both, each to an address that nobody has. Each must arrive with that original destination and be
 * answered; loopback inside must not arrive. Blocks, at most prove_timeout_ms.
 * Return: 0, or MF_E_PERM (user namespaces forbidden; the text says what to change), MF_E_UNSUPPORTED (the kernel lacks
 * something), MF_E_IO: the command must not be started, and mf_capture_exec() refuses
 */
int mf_capture_prove(struct mf_capture *cap, struct mf_err *err);

/**
 * mf_capture_take_workspace() - The /dev/fuse descriptor of options.workspace, once after mf_capture_prove(); the caller's from then on
 * Return: it, or -1: there is none
 */
int mf_capture_take_workspace(struct mf_capture *cap);

/**
 * mf_capture_take_guests() - The caller's end of the guests' device, once after mf_capture_prove(); the caller's from then on
 * Non-blocking; each packet has a struct virtio_net_hdr before it, in both directions. Return: it, or -1: a session of a command
 */
int mf_capture_take_guests(struct mf_capture *cap);

/*
 * The @i-th listener of a protocol, non-blocking, borrowed; -1: there are no more. On Linux there is one, in the
 * namespace, an IPv6 socket that takes both families (mapped addresses); on Windows one for each family, the second one
 * (IPv6) once mf_capture_prove() has seen that it is reached. Whose a connection or datagram is says mf_capture_find_flow(), by what accept() and getsockname() say, for UDP by the
 * sender and the control data that come with it (IP_ORIGDSTADDR, IPV6_ORIGDSTADDR).
 */
#define MF_CAPTURE_LISTENERS_MAX 2
int mf_capture_tcp_fd(const struct mf_capture *cap, unsigned i);
int mf_capture_udp_fd(const struct mf_capture *cap, unsigned i);

/**
 * mf_capture_find_flow() - The flow behind what a listener sees
 * @cap:   a struct mf_capture, as for a callback
 * @peer:  where it comes from; @local: where it arrived
 * Return: 0; MF_E_NOENT: nobody's, to be dropped before a byte is read
 */
int mf_capture_find_flow(void *cap, enum mf_proto proto, const struct mf_endpoint *peer,
			 const struct mf_endpoint *local, struct mf_session_flow *ret);

/*
 * Packets: for backends that have them. The owner calls mf_capture_run_packets() whenever the descriptor is readable or
 * the deadline is over; flows reach the listeners by that alone. mf_capture_prove() does so itself until it returns.
 */

/** mf_capture_packet_fd() - Readable when there are packets; -1: this backend has none, or the session was cut */
int mf_capture_packet_fd(const struct mf_capture *cap);
/** mf_capture_run_packets() - One batch. Return: packets handled, 0 for none now, MF_E_CLOSED after a cut */
int mf_capture_run_packets(struct mf_capture *cap);
/** mf_capture_has_packets() - The last batch was not all that there was */
bool mf_capture_has_packets(const struct mf_capture *cap);
/** mf_capture_packet_deadline() - On mf_clock_system; UINT64_MAX: none */
uint64_t mf_capture_packet_deadline(const struct mf_capture *cap);
/** mf_capture_may_spin() - Whether looking for the next packet for a moment, instead of sleeping, leaves a processor for others */
bool mf_capture_may_spin(const struct mf_capture *cap);
/** mf_capture_was_preempted() - Had the calling thread to make room for somebody since it asked last? */
bool mf_capture_was_preempted(struct mf_capture *cap);
/**
 * mf_capture_set_judge() - Who is asked about a flow before its first packet is answered; without, all go to the listeners
 * @judge: fills @ret, which is MF_FLOW_PROXY without a redirect when it is called. Return: 0, or MF_E_* (a failure that
 *         counts towards the fail mode)
 */
void mf_capture_set_judge(struct mf_capture *cap,
			  int (*judge)(void *ctx, const struct mf_session_flow *flow,
				       struct mf_flow_verdict *ret),
			  void *ctx);
/** mf_capture_gather() - Counters of packets, into Prometheus metrics, at the end of a session: no thread carries packets after it */
void mf_capture_gather(struct mf_capture *cap, struct mf_metrics *metrics);

/** mf_capture_get_ops() - What the proxies need of the session; valid until mf_capture_free() */
void mf_capture_get_ops(struct mf_capture *cap, struct mf_session_ops *ret);

/**
 * mf_capture_exec() - Let the command start
 * @ret_exit_code: on failure what a shell would exit with: 127 not found, 126 not executable; may be NULL
 * Return: 0, MF_E_NOENT, MF_E_PERM, MF_E_IO (cannot be executed), MF_E_INVAL (not proven)
 */
int mf_capture_exec(struct mf_capture *cap, int *ret_exit_code, struct mf_err *err);

enum mf_capture_event_kind {
	MF_CAPTURE_EXITED, /* the command ended; status and signal */
	MF_CAPTURE_STOPPED, /* the command was stopped by signal: flush what must be, then mf_capture_stop_like() */
	MF_CAPTURE_RESUMED, /* the command goes on */
	MF_CAPTURE_DRIFT, /* the fence is not as we built it; traffic is cut already; text says what differs */
	MF_CAPTURE_MASKED, /* text is a Unix socket of the host that appeared and is out of reach from now on */
	/* text is what somebody in the session tried and may not: a refused system call, or a packet that is neither TCP
	 * nor UDP; pid is 0 for packets. At most 20 a second are told. */
	MF_CAPTURE_REFUSED,
	/* text is what went wrong with packets, or that it goes well again */
	MF_CAPTURE_PACKETS,
	MF_CAPTURE_EVENT_NUM
};

struct mf_capture_event {
	enum mf_capture_event_kind kind;
	int status; /* EXITED: exit status, 128 + signal after a death by signal */
	int signal; /* EXITED, STOPPED: the signal, else 0 */
	bool core_dumped;
	int64_t pid;	/* REFUSED: who tried */
	char text[256]; /* DRIFT, MASKED, REFUSED, PACKETS */
};

/** mf_capture_fd() - Readable when mf_capture_next_event() has work to do; borrowed; on Windows a socket */
int mf_capture_fd(const struct mf_capture *cap);

/** mf_capture_has_event() - One waits already: mf_capture_run_packets() may have queued it, and the descriptor does not say */
bool mf_capture_has_event(const struct mf_capture *cap);

/** mf_capture_next_event() - Handle what happened, never block; Return: true with an event, false when there is none */
bool mf_capture_next_event(struct mf_capture *cap, struct mf_capture_event *ret);

/**
 * mf_capture_stop_like() - After a STOPPED event: stop this process in the same way, so that the shell sees it; returns
 * when somebody continues us, and has continued the command then
 */
void mf_capture_stop_like(struct mf_capture *cap, const struct mf_capture_event *ev);

/** mf_capture_cut() - End all traffic of the session for good: listeners closed, lo and any other device down */
void mf_capture_cut(struct mf_capture *cap);

/** mf_capture_backend_name() - As in events and on the command line: "tproxy", "tun", "windivert", "block" */
const char *mf_capture_backend_name(enum mf_capture_backend backend);
/** mf_capture_backend_find() - Return: an enum mf_capture_backend, MF_E_NOENT */
int mf_capture_backend_find(const char *name);
/** mf_capture_backend_default() - This system's own */
enum mf_capture_backend mf_capture_backend_default(void);

/**
 * mf_capture_helper_main() - Call it first in main(): a backend may start this program once more, as a helper of its own
 * Return: true when this is such a process, and with what it is to end; false: go on
 */
bool mf_capture_helper_main(int argc, char **argv, int *ret_status);

/** mf_capture_pid() - The command's process id, 0 before it exists */
int64_t mf_capture_pid(const struct mf_capture *cap);

/* What mf_capture_prove() and the set-up took, for benches and logs. */
struct mf_capture_timing {
	uint64_t namespace_ns; /* user, network, mount and IPC namespace with their maps */
	uint64_t mounts_ns;    /* masked sockets, resolv.conf, read-only parts */
	uint64_t links_ns;     /* lo, addresses, routes */
	uint64_t rules_ns;     /* nftables */
	uint64_t restrict_ns;  /* capabilities, seccomp, descriptors */
	uint64_t probes_ns;    /* all probes */
	uint64_t total_ns;     /* from mf_capture_new() to the end of mf_capture_prove() */
};
void mf_capture_get_timing(const struct mf_capture *cap, struct mf_capture_timing *ret);

/**
 * mf_capture_is_inside() - Windows: whether a process is of the session, or may be: true where Windows lets nobody look. Any thread
 * Elsewhere false: what is outside is out of their reach.
 */
bool mf_capture_is_inside(const struct mf_capture *cap, int64_t pid);

/** mf_capture_free() - Kill a command that has not ended (SIGKILL), end the helpers, reap both; NULL is fine */
void mf_capture_free(struct mf_capture *cap);

/** mf_capture_exit_like() - End this process as the command ended: exit status, or death by the same signal */
_Noreturn void mf_capture_exit_like(const struct mf_capture_event *exited);

#endif
