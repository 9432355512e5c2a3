/* SPDX-License-Identifier: Apache-2.0 */
/* journal_int.h - the parts of a journal: journal_posix.c writes, _sweep compresses and removes, _ledger counts what was lost */
#ifndef MF_JOURNAL_JOURNAL_INT_H
#define MF_JOURNAL_JOURNAL_INT_H

#include <limits.h>
#include <pthread.h>

#include "core/journal/journal.h"

#define MF_JOURNAL_NAME_MAX 255

/* --- places --- */

/** mf_journal_split() - @path's directory and last component; Return: false when either is too long, or there is none */
bool mf_journal_split(const char *path, char dir[PATH_MAX], char name[MF_JOURNAL_NAME_MAX + 1]);

/** mf_journal_lock_dir() - No other journal of this directory rotates or counts until the close(); Return: fd, MF_E_IO */
int mf_journal_lock_dir(const char *dir);

/** mf_journal_is_rotated() - Whether @entry is @name.DATE or @name.DATE.gz; @ret_gz */
bool mf_journal_is_rotated(const char *name, const char *entry, bool *ret_gz);

/** mf_journal_last_turn() - The highest N of @name.@date-N; 1: of @name.@date alone; 0: there is none */
unsigned long mf_journal_last_turn(const char *dir, const char *name, const char *date);

/* --- room --- */

/**
 * mf_journal_set_aside() - Whether @room bytes fit behind the end of @fd, whoever else fills the filesystem up
 * Linux: they are allocated (fallocate(2), the size stays), as far as the filesystem promises that; where there is no such thing, and on
 * other systems, what is free now is compared.
 */
bool mf_journal_set_aside(int fd, size_t room);

/* --- the sweeper --- */

struct mf_journal_sweeper;

/** mf_journal_sweeper_new() - Starts its thread, which looks at once; @log: borrowed. Return: 0, MF_E_NOMEM */
int mf_journal_sweeper_new(const char *dir, const char *name,
			   const struct mf_journal_options *options, const struct mf_log *log,
			   struct mf_journal_sweeper **ret_sweeper, struct mf_err *err);
/** mf_journal_sweeper_wake() - There is a rotated file more */
void mf_journal_sweeper_wake(struct mf_journal_sweeper *s);
/** mf_journal_sweeper_free() - Stop within a piece; what is half done is left to the next. NULL is fine */
void mf_journal_sweeper_free(struct mf_journal_sweeper *s);

/* --- the ledger --- */

struct mf_journal_ledger;

/** mf_journal_ledger_new() - The page of this run; NULL where it cannot be made: then a kill is not counted */
struct mf_journal_ledger *mf_journal_ledger_new(const char *dir, const char *name, const char *run);
/** mf_journal_ledger_offer() - As mf_events_writer.offer() */
void mf_journal_ledger_offer(struct mf_journal_ledger *l);
/** mf_journal_ledger_add() - Lines that are in the file, the last of which is @number; and those of which one has told */
void mf_journal_ledger_add(struct mf_journal_ledger *l, uint64_t lines, uint64_t number,
			   uint64_t told);
/** mf_journal_ledger_close() - Remove it if nothing is missing; else the next journal tells. NULL is fine */
void mf_journal_ledger_close(struct mf_journal_ledger *l);

/** mf_journal_ledger_collect() - Call @fn for every run that has gone without its end, once, with what it lost (not 0) */
void mf_journal_ledger_collect(const char *dir, const char *name,
			       void (*fn)(void *ctx, const char *run, uint64_t lost), void *ctx);

#endif
