/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_host.h - what every command needs that serves under policies: a log, events, the policies themselves, reloading
 *
 *	mf_policy_host_init(&h);
 *	mf_policy_host_add(&usage, &h, value)              for each --policy
 *	mf_policy_host_open_events(&h, &err)
 *	mf_policy_host_load(&h, &err)                      now h.vm judges
 *	... the loop; mf_policy_host_reload(&h) when asked to
 *	mf_policy_host_unload(&h); mf_policy_host_close_events(&h);
 */
#ifndef MF_CLI_POLICY_HOST_H
#define MF_CLI_POLICY_HOST_H

#include <moonfence/moonfence.h>

#include "cli/options.h"
#include "cli/paths.h"
#include "core/base/log.h"
#include "core/observe/events.h"

#define MF_POLICY_HOST_MAX 64 /* policies */

struct mf_policy_host {
	/* as asked for */
	const char *policies[MF_POLICY_HOST_MAX];
	size_t policy_cnt;
	const char *events_path; /* "-": stderr; NULL: none */
	bool watch;		 /* reload when files change */
	bool verbose;
	/* as it runs */
	struct mf_log log; /* to stderr; warnings and errors, everything with @verbose */
	struct mf_events *events;
	struct mf_runtime *runtime;
	struct mf_vm *vm;
	char default_policy[MF_PATH_MAX], stdlib_dir[MF_PATH_MAX];
};

/** mf_policy_host_init() - @h must not move afterwards; the log is ready */
void mf_policy_host_init(struct mf_policy_host *h);

/** mf_policy_host_add() - One more policy; Return: 0, or the exit status of a usage error that was told */
int mf_policy_host_add(const struct mf_usage *usage, struct mf_policy_host *h, const char *path);

/**
 * mf_policy_host_open_events() - Make h->events, with what --events names as its sink
 * @options: NULL: none but the log. Return: 0; MF_E_NOMEM, MF_E_IO
 */
int mf_policy_host_open_events(struct mf_policy_host *h, const struct mf_events_options *options,
			       struct mf_err *err);

/**
 * mf_policy_host_load() - Load the policies, the shipped one where none was named, and watch their files
 * Return: 0; MF_E_NOENT and those of mf_runtime_load(): a policy's fault
 */
int mf_policy_host_load(struct mf_policy_host *h, struct mf_err *err);

/** mf_policy_host_reload() - Because somebody asked for it; what goes wrong is logged, and an event: the old ones stay */
void mf_policy_host_reload(struct mf_policy_host *h);

/* What uses the VM, and what sends events, has ended; either may be called for what was never made. */
void mf_policy_host_unload(struct mf_policy_host *h);
void mf_policy_host_close_events(struct mf_policy_host *h);

#endif
