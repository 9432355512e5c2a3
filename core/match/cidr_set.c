/* SPDX-License-Identifier: Apache-2.0 */
/* cidr_set.c - see cidr_set.h */
#include "core/match/cidr_set.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/bytes.h"

#define NETS_MAX_DEFAULT (1u << 22)
// From so many intervals on a table of the first 16 bits pays for its 256 KiB.
#define INDEX_FROM 1024u
#define INDEX_CNT  65537u

static const struct mf_addr no_addr;

static void clear_host_bits(struct mf_cidr *net)
{
	unsigned width = net->addr.family == 4 ? 4 : 16, whole = net->bits / 8;

	if (whole >= width)
		return;
	net->addr.bytes[whole] &= (uint8_t)(0xff00u >> (net->bits % 8));
	memset(net->addr.bytes + whole + 1, 0, width - whole - 1);
}

int mf_cidr_parse(const char *text, size_t len, struct mf_cidr *ret)
{
	const char *slash = memchr(text, '/', len);
	size_t addr_len = slash ? (size_t)(slash - text) : len;
	bool six = memchr(text, ':', addr_len) != NULL;
	struct mf_cidr net = { .addr = no_addr };
	unsigned bits = 0;

	if (mf_addr_parse(text, addr_len, &net.addr))
		return MF_E_SYNTAX;
	if (!slash) {
		bits = net.addr.family == 4 ? 32 : 128;
	} else {
		size_t n = len - addr_len - 1;

		if (n == 0 || n > 3 || (n > 1 && slash[1] == '0'))
			return MF_E_SYNTAX;
		for (size_t i = 1; i <= n; i++) {
			if (slash[i] < '0' || slash[i] > '9')
				return MF_E_SYNTAX;
			bits = bits * 10 + (unsigned)(slash[i] - '0');
		}
		if (bits > (six ? 128u : 32u))
			return MF_E_SYNTAX;
		if (six && net.addr.family == 4) {
			// The text was a mapped address. Shorter than /96 it is a network of IPv6 that ends in zeros.
			if (bits >= 96) {
				bits -= 96;
			} else {
				net.addr = no_addr;
				net.addr.family = 6;
				memset(net.addr.bytes + 10, 0xff, 2);
			}
		}
	}
	net.bits = (uint8_t)bits;
	clear_host_bits(&net);
	*ret = net;
	return 0;
}

bool mf_cidr_has(const struct mf_cidr *net, const struct mf_addr *addr)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	if (net->addr.family != addr->family || !addr->family ||
	    memcmp(net->addr.bytes, addr->bytes, whole) != 0)
		return false;
	return !rest || (net->addr.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest) == 0;
}

const char *mf_cidr_format(const struct mf_cidr *net, char *buf, size_t size)
{
	char text[MF_ADDR_TEXT_MAX];

	snprintf(buf, size, "%s/%u", mf_addr_format(&net->addr, text, sizeof(text)), net->bits);
	return buf;
}

// An address as a number: of IPv4 in lo.
struct key {
	uint64_t hi, lo;
};

static inline int key_cmp(struct key a, struct key b)
{
	if (a.hi != b.hi)
		return a.hi < b.hi ? -1 : 1;
	return a.lo < b.lo ? -1 : a.lo > b.lo;
}

static inline struct key key_of(const struct mf_addr *a)
{
	if (a->family == 4)
		return (struct key){ 0, mf_load_be32(a->bytes) };
	return (struct key){ mf_load_be64(a->bytes), mf_load_be64(a->bytes + 8) };
}

struct net {
	struct key first, last; // its first and last address
	uint32_t value;
	uint8_t family, bits;
};

struct mf_cidr_set_builder {
	struct net *nets;
	uint32_t cnt, room, max;
};

// A network in the forest.
struct node {
	uint32_t parent; // the network around it, MF_MATCH_NONE for none
	uint32_t value;
	uint32_t lowest; // of its own value and those of all networks around it
	uint32_t own;	 // of the values of this very network (it has one node for each)
};

struct mf_cidr_set {
	struct node *nodes;
	// Interval i reaches from starts[i] to starts[i + 1]; inner[i] is its node. The first start is the lowest address.
	uint32_t *starts_v4, *inner_v4,
		*index_v4; // index: first interval that may hold an address with these 16 bits
	struct key *starts_v6;
	uint32_t *inner_v6;
	uint32_t cnt_v4, cnt_v6, node_cnt;
};

int mf_cidr_set_builder_new(uint32_t max, struct mf_cidr_set_builder **ret_b, struct mf_err *err)
{
	struct mf_cidr_set_builder *b = calloc(1, sizeof(*b));

	if (!b)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a set of networks.");
	b->max = max && max < (1u << 28) ? max : NETS_MAX_DEFAULT;
	*ret_b = b;
	return 0;
}

void mf_cidr_set_builder_free(struct mf_cidr_set_builder *b)
{
	if (!b)
		return;
	free(b->nets);
	free(b);
}

static struct key last_of(struct key first, unsigned width, unsigned bits)
{
	unsigned host = width - bits;

	if (host >= 64)
		first.lo = UINT64_MAX;
	else
		first.lo |= (UINT64_C(1) << host) - 1;
	if (host > 64)
		first.hi |= host == 128 ? UINT64_MAX : (UINT64_C(1) << (host - 64)) - 1;
	return first;
}

int mf_cidr_set_builder_add(struct mf_cidr_set_builder *b, const struct mf_cidr *net,
			    uint32_t value, struct mf_err *err)
{
	struct mf_cidr n = *net;
	unsigned width = n.addr.family == 4 ? 32 : 128;
	struct key first;

	if ((n.addr.family != 4 && n.addr.family != 6) || n.bits > width || value == MF_MATCH_NONE)
		return mf_err_set(err, MF_E_INVAL, "No such network or value.");
	if (b->cnt >= b->max)
		return mf_err_set(err, MF_E_LIMIT, "A set of networks may have %u at most.",
				  b->max);
	if (b->cnt == b->room) {
		uint32_t room = b->room ? b->room * 2 : 16;
		struct net *p = realloc(b->nets, room * sizeof(*p));

		if (!p)
			return mf_err_set(err, MF_E_NOMEM, "No memory for more networks.");
		b->nets = p;
		b->room = room;
	}
	clear_host_bits(&n);
	first = key_of(&n.addr);
	b->nets[b->cnt++] = (struct net){ .first = first,
					  .last = last_of(first, width, n.bits),
					  .value = value,
					  .family = n.addr.family,
					  .bits = n.bits };
	return 0;
}

int mf_cidr_set_builder_add_text(struct mf_cidr_set_builder *b, const char *text, size_t len,
				 uint32_t value, struct mf_err *err)
{
	struct mf_cidr net;

	if (mf_cidr_parse(text, len, &net))
		return mf_err_set(err, MF_E_SYNTAX,
				  "\"%.*s\" is not a network (\"10.0.0.0/8\", \"2001:db8::/32\") "
				  "nor an address.",
				  (int)(len > 60 ? 60 : len), text);
	return mf_cidr_set_builder_add(b, &net, value, err);
}

// By family, then by first address; of two that begin together the wider first, so that parents come before children.
static int net_cmp(const void *pa, const void *pb)
{
	const struct net *a = pa, *b = pb;
	int r;

	if (a->family != b->family)
		return a->family - b->family;
	r = key_cmp(a->first, b->first);
	if (r)
		return r;
	if (a->bits != b->bits)
		return a->bits - b->bits;
	return a->value < b->value ? -1 : a->value > b->value;
}

static uint32_t sort_unique(struct net *nets, uint32_t cnt)
{
	uint32_t to = 0;

	if (cnt)
		qsort(nets, cnt, sizeof(*nets), net_cmp);
	for (uint32_t i = 0; i < cnt; i++)
		if (i == 0 || net_cmp(&nets[i], &nets[to - 1]) != 0)
			nets[to++] = nets[i];
	return to;
}

// The intervals of one family as they are made.
struct cuts {
	struct key *starts;
	uint32_t *inner;
	uint32_t cnt;
};

static void cut(struct cuts *c, struct key start, uint32_t inner)
{
	// Nothing lies between this start and the one before: that interval is empty.
	if (c->cnt && key_cmp(c->starts[c->cnt - 1], start) == 0)
		c->cnt--;
	// Same network as before: one interval.
	if (c->cnt && c->inner[c->cnt - 1] == inner)
		return;
	c->starts[c->cnt] = start;
	c->inner[c->cnt++] = inner;
}

static bool key_next(struct key *k, uint8_t family)
{
	uint64_t top = family == 4 ? UINT32_MAX : UINT64_MAX;

	if (k->lo == top) {
		k->lo = 0;
		if (family == 4 || k->hi == UINT64_MAX)
			return false;
		k->hi++;
	} else {
		k->lo++;
	}
	return true;
}

// Ends the networks around that end before @until (NULL: all of them).
static uint32_t leave(struct cuts *c, const struct net *nets, const struct node *nodes,
		      uint32_t open, const struct key *until)
{
	while (open != MF_MATCH_NONE && (!until || key_cmp(nets[open].last, *until) < 0)) {
		struct key next = nets[open].last;
		uint8_t family = nets[open].family;

		open = nodes[open].parent;
		if (key_next(&next, family))
			cut(c, next, open);
	}
	return open;
}

// Nets @from to @to - 1 are those of one family, sorted: makes their nodes and intervals.
static void make_family(struct cuts *c, const struct net *nets, struct node *nodes, uint32_t from,
			uint32_t to)
{
	uint32_t open = MF_MATCH_NONE;

	cut(c, (struct key){ 0, 0 }, MF_MATCH_NONE);
	for (uint32_t i = from; i < to; i++) {
		struct node *n = &nodes[i];

		open = leave(c, nets, nodes, open, &nets[i].first);
		*n = (struct node){ open, nets[i].value, nets[i].value, nets[i].value };
		if (open != MF_MATCH_NONE) {
			if (nodes[open].lowest < n->lowest)
				n->lowest = nodes[open].lowest;
			if (key_cmp(nets[open].first, nets[i].first) == 0 &&
			    nets[open].bits == nets[i].bits)
				n->own = nodes[open].own;
		}
		open = i;
		cut(c, nets[i].first, i);
	}
	leave(c, nets, nodes, open, NULL);
}

static void make_index(struct mf_cidr_set *set)
{
	uint32_t j = 0;

	for (uint32_t i = 0; i < INDEX_CNT - 1; i++) {
		while (j + 1 < set->cnt_v4 && set->starts_v4[j + 1] <= i << 16)
			j++;
		set->index_v4[i] = j;
	}
	set->index_v4[INDEX_CNT - 1] = set->cnt_v4 - 1;
}

static int make_v4(struct mf_cidr_set *set, const struct cuts *c)
{
	set->starts_v4 = malloc(c->cnt * sizeof(*set->starts_v4));
	set->inner_v4 = malloc(c->cnt * sizeof(*set->inner_v4));
	if (!set->starts_v4 || !set->inner_v4)
		return MF_E_NOMEM;
	set->cnt_v4 = c->cnt;
	for (uint32_t i = 0; i < c->cnt; i++)
		set->starts_v4[i] = (uint32_t)c->starts[i].lo;
	memcpy(set->inner_v4, c->inner, c->cnt * sizeof(*c->inner));
	if (c->cnt < INDEX_FROM)
		return 0;
	set->index_v4 = malloc(INDEX_CNT * sizeof(*set->index_v4));
	if (!set->index_v4)
		return MF_E_NOMEM;
	make_index(set);
	return 0;
}

static int make_v6(struct mf_cidr_set *set, const struct cuts *c)
{
	set->starts_v6 = malloc(c->cnt * sizeof(*set->starts_v6));
	set->inner_v6 = malloc(c->cnt * sizeof(*set->inner_v6));
	if (!set->starts_v6 || !set->inner_v6)
		return MF_E_NOMEM;
	set->cnt_v6 = c->cnt;
	memcpy(set->starts_v6, c->starts, c->cnt * sizeof(*c->starts));
	memcpy(set->inner_v6, c->inner, c->cnt * sizeof(*c->inner));
	return 0;
}

int mf_cidr_set_builder_seal(struct mf_cidr_set_builder *b, struct mf_cidr_set **ret_set,
			     struct mf_err *err)
{
	struct mf_cidr_set *set = calloc(1, sizeof(*set));
	struct cuts c = { 0 };
	uint32_t cnt = sort_unique(b->nets, b->cnt), v4 = 0;
	int r = MF_E_NOMEM;

	// Each network opens and closes one interval at most; one more lies before all of them.
	c.starts = malloc((2 * (size_t)cnt + 1) * sizeof(*c.starts));
	c.inner = malloc((2 * (size_t)cnt + 1) * sizeof(*c.inner));
	if (!set || !c.starts || !c.inner)
		goto out;
	set->nodes = malloc((cnt + (size_t)1) * sizeof(*set->nodes));
	if (!set->nodes)
		goto out;
	set->node_cnt = cnt;
	while (v4 < cnt && b->nets[v4].family == 4)
		v4++;
	make_family(&c, b->nets, set->nodes, 0, v4);
	r = make_v4(set, &c);
	if (r)
		goto out;
	c.cnt = 0;
	make_family(&c, b->nets, set->nodes, v4, cnt);
	r = make_v6(set, &c);
out:
	free(c.starts);
	free(c.inner);
	mf_cidr_set_builder_free(b);
	if (r) {
		mf_cidr_set_free(set);
		return mf_err_set(err, r, "No memory for a set of networks.");
	}
	*ret_set = set;
	return 0;
}

void mf_cidr_set_free(struct mf_cidr_set *set)
{
	if (!set)
		return;
	free(set->nodes);
	free(set->starts_v4);
	free(set->inner_v4);
	free(set->index_v4);
	free(set->starts_v6);
	free(set->inner_v6);
	free(set);
}

static uint32_t find_v4(const struct mf_cidr_set *set, uint32_t ip)
{
	uint32_t lo = 0, hi = set->cnt_v4;

	if (set->index_v4) {
		lo = set->index_v4[ip >> 16];
		hi = set->index_v4[(ip >> 16) + 1] + 1;
	}
	// The last start that is not above ip is in [lo, hi).
	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (set->starts_v4[mid] <= ip)
			lo = mid;
		else
			hi = mid;
	}
	return set->inner_v4[lo];
}

static uint32_t find_v6(const struct mf_cidr_set *set, struct key ip)
{
	uint32_t lo = 0, hi = set->cnt_v6;

	while (hi - lo > 1) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (key_cmp(set->starts_v6[mid], ip) <= 0)
			lo = mid;
		else
			hi = mid;
	}
	return set->inner_v6[lo];
}

static inline uint32_t find_node(const struct mf_cidr_set *set, const struct mf_addr *addr)
{
	if (addr->family == 4)
		return find_v4(set, mf_load_be32(addr->bytes));
	return addr->family == 6 ? find_v6(set, key_of(addr)) : MF_MATCH_NONE;
}

bool mf_cidr_set_has(const struct mf_cidr_set *set, const struct mf_addr *addr)
{
	return find_node(set, addr) != MF_MATCH_NONE;
}

uint32_t mf_cidr_set_find(const struct mf_cidr_set *set, const struct mf_addr *addr)
{
	uint32_t n = find_node(set, addr);

	return n == MF_MATCH_NONE ? n : set->nodes[n].lowest;
}

uint32_t mf_cidr_set_find_longest(const struct mf_cidr_set *set, const struct mf_addr *addr)
{
	uint32_t n = find_node(set, addr);

	return n == MF_MATCH_NONE ? n : set->nodes[n].own;
}

size_t mf_cidr_set_find_all(const struct mf_cidr_set *set, const struct mf_addr *addr,
			    uint32_t *values, size_t cap)
{
	size_t cnt = 0;

	for (uint32_t n = find_node(set, addr); n != MF_MATCH_NONE; n = set->nodes[n].parent) {
		if (cnt < cap)
			values[cnt] = set->nodes[n].value;
		cnt++;
	}
	return cnt;
}

uint32_t mf_cidr_set_count(const struct mf_cidr_set *set)
{
	return set->node_cnt;
}

size_t mf_cidr_set_bytes(const struct mf_cidr_set *set)
{
	return sizeof(*set) + set->node_cnt * sizeof(*set->nodes) +
	       set->cnt_v4 * (sizeof(*set->starts_v4) + sizeof(*set->inner_v4)) +
	       set->cnt_v6 * (sizeof(*set->starts_v6) + sizeof(*set->inner_v6)) +
	       (set->index_v4 ? INDEX_CNT * sizeof(*set->index_v4) : 0);
}
