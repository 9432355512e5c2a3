/* SPDX-License-Identifier: Apache-2.0 */
/*
 * minifilter_double.h - stands in for the minifilter driver: takes only messages of the documented sizes and fields
 *
 * What is right is written down here a second time, as numbers at offsets, not taken from the codec under test.
 */
#ifndef MF_TESTS_MINIFILTER_DOUBLE_H
#define MF_TESTS_MINIFILTER_DOUBLE_H

#include <pthread.h>

#include "capture/minifilter_client.h"

#define DOUBLE_QUEUE_MAX 64

struct minifilter_double {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct {
		uint8_t bytes[MF_MINIFILTER_RECEIVE_MAX];
		size_t len;
	} queue[DOUBLE_QUEUE_MAX];
	unsigned first, cnt;
	bool present; /* whether there is a driver to connect to */
	bool connected;
	unsigned generation; /* of the connection */
	/* what it was told */
	unsigned refused; /* messages of a wrong size, type or content */
	unsigned connects, excluded, configured, registered, unregistered, pongs, metrics_asked;
	uint32_t client_pid, excluded_pid, root_pid, fail_mode, pong_version;
	uint64_t token;
	char workspace[64]; /* ASCII part of it */
	/* the last reply */
	unsigned replies;
	uint64_t reply_message, reply_request;
	int32_t reply_status;
	uint32_t reply_len, decision, ttl, reply_type;
};

void double_init(struct minifilter_double *d);
void double_done(struct minifilter_double *d);

/* As the driver sees them. Return: 0 or bytes; MF_E_* */
int double_connect(struct minifilter_double *d, const uint8_t *context, size_t len);
int double_send(struct minifilter_double *d, const uint8_t *msg, size_t len, uint8_t *answer,
		size_t room);
int double_reply(struct minifilter_double *d, const uint8_t *reply, size_t len);
int double_receive(struct minifilter_double *d, uint8_t *buf, size_t room); /* waits */
void double_disconnect(struct minifilter_double *d);

/* A transport that calls the above */
struct mf_minifilter_transport double_transport(struct minifilter_double *d);

/* The driver says something: @body behind the message's own header; @reply_len as in the filter manager's header. */
void double_say(struct minifilter_double *d, uint32_t type, uint32_t size, uint64_t request,
		uint32_t reply_len, uint64_t message, const uint8_t *body, size_t body_len);

/* Wait until *@counter is at least @n; fails the test after a minute. */
void double_wait(struct minifilter_double *d, const unsigned *counter, unsigned n);

#endif
