/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_signals.h - what somebody outside tells moonfence run while the command runs
 *
 * Linux: SIGHUP reloads the policies. The capture forwards the other signals to the command.
 * Windows: everybody at a console hears Ctrl-C and Ctrl-Break, the command too. The first is the command's: the session
 * ends when it ends. The second ends the session, and so do closing the console, logging off and shutting down, for which
 * Windows leaves a few seconds.
 */
#ifndef MF_CLI_RUN_SIGNALS_H
#define MF_CLI_RUN_SIGNALS_H

struct event_base;
struct mf_run_signals;

struct mf_run_signals_ops {
	void (*reload)(void *ctx);
	/* End the session now; @status: what the program exits with, if the command has not ended by itself */
	void (*stop)(void *ctx, int status);
	void *ctx;
};

/** mf_run_signals_new() - @ops: copied; called in @base's thread. Return: NULL without memory or sockets */
struct mf_run_signals *mf_run_signals_new(struct event_base *base,
					  const struct mf_run_signals_ops *ops);

/** mf_run_signals_free() - NULL is fine. On Windows a pending end of the console goes on from here: be done with the session */
void mf_run_signals_free(struct mf_run_signals *s);

#endif
