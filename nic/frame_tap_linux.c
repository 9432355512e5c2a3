/* SPDX-License-Identifier: Apache-2.0 */
/* frame_tap_linux.c - see frame_tap_linux.h */
#include "nic/frame_tap_linux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

struct tap {
	struct mf_frame_source source;
	uint8_t in[MF_FRAME_MAX];
};

int mf_frame_tap_open(const char *name, struct mf_err *err)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd, e;

	if (!*name || strlen(name) >= sizeof(ifr.ifr_name))
		return mf_err_set(err, MF_E_INVAL, "'%s' is no name of a device", name);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return mf_err_set(err,
				  errno == EACCES || errno == EPERM ? MF_E_PERM : MF_E_UNSUPPORTED,
				  "cannot open /dev/net/tun: %s", strerror(errno));
	strcpy(ifr.ifr_name, name);
	if (ioctl(fd, TUNSETIFF, &ifr) == 0)
		return fd;
	e = errno;
	close(fd);
	return mf_err_set(err, e == EPERM ? MF_E_PERM : MF_E_IO,
			  "cannot attach to the device %s: %s", name, strerror(e));
}

static int tap_run(struct mf_frame_source *source, unsigned max)
{
	struct tap *t = (struct tap *)source;
	unsigned cnt = 0;

	while (cnt < max) {
		ssize_t n = read(source->fd, t->in, sizeof(t->in));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EBADFD || errno == ENODEV))
			return cnt ? (int)cnt : MF_E_CLOSED;
		if (n <= 0)
			break;
		cnt++;
		if ((size_t)n < MF_FRAME_MIN) {
			source->stats.in_bad++;
			continue;
		}
		source->stats.in++;
		source->stats.in_bytes += (size_t)n;
		source->receiver(source->ctx, t->in, (size_t)n);
	}
	return (int)cnt;
}

/* The device has a queue of its own, and says so by refusing: nothing waits here. */
static int tap_send(struct mf_frame_source *source, const uint8_t *head, size_t head_len,
		    const uint8_t *body, size_t body_len)
{
	struct iovec iov[2] = { { (void *)(uintptr_t)head, head_len },
				{ (void *)(uintptr_t)body, body_len } };

	if (head_len + body_len > MF_FRAME_MAX)
		return MF_E_LIMIT;
	if (writev(source->fd, iov, 2) < 0) {
		source->stats.out_dropped++;
		return MF_E_AGAIN;
	}
	source->stats.out++;
	source->stats.out_bytes += head_len + body_len;
	return 0;
}

static void tap_flush(struct mf_frame_source *source)
{
	(void)source;
}

static void tap_free(struct mf_frame_source *source)
{
	close(source->fd);
	free(source);
}

static const struct mf_frame_ops ops = { "tap", tap_run, tap_send, tap_flush, tap_free };

int mf_frame_tap_new(int fd, struct mf_frame_source **ret, struct mf_err *err)
{
	struct tap *t = malloc(sizeof(*t));

	if (!t) {
		close(fd);
		return mf_err_set(err, MF_E_NOMEM, "out of memory");
	}
	t->source = (struct mf_frame_source){ .ops = &ops, .fd = fd };
	*ret = &t->source;
	return 0;
}
