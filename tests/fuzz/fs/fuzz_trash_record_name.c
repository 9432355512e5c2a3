/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_trash_record_name.c - names of records: a line that is the name after its token, and the shared text behind it */
#include <stdlib.h>
#include <string.h>

#include "fs/trash_record.h"

static const char token[] = "0123456789abcdefghijklmnopqrstuv0123456";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_RECORD_MAX - 1);
	size_t len = end ? (size_t)(end - data) : 0;
	struct mf_trash_record r;
	char name[512];

	// Names come from a directory: none is longer, none has a slash or a zero in it.
	if (!end || len > 255 - MF_TRASH_TOKEN_LEN || memchr(data, '/', len) ||
	    memchr(data, '\0', len))
		return 0;
	memcpy(name, token, MF_TRASH_TOKEN_LEN);
	memcpy(name + MF_TRASH_TOKEN_LEN, data, len);
	name[MF_TRASH_TOKEN_LEN + len] = '\0';
	if (mf_trash_record_name_expand(&b, name, (const char *)end + 1, size - len - 1) == 0 &&
	    mf_trash_record_parse(token, b.str, b.len, &r) == 0 &&
	    (!mf_trash_path_ok(r.e.path) || (*r.e.file && !mf_trash_file_bears(r.e.file, token)) ||
	     r.e.how >= MF_TRASH_HOW_NUM || r.e.op >= MF_TRASH_OP_NUM))
		abort();
	mf_strbuf_done(&b);
	return 0;
}
