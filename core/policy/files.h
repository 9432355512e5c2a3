/* SPDX-License-Identifier: Apache-2.0 */
/* files.h - reading policy files: whole files, listings in byte order, and names confined to a directory */
#ifndef MF_POLICY_FILES_H
#define MF_POLICY_FILES_H

#include <string.h>

#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"

enum mf_file_kind { MF_FILE_NONE, MF_FILE_REGULAR, MF_FILE_DIR, MF_FILE_OTHER, MF_FILE_KIND_NUM };

struct mf_file_entry {
	char *name;
	enum mf_file_kind kind; /* of what a symbolic link points to */
};

struct mf_file_list {
	struct mf_file_entry *items;
	size_t cnt;
};

/** mf_file_path_dup() - @path as the rest of the code reads it: "/" between components; in malloc()ed memory, or NULL */
char *mf_file_path_dup(const char *path);

/** mf_file_root_len() - Bytes of such a path that are no component: 1 of "/a", 3 of "C:/a", 0 of a relative one */
size_t mf_file_root_len(const char *path);

/** mf_file_kind_of() - What @path is, links followed; MF_FILE_NONE when it is not there or out of reach */
enum mf_file_kind mf_file_kind_of(const char *path);

/**
 * mf_file_read() - Read a whole regular file, links followed
 * @max: most bytes; more is MF_E_LIMIT
 * @ret_text: NUL-terminated after @ret_len bytes, free() it
 * Never blocks on a FIFO or device: those are refused.
 * Return: 0, MF_E_NOENT, MF_E_IO, MF_E_LIMIT, MF_E_NOMEM
 */
int mf_file_read(const char *path, size_t max, char **ret_text, size_t *ret_len,
		 struct mf_err *err);

/**
 * mf_file_read_below() - The same for @name below @dir
 * @name may not be absolute or hold "..", and no link on the way may lead out of @dir: MF_E_PERM
 */
int mf_file_read_below(const char *dir, const char *name, size_t max, char **ret_text,
		       size_t *ret_len, struct mf_err *err);

/* Bytes of one piece at most. */
#define MF_FILE_PIECE ((size_t)256 << 10)

/** mf_file_piece_fn - Takes the next piece of a file; Return: 0, or MF_E_* with @err, which ends the reading */
typedef int (*mf_file_piece_fn)(void *ctx, const void *data, size_t len, struct mf_err *err);

/** mf_file_read_pieces() - mf_file_read_below() for what is too large to be in memory twice; Return: also what @fn returned */
int mf_file_read_pieces(const char *dir, const char *name, size_t max, mf_file_piece_fn fn,
			void *ctx, struct mf_err *err);

/** mf_file_list_dir() - Entries of a directory in byte order, hidden ones (".x") left out; Return: 0, MF_E_* */
int mf_file_list_dir(const char *dir, size_t max, struct mf_file_list *ret_list,
		     struct mf_err *err);
void mf_file_list_done(struct mf_file_list *list);

/** mf_file_list_sort() - For mf_file_list_dir() of each system: byte order of the names */
void mf_file_list_sort(struct mf_file_list *list);

static inline bool mf_file_name_ends(const char *name, const char *tail)
{
	size_t a = strlen(name), b = strlen(tail);

	return a >= b && memcmp(name + a - b, tail, b) == 0;
}

#endif
