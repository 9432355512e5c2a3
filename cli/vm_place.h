/* SPDX-License-Identifier: Apache-2.0 */
/* vm_place.h - where virtual machines connect to moonfence vm-net. Linux only */
#ifndef MF_CLI_VM_PLACE_H
#define MF_CLI_VM_PLACE_H

#include "core/base/addr.h"
#include "core/base/err.h"

enum mf_vm_place_kind {
	MF_VM_PLACE_STREAM, /* Unix socket: QEMU's -netdev stream */
	MF_VM_PLACE_TCP,    /* the same over TCP: whoever reaches the port may connect */
	MF_VM_PLACE_DGRAM,  /* Unix datagram socket: -netdev dgram, hypervisors of macOS */
	MF_VM_PLACE_TAP,    /* a TAP device that is there */
	MF_VM_PLACE_FD,	    /* an inherited, connected socket, stream or datagram */
};

struct mf_vm_place {
	enum mf_vm_place_kind kind;
	const char *at; /* path, ADDR:PORT, name of the device, number */
};

/* One that is open. */
struct mf_vm_place_open {
	enum mf_vm_place_kind kind;    /* of a descriptor the one that it turned out to be */
	int fd;			       /* the caller's; non-blocking */
	const char *path;	       /* borrowed: to be removed at the end; NULL: none */
	char at[MF_ENDPOINT_TEXT_MAX]; /* of TCP, with the port that it got; else empty */
};

/**
 * mf_vm_place_open() - Listen there, or take the device or descriptor
 * A socket's path is for our user alone; one that nobody serves any more is removed first.
 * Return: 0; MF_E_IO, MF_E_EXIST (somebody listens there), MF_E_INVAL, MF_E_LIMIT (path too long)
 */
int mf_vm_place_open(const struct mf_vm_place *place, struct mf_vm_place_open *ret,
		     struct mf_err *err);

#endif
