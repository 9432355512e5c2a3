/* SPDX-License-Identifier: Apache-2.0 */
/*
 * port.h - one set of calls for the tests of the double's rules, over the model itself (port_model.c, any system) or
 * through the DLL and its pipe (port_dll_win32.c)
 */
#ifndef WDD_PORT_H
#define WDD_PORT_H

#include "windivert_double/craft.h"
#include "windivert_double/model.h"

void port_begin(void);
void port_end(void);

/* 0 or the Windows error code */
uint32_t port_open(const char *filter, int layer, int priority, uint64_t flags, uintptr_t *ret);
uint32_t port_recv(uintptr_t h, uint8_t *buf, uint32_t room, uint32_t *ret_len, uint8_t *addrs,
		   uint32_t *cnt);
uint32_t port_send(uintptr_t h, const uint8_t *pkts, uint32_t len, const uint8_t *addrs,
		   uint32_t cnt);
uint32_t port_shutdown(uintptr_t h, int how);
uint32_t port_close(uintptr_t h);
uint32_t port_set(uintptr_t h, int param, uint64_t value);
uint32_t port_get(uintptr_t h, int param, uint64_t *ret);

bool port_play(const struct wdd_play *how, const uint8_t *pkt, uint32_t len);
bool port_event(const struct wdd_socket_event *ev);
void port_fail(enum wdd_call call, uint32_t code, unsigned times);
void port_add_local(const struct wdd_ip *ip);
void port_advance(uint64_t ms);
struct wdd_output *port_take(void); /* without waiting */
struct wdd_counts port_counts(void);

#endif
