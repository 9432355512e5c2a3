/* SPDX-License-Identifier: Apache-2.0 */
/* installed.h - where the files are that were installed with us */
#ifndef MF_BASE_INSTALLED_H
#define MF_BASE_INSTALLED_H

/**
 * mf_installed() - The path of a file or directory that was installed with us, in malloc()ed memory
 * @fixed: where the build's prefix has it
 * @below: its path below the prefix, as "share/moonfence"
 * Where programs are unpacked anywhere (Windows), it is @below the folder of the program or library that this function is
 * linked into, or the folder around that one; otherwise @fixed. Return: NULL without memory
 */
char *mf_installed(const char *fixed, const char *below);

#endif
