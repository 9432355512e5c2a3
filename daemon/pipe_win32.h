/* SPDX-License-Identifier: Apache-2.0 */
/* pipe_win32.h - what clients of the control pipe open it for: to read and write, not to make instances of their own */
#ifndef MF_DAEMON_PIPE_WIN32_H
#define MF_DAEMON_PIPE_WIN32_H

#include <windows.h>

/* GENERIC_WRITE would be FILE_APPEND_DATA as well, which for a pipe is FILE_CREATE_PIPE_INSTANCE. */
#define MF_PIPE_CLIENT_ACCESS \
	(FILE_GENERIC_READ | FILE_WRITE_DATA | FILE_WRITE_ATTRIBUTES | SYNCHRONIZE)

#endif
