/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job_win32.h - the command of a session and all its descendants, held together by a job object
 *
 *	mf_job_new(&wake, &job, &err);
 *	mf_job_spawn(job, argv, NULL, &exit_code, &err);    // made, in the job, not running yet
 *	...                                                 // make the pid known to whoever watches traffic
 *	mf_job_resume(job, &err);
 *	while (!mf_job_ended(job, &code))                   // whenever woken
 *		while (events.next(events.ctx, &ev)) ...
 *	mf_job_free(job);                                   // whoever is left of the tree ends
 *
 * The job has kill-on-close and its only handle is ours, neither named nor inherited: when this process ends, in whatever
 * way, the kernel closes it and the whole tree ends with it (W4). Nobody can leave: breaking away is not allowed, so
 * CREATE_BREAKAWAY_FROM_JOB fails in the session. What a process has others start for it (a service, the task scheduler,
 * WMI, COM servers that run elsewhere) is not its child and not in the job.
 *
 * The command inherits three handles, its standard ones, and nothing else.
 *
 * Threads: one thread of its own waits for the job's messages; all functions belong to the session's thread, but for
 * mf_job_kill(), which any thread may call until mf_job_free().
 */
#ifndef MF_CAPTURE_JOB_WIN32_H
#define MF_CAPTURE_JOB_WIN32_H

#include "capture/session_events.h"
#include "core/base/err.h"

struct mf_job;

/** mf_job_new() - An empty job and the thread that listens to it; Return: 0, MF_E_NOMEM, MF_E_IO */
int mf_job_new(const struct mf_session_wake *wake, struct mf_job **ret, struct mf_err *err);

/**
 * mf_job_spawn() - Make the command in the job, suspended
 * @argv: UTF-8, NULL-terminated. A name without a folder is looked up in the folders of PATH, with the endings of PATHEXT
 *        where it has none; never in the current folder. .bat and .cmd files get no argument that cmd.exe would read as
 *        more than an argument
 * @envp: "KEY=VALUE" in UTF-8, NULL-terminated; NULL: the caller's
 * @ret_exit_code: on failure what a shell would exit with, 127 not found, 126 not executable; may be NULL
 * Return: 0, MF_E_NOENT, MF_E_PERM, MF_E_INVAL, MF_E_LIMIT, MF_E_SYNTAX, MF_E_NOMEM, MF_E_IO
 */
int mf_job_spawn(struct mf_job *job, char *const *argv, char *const *envp, int *ret_exit_code,
		 struct mf_err *err);

/** mf_job_set_directory() - Before spawn: where the command starts, UTF-8; NULL: where the caller is; Return: 0, MF_E_NOMEM, MF_E_SYNTAX */
int mf_job_set_directory(struct mf_job *job, const char *directory, struct mf_err *err);

/** mf_job_resume() - Let it run; Return: 0, MF_E_INVAL, MF_E_IO */
int mf_job_resume(struct mf_job *job, struct mf_err *err);

/** mf_job_pid() - The command's process id, 0 before it exists */
uint32_t mf_job_pid(const struct mf_job *job);

/** mf_job_ended() - Whether the command itself has ended, with its exit code; its descendants may go on */
bool mf_job_ended(const struct mf_job *job, uint32_t *ret_code);

/**
 * mf_job_has() - Whether a process is in the job now: the kernel's answer, no memory of events
 * Cost: three system calls. Return: false too for a process that has ended, or that we may not look at
 */
bool mf_job_has(const struct mf_job *job, uint32_t pid);
/** mf_job_may_have() - The same, but true of a process that Windows lets nobody look at */
bool mf_job_may_have(const struct mf_job *job, uint32_t pid);

/** mf_job_list() - Process ids in the job now; Return: how many there are, @max of them filled; MF_E_IO, MF_E_NOMEM */
int mf_job_list(const struct mf_job *job, uint32_t *ret_pids, size_t max);

/** mf_job_events() - The source of its news, valid until mf_job_free() */
struct mf_session_events mf_job_events(struct mf_job *job);

/** mf_job_kill() - End every process of the job */
void mf_job_kill(struct mf_job *job, uint32_t exit_code);

/** mf_job_free() - Kill whoever is left, end the thread, close; NULL is fine */
void mf_job_free(struct mf_job *job);

#endif
