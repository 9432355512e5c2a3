/* SPDX-License-Identifier: Apache-2.0 */
/* crc32c.h - the checksum of SCTP packets (RFC 9260 appendix A), by the processor's own instruction where it has one */
#ifndef MF_PROXIES_RTC_CRC32C_H
#define MF_PROXIES_RTC_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/** mf_crc32c() - As it stands in a packet's checksum field when it is stored with the low byte first */
uint32_t mf_crc32c(const void *data, size_t len);

#endif
