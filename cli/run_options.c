/* SPDX-License-Identifier: Apache-2.0 */
/* run_options.c - the arguments of moonfence run; see run_command.h */
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"
#include "cli/run_command.h"

/* What --prove-timeout takes at most */
#define PROVE_TIMEOUT_MAX_MS 600000

enum {
	OPT_SESSION = 1,
	OPT_LABEL,
	OPT_ALLOW_UNIX,
	OPT_KEEP_FD,
	OPT_CAPTURE,
	OPT_MTU,
	OPT_FAIL_MODE,
	OPT_PROVE_TIMEOUT,
	OPT_TUN_QUEUES,
	OPT_SUMMARY,
	OPT_METRICS,
	OPT_CA,
	OPT_APPROVALS,
	OPT_DAEMON,
	OPT_WORKSPACE,
	OPT_WORKSPACE_AT,
	OPT_FS_MODE,
	OPT_TRASH, /* and those after it */
};

static const struct mf_option options[] = {
	MF_HOST_OPTION_POLICY,
	MF_HOST_OPTION_VAR,
	MF_HOST_OPTION_TRUST_STORE,
	MF_HOST_OPTION_SIGNING,
	MF_HOST_OPTION_EVENTS,
	MF_HOST_OPTION_EVENTS_ROTATE,
	MF_HOST_OPTION_EVENTS_STRICT,
	MF_HOST_OPTION_REEVALUATE,
	{ OPT_SESSION, 's', "session", "NAME", "name of the session in events and policies" },
	{ OPT_LABEL, 'l', "label", "KEY=VALUE", MF_LABEL_OPTION_HELP },
	MF_HOST_OPTION_DNS,
	MF_HOST_OPTION_DNS_CACHE,
	MF_HOST_OPTION_DNS_STALE,
	{ OPT_ALLOW_UNIX, 0, "allow-unix", "PATH",
	  "Unix socket, or directory of such, that stays in reach; may be repeated" },
	{ OPT_KEEP_FD, 0, "keep-fd", "N",
	  "inherited socket that the command keeps; may be repeated" },
	{ OPT_CAPTURE, 0, "capture", "BACKEND",
	  "how traffic is captured: tproxy (default) or tun; on Windows windivert (default), or "
	  "block: no network at all" },
	{ OPT_MTU, 0, "mtu", "BYTES", "of the device that tun captures with (default: 65520)" },
	{ OPT_FAIL_MODE, 0, "fail-mode", "MODE",
	  "of packets that cannot be judged because something fails: closed (default: dropped), or "
	  "open (passed; windivert only)" },
	{ OPT_PROVE_TIMEOUT, 0, "prove-timeout", "MS",
	  "how long the proof that traffic is captured may take, for each address family" },
	{ OPT_TUN_QUEUES, 0, "tun-queues", "N",
	  "of that device, 1 to 8; each but the first gets a thread while it is busy (default: "
	  "half "
	  "the processors, at most 4; 1 below 4)" },
	{ OPT_SUMMARY, 0, "summary", NULL, "print what was decided, on stderr, at the end" },
	{ OPT_METRICS, 0, "metrics", "FILE", "write Prometheus text to FILE at the end" },
	MF_HOST_OPTION_NO_WATCH,
	MF_HOST_OPTION_TRUST_TARGETS,
	{ OPT_CA, 0, "ca", "DIR",
	  "certificates that policies need (terminate, rewrite_sni) are signed by the authority of "
	  "'moonfence ca' in DIR, for its domains only (default: one that ends with the session)" },
	{ OPT_APPROVALS, 0, "approvals", "WHERE",
	  "what a policy wants to be approved waits for an answer, asked for here: terminal, "
	  "control "
	  "('moonfence approvals'), or both with a comma; off: it is denied (default)" },
	{ OPT_DAEMON, 0, "daemon", "SOCKET",
	  "the session registers at the daemon that serves SOCKET, which lists it, can end it and "
	  "answers "
	  "what waits in it; default: where this user's daemon serves" },
	{ OPT_WORKSPACE, 'w', "workspace", "DIR",
	  "COMMAND sees DIR through a filesystem that asks the policies about its files" },
	{ OPT_WORKSPACE_AT, 0, "workspace-at", "PLACE",
	  "on Windows, where COMMAND sees it: a drive, or a directory that is not there yet "
	  "(default: a free drive)" },
	{ OPT_FS_MODE, 0, "fs-mode", "MODE",
	  "of the workspace: fuse (default: the filesystem), monitor (events only, nothing is held "
	  "back), disabled (as if there were none)" },
	MF_TRASH_OPTION_ROWS(OPT_TRASH),
	MF_HOST_OPTION_VERBOSE,
};

static const struct mf_usage usage = {
	.name = "run",
	.synopsis = "[OPTION]... -- COMMAND [ARGUMENT]...",
	.text = "Runs COMMAND so that every name that it resolves and every connection that it "
		"makes is put to\n"
		"the policies. Ends as COMMAND ends; with 125 when the fence cannot be built, 126 "
		"when COMMAND\n"
		"cannot be executed, 127 when there is no such command. Policies are reloaded when "
		"their files\n"
		"change, and on SIGHUP.\n",
	.example = "  moonfence run --policy my.lua --summary -- curl https://api.example/\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
	.stop_at_operand = true,
};

static int add_keep_fd(struct mf_run *r, const char *value)
{
	char *end;
	long fd = strtol(value, &end, 10);

	if (*end || end == value || fd < 3 || fd > 1 << 20 || r->keep_fd_cnt == MF_RUN_KEEP_FDS_MAX)
		return mf_options_wrong(&usage, "--keep-fd wants a descriptor above 2: '%s'",
					value);
	r->keep_fds[r->keep_fd_cnt++] = (int)fd;
	return 0;
}

static int set_backend(struct mf_run *r, const char *value)
{
	int backend = mf_capture_backend_find(value);

	if (backend < 0)
		return mf_options_wrong(
			&usage,
			"--capture knows 'tproxy', 'tun', 'windivert' and 'block', not '%s'",
			value);
	r->backend = (enum mf_capture_backend)backend;
	return 0;
}

static int set_mtu(struct mf_run *r, const char *value)
{
	char *end;
	long mtu = strtol(value, &end, 10);

	if (*end || end == value || mtu < MF_CAPTURE_MTU_MIN || mtu > MF_CAPTURE_MTU_MAX)
		return mf_options_wrong(&usage, "--mtu wants %d to %d bytes: '%s'",
					MF_CAPTURE_MTU_MIN, MF_CAPTURE_MTU_MAX, value);
	r->mtu = (uint32_t)mtu;
	return 0;
}

static int set_prove_timeout(struct mf_run *r, const char *value)
{
	char *end;
	long ms = strtol(value, &end, 10);

	if (*end || end == value || ms < 1 || ms > PROVE_TIMEOUT_MAX_MS)
		return mf_options_wrong(&usage, "--prove-timeout wants 1 to %d milliseconds: '%s'",
					PROVE_TIMEOUT_MAX_MS, value);
	r->prove_timeout_ms = (unsigned)ms;
	return 0;
}

static int set_fail_mode(struct mf_run *r, const char *value)
{
	r->fail_open = strcmp(value, "open") == 0;
	if (!r->fail_open && strcmp(value, "closed") != 0)
		return mf_options_wrong(&usage, "--fail-mode knows 'closed' and 'open', not '%s'",
					value);
	return 0;
}

static int set_tun_queues(struct mf_run *r, const char *value)
{
	char *end;
	long queues = strtol(value, &end, 10);

	if (*end || end == value || queues < 1 || queues > MF_CAPTURE_TUN_QUEUES_MAX)
		return mf_options_wrong(&usage, "--tun-queues wants 1 to %d: '%s'",
					MF_CAPTURE_TUN_QUEUES_MAX, value);
	r->tun_queues = (unsigned)queues;
	return 0;
}

static int take_option(struct mf_run *r, int opt, const char *value)
{
	int status = mf_host_options_take(&usage, &r->host, &r->proxy_options, opt, value);

	if (status >= 0)
		return status;
	switch (opt) {
	case OPT_CA:
		r->ca_dir = value;
		return 0;
	case OPT_APPROVALS:
		return mf_approval_options_take(&usage, &r->host.ask, value, true);
	case OPT_DAEMON:
		r->daemon = value;
		return 0;
	case OPT_SESSION:
		r->session_name = value;
		return 0;
	case OPT_LABEL:
		return mf_label_options_add(&usage, &r->labels, value);
	case OPT_ALLOW_UNIX:
		if (r->unix_cnt == MF_RUN_UNIX_MAX)
			return mf_options_wrong(&usage, "--allow-unix: at most %d",
						MF_RUN_UNIX_MAX);
		r->unix_allow[r->unix_cnt++] = value;
		return 0;
	case OPT_KEEP_FD:
		return add_keep_fd(r, value);
	case OPT_CAPTURE:
		return set_backend(r, value);
	case OPT_MTU:
		return set_mtu(r, value);
	case OPT_FAIL_MODE:
		return set_fail_mode(r, value);
	case OPT_PROVE_TIMEOUT:
		return set_prove_timeout(r, value);
	case OPT_TUN_QUEUES:
		return set_tun_queues(r, value);
	case OPT_SUMMARY:
		r->want_summary = true;
		return 0;
	case OPT_METRICS:
		r->metrics_path = value;
		return 0;
	case OPT_WORKSPACE:
		r->files.workspace = value;
		return 0;
	case OPT_WORKSPACE_AT:
		r->files.workspace_at = value;
		return 0;
	case OPT_FS_MODE:
		return mf_fs_mode_take(&usage, &r->files.mode, value);
	default:
		return mf_trash_choice_take(&usage, &r->files.trash_choice,
					    (enum mf_trash_option)(opt - OPT_TRASH), value);
	}
}

bool mf_run_options_parse(struct mf_run *r, int argc, char **argv, char *const **ret_command,
			  int *ret_status)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(r, opt, value);
		if (status) {
			*ret_status = status;
			return false;
		}
	}
	if (opt < 0) {
		*ret_status = o.status;
		return false;
	}
	if (!o.operand_cnt) {
		*ret_status = mf_options_wrong(&usage, "what shall run? COMMAND is missing");
		return false;
	}
	// Operands have moved up in argv: end them there.
	o.operands[o.operand_cnt] = NULL;
	*ret_command = o.operands;
	return true;
}
