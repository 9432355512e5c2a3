/* SPDX-License-Identifier: Apache-2.0 */
/*
 * events.h - what happened, one JSON object a line
 *
 *	struct mf_event ev;                                    // on the stack, no allocation
 *	mf_event_begin(&ev, &(struct mf_event_head){ .type = MF_EV_DNS_REDIRECT, .session_id = s->id,
 *		.domain = name, .decision = &d });
 *	mf_event_add_str(&ev, MF_EVF_RESOLVED_TO, "10.0.0.7", 8);
 *	mf_events_send(s->events, &ev);
 *
 * docs/events.md lists every type and field; a test compares it with the tables behind mf_event_type_info(). To add a
 * type or a field: a line in MF_EVENT_TYPES or MF_EVENT_FIELDS below, its fields in event_table.c, its page in the docs.
 *
 * How it works
 *
 * mf_event_begin() and _add write JSON straight into the event's buffer; text is escaped, bytes that are not UTF-8 become
 * U+FFFD, paths that are not UTF-8 get a lossless "path_b64" beside them. What does not fit is left out and "truncated"
 * says so. mf_events_send() copies the line into one bounded queue per sink and returns; a thread per sink writes whole
 * lines in batches. A slow or full sink therefore stops nobody and no other sink: its queue fills up, the last quarter of
 * it takes only denials, diversions and the like, then lines are dropped and counted, and once there is room an
 * events_dropped line says how many are missing.
 *
 * Strict streams (mf_events_be_strict()): who is about to do something that an event will tell of asks mf_events_storing()
 * before. A journal sets aside, in advance, room for two queues (what waits and what is being written), so that the disk which fills up is
 * noticed while everything that was let through still finds its place.
 *
 * Visibility: a silent decision makes no event, only a counter moves; "warn" also gives a line to the notice callback.
 *
 * Threads: one struct mf_events may be used by any thread; an event by one.
 */
#ifndef MF_OBSERVE_EVENTS_H
#define MF_OBSERVE_EVENTS_H

#include "core/base/addr.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/log.h"

/* id, name in the JSON, urgent (may use the reserved part of the queue whatever was decided) */
#define MF_EVENT_TYPES(X)                                               \
	X(SESSION_START, "session_start", true)                         \
	X(SESSION_END, "session_end", true)                             \
	X(DNS_QUERY, "dns_query", false)                                \
	X(DNS_REDIRECT, "dns_redirect", true)                           \
	X(NET_CONNECT, "net_connect", false)                            \
	X(CONNECT_REDIRECT, "connect_redirect", true)                   \
	X(CONNECT_REDIRECT_FALLBACK, "connect_redirect_fallback", true) \
	X(NET_TLS_HELLO, "net_tls_hello", false)                        \
	X(NET_TLS_INTERCEPT, "net_tls_intercept", false)                \
	X(NET_HTTP_REQUEST, "net_http_request", false)                  \
	X(NET_CLOSE, "net_close", false)                                \
	X(FILE_OPEN, "file_open", false)                                \
	X(FILE_READ, "file_read", false)                                \
	X(FILE_WRITE, "file_write", false)                              \
	X(FILE_CREATE, "file_create", false)                            \
	X(FILE_DELETE, "file_delete", false)                            \
	X(FILE_RENAME, "file_rename", false)                            \
	X(FILE_STAT, "file_stat", false)                                \
	X(FILE_CHMOD, "file_chmod", false)                              \
	X(FILE_TRUNCATE, "file_truncate", false)                        \
	X(FILE_SOFT_DELETE, "file_soft_delete", true)                   \
	X(DIR_CREATE, "dir_create", false)                              \
	X(DIR_DELETE, "dir_delete", false)                              \
	X(DIR_LIST, "dir_list", false)                                  \
	X(SYMLINK_CREATE, "symlink_create", false)                      \
	X(SYMLINK_READ, "symlink_read", false)                          \
	X(PATH_REDIRECT, "path_redirect", true)                         \
	X(TRASH_RESTORE, "trash_restore", true)                         \
	X(TRASH_PURGE, "trash_purge", true)                             \
	X(TRASH_FULL, "trash_full", true)                               \
	X(MONITOR_OVERFLOW, "monitor_overflow", true)                   \
	X(POLICY_LOADED, "policy_loaded", true)                         \
	X(POLICY_CHANGED, "policy_changed", true)                       \
	X(POLICY_RELOAD_FAILED, "policy_reload_failed", true)           \
	X(POLICY_ERROR, "policy_error", true)                           \
	X(POLICY_QUARANTINED, "policy_quarantined", true)               \
	X(TRANSPARENT_NET_SETUP, "transparent_net_setup", true)         \
	X(TRANSPARENT_NET_FAILED, "transparent_net_failed", true)       \
	X(CAPTURE_READY, "capture_ready", true)                         \
	X(CAPTURE_DRIFT, "capture_drift", true)                         \
	X(CAPTURE_REFUSED, "capture_refused", true)                     \
	X(CAPTURE_MASKED, "capture_masked", true)                       \
	X(CAPTURE_PACKETS, "capture_packets", true)                     \
	X(APPROVAL_REQUESTED, "approval_requested", true)               \
	X(APPROVAL_ANSWERED, "approval_answered", true)                 \
	X(APPROVAL_EXPIRED, "approval_expired", true)                   \
	X(APPROVAL_WITHDRAWN, "approval_withdrawn", true)               \
	X(APPROVAL_REFUSED, "approval_refused", true)                   \
	X(GUEST_JOINED, "guest_joined", true)                           \
	X(GUEST_LEFT, "guest_left", true)                               \
	X(GATEWAY_OPEN, "gateway_open", false)                          \
	X(GATEWAY_CLOSE, "gateway_close", false)                        \
	X(GATEWAY_REFUSED, "gateway_refused", false)                    \
	X(EVENTS_DROPPED, "events_dropped", true)

/* id, name in the JSON, value: STR, INT, BOOL, LIST (of strings) */
#define MF_EVENT_FIELDS(X)                                 \
	X(ACTION, "action", STR)                           \
	X(ADDRESS, "address", STR)                         \
	X(ALIASES, "aliases", LIST)                        \
	X(ALPN, "alpn", LIST)                              \
	X(ANSWER, "answer", STR)                           \
	X(APPROVAL, "approval", INT)                       \
	X(ASKED, "asked", LIST)                            \
	X(ARGV, "argv", LIST)                              \
	X(BACKEND, "backend", STR)                         \
	X(BLOCKED, "blocked", BOOL)                        \
	X(BY_PID, "by_pid", INT)                           \
	X(BY_UID, "by_uid", INT)                           \
	X(BYTES, "bytes", INT)                             \
	X(BYTES_RECEIVED, "bytes_received", INT)           \
	X(BYTES_SENT, "bytes_sent", INT)                   \
	X(CLIENT, "client", STR)                           \
	X(CODE, "code", INT)                               \
	X(CONNECTIONS, "connections", INT)                 \
	X(COUNT, "count", INT)                             \
	X(DENIED, "denied", INT)                           \
	X(DNS_QUERIES, "dns_queries", INT)                 \
	X(DROPPED, "dropped", LIST)                        \
	X(DURATION_MS, "duration_ms", INT)                 \
	X(ECH, "ech", BOOL)                                \
	X(ELAPSED_US, "elapsed_us", INT)                   \
	X(ERROR, "error", STR)                             \
	X(ERRORS, "errors", INT)                           \
	X(EXIT_CODE, "exit_code", INT)                     \
	X(FAIL_MODE, "fail_mode", STR)                     \
	X(FILE, "file", STR)                               \
	X(FOR_MS, "for_ms", INT)                           \
	X(FROM_PATH, "from_path", STR)                     \
	X(GENERATION, "generation", INT)                   \
	X(GUEST, "guest", INT)                             \
	X(HOW, "how", STR)                                 \
	X(IPS, "ips", LIST)                                \
	X(JA4, "ja4", STR)                                 \
	X(KIND, "kind", STR)                               \
	X(LINE, "line", INT)                               \
	X(LOST, "lost", BOOL)                              \
	X(MAC, "mac", STR)                                 \
	X(MESSAGE, "message", STR)                         \
	X(METHOD, "method", STR)                           \
	X(MODE, "mode", INT)                               \
	X(NAMES, "names", LIST)                            \
	X(NLINK, "nlink", INT)                             \
	X(ORIGINAL, "original", STR)                       \
	X(ORIGINAL_HOST, "original_host", STR)             \
	X(POLICIES, "policies", LIST)                      \
	X(POLICY, "policy", STR)                           \
	X(PREFIX, "prefix", STR)                           \
	X(PREVIOUS_GENERATION, "previous_generation", INT) \
	X(PROBE_MS, "probe_ms", INT)                       \
	X(PROTO, "proto", STR)                             \
	X(QTYPE, "qtype", STR)                             \
	X(QUIC, "quic", BOOL)                              \
	X(RCODE, "rcode", STR)                             \
	X(REASON, "reason", STR)                           \
	X(REDIRECT_ATTEMPTED, "redirect_attempted", STR)   \
	X(REDIRECT_SNI, "redirect_sni", STR)               \
	X(REDIRECT_TO, "redirect_to", STR)                 \
	X(REDIRECT_TO_UNIX, "redirect_to_unix", STR)       \
	X(RESOLVED_IP, "resolved_ip", STR)                 \
	X(RESOLVED_TO, "resolved_to", STR)                 \
	X(RESTORE_HINT, "restore_hint", STR)               \
	X(RULE, "rule", STR)                               \
	X(RULES, "rules", INT)                             \
	X(RUN, "run", STR)                                 \
	X(SCOPE, "scope", STR)                             \
	X(SIGNAL, "signal", INT)                           \
	X(SINK, "sink", STR)                               \
	X(SIZE, "size", INT)                               \
	X(SNI, "sni", STR)                                 \
	X(SNI_VERIFIED, "sni_verified", BOOL)              \
	X(STATUS, "status", STR)                           \
	X(TARGET, "target", STR)                           \
	X(TESTS, "tests", INT)                             \
	X(TIMEOUT_MS, "timeout_ms", INT)                   \
	X(TLS_MODE, "tls_mode", STR)                       \
	X(TO_PATH, "to_path", STR)                         \
	X(TRANSPORT, "transport", STR)                     \
	X(TRASH_TOKEN, "trash_token", STR)                 \
	X(TTL, "ttl", INT)                                 \
	X(UNTOLD, "untold", INT)                           \
	X(UPSTREAM, "upstream", STR)                       \
	X(URL_PATH, "url_path", STR)                       \
	X(VERSION, "version", STR)                         \
	X(VERSIONS, "versions", LIST)                      \
	X(VISIBILITY, "visibility", STR)                   \
	X(WOULD, "would", STR)

enum mf_event_type {
#define X(id, name, urgent) MF_EV_##id,
	MF_EVENT_TYPES(X)
#undef X
		MF_EV_NUM
};

enum mf_event_field {
#define X(id, name, value) MF_EVF_##id,
	MF_EVENT_FIELDS(X)
#undef X
		MF_EVF_NUM
};

enum mf_event_value {
	MF_EVENT_STR,
	MF_EVENT_INT,
	MF_EVENT_BOOL,
	MF_EVENT_LIST,
	MF_EVENT_VALUE_NUM
};

/* What a type looks like; static storage. */
struct mf_event_type_info {
	const char *name;
	bool urgent;
	const uint8_t *fields; /* enum mf_event_field, in the order of the docs */
	size_t field_cnt;
};
const struct mf_event_type_info *mf_event_type_info(enum mf_event_type type);
/** mf_event_type_has() - Whether events of a type have a field */
bool mf_event_type_has(enum mf_event_type type, enum mf_event_field field);
const char *mf_event_field_name(enum mf_event_field field);
enum mf_event_value mf_event_field_value(enum mf_event_field field);

#define MF_EVENT_ROOM 8192 /* bytes of one line at most */
#define MF_EVENT_TEXT_MAX \
	2048 /* bytes of one text before escaping; what is over is cut off and reported */

/* The members that every event may have; what is 0 or NULL is left out. All borrowed for the call. */
struct mf_event_head {
	enum mf_event_type type;
	const char *session_id;
	const char *source;		  /* "session", "gateway", ... */
	int64_t pid, parent_pid;	  /* 0: unknown */
	const char *domain;		  /* host name in question */
	const struct mf_endpoint *remote; /* the address in question */
	const char *path;		  /* file in question; any bytes */
	size_t path_len;		  /* 0: strlen(path) */
	const char *operation; /* the policy's word: "connect", "query", "delete", "reload", ... */
	const char *
		effective_action; /* what was done in the end: "blocked", "redirected", "allowed", ... */
	/* What was decided: member "policy", the visibility, and whether the line may use the reserved queue. */
	const struct mf_decision *decision;
	/* Verdict that was carried out where it is not the one decided ("deny" for an ask without a channel). */
	const char *effective_decision;
};

#define MF_EVENT_NOTICE_MAX 512

struct mf_event {
	enum mf_event_type type;
	enum mf_visibility visibility;
	bool priority;	/* denied, diverted or of an urgent type */
	bool truncated; /* something did not fit or was cut */
	bool in_fields; /* "fields":{ has been written */
	bool ended;
	uint16_t len;
	uint16_t notice_len; /* 0: no notice */
	char buf[MF_EVENT_ROOM];
	char notice[MF_EVENT_NOTICE_MAX];
};

/** mf_event_begin() - Start an event; @ev needs no initialisation. Cost: well below a microsecond, no allocation */
void mf_event_begin(struct mf_event *ev, const struct mf_event_head *head);

/*
 * mf_event_add_*() - One member of "fields". A field that the type does not have, or of another kind of value, is a bug
 * of the caller: it is left out (and stops a debug build). Text may have any bytes.
 */
void mf_event_add_str(struct mf_event *ev, enum mf_event_field field, const char *text, size_t len);
/** mf_event_add_cstr() - The same, NUL-terminated; NULL and "" are left out */
void mf_event_add_cstr(struct mf_event *ev, enum mf_event_field field, const char *text);
void mf_event_add_int(struct mf_event *ev, enum mf_event_field field, int64_t value);
void mf_event_add_bool(struct mf_event *ev, enum mf_event_field field, bool value);
void mf_event_add_list(struct mf_event *ev, enum mf_event_field field, const char *const *items,
		       size_t cnt);
void mf_event_add_addr(struct mf_event *ev, enum mf_event_field field, const struct mf_addr *addr);
void mf_event_add_endpoint(struct mf_event *ev, enum mf_event_field field,
			   const struct mf_endpoint *ep);
/** mf_event_add_addrs() - A list of addresses */
void mf_event_add_addrs(struct mf_event *ev, enum mf_event_field field, const struct mf_addr *addrs,
			size_t cnt);

/** mf_event_end() - Close the JSON; called by mf_events_send(), which also fills in timestamp and id. Return: the line
 * without a newline, valid as long as @ev */
const char *mf_event_end(struct mf_event *ev, size_t *ret_len);

/* A line for the person at the terminal, without a newline and not NUL-terminated. Called from a thread of the sinks. */
typedef void (*mf_notice_fn)(void *ctx, const char *text, size_t len);

/* Every member may be 0. */
struct mf_events_options {
	const struct mf_clock *clock; /* mf_clock_system */
	const struct mf_log *log;     /* sinks that fail; borrowed */
	size_t queue_bytes;	      /* per sink: 1 MiB, at least 4 x MF_EVENT_ROOM */
	uint32_t reserve_percent;     /* of the queue, for priority events: 25 */
	uint32_t linger_ms;	      /* how long lines gather before they are written: 5 */
	/*
	 * How long a sender may wait for room in a sink's queue before the line is dropped: 0, nobody waits for a sink. With
	 * it a stream loses nothing that its sinks can take in time. Must be 0 where a callback of a sink sends events.
	 */
	uint32_t wait_ms;
	uint32_t
		close_timeout_ms; /* how long mf_events_free() waits for a sink that does not take them: 5,000 */
	mf_notice_fn notice; /* NULL: notices are dropped */
	void *notice_ctx;
};

struct mf_events;

int mf_events_new(const struct mf_events_options *options, struct mf_events **ret_events,
		  struct mf_err *err);

/** mf_events_free() - Write out all queues, end the threads; NULL is fine. Loses nothing while the sinks take it. */
void mf_events_free(struct mf_events *events);

#define MF_EVENTS_SINKS_MAX 4

/*
 * Sinks are added before the first mf_events_send(); each starts one thread.
 * Return: 0, MF_E_FULL (MF_EVENTS_SINKS_MAX), MF_E_IO, MF_E_NOMEM
 */
/** mf_events_add_file() - Append to @path, made with mode 0600 where missing; whole lines per write(2); never reopened (a
 * journal is: core/journal/journal.h) */
int mf_events_add_file(struct mf_events *events, const char *path, struct mf_err *err);
/** mf_events_add_fd() - Write to @fd, which stays the caller's and open until mf_events_free() */
int mf_events_add_fd(struct mf_events *events, int fd, const char *name, struct mf_err *err);
/** mf_events_add_callback() - Call @fn for every line, from the sink's thread */
int mf_events_add_callback(struct mf_events *events, mf_event_fn fn, void *ctx, const char *name,
			   struct mf_err *err);

/* A sink of somebody else's making (core/journal). All but offer() are called from the sink's thread only. */
struct mf_events_writer {
	/*
	 * Write lines, each with its newline; a single newline alone ends a line that was torn. @missing: 0; else the text is
	 * the one line that tells of so many which are missing. @ret_written: bytes that were, also on failure
	 */
	int (*write)(void *ctx, const char *text, size_t len, uint64_t missing,
		     bool (*give_up)(void *ctx), void *give_up_ctx, size_t *ret_written);
	/* Because of mf_events_reopen() */
	void (*reopen)(void *ctx);
	/* A line is queued, or dropped. Called for every event under the lock of the stream: a store or two, nothing else */
	void (*offer)(void *ctx);
	/*
	 * Whether @room bytes more can be stored where they are found again; may set that much aside. Asked after each batch of
	 * a strict stream, and about ten times a second while the answer is no. NULL: as long as writing works
	 */
	bool (*has_room)(void *ctx, size_t room);
	/* All was written, or given up; frees @ctx */
	void (*close)(void *ctx);
};
/** mf_events_add_writer() - @writer: static storage; @ctx belongs to the stream if this returns 0 */
int mf_events_add_writer(struct mf_events *events, const struct mf_events_writer *writer, void *ctx,
			 const char *name, struct mf_err *err);

/** mf_events_run() - What the ids of this stream begin with: 8 hexadecimal digits */
const char *mf_events_run(const struct mf_events *events);

/** mf_events_reopen() - Files are opened anew, by name, before the next line: somebody has renamed them. NULL is fine */
void mf_events_reopen(struct mf_events *events);

/**
 * mf_events_send() - Queue an event for every sink; @events may be NULL
 * Cost: one lock, one copy a sink; waits for no sink unless wait_ms is set
 * Return: 0; MF_E_FULL when some sink had no room (counted); 0 also for a silent event (counted)
 */
int mf_events_send(struct mf_events *events, struct mf_event *ev);

/**
 * mf_events_send_line() - Queue a line that mf_event_end() made elsewhere: what a runtime gives to its mf_event_fn
 * It gets the time and number of this stream, and may use the reserved part of the queue.
 * Return: 0, MF_E_FULL, MF_E_INVAL (not such a line)
 */
int mf_events_send_line(struct mf_events *events, const char *line, size_t len);

/**
 * mf_events_be_strict() - From now on mf_events_storing() tells whether events are stored; after the last sink was added
 * A sink that is a file, a descriptor or a writer stores; a callback does not count. Waits until each has looked whether it can.
 * Return: 0; MF_E_INVAL: no sink stores anything
 */
int mf_events_be_strict(struct mf_events *events, struct mf_err *err);

/** mf_events_is_strict() - Whether it was called; NULL: false */
bool mf_events_is_strict(const struct mf_events *events);

/**
 * mf_events_storing() - Whether what is sent now will be stored: asked before something is done that an event will tell of
 * False: a sink failed to write, has no room for all that may be on its way to it, or its queue is full up to the reserve and
 * stays so for @wait_ms; each is counted (refused). True again by itself, once the sink has found out: within about 100 ms.
 * @events: NULL and what is not strict: true, at no cost. Cost else: a lock
 */
bool mf_events_storing(struct mf_events *events, uint32_t wait_ms);

/** mf_events_flush() - Wait until everything sent before is written; Return: 0 or MF_E_TIME after @timeout_ms */
int mf_events_flush(struct mf_events *events, uint32_t timeout_ms);

struct mf_events_stats {
	uint64_t sent;	    /* events queued, each once whatever the number of sinks */
	uint64_t silent;    /* not made because the decision was silent */
	uint64_t dropped;   /* lines that some sink had no room for */
	uint64_t lost;	    /* lines that a sink failed to write: disk full, reader gone */
	uint64_t truncated; /* events with something left out */
	uint64_t notices;   /* lines given to the notice callback */
	uint64_t notices_dropped;
	uint64_t refused; /* times that mf_events_storing() said no */
};
void mf_events_get_stats(struct mf_events *events, struct mf_events_stats *ret);

/**
 * mf_json_escape() - @in as the inside of a JSON string: control bytes, '"', '\\' escaped, invalid UTF-8 as U+FFFD
 * @ret_used: bytes of @in that fitted
 * Return: bytes written to @out (no NUL); at most 6 x @len
 */
size_t mf_json_escape(const char *in, size_t len, char *out, size_t room, size_t *ret_used);

/** mf_utf8_valid() - Whether @in is UTF-8 (RFC 3629: no surrogates, no overlong forms) */
bool mf_utf8_valid(const char *in, size_t len);

#endif
