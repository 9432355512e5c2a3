/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minifilter_msg.h - the messages between a Windows minifilter driver (agentsh-minifilter) and its client, as bytes
 *
 * Little-endian, naturally aligned. Each message begins with a header of its own: type u32, size u32, request id u64. The
 * filter manager puts 16 bytes more in front of what the driver sends (reply length, message id) and of what is answered
 * (status, message id), and nothing in front of what the client sends by itself.
 *
 * Sizes are exact: a message that is not as long as its kind is refused, never read in part. Names come as UTF-16 in
 * fields of fixed size; one that fills its field was cut by the driver, and one with half a surrogate pair has no UTF-8:
 * both are marked, and mf_minifilter_must_deny() then says so whatever a policy thinks.
 *
 * No allocation, no state, any host, any alignment. Cost: the bytes of a message once.
 */
#ifndef MF_CAPTURE_MINIFILTER_MSG_H
#define MF_CAPTURE_MINIFILTER_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/err.h"
#include "core/base/utf16.h"

#define MF_MINIFILTER_PORT "\\AgentshPort"

/* Major in the upper half: another major is another protocol. */
#define MF_MINIFILTER_VERSION	     UINT32_C(0x00010000)

#define MF_MINIFILTER_FM_HEADER	     16 /* filter manager's bytes, either way */
#define MF_MINIFILTER_CONNECT_SIZE   8
#define MF_MINIFILTER_VERDICT_SIZE   24
#define MF_MINIFILTER_PATH_UNITS     520
#define MF_MINIFILTER_VALUE_UNITS    256
#define MF_MINIFILTER_SIZE_MAX	     2128 /* of a message without the filter manager's header */
#define MF_MINIFILTER_RECEIVE_MAX    (MF_MINIFILTER_FM_HEADER + MF_MINIFILTER_SIZE_MAX)
#define MF_MINIFILTER_REPLY_MAX	     (MF_MINIFILTER_FM_HEADER + 32)
#define MF_MINIFILTER_PATH_TEXT_MAX  (MF_MINIFILTER_PATH_UNITS * MF_UTF8_PER_UNIT + 1)
#define MF_MINIFILTER_VALUE_TEXT_MAX (MF_MINIFILTER_VALUE_UNITS * MF_UTF8_PER_UNIT + 1)

/* Statuses of replies: STATUS_SUCCESS, STATUS_NOT_SUPPORTED, STATUS_INVALID_PARAMETER */
#define MF_MINIFILTER_STATUS_OK		 INT32_C(0)
#define MF_MINIFILTER_STATUS_UNSUPPORTED ((int32_t)0xC00000BB)
#define MF_MINIFILTER_STATUS_INVALID	 ((int32_t)0xC000000D)

enum mf_minifilter_type {
	/* from the driver */
	MF_MINIFILTER_PING,
	MF_MINIFILTER_FILE_CHECK,
	MF_MINIFILTER_REGISTRY_CHECK,
	MF_MINIFILTER_PROCESS_CREATED, /* known to the protocol, never sent by driver version 1.0 */
	MF_MINIFILTER_PROCESS_ENDED,   /* likewise */
	MF_MINIFILTER_METRICS,
	/* from the client */
	MF_MINIFILTER_PONG,
	MF_MINIFILTER_REGISTER_SESSION,
	MF_MINIFILTER_UNREGISTER_SESSION,
	MF_MINIFILTER_SET_CONFIG,
	MF_MINIFILTER_GET_METRICS,
	MF_MINIFILTER_EXCLUDE_PROCESS,
	MF_MINIFILTER_TYPE_NUM
};

enum mf_minifilter_file_op {
	MF_MINIFILTER_FILE_CREATE = 1,
	MF_MINIFILTER_FILE_READ,
	MF_MINIFILTER_FILE_WRITE,
	MF_MINIFILTER_FILE_DELETE,
	MF_MINIFILTER_FILE_RENAME,
	MF_MINIFILTER_FILE_OP_NUM
};

enum mf_minifilter_registry_op {
	MF_MINIFILTER_KEY_CREATE = 1,
	MF_MINIFILTER_VALUE_SET,
	MF_MINIFILTER_KEY_DELETE,
	MF_MINIFILTER_VALUE_DELETE,
	MF_MINIFILTER_KEY_RENAME,
	MF_MINIFILTER_VALUE_QUERY,
	MF_MINIFILTER_REGISTRY_OP_NUM
};

enum mf_minifilter_decision {
	MF_MINIFILTER_ALLOW,
	MF_MINIFILTER_DENY,
	MF_MINIFILTER_PENDING,
	MF_MINIFILTER_DECISION_NUM
};

enum mf_minifilter_text_state {
	MF_MINIFILTER_TEXT_OK,
	MF_MINIFILTER_TEXT_CUT, /* no NUL in the whole field: the name is longer; text is empty */
	MF_MINIFILTER_TEXT_BAD, /* half a surrogate pair; text is empty */
	MF_MINIFILTER_TEXT_NUM
};

struct mf_minifilter_path {
	enum mf_minifilter_text_state state;
	size_t len; /* bytes of UTF-8 without the NUL */
	char text[MF_MINIFILTER_PATH_TEXT_MAX];
};

struct mf_minifilter_value {
	enum mf_minifilter_text_state state;
	size_t len;
	char text[MF_MINIFILTER_VALUE_TEXT_MAX];
};

struct mf_minifilter_file {
	uint64_t token; /* of the session */
	uint32_t pid, tid;
	uint32_t op; /* enum mf_minifilter_file_op, or a number that it does not know */
	uint32_t disposition, access;
	struct mf_minifilter_path path, rename_to;
};

struct mf_minifilter_registry {
	uint64_t token;
	uint32_t pid, tid;
	uint32_t op; /* enum mf_minifilter_registry_op, or a number that it does not know */
	uint32_t value_type, data_len;
	struct mf_minifilter_path key;
	struct mf_minifilter_value value;
};

struct mf_minifilter_process {
	uint64_t token;
	uint32_t pid, parent;
	uint64_t create_time; /* 100 ns since 1601-01-01T00:00:00Z */
};

struct mf_minifilter_config {
	uint32_t fail_closed;  /* 0, 1 */
	uint32_t timeout_ms;   /* 100 to 60,000; 5,000 */
	uint32_t failures_max; /* 1 to 1,000; 10 */
	uint32_t cache_max;    /* 100 to 100,000; 4,096; ignored by driver version 1.0 */
	uint32_t cache_ttl_ms; /* 100 to 3,600,000; 5,000 */
};

struct mf_minifilter_metrics {
	uint32_t cache_hits, cache_misses, cache_entries, cache_evictions;
	uint32_t file_queries, registry_queries;
	uint32_t timeouts, failures;
	uint32_t allowed, denied;
	uint32_t sessions, processes;
	bool failing_open;
	uint32_t failures_in_row;
};

struct mf_minifilter_msg {
	enum mf_minifilter_type type;
	uint64_t request_id;
	/* of the filter manager's header; 0 for messages that have none */
	uint32_t
		reply_len; /* bytes that the driver waits for, with the header of replies; 0: no answer */
	uint64_t message_id;
	union {
		struct {
			uint32_t version;
			uint64_t time;
		} ping; /* and pong */
		struct mf_minifilter_file file;
		struct mf_minifilter_registry registry;
		struct mf_minifilter_process process;
		struct {
			uint64_t token;
			uint32_t root_pid; /* 0 when a session is unregistered */
			struct mf_minifilter_path workspace;
		} session; /* register, unregister */
		struct mf_minifilter_config config;
		struct mf_minifilter_metrics metrics;
		uint32_t exclude_pid;
	};
};

/** mf_minifilter_size() - Bytes of a message of that kind, without the filter manager's header */
size_t mf_minifilter_size(enum mf_minifilter_type type);
const char *mf_minifilter_type_name(enum mf_minifilter_type type);

/**
 * mf_minifilter_decode() - A message without the filter manager's header
 * @len: must be the size of its kind
 * Return: 0; MF_E_BAD (too short, a size that is not its kind's, a number out of range); MF_E_NOT_MINE (unknown type; the
 * header's fields but the type are filled)
 */
int mf_minifilter_decode(const uint8_t *buf, size_t len, struct mf_minifilter_msg *ret);

/**
 * mf_minifilter_decode_received() - The same behind the filter manager's 16 bytes, as the driver's messages come
 * @len: bytes that were received; up to 7 more than the message has are alignment
 * Return: as mf_minifilter_decode(); message_id and reply_len are filled whenever @len is at least 16, so that an answer
 * is possible, else 0
 */
int mf_minifilter_decode_received(const uint8_t *buf, size_t len, struct mf_minifilter_msg *ret);

/**
 * mf_minifilter_encode() - A message without the filter manager's header; padding is zero
 * Texts are read up to their len.
 * Return: bytes, which is mf_minifilter_size(); MF_E_LIMIT (@room; a text that does not fit its field with a NUL);
 * MF_E_SYNTAX (a text that is no UTF-8 or has a NUL); MF_E_INVAL (a kind that is none)
 */
int mf_minifilter_encode(const struct mf_minifilter_msg *msg, uint8_t *buf, size_t room);

/** mf_minifilter_encode_connect() - The context of a connection; Return: MF_MINIFILTER_CONNECT_SIZE, MF_E_LIMIT */
int mf_minifilter_encode_connect(uint32_t version, uint32_t pid, uint8_t *buf, size_t room);
/** mf_minifilter_decode_connect() - Return: 0, MF_E_BAD for another size */
int mf_minifilter_decode_connect(const uint8_t *buf, size_t len, uint32_t *ret_version,
				 uint32_t *ret_pid);

/**
 * mf_minifilter_encode_verdict() - The reply to a file or registry check, with the filter manager's header
 * Return: bytes; MF_E_INVAL (@to is no check, or no answer is awaited), MF_E_LIMIT
 */
int mf_minifilter_encode_verdict(const struct mf_minifilter_msg *to,
				 enum mf_minifilter_decision decision, uint32_t cache_ttl_ms,
				 uint8_t *buf, size_t room);
/**
 * mf_minifilter_decode_verdict() - What mf_minifilter_encode_verdict() wrote
 * Return: 0, MF_E_BAD
 */
int mf_minifilter_decode_verdict(const uint8_t *buf, size_t len, uint64_t *ret_message_id,
				 uint64_t *ret_request_id,
				 enum mf_minifilter_decision *ret_decision,
				 uint32_t *ret_cache_ttl_ms);

/** mf_minifilter_encode_reply() - Header of replies, and a message behind it (NULL: status alone); Return: as encode() */
int mf_minifilter_encode_reply(uint64_t message_id, int32_t status,
			       const struct mf_minifilter_msg *msg, uint8_t *buf, size_t room);

/** mf_minifilter_must_deny() - A check that cannot be judged: a name that was cut or is no text, an unknown operation */
bool mf_minifilter_must_deny(const struct mf_minifilter_msg *check);

/**
 * mf_minifilter_agree() - Version negotiation: what both speak
 * Return: 0 with the lower one of the same major; MF_E_UNSUPPORTED, with a text that names both
 */
int mf_minifilter_agree(uint32_t theirs, uint32_t *ret, struct mf_err *err);

/** mf_minifilter_check_config() - Ranges of all settings; Return: 0, MF_E_INVAL naming one */
int mf_minifilter_check_config(const struct mf_minifilter_config *config, struct mf_err *err);

#endif
