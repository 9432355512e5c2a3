/* SPDX-License-Identifier: Apache-2.0 */
/* fs_op.c - see fs_op.h */
#include "fs/fs_op.h"

#include <assert.h>
#include <stddef.h>

#define W(...)              \
	{                   \
		__VA_ARGS__ \
	}
#define KEEPS	MF_FS_LOSES_NOTHING
#define NAME	MF_FS_LOSES_NAME
#define CONTENT MF_FS_LOSES_CONTENT

/* clang-format off */
static const struct mf_fs_op_info table[] = {
	[MF_FS_LOOKUP]       = { "lookup",   W("stat"),                    MF_EV_FILE_STAT,      false, KEEPS },
	[MF_FS_GETATTR]      = { "getattr",  W("stat"),                    MF_EV_FILE_STAT,      false, KEEPS },
	[MF_FS_ACCESS]       = { "access",   W("stat"),                    MF_EV_FILE_STAT,      false, KEEPS },
	[MF_FS_STATFS]       = { "statfs",   W("stat"),                    MF_EV_FILE_STAT,      false, KEEPS },
	[MF_FS_GETXATTR]     = { "getxattr", W("stat"),                    MF_EV_FILE_STAT,      false, KEEPS },
	[MF_FS_LIST]         = { "list",     W("list"),                    MF_EV_DIR_LIST,       false, KEEPS },
	[MF_FS_READLINK]     = { "readlink", W("readlink"),                MF_EV_SYMLINK_READ,   false, KEEPS },
	[MF_FS_OPEN_READ]    = { "open",     W("open", "read"),            MF_EV_FILE_OPEN,      false, KEEPS },
	[MF_FS_OPEN_WRITE]   = { "open",     W("open", "write"),           MF_EV_FILE_OPEN,      true,  KEEPS },
	[MF_FS_OPEN_BOTH]    = { "open",     W("open", "read", "write"),   MF_EV_FILE_OPEN,      true,  KEEPS },
	[MF_FS_TRUNCATE]     = { "truncate", W("write"),                   MF_EV_FILE_TRUNCATE,  true,  CONTENT },
	[MF_FS_OVERWRITE]    = { "overwrite", W("write"),                  MF_EV_FILE_WRITE,     true,  CONTENT },
	[MF_FS_CREATE_READ]  = { "create",   W("create", "read"),          MF_EV_FILE_CREATE,    true,  KEEPS },
	[MF_FS_CREATE_WRITE] = { "create",   W("create", "write"),         MF_EV_FILE_CREATE,    true,  KEEPS },
	[MF_FS_CREATE_BOTH]  = { "create",   W("create", "read", "write"), MF_EV_FILE_CREATE,    true,  KEEPS },
	[MF_FS_MKDIR]        = { "mkdir",    W("mkdir"),                   MF_EV_DIR_CREATE,     true,  KEEPS },
	[MF_FS_MKNOD]        = { "mknod",    W("mknod"),                   MF_EV_FILE_CREATE,    true,  KEEPS },
	[MF_FS_SYMLINK]      = { "symlink",  W("symlink"),                 MF_EV_SYMLINK_CREATE, true,  KEEPS },
	[MF_FS_LINK_FROM]    = { "link",     W("read", "link"),            MF_EV_FILE_OPEN,      true,  KEEPS },
	[MF_FS_LINK_TO]      = { "link",     W("create"),                  MF_EV_FILE_CREATE,    true,  KEEPS },
	[MF_FS_RENAME_FROM]  = { "rename",   W("rename"),                  MF_EV_FILE_RENAME,    true,  KEEPS },
	[MF_FS_RENAME_TO]    = { "rename",   W("rename"),                  MF_EV_FILE_RENAME,    false, KEEPS },
	[MF_FS_REPLACE]      = { "replace",  W("delete"),                  MF_EV_FILE_DELETE,    false, NAME },
	[MF_FS_CHMOD]        = { "chmod",    W("chmod"),                   MF_EV_FILE_CHMOD,     true,  KEEPS },
	[MF_FS_CHOWN]        = { "chown",    W("chown"),                   MF_EV_FILE_CHMOD,     true,  KEEPS },
	[MF_FS_UTIMENS]      = { "utimens",  W("chmod"),                   MF_EV_FILE_CHMOD,     false, KEEPS },
	[MF_FS_SETXATTR]     = { "setxattr", W("chmod"),                   MF_EV_FILE_CHMOD,     true,  KEEPS },
	[MF_FS_UNLINK]       = { "unlink",   W("delete"),                  MF_EV_FILE_DELETE,    true,  NAME },
	[MF_FS_RMDIR]        = { "rmdir",    W("rmdir"),                   MF_EV_DIR_DELETE,     true,  NAME },
	[MF_FS_RENAME_IN]    = { "rename",   W("rename"),                  MF_EV_FILE_RENAME,    true,  KEEPS },
	[MF_FS_OPEN]         = { "open",     W("open"),                    MF_EV_FILE_OPEN,      false, KEEPS },
	[MF_FS_READ]         = { "read",     W("read"),                    MF_EV_FILE_READ,      false, KEEPS },
	[MF_FS_WRITE]        = { "write",    W("write"),                   MF_EV_FILE_WRITE,     true,  KEEPS },
};
/* clang-format on */
static_assert(sizeof(table) / sizeof(table[0]) == MF_FS_OP_NUM, "a row for every operation");

const struct mf_fs_op_info *mf_fs_op_info(enum mf_fs_op op)
{
	return (unsigned)op < MF_FS_OP_NUM ? &table[op] : NULL;
}

bool mf_fs_op_changes_content(enum mf_fs_op op)
{
	switch (op) {
	case MF_FS_OPEN_WRITE:
	case MF_FS_OPEN_BOTH:
	case MF_FS_TRUNCATE:
	case MF_FS_CHMOD:
	case MF_FS_CHOWN:
	case MF_FS_UTIMENS:
	case MF_FS_SETXATTR:
		return true;
	default:
		return false;
	}
}
