/* SPDX-License-Identifier: Apache-2.0 */
/*
 * canonical.h - host names in the one form in which Moonfence compares, stores and shows them
 *
 * Lower case, A-labels (IDNA 2008 with UTS 46 mapping, non-transitional), without the one trailing dot. Labels have 1 to
 * 63 bytes of letters, digits, '-' and '_' (which names in DNS need), the name at most 253. An A-label is taken as it is:
 * DNS compares bytes, so a label that IDNA would not make is still one name and no other.
 */
#ifndef MF_NAMES_CANONICAL_H
#define MF_NAMES_CANONICAL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/match/domain_set.h" /* MF_NAME_MAX, MF_NAME_ROOM */

/**
 * mf_name_canon() - Make @in canonical
 * @out: NUL-terminated result; may not overlap @in
 * Cost: one pass over plain ASCII; libidn2, which allocates, only where a byte is above 127
 * Return: length of @out, or MF_E_SYNTAX: empty, NUL, too long, empty label, IDNA refuses it, or an address literal
 */
int mf_name_canon(const char *in, size_t len, char out[MF_NAME_ROOM]);

/** mf_name_is_canon() - Whether @in is canonical as it stands (A-labels are trusted, not decoded) */
bool mf_name_is_canon(const char *in, size_t len);

/**
 * mf_name_is_address() - Whether text is an address literal or what a system may take for one
 * IPv4 and IPv6 text, [brackets], and every name whose last label is a number ("127.1", "0x7f.1", "2130706433"), which
 * resolvers of some systems read as IPv4. Such text is never a name.
 */
bool mf_name_is_address(const char *in, size_t len);

#endif
