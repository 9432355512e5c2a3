/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schema.h - JSON checked against a schema: the part of JSON Schema (2020-12) that the API's table uses
 *
 * Known: $ref (to "#/components/schemas/NAME"), type (one word or a list), enum, const, properties, required,
 * additionalProperties (false, or a schema), items, minItems, maxItems, minimum, maximum, minLength, maxLength, oneOf (the
 * first that fits), and, without meaning for the check, description, format, default, examples, title, readOnly. Any other keyword is
 * an error when the schema is read, so that nothing is promised that is not checked.
 */
#ifndef MF_DAEMON_SCHEMA_H
#define MF_DAEMON_SCHEMA_H

#include <jansson.h>

#include "core/base/err.h"

#define MF_SCHEMA_DEPTH_MAX 32

/* What is wrong, and where: a JSON pointer (RFC 6901), "" for the whole value. */
struct mf_schema_wrong {
	char code[32]; /* "unknown_member", "missing_member", "wrong_type", "wrong_value" */
	char pointer[256];
	char text[400];
};

/** mf_schema_known() - Whether every keyword of @schema is known here; Return: 0, MF_E_SYNTAX */
int mf_schema_known(const json_t *schema, struct mf_err *err);

/**
 * mf_schema_check() - Whether @value is as @schema says
 * @schemas: an object of all schemas by name. Return: 0; MF_E_BAD with @ret; a depth over the limit is MF_E_BAD as well
 */
int mf_schema_check(const json_t *schemas, const json_t *schema, const json_t *value,
		    struct mf_schema_wrong *ret);

#endif
