/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_keys.h - signatures of single policies as agentsh has them: POLICY.yaml.sig, and a directory of public keys
 *
 * A trust store is a directory of *.json (signature.h says what a key is). Files that are JSON but no keys are left alone; a malformed
 * key, one whose id is not that of its bytes, or an id that is there twice is an error of the whole store.
 */
#ifndef MF_PACKS_POLICY_KEYS_H
#define MF_PACKS_POLICY_KEYS_H

#include "packs/signature.h"

#define MF_POLICY_KEYS_MAX 256

struct mf_policy_keys {
	struct mf_public_key keys[MF_POLICY_KEYS_MAX];
	size_t cnt;
};

enum mf_policy_signed {
	MF_POLICY_SIGNED,
	MF_POLICY_MISSING_SIGNATURE,
	MF_POLICY_UNKNOWN_KEY,
	MF_POLICY_EXPIRED_KEY,
	MF_POLICY_INVALID_SIGNATURE,
	MF_POLICY_CERT_CHAIN,
	MF_POLICY_SIGNED_NUM
};

/** mf_policy_signed_word() - agentsh's words: "signed", "missing_signature", "unknown_key", "expired_key", "invalid_signature", "unsupported_cert_chain" */
const char *mf_policy_signed_word(enum mf_policy_signed what);

/** mf_policy_keys_read() - Return: 0; MF_E_NOENT, MF_E_IO, MF_E_BAD, MF_E_EXIST (an id twice), MF_E_LIMIT, MF_E_NOMEM with the file in @err */
int mf_policy_keys_read(const char *dir, struct mf_policy_keys *ret, struct mf_err *err);

/**
 * mf_policy_signature_check() - Whether one of these keys signed a policy's bytes
 * @sig: what the signature's file holds; NULL: there is none
 * @ret_key: of MF_POLICY_SIGNED and MF_POLICY_EXPIRED_KEY; may be NULL
 * Return: what it is; all but MF_POLICY_SIGNED fill @err
 */
enum mf_policy_signed mf_policy_signature_check(const struct mf_policy_keys *keys, const char *sig,
						size_t sig_len, const void *text, size_t len,
						uint64_t now_s,
						const struct mf_public_key **ret_key,
						struct mf_err *err);

#endif
