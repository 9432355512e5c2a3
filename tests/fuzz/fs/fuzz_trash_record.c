/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_trash_record.c - records of any bytes: what is taken names one component and one path, and is written as it is read */
#include <stdlib.h>
#include <string.h>

#include "fs/trash_record.h"

static const char token[] = "0123456789abcdefghijklmnopqrstuv0123456";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_RECORD_MAX - 1);
	struct mf_trash_record r, again;
	char name[MF_TRASH_NAME_ROOM];
	char *text = malloc(size + 1);

	if (!text)
		return 0;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (mf_trash_record_parse(token, text, size, &r) == 0) {
		if (!mf_trash_path_ok(r.e.path) || (*r.e.file && !mf_trash_name_ok(r.e.file)))
			abort();
		mf_trash_record_format(&b, &r);
		// Words that are too long are cut when they are written, so that they need not be the same.
		if (!b.failed && strlen(r.e.session) < MF_TRASH_WORD_MAX &&
		    (mf_trash_record_parse(token, b.str, b.len, &again) < 0 ||
		     strcmp(again.e.path, r.e.path) != 0 || strcmp(again.e.file, r.e.file) != 0 ||
		     strcmp(again.e.session, r.e.session) != 0 ||
		     again.e.attr.mtime_ns != r.e.attr.mtime_ns ||
		     again.e.attr.mode != r.e.attr.mode))
			abort();
		// The same as a name and what it shares.
		mf_strbuf_clear(&b);
		if (mf_trash_record_name_format(&r, name)) {
			struct mf_strbuf shared = MF_STRBUF_INIT(4000);

			mf_trash_record_shared_format(&shared, &r);
			if (!shared.failed &&
			    (mf_trash_record_name_expand(&b, name, shared.str, shared.len) < 0 ||
			     mf_trash_record_parse(token, b.str, b.len, &again) < 0 ||
			     strcmp(again.e.path, r.e.path) != 0 ||
			     strcmp(again.e.file, r.e.file) != 0 ||
			     again.e.attr.size != r.e.attr.size || again.e.made != r.e.made))
				abort();
			mf_strbuf_done(&shared);
		}
	}
	mf_strbuf_done(&b);
	free(text);
	return 0;
}
