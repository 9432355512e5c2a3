/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - moonfence mount: a directory seen through the policies */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/fs_host.h"
#include "cli/fs_mode.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/trash_options.h"
#include "fs/mount.h"
#include "fs/trash_events.h"

enum {
	OPT_FS_MODE = MF_FS_HOST_OPTION_NUM,
	OPT_ALLOW_OTHER,
	OPT_WRITEBACK,
	OPT_NO_CACHE,
	OPT_NO_PASSTHROUGH,
	OPT_THREADS,
	OPT_APPROVALS,
	OPT_REPLACE_DEAD,
	OPT_TRASH, /* and those after it */
};

static const struct mf_option options[] = {
	{ MF_FS_HOST_POLICY, 'p', "policy", "PATH", MF_POLICY_OPTION_HELP },
	{ MF_FS_HOST_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ MF_FS_HOST_TRUST_STORE, 0, "trust-store", "DIR", MF_TRUST_STORE_OPTION_HELP },
	{ MF_FS_HOST_SIGNING, 0, "signing", "MODE", MF_SIGNING_OPTION_HELP },
	{ MF_FS_HOST_EVENTS, 'e', "events", "FILE", MF_EVENTS_OPTION_HELP },
	{ MF_FS_HOST_EVENTS_ROTATE, 0, "events-rotate", "WHEN", MF_EVENTS_ROTATE_OPTION_HELP },
	{ MF_FS_HOST_EVENTS_STRICT, 0, "events-strict", NULL, MF_EVENTS_STRICT_OPTION_HELP },
	{ MF_FS_HOST_SESSION, 's', "session", "NAME", "name in events, policies and the trash" },
	{ MF_FS_HOST_LABEL, 'l', "label", "KEY=VALUE", MF_LABEL_OPTION_HELP },
	MF_TRASH_OPTION_ROWS(OPT_TRASH),
	{ MF_FS_HOST_ROOT, 0, "root", "PATH",
	  "path that policies see for MOUNTPOINT (default: that of SOURCE)" },
	{ OPT_FS_MODE, 0, "fs-mode", "MODE",
	  "fuse (default), or disabled: check what was given, then end" },
	{ OPT_ALLOW_OTHER, 0, "allow-other", NULL, "other users may use it, too" },
	{ OPT_WRITEBACK, 0, "writeback", NULL,
	  "let the kernel gather small writes; who writes to SOURCE meanwhile loses" },
	{ OPT_NO_CACHE, 0, "no-cache", NULL,
	  "let the kernel keep no names and attributes, not even for a second" },
	{ OPT_NO_PASSTHROUGH, 0, "no-passthrough", NULL,
	  "do not let the kernel read and write SOURCE's files by itself" },
	{ OPT_THREADS, 0, "threads", "N", "that serve at most, 1 to 64 (default: 10)" },
	{ OPT_APPROVALS, 0, "approvals", "WHERE", MF_APPROVALS_OPTION_HELP },
	{ OPT_REPLACE_DEAD, 0, "replace-dead", NULL,
	  "Linux: unmount first what a mount left at MOUNTPOINT whose server was killed" },
	{ MF_FS_HOST_NO_WATCH, 0, "no-watch", NULL,
	  "do not reload policies when their files change" },
	{ MF_FS_HOST_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
};

static const struct mf_usage usage = {
	.name = "mount",
	.synopsis = "[OPTION]... SOURCE MOUNTPOINT",
	.text = "Shows SOURCE at MOUNTPOINT through a filesystem that asks the policies about "
		"every "
		"operation;\n"
		"what they delete softly goes to a trash ('moonfence trash'). Stays in the "
		"foreground and tells on\n"
		"stdout when it is ready. Ends with 0 when it is unmounted, or by SIGTERM or "
		"SIGINT, "
		"which unmount\n"
		"it; with 125 when it cannot begin, 1 when a policy does not load. Policies are "
		"reloaded when their\n"
		"files change.\n",
	.example = "  moonfence mount --policy my.lua ~/project ~/fenced\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct mount {
	struct mf_fs_host host;
	struct mf_fs_mount_options o;
	struct mf_trash_choice trash_choice;
	struct mf_trash_teller teller;
	bool disabled;
	struct mf_trash *trash;
	struct mf_fs_mount *m;
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static int set_threads(struct mount *t, const char *value)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (*end || end == value || n < 1 || n > 64)
		return mf_options_wrong(&usage, "--threads wants 1 to 64: '%s'", value);
	t->o.threads = (unsigned)n;
	return 0;
}

static int set_mode(struct mount *t, const char *value)
{
	enum mf_fs_mode mode;
	int status = mf_fs_mode_take(&usage, &mode, value);

	if (status)
		return status;
	if (mode == MF_FS_MODE_MONITOR)
		return mf_options_wrong(&usage,
					"a monitor mounts nothing: 'moonfence watch' does it");
	t->disabled = mode == MF_FS_MODE_DISABLED;
	return 0;
}

static int take_option(struct mount *t, int opt, const char *value)
{
	switch (opt) {
	case OPT_FS_MODE:
		return set_mode(t, value);
	case OPT_ALLOW_OTHER:
		t->o.allow_other = true;
		return 0;
	case OPT_WRITEBACK:
		t->o.writeback = true;
		return 0;
	case OPT_NO_CACHE:
		t->o.no_cache = true;
		return 0;
	case OPT_NO_PASSTHROUGH:
		t->o.no_passthrough = true;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &t->host.policies.ask, value, false);
	case OPT_REPLACE_DEAD:
		t->o.replace_dead = true;
		return 0;
	case OPT_THREADS:
		return set_threads(t, value);
	default:
		if (opt < (int)MF_FS_HOST_OPTION_NUM)
			return mf_fs_host_take(&usage, &t->host, (enum mf_fs_host_option)opt,
					       value);
		return mf_trash_choice_take(&usage, &t->trash_choice,
					    (enum mf_trash_option)(opt - OPT_TRASH), value);
	}
}

/* Return: -1, or the exit status to end with */
static int parse(struct mount *t, int argc, char **argv)
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
	if (o.operand_cnt != 2)
		return mf_options_wrong(&usage, "SOURCE and MOUNTPOINT are wanted");
	t->o.source = o.operands[0];
	t->o.at = o.operands[1];
	return -1;
}

/* ---- running --------------------------------------------------------------------------------------------------- */

static int open_trash(struct mount *t, struct mf_err *err)
{
	struct mf_trash_options *o = &t->trash_choice.options;

	if (t->trash_choice.none)
		return 0;
	t->teller = (struct mf_trash_teller){ .events = t->host.policies.events,
					      .log = &t->host.policies.log,
					      .session = t->host.id,
					      .source = "mount" };
	o->source = t->o.source;
	o->background = true;
	o->event = mf_trash_teller_tell;
	o->event_ctx = &t->teller;
	return mf_trash_open(o, &t->trash, err);
}

static int set_up(struct mount *t, int *ret_status, struct mf_err *err)
{
	int r;

	*ret_status = MF_EXIT_SETUP;
	if (!t->disabled)
		mf_policy_host_listen(&t->host.policies);
	/* without anybody to take them there are no events, and none are made */
	r = t->host.policies.events_path || t->host.policies.control
		    ? mf_policy_host_open_events(&t->host.policies, NULL, err)
		    : 0;
	if (r < 0)
		return r;
	r = mf_fs_host_load(&t->host, "mount", t->o.source, ret_status, err);
	if (r < 0)
		return r;
	if (t->disabled)
		return 0;
	r = open_trash(t, err);
	if (r < 0)
		return r;
	t->o.size = sizeof(t->o);
	t->o.root = t->host.root;
	t->o.runtime = t->host.policies.runtime;
	t->o.session_id = t->host.id;
	t->o.source_name = "mount";
	t->o.labels = t->host.labels.rows;
	t->o.label_cnt = t->host.labels.cnt;
	t->o.events = t->host.policies.events;
	t->o.approvals = t->host.policies.approvals;
	t->o.trash = t->trash;
	t->o.log = &t->host.policies.log;
	t->o.signals = true;
	return mf_fs_mount_new(&t->o, &t->m, err);
}

static void tell_end(struct mount *t)
{
	struct mf_fs_mount_stats s = { .size = sizeof(s) };

	mf_fs_mount_get_stats(t->m, &s);
	mf_log_info(&t->host.policies.log,
		    "%llu operations asked about, %llu refused (%llu because events could not be "
		    "stored), %llu kept in the trash, %llu redirected; %llu events left out",
		    (unsigned long long)s.ops.asked, (unsigned long long)s.ops.refused,
		    (unsigned long long)s.ops.unstored, (unsigned long long)s.ops.trashed,
		    (unsigned long long)s.ops.redirected,
		    (unsigned long long)s.ops.events_left_out);
}

static void tear_down(struct mount *t)
{
	mf_fs_mount_free(t->m);
	mf_trash_close(t->trash);
	mf_fs_host_done(&t->host);
	free(t);
}

int mf_cmd_mount(int argc, char **argv)
{
	struct mount *t = calloc(1, sizeof(*t));
	struct mf_err err = { 0 };
	int status, r;

	if (!t)
		return MF_EXIT_SETUP;
	mf_fs_host_init(&t->host);
	mf_trash_choice_init(&t->trash_choice);
	status = parse(t, argc, argv);
	if (status >= 0) {
		tear_down(t);
		return status;
	}
	r = set_up(t, &status, &err);
	if (r == 0 && t->m) {
		printf("%s is seen at %s\n", t->o.source, t->o.at);
		if (mf_fs_mount_notice())
			printf("by %s\n", mf_fs_mount_notice());
		mf_policy_host_serve(&t->host.policies, &(struct mf_session_card){
								.kind = "mount",
								.id = t->host.id,
								.place = t->o.at,
								.labels = t->host.labels.rows,
								.label_cnt = t->host.labels.cnt,
							});
		fflush(stdout);
		r = mf_fs_mount_serve(t->m, &err);
		tell_end(t);
	}
	if (r < 0) {
		fputs("moonfence: ", stderr);
		mf_output_problem(&err);
	} else {
		status = MF_EXIT_GOOD;
	}
	tear_down(t);
	return status;
}
