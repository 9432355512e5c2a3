/* SPDX-License-Identifier: Apache-2.0 */
/* policy_replay.c - moonfence policy replay: what policies decide about captured traffic, and what would change */
#include <stdlib.h>
#include <string.h>

#include "capture/pcap_backend.h"
#include "cli/commands.h"
#include "cli/label_options.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/policies.h"
#include "cli/replay_print.h"
#include "core/policy/session.h"

#define PATHS_MAX 64

/* As diff(1): whoever compares must tell "they differ" from "it did not work". */
enum { EXIT_SAME = 0, EXIT_DIFFERS = 1, EXIT_TROUBLE = 2 };

enum {
	OPT_POLICY = 1,
	OPT_AGAINST,
	OPT_CHANGED,
	OPT_JSON,
	OPT_LABEL,
	OPT_SOURCE,
	OPT_WRITE,
	OPT_VAR
};

static const struct mf_option options[] = {
	{ OPT_POLICY, 'p', "policy", "PATH", "policies to ask; may be given several times" },
	{ OPT_AGAINST, 'a', "against", "PATH",
	  "policies to compare with; may be given several times" },
	{ OPT_CHANGED, 'c', "changed", NULL, "with --against: only what differs" },
	{ OPT_LABEL, 'l', "label", "KEY=VALUE", MF_LABEL_OPTION_HELP },
	{ OPT_SOURCE, 0, "source", "NAME", "the source that policies see; replay" },
	{ OPT_WRITE, 'w', "write", "OUT",
	  "write a pcapng file of what the packets would have become" },
	{ OPT_VAR, 0, "var", "NAME=VALUE", MF_VAR_OPTION_HELP },
	{ OPT_JSON, 0, "json", NULL, "print JSON" },
};

static const struct mf_usage usage = {
	.name = "policy replay",
	.synopsis = "--policy NEW [--against OLD] [--write OUT] [--json] CAPTURE",
	.text = "Read a capture file (pcap or pcapng, - for standard input) and show for every DNS "
		"question,\n"
		"every TCP and UDP flow and every TLS hello in it what the policies decide, and "
		"what "
		"differs\n"
		"from the policies of --against. Names come from the capture's own DNS answers, "
		"the "
		"time from\n"
		"its packets. What a capture does not tell (process.*) is absent.\n"
		"Exit status: 0 no difference, 1 differences, 2 something went wrong: usage, a "
		"capture "
		"that\n"
		"cannot be read, a policy that does not load or fails.\n",
	.example = "  moonfence policy replay --policy new.lua trace.pcapng\n"
		   "  moonfence policy replay --policy new/ --against old/ --changed trace.pcap\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct side {
	const char *paths[PATHS_MAX];
	size_t path_cnt;
	struct mf_runtime *runtime;
	struct mf_vm *vm;
	struct mf_session session;
};

struct replay {
	struct side sides[MF_REPLAY_SIDES_MAX];
	unsigned side_cnt;
	struct mf_label_options labels;
	struct mf_variables variables;
	const char *source, *capture, *out_path;
	struct mf_pcapng *out;
	struct mf_pcap_backend *backend;
	char stdlib[MF_PATH_MAX];
	struct mf_replay_clock clock;
	struct mf_clock mf_clock;
	struct mf_replay_print print;
};

static void log_line(void *ctx, enum mf_log_level level, const char *text)
{
	(void)ctx;
	if (level > MF_LOG_WARNING)
		return;
	fputs("moonfence: ", stderr);
	mf_output_text(stderr, text);
	fputc('\n', stderr);
}

static int add_path(struct side *s, const char *option, const char *path)
{
	if (s->path_cnt == PATHS_MAX)
		return mf_options_wrong(&usage, "more than %d %s", PATHS_MAX, option);
	s->paths[s->path_cnt++] = path;
	return 0;
}

/* Return: 0, or an exit status above it; *ret_end when the command is to end with it. */
static int read_options(struct replay *r, int argc, char **argv, bool *ret_end)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status = 0;

	*ret_end = true;
	while (status == 0 && (opt = mf_options_next(&o, &value)) != 0) {
		if (opt < 0)
			return o.status;
		if (opt == OPT_POLICY)
			status = add_path(&r->sides[MF_REPLAY_NEW], "--policy", value);
		else if (opt == OPT_AGAINST)
			status = add_path(&r->sides[MF_REPLAY_OLD], "--against", value);
		else if (opt == OPT_LABEL)
			status = mf_label_options_add(&usage, &r->labels, value);
		else if (opt == OPT_VAR)
			status = mf_variables_add(&usage, &r->variables, value);
		else if (opt == OPT_SOURCE)
			r->source = value;
		else if (opt == OPT_WRITE)
			r->out_path = value;
		else if (opt == OPT_JSON)
			r->print.json = true;
		else
			r->print.changed_only = true;
	}
	if (status)
		return status;
	if (r->sides[MF_REPLAY_NEW].path_cnt == 0)
		return mf_options_wrong(&usage, "which policies? Give --policy PATH");
	if (o.operand_cnt != 1)
		return mf_options_wrong(&usage, "which capture? Give one file");
	r->print.against = r->sides[MF_REPLAY_OLD].path_cnt > 0;
	if (r->print.changed_only && !r->print.against)
		return mf_options_wrong(&usage,
					"--changed needs policies to compare with: --against");
	r->side_cnt = r->print.against ? 2 : 1;
	r->capture = o.operands[0];
	*ret_end = false;
	return 0;
}

/* As a session loads them: with their tests, fail modes and limits, but by the capture's clock and without haste. */
static int load_side(struct replay *r, struct side *s, struct mf_err *err)
{
	struct mf_runtime_options o = { .size = sizeof(o),
					.time_limit_us = MF_POLICIES_TIME_LIMIT_US,
					.log = log_line,
					.monotonic = r->mf_clock.monotonic,
					.wall = r->mf_clock.wall,
					.clock_ctx = r->mf_clock.ctx,
					.variables = r->variables.items,
					.stdlib_dir = mf_paths_data("stdlib", r->stdlib) };
	const char **real = mf_paths_policies(s->paths, s->path_cnt);
	int rc = mf_runtime_new(&o, &s->runtime, err);

	if (rc == 0)
		rc = real ? mf_runtime_load(s->runtime, real, s->path_cnt, err)
			  : mf_err_set(err, MF_E_NOMEM, "out of memory");
	free(real);
	if (rc == 0)
		rc = mf_vm_new(s->runtime, &s->vm, err);
	s->session = (struct mf_session){ .id = "replay",
					  .source = r->source,
					  .labels = r->labels.rows,
					  .label_cnt = r->labels.cnt,
					  .vm = s->vm };
	return rc;
}

static int begin_writing(struct replay *r, struct mf_err *err)
{
	char program[64];
	int rc;

	if (!r->out_path)
		return 0;
	snprintf(program, sizeof(program), "moonfence %s", mf_version());
	rc = mf_pcapng_open(r->out_path, program, &r->out, err);
	return rc < 0 ? rc : mf_pcap_backend_new(r->out, 0, &r->backend, err);
}

static int write_record(struct replay *r, const struct mf_pcap_record *rec,
			const struct mf_replay_fate *fate, struct mf_err *err)
{
	int rc;

	if (!r->backend)
		return 0;
	rc = mf_pcap_backend_write(r->backend, rec, fate, r->clock.monotonic_ns);
	return rc < 0 ? mf_err_set(err, rc, "cannot write %s: %s", r->out_path, mf_strerror(rc))
		      : 0;
}

/* The file gets its name; on standard error, since standard output may be JSON, what is in it. */
static int end_writing(struct replay *r, struct mf_err *err)
{
	struct mf_pcap_backend_stats s;
	int rc;

	if (!r->backend)
		return 0;
	rc = mf_pcap_backend_finish(r->backend);
	if (rc < 0)
		return mf_err_set(err, rc, "cannot write %s: %s", r->out_path, mf_strerror(rc));
	mf_pcap_backend_get_stats(r->backend, &s);
	rc = mf_pcapng_close(r->out, true, err);
	r->out = NULL;
	if (rc < 0)
		return rc;
	fprintf(stderr,
		"%s: %llu packets, %llu of them redirected, %llu answers to %llu refused ones, "
		"%llu more of the session's resolver; not written: %llu that would not have been "
		"sent, %llu that no pipeline lets through\n",
		r->out_path, (unsigned long long)s.written, (unsigned long long)s.rewritten,
		(unsigned long long)s.answers, (unsigned long long)s.refused,
		(unsigned long long)s.said, (unsigned long long)s.moot,
		(unsigned long long)s.dropped);
	if (s.early)
		fprintf(stderr,
			"%llu packets were written before their client said where they go: too "
			"many waited\n",
			(unsigned long long)s.early);
	return 0;
}

static int run(struct replay *r, struct mf_pcap *file, struct mf_pcap_record *rec, int more,
	       struct mf_err *err)
{
	struct mf_replay_options o = { .session_cnt = r->side_cnt,
				       .question = mf_replay_print_question,
				       .ctx = &r->print };
	struct mf_replay_stats stats;
	struct mf_replay *replay;
	int rc;

	for (unsigned i = 0; i < r->side_cnt; i++)
		o.sessions[i] = &r->sides[i].session;
	rc = mf_replay_new(&o, &r->clock, &replay, err);
	if (rc < 0)
		return rc;
	mf_replay_print_begin(&r->print);
	while (more > 0 && rc == 0) {
		rc = mf_replay_record(replay, rec);
		if (rc < 0)
			mf_err_set(err, rc, "no memory for the replay");
		else
			rc = write_record(r, rec, mf_replay_last_fate(replay), err);
		if (rc == 0)
			more = mf_pcap_next(file, rec, err);
	}
	mf_replay_finish(replay);
	mf_replay_get_stats(replay, &stats);
	mf_replay_print_end(&r->print, &stats, mf_pcap_cut(file));
	mf_replay_free(replay);
	if (rc == 0 && more < 0)
		rc = more;
	if (rc == 0)
		rc = end_writing(r, err);
	if (rc == 0 && r->print.failed)
		rc = mf_err_set(err, MF_E_NOMEM, "out of memory: not everything was printed");
	if (rc == 0 && stats.failures)
		rc = mf_err_set(err, MF_E_POLICY, "a policy failed to answer");
	return rc;
}

static int replay(struct replay *r)
{
	struct mf_pcap_record rec = { 0 };
	struct mf_pcap *file = NULL;
	struct mf_err err = { 0 };
	int rc = mf_pcap_open(r->capture, &file, &err), more = 0;

	/* Policies are loaded, and their tests run, at the time of the first packet. */
	if (rc == 0)
		more = mf_pcap_next(file, &rec, &err);
	if (more < 0)
		rc = more;
	if (more > 0)
		mf_replay_clock_set(&r->clock, rec.time_ns);
	r->mf_clock = mf_replay_clock_of(&r->clock);
	for (unsigned i = 0; i < r->side_cnt && rc == 0; i++)
		rc = load_side(r, &r->sides[i], &err);
	if (rc == 0)
		rc = begin_writing(r, &err);
	if (rc == 0)
		rc = run(r, file, &rec, more, &err);
	mf_pcap_backend_free(r->backend);
	(void)mf_pcapng_close(r->out, false, NULL);
	mf_pcap_close(file);
	for (unsigned i = 0; i < r->side_cnt; i++) {
		mf_vm_free(r->sides[i].vm);
		mf_runtime_free(r->sides[i].runtime);
	}
	if (rc < 0) {
		if (!err.file[0])
			snprintf(err.file, sizeof(err.file), "%s", r->capture);
		mf_output_problem(&err);
		return EXIT_TROUBLE;
	}
	return r->print.differ ? EXIT_DIFFERS : EXIT_SAME;
}

int mf_cmd_policy_replay(int argc, char **argv)
{
	struct replay *r = calloc(1, sizeof(*r));
	int status;
	bool end;

	if (!r) {
		fputs("moonfence: out of memory\n", stderr);
		return EXIT_TROUBLE;
	}
	r->source = "replay";
	status = read_options(r, argc, argv, &end);
	if (!end)
		status = replay(r);
	mf_label_options_done(&r->labels);
	free(r);
	/* main() would call it a policy's fault */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("moonfence: cannot write to stdout");
		clearerr(stdout);
		return EXIT_TROUBLE;
	}
	return status;
}
