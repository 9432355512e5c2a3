/* SPDX-License-Identifier: Apache-2.0 */
/* main.c - dispatches to the subcommands */
#include <moonfence/moonfence.h>
#include <stdio.h>
#include <string.h>

#include "capture/capture.h"
#include "cli/commands.h"
#include "cli/console.h"
#include "cli/options.h"
#include "core/base/err.h"
#include "core/policy/request.h"

struct command {
	const char *group; /* first word */
	const char *name;  /* second word; NULL where one word is the whole name */
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
	{ "run", NULL, mf_cmd_run, "run a command behind the fence" },
	{ "resolver", NULL, mf_cmd_resolver,
	  "answer DNS questions by the policies: UDP, TCP, HTTPS" },
	{ "mount", NULL, mf_cmd_mount, "show a directory through the policies" },
	{ "trash", "list", mf_cmd_trash_list, "list what was deleted, replaced and truncated" },
	{ "trash", "show", mf_cmd_trash_show, "show all that is known about one entry" },
	{ "trash", "restore", mf_cmd_trash_restore, "put entries back where they were" },
	{ "trash", "diff", mf_cmd_trash_diff, "compare an entry with what is there now" },
	{ "trash", "purge", mf_cmd_trash_purge, "delete entries for good" },
	{ "undo", NULL, mf_cmd_undo, "put back all that a session lost" },
	{ "policy", "check", mf_cmd_policy_check, "find the mistakes in policies before they run" },
	{ "policy", "test", mf_cmd_policy_test, "run the tests of policies" },
	{ "policy", "explain", mf_cmd_policy_explain,
	  "ask one question and show how it was decided" },
	{ "policy", "bench", mf_cmd_policy_bench, "measure decisions per second" },
	{ "policy", "replay", mf_cmd_policy_replay,
	  "show what policies decide about captured traffic" },
	{ "proxy", "setup", mf_cmd_proxy_setup,
	  "make what forwarding wants: a user, an authority" },
	{ "proxy", "enable", mf_cmd_proxy_enable,
	  "let names of this machine lead to their servers" },
	{ "proxy", "disable", mf_cmd_proxy_disable, "end that" },
	{ "proxy", "status", mf_cmd_proxy_status, "show how it is" },
	{ "proxy", "map", mf_cmd_proxy_map, "add, remove or list names" },
	{ "proxy", "list", mf_cmd_proxy_list, "list the development servers that were detected" },
	{ "proxy", "test", mf_cmd_proxy_test, "show where a name leads" },
	{ "doctor", NULL, mf_cmd_doctor, "find out why a name does not lead where it should" },
	{ "ca", "create", mf_cmd_ca_create, "make the local certificate authority" },
	{ "ca", "trust", mf_cmd_ca_trust, "let this user's programs trust it" },
	{ "ca", "untrust", mf_cmd_ca_untrust, "take it out of their stores" },
	{ "ca", "show", mf_cmd_ca_show, "show it, and who trusts it" },
	{ "ca", "rotate", mf_cmd_ca_rotate, "put a new one in its place" },
	{ "ca", "check", mf_cmd_ca_check, "find out why its certificates are not believed" },
};

static void print_help(void)
{
	printf("Usage: moonfence COMMAND [ARGUMENT]...\n\n"
	       "A fence for programs: Lua policies decide which names they resolve, where they "
	       "connect\n"
	       "and what they do to files.\n\nCommands:\n");
	for (size_t i = 0; i < MF_ARRAY_SIZE(commands); i++) {
		char name[40];

		snprintf(name, sizeof(name), "%s%s%s", commands[i].group,
			 commands[i].name ? " " : "", commands[i].name ? commands[i].name : "");
		printf("  %-16s %s\n", name, commands[i].summary);
	}
	printf("\nOptions:\n"
	       "  %-16s %s\n  %-16s %s\n\n"
	       "Example:\n  moonfence policy explain --policy my.lua connect api.example:443\n\n"
	       "'moonfence COMMAND --help' explains one command; moonfence(1) all of them.\n"
	       "Exit status: 0 good, 1 a policy's fault, 2 wrong usage.\n",
	       "-h, --help", "print this help", "--version", "print the version");
}

/* Words that could stand at this place: the groups, or the second words of @group. */
static int unknown_word(const char *group, const char *word)
{
	const char *names[MF_ARRAY_SIZE(commands) + 1] = { NULL };
	const char *nearest;
	size_t cnt = 0;

	for (size_t i = 0; i < MF_ARRAY_SIZE(commands); i++) {
		if (!group)
			names[cnt++] = commands[i].group;
		else if (strcmp(commands[i].group, group) == 0 && commands[i].name)
			names[cnt++] = commands[i].name;
	}
	names[cnt] = NULL;
	nearest = word ? mf_word_nearest(word, names) : NULL;
	if (!word)
		fprintf(stderr, "moonfence%s%s: a command is missing", group ? " " : "",
			group ? group : "");
	else
		fprintf(stderr, "moonfence: unknown command '%s%s%s'", group ? group : "",
			group ? " " : "", word);
	if (nearest)
		fprintf(stderr, "; did you mean '%s%s%s'?", group ? group : "", group ? " " : "",
			nearest);
	fprintf(stderr, "\nTry 'moonfence --help'.\n");
	return MF_EXIT_USAGE;
}

static int dispatch(int argc, char **argv)
{
	const char *group = argc > 1 ? argv[1] : NULL;
	bool group_exists = false;

	if (!group)
		return unknown_word(NULL, NULL);
	if (strcmp(group, "--help") == 0 || strcmp(group, "-h") == 0) {
		print_help();
		return MF_EXIT_GOOD;
	}
	if (strcmp(group, "--version") == 0) {
		printf("moonfence %s\n", mf_version());
		return MF_EXIT_GOOD;
	}
	for (size_t i = 0; i < MF_ARRAY_SIZE(commands); i++) {
		const struct command *c = &commands[i];

		if (strcmp(c->group, group) != 0)
			continue;
		group_exists = true;
		if (!c->name)
			return c->run(argc - 1, argv + 1);
		if (argc > 2 && strcmp(c->name, argv[2]) == 0)
			return c->run(argc - 2, argv + 2);
	}
	if (!group_exists)
		return unknown_word(NULL, group);
	if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
		print_help();
		return MF_EXIT_GOOD;
	}
	return unknown_word(group, argc > 2 ? argv[2] : NULL);
}

int main(int argc, char **argv)
{
	int status;

	if (mf_console_start(&argc, &argv) < 0) {
		fprintf(stderr, "moonfence: out of memory\n");
		return MF_EXIT_FAULT;
	}
	if (mf_capture_helper_main(argc, argv, &status))
		return status;
	status = dispatch(argc, argv);

	/* A result that could not be written is not a good one: a full disk, a closed stdout. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		perror("moonfence: cannot write to stdout");
		return status == MF_EXIT_GOOD ? MF_EXIT_FAULT : status;
	}
	return status;
}
