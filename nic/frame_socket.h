/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame_socket.h - frames over sockets, as VM monitors speak them
 *
 * Stream (QEMU's -netdev stream and socket, passt, libkrun, gvproxy): 32 bits of length in network order before each frame;
 * frames come several at a time and in pieces. Datagram (QEMU's -netdev dgram, vfkit, krunkit, macOS' Virtualization
 * framework): each datagram is one frame.
 */
#ifndef MF_NIC_FRAME_SOCKET_H
#define MF_NIC_FRAME_SOCKET_H

#include "core/base/err.h"
#include "nic/frame_source.h"

/**
 * mf_frame_stream_new() - A connected stream
 * @fd: non-blocking, owned from now on, also on failure. Return: 0, MF_E_NOMEM
 */
int mf_frame_stream_new(int fd, struct mf_frame_source **ret, struct mf_err *err);

/**
 * mf_frame_dgram_new() - A bound Unix datagram socket, or any connected datagram socket
 * Of an unconnected one the peer is who sent first, provided that its address is a path that belongs to our user or root; before
 * the first datagram, frames to the peer are dropped. Once its socket is gone, the next one who sends takes its place (replaced());
 * while it is there, others are not heard. A new socket at the same path is noticed by mf_frame_source_look(). The four bytes "VFKT" that some begin with are no frame.
 * @fd: non-blocking, owned from now on, also on failure. Return: 0, MF_E_NOMEM
 */
int mf_frame_dgram_new(int fd, struct mf_frame_source **ret, struct mf_err *err);

/**
 * mf_frame_split() - The first frame of a stream's bytes (pure)
 * @ret_frame: where the frame begins, right behind its length
 * Return: its length (0 as well); MF_E_AGAIN: not all of it is there; MF_E_SYNTAX: longer than MF_FRAME_MAX
 */
int mf_frame_split(const uint8_t *ptr, size_t len, size_t *ret_frame);

#endif
