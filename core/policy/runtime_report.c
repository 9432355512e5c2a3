/* SPDX-License-Identifier: Apache-2.0 */
/* runtime_report.c - tells of loads, failures and quarantine; see runtime.h */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "core/observe/event_stamp.h"
#include "core/policy/agentsh.h"
#include "core/policy/request.h"
#include "core/policy/runtime_internal.h"

#define EVENT_SECOND_LEN 19 /* "2026-01-31T23:59:59" */

/* Time and id of an event, which a queue of events would have filled in. */
static void stamp_event(struct mf_runtime *rt, char *line)
{
	uint64_t us = mf_clock_wall(&rt->config.clock) / 1000;
	time_t seconds = (time_t)(us / 1000000);
	char text[64];
	struct tm tm;

	if (!gmtime_r(&seconds, &tm) ||
	    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) != EVENT_SECOND_LEN)
		return;
	memcpy(line + MF_EVENT_TIME_AT, text, EVENT_SECOND_LEN);
	snprintf(text, sizeof(text), "%06u", (unsigned)(us % 1000000));
	memcpy(line + MF_EVENT_TIME_AT + EVENT_SECOND_LEN + 1, text, 6);
	snprintf(text, sizeof(text), "%08x-%012llu", rt->event_run,
		 (unsigned long long)atomic_fetch_add(&rt->event_number, 1) + 1);
	memcpy(line + MF_EVENT_RUN_AT, text,
	       MF_EVENT_NUMBER_AT + MF_EVENT_NUMBER_LEN - MF_EVENT_RUN_AT);
}

static void emit(struct mf_runtime *rt, struct mf_event *ev)
{
	const struct mf_runtime_options *o = &rt->config.options;
	size_t len;

	(void)mf_event_end(ev, &len);
	stamp_event(rt, ev->buf);
	o->event(o->event_ctx, ev->buf, len);
}

/* Begins an event of the runtime; false: nobody listens. */
static bool begin_event(struct mf_runtime *rt, struct mf_event *ev, enum mf_event_type type)
{
	if (!rt->config.options.event)
		return false;
	mf_event_begin(ev, &(struct mf_event_head){ .type = type, .operation = "reload" });
	return true;
}

static void add_asker(struct mf_event *ev, const struct mf_generation_asker *by)
{
	if (!by || !by->how)
		return;
	mf_event_add_cstr(ev, MF_EVF_HOW, by->how);
	if (by->uid >= 0)
		mf_event_add_int(ev, MF_EVF_BY_UID, by->uid);
	if (by->pid > 0)
		mf_event_add_int(ev, MF_EVF_BY_PID, by->pid);
}

/* What a policy holds that nobody carries out must not pass in silence. */
static void report_not_enforced(struct mf_runtime *rt, struct mf_source_set *set)
{
	char text[512];

	for (size_t i = 0; i < mf_source_set_count(set); i++) {
		const struct mf_policy_source *p = mf_source_set_policy(set, i);
		const struct mf_agentsh_source source = mf_agentsh_source_of(p, NULL);

		if (!p->yaml)
			continue;
		if (mf_agentsh_allows_unasked(p->chunk.text, p->chunk.len))
			mf_log_warning(&rt->config.log,
				       "%s: what needs an approval is allowed where nobody can be "
				       "asked",
				       p->chunk.name);
		if (mf_agentsh_not_enforced(&source, text, sizeof(text)))
			mf_log_warning(&rt->config.log, "%s: accepted, not enforced: %s",
				       p->chunk.name, text);
	}
}

void mf_runtime_report_loaded(struct mf_runtime *rt, struct mf_source_set *set,
			      const struct mf_load_report *what)
{
	const char *names[64];
	char version[MF_SOURCE_VERSION_ROOM];
	struct mf_event ev;
	size_t n = 0;

	mf_log_info(&rt->config.log,
		    "policies loaded: generation %llu, %zu policies, %zu tests passed",
		    (unsigned long long)what->generation, mf_source_set_count(set), what->tests);
	report_not_enforced(rt, set);
	if (!begin_event(rt, &ev, MF_EV_POLICY_LOADED))
		return;
	while (n < MF_ARRAY_SIZE(names) && n < mf_source_set_count(set)) {
		names[n] = mf_source_set_policy(set, n)->pack;
		n++;
	}
	mf_source_set_version(set, version);
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)what->generation);
	mf_event_add_list(&ev, MF_EVF_POLICIES, names, n);
	mf_event_add_int(&ev, MF_EVF_RULES, (int64_t)what->rules);
	mf_event_add_int(&ev, MF_EVF_TESTS, (int64_t)what->tests);
	mf_event_add_cstr(&ev, MF_EVF_VERSION, version);
	mf_event_add_int(&ev, MF_EVF_DURATION_MS, (int64_t)(what->took_ns / MF_NS_PER_MS));
	add_asker(&ev, &what->by);
	emit(rt, &ev);
	if (what->generation <= 1 || !begin_event(rt, &ev, MF_EV_POLICY_CHANGED))
		return;
	mf_event_add_int(&ev, MF_EVF_PREVIOUS_GENERATION, (int64_t)what->generation - 1);
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)what->generation);
	emit(rt, &ev);
}

void mf_runtime_report_failed(struct mf_runtime *rt, const struct mf_generation_asker *by,
			      const struct mf_err *err)
{
	struct mf_event ev;
	char text[1100];

	/* Of the first ones whoever loads them is told. */
	if (mf_runtime_generation(rt))
		mf_log_error(&rt->config.log, "policies were not reloaded, the old ones stay: %s",
			     mf_err_format(err, text, sizeof(text)));
	if (!begin_event(rt, &ev, MF_EV_POLICY_RELOAD_FAILED))
		return;
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)mf_runtime_generation(rt));
	mf_event_add_cstr(&ev, MF_EVF_ERROR, err->msg);
	mf_event_add_cstr(&ev, MF_EVF_FILE, err->file);
	mf_event_add_int(&ev, MF_EVF_LINE, err->line);
	add_asker(&ev, by);
	emit(rt, &ev);
}

void mf_runtime_report_policy(struct mf_vm *vm, enum mf_event_type type, size_t policy, int code,
			      const struct mf_decision *d, enum mf_kind kind, uint32_t errors)
{
	static const char *const modes[] = { "closed", "open", "keep_last" };
	_Static_assert(MF_ARRAY_SIZE(modes) == MF_FAIL_MODE_NUM, "a word for each fail mode");
	struct mf_runtime *rt = vm->rt;
	const char *name = mf_vm_state_policy_name(vm->state, policy);
	struct mf_event ev;

	if (type == MF_EV_POLICY_QUARANTINED)
		mf_log_error(&rt->config.log,
			     "policy %s is in quarantine after %u errors in a row: %s", name,
			     errors, d->reason ? d->reason : mf_strerror(code));
	if (!begin_event(rt, &ev, type))
		return;
	mf_event_add_cstr(&ev, MF_EVF_POLICY, name);
	mf_event_add_cstr(&ev, MF_EVF_KIND, mf_kind_name(kind));
	mf_event_add_cstr(&ev, MF_EVF_ERROR, d->reason ? d->reason : mf_strerror(code));
	mf_event_add_cstr(&ev, MF_EVF_FILE, d->file);
	mf_event_add_int(&ev, MF_EVF_LINE, d->line);
	if (type == MF_EV_POLICY_QUARANTINED)
		mf_event_add_int(&ev, MF_EVF_ERRORS, errors);
	mf_event_add_int(&ev, MF_EVF_GENERATION, (int64_t)d->generation);
	mf_event_add_cstr(&ev, MF_EVF_FAIL_MODE, modes[rt->config.options.fail_mode[kind]]);
	emit(rt, &ev);
}
