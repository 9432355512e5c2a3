/* SPDX-License-Identifier: Apache-2.0 */
/* ascii_name.c - see ascii_name.h */
#include "core/match/ascii_name.h"

// What a byte of a name becomes; 0: not allowed; 1: above ASCII.
#define HIGH8 1, 1, 1, 1, 1, 1, 1, 1
static const uint8_t to_canon[256] = {
	['-'] = '-',   ['.'] = '.',   ['_'] = '_',   ['0'] = '0',   ['1'] = '1',   ['2'] = '2',
	['3'] = '3',   ['4'] = '4',   ['5'] = '5',   ['6'] = '6',   ['7'] = '7',   ['8'] = '8',
	['9'] = '9',   ['a'] = 'a',   ['b'] = 'b',   ['c'] = 'c',   ['d'] = 'd',   ['e'] = 'e',
	['f'] = 'f',   ['g'] = 'g',   ['h'] = 'h',   ['i'] = 'i',   ['j'] = 'j',   ['k'] = 'k',
	['l'] = 'l',   ['m'] = 'm',   ['n'] = 'n',   ['o'] = 'o',   ['p'] = 'p',   ['q'] = 'q',
	['r'] = 'r',   ['s'] = 's',   ['t'] = 't',   ['u'] = 'u',   ['v'] = 'v',   ['w'] = 'w',
	['x'] = 'x',   ['y'] = 'y',   ['z'] = 'z',   ['A'] = 'a',   ['B'] = 'b',   ['C'] = 'c',
	['D'] = 'd',   ['E'] = 'e',   ['F'] = 'f',   ['G'] = 'g',   ['H'] = 'h',   ['I'] = 'i',
	['J'] = 'j',   ['K'] = 'k',   ['L'] = 'l',   ['M'] = 'm',   ['N'] = 'n',   ['O'] = 'o',
	['P'] = 'p',   ['Q'] = 'q',   ['R'] = 'r',   ['S'] = 's',   ['T'] = 't',   ['U'] = 'u',
	['V'] = 'v',   ['W'] = 'w',   ['X'] = 'x',   ['Y'] = 'y',   ['Z'] = 'z',   [128] = HIGH8,
	[136] = HIGH8, [144] = HIGH8, [152] = HIGH8, [160] = HIGH8, [168] = HIGH8, [176] = HIGH8,
	[184] = HIGH8, [192] = HIGH8, [200] = HIGH8, [208] = HIGH8, [216] = HIGH8, [224] = HIGH8,
	[232] = HIGH8, [240] = HIGH8, [248] = HIGH8,
};

bool mf_ascii_label_is_number(const char *label, size_t len)
{
	bool hex = len >= 2 && label[0] == '0' && (label[1] | 32) == 'x';

	for (size_t i = hex ? 2 : 0; i < len; i++) {
		bool digit = label[i] >= '0' && label[i] <= '9';
		int lower = label[i] | 32;

		if (!digit && !(hex && lower >= 'a' && lower <= 'f'))
			return false;
	}
	return len > 0;
}

int mf_ascii_name_canon(const char *in, size_t len, char out[MF_NAME_ROOM])
{
	size_t label = 0, i;

	// "a." is "a"; "." and "" are no names; a second trailing dot is an empty label.
	if (len && in[len - 1] == '.')
		len--;
	if (len == 0)
		return MF_E_SYNTAX;
	// What is too long as ASCII may be a short name in U-labels, but never one over 4 times the room.
	if (len > MF_NAME_MAX) {
		if (len > 4 * MF_NAME_MAX)
			return MF_E_SYNTAX;
		for (i = 0; i < len; i++)
			if ((uint8_t)in[i] > 127)
				return MF_E_UNSUPPORTED;
		return MF_E_SYNTAX;
	}
	for (i = 0; i < len; i++) {
		uint8_t c = to_canon[(uint8_t)in[i]];

		if (c <= 1)
			return c ? MF_E_UNSUPPORTED : MF_E_SYNTAX;
		out[i] = (char)c;
		if (c != '.')
			continue;
		// A U-label may be longer as UTF-8 than as an A-label, so look on for one.
		if (i == label || i - label > 63)
			break;
		label = i + 1;
	}
	if (i < len || len == label || len - label > 63) {
		for (; i < len; i++)
			if ((uint8_t)in[i] > 127)
				return MF_E_UNSUPPORTED;
		return MF_E_SYNTAX;
	}
	out[len] = '\0';
	return mf_ascii_label_is_number(out + label, len - label) ? MF_E_SYNTAX : (int)len;
}
