/* SPDX-License-Identifier: Apache-2.0 */
/* registered.h - signs of data that is carried in names: whose names they are, and how random they look */
#ifndef MF_ASK_REGISTERED_H
#define MF_ASK_REGISTERED_H

#include <stddef.h>

/**
 * mf_registered_domain() - The domain that somebody registered and @name lies in ("example.co.uk" of "a.example.co.uk")
 * By the Public Suffix List that libpsl comes with.
 * @name: canonical. Return: its end that is that domain; NULL: a public suffix itself, or built without the list
 */
const char *mf_registered_domain(const char *name);

/**
 * mf_name_entropy() - Shannon entropy of characters, in hundredths of a bit a character; dots are left out
 * English words have about 250 to 330, names of machines less; hexadecimal up to 400, base32 up to 500.
 * Return: 0 to 800; 0 for less than two characters
 */
unsigned mf_name_entropy(const char *text, size_t len);

#endif
