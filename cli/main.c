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
	{ "gateway", NULL, mf_cmd_gateway, "give browsers TCP, UDP and names" },
	{ "vm-net", NULL, mf_cmd_vm_net, "be the network of virtual machines" },
	{ "mount", NULL, mf_cmd_mount, "show a directory through the policies" },
	{ "watch", NULL, mf_cmd_watch,
	  "tell what happens to files, and what the policies say of it" },
	{ "trash", "list", mf_cmd_trash_list, "list what was deleted, replaced and truncated" },
	{ "trash", "show", mf_cmd_trash_show, "show all that is known about one entry" },
	{ "trash", "restore", mf_cmd_trash_restore, "put entries back where they were" },
	{ "trash", "diff", mf_cmd_trash_diff, "compare an entry with what is there now" },
	{ "trash", "purge", mf_cmd_trash_purge, "delete entries for good" },
	{ "undo", NULL, mf_cmd_undo, "put back all that a session lost" },
	{ "approvals", "list", mf_cmd_approvals_list, "list what waits for an answer" },
	{ "approvals", "show", mf_cmd_approvals_show, "show all that is known about one question" },
	{ "approvals", "allow", mf_cmd_approvals_allow, "let a request that waits go on" },
	{ "approvals", "deny", mf_cmd_approvals_deny, "refuse a request that waits" },
	{ "approvals", "watch", mf_cmd_approvals_watch, "print each question as it comes" },
	{ "nic-host", NULL, mf_cmd_nic_host, "run QEMU with our own network card in it" },
	{ "daemon", NULL, mf_cmd_daemon, "serve policies to this host over a control socket" },
	{ "ctl", NULL, mf_cmd_ctl, "ask the daemon" },
	{ "policy", "check", mf_cmd_policy_check, "find the mistakes in policies before they run" },
	{ "policy", "convert", mf_cmd_policy_convert, "print a policy of agentsh as Lua" },
	{ "policy", "test", mf_cmd_policy_test, "run the tests of policies" },
	{ "policy", "explain", mf_cmd_policy_explain,
	  "ask one question and show how it was decided" },
	{ "policy", "trace", mf_cmd_policy_trace,
	  "show what a running session decides, and by which line" },
	{ "policy", "diff", mf_cmd_policy_diff,
	  "show which requests another policy decides otherwise" },
	{ "policy", "verify", mf_cmd_policy_verify,
	  "find out whether policies are signed by somebody trusted" },
	{ "policy", "repl", mf_cmd_policy_repl, "ask policies one question after the other" },
	{ "policy", "fmt", mf_cmd_policy_fmt, "write policies in one way" },
	{ "policy", "learn", mf_cmd_policy_learn,
	  "print the smallest policy that allows what was recorded" },
	{ "policy", "bench", mf_cmd_policy_bench, "measure decisions per second" },
	{ "policy", "replay", mf_cmd_policy_replay,
	  "show what policies decide about captured traffic" },
	{ "pack", "build", mf_cmd_pack_build, "make the archive of a pack" },
	{ "pack", "sign", mf_cmd_pack_sign, "sign an archive" },
	{ "pack", "verify", mf_cmd_pack_verify,
	  "find out whether an archive, or what is installed, can be trusted" },
	{ "pack", "install", mf_cmd_pack_install, "let a signed archive in, and put it in force" },
	{ "pack", "list", mf_cmd_pack_list, "list the packs that are in force" },
	{ "pack", "remove", mf_cmd_pack_remove, "take a pack out of force" },
	{ "pack", "rollback", mf_cmd_pack_rollback,
	  "go back to the packs that were in force before" },
	{ "pack", "promote", mf_cmd_pack_promote, "put a canary in force for all sessions" },
	{ "pack", "source", mf_cmd_pack_source, "say where packs come from" },
	{ "pack", "update", mf_cmd_pack_update, "ask the sources, and do what their channels say" },
	{ "pack", "publish", mf_cmd_pack_publish, "write and sign the index of a channel" },
	{ "pack", "trust", mf_cmd_pack_trust, "say whose signatures of packs count" },
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

static void tell_bug(const char *text)
{
	fprintf(stderr, "%s\n", text);
}

int main(int argc, char **argv)
{
	int status;

	mf_must_tell = tell_bug;
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
