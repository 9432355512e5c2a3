/* SPDX-License-Identifier: Apache-2.0 */
/*
 * qemu_linux.c - the messages of x-pci-proxy-dev, and interrupts by qtest
 *
 *	message: command i32 | 4 unused bytes | size u64 | size bytes; descriptors come with the header
 *
 * Numbers are in the host's byte order, which is little-endian here (bytes.h). QEMU is believed no more than a guest: sizes
 * are checked, and memory is mapped only as far as its file goes.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "nic/qemu.h"

#define HEADER_LEN   16u
#define MESSAGE_MAX  192u
#define REGIONS	     8u
#define MEMORY_LEN   (REGIONS * 24u)
#define CONFIG_LEN   12u
#define BAR_LEN	     24u
#define ANSWERS_SIZE 4096

enum command {
	SYNC_MEMORY = 0,
	RETURN = 1,
	CONFIG_WRITE = 2,
	CONFIG_READ = 3,
	BAR_WRITE = 4,
	BAR_READ = 5,
	SET_IRQFD = 6,
	DEVICE_RESET = 7,
};

struct mapping {
	void *ptr;
	size_t size;
};

struct mf_qemu {
	struct mf_qemu_options o;
	struct mf_guest_memory *memory;
	struct mf_nic *nic;
	struct mapping mappings[REGIONS];
	unsigned mapping_cnt;
	uint64_t asked, answered; /* lines to qtest */
	bool qtest_gone;
};

struct message {
	int32_t command;
	uint64_t size;
	uint8_t bytes[MESSAGE_MAX];
	int fds[REGIONS];
	unsigned fd_cnt;
};

int mf_qemu_new(const struct mf_qemu_options *options, struct mf_guest_memory *memory,
		struct mf_qemu **ret, struct mf_err *err)
{
	struct mf_qemu *q = calloc(1, sizeof(*q));

	if (!q)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a card's bus.");
	q->o = *options;
	q->memory = memory;
	*ret = q;
	return 0;
}

void mf_qemu_attach(struct mf_qemu *q, struct mf_nic *nic)
{
	q->nic = nic;
}

static void unmap_all(struct mf_qemu *q)
{
	for (unsigned i = 0; i < q->mapping_cnt; i++)
		munmap(q->mappings[i].ptr, q->mappings[i].size);
	q->mapping_cnt = 0;
}

void mf_qemu_free(struct mf_qemu *q)
{
	if (!q)
		return;
	mf_guest_memory_set(q->memory, NULL, 0, NULL);
	unmap_all(q);
	free(q);
}

/* ---- qtest ---- */

/* One line, whole: the socket takes lines long before it is full, since we wait for the answers. */
static void ask(struct mf_qemu *q, const char *line, size_t len)
{
	while (len && !q->qtest_gone) {
		ssize_t n = send(q->o.qtest_fd, line, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			q->qtest_gone = true;
			return;
		}
		line += n;
		len -= (size_t)n;
	}
	q->asked++;
}

void mf_qemu_set_line(struct mf_qemu *q, bool level)
{
	char line[96];
	int n;

	if (!q->nic)
		return;
	n = snprintf(line, sizeof(line),
		     "set_irq_in /machine/i440fx/ioapic unnamed-gpio-in %u %d\n",
		     q->nic->pci.config[MF_PCI_INTERRUPT_LINE], level);
	ask(q, line, (size_t)n);
}

void mf_qemu_send_message(struct mf_qemu *q, uint64_t address, uint32_t data)
{
	char line[64];
	int n = snprintf(line, sizeof(line), "writel 0x%" PRIx64 " 0x%" PRIx32 "\n", address, data);

	ask(q, line, (size_t)n);
}

int mf_qemu_read_answers(struct mf_qemu *q, struct mf_err *err)
{
	char buf[ANSWERS_SIZE];
	ssize_t n = recv(q->o.qtest_fd, buf, sizeof(buf), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		q->qtest_gone = true;
		return mf_err_set(err, MF_E_CLOSED, "QEMU has closed its qtest socket.");
	}
	for (ssize_t i = 0; i < n; i++)
		q->answered += buf[i] == '\n';
	return 0;
}

/* Until all lines have been answered. */
static void await_answers(struct mf_qemu *q)
{
	while (q->answered < q->asked && !q->qtest_gone) {
		struct pollfd p = { .fd = q->o.qtest_fd, .events = POLLIN };

		if (poll(&p, 1, 1) > 0)
			mf_qemu_read_answers(q, NULL);
		else if (q->o.meanwhile)
			q->o.meanwhile(q->o.ctx);
	}
}

/* ---- messages ---- */

static int gone(struct mf_err *err)
{
	return mf_err_set(err, MF_E_CLOSED, "QEMU has closed the device's socket.");
}

/* The rest of a message that has begun. */
static int read_rest(int fd, uint8_t *p, size_t len, struct mf_err *err)
{
	while (len) {
		ssize_t n = recv(fd, p, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return mf_err_set(err, MF_E_IO, "Cannot read from QEMU: %s.",
					  strerror(errno));
		if (n == 0)
			return gone(err);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static void take_descriptors(struct message *m, struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		unsigned cnt;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		cnt = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		for (unsigned i = 0; i < cnt; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (m->fd_cnt < REGIONS)
				m->fds[m->fd_cnt++] = fd;
			else
				close(fd);
		}
	}
}

static void close_descriptors(struct message *m)
{
	for (unsigned i = 0; i < m->fd_cnt; i++)
		close(m->fds[i]);
	m->fd_cnt = 0;
}

static int read_message(struct mf_qemu *q, struct message *m, struct mf_err *err)
{
	uint8_t header[HEADER_LEN];
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(REGIONS * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = header, .iov_len = sizeof(header) };
	struct msghdr h = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control.bytes,
			    .msg_controllen = sizeof(control.bytes) };
	ssize_t n;
	int rc;

	m->fd_cnt = 0;
	do {
		n = recvmsg(q->o.link_fd, &h, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return mf_err_set(err, errno == ECONNRESET ? MF_E_CLOSED : MF_E_IO,
				  "Cannot read from QEMU: %s.", strerror(errno));
	if (n == 0)
		return gone(err);
	take_descriptors(m, &h);
	rc = read_rest(q->o.link_fd, header + n, sizeof(header) - (size_t)n, err);
	if (rc)
		return rc;
	memcpy(&m->command, header, sizeof(m->command));
	m->size = mf_load_le64(header + 8);
	if (m->size > sizeof(m->bytes))
		return mf_err_set(err, MF_E_BAD, "QEMU sends a message of %" PRIu64 " bytes.",
				  m->size);
	return read_rest(q->o.link_fd, m->bytes, m->size, err);
}

static int answer(struct mf_qemu *q, uint64_t value, struct mf_err *err)
{
	uint8_t out[HEADER_LEN + 8] = { RETURN };
	size_t done = 0;

	mf_store_le64(out + 8, 8);
	mf_store_le64(out + 16, value);
	while (done < sizeof(out)) {
		ssize_t n = send(q->o.link_fd, out + done, sizeof(out) - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return gone(err);
		done += (size_t)n;
	}
	return 0;
}

/* The guest's memory map: forget the one before. */
static int sync_memory(struct mf_qemu *q, const struct message *m, struct mf_err *err)
{
	struct mf_guest_region regions[REGIONS];
	unsigned cnt = 0;

	if (m->size != MEMORY_LEN)
		return mf_err_set(err, MF_E_BAD, "QEMU's memory map has a wrong size.");
	mf_guest_memory_set(q->memory, NULL, 0, NULL);
	unmap_all(q);
	for (unsigned i = 0; i < m->fd_cnt; i++) {
		uint64_t gpa = mf_load_le64(m->bytes + 8 * i);
		uint64_t size = mf_load_le64(m->bytes + 8 * (REGIONS + i));
		uint64_t off = mf_load_le64(m->bytes + 8 * (2 * REGIONS + i));
		struct stat st;
		void *ptr;

		if (!size || fstat(m->fds[i], &st) || off > INT64_MAX ||
		    (uint64_t)st.st_size < off || size > (uint64_t)st.st_size - off)
			continue; // an access there is an error of its descriptor
		ptr = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, m->fds[i], (off_t)off);
		if (ptr == MAP_FAILED)
			return mf_err_set(err, MF_E_IO, "Cannot map the guest's memory: %s.",
					  strerror(errno));
		q->mappings[q->mapping_cnt++] = (struct mapping){ ptr, size };
		regions[cnt++] = (struct mf_guest_region){ .gpa = gpa, .size = size, .ptr = ptr };
	}
	return mf_guest_memory_set(q->memory, regions, cnt, err);
}

/* The BAR that holds a bus address; MF_PCI_BARS: none. */
static unsigned find_bar(const struct mf_qemu *q, uint64_t address, bool memory, uint64_t *off)
{
	for (unsigned i = 0; i < MF_PCI_BARS; i++) {
		const struct mf_pci_bar *b = &q->nic->pci.bars[i];

		if (b->kind == MF_PCI_BAR_NONE || (b->kind == MF_PCI_BAR_IO) == memory)
			continue;
		*off = address - mf_pci_bar_address(&q->nic->pci, i);
		if (*off < b->size)
			return i;
	}
	return MF_PCI_BARS;
}

static int serve_bar(struct mf_qemu *q, const struct message *m, struct mf_err *err)
{
	uint64_t address = mf_load_le64(m->bytes), value = mf_load_le64(m->bytes + 8), off = 0;
	unsigned size = mf_load_le32(m->bytes + 16), bar;
	uint64_t now = q->o.now_ns(q->o.ctx);

	if (m->size != BAR_LEN)
		return mf_err_set(err, MF_E_BAD, "QEMU's access to a register has a wrong size.");
	bar = find_bar(q, address, m->bytes[20], &off);
	if (m->command == BAR_READ) {
		value = mf_nic_bar_read(q->nic, bar, off, size, now);
	} else {
		mf_nic_bar_write(q->nic, bar, off, value, size, now);
		value = 0;
	}
	await_answers(q);
	return answer(q, value, err);
}

static int serve_config(struct mf_qemu *q, const struct message *m, struct mf_err *err)
{
	uint32_t off = mf_load_le32(m->bytes), value = mf_load_le32(m->bytes + 4);
	uint32_t size = mf_load_le32(m->bytes + 8);
	uint64_t now = q->o.now_ns(q->o.ctx);

	if (m->size != CONFIG_LEN)
		return mf_err_set(err, MF_E_BAD,
				  "QEMU's access to the configuration space has a wrong size.");
	if (m->command == CONFIG_READ)
		return answer(q, mf_nic_config_read(q->nic, off, size, now), err);
	mf_nic_config_write(q->nic, off, value, size, now);
	return answer(q, 0, err);
}

int mf_qemu_serve(struct mf_qemu *q, struct mf_err *err)
{
	struct message m;
	int rc = read_message(q, &m, err);

	if (rc == 0) {
		switch (m.command) {
		case SYNC_MEMORY:
			rc = sync_memory(q, &m, err);
			break;
		case CONFIG_WRITE:
		case CONFIG_READ:
			rc = serve_config(q, &m, err);
			break;
		case BAR_WRITE:
		case BAR_READ:
			rc = serve_bar(q, &m, err);
			break;
		case SET_IRQFD: // for KVM only; qtest serves both
			break;
		case DEVICE_RESET:
			mf_nic_reset(q->nic);
			rc = answer(q, 0, err);
			break;
		default:
			rc = mf_err_set(err, MF_E_BAD, "QEMU sends a message of kind %d.",
					(int)m.command);
		}
	}
	close_descriptors(&m);
	return rc;
}
