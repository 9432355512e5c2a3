/* SPDX-License-Identifier: Apache-2.0 */
/* publish.h - the next index of a channel, from a directory of signed archives */
#ifndef MF_PACKS_PUBLISH_H
#define MF_PACKS_PUBLISH_H

#include "packs/channel.h"

#define MF_PUBLISH_ARCHIVES_MAX 1024 /* in the directory */

struct mf_publish_options {
	const char *channel;
	uint64_t expires_s;
	uint32_t
		percent; /* what is new is a canary for so many sessions of a hundred; 0: it is for all */
	bool withdraw; /* no canary any more; what is for all stays as it is */
	const struct mf_public_key
		*key; /* that signed the index before; NULL: it is believed as it lies there */
};

/**
 * mf_publish() - What CHANNEL.mfchannel in @dir becomes: of each pack the newest archive NAME-VERSION.mfpack of this channel
 * An index that is there gives its number, and with @percent or @withdraw what is for all. Each archive has its signature beside it.
 * Return: 0; MF_E_NOENT: no archive, no signature, or no index where one is needed; MF_E_PERM: an index that another key signed;
 *         MF_E_BAD: an archive, or its name; MF_E_LIMIT, MF_E_IO, MF_E_NOMEM
 */
int mf_publish(const char *dir, const struct mf_publish_options *options, struct mf_channel *ret,
	       struct mf_err *err);

#endif
