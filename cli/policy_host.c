/* SPDX-License-Identifier: Apache-2.0 */
/* policy_host.c - see policy_host.h */
#include "cli/policy_host.h"

#include <stdio.h>
#include <string.h>

#include "cli/output.h"

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
}

int mf_policy_host_add(const struct mf_usage *usage, struct mf_policy_host *h, const char *path)
{
	if (h->policy_cnt == MF_POLICY_HOST_MAX)
		return mf_options_wrong(usage, "--policy: at most %d", MF_POLICY_HOST_MAX);
	h->policies[h->policy_cnt++] = path;
	return 0;
}

int mf_policy_host_open_events(struct mf_policy_host *h, const struct mf_events_options *options,
			       struct mf_err *err)
{
	struct mf_events_options o = { .log = &h->log };
	int r;

	if (options) {
		o = *options;
		o.log = &h->log;
	}
	r = mf_events_new(&o, &h->events, err);
	if (r < 0 || !h->events_path)
		return r;
	if (strcmp(h->events_path, "-") == 0)
		return mf_events_add_fd(h->events, fileno(stderr), "stderr", err);
	return mf_events_add_file(h->events, h->events_path, err);
}

int mf_policy_host_load(struct mf_policy_host *h, struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o),
					.log = log_line,
					.log_ctx = h,
					.event = runtime_event,
					.event_ctx = h };
	int r;

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
	if (r == 0)
		r = mf_runtime_load(h->runtime, h->policies, h->policy_cnt, err);
	if (r == 0)
		r = mf_vm_new(h->runtime, &h->vm, err);
	if (r == 0 && h->watch)
		r = mf_runtime_watch(h->runtime, 0, err);
	return r;
}

void mf_policy_host_reload(struct mf_policy_host *h)
{
	struct mf_err err = { 0 };
	char text[1100];

	if (h->runtime && mf_runtime_reload(h->runtime, &err) < 0)
		mf_log_warning(&h->log, "policies stay as they are: %s",
			       mf_err_format(&err, text, sizeof(text)));
}

void mf_policy_host_unload(struct mf_policy_host *h)
{
	if (h->runtime)
		mf_runtime_unwatch(h->runtime);
	mf_vm_free(h->vm), h->vm = NULL;
	mf_runtime_free(h->runtime), h->runtime = NULL;
}

void mf_policy_host_close_events(struct mf_policy_host *h)
{
	mf_events_free(h->events), h->events = NULL;
}
