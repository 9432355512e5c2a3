/* SPDX-License-Identifier: Apache-2.0 */
/*
 * moonfence.h - the public C API of libmoonfence, the only header a host program needs
 *
 * A host creates one runtime, loads policies into it, gives every thread that asks questions a VM of its own, and asks:
 *
 *	struct mf_runtime *rt;
 *	struct mf_vm *vm;
 *	struct mf_request *q = mf_request_new(MF_DNS);
 *	struct mf_decision d = MF_DECISION_INIT;
 *
 *	mf_runtime_new(NULL, &rt, &err);
 *	mf_runtime_load(rt, &path, 1, &err);
 *	mf_vm_new(rt, &vm, &err);
 *	mf_request_set_str(q, MF_F_NAME, "api.example", 11);
 *	mf_decide(vm, q, &d);        // d.verdict says what may happen, d.rule why
 *
 * Threads: a runtime may be used by any thread at any time. A VM and a request belong to one thread at a time.
 * The library never prints, never exits, and touches no signal, locale or process-wide state. Log sink, clock, events
 * and allocator belong to the runtime.
 * Strings are UTF-8 with an explicit length where they come in, and NUL-terminated where they go out.
 */
#ifndef MOONFENCE_MOONFENCE_H
#define MOONFENCE_MOONFENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define MF_API __declspec(dllexport)
#else
#define MF_API __attribute__((visibility("default")))
#endif

/* ---------------------------------------------------------------------------------------------------------------- */
/* Errors                                                                                                           */

/* Fixed numbers, the same on every system. Functions return 0 (or a count) on success and one of these on failure. */
enum mf_error {
	MF_OK = 0,
	MF_E_INVAL = -1, /* an argument is wrong: a bug of the caller */
	MF_E_NOMEM = -2, /* out of memory */
	MF_E_NOENT = -3, /* no such thing */
	MF_E_EXIST = -4, /* there already */
	MF_E_IO = -5, /* the system refused a file or socket operation; the text has the reason */
	MF_E_SYNTAX = -6,    /* text that does not parse: policy, pattern, name, address */
	MF_E_POLICY = -7,    /* a policy raised an error or returned what its kind cannot carry */
	MF_E_STEPS = -8,     /* a policy used up its instructions */
	MF_E_TIME = -9,	     /* a policy used up its time */
	MF_E_MEMORY = -10,   /* a policy used up its memory */
	MF_E_LIMIT = -11,    /* another configured limit: match steps, table size, string length */
	MF_E_FULL = -12,     /* a bounded table or queue has no room */
	MF_E_AGAIN = -13,    /* more input is needed, or try later */
	MF_E_BAD = -14,	     /* malformed bytes from a wire */
	MF_E_NOT_MINE = -15, /* well-formed, but not of this protocol */
	MF_E_UNSUPPORTED = -16, /* this system or build cannot do it */
	MF_E_PERM = -17,	/* not permitted */
	MF_E_CLOSED = -18,	/* the other side, or the runtime, has gone */
	MF_E_TEST = -19,	/* a policy's own tests failed */
	MF_E_BUG = -20		/* should not happen; please report */
};

/* Where and why something failed; filled only on failure. @msg is one whole sentence. */
struct mf_err {
	int code;	 /* enum mf_error */
	unsigned line;	 /* 1-based, 0 if there is none */
	unsigned column; /* 1-based, 0 if there is none */
	char file[256];	 /* "" if there is none */
	char msg[768];
};

/** mf_strerror() - A short English name of an error code, e.g. "out of memory"; never NULL, static storage */
MF_API const char *mf_strerror(int code);

/** mf_version() - The library's version, "MAJOR.MINOR.PATCH"; static storage */
MF_API const char *mf_version(void);

/* ---------------------------------------------------------------------------------------------------------------- */
/* Requests                                                                                                         */

enum mf_kind { MF_DNS, MF_CONNECT, MF_SNI, MF_FILE, MF_DNS_ANSWER, MF_KIND_NUM };

/*
 * Fields of requests: the Lua name stands behind each. A field has one type; setting it with another is MF_E_INVAL,
 * so is setting a field that the request's kind does not have.
 */
enum mf_field {
	/* every kind */
	MF_F_SOURCE,	     /* str: "session", "gateway", "nic", "replay", "api": source */
	MF_F_SESSION_ID,     /* str: session.id */
	MF_F_PROCESS_PID,    /* int: process.pid */
	MF_F_PROCESS_PARENT, /* int: process.parent, the parent's pid */
	MF_F_PROCESS_NAME,   /* str: process.name */
	MF_F_PROCESS_EXE,    /* str: process.exe, absolute path */
	MF_F_PROCESS_ARGS,   /* list of str: process.args */
	MF_F_PROCESS_USER,   /* str: process.user */
	/* dns */
	MF_F_NAME,	/* str: name */
	MF_F_TYPE,	/* str: type, "A", "AAAA", "HTTPS", "TYPE65280" */
	MF_F_CLASS,	/* str: class, "IN" */
	MF_F_TRANSPORT, /* str: transport, "udp", "tcp", "doh" */
	MF_F_CLIENT,	/* addr: client, the asking address */
	/* connect, sni */
	MF_F_IP,     /* addr: ip, the address that will be dialled */
	MF_F_PORT,   /* int: port */
	MF_F_PROTO,  /* str: proto, "tcp", "udp" or "icmp" */
	MF_F_FAMILY, /* int: family, 4 or 6; follows from ip, cannot be set */
	MF_F_HOST,   /* str: host, the name most recently resolved to ip by this session */
	MF_F_HOSTS,  /* list of str: hosts, all such names */
	/* sni */
	MF_F_SNI,  /* str: sni */
	MF_F_ALPN, /* list of str: alpn */
	MF_F_ECH, /* bool: ech, a real Encrypted ClientHello, not GREASE where they can be told apart */
	MF_F_VERSIONS, /* list of str: versions, "TLS1.2", "TLS1.3" */
	MF_F_JA4,      /* str: ja4 */
	MF_F_QUIC,     /* bool: quic */
	/* file */
	MF_F_OP,     /* str: op, "open", "read", "delete", ... */
	MF_F_PATH,   /* str: path, absolute, '/'-separated, canonical */
	MF_F_TARGET, /* str: target of rename, link, symlink */
	MF_F_FLAGS,  /* list of str: flags, e.g. "read", "write", "create", "truncate", "append" */
	MF_F_UID,    /* int: uid */
	MF_F_GID,    /* int: gid */
	MF_F_SIZE,   /* int: size, bytes */
	/* dns, dns_answer (which has all fields of dns) */
	MF_F_DOMAIN, /* str: domain, the registered domain that name lies in */
	MF_F_ENTROPY, /* int: entropy, of what stands before domain, hundredths of a bit a character */
	/* dns_answer */
	MF_F_ANSWER_RCODE,   /* str: answer.rcode, "NOERROR" */
	MF_F_ANSWER_IPS,     /* list of str: answer.ips, as text */
	MF_F_ANSWER_ALIASES, /* list of str: answer.aliases, the CNAME records' targets in order */
	MF_F_ANSWER_PRIVATE, /* bool: answer.private, an address of it is not globally reachable */
	MF_F_NUM
};

struct mf_request;

/**
 * mf_request_new() - An empty request of one kind
 * @kind: MF_DNS ... MF_FILE
 * Return: the request, owned by the caller (mf_request_free()), or NULL without memory
 */
MF_API struct mf_request *mf_request_new(enum mf_kind kind);
MF_API void mf_request_free(struct mf_request *req);

/**
 * mf_request_reset() - Forget all fields, labels and the fetch callback, so that the request can be filled again
 * Keeps the memory: a thread that reuses one request allocates nothing per decision.
 */
MF_API void mf_request_reset(struct mf_request *req, enum mf_kind kind);

/**
 * mf_request_set_str() - Set a text field; the text is copied and made canonical
 * @len: bytes, at most 64 KiB
 * Names (name, host, sni) become lower-case A-labels without a trailing dot; paths lose "//", "." and "..".
 * Return: 0; MF_E_INVAL for a field of another type or kind; MF_E_SYNTAX for a name or path that is none (NUL, label over
 *         63 bytes, name over 253, relative path); MF_E_NOMEM
 */
MF_API int mf_request_set_str(struct mf_request *req, enum mf_field field, const char *str,
			      size_t len);
MF_API int mf_request_set_int(struct mf_request *req, enum mf_field field, int64_t value);
MF_API int mf_request_set_bool(struct mf_request *req, enum mf_field field, bool value);

/**
 * mf_request_set_addr() - Set an address field
 * @bytes: network order
 * @len:   4 or 16; an IPv4-mapped IPv6 address becomes its IPv4 address
 */
MF_API int mf_request_set_addr(struct mf_request *req, enum mf_field field, const uint8_t *bytes,
			       size_t len);

/** mf_request_set_addr_text() - The same from text, "192.0.2.1" or "2001:db8::1" (no brackets, no zone) */
MF_API int mf_request_set_addr_text(struct mf_request *req, enum mf_field field, const char *text);

/** mf_request_add_str() - Append to a list field (at most 64 items); items of hosts are made canonical as names */
MF_API int mf_request_add_str(struct mf_request *req, enum mf_field field, const char *str,
			      size_t len);

/** mf_request_set_label() - Set session.labels.KEY (at most 32 labels) */
MF_API int mf_request_set_label(struct mf_request *req, const char *key, const char *value);

/**
 * mf_fetch_fn - Compute a field that was not set, because a policy reads it
 * The callback sets the field (and any others it learned) with mf_request_set_*() and returns 0, or MF_E_NOENT when the
 * field has no value for this request (the policy then sees nil). Asked at most once per field and request.
 */
typedef int (*mf_fetch_fn)(struct mf_request *req, enum mf_field field, void *ctx);

/** mf_request_set_fetch() - Install the callback for the fields in @fields, a mask of (UINT64_C(1) << MF_F_...) */
MF_API void mf_request_set_fetch(struct mf_request *req, mf_fetch_fn fetch, void *ctx,
				 uint64_t fields);

/* ---------------------------------------------------------------------------------------------------------------- */
/* Decisions                                                                                                        */

enum mf_verdict {
	MF_ALLOW,
	MF_DENY,
	MF_RESOLVE,  /* dns: answer with addrs or cname */
	MF_REDIRECT, /* connect, sni: dial redirect_host:redirect_port or redirect_unix instead */
	MF_ROUTE,    /* sni: dial redirect_host:redirect_port, the hello unchanged */
	MF_TERMINATE, /* connect, sni: intercept TLS; on_failure MF_FAIL_OPEN: not for who refuses the certificate */
	MF_ASK,		  /* hold until a person answers; deny without a channel */
	MF_SOFT_DELETE,	  /* file: keep what would be lost in the trash */
	MF_REDIRECT_PATH, /* file: act on path_target instead */
	MF_VERDICT_NUM
};

enum mf_visibility { MF_AUDIT_ONLY, MF_SILENT, MF_WARN, MF_VISIBILITY_NUM };
enum mf_on_failure { MF_FAIL_CLOSED, MF_FAIL_OPEN, MF_RETRY_ORIGINAL, MF_ON_FAILURE_NUM };
enum mf_tls_mode { MF_TLS_PASSTHROUGH, MF_TLS_REWRITE_SNI, MF_TLS_MODE_NUM };

/* How the decision was found. */
enum mf_origin {
	MF_FROM_MEMO,	   /* exact repeat of the fields that matter */
	MF_FROM_GRAPH,	   /* decision graph: no Lua was entered */
	MF_FROM_RULES,	   /* declarative rules only, first time */
	MF_FROM_LUA,	   /* a Lua hook ran */
	MF_FROM_DEFAULT,   /* nobody had an opinion: the configured default of the kind */
	MF_FROM_FAIL_MODE, /* the policy failed: its fail mode decided */
	MF_ORIGIN_NUM
};

#define MF_ADDRS_MAX 16

struct mf_addr_out {
	uint8_t family;	   /* 4 or 6 */
	uint8_t bytes[16]; /* network order; the first 4 for family 4 */
};

/*
 * What was decided. All strings belong to the VM until its next mf_decide() or mf_vm_free(), and are NULL where they do
 * not apply. Fields are only ever added at the end; @size says which ones the caller knows.
 */
struct mf_decision {
	size_t size; /* in: sizeof(struct mf_decision), by MF_DECISION_INIT */
	enum mf_verdict verdict;
	enum mf_origin origin;
	enum mf_visibility visibility;
	enum mf_on_failure on_failure;
	enum mf_tls_mode tls_mode;
	bool audit;   /* audit(verdict): carry out @verdict, and report it as audited */
	bool hash;    /* soft_delete{hash=true} */
	bool matched; /* false: no rule or hook had an opinion (origin default) */
	uint8_t addr_cnt;
	uint16_t rcode; /* dns deny: RCODE, 5 (REFUSED) unless said otherwise */
	uint16_t redirect_port;
	int32_t file_errno; /* file deny: Linux errno, 13 (EACCES) unless said otherwise */
	uint32_t ttl_s;	    /* resolve: seconds */
	struct mf_addr_out addrs[MF_ADDRS_MAX];
	const char *cname;	   /* resolve */
	const char *redirect_host; /* redirect, route: name or address text */
	const char *redirect_unix; /* redirect: Unix socket path */
	const char *sni;	   /* tls_mode rewrite_sni */
	const char *path_target;   /* redirect_path */
	const char *reason;	   /* why, in the author's words */
	const char *message;	   /* for the person at the terminal */
	/* provenance */
	const char *pack; /* pack or policy directory name */
	const char *pack_version;
	const char *
		policy; /* name of the policy that decided; "default" or "fail-mode" when none did */
	const char *rule; /* "dns_redirects[2] npm-mirror", "connect()", ... */
	const char *file; /* source file of the rule or hook */
	uint32_t line;	  /* its line, 1-based; of a hook: the line of the return */
	int32_t error;	  /* MF_FROM_FAIL_MODE: the enum mf_error that caused it */
	uint64_t generation;
	uint64_t elapsed_ns; /* time that this decision took; 0 for memo hits unless timing is on */
	uint64_t
		expires_ns; /* runtime clock: do not reuse the decision after this; UINT64_MAX: no bound */
	bool cow; /* redirect_path{cow=true}: what is there stays; the first write copies it to path_target */
	/*
	 * What stands for a verdict that cannot be carried out where it is asked for (nobody to ask, traffic that cannot be
	 * redirected): false denies; true, when the policy says so, allows.
	 */
	bool else_allow;
	bool settled; /* by who asked: @verdict is what stands for @decided */
	enum mf_verdict decided;
	uint32_t
		ask_timeout_ms; /* ask: how long an answer is waited for; 0: as long as whoever holds the request does */
	bool ask_once; /* ask: the answer may not be remembered */
};

#define MF_DECISION_INIT                           \
	{                                          \
		.size = sizeof(struct mf_decision) \
	}

/* ---------------------------------------------------------------------------------------------------------------- */
/* Runtime                                                                                                          */

enum mf_fail_mode { MF_CLOSED, MF_OPEN, MF_KEEP_LAST, MF_FAIL_MODE_NUM };
enum mf_log_level { MF_LOG_ERROR, MF_LOG_WARNING, MF_LOG_INFO, MF_LOG_DEBUG };

/* An event is one JSON object, without a newline; borrowed for the call. May be called from any thread. */
typedef void (*mf_event_fn)(void *ctx, const char *json, size_t len);
typedef void (*mf_log_fn)(void *ctx, enum mf_log_level level, const char *text);
/* Nanoseconds. Monotonic clock: any zero point. Wall clock: since 1970-01-01T00:00:00Z. */
typedef uint64_t (*mf_clock_fn)(void *ctx);
/* As realloc(): size 0 frees and returns NULL. */
typedef void *(*mf_alloc_fn)(void *ctx, void *ptr, size_t old_size, size_t size);

/* Every member may be 0: the default stands behind it. */
struct mf_runtime_options {
	size_t size;	   /* sizeof(struct mf_runtime_options) */
	mf_alloc_fn alloc; /* realloc()/free(); used for policy VMs, by any thread */
	void *alloc_ctx;
	mf_clock_fn monotonic, wall; /* CLOCK_MONOTONIC, CLOCK_REALTIME */
	void *clock_ctx;
	mf_log_fn log; /* none */
	void *log_ctx;
	mf_event_fn event; /* none */
	void *event_ctx;
	uint32_t step_limit; /* Lua instructions a call: 100,000 */
	/* Microseconds that a call may compute: 5,000; with a monotonic clock of the host's own, by that one. */
	uint32_t time_limit_us;
	size_t memory_limit;	     /* bytes a VM: 16 MiB */
	uint32_t load_step_limit;    /* instructions to load a policy: 50,000,000 */
	uint32_t load_time_limit_ms; /* milliseconds to load a policy, likewise: 10,000 */
	uint32_t graph_nodes_max;    /* decision graph nodes a VM: 65,536 */
	uint32_t memo_entries_max;   /* memo entries a VM: 16,384 */
	uint32_t quarantine_after;   /* consecutive errors of a policy: 16 */
	enum mf_fail_mode fail_mode[MF_KIND_NUM]; /* closed */
	/* What nobody decided: by default dns, connect, sni are denied; file: read-like operations are allowed. */
	bool default_allow[MF_KIND_NUM];
	bool time_every_decision; /* fill elapsed_ns for memo hits as well */
	const char *stdlib_dir;	  /* where require finds the standard library; the installed one */
	/*
	 * What ${NAME} stands for in agentsh policies (YAML): "NAME=value" with NULL at the end, copied; none. Beside them HOME
	 * and the like of the environment, and PROJECT_ROOT and GIT_ROOT as found from the workspace (the working directory).
	 */
	const char *const *variables;
	const char *workspace;
	/* The one session that this runtime judges, copied: it decides whether a canary of installed packs is loaded; none: it is not. */
	const char *session_name;
};

struct mf_runtime;
struct mf_vm;

/**
 * mf_runtime_new() - Create a runtime without policies: every question gets its kind's default
 * @options: copied; NULL for all defaults
 * Return: 0, MF_E_INVAL, MF_E_NOMEM
 */
MF_API int mf_runtime_new(const struct mf_runtime_options *options, struct mf_runtime **ret_rt,
			  struct mf_err *err);

/** mf_runtime_free() - End a runtime; its VMs must be freed before. NULL is fine. */
MF_API void mf_runtime_free(struct mf_runtime *rt);

/**
 * mf_runtime_load() - Load policies as a new generation, run their tests, and switch to it
 * @paths: policy files (.lua; agentsh's .yaml) or directories (all packs and policies in them, in byte order); asked in this order
 * Blocks for the time that loading takes; decisions go on meanwhile with the generation before.
 * Return: 0; else the old generation stays: MF_E_IO, MF_E_SYNTAX, MF_E_POLICY, MF_E_STEPS, MF_E_TIME, MF_E_MEMORY, MF_E_TEST
 */
MF_API int mf_runtime_load(struct mf_runtime *rt, const char *const *paths, size_t path_cnt,
			   struct mf_err *err);

/** mf_runtime_reload() - mf_runtime_load() again from the same paths */
MF_API int mf_runtime_reload(struct mf_runtime *rt, struct mf_err *err);

/** mf_runtime_generation() - Number of the generation in force; 0 before the first load */
MF_API uint64_t mf_runtime_generation(const struct mf_runtime *rt);

/**
 * mf_runtime_watch() - Reload by itself when a loaded file changes (Linux: inotify; editors that rename over included)
 * @debounce_ms: quiet time before a reload, 0 for 100
 * A reload that fails is logged, sent as event policy_reload_failed, and the old generation stays.
 * Starts one thread, ended by mf_runtime_unwatch() or mf_runtime_free().
 */
MF_API int mf_runtime_watch(struct mf_runtime *rt, uint32_t debounce_ms, struct mf_err *err);
MF_API void mf_runtime_unwatch(struct mf_runtime *rt);

/**
 * mf_vm_new() - A VM for one thread: sandbox, decision graph and memo
 * It follows every change of generation between two decisions.
 */
MF_API int mf_vm_new(struct mf_runtime *rt, struct mf_vm **ret_vm, struct mf_err *err);
MF_API void mf_vm_free(struct mf_vm *vm);

/**
 * mf_decide() - Ask the loaded policies one question
 * @vm:  used by one thread at a time
 * @req: not changed, except that fetched fields are kept
 * @ret: always filled, also when the policy fails
 *
 * Cost: a memo hit is one hash and one compare; a graph walk some reads and predicates; else one Lua run per policy
 *       within the limits. Never blocks except in the request's own fetch callback.
 * Return: 0, or why the fail mode was used: MF_E_STEPS, MF_E_TIME, MF_E_MEMORY, MF_E_LIMIT, MF_E_POLICY
 */
MF_API int mf_decide(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret);

/** mf_explain() - As mf_decide(), always through Lua, and a JSON text of every field read and predicate asked
 * @ret_json: owned by the VM until the next call */
MF_API int mf_explain(struct mf_vm *vm, struct mf_request *req, struct mf_decision *ret,
		      const char **ret_json);

/* Counters of one VM since it was made. */
struct mf_vm_stats {
	size_t size; /* in: sizeof(struct mf_vm_stats) */
	uint64_t decisions, memo_hits, graph_hits, rule_hits, lua_entries, uncacheable, errors;
	uint64_t graph_nodes, graph_evictions, memo_entries, memo_evictions;
	uint64_t lua_bytes; /* heap of the sandbox now */
};
MF_API void mf_vm_get_stats(const struct mf_vm *vm, struct mf_vm_stats *ret);

/* Names of enum values as they stand in events and in Lua; never NULL, "?" out of range. */
MF_API const char *mf_kind_name(enum mf_kind kind);
MF_API const char *mf_field_name(enum mf_field field);
MF_API const char *mf_verdict_name(enum mf_verdict verdict);
MF_API const char *mf_visibility_name(enum mf_visibility visibility);
MF_API const char *mf_origin_name(enum mf_origin origin);

#ifdef __cplusplus
}
#endif
#endif
