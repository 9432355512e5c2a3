/* SPDX-License-Identifier: Apache-2.0 */
/* nic_host.c - moonfence nic-host: its command line; nic_host_linux.c does it */
#include "cli/nic_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "core/base/err.h"
#include "nic/virtio_net.h"

enum {
	OPT_MAC = 1,
	OPT_MODEL,
	OPT_FRAMES,
	OPT_LARGE,
	OPT_MTU,
	OPT_QUEUES,
	OPT_PACKED,
	OPT_MODERN,
	OPT_COALESCE,
	OPT_COUNTS,
	OPT_VERBOSE
};

#define MTU_MIN 68 /* of virtio-net: 5.1.4.1 */

static const struct mf_option options[] = {
	{ OPT_FRAMES, 'f', "frames", "LOCAL,REMOTE",
	  "paths of Unix datagram sockets: ours, and that of the network" },
	{ OPT_MODEL, 0, "model", "MODEL", "e1000 (an Intel 82540EM, the default) or virtio-net" },
	{ OPT_MAC, 'm', "mac", "MAC", "the card's address (default: 52:54:00:4d:46:01)" },
	{ OPT_LARGE, 0, "large-frames", NULL,
	  "hand on what the guest leaves to its card: frames of up to 64 KiB, checksums open. For "
	  "a network that takes them: moonfence vm-net does" },
	{ OPT_MTU, 0, "mtu", "BYTES", "virtio-net: the network's MTU, told to the guest's driver" },
	{ OPT_QUEUES, 0, "queues", "PAIRS", "virtio-net: pairs of queues, up to 8 (default: 1)" },
	{ OPT_PACKED, 0, "packed", NULL, "virtio-net: offer packed rings" },
	{ OPT_MODERN, 0, "modern", NULL, "virtio-net: not for drivers from before virtio 1.0" },
	{ OPT_COALESCE, 0, "coalesce", NULL,
	  "virtio-net: let the driver have interrupts gathered" },
	{ OPT_COUNTS, 0, "counts", NULL, "say at the end on stderr what the card has counted" },
	{ OPT_VERBOSE, 'v', "verbose", NULL, "say on stderr what is odd about the guest's driver" },
};

static const struct mf_usage usage = {
	.name = "nic-host",
	.synopsis = "--frames LOCAL,REMOTE [OPTION]... -- QEMU [ARGUMENT]...",
	.text = "Runs QEMU with a network card of Moonfence's in it, which the guest's own driver "
		"serves. Frames go\n"
		"to the datagram socket REMOTE, one each, and come to LOCAL (moonfence vm-net "
		"--dgram REMOTE). QEMU\n"
		"needs its device x-pci-proxy-dev, the machine pc, and memory that is shared, as "
		"below. Arguments\n"
		"that the card needs are appended. Ends with QEMU's status; with 125 when it "
		"cannot "
		"begin.\n",
	.example =
		"  moonfence nic-host --frames /run/vm/card,/run/vm/net -- qemu-system-x86_64 -m "
		"512 -nic none \\\n"
		"    -object memory-backend-memfd,id=mem,size=512M,share=on -machine "
		"pc,memory-backend=mem disk.img\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
	.stop_at_operand = true,
};

static bool parse_mac(const char *text, uint8_t mac[6])
{
	unsigned v[6];
	int end = 0;

	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
		   &end) != 6 ||
	    text[end])
		return false;
	for (unsigned i = 0; i < 6; i++)
		mac[i] = (uint8_t)v[i];
	return true;
}

static bool parse_frames(struct mf_nic_host_wishes *w, const char *text)
{
	const char *comma = strchr(text, ',');
	size_t len = comma ? (size_t)(comma - text) : 0;

	if (!len || len >= sizeof(w->local) || !comma[1] || strlen(comma + 1) >= sizeof(w->remote))
		return false;
	snprintf(w->local, sizeof(w->local), "%.*s", (int)len, text);
	snprintf(w->remote, sizeof(w->remote), "%s", comma + 1);
	return true;
}

static bool parse_model(const char *text, enum mf_nic_host_model *ret)
{
	static const char *const names[] = {
		[MF_NIC_HOST_E1000] = "e1000", [MF_NIC_HOST_VIRTIO_NET] = "virtio-net"
	};

	_Static_assert(MF_ARRAY_SIZE(names) == MF_NIC_HOST_MODEL_NUM, "a name for each model");
	for (unsigned i = 0; i < MF_ARRAY_SIZE(names); i++) {
		if (strcmp(names[i], text) == 0) {
			*ret = (enum mf_nic_host_model)i;
			return true;
		}
	}
	return false;
}

/* Return: the number, or -1: it is none of @min to @max */
static long number(const char *text, long min, long max)
{
	char *end;
	long n = strtol(text, &end, 10);

	return *end || end == text || n < min || n > max ? -1 : n;
}

/* Options of one model only. Return: an exit status, or -1: go on */
static int take_virtio_option(struct mf_nic_host_wishes *w, int opt, const char *value)
{
	long n = 0;

	switch (opt) {
	case OPT_MTU:
		n = number(value, MTU_MIN, UINT16_MAX);
		w->mtu = n < 0 ? 0 : (uint16_t)n;
		break;
	case OPT_QUEUES:
		n = number(value, 1, MF_VIRTIO_NET_PAIRS_MAX);
		w->pairs = n < 0 ? 0 : (uint16_t)n;
		break;
	case OPT_PACKED:
		w->packed = true;
		break;
	case OPT_MODERN:
		w->modern_only = true;
		break;
	default:
		w->coalesce = true;
	}
	return n < 0 ? mf_options_wrong(&usage, "no such number is possible: '%s'", value) : -1;
}

static bool wants_virtio(const struct mf_nic_host_wishes *w)
{
	return w->mtu || w->pairs || w->packed || w->modern_only || w->coalesce;
}

/* Return: an exit status, or -1: go on */
static int parse(struct mf_nic_host_wishes *w, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		switch (opt) {
		case OPT_MAC:
			if (!parse_mac(value, w->mac))
				return mf_options_wrong(
					&usage, "'%s' is no address of a network card", value);
			break;
		case OPT_MODEL:
			if (!parse_model(value, &w->model))
				return mf_options_wrong(&usage, "there is no card '%s'", value);
			break;
		case OPT_FRAMES:
			if (!parse_frames(w, value))
				return mf_options_wrong(
					&usage, "'%s' is not two paths LOCAL,REMOTE", value);
			break;
		case OPT_LARGE:
			w->large = true;
			break;
		case OPT_COUNTS:
			w->counts = true;
			break;
		case OPT_VERBOSE:
			w->verbose = true;
			break;
		default:
			status = take_virtio_option(w, opt, value);
			if (status >= 0)
				return status;
		}
	}
	if (opt < 0)
		return o.status;
	if (!*w->local)
		return mf_options_wrong(&usage, "--frames is missing");
	if (!o.operand_cnt)
		return mf_options_wrong(&usage, "the command of QEMU is missing");
	if (w->model != MF_NIC_HOST_VIRTIO_NET && wants_virtio(w))
		return mf_options_wrong(&usage,
					"--mtu, --queues, --packed, --modern and --coalesce are "
					"for --model virtio-net");
	w->command = o.operands;
	w->command_cnt = o.operand_cnt;
	return -1;
}

int mf_cmd_nic_host(int argc, char **argv)
{
	struct mf_nic_host_wishes w = { .mac = { 0x52, 0x54, 0x00, 0x4d, 0x46, 0x01 } };
	int status = parse(&w, argc, argv);

	return status < 0 ? mf_nic_host_run(&w) : status;
}
