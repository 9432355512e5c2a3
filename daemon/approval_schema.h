/* SPDX-License-Identifier: Apache-2.0 */
/* approval_schema.h - a question that waits, as JSON Schema: a session says it (approval_routes.h), a daemon passes it on */
#ifndef MF_DAEMON_APPROVAL_SCHEMA_H
#define MF_DAEMON_APPROVAL_SCHEMA_H

#define MF_APPROVAL_TEXT "{\"type\": [\"string\", \"null\"]}"

// clang-format off
#define MF_APPROVAL_SCHEMA \
	"{\"type\": \"object\", \"required\": [\"id\", \"session\", \"kind\", \"what\"], \"additionalProperties\": false, \"properties\": {" \
	"\"id\": {\"type\": \"integer\", \"description\": \"its number in its session\"}, \"session\": {\"type\": \"string\"}, " \
	"\"session_pid\": {\"type\": \"integer\", \"description\": \"a daemon says it: names may come twice\"}, \"kind\": {\"type\": \"string\"}, " \
	"\"what\": {\"type\": \"string\", \"description\": \"in words, as whoever asks has chosen its names: escape it for a terminal\"}, " \
	"\"fields\": {\"type\": \"object\", \"additionalProperties\": {\"type\": \"string\"}}, " \
	"\"policy\": " MF_APPROVAL_TEXT ", \"rule\": " MF_APPROVAL_TEXT ", \"reason\": " MF_APPROVAL_TEXT ", \"message\": " MF_APPROVAL_TEXT ", " \
	"\"file\": " MF_APPROVAL_TEXT ", \"line\": {\"type\": \"integer\"}, \"generation\": {\"type\": \"integer\"}, " \
	"\"pid\": {\"type\": \"integer\", \"description\": \"of the first who asked; 0: not known\"}, " \
	"\"asked_ms\": {\"type\": \"integer\", \"description\": \"since 1970\"}, \"left_ms\": {\"type\": \"integer\"}, " \
	"\"requests\": {\"type\": \"integer\", \"description\": \"that wait for this answer\"}, " \
	"\"remember\": {\"type\": \"boolean\", \"description\": \"false: scope can be once only\"}}}"
// clang-format on

#endif
