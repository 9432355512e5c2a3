/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c - moonfence watch: what happens to a directory's files, with what the policies would have said */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/fs_host.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/watch_report.h"
#include "fs/monitor.h"

enum {
	OPT_EACH_DIRECTORY = MF_FS_HOST_OPTION_NUM,
};

static const struct mf_option options[] = {
	{ MF_FS_HOST_POLICY, 'p', "policy", "PATH", MF_POLICY_OPTION_HELP },
	{ MF_FS_HOST_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ MF_FS_HOST_TRUST_STORE, 0, "trust-store", "DIR", MF_TRUST_STORE_OPTION_HELP },
	{ MF_FS_HOST_SIGNING, 0, "signing", "MODE", MF_SIGNING_OPTION_HELP },
	{ MF_FS_HOST_EVENTS, 'e', "events", "FILE",
	  "append one JSON object per event to FILE instead of stdout; - for stderr" },
	{ MF_FS_HOST_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP },
	{ MF_FS_HOST_SESSION, 's', "session", "NAME", "name in events and policies" },
	{ MF_FS_HOST_LABEL, 'l', "label", "KEY=VALUE", MF_LABEL_OPTION_HELP },
	{ MF_FS_HOST_ROOT, 0, "root", "PATH", "path that policies see for DIR (default: its own)" },
	{ OPT_EACH_DIRECTORY, 0, "each-directory", NULL,
	  "listen to each directory of the tree, though one mark on its file system would do" },
	{ MF_FS_HOST_NO_WATCH, 0, "no-watch", NULL,
	  "do not reload policies when their files change" },
	{ MF_FS_HOST_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
};

static const struct mf_usage usage = {
	.name = "watch",
	.synopsis = "[OPTION]... DIR",
	.text = "Tells what is done to the files of DIR, and what the policies would have said: "
		"nothing is held\n"
		"back, redirected or kept. Says on stderr when it has begun, and ends with 0 by "
		"SIGTERM or SIGINT;\n"
		"with 125 when it cannot begin, 1 when a policy does not load. Policies are "
		"reloaded when their\n"
		"files change. As root it knows who does it. Linux only.\n",
	.example = "  moonfence watch --policy my.lua ~/project | grep '\"would\":\"blocked\"'\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct watch {
	struct mf_fs_host host;
	struct mf_monitor_options o;
	struct mf_monitor *m;
};

static int take_option(struct watch *t, int opt, const char *value)
{
	if (opt == OPT_EACH_DIRECTORY)
		t->o.each_directory = true;
	else
		return mf_fs_host_take(&usage, &t->host, (enum mf_fs_host_option)opt, value);
	return 0;
}

/* Return: -1, or the exit status to end with */
static int parse(struct watch *t, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(t, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt != 1)
		return mf_options_wrong(&usage, "DIR is wanted, one");
	t->o.dir = o.operands[0];
	return -1;
}

static int set_up(struct watch *t, int *ret_status, struct mf_err *err)
{
	int r;

	*ret_status = MF_EXIT_SETUP;
	r = mf_policy_host_open_events(&t->host.policies, NULL, err);
	if (r == 0 && !t->host.policies.events_path)
		r = mf_events_add_fd(t->host.policies.events, fileno(stdout), "stdout", err);
	if (r < 0)
		return r;
	r = mf_fs_host_load(&t->host, "watch", t->o.dir, ret_status, err);
	if (r < 0)
		return r;
	t->o.size = sizeof(t->o);
	t->o.root = t->host.root;
	t->o.runtime = t->host.policies.runtime;
	t->o.session_id = t->host.id;
	t->o.source_name = "monitor";
	t->o.labels = t->host.labels.rows;
	t->o.label_cnt = t->host.labels.cnt;
	t->o.events = t->host.policies.events;
	t->o.log = &t->host.policies.log;
	return mf_monitor_new(&t->o, &t->m, err);
}

static void tear_down(struct watch *t)
{
	mf_monitor_free(t->m);
	mf_fs_host_done(&t->host);
	free(t);
}

/* For the signal handler alone. */
static struct mf_monitor *volatile stopped_by_signal;

static void on_signal(int sig)
{
	(void)sig;
	if (stopped_by_signal)
		mf_monitor_stop(stopped_by_signal);
}

static int serve(struct watch *t, struct mf_err *err)
{
	int r;

	stopped_by_signal = t->m;
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	fprintf(stderr, "moonfence: %s is watched, %s\n", t->o.dir, mf_monitor_kind(t->m));
	fflush(stderr);
	r = mf_monitor_serve(t->m, err);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	stopped_by_signal = NULL;
	mf_watch_report(t->m, &t->host.policies.log);
	return r;
}

int mf_cmd_watch(int argc, char **argv)
{
	struct watch *t = calloc(1, sizeof(*t));
	struct mf_err err = { 0 };
	int status, r;

	if (!t)
		return MF_EXIT_SETUP;
	mf_fs_host_init(&t->host);
	status = parse(t, argc, argv);
	if (status >= 0) {
		tear_down(t);
		return status;
	}
	r = set_up(t, &status, &err);
	if (r == 0)
		r = serve(t, &err);
	if (r < 0) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
	} else {
		status = MF_EXIT_GOOD;
	}
	tear_down(t);
	return status;
}
