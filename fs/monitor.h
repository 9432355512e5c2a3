/* SPDX-License-Identifier: Apache-2.0 */
/*
 * monitor.h - what happens to the files of a directory, told with what the policies would have said
 *
 *	mf_monitor_new(&options, &m, &err);      // from here on nothing is missed
 *	mf_monitor_serve(m, &err);               // until mf_monitor_stop()
 *	mf_monitor_free(m);
 *
 * Nothing is held back and nothing is kept: the kernel tells what was done, the policies are asked afterwards, and the event
 * says what was done (effective_action "allowed") beside what they answered (policy.decision, fields.would).
 *
 * How it works (Linux, fanotify; docs/internals/fs.md)
 *
 * Root puts one mark on the directory's file system, and whatever happens elsewhere on it is left out by its directory.
 * Where that is not possible (ordinary users; file systems without handles that can be opened) each directory has a
 * mark of its own. Either way events name a directory by its handle and a name in it; a table of directories turns handles into
 * paths, and follows renames. Removed directories are found in the events of their removal.
 *
 * Who did it: root's events have a process id. Ordinary users' have none (the kernel keeps it to itself).
 *
 * The monitor is told of files and opens none of them: it holds nobody up and cannot wait for itself. When the kernel's
 * queue overflows this is counted, told (`monitor_overflow`), and the table is made anew.
 */
#ifndef MF_FS_MONITOR_H
#define MF_FS_MONITOR_H

#include "core/base/log.h"
#include "core/observe/events.h"
#include "core/policy/session.h"

struct mf_monitor;

/* Borrowed for the monitor's life. */
struct mf_monitor_options {
	size_t size; /* sizeof(struct mf_monitor_options) */
	const char *dir;
	const char *root; /* the path that policies see for it; NULL: its own */
	struct mf_runtime *runtime;
	const char *session_id, *source_name; /* "monitor", "session" */
	const struct mf_session_label *labels;
	size_t label_cnt;
	struct mf_events *events; /* may be NULL */
	/*
	 * A process of the session whose operations alone are told of, by its user namespace, with all that begin in it; 0: those
	 * of everybody. Without the right to know who it was (ordinary users) everybody's are told of.
	 */
	int64_t session_pid;
	bool each_directory; /* marks on directories though one on the file system would do */
	const struct mf_log *log;
};

/**
 * mf_monitor_new() - Begin to listen
 * Cost: with marks on directories a walk through them. Return: 0; MF_E_UNSUPPORTED: this system has no such thing;
 * MF_E_NOENT, MF_E_INVAL (no directory), MF_E_PERM, MF_E_LIMIT (more directories than the user may watch), MF_E_IO, MF_E_NOMEM
 */
int mf_monitor_new(const struct mf_monitor_options *options, struct mf_monitor **ret_monitor,
		   struct mf_err *err);

/** mf_monitor_serve() - Blocks; one thread. Return: 0, MF_E_IO */
int mf_monitor_serve(struct mf_monitor *monitor, struct mf_err *err);

/** mf_monitor_stop() - From any thread, or a signal handler: what has happened so far is told of, then serving ends */
void mf_monitor_stop(struct mf_monitor *monitor);

/** mf_monitor_free() - NULL is fine */
void mf_monitor_free(struct mf_monitor *monitor);

/** mf_monitor_kind() - In words: what it listens with, and whether it knows who; static storage */
const char *mf_monitor_kind(const struct mf_monitor *monitor);

struct mf_monitor_stats {
	size_t size;	  /* in: sizeof(struct mf_monitor_stats) */
	uint64_t records; /* that the kernel told of the directory */
	uint64_t asked, would_refuse, would_trash, would_redirect, events_left_out;
	uint64_t overflows; /* of the kernel's queue: what happened then is not known */
	uint64_t unplaced;  /* nobody knows any longer in which directory */
	uint64_t dirs;	    /* in the table */
};
/** mf_monitor_get_stats() - When nobody serves */
void mf_monitor_get_stats(const struct mf_monitor *monitor, struct mf_monitor_stats *ret);

#endif
