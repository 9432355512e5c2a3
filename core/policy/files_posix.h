/* SPDX-License-Identifier: Apache-2.0 */
/* files_posix.h - what files_posix.c wants of each system */
#ifndef MF_POLICY_FILES_POSIX_H
#define MF_POLICY_FILES_POSIX_H

/**
 * mf_file_open_below() - Open @name for reading if what it leads to lies below @dir, whatever is swapped meanwhile
 * @name: relative, without ".."
 * @path: "DIR/NAME"
 * Never blocks on a FIFO. Return: descriptor, or -1 with errno: EXDEV for what lies elsewhere
 */
int mf_file_open_below(const char *dir, const char *name, const char *path);

#endif
