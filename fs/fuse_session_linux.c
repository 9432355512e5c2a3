/* SPDX-License-Identifier: Apache-2.0 */
/* fuse_session_linux.c - see fuse_session_linux.h */
#include "fs/fuse_session_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/tsan.h"
#include "fs/fuse_linux.h"

/* Of the kernel's interface, where the header is older than Linux 6.9. */
#define INIT_KILLPRIV_V2  (1u << 28)
#define INIT_EXT	  (1u << 30)
#define INIT2_PASSTHROUGH (1u << (37 - 32)) /* in flags2 */
#define WRITE_KILLS	  (1u << 2)
#define SETATTR_KILLS	  (1u << 11)
#define OPEN_KILLS	  (1u << 0)
#define OPEN_PASSTHROUGH  (1u << 7)
#define OPEN_DIRECT	  (1u << 0)

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

struct open_answer {
	uint64_t fh;
	uint32_t flags;
	int32_t backing;
};

struct init_answer {
	uint32_t major, minor, max_readahead, flags;
	uint16_t max_background, congestion_threshold;
	uint32_t max_write, time_gran;
	uint16_t max_pages, map_alignment;
	uint32_t flags2, max_stack_depth, unused[6];
};

_Static_assert(sizeof(struct init_answer) == 64 && sizeof(struct open_answer) == 16,
	       "as the kernel has them");

/* What the answer that this thread is about to give has in addition to libfuse's. */
static _Thread_local struct {
	uint32_t flags;
	int32_t backing;
} also;

/* Of the request that this thread serves. */
static _Thread_local bool kills;

/* ---- the device ------------------------------------------------------------------------------------------------ */

static void hear_init(struct mf_fuse_session *s, const struct fuse_in_header *h, const char *body,
		      size_t len)
{
	struct fuse_init_in in;

	if (h->opcode != FUSE_INIT || len < sizeof(in))
		return;
	memcpy(&in, body, sizeof(in));
	s->init = h->unique;
	s->kills = in.flags & INIT_KILLPRIV_V2;
	s->offered = in.flags & INIT_EXT && in.flags2 & INIT2_PASSTHROUGH;
}

static uint32_t word(const char *body, size_t len, size_t at)
{
	uint32_t v = 0;

	if (len >= at + sizeof(v))
		memcpy(&v, body + at, sizeof(v));
	return v;
}

/* Whether bits are to go with what the request changes: the kernel says so where it knows that we look. */
static bool hear_kill(const struct fuse_in_header *h, const char *body, size_t len)
{
	switch (h->opcode) {
	case FUSE_WRITE:
		return word(body, len, offsetof(struct fuse_write_in, write_flags)) & WRITE_KILLS;
	case FUSE_SETATTR:
		return word(body, len, offsetof(struct fuse_setattr_in, valid)) & SETATTR_KILLS;
	case FUSE_OPEN:
		return word(body, len, offsetof(struct fuse_open_in, open_flags)) & OPEN_KILLS;
	case FUSE_FALLOCATE:
	case FUSE_COPY_FILE_RANGE:
		return h->uid != 0;
	default:
		return false;
	}
}

/*
 * Whether a request may need the right to set bits, which the one before may have put aside (open_backing()). What opens many
 * files need not put it aside and take it up again for each of them.
 */
static bool may_set_bits(const struct fuse_in_header *h, const char *body, size_t len)
{
	switch (h->opcode) {
	case FUSE_LOOKUP:
	case FUSE_GETATTR:
	case FUSE_READ:
	case FUSE_RELEASE:
	case FUSE_GETXATTR:
	case FUSE_FORGET:
	case FUSE_BATCH_FORGET:
		return false;
	case FUSE_OPEN:
		return word(body, len, offsetof(struct fuse_open_in, flags)) & O_TRUNC;
	case FUSE_CREATE:
		return word(body, len, offsetof(struct fuse_create_in, mode)) & (S_ISUID | S_ISGID);
	default:
		return true;
	}
}

static ssize_t on_read(int fd, void *buf, size_t len, void *data)
{
	struct mf_fuse_session *s = &((struct mf_fs_mount *)data)->session;
	struct fuse_in_header h;
	ssize_t n = read(fd, buf, len);

	// The kernel asks for what follows from an answer once it has that: a file's end after its reads.
	MF_TSAN_ACQUIRE(s);
	if (n < (ssize_t)sizeof(h))
		return n;
	memcpy(&h, buf, sizeof(h));
	if (!s->init)
		hear_init(s, &h, (const char *)buf + sizeof(h), (size_t)n - sizeof(h));
	if (may_set_bits(&h, (const char *)buf + sizeof(h), (size_t)n - sizeof(h)))
		mf_fs_source_keep_bits(true);
	kills = s->kills && hear_kill(&h, (const char *)buf + sizeof(h), (size_t)n - sizeof(h));
	return n;
}

bool mf_fuse_session_kills(void)
{
	return kills;
}

static void add_to_init(struct mf_fs_mount *m, const struct iovec *iov, int cnt)
{
	struct mf_fuse_session *s = &m->session;
	struct init_answer *out;

	if (cnt != 2 || iov[1].iov_len != sizeof(*out)) {
		s->kills = false;
		return;
	}
	out = iov[1].iov_base;
	if (s->kills)
		out->flags |= INIT_KILLPRIV_V2;
	if (!s->wanted || !s->offered)
		return;
	out->flags |= INIT_EXT;
	out->flags2 |= INIT2_PASSTHROUGH;
	out->max_stack_depth = s->depth;
	s->through = true;
	mf_log_debug(m->o.log, "the kernel reads and writes files by itself (passthrough)");
}

/* The last part of the answer is what the kernel knows of the open file, alone or behind the entry. */
static void add_to_open(const struct iovec *iov, int cnt)
{
	struct open_answer *out;

	if (cnt < 2 || iov[cnt - 1].iov_len < sizeof(*out))
		return;
	out = (void *)((char *)iov[cnt - 1].iov_base + iov[cnt - 1].iov_len - sizeof(*out));
	out->flags |= also.flags;
	out->backing = also.backing;
}

static ssize_t on_write(int fd, struct iovec *iov, int cnt, void *data)
{
	struct mf_fs_mount *m = data;
	struct mf_fuse_session *s = &m->session;

	if (also.backing)
		add_to_open(iov, cnt);
	else if (!s->answered &&
		 ((const struct fuse_out_header *)iov[0].iov_base)->unique == s->init) {
		s->answered = true;
		add_to_init(m, iov, cnt);
	}
	MF_TSAN_RELEASE(s);
	return writev(fd, iov, cnt);
}

static ssize_t on_splice(int in, off_t *in_at, int out, off_t *out_at, size_t len, unsigned flags,
			 void *data)
{
	MF_TSAN_RELEASE(&((struct mf_fs_mount *)data)->session);
	return splice(in, in_at, out, out_at, len, flags);
}

/* Whether the kernel would let us; in a user namespace of our own it says no later. */
static bool may_pass_through(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];

	return syscall(SYS_capget, &h, caps) == 0 && caps[0].effective & 1u << CAP_SYS_ADMIN;
}

/* The kernel stacks two filesystems at most. Those that lie upon others are one themselves. */
static unsigned depth_of(const char *source)
{
	static const long stacked[] = { 0x794c7630, /* overlayfs */
					0xf15f,	    /* eCryptfs */
					0x65735546 /* FUSE */ };
	struct statfs st;

	for (size_t i = 0; statfs(source, &st) == 0 && i < MF_ARRAY_SIZE(stacked); i++)
		if (st.f_type == stacked[i])
			return 2;
	return 1;
}

/*
 * Linux lets a FUSE mount have a hundredth of the memory that may wait to be written back, and slows who writes more down to tens of
 * megabytes a second. Root may have it treated as other filesystems are.
 */
static void let_gather(const struct mf_fs_mount *m)
{
	char path[64];
	struct statx stx;
	int fd = -1;

	// Without asking the filesystem, that is us.
	if (statx(AT_FDCWD, m->o.at, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &stx) == 0) {
		snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/max_ratio", stx.stx_dev_major,
			 stx.stx_dev_minor);
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (fd < 0 || write(fd, "100", 3) < 0)
		mf_log_debug(m->o.log, "the kernel gathers little: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

int mf_fuse_session_begin(struct mf_fs_mount *m)
{
	const struct fuse_custom_io io = { .writev = on_write,
					   .read = on_read,
					   .splice_send = on_splice };

	if (m->o.writeback)
		let_gather(m);
	if (!fuse_session_custom_io)
		return 0;
	// Pages that the kernel writes back later, it writes to us.
	m->session.wanted = !m->o.no_passthrough && !m->o.writeback && may_pass_through();
	m->session.depth = depth_of(m->source);
	return fuse_session_custom_io(m->se, &io, fuse_session_fd(m->se));
}

/* ---- backing files --------------------------------------------------------------------------------------------- */

/* Return: the id; 0: not this file, or none at all */
static int32_t open_backing(struct mf_fs_mount *m, int fd)
{
	const struct backing_map map = { .fd = fd };
	int id;

	// The kernel writes with the rights of this moment: bits go although it is root that writes. The next request may want them.
	mf_fs_source_keep_bits(false);
	id = ioctl(fuse_session_fd(m->se), BACKING_OPEN, &map);
	if (id > 0)
		return id;
	if (id < 0 && (errno == EPERM || errno == ENOTTY) && m->session.through) {
		m->session.through = false;
		mf_log_debug(m->o.log, "bytes of files pass this process: %s", strerror(errno));
	}
	return 0;
}

static void close_backing(struct mf_fs_mount *m, int32_t id)
{
	const uint32_t arg = (uint32_t)id;

	// After the end of the session the kernel has none any more.
	if (m->se)
		(void)ioctl(fuse_session_fd(m->se), BACKING_CLOSE, &arg);
}

/* ---- ways ------------------------------------------------------------------------------------------------------ */

static bool has_direct(int fd, int flags)
{
	char proc[MF_FS_PROC_ROOM];
	int other = open(mf_fs_source_proc(fd, proc), (flags & O_ACCMODE) | O_DIRECT | O_CLOEXEC);

	if (other >= 0)
		close(other);
	return other >= 0;
}

/* How a node is open: never more than one of the counts is above 0. */
struct mf_fuse_ways {
	uint32_t refs;
	uint32_t cached, away, through;
	uint32_t mappable;
	int32_t backing;	 /* of those that go through */
	struct mf_fs_id away_id; /* of the file that they mean who are away */
};

/*
 * Another file than the inode's own. What is mapped of it lies in the inode's pages, so it must have the inode to itself; who
 * cannot read cannot map, and disturbs nobody.
 */
static int choose_elsewhere(struct mf_fs_node *node, const struct mf_fs_handle *h, int flags)
{
	struct mf_fuse_ways *w = node->ways;
	struct mf_fs_id id;
	struct statx stx;

	if ((flags & O_ACCMODE) == O_WRONLY)
		return w->through ? MF_FUSE_BESIDE : MF_FUSE_DIRECT;
	if (mf_fs_source_stat_fd(h->fd, &stx) < 0)
		return -ESTALE;
	mf_fs_id_of(&stx, &id);
	if (w->through || w->cached || (w->away && !mf_fs_id_same(&w->away_id, &id)))
		return -ESTALE;
	w->away_id = id;
	node->strayed = true;
	return MF_FUSE_AWAY;
}

/* @*backing is one for the node, if there is one yet; it is 0 when it has been taken */
static int choose(struct mf_fs_node *node, bool stays, int32_t *backing)
{
	struct mf_fuse_ways *w = node->ways;

	// The kernel would drop its pages with the first opening that says so, and may have answered the next one before.
	if (node->strayed)
		return -ESTALE;
	if (w->through)
		return stays ? MF_FUSE_BESIDE : MF_FUSE_THROUGH;
	if (stays || !*backing || w->cached)
		return MF_FUSE_CACHED;
	w->backing = *backing;
	*backing = 0;
	return MF_FUSE_THROUGH;
}

static uint32_t *count_of(struct mf_fuse_ways *w, enum mf_fuse_way way)
{
	switch (way) {
	case MF_FUSE_CACHED:
		return &w->cached;
	case MF_FUSE_AWAY:
		return &w->away;
	case MF_FUSE_THROUGH:
	case MF_FUSE_BESIDE:
		return &w->through;
	default:
		return NULL;
	}
}

/* Under mf_fs_nodes_lock(), as all that follows; Return: the node's, one reference more; NULL without memory */
static struct mf_fuse_ways *ways_of(struct mf_fs_node *node)
{
	if (!node->ways)
		node->ways = calloc(1, sizeof(*node->ways));
	if (node->ways)
		node->ways->refs++;
	return node->ways;
}

static void put_ways(struct mf_fs_node *node)
{
	if (--node->ways->refs)
		return;
	free(node->ways);
	node->ways = NULL;
}

static void take(struct mf_fs_handle *h, struct mf_fs_node *node, enum mf_fuse_way way, int flags)
{
	uint32_t *count = count_of(node->ways, way);

	if (count)
		++*count;
	h->way = way;
	h->way_node = node;
	h->maps =
		(way == MF_FUSE_THROUGH || way == MF_FUSE_BESIDE) && (flags & O_ACCMODE) == O_RDWR;
	node->ways->mappable += h->maps;
	node->mappable = node->ways->mappable > 0;
	// The pages that the kernel still has of it are not those of its file now, or grow old.
	if (way != MF_FUSE_CACHED)
		node->seen_mtime_ns = 0;
}

/* Return: the id that is to be closed, 0 for none */
static int32_t give_back(struct mf_fs_handle *h, struct mf_fs_node *node)
{
	struct mf_fuse_ways *w = node->ways;
	uint32_t *count = count_of(w, h->way);
	int32_t backing = 0;

	if (count && --*count == 0 && count == &w->through) {
		backing = w->backing;
		w->backing = 0;
	}
	w->mappable -= h->maps;
	node->mappable = w->mappable > 0;
	put_ways(node);
	return backing;
}

static bool is_open(struct mf_fs_mount *m, struct mf_fs_node *node)
{
	bool open;

	mf_fs_nodes_lock(m->nodes);
	open = node->ways;
	mf_fs_nodes_unlock(m->nodes);
	return open;
}

int mf_fuse_way_enter(struct mf_fs_mount *m, struct mf_fs_handle *h, struct mf_fs_node *node,
		      bool elsewhere, bool stays, int flags)
{
	bool may = m->session.through && !elsewhere, fits = true;
	struct mf_fuse_ways *w;
	int32_t backing = 0;
	int way = -ENOMEM;

	// The kernel opens the file again with the caller's flags, and must not fail.
	if (may && flags & O_DIRECT)
		fits = has_direct(h->fd, flags);
	if (may && fits && !stays && !is_open(m, node))
		backing = open_backing(m, h->fd);
	mf_fs_nodes_hold(m->nodes, node);
	mf_fs_nodes_lock(m->nodes);
	w = ways_of(node);
	if (w)
		way = elsewhere ? choose_elsewhere(node, h, flags) : choose(node, stays, &backing);
	if (!fits && (way == MF_FUSE_THROUGH || way == MF_FUSE_BESIDE))
		way = -EINVAL;
	if (way == -ESTALE)
		node->retired = true;
	if (way > 0)
		take(h, node, (enum mf_fuse_way)way, flags);
	else if (w)
		put_ways(node);
	mf_fs_nodes_unlock(m->nodes);
	if (way < 0)
		mf_fs_nodes_drop(m->nodes, node);
	if (backing)
		close_backing(m, backing);
	return way < 0 ? way : 0;
}

void mf_fuse_way_leave(struct mf_fs_mount *m, struct mf_fs_handle *h)
{
	struct mf_fs_node *node = h->way_node;
	int32_t backing;

	if (!node)
		return;
	mf_fs_nodes_lock(m->nodes);
	backing = give_back(h, node);
	mf_fs_nodes_unlock(m->nodes);
	if (backing)
		close_backing(m, backing);
	h->way_node = NULL;
	h->way = MF_FUSE_NO_WAY;
	mf_fs_nodes_drop(m->nodes, node);
}

static void add(const struct mf_fs_handle *h, struct fuse_file_info *fi)
{
	fi->direct_io = h->way == MF_FUSE_DIRECT || h->way == MF_FUSE_AWAY;
	if (h->way != MF_FUSE_THROUGH && h->way != MF_FUSE_BESIDE)
		return;
	fi->keep_cache = 0;
	also.flags = OPEN_PASSTHROUGH | (h->way == MF_FUSE_BESIDE ? OPEN_DIRECT : 0);
	also.backing = h->way_node->ways->backing;
}

int mf_fuse_way_reply_open(struct fuse_req *req, struct mf_fs_handle *h, struct fuse_file_info *fi)
{
	int r;

	add(h, fi);
	r = fuse_reply_open(req, fi);
	also.backing = 0;
	return r;
}

int mf_fuse_way_reply_create(struct fuse_req *req, struct mf_fs_handle *h,
			     const struct fuse_entry_param *e, struct fuse_file_info *fi)
{
	int r;

	add(h, fi);
	r = fuse_reply_create(req, e, fi);
	also.backing = 0;
	return r;
}
