/* SPDX-License-Identifier: Apache-2.0 */
/* procargs.h - a process's arguments as macOS gives them (sysctl KERN_PROCARGS2); the process may have written anything */
#ifndef MF_CAPTURE_PROCARGS_H
#define MF_CAPTURE_PROCARGS_H

#include <stddef.h>

#include "core/base/err.h"

#define MF_PROCARGS_MAX 256 /* arguments; more are left out */

/**
 * mf_procargs_parse() - Find the arguments: a count in host order, the path, NUL bytes, then the arguments, each with a NUL
 * @buf:  what the kernel gave; the results point into it
 * @ret:  MF_PROCARGS_MAX + 1 places; NULL-terminated
 * Return: how many, or MF_E_BAD
 */
int mf_procargs_parse(const char *buf, size_t len, const char *ret[static MF_PROCARGS_MAX + 1]);

#endif
