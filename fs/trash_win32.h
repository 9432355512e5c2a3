/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_win32.h - the trash of Windows (trash.h): how losses get there, by handle
 *
 * Layout as elsewhere (files\, info\NAME.trashinfo, moonfence\TOKEN), but a record is a small file that is written through,
 * and paths are "/C:/work/notes.txt",
 * which directories may be given as, too. The trash lies on the volume of its source: what goes there is moved, never copied from
 * volume to volume. Hashes are not taken (hash_max has no effect).
 */
#ifndef MF_FS_TRASH_WIN32_H
#define MF_FS_TRASH_WIN32_H

#include "fs/trash.h"

/**
 * mf_trash_put_handle() - Keep what @handle is, which an operation is about to destroy
 * @handle: of source_win32.h; MOVE: opened with MF_WSOURCE_REMOVE, COPY: one that can be read
 * LINK is not there. NOTE_DIR: only written down. @loss->path: as above. Thread-safe.
 * Return: 0 or a negative errno
 */
int mf_trash_put_handle(struct mf_trash *trash, void *handle, const struct mf_trash_loss *loss,
			char token[MF_TRASH_TOKEN_MAX]);

#endif
