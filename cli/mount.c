/* SPDX-License-Identifier: Apache-2.0 */
/* mount.c - moonfence mount: a directory seen through the policies */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/policy_host.h"
#include "cli/trash_options.h"
#include "fs/mount.h"
#include "fs/trash_events.h"

#define EXIT_SETUP 125
#define LABELS_MAX 32

enum {
	OPT_POLICY = 1,
	OPT_EVENTS,
	OPT_SESSION,
	OPT_LABEL,
	OPT_ROOT,
	OPT_FS_MODE,
	OPT_ALLOW_OTHER,
	OPT_WRITEBACK,
	OPT_NO_CACHE,
	OPT_THREADS,
	OPT_NO_WATCH,
	OPT_VERBOSE,
	OPT_TRASH, /* and those after it */
};

static const struct mf_option options[] = {
	{ OPT_POLICY, 'p', "policy", "PATH",
	  "policy file or directory; may be repeated, asked in this order (default: the shipped "
	  "one)" },
	{ OPT_EVENTS, 'e', "events", "FILE",
	  "append one JSON object per event to FILE; - for stderr" },
	{ OPT_SESSION, 's', "session", "NAME", "name in events, policies and the trash" },
	{ OPT_LABEL, 'l', "label", "KEY=VALUE",
	  "session.labels.KEY for policies; may be repeated" },
	MF_TRASH_OPTION_ROWS(OPT_TRASH),
	{ OPT_ROOT, 0, "root", "PATH",
	  "path that policies see for MOUNTPOINT (default: that of SOURCE)" },
	{ OPT_FS_MODE, 0, "fs-mode", "MODE",
	  "fuse (default), or disabled: check what was given, then end" },
	{ OPT_ALLOW_OTHER, 0, "allow-other", NULL, "other users may use it, too" },
	{ OPT_WRITEBACK, 0, "writeback", NULL,
	  "let the kernel gather small writes; who writes to SOURCE meanwhile loses" },
	{ OPT_NO_CACHE, 0, "no-cache", NULL,
	  "let the kernel keep no names and attributes, not even for a second" },
	{ OPT_THREADS, 0, "threads", "N", "that serve at most, 1 to 64 (default: 10)" },
	{ OPT_NO_WATCH, 0, "no-watch", NULL, "do not reload policies when their files change" },
	{ OPT_VERBOSE, 'v', "verbose", NULL, "log to stderr what moonfence does" },
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
	struct mf_policy_host host;
	struct mf_fs_mount_options o;
	struct mf_trash_choice trash_choice;
	struct mf_trash_teller teller;
	struct mf_session_label labels[LABELS_MAX];
	char *label_texts[LABELS_MAX]; /* "KEY\0VALUE" */
	char id[64];
	bool disabled;
	struct mf_trash *trash;
	struct mf_fs_mount *m;
};

/* ---- arguments ------------------------------------------------------------------------------------------------- */

static int add_label(struct mount *t, const char *value)
{
	char *copy = strdup(value), *eq = copy ? strchr(copy, '=') : NULL;

	if (!eq || eq == copy || t->o.label_cnt == LABELS_MAX) {
		free(copy);
		return mf_options_wrong(&usage, "--label wants KEY=VALUE, at most %d times: '%s'",
					LABELS_MAX, value);
	}
	*eq = '\0';
	t->label_texts[t->o.label_cnt] = copy;
	t->labels[t->o.label_cnt++] = (struct mf_session_label){ copy, eq + 1 };
	return 0;
}

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
	t->disabled = strcmp(value, "disabled") == 0;
	if (!t->disabled && strcmp(value, "fuse") != 0)
		return mf_options_wrong(&usage, "--fs-mode knows 'fuse' and 'disabled', not '%s'",
					value);
	return 0;
}

static int take_option(struct mount *t, int opt, const char *value)
{
	switch (opt) {
	case OPT_POLICY:
		return mf_policy_host_add(&usage, &t->host, value);
	case OPT_EVENTS:
		t->host.events_path = value;
		return 0;
	case OPT_SESSION:
		snprintf(t->id, sizeof(t->id), "%s", value);
		return 0;
	case OPT_LABEL:
		return add_label(t, value);
	case OPT_ROOT:
		if (*value != '/')
			return mf_options_wrong(&usage, "--root wants an absolute path: '%s'",
						value);
		t->o.root = value;
		return 0;
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
	case OPT_THREADS:
		return set_threads(t, value);
	case OPT_NO_WATCH:
		t->host.watch = false;
		return 0;
	case OPT_VERBOSE:
		t->host.verbose = true;
		return 0;
	default:
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
	t->teller = (struct mf_trash_teller){
		.events = t->host.events, .log = &t->host.log, .session = t->id, .source = "mount"
	};
	o->source = t->o.source;
	o->background = true;
	o->event = mf_trash_teller_tell;
	o->event_ctx = &t->teller;
	return mf_trash_open(o, &t->trash, err);
}

static int set_up(struct mount *t, int *ret_status, struct mf_err *err)
{
	int r;

	*ret_status = EXIT_SETUP;
	if (!*t->id)
		snprintf(t->id, sizeof(t->id), "mount-%lx-%x", (unsigned long)time(NULL),
			 (unsigned)getpid());
	r = t->host.events_path ? mf_policy_host_open_events(&t->host, NULL, err) : 0;
	if (r < 0)
		return r;
	r = mf_policy_host_load(&t->host, err);
	if (r < 0) {
		*ret_status = MF_EXIT_FAULT;
		return r;
	}
	if (t->disabled)
		return 0;
	r = open_trash(t, err);
	if (r < 0)
		return r;
	t->o.size = sizeof(t->o);
	t->o.runtime = t->host.runtime;
	t->o.session_id = t->id;
	t->o.source_name = "mount";
	t->o.labels = t->labels;
	t->o.events = t->host.events;
	t->o.trash = t->trash;
	t->o.log = &t->host.log;
	t->o.signals = true;
	return mf_fs_mount_new(&t->o, &t->m, err);
}

static void tell_end(struct mount *t)
{
	struct mf_fs_mount_stats s = { .size = sizeof(s) };

	mf_fs_mount_get_stats(t->m, &s);
	mf_log_info(&t->host.log,
		    "%llu operations asked about, %llu refused, %llu kept in the trash, %llu "
		    "redirected; %llu "
		    "events left out",
		    (unsigned long long)s.asked, (unsigned long long)s.refused,
		    (unsigned long long)s.trashed, (unsigned long long)s.redirected,
		    (unsigned long long)s.events_left_out);
}

static void tear_down(struct mount *t)
{
	mf_fs_mount_free(t->m);
	mf_trash_close(t->trash);
	mf_policy_host_unload(&t->host);
	mf_policy_host_close_events(&t->host);
	for (size_t i = 0; i < t->o.label_cnt; i++)
		free(t->label_texts[i]);
	free(t);
}

int mf_cmd_mount(int argc, char **argv)
{
	struct mount *t = calloc(1, sizeof(*t));
	struct mf_err err = { 0 };
	int status, r;

	if (!t)
		return EXIT_SETUP;
	mf_policy_host_init(&t->host);
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
