/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dev_servers_int.h - the parts of dev-server detection: a system's source of listeners and owners, what is guessed from a
 * process and its project, and the probe
 */
#ifndef MF_PROXIES_DEV_SERVERS_INT_H
#define MF_PROXIES_DEV_SERVERS_INT_H

#include "core/base/span.h"
#include "proxies/dev_servers.h"

/* --- what a system tells (dev_servers_linux.c) ---------------------------------------------------------------------- */

/* A listening TCP socket. */
struct mf_dev_listener {
	uint64_t cookie; /* names the socket: no other has or had it */
	uint64_t inode;	 /* by which its owner is found */
	struct mf_endpoint at;
	bool only_v6; /* of ::, that it does not serve IPv4 */
	uint32_t uid;
};

/* More listeners than this on a host are not looked at. */
#define MF_DEV_LISTEN_MAX 4096

/* A label without its end: bytes of a name's proposal, with room for "-65535" behind it */
#define MF_DEV_LABEL_ROOM 57

/* What is known of a listener's owner. Text fields are NUL-terminated and valid UTF-8 or empty. */
struct mf_dev_facts {
	uint64_t cookie, inode; /* in */
	uint32_t uid;		/* in */
	uint16_t port;		/* in */
	uint32_t pid;		/* 0: not found */
	char process[MF_DEV_PROCESS_ROOM];
	char cwd[MF_DEV_PATH_ROOM], project[MF_DEV_PATH_ROOM];
	enum mf_dev_kind kind;
	char label[MF_DEV_LABEL_ROOM];
};

struct mf_dev_source {
	/**
	 * list() - All listening TCP sockets, in any order, at most @max; never waits
	 * Return: how many there are, which may be more than @max; MF_E_IO
	 */
	int (*list)(void *ctx, struct mf_dev_listener *ret, size_t max);
	/** look_up() - Fill the facts of listeners; called by a thread of its own, may take its time. Must not use @ctx. */
	void (*look_up)(struct mf_dev_facts *facts, size_t cnt);
	/** watch() - A descriptor that becomes readable when the process has ended, the caller's to close; MF_E_* */
	int (*watch)(void *ctx, uint32_t pid);
	void (*close)(void *ctx); /* NULL: nothing to do */
	/* Tests only: answers in place of connections. NULL: connections */
	enum mf_dev_speech (*ask)(void *ctx, const struct mf_endpoint *at);
	/* Tests only: for how long a new server waits for its owner to be found; 0: 3,000 */
	uint32_t owner_wait_ms;
	void *ctx;
	uint32_t self_pid,
		self_uid; /* of this process: its listeners are left out; whose servers, by default */
};

/** mf_dev_source_open() - The system's own; Return: 0, MF_E_UNSUPPORTED, MF_E_IO, MF_E_NOMEM */
int mf_dev_source_open(struct mf_dev_source *ret, struct mf_err *err);

/** mf_dev_servers_start_with() - As mf_dev_servers_start(), with a source that is closed at the end, on errors too */
int mf_dev_servers_start_with(struct event_base *base, const struct mf_dev_servers_options *options,
			      const struct mf_dev_source *source, struct mf_dev_servers **ret,
			      struct mf_err *err);
/** mf_dev_servers_look() - A tick now, instead of waiting for the next */
void mf_dev_servers_look(struct mf_dev_servers *d);
/** mf_dev_servers_is_busy() - Whether an owner is being looked up, or a probe is under way */
bool mf_dev_servers_is_busy(const struct mf_dev_servers *d);

/* --- what is guessed (dev_kind.c): pure, bounded ------------------------------------------------------------------------ */

/* Files that make a directory a project. */
enum mf_dev_file {
	MF_DEV_FILE_PACKAGE_JSON,
	MF_DEV_FILE_MANAGE_PY,
	MF_DEV_FILE_PYPROJECT,
	MF_DEV_FILE_REQUIREMENTS,
	MF_DEV_FILE_GEMFILE,
	MF_DEV_FILE_CONFIG_RU,
	MF_DEV_FILE_GO_MOD,
	MF_DEV_FILE_CARGO,
	MF_DEV_FILE_COMPOSER,
	MF_DEV_FILE_ARTISAN,
	MF_DEV_FILE_POM,
	MF_DEV_FILE_GRADLE,
	MF_DEV_FILE_GRADLE_KTS,
	MF_DEV_FILE_MIX,
	MF_DEV_FILE_DENO,
	MF_DEV_FILE_GIT, /* a directory, or a file in a work tree; nothing is looked for above it */
	MF_DEV_FILE_NUM
};

/* What is read of them at most; a longer file is taken as far as it is read, package.json not at all. */
#define MF_DEV_FILE_MAX 65536
/* Directories that are looked at, from the working directory upwards. */
#define MF_DEV_LEVELS_MAX 8

/** mf_dev_file_name() - "package.json" ... */
const char *mf_dev_file_name(enum mf_dev_file file);
/** mf_dev_file_is_read() - Whether its text says more than that it is there */
bool mf_dev_file_is_read(enum mf_dev_file file);

/* What a project's files say. All zero: nothing. */
struct mf_dev_project {
	uint32_t has;	    /* 1 << MF_DEV_FILE_... */
	uint32_t uses;	    /* kinds that are named as dependencies: see mf_dev_project_uses() */
	uint32_t uses_more; /* those from 32 on */
	char name[128];	    /* of package.json, as it stands there; "" none */
};

/** mf_dev_project_add() - Take in that @file is there, and its @text, where mf_dev_file_is_read() */
void mf_dev_project_add(struct mf_dev_project *p, enum mf_dev_file file, struct mf_span text);
bool mf_dev_project_uses(const struct mf_dev_project *p, enum mf_dev_kind kind);

/**
 * mf_dev_kind_of() - What a process is
 * @program: name of its executable file, without the directory
 * @args:    as in /proc/PID/cmdline: each ends with a NUL, the last perhaps not
 */
enum mf_dev_kind mf_dev_kind_of(const char *program, struct mf_span args,
				const struct mf_dev_project *project);

/** mf_dev_kind_from_answer() - A better guess from the head of an HTTP answer, else @kind */
enum mf_dev_kind mf_dev_kind_from_answer(enum mf_dev_kind kind, struct mf_span head);

/** mf_dev_kind_is_frontend() - Of two servers of a project, this one gets the shorter name */
bool mf_dev_kind_is_frontend(enum mf_dev_kind kind);

/** mf_dev_port_is_foreign() - A port that databases and their like have: nobody is connected to there */
bool mf_dev_port_is_foreign(uint16_t port);

/**
 * mf_dev_label() - A DNS label (LDH, lower case) of any text: a package's name, a directory's
 * "@scope/name" is name. Runs of other bytes become one '-'.
 * Return: length; 0: nothing of it can stand in a label
 */
size_t mf_dev_label(const char *text, size_t len, char ret[MF_DEV_LABEL_ROOM]);

/* --- what a server answers (dev_probe.c) ---------------------------------------------------------------------------- */

enum mf_dev_step { MF_DEV_ASK_HTTP, MF_DEV_ASK_TLS, MF_DEV_ASK_H2C, MF_DEV_STEP_NUM };

enum mf_dev_answer {
	MF_DEV_ANSWER_MORE, /* wait for more bytes */
	MF_DEV_ANSWER_HTTP,
	MF_DEV_ANSWER_REFUSED, /* HTTP that does not like the question: TLS may be behind it */
	MF_DEV_ANSWER_TLS,
	MF_DEV_ANSWER_H2C,
	MF_DEV_ANSWER_OTHER
};

/* Bytes of an answer that are read: the head as far as it fits */
#define MF_DEV_ANSWER_MAX 4096

/** mf_dev_answer_read() - What the first bytes of an answer are; pure. @whole: no more will come, or none are wanted */
enum mf_dev_answer mf_dev_answer_read(struct mf_span bytes, bool whole);

/* @head: of an HTTP answer, what was read of it; lives for the call */
typedef void (*mf_dev_probe_fn)(void *ctx, enum mf_dev_speech speech, struct mf_span head);

struct mf_dev_probe_stats {
	uint64_t connections, late;
};

struct mf_dev_prober; /* what probes share */
struct mf_dev_probe;

/** mf_dev_prober_new() - @limit_ms: for one connection; Return: NULL without memory */
struct mf_dev_prober *mf_dev_prober_new(struct event_base *base, uint32_t limit_ms);
/** mf_dev_prober_free() - All probes must have ended or been cancelled; NULL is fine */
void mf_dev_prober_free(struct mf_dev_prober *p);
void mf_dev_prober_get_stats(const struct mf_dev_prober *p, struct mf_dev_probe_stats *ret);

/**
 * mf_dev_probe_start() - Find out what is spoken at @at, by one to three connections one after the other
 * @fn: called once, never before this returns; the probe is gone then
 * Return: NULL without memory
 */
struct mf_dev_probe *mf_dev_probe_start(struct mf_dev_prober *p, const struct mf_endpoint *at,
					mf_dev_probe_fn fn, void *ctx);
/** mf_dev_probe_cancel() - @fn will not be called */
void mf_dev_probe_cancel(struct mf_dev_probe *probe);

#endif
