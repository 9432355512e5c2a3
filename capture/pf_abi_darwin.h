/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pf_abi_darwin.h - what the kernel of macOS expects at /dev/pf, declared by ourselves: Apple's public headers lack it
 *
 * From the published source of xnu (bsd/net/pfvar.h). Plain bytes, so that the codec runs and is tested on any system. On
 * FreeBSD and OpenBSD ports have two bytes and the structure another size: nothing of this is for them.
 */
#ifndef MF_CAPTURE_PF_ABI_DARWIN_H
#define MF_CAPTURE_PF_ABI_DARWIN_H

#include <stddef.h>
#include <stdint.h>

#define MF_PF_ABI_AF_INET  2
#define MF_PF_ABI_AF_INET6 30

/* pf's directions */
#define MF_PF_ABI_IN  1
#define MF_PF_ABI_OUT 2

/* struct pfioc_natlook: "in" is what we ask, "out" what the kernel answers */
struct mf_pf_natlook {
	uint8_t saddr[16];  /* in: the client; IPv4 in the first four bytes */
	uint8_t daddr[16];  /* in: the local end of the accepted socket */
	uint8_t rsaddr[16]; /* out */
	uint8_t rdaddr[16]; /* out: where the client meant to go */
	uint8_t sxport
		[4]; /* in: its first two bytes are the port in network order (a union with other protocols') */
	uint8_t dxport[4];  /* in */
	uint8_t rsxport[4]; /* out */
	uint8_t rdxport[4]; /* out */
	uint8_t af;	    /* MF_PF_ABI_AF_... */
	uint8_t proto;	    /* 6 or 17 */
	uint8_t variant;    /* 0: for GRE and ESP only */
	uint8_t direction;  /* MF_PF_ABI_IN, MF_PF_ABI_OUT */
} __attribute__((aligned(4)));

_Static_assert(sizeof(struct mf_pf_natlook) == 84, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, saddr) == 0, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, daddr) == 16, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, rsaddr) == 32, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, rdaddr) == 48, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, sxport) == 64, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, dxport) == 68, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, rsxport) == 72, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, rdxport) == 76, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, af) == 80, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, proto) == 81, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, variant) == 82, "struct pfioc_natlook of xnu");
_Static_assert(offsetof(struct mf_pf_natlook, direction) == 83, "struct pfioc_natlook of xnu");

/* _IOWR('D', 23, struct pfioc_natlook): in and out 0xc0000000, size in bits 16 to 28, group, number */
#define MF_PF_ABI_NATLOOK                                                                 \
	(UINT32_C(0xc0000000) | (uint32_t)(sizeof(struct mf_pf_natlook) & 0x1fff) << 16 | \
	 (uint32_t)'D' << 8 | 23)
_Static_assert(MF_PF_ABI_NATLOOK == UINT32_C(0xc0544417), "DIOCNATLOOK of xnu");

#endif
