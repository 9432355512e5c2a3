/* SPDX-License-Identifier: Apache-2.0 */
/* hex.h - hexadecimal digits */
#ifndef MF_BASE_HEX_H
#define MF_BASE_HEX_H

/** mf_hex_digit() - Return: 0 to 15, of either case; -1: @c is none */
static inline int mf_hex_digit(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

#endif
