/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - a file of events that lasts: it is rotated, compressed, reopened, and tells what a kill has lost
 *
 *	mf_journal_parse("size=100M,age=1d,keep=7,gzip", &o, &err);
 *	mf_journal_add(events, "/var/log/moonfence/events.jsonl", &o, &log, &err);
 *	mf_events_reopen(events);             // on SIGHUP
 *
 * Rotation. Between two batches of lines the file is looked at: is it as large or as old as it may be, it becomes
 * FILE.20260129T102345Z (with -2, -3, ... where there is one), and FILE begins anew. Somebody else may rename it as well
 * (logrotate): whoever writes to FILE notices before the next batch that the name leads elsewhere, and follows. Several
 * processes may write to one file; one of them rotates it.
 *
 * Compression. A thread of the journal turns FILE.DATE into FILE.DATE.gz, with 64 KiB of buffers, once nobody writes to it
 * any more (each writer holds a shared lock on what it writes to), and removes the oldest beyond those that are to be kept.
 * What an end of the program interrupts is done by the next one.
 *
 * Loss. While it runs, the journal keeps a page beside the file, .FILE.RUN.run, shared with the kernel: the number of the
 * last event. At the end it is removed. A page whose writer has gone without that (kill -9, out of memory) is compared with
 * the last line of the file by the next journal, which writes an events_dropped line with how many are missing: at most
 * what the queue and a batch hold. A crash of the machine is not counted.
 *
 * Room. For a strict stream (mf_events_be_strict()) as much of the disk is set aside behind the end of the file as the queue and the batch
 * hold; and a file that was removed, and cannot be made anew, stores nothing. What was set aside stays allocated at the end.
 *
 * What is no regular file (a pipe, a terminal, /dev/stdout) has none of these, and a wish for them is refused. Windows:
 * neither (journal_win32.c).
 */
#ifndef MF_JOURNAL_JOURNAL_H
#define MF_JOURNAL_JOURNAL_H

#include "core/observe/events.h"

#define MF_JOURNAL_KEEP_DEFAULT 7
#define MF_JOURNAL_KEEP_MAX	10000
#define MF_JOURNAL_SIZE_LEAST	65536u

struct mf_journal_options {
	uint64_t
		max_bytes; /* 0: any; else at least MF_JOURNAL_SIZE_LEAST; a batch may go beyond it */
	uint64_t max_age_s; /* since the first line of the file; 0: any */
	uint32_t keep;	    /* rotated files; 0: MF_JOURNAL_KEEP_DEFAULT. Only where we rotate */
	bool gzip;
};

/**
 * mf_journal_parse() - "size=100M,age=12h,keep=7,gzip", each at most once, size or age at least
 * Sizes end in K, M or G (powers of 1,024) or in nothing, ages in s, m, h or d.
 * Return: 0; MF_E_SYNTAX with a sentence that shows what is wrong
 */
int mf_journal_parse(const char *text, struct mf_journal_options *ret, struct mf_err *err);

/**
 * mf_journal_add() - Append to @path, made with mode 0600 where missing, as one of @events' sinks
 * @options: NULL: no rotation, the rest as above; copied. @log: borrowed
 * Return: 0; MF_E_IO, MF_E_NOMEM, MF_E_FULL, MF_E_UNSUPPORTED: no regular file, no zlib, or Windows
 */
int mf_journal_add(struct mf_events *events, const char *path,
		   const struct mf_journal_options *options, const struct mf_log *log,
		   struct mf_err *err);

#endif
