// SPDX-License-Identifier: Apache-2.0
// fuzz_pack_channel.c - the index of a channel, sources.yaml and what is kept of a source: what is read would be written the same
#include <stdlib.h>
#include <string.h>

#include "packs/channel.h"
#include "packs/source_list.h"
#include "packs/update_memory.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct mf_channel channel;
static struct mf_source_list list, again;
static struct mf_trust nobody;

static void try_index(const char *text, size_t len)
{
	struct mf_strbuf out = MF_STRBUF_INIT(MF_CHANNEL_MAX);
	char hash[MF_PACK_HASH_ROOM];
	struct mf_err err = { 0 };

	/* Nobody is trusted: nothing of it may count. */
	if (mf_channel_open(&nobody, 0, "fuzz", NULL, text, len, &channel, hash, &err) == 0)
		abort();
	if (mf_channel_parse(text, len, &channel, &err) == 0) {
		if (mf_channel_write(&channel, &out, NULL) == 0 &&
		    (out.len != len || memcmp(out.str, text, len) != 0))
			abort();
	} else if (!err.msg[0]) {
		abort();
	}
	mf_strbuf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mf_source_entry source = { .name = "a",
						       .channel = "stable",
						       .address = "https://packs.example" };
	struct mf_strbuf text = MF_STRBUF_INIT(MF_SOURCE_LIST_TEXT_MAX * 4);
	const char *in = (const char *)data;
	struct mf_update_memory memory;
	int head;

	try_index(in, size);
	head = mf_channel_split(in, size);
	if (head >= 0)
		try_index(in + head, size - (size_t)head);
	if (mf_update_memory_parse(in, size, &source, &memory))
		mf_update_memory_done(&memory);
	if (mf_source_list_parse(in, size, "sources.yaml", &list, NULL) == 0 &&
	    mf_source_list_write(&list, &text, NULL) == 0 &&
	    (mf_source_list_parse(text.str, text.len, "again", &again, NULL) < 0 ||
	     again.cnt != list.cnt))
		abort();
	mf_strbuf_done(&text);
	return 0;
}
