/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_policies.c - the policies that the service of "moonfence proxy" asks, where there are any */
#include <stdio.h>

#include "cli/output.h"
#include "cli/proxy_int.h"
#include "core/names/correlation.h"
#include "core/observe/events.h"

static void log_line(void *ctx, enum mf_log_level level, const char *text)
{
	const struct mf_proxy_service *s = ctx;

	if (!s->o.wishes->verbose && level > MF_LOG_WARNING)
		return;
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, text);
	fputc('\n', stderr);
}

static int open_events(struct mf_proxy_service *s, struct mf_err *err)
{
	const char *path = s->o.wishes->events_path;
	struct mf_events_options o = { .log = &s->log };
	int r;

	if (!path)
		return 0;
	r = mf_events_new(&o, &s->session.events, err);
	return r == 0 ? mf_events_add_file(s->session.events, path, err) : r;
}

int mf_proxy_service_load_policies(struct mf_proxy_service *s, struct mf_err *err)
{
	const struct mf_proxy_wishes *w = s->o.wishes;
	struct mf_runtime_options o = { .size = sizeof(o), .log = log_line, .log_ctx = s };
	char stdlib_dir[MF_PATH_MAX];
	int r;

	s->log = (struct mf_log){ .fn = log_line, .ctx = s };
	s->session.id = "proxy";
	s->session.source = "forward";
	s->session.log = &s->log;
	r = open_events(s, err);
	if (r < 0 || !w->policy_cnt)
		return r;
	if (mf_paths_data("stdlib", stdlib_dir))
		o.stdlib_dir = stdlib_dir;
	r = mf_names_new(NULL, &s->session.names, err);
	if (r == 0)
		r = mf_runtime_new(&o, &s->runtime, err);
	if (r == 0)
		r = mf_runtime_load(s->runtime, w->policies, w->policy_cnt, err);
	if (r == 0)
		r = mf_vm_new(s->runtime, &s->session.vm, err);
	return r == 0 ? mf_runtime_watch(s->runtime, 0, err) : r;
}

void mf_proxy_service_free_policies(struct mf_proxy_service *s)
{
	if (s->runtime)
		mf_runtime_unwatch(s->runtime);
	mf_vm_free(s->session.vm);
	mf_runtime_free(s->runtime);
	mf_events_free(s->session.events);
	mf_names_free(s->session.names);
}
