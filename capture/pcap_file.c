/* SPDX-License-Identifier: Apache-2.0 */
/* pcap_file.c - see pcap_file.h; formats: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng */
#include "capture/pcap_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"
#include "core/base/files.h"

enum {
	MAGIC_USEC = 0xa1b2c3d4,
	MAGIC_NSEC = 0xa1b23c4d,
	BLOCK_SECTION = 0x0a0d0d0a, /* reads the same in both byte orders */
	SECTION_MAGIC = 0x1a2b3c4d,
	BLOCK_INTERFACE = 1,
	BLOCK_PACKET_OLD = 2,
	BLOCK_SIMPLE = 3,
	BLOCK_PACKET = 6,
	OPTION_END = 0,
	OPTION_FLAGS = 2,   /* of a packet */
	OPTION_TSRESOL = 9, /* of an interface */
	OPTION_TSOFFSET = 14,
	HEAD_LEN = 24, /* of a pcap file */
	RECORD_HEAD = 16,
	PAD = 3,
	STEP = 65536, /* bytes read at once */
};

struct interface {
	uint16_t link;
	uint8_t resolution; /* if_tsresol */
	uint32_t snaplen;   /* 0: none */
	int64_t offset_s;
};

struct mf_pcap {
	FILE *file; /* NULL: @bytes */
	bool close_file;
	struct mf_span bytes;
	uint64_t pos;
	bool swap; /* the file's numbers are big-endian */
	bool ng, nsec, cut, ended;
	uint64_t last_ns, packets;
	struct interface *interfaces;
	uint32_t interface_cnt, interface_room;
	uint8_t *buf; /* a packet of pcap, a block of pcapng */
	size_t room;
};

/* --- bytes ---------------------------------------------------------------------------------------------------------- */

/* Return: bytes read, fewer than @len only at the end; MF_E_IO */
static int64_t read_bytes(struct mf_pcap *f, void *buf, size_t len)
{
	size_t n;

	if (f->file) {
		n = fread(buf, 1, len, f->file);
		if (n < len && ferror(f->file))
			return MF_E_IO;
	} else {
		struct mf_span part = mf_span_sub(f->bytes, f->pos, len);

		n = part.len;
		if (n)
			memcpy(buf, part.ptr, n);
	}
	f->pos += n;
	return (int64_t)n;
}

static uint16_t load16(const struct mf_pcap *f, const uint8_t *p)
{
	return f->swap ? mf_load_be16(p) : (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load32(const struct mf_pcap *f, const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return f->swap ? __builtin_bswap32(v) : v;
}

static uint64_t load64(const struct mf_pcap *f, const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return f->swap ? __builtin_bswap64(v) : v;
}

static int wrong(const struct mf_pcap *f, struct mf_err *err, const char *what)
{
	return mf_err_set(err, MF_E_SYNTAX, "the capture is damaged at byte %llu: %s",
			  (unsigned long long)f->pos, what);
}

/*
 * Read exactly @len bytes. Return: 1; 0 where the file ends before the first; MF_E_CLOSED where it ends between;
 * MF_E_IO
 */
static int read_all(struct mf_pcap *f, void *buf, size_t len, struct mf_err *err)
{
	int64_t n = read_bytes(f, buf, len);

	if (n < 0)
		return mf_err_set(err, MF_E_IO, "the capture cannot be read: %s", strerror(errno));
	if ((size_t)n == len)
		return 1;
	f->ended = true;
	if (n == 0)
		return 0;
	f->cut = true;
	return MF_E_CLOSED;
}

static int make_room(struct mf_pcap *f, size_t len, struct mf_err *err)
{
	size_t room = f->room ? f->room : STEP;
	uint8_t *grown;

	while (room < len)
		room *= 2;
	if (room == f->room)
		return 0;
	grown = realloc(f->buf, room);
	if (!grown)
		return mf_err_set(err, MF_E_NOMEM, "no memory for a packet of the capture");
	f->buf = grown;
	f->room = room;
	return 0;
}

/* f->buf up to @len bytes, @have of which are there. Room grows with what was really read, not with what a field says. */
static int read_body(struct mf_pcap *f, size_t have, size_t len, struct mf_err *err)
{
	while (have < len) {
		size_t step = len - have < STEP ? len - have : STEP;
		int r;

		r = make_room(f, have + step, err);
		if (r < 0)
			return r;
		r = read_all(f, f->buf + have, step, err);
		if (r == 0) {
			f->cut = true;
			return MF_E_CLOSED;
		}
		if (r < 0)
			return r;
		have += step;
	}
	return 0;
}

/* --- times ---------------------------------------------------------------------------------------------------------- */

static uint64_t saturate(unsigned __int128 v)
{
	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

static uint64_t to_ns(uint64_t ts, uint8_t resolution)
{
	unsigned power = resolution & 0x7f;
	uint64_t factor = 1;

	if (resolution & 0x80)
		return power < 98 ? saturate((unsigned __int128)ts * MF_NS_PER_S >> power) : 0;
	if (power <= 9) {
		for (unsigned i = power; i < 9; i++)
			factor *= 10;
		return saturate((unsigned __int128)ts * factor);
	}
	for (unsigned i = 9; i < power; i++) {
		if (factor > UINT64_MAX / 10)
			return 0;
		factor *= 10;
	}
	return ts / factor;
}

static uint64_t add_offset(uint64_t ns, int64_t offset_s)
{
	uint64_t magnitude = offset_s < 0 ? 0 - (uint64_t)offset_s : (uint64_t)offset_s;
	uint64_t offset_ns = saturate((unsigned __int128)magnitude * MF_NS_PER_S);

	if (offset_s < 0)
		return ns > offset_ns ? ns - offset_ns : 0;
	return ns > UINT64_MAX - offset_ns ? UINT64_MAX : ns + offset_ns;
}

/* --- pcap ----------------------------------------------------------------------------------------------------------- */

static int add_interface(struct mf_pcap *f, const struct interface *in, struct mf_err *err)
{
	if (f->interface_cnt == MF_PCAP_INTERFACES_MAX)
		return mf_err_set(err, MF_E_LIMIT, "the capture has more than %d interfaces",
				  MF_PCAP_INTERFACES_MAX);
	if (f->interface_cnt == f->interface_room) {
		uint32_t room = f->interface_room ? f->interface_room * 2 : 8;
		struct interface *grown = realloc(f->interfaces, room * sizeof(*grown));

		if (!grown)
			return mf_err_set(err, MF_E_NOMEM,
					  "no memory for the capture's interfaces");
		f->interfaces = grown;
		f->interface_room = room;
	}
	f->interfaces[f->interface_cnt++] = *in;
	return 0;
}

static int begin_pcap(struct mf_pcap *f, struct mf_err *err)
{
	uint8_t head[HEAD_LEN - 4];
	struct interface in = { .resolution = 6 };
	int r = read_all(f, head, sizeof(head), err);

	if (r <= 0)
		return r == MF_E_IO ? r : mf_err_set(err, MF_E_SYNTAX, "the capture has no header");
	if (load16(f, head) != 2)
		return mf_err_set(err, MF_E_SYNTAX,
				  "the capture is of pcap version %u.%u, which is not known",
				  load16(f, head), load16(f, head + 2));
	/* The upper bits say something about frame check sequences, which end behind the IP packet anyway. */
	in.link = (uint16_t)load32(f, head + 16);
	in.snaplen = load32(f, head + 12);
	return add_interface(f, &in, err);
}

static int next_pcap(struct mf_pcap *f, struct mf_pcap_record *ret, struct mf_err *err)
{
	uint8_t head[RECORD_HEAD];
	uint64_t s, fraction;
	uint32_t len;
	int r = read_all(f, head, sizeof(head), err);

	if (r <= 0)
		return r;
	s = load32(f, head);
	fraction = load32(f, head + 4);
	len = load32(f, head + 8);
	if (len > MF_PCAP_PACKET_MAX)
		return wrong(f, err, "a packet is longer than any capture makes them");
	r = read_body(f, 0, len, err);
	if (r < 0)
		return r;
	*ret = (struct mf_pcap_record){
		.ptr = f->buf,
		.len = len,
		.wire_len = load32(f, head + 12),
		.time_ns = s * MF_NS_PER_S + fraction * (f->nsec ? 1 : MF_NS_PER_US),
		.link = f->interfaces[0].link,
	};
	return 1;
}

/* --- pcapng --------------------------------------------------------------------------------------------------------- */

/* The value of option @code, at least @len bytes; NULL if it is not there. */
static const uint8_t *find_option(const struct mf_pcap *f, struct mf_span options, uint16_t code,
				  size_t len)
{
	size_t at = 0;

	while (options.len - at >= 4) {
		uint16_t c = load16(f, options.ptr + at);
		size_t n = load16(f, options.ptr + at + 2);

		if (c == OPTION_END || n > options.len - at - 4)
			return NULL;
		if (c == code)
			return n >= len ? options.ptr + at + 4 : NULL;
		at += 4 + ((n + PAD) & ~(size_t)PAD);
		if (at > options.len)
			return NULL;
	}
	return NULL;
}

static int begin_section(struct mf_pcap *f, struct mf_err *err)
{
	const uint8_t *p = f->buf + 8;
	uint16_t major;

	f->interface_cnt = 0;
	major = load16(f, p + 4);
	if (major != 1)
		return mf_err_set(err, MF_E_SYNTAX,
				  "the capture is of pcapng version %u.%u, which is not known",
				  major, load16(f, p + 6));
	return 0;
}

/* @body: of the block, without its head and tail */
static int read_interface(struct mf_pcap *f, struct mf_span body, struct mf_err *err)
{
	struct interface in = { .resolution = 6 };
	struct mf_span options;
	const uint8_t *p;

	if (body.len < 8)
		return wrong(f, err, "an interface description is too short");
	in.link = load16(f, body.ptr);
	in.snaplen = load32(f, body.ptr + 4);
	options = mf_span_sub(body, 8, body.len);
	p = find_option(f, options, OPTION_TSRESOL, 1);
	if (p)
		in.resolution = *p;
	p = find_option(f, options, OPTION_TSOFFSET, 8);
	if (p)
		in.offset_s = (int64_t)load64(f, p);
	return add_interface(f, &in, err);
}

static int check_packet(struct mf_pcap *f, uint32_t interface, uint32_t len, size_t there,
			struct mf_err *err)
{
	if (interface >= f->interface_cnt)
		return wrong(f, err, "a packet of an interface that was not described");
	if (len > there || len > MF_PCAP_PACKET_MAX)
		return wrong(f, err, "a packet is longer than its block");
	return 0;
}

/* EPB, and the packet block before it, whose fields lie where the EPB's do but for the interface. */
static int read_packet(struct mf_pcap *f, uint32_t type, struct mf_span body,
		       struct mf_pcap_record *ret, struct mf_err *err)
{
	const struct interface *in;
	uint32_t interface, len, flags = 0;
	const uint8_t *p = body.ptr, *option;
	struct mf_span options;
	int r;

	if (body.len < 20)
		return wrong(f, err, "a packet block is too short");
	interface = type == BLOCK_PACKET ? load32(f, p) : load16(f, p);
	len = load32(f, p + 12);
	r = check_packet(f, interface, len, body.len - 20, err);
	if (r < 0)
		return r;
	in = &f->interfaces[interface];
	options = mf_span_sub(body, 20 + (((size_t)len + PAD) & ~(size_t)PAD), body.len);
	option = find_option(f, options, OPTION_FLAGS, 4);
	if (option)
		flags = load32(f, option) & 3;
	*ret = (struct mf_pcap_record){
		.ptr = f->buf + 8 + 20,
		.len = len,
		.wire_len = load32(f, p + 16),
		.time_ns = add_offset(
			to_ns((uint64_t)load32(f, p + 4) << 32 | load32(f, p + 8), in->resolution),
			in->offset_s),
		.interface = interface,
		.link = in->link,
		.direction = flags == 1	  ? MF_PCAP_INBOUND
			     : flags == 2 ? MF_PCAP_OUTBOUND
					  : MF_PCAP_UNKNOWN,
	};
	return 1;
}

/* A simple packet has no time, and says its captured length through the interface's snapshot length. */
static int read_simple(struct mf_pcap *f, struct mf_span body, struct mf_pcap_record *ret,
		       struct mf_err *err)
{
	uint32_t wire_len, len;
	int r;

	if (body.len < 4)
		return wrong(f, err, "a simple packet block is too short");
	wire_len = len = load32(f, body.ptr);
	if (f->interface_cnt && f->interfaces[0].snaplen && len > f->interfaces[0].snaplen)
		len = f->interfaces[0].snaplen;
	r = check_packet(f, 0, len, body.len - 4, err);
	if (r < 0)
		return r;
	*ret = (struct mf_pcap_record){
		.ptr = f->buf + 8 + 4,
		.len = len,
		.wire_len = wire_len,
		.time_ns = f->last_ns,
		.link = f->interfaces[0].link,
	};
	return 1;
}

/* A section has a byte order of its own, which has to be known before its length can be read. */
static int read_byte_order(struct mf_pcap *f, struct mf_err *err)
{
	int r = read_body(f, 8, 12, err);

	if (r < 0)
		return r;
	f->swap = false;
	f->swap = load32(f, f->buf + 8) != SECTION_MAGIC;
	if (load32(f, f->buf + 8) != SECTION_MAGIC)
		return wrong(f, err, "a section without its magic number");
	return 0;
}

/*
 * One whole block into f->buf, of which the first @have bytes are there.
 * Return: 1; 0 at the end; MF_E_CLOSED where the file ends inside of the block; MF_E_*
 */
static int read_block(struct mf_pcap *f, size_t have, struct mf_span *ret_body, struct mf_err *err)
{
	uint32_t type, len;
	int r;

	r = make_room(f, STEP, err);
	if (r == 0)
		r = read_all(f, f->buf + have, 8 - have, err);
	if (r <= 0)
		return r;
	type = load32(f, f->buf);
	have = 8;
	if (type == BLOCK_SECTION) {
		r = read_byte_order(f, err);
		if (r < 0)
			return r;
		have = 12;
	}
	len = load32(f, f->buf + 4);
	if (len % 4 || len < (type == BLOCK_SECTION ? 28 : 12) || len > MF_PCAP_BLOCK_MAX)
		return wrong(f, err, "a block of an impossible length");
	r = read_body(f, have, len, err);
	if (r < 0)
		return r;
	if (load32(f, f->buf + len - 4) != len)
		return wrong(f, err, "a block whose two lengths differ");
	*ret_body = mf_span_of(f->buf + 8, len - 12);
	return 1;
}

static int next_pcapng(struct mf_pcap *f, struct mf_pcap_record *ret, struct mf_err *err)
{
	for (;;) {
		struct mf_span body;
		uint32_t type;
		int r = read_block(f, 0, &body, err);

		if (r <= 0)
			return r;
		type = load32(f, f->buf);
		switch (type) {
		case BLOCK_SECTION:
			r = begin_section(f, err);
			break;
		case BLOCK_INTERFACE:
			r = read_interface(f, body, err);
			break;
		case BLOCK_PACKET:
		case BLOCK_PACKET_OLD:
			r = read_packet(f, type, body, ret, err);
			break;
		case BLOCK_SIMPLE:
			r = read_simple(f, body, ret, err);
			break;
		default: /* names, statistics, secrets, custom blocks */
			r = 0;
		}
		if (r)
			return r;
	}
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

static int begin_pcapng(struct mf_pcap *f, struct mf_err *err)
{
	struct mf_span body;
	int r = read_block(f, 4, &body, err);

	if (r == 0 || r == MF_E_CLOSED)
		return wrong(f, err, "it ends in its first block");
	return r < 0 ? r : begin_section(f, err);
}

/* The first four bytes tell the format. */
static int begin(struct mf_pcap *f, struct mf_err *err)
{
	uint32_t v, swapped;
	int r = make_room(f, STEP, err);

	if (r == 0)
		r = read_all(f, f->buf, 4, err);
	if (r < 0 && r != MF_E_CLOSED)
		return r;
	if (r <= 0)
		return mf_err_set(err, MF_E_SYNTAX, "this is no capture: it is %s",
				  r == 0 ? "empty" : "too short");
	v = load32(f, f->buf);
	swapped = __builtin_bswap32(v);
	f->ng = v == BLOCK_SECTION;
	if (f->ng)
		return begin_pcapng(f, err);
	f->swap = swapped == MAGIC_USEC || swapped == MAGIC_NSEC;
	f->nsec = v == MAGIC_NSEC || swapped == MAGIC_NSEC;
	if (v == MAGIC_USEC || v == MAGIC_NSEC || f->swap)
		return begin_pcap(f, err);
	if (f->buf[0] == 0x1f && f->buf[1] == 0x8b)
		return mf_err_set(err, MF_E_SYNTAX,
				  "the capture is compressed: unpack it first (gzip -d)");
	return mf_err_set(err, MF_E_SYNTAX, "this is no capture: neither pcap nor pcapng");
}

static int open_any(FILE *file, bool close_file, struct mf_span bytes, struct mf_pcap **ret,
		    struct mf_err *err)
{
	struct mf_pcap *f = calloc(1, sizeof(*f));
	int r;

	if (!f) {
		if (close_file)
			fclose(file);
		return mf_err_set(err, MF_E_NOMEM, "no memory for the capture");
	}
	f->file = file;
	f->close_file = close_file;
	f->bytes = bytes;
	r = begin(f, err);
	if (r < 0) {
		mf_pcap_close(f);
		return r;
	}
	*ret = f;
	return 0;
}

int mf_pcap_open(const char *path, struct mf_pcap **ret, struct mf_err *err)
{
	bool standard = strcmp(path, "-") == 0;
	FILE *file = standard ? stdin : mf_fopen(path, "rbe");
	int r;

	if (!file)
		return mf_err_set(err, MF_E_IO, "cannot open %s: %s", path, strerror(errno));
	if (standard)
		mf_set_binary(file);
	r = open_any(file, !standard, mf_span_of(NULL, 0), ret, err);
	if (r < 0 && err && !err->file[0])
		snprintf(err->file, sizeof(err->file), "%s", path);
	return r;
}

int mf_pcap_open_memory(struct mf_span bytes, struct mf_pcap **ret, struct mf_err *err)
{
	return open_any(NULL, false, bytes, ret, err);
}

int mf_pcap_next(struct mf_pcap *f, struct mf_pcap_record *ret, struct mf_err *err)
{
	int r;

	if (f->ended)
		return 0;
	r = f->ng ? next_pcapng(f, ret, err) : next_pcap(f, ret, err);
	if (r == MF_E_CLOSED) /* told by mf_pcap_cut() */
		return 0;
	if (r < 0)
		f->ended = true;
	if (r != 1)
		return r;
	if (ret->wire_len < ret->len)
		ret->wire_len = ret->len;
	ret->number = ++f->packets;
	f->last_ns = ret->time_ns;
	return 1;
}

bool mf_pcap_cut(const struct mf_pcap *f)
{
	return f->cut;
}

void mf_pcap_close(struct mf_pcap *f)
{
	if (!f)
		return;
	if (f->close_file)
		fclose(f->file);
	free(f->interfaces);
	free(f->buf);
	free(f);
}
