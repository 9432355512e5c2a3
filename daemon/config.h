/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.h - moonfence.yaml: what one host's daemon does; read strictly
 *
 *	api:
 *	  socket: /run/moonfence/api.sock
 *	  allow_users: [alice]
 *	  allow_groups: [moonfence]
 *	policy:
 *	  paths: [/etc/moonfence/policies]
 *
 * `sessions:`, `mounts:`, `proxy:` and `gateway:` are processes that it runs (service_config.h).
 *
 * Every key stands in the table of config.c or config_services.c, with its kind and its bounds. A key that is not there, a value of another kind
 * or out of bounds, is an error with its place. docs/daemon.md lists the keys; a test compares.
 */
#ifndef MF_DAEMON_CONFIG_H
#define MF_DAEMON_CONFIG_H

#include "core/base/err.h"
#include "daemon/service_config.h"

#define MF_CONFIG_LIST_MAX 64
#define MF_CONFIG_FILE_MAX ((size_t)1 << 20)

/* Texts are the configuration's; NULL: not said. */
struct mf_config_list {
	const char *items[MF_CONFIG_LIST_MAX + 1]; /* NULL at the end */
	size_t cnt;
};

struct mf_config {
	/* api: */
	const char *socket;
	struct mf_config_list allow_users, allow_groups; /* names or numbers */
	uint32_t connections_max, body_max_kib, idle_s;
	/* policy: */
	struct mf_config_list policies;
	struct mf_config_list variables; /* "NAME=value" */
	const char *workspace;
	bool watch;
	const char *signing;	 /* "enforce", "warn", "off" */
	const char *trust_store; /* a directory */
	/* events: */
	const char *events_file;
	const char *events_rotate; /* as mf_journal_parse() reads it */
	/* restart: */
	struct mf_restart_config restart;
	/* sessions:, mounts:, proxy:, gateway: */
	struct mf_service_config *services; /* in the file's order */
	size_t service_cnt;
	char *memory; /* where texts are */
};

/** mf_config_init() - What counts without a file */
void mf_config_init(struct mf_config *c);

/**
 * mf_config_parse() - Read the text of a file; @c has been initialised
 * @file: for messages. Return: 0; MF_E_SYNTAX with the place; MF_E_LIMIT; MF_E_NOMEM
 */
int mf_config_parse(struct mf_config *c, const char *text, size_t len, const char *file,
		    struct mf_err *err);

/** mf_config_read() - The same from the file itself; Return: also MF_E_NOENT, MF_E_IO */
int mf_config_read(struct mf_config *c, const char *path, struct mf_err *err);

void mf_config_done(struct mf_config *c);

/**
 * mf_config_each_change() - What two files say differently, but for what is run (sessions:, mounts:, proxy:, gateway:)
 * @live: whether a daemon that runs takes it over; else it wants a restart
 */
void mf_config_each_change(const struct mf_config *a, const struct mf_config *b,
			   void (*fn)(void *ctx, const char *key, bool live), void *ctx);

/** mf_config_next_key() - "api.socket" and so on, for documents and tests; NULL: no more */
const char *mf_config_next_key(size_t *at);

#endif
