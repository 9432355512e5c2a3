/* SPDX-License-Identifier: Apache-2.0 */
/* vm_net.c - the arguments of moonfence vm-net; what it does is vm_net_linux.c */
#include <stdlib.h>
#include <string.h>

#include "capture/capture.h"
#include "cli/commands.h"
#include "cli/host_options.h"
#include "cli/vm_net.h"

enum {
	OPT_SOCKET = 1,
	OPT_TCP,
	OPT_DGRAM,
	OPT_TAP,
	OPT_FD,
	OPT_STACK,
	OPT_SOURCE,
	OPT_SESSION,
	OPT_LABEL,
	OPT_MTU,
	OPT_DOMAIN,
	OPT_NTP,
	OPT_BOOT_FILE,
	OPT_BOOT_SERVER,
	OPT_NO_IPV6,
	OPT_RATE,
	OPT_PCAP,
	OPT_ONCE,
	OPT_SUMMARY,
	OPT_METRICS,
	OPT_CA,
};

static const struct mf_option options[] = {
	{ OPT_SOCKET, 0, "socket", "PATH",
	  "listen at this Unix socket for QEMU's -netdev stream, several machines at a time; may "
	  "be repeated, as the next four" },
	{ OPT_TCP, 0, "tcp", "ADDR:PORT",
	  "the same over TCP, port 0 for any that is free: whoever reaches it is a machine" },
	{ OPT_DGRAM, 0, "dgram", "PATH",
	  "take frames as datagrams at this Unix socket: QEMU's -netdev dgram, vfkit, krunkit; one "
	  "machine" },
	{ OPT_TAP, 0, "tap", "NAME", "take the frames of this TAP device" },
	{ OPT_FD, 0, "fd", "N", "take the frames of this inherited, connected socket" },
	{ OPT_STACK, 0, "stack", "STACK",
	  "what ends the machines' connections: kernel, in a namespace of its own (default with "
	  "CAP_NET_ADMIN), or lwip, in this process, which needs no privilege and no namespace "
	  "(default without)" },
	{ OPT_SOURCE, 0, "source-address", "ADDR",
	  "speak to servers from this address of the host; one of each family" },
	MF_HOST_OPTION_POLICY,
	MF_HOST_OPTION_VAR,
	MF_HOST_OPTION_TRUST_STORE,
	MF_HOST_OPTION_SIGNING,
	MF_HOST_OPTION_EVENTS,
	MF_HOST_OPTION_EVENTS_ROTATE,
	MF_HOST_OPTION_EVENTS_STRICT,
	MF_HOST_OPTION_REEVALUATE,
	{ OPT_SESSION, 's', "session", "NAME", "name in events and policies (default: vm-net)" },
	{ OPT_LABEL, 'l', "label", "KEY=VALUE", MF_LABEL_OPTION_HELP },
	MF_HOST_OPTION_DNS,
	MF_HOST_OPTION_DNS_CACHE,
	MF_HOST_OPTION_DNS_STALE,
	{ OPT_MTU, 0, "mtu", "BYTES", "of the wires, told to machines (default: 1500)" },
	{ OPT_DOMAIN, 0, "domain", "NAME", "domain and search list for machines" },
	{ OPT_NTP, 0, "ntp", "ADDR", "IPv4 address of a time server for machines; at most four" },
	{ OPT_BOOT_FILE, 0, "boot-file", "NAME",
	  "what machines without a disk load by their card's firmware: an URL (iPXE), or a path on "
	  "the boot server" },
	{ OPT_BOOT_SERVER, 0, "boot-server", "ADDR", "IPv4 address of the TFTP server for that" },
	{ OPT_NO_IPV6, 0, "no-ipv6", NULL, "IPv4 only" },
	{ OPT_RATE, 0, "rate", "KBYTES",
	  "that one machine may send in a second; what is more is dropped" },
	{ OPT_PCAP, 0, "pcap", "FILE",
	  "write all frames into a pcapng file, which gets its name at the end" },
	{ OPT_ONCE, 0, "once", NULL, "end when the last machine has gone" },
	{ OPT_SUMMARY, 0, "summary", NULL, "print what was decided, on stderr, at the end" },
	{ OPT_METRICS, 0, "metrics", "FILE", "write Prometheus text to FILE at the end" },
	MF_HOST_OPTION_NO_WATCH,
	MF_HOST_OPTION_TRUST_TARGETS,
	{ OPT_CA, 0, "ca", "DIR",
	  "certificates that policies need (terminate, rewrite_sni) are signed by the authority of "
	  "'moonfence ca' in DIR, which machines then have to trust" },
	MF_HOST_OPTION_VERBOSE,
};

static const struct mf_usage usage = {
	.name = "vm-net",
	.synopsis = "[OPTION]...",
	.text = "Is the network of virtual machines that send Ethernet frames over a socket: gives "
		"them\n"
		"addresses (DHCP, IPv6 by router advertisements), and puts every name that they "
		"resolve "
		"and every\n"
		"connection that they make to the policies. Machines do not reach each other. Ends "
		"on "
		"SIGTERM or\n"
		"SIGINT; policies are reloaded when their files change, and on SIGHUP.\n",
	.example = "  moonfence vm-net --socket /tmp/vm.sock --policy my.lua\n"
		   "  qemu-system-x86_64 ... -device virtio-net-pci,netdev=n0 \\\n"
		   "    -netdev stream,id=n0,addr.type=unix,addr.path=/tmp/vm.sock\n",
	.options = options,
	.option_cnt = MF_ARRAY_SIZE(options),
};

/* ---- arguments --------------------------------------------------------------------------------------------------- */

static int add_place(struct mf_vm_net_wishes *v, enum mf_vm_place_kind kind, const char *at)
{
	struct mf_vm_wire_options *o = &v->wire_options;

	if (o->place_cnt == MF_VM_WIRE_PLACES_MAX)
		return mf_options_wrong(&usage, "at most %d places for machines",
					MF_VM_WIRE_PLACES_MAX);
	o->places[o->place_cnt++] = (struct mf_vm_place){ kind, at };
	return 0;
}

/* Return: the number, or -1 after a word about it */
static long number(const char *option, const char *value, long min, long max)
{
	char *end;
	long n = strtol(value, &end, 10);

	if (!*end && end != value && n >= min && n <= max)
		return n;
	(void)mf_options_wrong(&usage, "--%s wants %ld to %ld: '%s'", option, min, max, value);
	return -1;
}

static int add_ntp(struct mf_vm_net_wishes *v, const char *value)
{
	struct mf_guest_net_options *net = &v->wire_options.net;
	struct mf_addr addr;

	if (mf_addr_parse(value, strlen(value), &addr) < 0 || addr.family != 4)
		return mf_options_wrong(&usage, "--ntp wants an IPv4 address: '%s'", value);
	if (net->ntp_cnt == MF_DHCP4_LIST_MAX)
		return mf_options_wrong(&usage, "--ntp: at most %u", MF_DHCP4_LIST_MAX);
	memcpy(net->ntp[net->ntp_cnt++], addr.bytes, 4);
	return 0;
}

static int set_source(const char *value)
{
	struct mf_addr addr;

	if (mf_addr_parse(value, strlen(value), &addr) < 0)
		return mf_options_wrong(&usage, "--source-address wants an IP address: '%s'",
					value);
	mf_vm_net_set_source(&addr);
	return 0;
}

static int set_boot_server(struct mf_vm_net_wishes *v, const char *value)
{
	struct mf_addr addr;

	if (mf_addr_parse(value, strlen(value), &addr) < 0 || addr.family != 4)
		return mf_options_wrong(&usage, "--boot-server wants an IPv4 address: '%s'", value);
	memcpy(v->wire_options.net.boot_server, addr.bytes, 4);
	return 0;
}

static int take_wire_option(struct mf_vm_net_wishes *v, int opt, const char *value)
{
	struct mf_guest_net_options *net = &v->wire_options.net;
	long n;

	switch (opt) {
	case OPT_SOCKET:
		return add_place(v, MF_VM_PLACE_STREAM, value);
	case OPT_TCP:
		return add_place(v, MF_VM_PLACE_TCP, value);
	case OPT_DGRAM:
		return add_place(v, MF_VM_PLACE_DGRAM, value);
	case OPT_TAP:
		return add_place(v, MF_VM_PLACE_TAP, value);
	case OPT_FD:
		n = number("fd", value, 3, 1 << 20);
		return n < 0 ? MF_EXIT_USAGE : add_place(v, MF_VM_PLACE_FD, value);
	case OPT_STACK:
		if (strcmp(value, "kernel") == 0)
			v->stack = MF_VM_STACK_KERNEL;
		else if (strcmp(value, "lwip") == 0)
			v->stack = MF_VM_STACK_LWIP;
		else
			return mf_options_wrong(
				&usage, "--stack knows 'kernel' and 'lwip', not '%s'", value);
		return 0;
	case OPT_SOURCE:
		return set_source(value);
	case OPT_MTU:
		n = number("mtu", value, MF_CAPTURE_MTU_MIN, 65520);
		net->mtu = n < 0 ? 0 : (uint16_t)n;
		return n < 0 ? MF_EXIT_USAGE : 0;
	case OPT_DOMAIN:
		net->domain = value;
		return 0;
	case OPT_NTP:
		return add_ntp(v, value);
	case OPT_BOOT_FILE:
		if (strlen(value) > 255)
			return mf_options_wrong(&usage, "--boot-file: at most 255 bytes");
		net->boot_file = value;
		return 0;
	case OPT_BOOT_SERVER:
		return set_boot_server(v, value);
	case OPT_NO_IPV6:
		net->no6 = true;
		return 0;
	case OPT_RATE:
		n = number("rate", value, 1, 1 << 30);
		net->rate = n < 0 ? 0 : (uint64_t)n * 1000;
		return n < 0 ? MF_EXIT_USAGE : 0;
	case OPT_PCAP:
		v->wire_options.pcap = value;
		return 0;
	default:
		v->once = true;
		return 0;
	}
}

static int take_option(struct mf_vm_net_wishes *v, int opt, const char *value)
{
	int status = mf_host_options_take(&usage, &v->host, &v->proxy_options, opt, value);

	if (status >= 0)
		return status;
	switch (opt) {
	case OPT_SESSION:
		v->id = value;
		return 0;
	case OPT_LABEL:
		return mf_label_options_add(&usage, &v->labels, value);
	case OPT_SUMMARY:
		v->want_summary = true;
		return 0;
	case OPT_METRICS:
		v->metrics_path = value;
		return 0;
	case OPT_CA:
		v->ca_dir = value;
		return 0;
	default:
		return take_wire_option(v, opt, value);
	}
}

/* Return: -1, or the exit status to end with */
static int parse(struct mf_vm_net_wishes *v, int argc, char **argv)
{
	struct mf_options o = mf_options_of(&usage, argc, argv);
	const char *value;
	int opt, status;

	while ((opt = mf_options_next(&o, &value)) > 0) {
		status = take_option(v, opt, value);
		if (status)
			return status;
	}
	if (opt < 0)
		return o.status;
	if (o.operand_cnt)
		return mf_options_wrong(&usage, "no operand is wanted: '%s'", o.operands[0]);
	if (!v->wire_options.place_cnt)
		return mf_options_wrong(
			&usage, "where do machines connect? One of --socket, --tcp, --dgram, "
				"--tap, --fd is wanted");
	return -1;
}

int mf_cmd_vm_net(int argc, char **argv)
{
	struct mf_vm_net_wishes *v = calloc(1, sizeof(*v));
	int status;

	if (!v)
		return MF_EXIT_SETUP;
	v->id = "vm-net";
	mf_policy_host_init(&v->host);
	v->proxy_options.size = sizeof(v->proxy_options);
	v->wire_options.net.size = sizeof(v->wire_options.net);
	v->wire_options.log = &v->host.log;
	status = parse(v, argc, argv);
	if (status < 0)
		status = mf_vm_net_run(v);
	mf_label_options_done(&v->labels);
	free(v);
	return status;
}
