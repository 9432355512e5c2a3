/* SPDX-License-Identifier: Apache-2.0 */
/* file_copy_posix.h - one file's bytes, holes and attributes into a new file; 0 or a negative errno */
#ifndef MF_FS_FILE_COPY_POSIX_H
#define MF_FS_FILE_COPY_POSIX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

/**
 * mf_file_copy() - An open file becomes a new one, which shares its blocks where the file system can
 * @from: stays the caller's
 * @st: what the copy is to be: of @from, or shorter
 * @to: must not exist; after an error it may be there, unfinished
 * @max: -EFBIG instead of copying more bytes than that; sharing is not copying; 0: no limit
 * @sync: return when the bytes are on the disk
 */
int mf_file_copy(int from, const struct stat *st, int to_dir, const char *to, uint64_t max,
		 bool sync, bool *ret_cloned);
/** mf_file_copy_attrs() - Owner, as far as we may, extended attributes, mode, times; @st: of @from */
int mf_file_copy_attrs(int from, int to, const struct stat *st);
void mf_file_times_of(const struct stat *st, struct timespec ret[2]);

#endif
