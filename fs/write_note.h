/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write_note.h - what a file was when somebody opened it to write, where the answer was to keep what is written over
 *
 * Writing is no operation that policies are asked about: opening was. So the file's node bears a note of that, and the first write
 * that would change a byte of what there was, by whatever handle it comes, copies it into the trash first. What was only appended to
 * is not copied. The pointer to a note and its count of references are under the lock of whoever has the nodes.
 */
#ifndef MF_FS_WRITE_NOTE_H
#define MF_FS_WRITE_NOTE_H

#include <pthread.h>

#include "fs/judge.h"

struct mf_fs_write_note {
	unsigned refs;
	pthread_mutex_t lock; /* held while it is copied: other writers wait for that */
	bool done;	      /* it was copied; under @lock */
	bool hash;
	struct mf_fs_caller who;   /* who opened */
	uint64_t size;		   /* bytes, and ... */
	int64_t mtime_ns;	   /* ... when it was opened */
	const char *policy, *rule; /* in @text; "" for none */
	char text[];
};

/** mf_fs_write_note_new() - With one reference; @v, @who are copied; Return: NULL: no memory */
struct mf_fs_write_note *mf_fs_write_note_new(const struct mf_fs_verdict *v,
					      const struct mf_fs_caller *who, uint64_t size,
					      int64_t mtime_ns);
/** mf_fs_write_note_get() - Return: @note, one reference more, where a write from @off on may change what it is about; or NULL */
struct mf_fs_write_note *mf_fs_write_note_get(struct mf_fs_write_note *note, uint64_t off);
/** mf_fs_write_note_put() - Let go; NULL is fine */
void mf_fs_write_note_put(struct mf_fs_write_note *note);

#endif
