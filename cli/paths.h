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
 * mf_paths_packs() - The store of installed packs (packs/store.h), which need not exist
 * Linux, macOS: /var/lib/moonfence/packs for root, else $XDG_STATE_HOME/moonfence/packs, $HOME/.local/state/moonfence/packs.
 * Windows: %LOCALAPPDATA%\moonfence\packs. Return: @buf, or NULL without such variables
 */
const char *mf_paths_packs(char buf[MF_PATH_MAX]);

/**
 * mf_paths_control() - The daemon's control socket, or named pipe, unless somebody says otherwise
 * Linux, macOS: /run/moonfence/api.sock for root (macOS: /var/run), else $XDG_RUNTIME_DIR/moonfence/api.sock, or below the
 * state directory. Windows: \\.\pipe\moonfence. Return: @buf, or NULL without such variables
 */
const char *mf_paths_control(char buf[MF_PATH_MAX]);

/**
 * mf_paths_config() - The daemon's moonfence.yaml, which need not exist
 * Linux, macOS: /etc/moonfence/moonfence.yaml for root, else $XDG_CONFIG_HOME/moonfence/moonfence.yaml or below ~/.config.
 * Windows: %ProgramData%\moonfence\moonfence.yaml. Return: @buf, or NULL without such variables
 */
const char *mf_paths_config(char buf[MF_PATH_MAX]);

/** mf_paths_program() - This very program, to be started again; Return: static storage, or NULL: nobody knows */
const char *mf_paths_program(void);

/**
 * mf_paths_sessions() - The directory of the control sockets of running sessions, which need not exist
 * $MOONFENCE_RUN_DIR/sessions, else sessions beside mf_paths_control()'s socket; Windows: below %LOCALAPPDATA%\moonfence. Return: @buf, or NULL
 */
const char *mf_paths_sessions(char buf[MF_PATH_MAX]);

/**
 * mf_paths_policy() - What --policy says, as a path: "pack:NAME" is that installed pack, "pack:" all of them
 * Return: @value where it is a path; else text that stays for the whole run; NULL: nobody knows where packs are installed
 */
const char *mf_paths_policy(const char *value);

/** mf_paths_policies() - mf_paths_policy() of each, free() it; what has no answer stays as it is. NULL without memory */
const char **mf_paths_policies(const char *const *values, size_t cnt);

/**
 * mf_paths_absolute() - @path from the root on, '/' between components, "." and ".." still in it
 * Windows: "/C:/dir/file", which is how paths on a drive are written where every system's begin with '/'.
 * Return: @buf of @size bytes; NULL when it has no room, or nobody knows the current directory
 */
const char *mf_paths_absolute(const char *path, char *buf, size_t size);

/** mf_paths_data_places() - Where mf_paths_data() looks, for messages: "installed in /usr/share/moonfence" */
const char *mf_paths_data_places(void);

#endif
