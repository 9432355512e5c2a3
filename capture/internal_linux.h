/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal_linux.h - what the parts of the Linux backend share; docs/internals/capture-linux.md is the map
 *
 * Glossary. Caller: the process of mf_capture_new(). Opener: the helper that stays in the namespace with privileges over
 * it. Command: the child of the caller that becomes the user's program; the opener clones it, as its own sibling.
 */
#ifndef MF_CAPTURE_INTERNAL_LINUX_H
#define MF_CAPTURE_INTERNAL_LINUX_H

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/types.h>

#include "capture/capture.h"
#include "core/base/clock.h"
#include "core/base/printf.h"

/*
 * Port of the listeners inside the namespace. Unassigned by IANA and privileged, so that no server of the session wants
 * it and no client port is ever it.
 */
#define MF_CAPTURE_PORT 4
/*
 * The session's own addresses: out of the benchmarking block (RFC 2544), where hardly anybody has a real peer, and a
 * locally assigned prefix (RFC 4193), whose label makes resolvers prefer IPv4 destinations where both exist (RFC 6724).
 */
#define MF_CAPTURE_OWN4	       "198.19.255.2"
#define MF_CAPTURE_OWN6	       "fd6d:6f6f:6e66::2"
#define MF_CAPTURE_DNS4	       "198.19.255.53" /* in resolv.conf; nobody has it, so it is captured */
#define MF_CAPTURE_NFLOG_GROUP 4
#define MF_CAPTURE_TUN_NAME    "tun0"
#define MF_CAPTURE_GUEST_NAME  "guest0"

/* paths_linux.c: a bounded, sorted set of paths, and where the host's Unix sockets are */

#define MF_CAPTURE_PATHS_MAX 8192 /* a desktop has a few hundred */

struct mf_capture_paths {
	char **v; /* sorted */
	size_t cnt, room;
};

/* Return: 1 added, 0 there already, MF_E_NOMEM, MF_E_FULL */
int mf_capture_paths_add(struct mf_capture_paths *p, const char *path, size_t len);
bool mf_capture_paths_has(const struct mf_capture_paths *p, const char *path);
void mf_capture_paths_done(struct mf_capture_paths *p);
/* Add the absolute paths in @text, what /proc/net/unix says; Return: number of relative names, which cannot be added */
int mf_capture_paths_parse_unix(struct mf_capture_paths *p, const char *text, size_t len);
/* Add all sockets below @dir; no symbolic links, at most @depth levels and @budget entries */
void mf_capture_paths_walk(struct mf_capture_paths *p, const char *dir, unsigned depth,
			   unsigned *budget);
/* Add sockets that are mount points themselves, out of /proc/self/mountinfo */
void mf_capture_paths_parse_mountinfo(struct mf_capture_paths *p, const char *text, size_t len);
/* All of @fd from its beginning, NUL-terminated, malloc()ed; at most @cap bytes. Return: 0, MF_E_IO, MF_E_NOMEM */
int mf_capture_read_fd(int fd, size_t cap, char **ret_text, size_t *ret_len);
int mf_capture_read_file(const char *path, size_t cap, char **ret_text, size_t *ret_len);
/* @path is in @list or below a directory in it */
bool mf_capture_path_covered(const char *path, const char *const *list, size_t cnt);

/* files_linux.c: the session's resolv.conf and nsswitch.conf, from the host's (pure) */

/* Search list and options kept, name servers replaced by @server; @text may be NULL */
void mf_capture_files_resolv(const char *text, const char *server, char *ret, size_t size);
/* The hosts line keeps files, dns and myhostname; false if nothing changes */
bool mf_capture_files_nsswitch(const char *text, char *ret, size_t size);

/* Messages between the processes: one SEQPACKET each, descriptors beside it. */

enum mf_capture_msg_kind {
	MF_CAPTURE_MSG_READY, /* opener -> caller: namespace stands; descriptors of enum mf_capture_fd_kind */
	MF_CAPTURE_MSG_FAILED, /* opener or command -> caller: code and text */
	MF_CAPTURE_MSG_PROBED, /* command -> caller: done; perhaps the descriptor of refused system calls */
	MF_CAPTURE_MSG_GO,     /* caller -> command: exec */
	MF_CAPTURE_MSG_NOEXEC, /* command -> caller: value is errno of exec */
	MF_CAPTURE_MSG_OPEN,   /* caller -> opener: UDP sockets of family value, please */
	MF_CAPTURE_MSG_OPENED, /* opener -> caller: with descriptors */
	MF_CAPTURE_MSG_RESCAN, /* caller -> opener: look for new sockets of the host; also a heart-beat */
	MF_CAPTURE_MSG_MASKED,	  /* opener -> caller: text is a path that was masked */
	MF_CAPTURE_MSG_RESCANNED, /* opener -> caller: done */
	MF_CAPTURE_MSG_NOTE,	  /* command -> caller: text for the log */
	MF_CAPTURE_MSG_NUM
};

/* Descriptors that READY carries, in this order. */
enum mf_capture_fd_kind {
	MF_CAPTURE_FD_TCP,
	MF_CAPTURE_FD_UDP,
	MF_CAPTURE_FD_ROUTE,	   /* NETLINK_ROUTE for requests */
	MF_CAPTURE_FD_STATE,	   /* NETLINK_ROUTE for looking, see netstate_linux.c */
	MF_CAPTURE_FD_ROUTE_WATCH, /* NETLINK_ROUTE, changes of links, addresses, routes, rules */
	MF_CAPTURE_FD_NFT_WATCH,   /* NETLINK_NETFILTER, changes of rules */
	MF_CAPTURE_FD_NFT,	   /* NETLINK_NETFILTER for requests */
	MF_CAPTURE_FD_NFLOG, /* NETLINK_NETFILTER, packets that were refused; /dev/null if there is no such thing */
	MF_CAPTURE_FD_DIAG,  /* NETLINK_SOCK_DIAG */
	MF_CAPTURE_FD_ICMP4, /* raw */
	MF_CAPTURE_FD_ICMP6, /* raw; /dev/null without IPv6 */
	MF_CAPTURE_FD_TUN, /* the caller's ends of the device, one a queue; none without such a backend or guests */
	MF_CAPTURE_FD_NUM = MF_CAPTURE_FD_TUN + MF_CAPTURE_TUN_QUEUES_MAX
};

#define MF_CAPTURE_MSG_FDS_MAX 24
#define MF_CAPTURE_OPEN_BATCH  8 /* UDP sockets per round trip to the opener */

struct mf_capture_msg {
	uint32_t kind; /* enum mf_capture_msg_kind */
	int32_t value;
	int64_t pid;
	struct mf_capture_timing timing;
	char text[768];
};

/* Return: 0 or MF_E_CLOSED, MF_E_IO, MF_E_AGAIN (non-blocking) */
int mf_capture_msg_send(int sock, const struct mf_capture_msg *m, const int *fds, size_t fd_cnt);
/* Received descriptors are close-on-exec. @fds has MF_CAPTURE_MSG_FDS_MAX places; Return: 1, 0 nothing yet, MF_E_CLOSED, ... */
int mf_capture_msg_recv(int sock, bool wait, struct mf_capture_msg *m, int *fds, size_t *fd_cnt);

#define MF_CAPTURE_BUNDLES_MAX 9	  /* of certificate authorities */
#define MF_CAPTURE_BUNDLE_MAX  (8u << 20) /* bytes */
#define MF_CAPTURE_CA_MAX      (64u << 10)

struct mf_capture_bundle {
	char *path; /* without symbolic links */
	int fd;
	size_t size;
};

struct mf_capture_trust {
	struct mf_capture_bundle bundle[MF_CAPTURE_BUNDLES_MAX];
	size_t cnt;
	const char *
		system; /* the first bundle of the system by its usual name, NULL if there is none */
	char alone[128]; /* path of a file of the session's certificate only, "" if there is none */
	char note[640];	 /* for the log, "" if there is nothing to say */
};

/* What the children know: made by the caller before it forks. */
struct mf_capture_plan {
	const struct mf_capture_options *options;
	uid_t uid;
	gid_t gid;
	pid_t caller;
	sigset_t command_mask;		 /* signal mask that the command gets */
	struct mf_capture_paths sockets; /* of the host at the start */
	char resolv[4096], nsswitch[8192];
	bool has_nsswitch;
	int unix_fd; /* the host's /proc/net/unix */
	char port_start
		[16];	  /* net.ipv4.ip_unprivileged_port_start for the session, "" to leave it */
	int opener_sock;  /* the opener's end */
	int command_sock; /* the command's end */
	/* the caller's ends, to be closed by the children */
	int caller_opener_sock, caller_command_sock;
	bool has6;		       /* set by the opener */
	struct mf_capture_trust trust; /* filled by the opener, before it clones the command */
	uint8_t nonce[16];	       /* of the probes */
	char cwd[PATH_MAX];	       /* of the command; with a workspace only */
	int workspace_fd;	       /* the opener's, until it has passed it on */
	uint64_t started_ns;
};

/* opener_linux.c */
_Noreturn void mf_capture_opener_main(struct mf_capture_plan *plan);

/* command_linux.c */
_Noreturn void mf_capture_command_main(struct mf_capture_plan *plan);

/* probe_linux.c. The probes go to documentation blocks (RFC 5737, RFC 3849), which no network routes. */
#define MF_CAPTURE_PROBE4	  "203.0.113.86"
#define MF_CAPTURE_PROBE6	  "2001:db8:6d6f:6f6e::86"
#define MF_CAPTURE_PROBE_RESOLVER "127.0.0.53" /* what systemd-resolved hosts have in resolv.conf */
#define MF_CAPTURE_PROBE_TCP_PORT 8647
#define MF_CAPTURE_PROBE_UDP_PORT 53

enum mf_capture_probe {
	MF_CAPTURE_PROBE_TCP4,
	MF_CAPTURE_PROBE_UDP4,
	MF_CAPTURE_PROBE_LOOPBACK_DNS,
	MF_CAPTURE_PROBE_TCP6,
	MF_CAPTURE_PROBE_UDP6,
	MF_CAPTURE_PROBE_NUM
};

/* In the command: send all probes, wait for their answers, and see that loopback is not captured */
int mf_capture_probe_send(const struct mf_capture_plan *plan, struct mf_err *err);
/*
 * In the caller: take what is waiting at the listeners and answer it. @seen has a bit for each enum mf_capture_probe.
 * Return: 0, or MF_E_IO when something arrived that is no probe of ours
 */
int mf_capture_probe_take_tcp(struct mf_capture *cap, unsigned *seen, struct mf_err *err);
int mf_capture_probe_take_udp(struct mf_capture *cap, unsigned *seen, struct mf_err *err);

/* mounts_linux.c, in the opener */
int mf_capture_mounts_build(struct mf_capture_plan *plan, struct mf_err *err);
/* Mount options.workspace; from then on whoever looks there waits for the caller. Sets plan->workspace_fd */
int mf_capture_mounts_workspace(struct mf_capture_plan *plan, struct mf_err *err);
/* Mask @path if it is a socket; Return: 1 masked, 0 not a socket (any more) or allowed, MF_E_IO */
int mf_capture_mounts_mask(const struct mf_capture_plan *plan, const char *path);

/* links_linux.c: devices, addresses, routes, sockets of the namespace */
/* Sets plan->has6. @ret_tun_fds: the caller's ends of the TUN device, as many as it has queues; untouched with another backend */
int mf_capture_links_build(struct mf_capture_plan *plan, int *ret_tun_fds, struct mf_err *err);
/* All descriptors but those of the TUN device */
int mf_capture_links_open(bool has6, int fds[static MF_CAPTURE_FD_TUN], struct mf_err *err);
int mf_capture_links_open_udp(int family);
/* Every device down, through @route_fd; any process may call it that owns the namespace. Return: 0, MF_E_IO */
int mf_capture_links_down(int route_fd);

/* tunlink_linux.c, in the opener: make the device tun0 (guest0), up and without addresses, through @route_fd */
int mf_capture_tun_make(int route_fd, const struct mf_capture_options *options, bool has6,
			int *ret_fds, int *ret_index, struct mf_err *err);
/* How many queues, and so descriptors, the session's device has; 0 with another backend */
static inline unsigned mf_capture_tun_queues(const struct mf_capture_options *o)
{
	return o->backend == MF_CAPTURE_TUN ? o->tun_queues : o->guests != NULL;
}

/* trust_linux.c; without options->extra_ca_pem all three do nothing */

/* Open the bundles that are to be covered, before anything else is mounted. @ret_room: bytes that their copies take */
int mf_capture_trust_open(struct mf_capture_plan *plan, size_t *ret_room, struct mf_err *err);
/* Write the copies into the tmpfs at @dir and mount them; closes what was opened */
int mf_capture_trust_place(struct mf_capture_plan *plan, const char *dir, struct mf_err *err);
/* In the command, when environ is what it will have: SSL_CERT_FILE and NODE_EXTRA_CA_CERTS where they are not set */
void mf_capture_trust_set_variables(const struct mf_capture_plan *plan);

/* netstate_linux.c: links, addresses, routes and rules of the namespace, to be compared with what was built */

#define MF_CAPTURE_STATE_MAX 64 /* entries; about 20 are built */

struct mf_capture_netstate_entry {
	uint64_t hash;	/* over all that counts */
	char text[120]; /* "the route to 10.0.0.0/8 in table 254" */
};

struct mf_capture_netstate {
	struct mf_capture_netstate_entry v[MF_CAPTURE_STATE_MAX];
	size_t cnt;
	bool more; /* than that; the socket is of no use any more then */
	uint64_t seed;
};

/*
 * Look, through a NETLINK_ROUTE socket that is used for nothing else; never blocks. @seed: of the hashes, the same for
 * all states that are compared; @seq: counts the requests. Cost: a dozen system calls, 50 us. Return: 0, MF_E_IO,
 * MF_E_AGAIN (three times something changed meanwhile)
 */
int mf_capture_netstate_read(int fd, uint64_t seed, uint32_t *seq, struct mf_capture_netstate *ret);
/* Return: true with the first difference in @text */
bool mf_capture_netstate_differs(const struct mf_capture_netstate *built,
				 const struct mf_capture_netstate *now, char *text, size_t size);

/* rules_linux.c */
int mf_capture_rules_load(const struct mf_capture_options *options, bool has6, bool *ret_logs,
			  struct mf_err *err);
/* The number that the kernel counts up with each change of rules. Return: 0, MF_E_PERM, MF_E_IO */
int mf_capture_rules_generation(int nft_fd, uint32_t *ret);

/* lockdown_linux.c, in the command */
/* Close inherited descriptors that reach out of the namespace; @keep never. */
int mf_capture_lock_fds(const struct mf_capture_plan *plan, const int *keep, size_t keep_cnt,
			struct mf_err *err);
int mf_capture_lock_privileges(struct mf_err *err);
/* @ret_notify_fd: where the caller hears of refused system calls, -1 without */
int mf_capture_lock_syscalls(int *ret_notify_fd, struct mf_err *err);
/* Signals and abstract sockets stay inside where the kernel has that (Landlock ABI 6); Return: 1 done, 0 not here */
int mf_capture_lock_scope(void);

/* The caller's side. */

#define MF_CAPTURE_POOL_MAX	 (2 * MF_CAPTURE_OPEN_BATCH)
#define MF_CAPTURE_EVENTS_MAX	 64
#define MF_CAPTURE_ARGS_MAX	 64   /* of one process */
#define MF_CAPTURE_ARGS_TEXT_MAX 4096 /* bytes */

struct mf_capture_pool {
	int fd[MF_CAPTURE_POOL_MAX];
	size_t cnt;
};

/* The answer of find_process, and what makes the next one cheap. */
struct mf_capture_who {
	int64_t last_pid; /* looked at first: most flows come from the process that the last one came from */
	uint64_t netns; /* inode of the session's network namespace, 0: not known yet */
	char name[64], exe[4096], user[64], text[MF_CAPTURE_ARGS_TEXT_MAX];
	const char *args[MF_CAPTURE_ARGS_MAX + 1];
};

enum mf_capture_state {
	MF_CAPTURE_BUILDING,
	MF_CAPTURE_PROVEN,
	MF_CAPTURE_RUNNING,
	MF_CAPTURE_ENDED,  /* the command was reaped */
	MF_CAPTURE_BROKEN, /* building or proving failed */
	MF_CAPTURE_STATE_NUM
};

struct mf_capture {
	struct mf_capture_options options;
	struct mf_capture_plan plan;
	enum mf_capture_state state;
	pid_t opener, command; /* 0: none, or reaped */
	int opener_sock, command_sock;
	int fd[MF_CAPTURE_FD_NUM];
	int epoll_fd, signal_fd, timer_fd, notify_fd;
	int workspace_fd;		/* /dev/fuse, until it is taken */
	struct mf_capture_pool pool[2]; /* IPv4, IPv6 */
	struct mf_capture_who who;
	struct mf_capture_timing timing;
	struct mf_capture_packets *packets; /* packets_linux.c; NULL with TPROXY */

	/* events_linux.c */
	struct mf_capture_event queue[MF_CAPTURE_EVENTS_MAX];
	size_t queue_at, queue_cnt;
	bool cut, drifted;
	bool rescanning; /* asked and not answered */
	unsigned rescan_late;
	uint64_t rescan_since_ns;
	bool has_generation;
	uint32_t generation; /* of the rules as we loaded them */
	struct mf_capture_netstate built,
		now; /* links to rules: as we built them, and at the last look */
	uint32_t state_seq;
	uint64_t refused_since_ns;
	unsigned refused_cnt; /* told since then */

	/* signals_linux.c */
	sigset_t taken;	     /* signals that we blocked */
	sigset_t saved_mask; /* the caller's before */
	bool stopped;
	pid_t stopped_group; /* the command's group held the terminal when it stopped; else 0 */
};

/* packets_linux.c */
int mf_capture_packets_new(struct mf_capture *cap, struct mf_err *err);
/* No thread touches a packet from now on */
void mf_capture_packets_stop(struct mf_capture *cap);
void mf_capture_packets_free(struct mf_capture *cap);
int mf_capture_packets_refuse_udp(struct mf_capture *cap, const struct mf_session_flow *flow,
				  const uint8_t *payload, size_t len);
/* A flow of loopback, which the kernel hands over in either backend */
bool mf_capture_packets_is_loopback(const struct mf_endpoint *server);

/* events_linux.c */
void mf_capture_events_tell(struct mf_capture *cap, enum mf_capture_event_kind kind,
			    const char *text);
int mf_capture_events_begin(struct mf_capture *cap, struct mf_err *err);
/* Remember the namespace as it was built: as early as its descriptors are there */
int mf_capture_events_record(struct mf_capture *cap, struct mf_err *err);
void mf_capture_events_drift(struct mf_capture *cap, const char *fmt, ...) MF_PRINTF(2, 3);
/* A message of the opener that came while something else was awaited; @fds are taken */
void mf_capture_events_take_msg(struct mf_capture *cap, const struct mf_capture_msg *m,
				const int *fds, size_t fd_cnt);

/* signals_linux.c */
int mf_capture_signals_block(struct mf_capture *cap, struct mf_err *err);
void mf_capture_signals_restore(struct mf_capture *cap);
struct signalfd_siginfo;
void mf_capture_signals_forward(struct mf_capture *cap, const struct signalfd_siginfo *si);
void mf_capture_signals_note_stop(struct mf_capture *cap);

/* orphans_linux.c: nothing, but where options.own_orphans says it */
int mf_capture_orphans_adopt(struct mf_capture *cap, struct mf_err *err);
void mf_capture_orphans_reap(struct mf_capture *cap);
void mf_capture_orphans_kill(struct mf_capture *cap);

/* ops_linux.c */
int mf_capture_ops_find_process(void *ctx, const struct mf_session_flow *flow,
				struct mf_process *ret);
int mf_capture_ops_open_udp(void *ctx, const struct mf_session_flow *flow);
int mf_capture_ops_refuse_udp(void *ctx, const struct mf_session_flow *flow, const uint8_t *packet,
			      size_t len);
/* @pid runs in the session's network namespace */
bool mf_capture_ops_is_inside(struct mf_capture *cap, int64_t pid);

static inline int mf_capture_errno_code(int e)
{
	return e == ENOMEM ? MF_E_NOMEM : e == EPERM || e == EACCES ? MF_E_PERM : MF_E_IO;
}

#endif
