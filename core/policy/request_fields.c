/* SPDX-License-Identifier: Apache-2.0 */
/* request_fields.c - the fields of requests, by number and by name; see request.h */
#include "core/policy/request.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"

#define ALL	(1 << MF_DNS | 1 << MF_CONNECT | 1 << MF_SNI | 1 << MF_FILE | 1 << MF_DNS_ANSWER)
#define DNS	(1 << MF_DNS | 1 << MF_DNS_ANSWER)
#define ANSWER	(1 << MF_DNS_ANSWER)
#define CONNECT (1 << MF_CONNECT | 1 << MF_SNI)
#define SNI	(1 << MF_SNI)
#define FILEOP	(1 << MF_FILE)

/* clang-format off */
const struct mf_field_info mf_field_table[MF_F_NUM] = {
	[MF_F_SOURCE]         = { "source",         MF_T_STR,  ALL,     MF_CANON_NONE,  12, 0 },
	[MF_F_SESSION_ID]     = { "session.id",     MF_T_STR,  ALL,     MF_CANON_NONE,  13, 0 },
	[MF_F_PROCESS_PID]    = { "process.pid",    MF_T_INT,  ALL,     MF_CANON_NONE,  14, INT32_MAX },
	[MF_F_PROCESS_PARENT] = { "process.parent", MF_T_INT,  ALL,     MF_CANON_NONE,  15, INT32_MAX },
	[MF_F_PROCESS_NAME]   = { "process.name",   MF_T_STR,  ALL,     MF_CANON_NONE,  16, 0 },
	[MF_F_PROCESS_EXE]    = { "process.exe",    MF_T_STR,  ALL,     MF_CANON_NONE,  17, 0 },
	[MF_F_PROCESS_ARGS]   = { "process.args",   MF_T_LIST, ALL,     MF_CANON_NONE,  18, 0 },
	[MF_F_PROCESS_USER]   = { "process.user",   MF_T_STR,  ALL,     MF_CANON_NONE,  19, 0 },
	[MF_F_NAME]           = { "name",           MF_T_STR,  DNS,     MF_CANON_NAME,   0, 0 },
	[MF_F_TYPE]           = { "type",           MF_T_STR,  DNS,     MF_CANON_UPPER,  1, 0 },
	[MF_F_CLASS]          = { "class",          MF_T_STR,  DNS,     MF_CANON_UPPER,  2, 0 },
	[MF_F_TRANSPORT]      = { "transport",      MF_T_STR,  DNS,     MF_CANON_LOWER,  3, 0 },
	[MF_F_CLIENT]         = { "client",         MF_T_ADDR, DNS,     MF_CANON_NONE,   4, 0 },
	[MF_F_IP]             = { "ip",             MF_T_ADDR, CONNECT, MF_CANON_NONE,   0, 0 },
	[MF_F_PORT]           = { "port",           MF_T_INT,  CONNECT, MF_CANON_NONE,   1, 65535 },
	[MF_F_PROTO]          = { "proto",          MF_T_STR,  CONNECT, MF_CANON_LOWER,  2, 0 },
	[MF_F_FAMILY]         = { "family",         MF_T_INT,  CONNECT, MF_CANON_NONE,   3, 6 },
	[MF_F_HOST]           = { "host",           MF_T_STR,  CONNECT, MF_CANON_NAME,   4, 0 },
	[MF_F_HOSTS]          = { "hosts",          MF_T_LIST, CONNECT, MF_CANON_NAME,   5, 0 },
	[MF_F_SNI]            = { "sni",            MF_T_STR,  SNI,     MF_CANON_NAME,   6, 0 },
	[MF_F_ALPN]           = { "alpn",           MF_T_LIST, SNI,     MF_CANON_NONE,   7, 0 },
	[MF_F_ECH]            = { "ech",            MF_T_BOOL, SNI,     MF_CANON_NONE,   8, 1 },
	[MF_F_VERSIONS]       = { "versions",       MF_T_LIST, SNI,     MF_CANON_NONE,   9, 0 },
	[MF_F_JA4]            = { "ja4",            MF_T_STR,  SNI,     MF_CANON_NONE,  10, 0 },
	[MF_F_QUIC]           = { "quic",           MF_T_BOOL, SNI,     MF_CANON_NONE,  11, 1 },
	[MF_F_OP]             = { "op",             MF_T_STR,  FILEOP,  MF_CANON_LOWER,  0, 0 },
	[MF_F_PATH]           = { "path",           MF_T_STR,  FILEOP,  MF_CANON_PATH,   1, 0 },
	[MF_F_TARGET]         = { "target",         MF_T_STR,  FILEOP,  MF_CANON_LPATH,  2, 0 },
	[MF_F_FLAGS]          = { "flags",          MF_T_LIST, FILEOP,  MF_CANON_NONE,   3, 0 },
	[MF_F_UID]            = { "uid",            MF_T_INT,  FILEOP,  MF_CANON_NONE,   4, UINT32_MAX },
	[MF_F_GID]            = { "gid",            MF_T_INT,  FILEOP,  MF_CANON_NONE,   5, UINT32_MAX },
	[MF_F_SIZE]           = { "size",           MF_T_INT,  FILEOP,  MF_CANON_NONE,   6, INT64_MAX },
	[MF_F_DOMAIN]         = { "domain",         MF_T_STR,  DNS,     MF_CANON_NAME,   5, 0 },
	[MF_F_ENTROPY]        = { "entropy",        MF_T_INT,  DNS,     MF_CANON_NONE,   6, 800 },
	[MF_F_ANSWER_RCODE]   = { "answer.rcode",   MF_T_STR,  ANSWER,  MF_CANON_UPPER,  7, 0 },
	[MF_F_ANSWER_IPS]     = { "answer.ips",     MF_T_LIST, ANSWER,  MF_CANON_NONE,   8, 0 },
	[MF_F_ANSWER_ALIASES] = { "answer.aliases", MF_T_LIST, ANSWER,  MF_CANON_NAME,   9, 0 },
	[MF_F_ANSWER_PRIVATE] = { "answer.private", MF_T_BOOL, ANSWER,  MF_CANON_NONE,  10, 1 },
};
/* clang-format on */
static_assert(MF_F_ANSWER_PRIVATE == MF_F_NUM - 1, "the table ends with the last field");

static const char *const kind_names[] = {
	[MF_DNS] = "dns",   [MF_CONNECT] = "connect",	    [MF_SNI] = "sni",
	[MF_FILE] = "file", [MF_DNS_ANSWER] = "dns_answer",
};
static_assert(MF_ARRAY_SIZE(kind_names) == MF_KIND_NUM, "a name for every kind");

const char *mf_kind_name(enum mf_kind kind)
{
	return (unsigned)kind < MF_KIND_NUM ? kind_names[kind] : "?";
}

const char *mf_field_name(enum mf_field field)
{
	return (unsigned)field < MF_F_NUM ? mf_field_table[field].name : "?";
}

enum mf_field mf_field_find(enum mf_kind kind, const char *name)
{
	int f;

	for (f = 0; f < MF_F_NUM; f++)
		if (mf_field_table[f].kinds >> kind & 1 && !strcmp(mf_field_table[f].name, name))
			return (enum mf_field)f;
	return MF_F_NUM;
}

/* Optimal string alignment distance: a swap of two neighbours counts as one. */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned d[3][34];
	size_t i, j;
	unsigned best;

	for (j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (i = 1; i <= n; i++) {
		unsigned *row = d[i % 3], *up = d[(i - 1) % 3], *up2 = d[(i + 1) % 3];

		row[0] = (unsigned)i;
		for (j = 1; j <= m; j++) {
			best = up[j - 1] + (a[i - 1] != b[j - 1]);
			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    up2[j - 2] + 1 < best)
				best = up2[j - 2] + 1;
			row[j] = best;
		}
	}
	return d[n % 3][m];
}

const char *mf_word_nearest(const char *name, const char *const *words)
{
	const char *best = NULL;
	unsigned dist, best_dist;
	size_t n = strlen(name), m;

	if (n == 0 || n > 32)
		return NULL;
	best_dist = n < 3 ? 1 : n < 6 ? 2 : 3;
	for (; *words; words++) {
		m = strlen(*words);
		if (m > 32)
			continue;
		dist = edit_distance(name, n, *words, m);
		if (dist <= best_dist && dist < m && (!best || dist < best_dist)) {
			best = *words;
			best_dist = dist;
		}
	}
	return best;
}
