/* SPDX-License-Identifier: Apache-2.0 */
/* canonical.c - see canonical.h */
#include "core/names/canonical.h"

#include <idn2.h>
#include <string.h>

#include "core/base/addr.h"
#include "core/match/ascii_name.h"

// The longest U-label name that is looked at: four bytes of UTF-8 for each byte of the longest A-label name.
#define U_NAME_MAX (4 * MF_NAME_MAX)

static int canon_idna(const char *in, size_t len, char out[MF_NAME_ROOM])
{
	char text[U_NAME_MAX + 1];
	char *ascii = NULL;
	int r;

	if (len > U_NAME_MAX || memchr(in, '\0', len))
		return MF_E_SYNTAX;
	memcpy(text, in, len);
	text[len] = '\0';
	if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return MF_E_SYNTAX;
	// Mapping may bring in any ASCII (U+2100 becomes "a/c"), so the result is checked like all ASCII.
	r = mf_ascii_name_canon(ascii, strlen(ascii), out);
	idn2_free(ascii);
	return r == MF_E_UNSUPPORTED ? MF_E_SYNTAX : r;
}

int mf_name_canon(const char *in, size_t len, char out[MF_NAME_ROOM])
{
	int r = mf_ascii_name_canon(in, len, out);

	return r == MF_E_UNSUPPORTED ? canon_idna(in, len, out) : r;
}

bool mf_name_is_canon(const char *in, size_t len)
{
	char out[MF_NAME_ROOM];
	int r = mf_ascii_name_canon(in, len, out);

	return r >= 0 && (size_t)r == len && memcmp(in, out, len) == 0;
}

bool mf_name_is_address(const char *in, size_t len)
{
	struct mf_addr addr;
	size_t label;

	if (len >= 2 && in[0] == '[' && in[len - 1] == ']') {
		in++;
		len -= 2;
	}
	if (mf_addr_parse(in, len, &addr) == 0)
		return true;
	// With a zone, "fe80::1%eth0".
	if (memchr(in, ':', len) && memchr(in, '%', len)) {
		const char *zone = memchr(in, '%', len);

		return mf_addr_parse(in, (size_t)(zone - in), &addr) == 0;
	}
	if (len && in[len - 1] == '.')
		len--;
	for (label = len; label > 0 && in[label - 1] != '.'; label--)
		;
	return len > label && mf_ascii_label_is_number(in + label, len - label);
}
