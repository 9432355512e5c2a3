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

#include <pthread.h>
#include <stdatomic.h>

#include <moonfence/moonfence.h>

#include "cli/approval_options.h"
#include "cli/control.h"
#include "cli/options.h"
#include "cli/paths.h"
#include "cli/policies.h"
#include "cli/policy_signing.h"
#include "core/base/log.h"
#include "core/journal/journal.h"
#include "core/observe/events.h"

#define MF_POLICY_HOST_MAX 64 /* policies */

#define MF_POLICY_OPTION_HELP                                                                  \
	"policy file, directory or pack:NAME; may be repeated, asked in this order (default: " \
	"the shipped one)"
#define MF_EVENTS_OPTION_HELP "append one JSON object per event to FILE; - for stderr"
#define MF_EVENTS_ROTATE_OPTION_HELP                                                              \
	"begin a new FILE of --events by size or age: size=100M,age=1d,keep=7,gzip (all but one " \
	"may be left out)"
#define MF_EVENTS_STRICT_OPTION_HELP                                                       \
	"refuse what cannot be recorded: changes of files end in an I/O error, names and " \
	"connections are denied, while FILE of --events takes no events"

struct mf_policy_host {
	/* as asked for */
	const char *policies[MF_POLICY_HOST_MAX];
	size_t policy_cnt;
	struct mf_variables variables;
	const char *
		workspace; /* where agentsh policies look for PROJECT_ROOT; NULL: the working directory */
	const char *
		session; /* the one session that is judged: the side of a canary; NULL: the packs that all load */
	const char *events_path;   /* "-": stderr; NULL: none */
	const char *events_rotate; /* as mf_journal_parse() reads it; NULL: never */
	bool events_strict;	   /* nothing happens that they cannot tell of */
	bool watch;		   /* reload when files change */
	bool verbose;
	struct mf_policy_signing signing;
	struct mf_approval_options ask; /* where questions are put; nowhere: they are denied */
	size_t keep;			/* generations that one can go back to; 0: none */
	/* as it runs */
	struct mf_control *control; /* NULL: none */
	struct mf_log log;	    /* to stderr; warnings and errors, everything with @verbose */
	struct mf_events *events;
	struct mf_runtime *runtime;
	struct mf_vm *vm;
	struct mf_approvals *approvals; /* NULL: nobody can be asked */
	atomic_uint reloads_wanted;	/* asked for and not done */
	pthread_t reloader;
	bool has_reloader; /* to be joined */
	char default_policy[MF_PATH_MAX], stdlib_dir[MF_PATH_MAX];
};

/** mf_policy_host_init() - @h must not move afterwards; the log is ready */
void mf_policy_host_init(struct mf_policy_host *h);

/** mf_policy_host_add() - One more policy; Return: 0, or the exit status of a usage error that was told */
int mf_policy_host_add(const struct mf_usage *usage, struct mf_policy_host *h, const char *path);

/** mf_policy_host_add_variable() - One more "NAME=VALUE"; the last of a name counts; Return: as mf_policy_host_add() */
int mf_policy_host_add_variable(const struct mf_usage *usage, struct mf_policy_host *h,
				const char *text);

/**
 * mf_policy_host_open_events() - Make h->events, with what --events names as its sink
 * @options: NULL: none but the log. Return: 0; MF_E_NOMEM, MF_E_IO, MF_E_SYNTAX, MF_E_UNSUPPORTED (rotation)
 */
int mf_policy_host_open_events(struct mf_policy_host *h, const struct mf_events_options *options,
			       struct mf_err *err);

/**
 * mf_policy_host_listen() - Make the control socket of this session (cli/control.h), which answers from
 * mf_policy_host_serve() on; before rights are given up and before mf_policy_host_open_events(). Does not fail: there may be none
 */
void mf_policy_host_listen(struct mf_policy_host *h);
/** mf_policy_host_serve() - @card: what is the command's own; the policies' part is filled in here. Threads are started */
void mf_policy_host_serve(struct mf_policy_host *h, const struct mf_session_card *card);

/**
 * mf_policy_host_load() - Load the policies, the shipped one where none was named, and watch their files; where questions are to be
 * put somewhere there is h->approvals
 * Return: 0; MF_E_NOENT and those of mf_runtime_load(): a policy's fault; MF_E_UNSUPPORTED: nobody could answer a question
 */
int mf_policy_host_load(struct mf_policy_host *h, struct mf_err *err);

/**
 * mf_policy_host_reload() - Because somebody asked for it; what goes wrong is logged, and an event: the old ones stay
 * In a thread: who serves requests goes on. Those that ask while one is at work have their turn behind it. The file of events is opened
 * anew before.
 */
void mf_policy_host_reload(struct mf_policy_host *h);

/* What uses the VM, and what sends events, has ended; either may be called for what was never made. */
void mf_policy_host_unload(struct mf_policy_host *h);
void mf_policy_host_close_events(struct mf_policy_host *h);

#endif
