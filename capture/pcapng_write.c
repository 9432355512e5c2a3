/* SPDX-License-Identifier: Apache-2.0 */
/* pcapng_write.c - see pcapng_write.h; format: draft-ietf-opsawg-pcapng */
#include "capture/pcapng_write.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"
#include "core/base/files.h"

enum {
	INTERFACES_MAX = 1024,
	BLOCK_SECTION = 0x0a0d0d0a,
	SECTION_MAGIC = 0x1a2b3c4d,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET = 6,
	OPTION_END = 0,
	OPTION_COMMENT = 1,
	OPTION_FLAGS = 2,
	OPTION_USERAPPL = 4,
	OPTION_TSRESOL = 9,
	NANOSECONDS = 9,
};

struct written {
	uint32_t interface;
	uint16_t link;
};

struct mf_pcapng {
	FILE *file; /* NULL: @sink */
	char *path, *part;
	mf_pcapng_sink sink;
	void *sink_ctx;
	struct written interfaces[INTERFACES_MAX];
	uint32_t interface_cnt;
	int error; /* errno of what failed first */
};

/* --- blocks --------------------------------------------------------------------------------------------------------- */

static void put(struct mf_pcapng *w, const void *ptr, size_t len)
{
	if (w->error || !len)
		return;
	if (w->sink)
		w->error = w->sink(w->sink_ctx, ptr, len);
	else if (fwrite(ptr, 1, len, w->file) != len)
		w->error = errno ? errno : EIO;
}

static void put16(struct mf_pcapng *w, uint16_t v)
{
	put(w, &v, sizeof(v)); /* little-endian, as bytes.h says of every system that this is for */
}

static void put32(struct mf_pcapng *w, uint32_t v)
{
	put(w, &v, sizeof(v));
}

static uint32_t padded(size_t len)
{
	return (uint32_t)((len + 3) & ~(size_t)3);
}

static void put_padding(struct mf_pcapng *w, size_t len)
{
	put(w, "\0\0\0", padded(len) - len);
}

static void put_option(struct mf_pcapng *w, uint16_t code, const void *ptr, size_t len)
{
	put16(w, code);
	put16(w, (uint16_t)len);
	put(w, ptr, len);
	put_padding(w, len);
}

static void put_section(struct mf_pcapng *w, const char *program)
{
	size_t len = strlen(program);
	uint32_t total = 28 + 4 + padded(len) + 4;

	put32(w, BLOCK_SECTION);
	put32(w, total);
	put32(w, SECTION_MAGIC);
	put16(w, 1);
	put16(w, 0);
	put32(w, UINT32_MAX); /* the section's length is not known */
	put32(w, UINT32_MAX);
	put_option(w, OPTION_USERAPPL, program, len);
	put_option(w, OPTION_END, NULL, 0);
	put32(w, total);
}

static void put_interface(struct mf_pcapng *w, uint16_t link)
{
	static const uint8_t resolution = NANOSECONDS;
	uint32_t total = 20 + 8 + 4;

	put32(w, BLOCK_INTERFACE);
	put32(w, total);
	put16(w, link);
	put16(w, 0);
	put32(w, 0);
	put_option(w, OPTION_TSRESOL, &resolution, 1);
	put_option(w, OPTION_END, NULL, 0);
	put32(w, total);
}

/* The number of an interface in the file; described when it is new. */
static int find_interface(struct mf_pcapng *w, const struct mf_pcapng_packet *pkt, uint32_t *ret)
{
	uint32_t i;

	for (i = 0; i < w->interface_cnt; i++)
		if (w->interfaces[i].interface == pkt->interface &&
		    w->interfaces[i].link == pkt->link)
			break;
	if (i == INTERFACES_MAX)
		return MF_E_LIMIT;
	if (i == w->interface_cnt) {
		w->interfaces[w->interface_cnt++] = (struct written){ pkt->interface, pkt->link };
		put_interface(w, pkt->link);
	}
	*ret = i;
	return 0;
}

int mf_pcapng_write(struct mf_pcapng *w, const struct mf_pcapng_packet *pkt)
{
	size_t len = pkt->head.len + pkt->body.len, comment = 0;
	uint32_t total, number, flags = pkt->direction;
	int r = find_interface(w, pkt, &number);

	if (r < 0)
		return r;
	if (pkt->comment)
		comment = strnlen(pkt->comment, MF_PCAPNG_COMMENT_MAX);
	total = 32 + padded(len) + (comment ? 4 + padded(comment) : 0) + (flags ? 8 : 0) +
		(comment || flags ? 4 : 0);
	put32(w, BLOCK_PACKET);
	put32(w, total);
	put32(w, number);
	put32(w, (uint32_t)(pkt->time_ns >> 32));
	put32(w, (uint32_t)pkt->time_ns);
	put32(w, (uint32_t)len);
	put32(w, pkt->wire_len > len ? pkt->wire_len : (uint32_t)len);
	put(w, pkt->head.ptr, pkt->head.len);
	put(w, pkt->body.ptr, pkt->body.len);
	put_padding(w, len);
	if (comment)
		put_option(w, OPTION_COMMENT, pkt->comment, comment);
	if (flags)
		put_option(w, OPTION_FLAGS, &flags, sizeof(flags));
	if (comment || flags)
		put_option(w, OPTION_END, NULL, 0);
	put32(w, total);
	return w->error ? MF_E_IO : 0;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static void free_writer(struct mf_pcapng *w)
{
	free(w->path);
	free(w->part);
	free(w);
}

int mf_pcapng_open(const char *path, const char *program, struct mf_pcapng **ret,
		   struct mf_err *err)
{
	struct mf_pcapng *w = calloc(1, sizeof(*w));
	size_t room = strlen(path) + sizeof(".part");

	if (w) {
		w->path = strdup(path);
		w->part = malloc(room);
	}
	if (!w || !w->path || !w->part) {
		if (w)
			free_writer(w);
		return mf_err_set(err, MF_E_NOMEM, "no memory to write %s", path);
	}
	snprintf(w->part, room, "%s.part", path);
	w->file = mf_fopen(w->part, "wb");
	if (!w->file) {
		mf_err_set(err, MF_E_IO, "cannot write %s: %s", w->part, strerror(errno));
		free_writer(w);
		return MF_E_IO;
	}
	put_section(w, program);
	*ret = w;
	return 0;
}

int mf_pcapng_open_sink(mf_pcapng_sink sink, void *ctx, const char *program, struct mf_pcapng **ret)
{
	struct mf_pcapng *w = calloc(1, sizeof(*w));

	if (!w)
		return MF_E_NOMEM;
	w->sink = sink;
	w->sink_ctx = ctx;
	put_section(w, program);
	*ret = w;
	return 0;
}

int mf_pcapng_close(struct mf_pcapng *w, bool keep, struct mf_err *err)
{
	int r = 0;

	if (!w)
		return 0;
	if (!w->file) {
		if (w->error)
			r = mf_err_set(err, MF_E_IO, "cannot write packets: %s",
				       strerror(w->error));
		free_writer(w);
		return r;
	}
	if (fclose(w->file) != 0 && !w->error)
		w->error = errno ? errno : EIO;
	if (!w->error && keep && mf_rename(w->part, w->path) != 0)
		w->error = errno ? errno : EIO;
	if (w->error)
		r = mf_err_set(err, MF_E_IO, "cannot write %s: %s", w->path, strerror(w->error));
	if (w->error || !keep)
		mf_remove(w->part);
	free_writer(w);
	return r;
}
