/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filter.h - the filter language: compiled against the documented fields of a layer, and evaluated for real
 *
 * A field that a layer does not have is refused when the handle is opened, as the driver does. A test on a field that a
 * packet does not have is false whatever its operator. Comparing addresses compares 128-bit numbers, IPv4 mapped: an IPv6
 * address is above every IPv4 one.
 */
#ifndef WDD_FILTER_H
#define WDD_FILTER_H

#include "packet.h"

#define WDD_FILTER_TESTS_MAX 256
#define WDD_FILTER_TEXT_MAX  8192

struct wdd_filter;

/** wdd_filter_compile() - Return: NULL for a filter that the layer does not take; @ret_why, @ret_pos (may be NULL) say
 * what and where. Free with free(). */
struct wdd_filter *wdd_filter_compile(const char *text, int layer, const char **ret_why,
				      unsigned *ret_pos);

/** wdd_filter_match() - @addr: the 80 bytes; @k: NULL at layers without packets */
bool wdd_filter_match(const struct wdd_filter *f, const uint8_t *addr, const struct wdd_pkt *k);

/** wdd_filter_tests() - How many tests were compiled */
unsigned wdd_filter_tests(const struct wdd_filter *f);

/** wdd_ip_parse() - Address text of either family; Return: false if it is none */
bool wdd_ip_parse(const char *text, struct wdd_ip *ret);

#endif
