/* SPDX-License-Identifier: Apache-2.0 */
/* frame_split.c - where a frame of a stream begins and ends; see frame_socket.h */
#include "core/base/bytes.h"
#include "nic/frame_socket.h"

int mf_frame_split(const uint8_t *ptr, size_t len, size_t *ret_frame)
{
	uint32_t want;

	if (len < 4)
		return MF_E_AGAIN;
	want = mf_load_be32(ptr);
	if (want > MF_FRAME_MAX)
		return MF_E_SYNTAX;
	*ret_frame = 4;
	return len - 4 < want ? MF_E_AGAIN : (int)want;
}
