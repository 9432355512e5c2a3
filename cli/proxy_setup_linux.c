/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_setup_linux.c - moonfence proxy setup: what domain forwarding wants to have once: a user, an authority, a unit */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/host_redirect.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/proxy.h"

extern char **environ;

enum { OPT_JSON = 1, OPT_USER, OPT_TRUST, OPT_CA_DIR, OPT_UNIT, OPT_MODE };

static const struct mf_option options[] = {
	{ OPT_MODE, 0, "proxy-mode", "MODE",
	  "redirect (default as root): rules of nftables; explicit: a listener, no privileges" },
	{ OPT_USER, 'u', "user", "NAME",
	  "the user that the service shall run as (default: moonfence)" },
	{ OPT_TRUST, 0, "trust-ca", NULL, "let this user's programs trust the local authority" },
	{ OPT_CA_DIR, 0, "ca-dir", "DIR", "the local certificate authority is there" },
	{ OPT_UNIT, 0, "unit", "FILE",
	  "write a systemd unit that enables forwarding at every start of the system" },
	{ OPT_JSON, 'j', "json", NULL, "print JSON" },
};

static const struct mf_usage usage = {
	.name = "proxy setup",
	.synopsis = "[OPTION]...",
	.text = "Makes what domain forwarding wants: a system user for its service, and the local "
		"certificate\n"
		"authority. What is there already stays. Starts nothing.\n",
	.example = "  moonfence proxy setup --trust-ca\n"
		   "  moonfence proxy setup --unit /etc/systemd/system/moonfence-proxy.service\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

struct setup {
	const char *user, *ca_dir, *unit;
	bool trust, json, explicit;
	bool failed;
	json_t *steps;
};

static void say(struct setup *s, const char *what, bool ok, const char *detail)
{
	s->failed |= !ok;
	(void)json_array_append_new(
		s->steps, json_pack("{s:s, s:b, s:s}", "step", what, "ok", ok, "detail", detail));
	if (s->json)
		return;
	printf("%-10s %s: ", what, ok ? "good" : "FAILED");
	mf_output_text(stdout, detail);
	fputc('\n', stdout);
	fflush(stdout);
}

/* A program by its path, without a shell; what it prints goes to stderr. Return: its exit status, -1: it did not run */
static int run(const char *path, char *const argv[])
{
	posix_spawn_file_actions_t actions;
	int status, r;
	pid_t pid;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
	r = posix_spawn(&pid, path, &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	if (r || waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* posix_spawn() takes strings that it does not write to as not constant. */
static char *arg(const char *text, char *room, size_t size)
{
	snprintf(room, size, "%s", text);
	return room;
}

static void make_user(struct setup *s)
{
	static const char *const fixed[] = { "useradd",		 "--system",	     "--user-group",
					     "--no-create-home", "--home-dir",	     "/nonexistent",
					     "--shell",		 "/usr/sbin/nologin" };
	char rooms[MF_ARRAY_SIZE(fixed) + 1][64], *argv[MF_ARRAY_SIZE(fixed) + 2];
	size_t n = 0;

	if (getpwnam(s->user)) {
		say(s, "user", true, "is there");
		return;
	}
	for (; n < MF_ARRAY_SIZE(fixed); n++)
		argv[n] = arg(fixed[n], rooms[n], sizeof(rooms[n]));
	argv[n] = arg(s->user, rooms[n], sizeof(rooms[n]));
	argv[n + 1] = NULL;
	if (run("/usr/sbin/useradd", argv) != 0)
		say(s, "user", false, "useradd did not make it (is the package passwd there?)");
	else
		say(s, "user", true, "made");
}

static void check_rules(struct setup *s)
{
	int r = mf_host_redirect_list();

	say(s, "rules", r >= 0,
	    r < 0    ? "nftables cannot be talked to"
	    : r == 1 ? "nftables answers; rules are loaded"
		     : "nftables answers");
}

/* Our own program again: "ca create" says what it does better than we could. */
static void call_authority(struct setup *s, const char *verb, const char *step)
{
	char rooms[5][MF_PATH_MAX], *argv[6];
	size_t n = 0;

	argv[n] = arg("moonfence", rooms[n], MF_PATH_MAX), n++;
	argv[n] = arg("ca", rooms[n], MF_PATH_MAX), n++;
	argv[n] = arg(verb, rooms[n], MF_PATH_MAX), n++;
	if (s->ca_dir) {
		argv[n] = arg("--dir", rooms[n], MF_PATH_MAX), n++;
		argv[n] = arg(s->ca_dir, rooms[n], MF_PATH_MAX), n++;
	}
	argv[n] = NULL;
	if (run("/proc/self/exe", argv) == 0)
		say(s, step, true, "done");
	else
		say(s, step, false, "see above");
}

static void make_authority(struct setup *s)
{
	char buf[MF_PATH_MAX];
	const char *dir = s->ca_dir ? s->ca_dir : mf_paths_authority(buf);
	struct stat st;

	if (dir && stat(dir, &st) == 0)
		say(s, "authority", true, "is there");
	else
		call_authority(s, "create", "authority");
	if (s->trust)
		call_authority(s, "trust", "trust");
}

static void write_unit(struct setup *s)
{
	char self[MF_PATH_MAX], temporary[MF_PATH_MAX + 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	FILE *f;
	bool good;

	if (n <= 0 || strcspn(self, " \"\\%$\n") < (size_t)n) {
		say(s, "unit", false, "the program's path cannot be written into a unit");
		return;
	}
	self[n] = '\0';
	snprintf(temporary, sizeof(temporary), "%s.new", s->unit);
	(void)unlink(temporary);
	f = fopen(temporary, "wxe");
	good = f &&
	       fprintf(f,
		       "# written by moonfence proxy setup\n[Unit]\n"
		       "Description=Moonfence domain forwarding\nAfter=network.target "
		       "nftables.service\n\n"
		       "[Service]\nType=exec\nExecStart=%s proxy enable --foreground --user %s\n"
		       "ExecStop=%s proxy disable\nRestart=on-failure\n"
		       "RuntimeDirectory=moonfence\nRuntimeDirectoryPreserve=yes\n"
		       "ProtectHome=read-only\nNoNewPrivileges=yes\n\n"
		       "[Install]\nWantedBy=multi-user.target\n",
		       self, s->user, self) > 0;
	good = f && fclose(f) == 0 && good && chmod(temporary, 0644) == 0 &&
	       rename(temporary, s->unit) == 0;
	say(s, "unit", good,
	    good ? "written: 'systemctl daemon-reload' and 'systemctl enable --now' take it"
		 : strerror(errno));
}

static int take_option(struct setup *s, int opt, const char *value)
{
	switch (opt) {
	case OPT_JSON:
		s->json = true;
		return 0;
	case OPT_USER:
		s->user = value;
		return 0;
	case OPT_TRUST:
		s->trust = true;
		return 0;
	case OPT_CA_DIR:
		s->ca_dir = value;
		return 0;
	case OPT_UNIT:
		s->unit = value;
		return 0;
	case OPT_MODE:
		s->explicit = strcmp(value, "explicit") == 0;
		if (!s->explicit && strcmp(value, "redirect") != 0)
			return mf_options_wrong(&usage,
						"--proxy-mode knows 'redirect' and 'explicit' on "
						"Linux, not '%s'",
						value);
		return 0;
	}
	return 0;
}

int mf_cmd_proxy_setup(int argc, char **argv)
{
	struct setup s = { .user = "moonfence", .explicit = geteuid() != 0 };
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(&s, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "'%s' is not an option", o.operands[0]);
	if (!s.explicit && geteuid() != 0) {
		fprintf(stderr, "moonfence: redirecting connections needs root\n");
		return MF_EXIT_FAULT;
	}
	s.steps = json_array();
	if (!s.explicit) {
		check_rules(&s);
		make_user(&s);
	}
	make_authority(&s);
	if (s.unit)
		write_unit(&s);
	if (s.json) {
		status = mf_output_json(json_pack("{s:b, s:o}", "ok", !s.failed, "steps", s.steps));
		return status ? status : s.failed ? MF_EXIT_FAULT : MF_EXIT_GOOD;
	}
	json_decref(s.steps);
	return s.failed ? MF_EXIT_FAULT : MF_EXIT_GOOD;
}
