/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ascii_name.h - host names that are plain ASCII made canonical, without IDNA
 *
 * The part of core/names/canonical.h that needs no library; see there for the rules.
 */
#ifndef MF_MATCH_ASCII_NAME_H
#define MF_MATCH_ASCII_NAME_H

#include <stddef.h>
#include <stdint.h>

#include "core/match/domain_set.h"

/**
 * mf_ascii_name_canon() - Lower case, one trailing dot off, label and name lengths, letters that names may have
 * Return: length of @out (NUL-terminated), MF_E_SYNTAX, or MF_E_UNSUPPORTED for a byte above 127: IDNA must look at it
 */
int mf_ascii_name_canon(const char *in, size_t len, char out[MF_NAME_ROOM]);

/**
 * mf_ascii_label_is_number() - Digits, or "0x" and hexadecimal digits
 * Some resolvers read a name whose last label is a number ("127.1", "0x7f.1") as an IPv4 address: such text is no name.
 */
bool mf_ascii_label_is_number(const char *label, size_t len);

#endif
