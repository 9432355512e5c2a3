/* SPDX-License-Identifier: Apache-2.0 */
/*
 * format.h - policies written in one way: indentation, spaces and empty lines
 *
 * Lines stay where the author broke them, comments where they are; what the text means does not change, which is checked before
 * the result is given out. Formatting twice is formatting once.
 */
#ifndef MF_CLI_FORMAT_H
#define MF_CLI_FORMAT_H

#include <moonfence/moonfence.h>
#include <stddef.h>

#include "core/base/strbuf.h"

/**
 * mf_format_lua() - Two spaces a level, one space where one belongs, no two empty lines
 * @file: for messages. @out: the text is appended; bounded by its cap
 * Return: 0; MF_E_SYNTAX with line and column in @err; MF_E_LIMIT, MF_E_NOMEM, MF_E_UNSUPPORTED (nested deeper than 1,000)
 */
int mf_format_lua(const char *text, size_t len, const char *file, struct mf_strbuf *out,
		  struct mf_err *err);

/**
 * mf_format_yaml() - Ends of lines, blanks before them, empty lines, the byte order mark; texts of several lines stay as they are
 * Indentation stays: in YAML it is meaning, and comments have no place in what the parser tells.
 * Return: as above
 */
int mf_format_yaml(const char *text, size_t len, const char *file, struct mf_strbuf *out,
		   struct mf_err *err);

#endif
