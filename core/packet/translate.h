/* SPDX-License-Identifier: Apache-2.0 */
/*
 * translate.h - a packet in, a packet and a verdict out: view, NAT table and rewriting put together
 *
 * This is the whole NAT core as a source of packets (TUN, WinDivert, a NIC model) uses it. It knows no operating system.
 * Packets of entries are rewritten in both directions, ICMP errors about them included.
 */
#ifndef MF_PACKET_TRANSLATE_H
#define MF_PACKET_TRANSLATE_H

#include "core/packet/nat.h"
#include "core/packet/rewrite.h"

enum mf_translation {
	MF_TRANSLATE_REWRITTEN, /* now a packet of what @ret_hit says */
	MF_TRANSLATE_SAME,	/* its entry says: unchanged */
	MF_TRANSLATE_NEW, /* begins a flow without an entry: ask policy, mf_nat_insert(), and translate again */
	MF_TRANSLATE_OTHER, /* of no entry, and begins none: a connection from before us, or an error about one */
	MF_TRANSLATE_FRAGMENT, /* not the first fragment: ports are unknown, reassemble or drop */
	MF_TRANSLATE_REFUSED, /* cannot be rewritten (source-routed, signed) or not be read: drop */
	MF_TRANSLATION_NUM
};

/**
 * mf_translate_packet() - Rewrite one packet by its entry
 * @v:       read to MF_VIEW_TRANSPORT; follows the changes
 * @pkt:     the bytes that @v reads, writable
 * @kind:    what its transport checksum field holds
 * @ret_hit: filled with REWRITTEN and SAME
 * ICMP errors are no sign of life: they neither refresh an entry nor change its state.
 */
enum mf_translation mf_translate_packet(struct mf_nat *nat, struct mf_view *v, uint8_t *pkt,
					enum mf_csum_kind kind, uint64_t now_ns,
					struct mf_nat_hit *ret_hit);

const char *mf_translation_name(enum mf_translation t);

#endif
