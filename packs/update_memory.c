/* SPDX-License-Identifier: Apache-2.0 */
/* update_memory.c - see update_memory.h */
#include "packs/update_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/policy/files.h"

#define HEAD_MAX ((size_t)4096)

static bool file_name(const struct mf_source_entry *source, char *buf, size_t size)
{
	return (size_t)snprintf(buf, size, "%s.memory", source->name) < size;
}

/* "KEY VALUE" as the next line, into @buf; Return: whether it is that one, and fits */
static bool take(const char **at, const char *end, const char *key, char *buf, size_t size)
{
	const char *nl = memchr(*at, '\n', (size_t)(end - *at));
	size_t head = strlen(key), len;

	if (!nl || (size_t)(nl - *at) < head + 1 || memcmp(*at, key, head) != 0 ||
	    (*at)[head] != ' ')
		return false;
	len = (size_t)(nl - *at) - head - 1;
	if (len >= size || memchr(*at, '\0', (size_t)(nl - *at)))
		return false;
	memcpy(buf, *at + head + 1, len);
	buf[len] = '\0';
	*at = nl + 1;
	return true;
}

static bool take_number(const char **at, const char *end, const char *key, uint32_t *ret)
{
	char text[16];
	size_t len;

	if (!take(at, end, key, text, sizeof(text)))
		return false;
	len = strspn(text, "0123456789");
	*ret = (uint32_t)strtoul(text, NULL, 10);
	return len && len <= 9 && !text[len];
}

bool mf_update_memory_parse(const char *text, size_t len, const struct mf_source_entry *source,
			    struct mf_update_memory *ret)
{
	const char *at = text, *end = text + len;
	char value[MF_SOURCE_ADDRESS_MAX + 1];
	uint32_t index_len = 0;
	bool good =
		take(&at, end, "moonfence-source", value, sizeof(value)) && strcmp(value, "1") == 0;

	*ret = (struct mf_update_memory){ 0 };
	good = good && take(&at, end, "address", value, sizeof(value)) &&
	       strcmp(value, source->address) == 0;
	good = good && take(&at, end, "channel", value, sizeof(value)) &&
	       strcmp(value, source->channel) == 0;
	good = good && take_number(&at, end, "failures", &ret->failures);
	good = good && take(&at, end, "not-before", value, sizeof(value)) &&
	       mf_time_parse(value, &ret->not_before_s) == 0;
	good = good && take(&at, end, "etag", ret->validators.etag, sizeof(ret->validators.etag));
	good = good && take(&at, end, "modified", ret->validators.modified,
			    sizeof(ret->validators.modified));
	good = good && take_number(&at, end, "index", &index_len) &&
	       (size_t)(end - at) == index_len;
	if (good && index_len) {
		ret->index = malloc(index_len);
		good = ret->index;
		if (good)
			memcpy(ret->index, at, ret->index_len = index_len);
	}
	if (!good)
		*ret = (struct mf_update_memory){ 0 };
	return good;
}

int mf_update_memory_read(const char *dir, const struct mf_source_entry *source,
			  struct mf_update_memory *ret, struct mf_err *err)
{
	char name[MF_PACK_NAME_MAX + 16], *text;
	size_t len;
	int r;

	*ret = (struct mf_update_memory){ 0 };
	if (!file_name(source, name, sizeof(name)))
		return 0;
	r = mf_file_read_below(dir, name, HEAD_MAX + MF_CHANNEL_MAX, &text, &len, err);
	if (r < 0)
		return r == MF_E_NOMEM ? r : 0;
	(void)mf_update_memory_parse(text, len, source, ret);
	free(text);
	return 0;
}

int mf_update_memory_write(struct mf_pack_disk *disk, const struct mf_source_entry *source,
			   const struct mf_update_memory *m, struct mf_err *err)
{
	struct mf_strbuf text = MF_STRBUF_INIT(HEAD_MAX + MF_CHANNEL_MAX);
	char name[MF_PACK_NAME_MAX + 16], when[32];
	int r;

	mf_time_text(m->not_before_s, when);
	mf_strbuf_addf(&text,
		       "moonfence-source 1\naddress %s\nchannel %s\nfailures %u\nnot-before %s\n"
		       "etag %s\nmodified %s\nindex %zu\n",
		       source->address, source->channel, m->failures, when, m->validators.etag,
		       m->validators.modified, m->index_len);
	if (m->index)
		mf_strbuf_add(&text, m->index, m->index_len);
	if (text.failed || !file_name(source, name, sizeof(name)))
		r = mf_err_set(err, MF_E_NOMEM, "out of memory");
	else
		r = mf_pack_disk_write(disk, name, text.str, text.len, err);
	mf_strbuf_done(&text);
	return r;
}

void mf_update_memory_done(struct mf_update_memory *m)
{
	free(m->index);
	*m = (struct mf_update_memory){ 0 };
}
