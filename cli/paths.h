/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths.h - where the shipped Lua files are: the standard library and the policies
 *
 * In this order; the first that has a stdlib/ counts:
 *   everywhere  $MOONFENCE_DATA
 *   Linux       the installed directory, the source tree that the program was built from
 *   Windows     the program's own directory (the zip), ..\share\moonfence beside it (an installed tree)
 *
 * The policy that "moonfence run" takes without --policy is policies/default in there. On Windows an operator's own goes
 * before it: %LOCALAPPDATA%\moonfence\policies (of the user that runs the program, which may be an elevated one), then
 * %ProgramData%\moonfence\policies, where it was made by an administrator: anybody may make a folder there.
 */
#ifndef MF_CLI_PATHS_H
#define MF_CLI_PATHS_H

#include <stddef.h>

/* Bytes of any path that the program puts together, with the final 0. */
#define MF_PATH_MAX 4096

/** mf_paths_data() - "DIR/@name" below the data directory in @buf of MF_PATH_MAX bytes; Return: @buf, or NULL if there is none */
const char *mf_paths_data(const char *name, char buf[MF_PATH_MAX]);

/** mf_paths_default_policy() - The policy in force without --policy; Return: @buf, or NULL if there is none */
const char *mf_paths_default_policy(char buf[MF_PATH_MAX]);

/**
 * mf_paths_authority() - The directory of the local certificate authority (proxies/tls_authority.h), which need not exist
 * Linux, macOS: /var/lib/moonfence/ca for root, else $XDG_STATE_HOME/moonfence/ca, $HOME/.local/state/moonfence/ca.
 * Windows: %LOCALAPPDATA%\moonfence\ca. Return: @buf, or NULL without such variables
 */
const char *mf_paths_authority(char buf[MF_PATH_MAX]);

/**
 * mf_paths_absolute() - @path from the root on, '/' between components, "." and ".." still in it
 * Windows: "/C:/dir/file", which is how paths on a drive are written where every system's begin with '/'.
 * Return: @buf of @size bytes; NULL when it has no room, or nobody knows the current directory
 */
const char *mf_paths_absolute(const char *path, char *buf, size_t size);

/** mf_paths_data_places() - Where mf_paths_data() looks, for messages: "installed in /usr/share/moonfence" */
const char *mf_paths_data_places(void);

#endif
