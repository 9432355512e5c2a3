/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.h - the subcommands; main.c has the one table that names them
 *
 * A subcommand lives in a file of its own and is one function: argv[0] is the subcommand's last word, the arguments
 * follow. It prints its result to stdout, what is wrong to stderr, and returns the exit status.
 * To add one: its file, a line here, a row in main.c's table, a section in docs/moonfence.1.
 */
#ifndef MF_CLI_COMMANDS_H
#define MF_CLI_COMMANDS_H

/* Exit statuses of every subcommand (run adds those of the command that it runs). */
enum mf_exit {
	MF_EXIT_GOOD = 0,
	MF_EXIT_FAULT = 1,   /* a policy's fault: it does not load, a test or check failed */
	MF_EXIT_USAGE = 2,   /* wrong usage: unknown option, missing operand, malformed value */
	MF_EXIT_SETUP = 125, /* what is to be run or served cannot begin */
};

int mf_cmd_run(int argc, char **argv);
int mf_cmd_resolver(int argc, char **argv);
int mf_cmd_gateway(int argc, char **argv);
int mf_cmd_vm_net(int argc, char **argv);
int mf_cmd_mount(int argc, char **argv);
int mf_cmd_watch(int argc, char **argv);
int mf_cmd_policy_check(int argc, char **argv);
int mf_cmd_policy_convert(int argc, char **argv);
int mf_cmd_policy_test(int argc, char **argv);
int mf_cmd_policy_explain(int argc, char **argv);
int mf_cmd_policy_bench(int argc, char **argv);
int mf_cmd_policy_verify(int argc, char **argv);
int mf_cmd_policy_repl(int argc, char **argv);
int mf_cmd_policy_fmt(int argc, char **argv);
int mf_cmd_policy_learn(int argc, char **argv);
int mf_cmd_approvals_list(int argc, char **argv);
int mf_cmd_approvals_show(int argc, char **argv);
int mf_cmd_approvals_allow(int argc, char **argv);
int mf_cmd_approvals_deny(int argc, char **argv);
int mf_cmd_approvals_watch(int argc, char **argv);
int mf_cmd_policy_trace(int argc, char **argv);
int mf_cmd_policy_diff(int argc, char **argv); /* statuses of its own, as diff(1) */
int mf_cmd_policy_replay(
	int argc, char **argv); /* statuses of its own, as diff(1): 1 differences, 2 trouble */
int mf_cmd_ca_create(int argc, char **argv);
int mf_cmd_ca_trust(int argc, char **argv);
int mf_cmd_ca_untrust(int argc, char **argv);
int mf_cmd_ca_show(int argc, char **argv);
int mf_cmd_ca_rotate(int argc, char **argv);
int mf_cmd_ca_check(int argc, char **argv);

int mf_cmd_trash_list(int argc, char **argv);
int mf_cmd_trash_show(int argc, char **argv);
int mf_cmd_trash_restore(int argc, char **argv);
int mf_cmd_trash_diff(int argc, char **argv); /* statuses of its own, as diff(1) */
int mf_cmd_trash_purge(int argc, char **argv);
int mf_cmd_undo(int argc, char **argv);

int mf_cmd_pack_build(int argc, char **argv);
int mf_cmd_pack_sign(int argc, char **argv);
int mf_cmd_pack_verify(int argc, char **argv);
int mf_cmd_pack_install(int argc, char **argv);
int mf_cmd_pack_list(int argc, char **argv);
int mf_cmd_pack_remove(int argc, char **argv);
int mf_cmd_pack_rollback(int argc, char **argv);
int mf_cmd_pack_trust(int argc, char **argv);
int mf_cmd_pack_promote(int argc, char **argv);
int mf_cmd_pack_source(int argc, char **argv);
int mf_cmd_pack_update(int argc, char **argv);
int mf_cmd_pack_publish(int argc, char **argv);

int mf_cmd_daemon(int argc, char **argv);
int mf_cmd_nic_host(int argc, char **argv);
int mf_cmd_ctl(int argc, char **argv);

int mf_cmd_doctor(int argc, char **argv);
int mf_cmd_proxy_setup(int argc, char **argv);
int mf_cmd_proxy_enable(int argc, char **argv);
int mf_cmd_proxy_disable(int argc, char **argv);
int mf_cmd_proxy_status(int argc, char **argv);
int mf_cmd_proxy_map(int argc, char **argv);
int mf_cmd_proxy_list(int argc, char **argv);
int mf_cmd_proxy_test(int argc, char **argv);

#endif
