/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trash_win32.h - the trash of Windows (trash.h): how losses get there, by handle
 *
 * Layout as elsewhere (files\, info\NAME.trashinfo, moonfence\TOKEN), but a record is a small file that is written through,
 * and paths are "/C:/work/notes.txt", which directories may be given as, too. Who writes is told by a file that nobody else can
 * open meanwhile (moonfence\writers\ID). What comes from another volume is copied, with its streams, attributes and access list,
 * and on the disk before the original goes.
 */
#ifndef MF_FS_TRASH_WIN32_H
#define MF_FS_TRASH_WIN32_H

#include "fs/trash.h"

/**
 * mf_trash_put_handle() - Keep what @handle is, which an operation is about to destroy
 * @handle: of source_win32.h; MOVE: opened with MF_WSOURCE_REMOVE, COPY: one that can be read
 * LINK is not there. NOTE_DIR: only written down. @loss->path: as above. COPY with loss->attr: as it was then, no longer than
 * attr->size, with attr->mtime_ns. No volume of Windows shares blocks here: beyond copy_max nothing is copied. Thread-safe.
 * Return: 0 or a negative errno
 */
int mf_trash_put_handle(struct mf_trash *trash, void *handle, const struct mf_trash_loss *loss,
			char token[MF_TRASH_TOKEN_MAX]);

#endif
