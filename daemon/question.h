/* SPDX-License-Identifier: Apache-2.0 */
/*
 * question.h - a request as the API takes it: a JSON object whose members are the fields' names
 *
 *	{"host": "api.example", "port": 443, "ip": "203.0.113.7", "process.name": "curl", "session.labels": {"team": "red"}}
 *
 * Members, defaults and canonical forms are those of `moonfence policy explain`: dns is of type A, class IN and by UDP unless
 * said otherwise, connect and sni are TCP, sni is for port 443 and on a connection to that name. null leaves a field unknown
 * that would have a default.
 */
#ifndef MF_DAEMON_QUESTION_H
#define MF_DAEMON_QUESTION_H

#include <jansson.h>

#include "core/policy/request.h"
#include "daemon/schema.h"

/**
 * mf_question_fill() - Make @req the request that @json describes
 * @req: reset first. Return: 0; MF_E_BAD with what and where in @ret, behind what ret->pointer says; MF_E_NOMEM
 */
int mf_question_fill(struct mf_request *req, enum mf_kind kind, const json_t *json,
		     struct mf_schema_wrong *ret);

/** mf_question_json() - The other way: the fields that @req has; a new reference, NULL without memory */
json_t *mf_question_json(const struct mf_request *req);

/** mf_question_schema() - JSON Schema of such an object, of any kind, from the table of fields; free() it */
char *mf_question_schema(void);

#endif
