/* SPDX-License-Identifier: Apache-2.0 */
/* view_internal.h - what the files behind view.h share */
#ifndef MF_PACKET_VIEW_INTERNAL_H
#define MF_PACKET_VIEW_INTERNAL_H

#include "core/packet/view.h"

/** mf_view_fail() - Keep and count why a packet was not read on; Return: @code */
int mf_view_fail(struct mf_view *v, int code, enum mf_view_reason reason) __attribute__((cold));

/** mf_view_parse_transport() - Read the transport layer of a view whose network layer was read */
int mf_view_parse_transport(struct mf_view *v);

#endif
