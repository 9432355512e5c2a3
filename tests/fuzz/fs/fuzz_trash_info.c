/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_trash_info.c - trashinfos of any bytes; and any path, written as one, is read as it was */
#include <stdlib.h>
#include <string.h>

#include "fs/trash_record.h"

static void read_any(const uint8_t *data, size_t size)
{
	struct mf_trash_info info;
	char *text = malloc(size + 1);

	if (!text)
		return;
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	if (mf_trash_info_parse(text, size, &info) == 0 &&
	    (!*info.path || (*info.token && !mf_trash_token_ok(info.token))))
		abort();
	free(text);
}

static void write_any(const uint8_t *data, size_t size)
{
	static const char token[] = "0123456789abcdefghijklmnopqrstuv0123456";
	struct mf_strbuf b = MF_STRBUF_INIT(MF_TRASH_INFO_MAX - 1);
	struct mf_trash_info info;
	char *path;

	if (size == 0 || size >= MF_TRASH_PATH_MAX || memchr(data, 0, size))
		return;
	path = malloc(size + 1);
	if (!path)
		return;
	memcpy(path, data, size);
	path[size] = '\0';
	mf_trash_info_format(&b, path, UINT64_C(1700000000000000000), token);
	if (b.failed || mf_trash_info_parse(b.str, b.len, &info) < 0 ||
	    strcmp(info.path, path) != 0 || strcmp(info.token, token) != 0)
		abort();
	mf_strbuf_done(&b);
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	read_any(data, size);
	write_any(data, size);
	return 0;
}
