/* SPDX-License-Identifier: Apache-2.0 */
/* gateway_environment_int.h - what the parts of gateway_environment*.c share: a row for each variable, and how values are given */
#ifndef MF_CLI_GATEWAY_ENVIRONMENT_INT_H
#define MF_CLI_GATEWAY_ENVIRONMENT_INT_H

#include <stdbool.h>
#include <stddef.h>

struct mf_gateway_command;

enum mf_env_kind {
	ENV_TEXT,    /* the option's value */
	ENV_PORTS,   /* the same; empty means none */
	ENV_LIST,    /* several, with commas */
	ENV_LIMIT,   /* a number; 0 is no limit */
	ENV_NUMBER,  /* ... 0 is what it is */
	ENV_MS,	     /* milliseconds, for an option of seconds */
	ENV_GO_TIME, /* "60s", "250ms", the same */
	ENV_FLAG,    /* 1, true, yes, on; 0, false, no, off */
	ENV_PROXIES, /* a flag, for networks that are near; or networks */
	ENV_UPSTREAMS,
	ENV_FIELD,	/* a number of struct mf_gateway_command; 0: the default */
	ENV_TIME_FIELD, /* "60s", "250ms", for one in milliseconds */
	ENV_STRING,	/* a text of the same */
	ENV_LOOKED_AT,	/* by gateway_environment_several.c */
	ENV_IGNORED,
	ENV_REFUSED, /* it would close what cannot be closed that way */
};

struct mf_env_row {
	const char *names; /* the first that is set counts */
	enum mf_env_kind kind;
	const char *option, *prefix; /* of its value */
	size_t offset; /* ENV_FIELD, ENV_TIME_FIELD, ENV_STRING: in struct mf_gateway_command */
};

/* gateway_environment_rows.c; the table of docs/gateway.md has the same */
extern const struct mf_env_row mf_env_rows[];
extern const size_t mf_env_row_cnt;

/** mf_env_get() - A variable that this gateway looks at (--env); NULL: it does not, it is not set, or empty */
const char *mf_env_get(const struct mf_gateway_command *g, const char *name);
/** mf_env_give() - A value for @r's option, with its prefix, said by @name. Return: 0; an exit status, and what was wrong has been said */
int mf_env_give(struct mf_gateway_command *g, const char *name, const struct mf_env_row *r,
		const char *text, size_t len);
/** mf_env_give_list() - Each of a list with commas. Return: as mf_env_give() */
int mf_env_give_list(struct mf_gateway_command *g, const char *name, const struct mf_env_row *r,
		     const char *value);
/** mf_env_keep() - A copy that lives as long as @g; NULL: no memory, or too many */
const char *mf_env_keep(struct mf_gateway_command *g, const char *prefix, const char *text,
			size_t len);
/** mf_env_flag() - Return: 1, 0; -1: neither */
int mf_env_flag(const char *text);
/** mf_env_wrong() - Says that @name wants @wants. Return: an exit status */
int mf_env_wrong(const char *name, const char *wants, const char *value);

/** mf_env_apply_several() - What is said by several variables together. Return: 0; an exit status, and what was wrong has been said */
int mf_env_apply_several(struct mf_gateway_command *g);

#endif
