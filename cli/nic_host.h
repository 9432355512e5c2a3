/* SPDX-License-Identifier: Apache-2.0 */
/* nic_host.h - what moonfence nic-host was asked for (nic_host.c), and doing it (nic_host_linux.c) */
#ifndef MF_CLI_NIC_HOST_H
#define MF_CLI_NIC_HOST_H

#include <stdbool.h>
#include <stdint.h>

#define MF_NIC_HOST_PATH_ROOM 108 /* of a Unix socket's path, its NUL included: unix(7) */

enum mf_nic_host_model { MF_NIC_HOST_E1000, MF_NIC_HOST_VIRTIO_NET, MF_NIC_HOST_MODEL_NUM };

struct mf_nic_host_wishes {
	uint8_t mac[6];
	enum mf_nic_host_model model;
	char local[MF_NIC_HOST_PATH_ROOM], remote[MF_NIC_HOST_PATH_ROOM]; /* of frames */
	bool counts, verbose;
	bool large; /* the network takes frames of 64 KiB without checksums */
	/* Of virtio-net; 0 and false: what virtio_net.h says. */
	uint16_t mtu, pairs;
	bool packed, modern_only, coalesce;
	char **command; /* of QEMU; as given, borrowed */
	int command_cnt;
};

/** mf_nic_host_run() - Until QEMU ends; says what is wrong itself. Return: the exit status */
int mf_nic_host_run(const struct mf_nic_host_wishes *wishes);

#endif
