/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tunlink_linux.c - the session's TUN device, or its guests': made in the namespace, held by the caller alone
 *
 * It is not persistent: with the caller its descriptor goes, with the descriptor the device, and with that every route.
 * What the kernel does of its own accord on a new device (link-local addresses, router solicitations) is switched off,
 * since nothing may change in the namespace once it is built.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "capture/internal_linux.h"
#include "capture/netlink_linux.h"

#define MTU_DEFAULT	  65520
#define GUEST_MTU_DEFAULT 1500
/* Packets that wait for us. The kernel's 500 are little where each may be one small datagram of a burst. */
#define QUEUE_LEN 1000

/* Younger than the oldest headers that we build with: Linux 6.2. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int open_failed(int e, struct mf_err *err)
{
	if (e == EACCES || e == EPERM)
		return mf_err_set(
			err, MF_E_PERM,
			"/dev/net/tun may not be opened by this user: chmod 666 /dev/net/tun "
			"(what most systems have), or use --capture tproxy");
	if (e == ENOENT || e == ENODEV || e == ENXIO)
		return mf_err_set(err, MF_E_UNSUPPORTED,
				  "there is no /dev/net/tun: load the kernel's module tun, give "
				  "the container "
				  "that device, or use --capture tproxy");
	return mf_err_set(err, MF_E_IO, "cannot open /dev/net/tun: %s", strerror(e));
}

/* Larger packets than the MTU, checksums left to us: what the kernel saves, both ways. */
static int set_offload(int fd, bool udp)
{
	const unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;

	if (udp && ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0)
		return 0;
	return ioctl(fd, TUNSETOFFLOAD, tcp) < 0 ? errno : 0;
}

static int configure(int route_fd, int index, uint32_t mtu, bool has6)
{
	struct mf_nl_request q;
	struct ifinfomsg *m = mf_nl_begin(&q, RTM_NEWLINK, 0, sizeof(*m));
	struct {
		struct rtattr family; /* AF_INET6 */
		struct rtattr mode;
		uint8_t none;
		uint8_t pad[3];
	} spec = { { sizeof(spec), AF_INET6 },
		   { RTA_LENGTH(1), IFLA_INET6_ADDR_GEN_MODE },
		   IN6_ADDR_GEN_MODE_NONE,
		   { 0 } };
	uint32_t queue = QUEUE_LEN;
	int e;

	m->ifi_index = index;
	mf_nl_add(&q, IFLA_MTU, &mtu, sizeof(mtu));
	mf_nl_add(&q, IFLA_TXQLEN, &queue, sizeof(queue));
	if (has6)
		mf_nl_add(&q, IFLA_AF_SPEC, &spec, sizeof(spec));
	e = mf_nl_run(route_fd, &q);
	if (e)
		return e;
	/* Only now up: what IPv6 does then depends on its mode. */
	m = mf_nl_begin(&q, RTM_NEWLINK, 0, sizeof(*m));
	m->ifi_index = index;
	m->ifi_change = m->ifi_flags = IFF_UP;
	return mf_nl_run(route_fd, &q);
}

static const char *name_of(const struct mf_capture_options *o)
{
	return o->guests ? MF_CAPTURE_GUEST_NAME : MF_CAPTURE_TUN_NAME;
}

static uint32_t mtu_of(const struct mf_capture_options *o)
{
	if (o->guests)
		return o->guests->mtu ? o->guests->mtu : GUEST_MTU_DEFAULT;
	return o->mtu ? o->mtu : MTU_DEFAULT;
}

/* The first one makes the device, the others join it. Return: 0 or an errno */
static int attach(int fd, const char *name, unsigned queues)
{
	/* Of one queue the kernel makes a plain device, which has less to do for each packet. */
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_VNET_HDR |
						  (queues > 1 ? IFF_MULTI_QUEUE : 0)) };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? errno : 0;
}

int mf_capture_tun_make(int route_fd, const struct mf_capture_options *options, bool has6,
			int *ret_fds, int *ret_index, struct mf_err *err)
{
	unsigned cnt = 0, queues = mf_capture_tun_queues(options);
	int e = 0;

	while (e == 0 && cnt < queues) {
		int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

		if (fd < 0 && cnt == 0)
			return open_failed(errno, err);
		e = fd < 0 ? errno : attach(fd, name_of(options), queues);
		if (fd >= 0)
			ret_fds[cnt++] = fd;
	}
	/* Who has a guest's wire cuts TCP into frames, and nothing else. */
	if (e == 0)
		e = set_offload(ret_fds[0], !options->guests);
	if (e == 0) {
		*ret_index = (int)if_nametoindex(name_of(options));
		e = *ret_index ? configure(route_fd, *ret_index, mtu_of(options), has6) : errno;
	}
	if (e == 0)
		return 0;
	while (cnt)
		close(ret_fds[--cnt]);
	return mf_err_set(err, mf_capture_errno_code(e), "cannot make the session's TUN device: %s",
			  strerror(e));
}
