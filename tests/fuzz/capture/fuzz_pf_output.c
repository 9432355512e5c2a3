/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_pf_output.c - any text as what pfctl prints, and as the record of an earlier broker; the first byte says which */
#include <stdlib.h>
#include <string.h>

#include "capture/pf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_record(const char *text, size_t len)
{
	struct mf_pf_record r, again;
	char buf[MF_PF_RECORD_MAX];
	size_t n;

	if (mf_pf_record_parse(text, len, &r))
		return;
	/* One record has one text: what was read is what we would have written. */
	n = mf_pf_record_format(&r, buf, sizeof(buf));
	if (n != len || memcmp(buf, text, n) != 0 || mf_pf_record_parse(buf, n, &again) ||
	    !mf_pf_anchor_is_valid(r.anchor))
		abort();
}

static void check_token(const char *text, size_t len)
{
	uint64_t token = 0;

	if (mf_pf_output_token(text, len, &token) == 0 && !token)
		abort();
	(void)mf_pf_output_has_token(text, len, token);
}

static void check_reference(const char *text, size_t len)
{
	enum mf_pf_reference a = mf_pf_output_reference(text, len, "anchor", MF_PF_ANCHOR);
	enum mf_pf_reference b = mf_pf_output_reference(text, len, "rdr-anchor", "moonfence");

	if ((unsigned)a >= MF_PF_REFERENCE_NUM || (unsigned)b >= MF_PF_REFERENCE_NUM)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *text = (const char *)data + 1;

	if (len < 1)
		return 0;
	len--;
	switch (data[0] % 5) {
	case 0:
		check_token(text, len);
		break;
	case 1:
		check_reference(text, len);
		break;
	case 2:
		check_record(text, len);
		break;
	case 3:
		if (mf_pf_output_enabled(text, len) > 1)
			abort();
		(void)mf_pf_output_skips_lo0(text, len);
		break;
	default:
		if (mf_pf_output_count_rules(text, len) > len)
			abort();
	}
	return 0;
}
