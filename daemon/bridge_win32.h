/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bridge_win32.h - a connection of a named pipe as a connected socket, so that an event loop can have it
 *
 * Two threads carry the bytes. The socket's other end is the caller's: when it is closed the pipe is closed, and when the
 * pipe's other end goes, the socket ends.
 */
#ifndef MF_DAEMON_BRIDGE_WIN32_H
#define MF_DAEMON_BRIDGE_WIN32_H

#include <winsock2.h>

#include <windows.h>

/** mf_bridge_pair() - Two connected sockets of this process; Return: 0, MF_E_IO */
int mf_bridge_pair(SOCKET ends[2]);

/**
 * mf_bridge_start() - Carry between @pipe, which was opened for overlapped use and is connected, and a new socket
 * @pipe: owned from now on, also when it fails
 * @left: called in a thread when both ways have ended and all is closed; may be NULL
 * Return: the socket, non-blocking; INVALID_SOCKET
 */
SOCKET mf_bridge_start(HANDLE pipe, void (*left)(void *ctx), void *ctx);

#endif
