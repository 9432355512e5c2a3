/* SPDX-License-Identifier: Apache-2.0 */
/* sink.h - writing lines to files and descriptors: the part of events.c that an operating system must provide */
#ifndef MF_OBSERVE_SINK_H
#define MF_OBSERVE_SINK_H

#include "core/base/err.h"

/** mf_sink_open() - Open @path for appending, made with mode 0600 where missing; Return: fd, MF_E_IO, MF_E_NOMEM */
int mf_sink_open(const char *path, struct mf_err *err);
void mf_sink_close(int fd);

/** mf_sink_is_file() - Whether @fd is a regular file: a write does not wait for a reader */
bool mf_sink_is_file(int fd);

/** mf_sink_enter_thread() - Called first in a sink's thread: no signal of the process is delivered to it, SIGPIPE neither */
void mf_sink_enter_thread(void);

/**
 * mf_sink_write() - Write @len bytes, waiting for a slow reader
 * @is_file: as mf_sink_is_file() said
 * @give_up: asked about ten times a second while nothing can be written
 * @ret_written: bytes written, also on failure
 * Return: 0, MF_E_IO (errno is set), MF_E_TIME when @give_up said so
 */
int mf_sink_write(int fd, bool is_file, const char *text, size_t len, bool (*give_up)(void *ctx),
		  void *ctx, size_t *ret_written);

#endif
