/* SPDX-License-Identifier: Apache-2.0 */
/* signature_int.h - what signature.c and signature_key.c share */
#ifndef MF_PACKS_SIGNATURE_INT_H
#define MF_PACKS_SIGNATURE_INT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/** mf_signature_line() - The next line, without its end; *at moves on. Return: false at the end */
bool mf_signature_line(const char **at, const char *end, const char **ret, size_t *ret_len);

/** mf_signature_json_text() - A text of a JSON object, or NULL */
const char *mf_signature_json_text(const json_t *o, const char *key);

#endif
