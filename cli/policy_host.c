/* SPDX-License-Identifier: Apache-2.0 */
/* policy_host.c - see policy_host.h */
#include "cli/policy_host.h"

#include <stdio.h>
#include <string.h>

#include "cli/output.h"
#include "core/approve/approve.h"
#include "core/base/thread.h"
#include "core/policy/runtime.h"

enum { SESSION_KEEPS = 4 }; /* generations, the one in force among them */

static void log_line(void *ctx, enum mf_log_level level, const char *text)
{
	const struct mf_policy_host *h = ctx;

	if (!h->verbose && level > MF_LOG_WARNING)
		return;
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, text);
	fputc('\n', stderr);
}

static void runtime_event(void *ctx, const char *json, size_t len)
{
	struct mf_policy_host *h = ctx;

	if (h->events)
		mf_events_send_line(h->events, json, len);
}

void mf_policy_host_init(struct mf_policy_host *h)
{
	*h = (struct mf_policy_host){ .watch = true, .log = { log_line, h } };
	mf_policy_signing_init(&h->signing);
}

int mf_policy_host_add(const struct mf_usage *usage, struct mf_policy_host *h, const char *path)
{
	if (h->policy_cnt == MF_POLICY_HOST_MAX)
		return mf_options_wrong(usage, "--policy: at most %d", MF_POLICY_HOST_MAX);
	path = mf_paths_policy(path);
	if (!path)
		return mf_options_wrong(usage,
					"--policy: nobody knows where this user's packs are: give "
					"the store's path");
	h->policies[h->policy_cnt++] = path;
	return 0;
}

int mf_policy_host_add_variable(const struct mf_usage *usage, struct mf_policy_host *h,
				const char *text)
{
	return mf_variables_add(usage, &h->variables, text);
}

static int check_events(const struct mf_policy_host *h, struct mf_err *err)
{
	if (h->events_strict && !h->events_path)
		return mf_err_set(err, MF_E_INVAL,
				  "--events-strict is for what --events names: nothing is stored.");
	if (!h->events_rotate || (h->events_path && strcmp(h->events_path, "-") != 0))
		return 0;
	return mf_err_set(err, MF_E_INVAL, "--events-rotate is for a file that --events names.");
}

int mf_policy_host_open_events(struct mf_policy_host *h, const struct mf_events_options *options,
			       struct mf_err *err)
{
	struct mf_events_options o = { .log = &h->log };
	struct mf_journal_options rotation = { 0 };
	int r;

	if (options) {
		o = *options;
		o.log = &h->log;
	}
	r = check_events(h, err);
	if (r == 0 && h->events_rotate)
		r = mf_journal_parse(h->events_rotate, &rotation, err);
	if (r == 0)
		r = mf_events_new(&o, &h->events, err);
	if (r == 0)
		mf_control_take_events(h->control, h->events);
	if (r < 0 || !h->events_path)
		return r;
	if (strcmp(h->events_path, "-") == 0)
		r = mf_events_add_fd(h->events, fileno(stderr), "stderr", err);
	else
		r = mf_journal_add(h->events, h->events_path, &rotation, &h->log, err);
	return r == 0 && h->events_strict ? mf_events_be_strict(h->events, err) : r;
}

void mf_policy_host_listen(struct mf_policy_host *h)
{
	h->control = mf_control_new(&h->log);
}

void mf_policy_host_serve(struct mf_policy_host *h, const struct mf_session_card *card)
{
	struct mf_session_card c = *card;

	c.policies = h->policies;
	c.policy_cnt = h->policy_cnt;
	c.runtime = h->runtime;
	c.approvals = h->ask.control ? h->approvals : NULL;
	mf_control_serve(h->control, &c);
}

/* Who wants to be asked and cannot be does not get a session in which nobody is: there an ask may stand for allow. */
static int make_approvals(struct mf_policy_host *h, struct mf_err *err)
{
	if (!h->ask.terminal && !h->ask.control)
		return 0;
	if (h->ask.control && !h->control && !h->ask.terminal)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "--approvals control: this session has no control socket");
	return mf_approvals_new(NULL, &h->approvals, err);
}

int mf_policy_host_load(struct mf_policy_host *h, struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o),
					.log = log_line,
					.log_ctx = h,
					.event = runtime_event,
					.event_ctx = h,
					.variables = h->variables.items,
					.workspace = h->workspace,
					.session_name = h->session };
	struct mf_source_guard guard;
	int r = check_events(h, err);

	h->signing.log = &h->log;
	if (r == 0)
		r = mf_policy_signing_guard(&h->signing, &guard, err);
	if (r < 0)
		return r;
	if (mf_paths_data("stdlib", h->stdlib_dir))
		o.stdlib_dir = h->stdlib_dir;
	if (!h->policy_cnt) {
		if (!mf_paths_default_policy(h->default_policy))
			return mf_err_set(err, MF_E_NOENT,
					  "the shipped policies were not found (%s): give --policy",
					  mf_paths_data_places());
		h->policies[h->policy_cnt++] = h->default_policy;
	}
	r = mf_runtime_new(&o, &h->runtime, err);
	if (r == 0) {
		/* whoever may be asked by a daemon to go back has something to go back to */
		mf_runtime_keep(h->runtime, h->keep || !h->control ? h->keep : SESSION_KEEPS);
		mf_runtime_guard(h->runtime, &guard);
	}
	if (r == 0)
		r = mf_runtime_load(h->runtime, h->policies, h->policy_cnt, err);
	if (r == 0)
		r = mf_vm_new(h->runtime, &h->vm, err);
	if (r == 0 && h->watch)
		r = mf_runtime_watch(h->runtime, 0, err);
	if (r == 0)
		r = make_approvals(h, err);
	return r;
}

static void reload(struct mf_policy_host *h)
{
	struct mf_err err = { 0 };
	char text[1100];

	if (mf_runtime_reload(h->runtime, &err) < 0)
		mf_log_warning(&h->log, "policies stay as they are: %s",
			       mf_err_format(&err, text, sizeof(text)));
}

static void *run_reloads(void *arg)
{
	struct mf_policy_host *h = arg;
	unsigned n;

	mf_thread_give_way();
	do {
		n = atomic_load(&h->reloads_wanted);
		reload(h);
	} while (atomic_fetch_sub(&h->reloads_wanted, n) != n);
	return NULL;
}

static void join_reloader(struct mf_policy_host *h)
{
	if (h->has_reloader)
		pthread_join(h->reloader, NULL);
	h->has_reloader = false;
}

void mf_policy_host_reload(struct mf_policy_host *h)
{
	mf_events_reopen(h->events);
	if (!h->runtime || atomic_fetch_add(&h->reloads_wanted, 1) > 0)
		return;
	join_reloader(h); /* it is at its end */
	h->has_reloader = mf_thread_start(&h->reloader, run_reloads, h) == 0;
	if (!h->has_reloader) {
		reload(h);
		atomic_store(&h->reloads_wanted, 0);
	}
}

void mf_policy_host_unload(struct mf_policy_host *h)
{
	mf_control_forget_policies(h->control);
	join_reloader(h);
	if (h->runtime)
		mf_runtime_unwatch(h->runtime);
	mf_vm_free(h->vm), h->vm = NULL;
	mf_runtime_free(h->runtime), h->runtime = NULL;
}

void mf_policy_host_close_events(struct mf_policy_host *h)
{
	mf_events_free(h->events), h->events = NULL;
	// Now who reads events has the last one.
	mf_control_end(h->control), h->control = NULL;
	mf_approvals_free(h->approvals), h->approvals = NULL;
}
