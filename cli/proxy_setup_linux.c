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
#include "cli/proxy_setup.h"

extern char **environ;

struct setup {
	const char *user, *ca_dir, *unit;
	bool trust, json, failed;
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

int mf_proxy_setup_make(const struct mf_proxy_setup *wishes)
{
	struct setup s = { .user = wishes->user,
			   .ca_dir = wishes->ca_dir,
			   .unit = wishes->unit,
			   .trust = wishes->trust,
			   .json = wishes->json };
	bool explicit = wishes->mode == MF_PROXY_SETUP_EXPLICIT ||
			(wishes->mode == MF_PROXY_SETUP_DEFAULT && geteuid() != 0);
	int status;

	if (!explicit && geteuid() != 0) {
		fprintf(stderr, "moonfence: redirecting connections needs root\n");
		return MF_EXIT_FAULT;
	}
	s.steps = json_array();
	if (!explicit) {
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
