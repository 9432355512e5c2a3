/* SPDX-License-Identifier: Apache-2.0 */
/* trash_hash.h - the hash of what is in the trash: taken of any source of bytes, kept as moonfence/TOKEN.json */
#ifndef MF_FS_TRASH_HASH_H
#define MF_FS_TRASH_HASH_H

#include "core/base/strbuf.h"
#include "fs/trash.h"

#define MF_TRASH_HASH_FILE_MAX 4096 /* bytes of TOKEN.json */

/* Return: bytes at @off, 0 at the end, or a negative errno */
typedef int64_t (*mf_trash_read_fn)(void *ctx, void *buf, size_t size, int64_t off);

/** mf_trash_hash() - SHA-256 of all that @read gives; Return: 0, -ENOMEM, -EIO, @read's error */
int mf_trash_hash(mf_trash_read_fn read, void *ctx, char ret[MF_TRASH_HASH_HEX]);
/** mf_trash_hash_format() - The text of TOKEN.json */
void mf_trash_hash_format(struct mf_strbuf *b, const char *hash, uint64_t size, int64_t mtime_ns);
/** mf_trash_hash_parse() - Its hash; Return: false for what is none: *@ret is "" then */
bool mf_trash_hash_parse(const char *text, size_t len, char ret[MF_TRASH_HASH_HEX]);

#endif
