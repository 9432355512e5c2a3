/* SPDX-License-Identifier: Apache-2.0 */
/* ed25519.h - Ed25519 and BLAKE2b-512, as OpenSSL has them */
#ifndef MF_PACKS_ED25519_H
#define MF_PACKS_ED25519_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"

/** mf_ed25519_verify() - Return: 0; MF_E_PERM: not signed by @key; MF_E_NOMEM */
int mf_ed25519_verify(const uint8_t key[32], const uint8_t sig[64], const void *data, size_t len);
/** mf_ed25519_sign() - Return: 0, MF_E_NOMEM */
int mf_ed25519_sign(const uint8_t seed[32], const void *data, size_t len, uint8_t ret[64]);
/** mf_ed25519_public() - The public key of a seed; Return: 0, MF_E_NOMEM */
int mf_ed25519_public(const uint8_t seed[32], uint8_t ret[32]);
/** mf_blake2b_512() - Return: 0, MF_E_NOMEM */
int mf_blake2b_512(const void *data, size_t len, uint8_t ret[64]);

#endif
