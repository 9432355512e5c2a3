/* SPDX-License-Identifier: Apache-2.0 */
/*
 * paths.h - where the shipped Lua files are: the standard library and the policies
 *
 * In this order: $MOONFENCE_DATA, the installed directory, the source tree that the program was built from. The first that
 * has a stdlib/ counts.
 */
#ifndef MF_CLI_PATHS_H
#define MF_CLI_PATHS_H

#include <limits.h>

/** mf_paths_data() - "DIR/@name" below the data directory in @buf of PATH_MAX bytes; Return: @buf, or NULL if there is none */
const char *mf_paths_data(const char *name, char buf[PATH_MAX]);

#endif
