/* SPDX-License-Identifier: Apache-2.0 */
/*
 * correlation.c - see correlation.h
 *
 * Three pools of records that name one another by index: addresses, names, and ties between them. A tie is in the list
 * of its address (short: names_per_addr) and in the list of its name (any length, so doubly linked). Addresses are in a
 * list by last use as well. A name lives while a tie or a chain mentions it.
 */
#include "core/names/correlation.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"

#define ADDR_MAX_DEFAULT 65536u
#define ADDR_MAX_MOST	 (1u << 24)
#define PER_ADDR_DEFAULT 32u
#define PER_ADDR_MOST	 64u
#define FLOOR_DEFAULT	 60u
#define CAP_DEFAULT	 3600u
#define GRACE_DEFAULT	 3600u
#define NONE		 UINT32_MAX

// Addresses looked at for one without connections before the oldest goes anyway.
#define EVICT_SCAN 32u
// Slots swept by each learn beside two for each of its addresses: what comes in is outpaced by what is looked at.
#define SWEEP_STEP 8u

struct addr {
	struct mf_addr key; // family 0: a free slot
	uint32_t next;	    // in its bucket; in the free list
	uint32_t newer, older;
	uint32_t ties; // list through struct tie.next
	uint16_t tie_cnt;
	uint32_t holds;
};

struct name {
	uint64_t hash;
	char *text;    // NULL: a free slot
	uint32_t next; // in its bucket; in the free list
	uint32_t ties; // list through name_next
	uint32_t tie_cnt, refs;
	uint8_t len;
};

struct tie {
	uint32_t addr, name; // name NONE: a free slot
	uint32_t next;	     // of the address; in the free list
	uint32_t name_next, name_prev;
	uint8_t chain_cnt;
	bool alias;
	uint32_t *chain; // names between this one and the address
	uint64_t expires_ns;
	uint64_t serial; // of the answer that last had it
};

// A growing array of records with a list of free ones.
struct pool {
	void *items;
	size_t item_size;
	uint32_t used; // slots that were ever used
	uint32_t room, free;
};

// Heads of bucket lists; a power of two of them, as many as records at least.
struct table {
	uint32_t *heads;
	uint32_t cnt;
};

struct mf_names {
	pthread_mutex_t lock;
	struct mf_names_options options;
	struct pool addrs, names, ties;
	struct table by_addr, by_name;
	uint32_t newest, oldest, sweep_at;
	uint64_t seed, serial;
	struct mf_names_stats stats;
};

#define ADDR(n, i) (&((struct addr *)(n)->addrs.items)[i])
#define NAME(n, i) (&((struct name *)(n)->names.items)[i])
#define TIE(n, i)  (&((struct tie *)(n)->ties.items)[i])

// ------------------------------------------------------------------------------------------------------------------
// Pools and tables

// A slot; all records that are free have their next at the same place through @next_of.
static uint32_t *next_of(const struct pool *p, uint32_t i)
{
	char *item = (char *)p->items + (size_t)i * p->item_size;

	if (p->item_size == sizeof(struct addr))
		return &((struct addr *)(void *)item)->next;
	if (p->item_size == sizeof(struct name))
		return &((struct name *)(void *)item)->next;
	return &((struct tie *)(void *)item)->next;
}

_Static_assert(sizeof(struct addr) != sizeof(struct name) &&
		       sizeof(struct addr) != sizeof(struct tie) &&
		       sizeof(struct name) != sizeof(struct tie),
	       "next_of() tells pools apart by the size of their records");

static uint32_t pool_take(struct pool *p)
{
	uint32_t i = p->free;

	if (i != NONE) {
		p->free = *next_of(p, i);
		return i;
	}
	if (p->used == p->room) {
		uint32_t room = p->room ? p->room * 2 : 64;
		void *items = realloc(p->items, room * p->item_size);

		if (!items)
			return NONE;
		p->items = items;
		p->room = room;
	}
	return p->used++;
}

static void pool_give(struct pool *p, uint32_t i)
{
	memset((char *)p->items + (size_t)i * p->item_size, 0, p->item_size);
	*next_of(p, i) = p->free;
	p->free = i;
}

static uint64_t addr_hash(const struct mf_names *n, const struct mf_addr *a)
{
	return mf_hash_bytes(a, sizeof(*a), n->seed);
}

// Doubles the table when there would be more records than buckets. Return: false without memory and without any bucket.
static bool grow(struct mf_names *n, struct table *t, uint32_t records, bool addrs)
{
	uint32_t cnt = t->cnt ? t->cnt * 2 : 64;
	const struct pool *p = addrs ? &n->addrs : &n->names;
	uint32_t *heads;

	if (records < t->cnt)
		return true;
	heads = malloc(cnt * sizeof(*heads));
	// A full table only has longer lists.
	if (!heads)
		return t->cnt > 0;
	memset(heads, 0xff, cnt * sizeof(*heads));
	for (uint32_t i = 0; i < p->used; i++) {
		uint32_t *head;

		if (addrs ? !ADDR(n, i)->key.family : !NAME(n, i)->text)
			continue;
		head = &heads[(addrs ? addr_hash(n, &ADDR(n, i)->key) : NAME(n, i)->hash) &
			      (cnt - 1)];
		*next_of(p, i) = *head;
		*head = i;
	}
	free(t->heads);
	t->heads = heads;
	t->cnt = cnt;
	return true;
}

static void unlink_bucket(struct mf_names *n, struct table *t, const struct pool *p, uint64_t hash,
			  uint32_t i)
{
	uint32_t *at = &t->heads[hash & (t->cnt - 1)];

	(void)n;
	while (*at != i)
		at = next_of(p, *at);
	*at = *next_of(p, i);
}

// ------------------------------------------------------------------------------------------------------------------
// Names

static uint32_t find_name(const struct mf_names *n, const char *text, size_t len)
{
	uint64_t hash = mf_hash_bytes(text, len, n->seed);
	uint32_t i = n->by_name.cnt ? n->by_name.heads[hash & (n->by_name.cnt - 1)] : NONE;

	for (; i != NONE; i = NAME(n, i)->next) {
		const struct name *name = NAME(n, i);

		if (name->hash == hash && name->len == len && memcmp(name->text, text, len) == 0)
			return i;
	}
	return NONE;
}

// Finds or makes a name and takes a reference to it.
static uint32_t ref_name(struct mf_names *n, const char *text, size_t len)
{
	uint32_t i = find_name(n, text, len), *head;
	struct name *name;

	if (i != NONE) {
		NAME(n, i)->refs++;
		return i;
	}
	if (!grow(n, &n->by_name, n->stats.names, false))
		return NONE;
	i = pool_take(&n->names);
	if (i == NONE)
		return NONE;
	name = NAME(n, i);
	*name = (struct name){ .hash = mf_hash_bytes(text, len, n->seed),
			       .text = malloc(len + 1),
			       .ties = NONE,
			       .refs = 1,
			       .len = (uint8_t)len };
	if (!name->text) {
		pool_give(&n->names, i);
		return NONE;
	}
	memcpy(name->text, text, len);
	name->text[len] = '\0';
	head = &n->by_name.heads[name->hash & (n->by_name.cnt - 1)];
	name->next = *head;
	*head = i;
	n->stats.names++;
	n->stats.bytes += len + 1;
	return i;
}

static void unref_name(struct mf_names *n, uint32_t i)
{
	struct name *name = NAME(n, i);

	if (--name->refs)
		return;
	unlink_bucket(n, &n->by_name, &n->names, name->hash, i);
	n->stats.names--;
	n->stats.bytes -= name->len + 1u;
	free(name->text);
	pool_give(&n->names, i);
}

// ------------------------------------------------------------------------------------------------------------------
// Ties

static void drop_chain(struct mf_names *n, struct tie *t)
{
	for (uint32_t k = 0; k < t->chain_cnt; k++)
		unref_name(n, t->chain[k]);
	n->stats.bytes -= t->chain_cnt * sizeof(*t->chain);
	free(t->chain);
	t->chain = NULL;
	t->chain_cnt = 0;
}

// Removes the tie at *@link of its address's list.
static void drop_tie(struct mf_names *n, uint32_t *link)
{
	uint32_t i = *link;
	struct tie *t = TIE(n, i);
	struct name *name = NAME(n, t->name);

	*link = t->next;
	ADDR(n, t->addr)->tie_cnt--;
	if (t->name_prev != NONE)
		TIE(n, t->name_prev)->name_next = t->name_next;
	else
		name->ties = t->name_next;
	if (t->name_next != NONE)
		TIE(n, t->name_next)->name_prev = t->name_prev;
	name->tie_cnt--;
	drop_chain(n, t);
	unref_name(n, t->name);
	t->name = NONE;
	pool_give(&n->ties, i);
	n->stats.ties--;
}

static bool is_live(const struct mf_names *n, const struct addr *a, const struct tie *t,
		    uint64_t now)
{
	return now < t->expires_ns ||
	       (a->holds && now - t->expires_ns < n->options.grace_s * MF_NS_PER_S);
}

static uint32_t find_tie(const struct mf_names *n, uint32_t addr, uint32_t name)
{
	for (uint32_t i = ADDR(n, addr)->ties; i != NONE; i = TIE(n, i)->next)
		if (TIE(n, i)->name == name)
			return i;
	return NONE;
}

// Makes room among the names of an address: the tie that ends first goes.
static void evict_tie(struct mf_names *n, uint32_t addr)
{
	uint32_t *first = NULL;

	for (uint32_t *link = &ADDR(n, addr)->ties; *link != NONE; link = &TIE(n, *link)->next)
		if (!first || TIE(n, *link)->expires_ns < TIE(n, *first)->expires_ns)
			first = link;
	if (first) {
		drop_tie(n, first);
		n->stats.evicted_ties++;
	}
}

static uint32_t make_tie(struct mf_names *n, uint32_t addr, uint32_t name)
{
	uint32_t i;
	struct tie *t;

	if (ADDR(n, addr)->tie_cnt >= n->options.names_per_addr)
		evict_tie(n, addr);
	i = pool_take(&n->ties);
	if (i == NONE)
		return NONE;
	t = TIE(n, i);
	*t = (struct tie){ .addr = addr,
			   .name = name,
			   .next = ADDR(n, addr)->ties,
			   .name_next = NAME(n, name)->ties,
			   .name_prev = NONE,
			   .alias = true };
	ADDR(n, addr)->ties = i;
	ADDR(n, addr)->tie_cnt++;
	if (t->name_next != NONE)
		TIE(n, t->name_next)->name_prev = i;
	NAME(n, name)->ties = i;
	NAME(n, name)->tie_cnt++;
	NAME(n, name)->refs++;
	n->stats.ties++;
	return i;
}

// ------------------------------------------------------------------------------------------------------------------
// Addresses

static uint32_t find_addr(const struct mf_names *n, const struct mf_addr *key)
{
	uint64_t hash = addr_hash(n, key);
	uint32_t i = n->by_addr.cnt ? n->by_addr.heads[hash & (n->by_addr.cnt - 1)] : NONE;

	while (i != NONE && !mf_addr_eq(&ADDR(n, i)->key, key))
		i = ADDR(n, i)->next;
	return i;
}

static void unlink_age(struct mf_names *n, uint32_t i)
{
	struct addr *a = ADDR(n, i);

	if (a->newer != NONE)
		ADDR(n, a->newer)->older = a->older;
	else
		n->newest = a->older;
	if (a->older != NONE)
		ADDR(n, a->older)->newer = a->newer;
	else
		n->oldest = a->newer;
}

static void link_newest(struct mf_names *n, uint32_t i)
{
	struct addr *a = ADDR(n, i);

	a->newer = NONE;
	a->older = n->newest;
	if (n->newest != NONE)
		ADDR(n, n->newest)->newer = i;
	else
		n->oldest = i;
	n->newest = i;
}

static void touch(struct mf_names *n, uint32_t i)
{
	if (n->newest == i)
		return;
	unlink_age(n, i);
	link_newest(n, i);
}

static void drop_addr(struct mf_names *n, uint32_t i)
{
	while (ADDR(n, i)->ties != NONE)
		drop_tie(n, &ADDR(n, i)->ties);
	unlink_age(n, i);
	unlink_bucket(n, &n->by_addr, &n->addrs, addr_hash(n, &ADDR(n, i)->key), i);
	pool_give(&n->addrs, i);
	n->stats.addrs--;
}

static void evict_addr(struct mf_names *n)
{
	uint32_t victim = n->oldest, i = victim;

	for (uint32_t k = 0; k < EVICT_SCAN && i != NONE; k++, i = ADDR(n, i)->newer) {
		if (!ADDR(n, i)->holds) {
			victim = i;
			break;
		}
	}
	if (victim != NONE) {
		drop_addr(n, victim);
		n->stats.evicted_addrs++;
	}
}

static uint32_t get_addr(struct mf_names *n, const struct mf_addr *key)
{
	uint32_t i = find_addr(n, key), *head;

	if (i != NONE) {
		touch(n, i);
		return i;
	}
	if (n->stats.addrs >= n->options.addr_max)
		evict_addr(n);
	if (!grow(n, &n->by_addr, n->stats.addrs, true))
		return NONE;
	i = pool_take(&n->addrs);
	if (i == NONE)
		return NONE;
	*ADDR(n, i) = (struct addr){ .key = *key, .ties = NONE };
	head = &n->by_addr.heads[addr_hash(n, key) & (n->by_addr.cnt - 1)];
	ADDR(n, i)->next = *head;
	*head = i;
	link_newest(n, i);
	n->stats.addrs++;
	return i;
}

// Drops what has run out at one address, and the address when nothing is left. Return: ties dropped.
static size_t sweep_addr(struct mf_names *n, uint32_t i, uint64_t now)
{
	size_t cnt = 0;

	for (uint32_t *link = &ADDR(n, i)->ties; *link != NONE;) {
		if (is_live(n, ADDR(n, i), TIE(n, *link), now)) {
			link = &TIE(n, *link)->next;
			continue;
		}
		drop_tie(n, link);
		cnt++;
	}
	n->stats.expired_ties += cnt;
	if (ADDR(n, i)->ties == NONE && !ADDR(n, i)->holds)
		drop_addr(n, i);
	return cnt;
}

static size_t sweep(struct mf_names *n, size_t budget, uint64_t now)
{
	size_t cnt = 0;

	if (budget > n->addrs.used)
		budget = n->addrs.used;
	while (budget-- > 0) {
		if (n->sweep_at >= n->addrs.used)
			n->sweep_at = 0;
		if (ADDR(n, n->sweep_at)->key.family)
			cnt += sweep_addr(n, n->sweep_at, now);
		n->sweep_at++;
	}
	return cnt;
}

// The address and what is live at it; NONE if there is nothing.
static uint32_t look_up(struct mf_names *n, const struct mf_addr *key, uint64_t now)
{
	uint32_t i = find_addr(n, key);

	if (i == NONE)
		return NONE;
	touch(n, i);
	sweep_addr(n, i, now);
	return ADDR(n, i)->key.family ? i : NONE;
}

// ------------------------------------------------------------------------------------------------------------------
// The interface

static uint32_t or_default(uint32_t value, uint32_t standard)
{
	return value ? value : standard;
}

int mf_names_new(const struct mf_names_options *options, struct mf_names **ret_names,
		 struct mf_err *err)
{
	struct mf_names *n = calloc(1, sizeof(*n));
	struct mf_names_options *o;

	if (!n)
		return mf_err_set(err, MF_E_NOMEM, "No memory for a table of names.");
	if (options)
		n->options = *options;
	o = &n->options;
	o->addr_max = or_default(o->addr_max, ADDR_MAX_DEFAULT);
	o->names_per_addr = or_default(o->names_per_addr, PER_ADDR_DEFAULT);
	o->ttl_floor_s = or_default(o->ttl_floor_s, FLOOR_DEFAULT);
	o->ttl_cap_s = or_default(o->ttl_cap_s, CAP_DEFAULT);
	o->grace_s = or_default(o->grace_s, GRACE_DEFAULT);
	if (!o->clock)
		o->clock = &mf_clock_system;
	if (o->addr_max > ADDR_MAX_MOST || o->names_per_addr > PER_ADDR_MOST ||
	    o->ttl_floor_s > o->ttl_cap_s) {
		free(n);
		return mf_err_set(
			err, MF_E_INVAL,
			"A table of names takes at most %u addresses with %u names, and a "
			"TTL floor below its cap.",
			ADDR_MAX_MOST, PER_ADDR_MOST);
	}
	if (pthread_mutex_init(&n->lock, NULL)) {
		free(n);
		return mf_err_set(err, MF_E_NOMEM, "No memory for a table of names.");
	}
	n->addrs = (struct pool){ .item_size = sizeof(struct addr), .free = NONE };
	n->names = (struct pool){ .item_size = sizeof(struct name), .free = NONE };
	n->ties = (struct pool){ .item_size = sizeof(struct tie), .free = NONE };
	n->newest = n->oldest = NONE;
	n->seed = mf_hash_seed();
	*ret_names = n;
	return 0;
}

void mf_names_free(struct mf_names *n)
{
	if (!n)
		return;
	for (uint32_t i = 0; i < n->names.used; i++)
		free(NAME(n, i)->text);
	for (uint32_t i = 0; i < n->ties.used; i++)
		free(TIE(n, i)->chain);
	free(n->addrs.items);
	free(n->names.items);
	free(n->ties.items);
	free(n->by_addr.heads);
	free(n->by_name.heads);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

static uint64_t life_ns(const struct mf_names *n, uint32_t ttl_s)
{
	const struct mf_names_options *o = &n->options;

	if (o->ttl_fixed_s)
		ttl_s = o->ttl_fixed_s;
	else if (ttl_s < o->ttl_floor_s)
		ttl_s = o->ttl_floor_s;
	else if (ttl_s > o->ttl_cap_s)
		ttl_s = o->ttl_cap_s;
	return ttl_s * MF_NS_PER_S;
}

// The canonical names of an answer, as indices with a reference each: the question, then its aliases.
struct members {
	uint32_t at[1 + MF_NAMES_ALIASES_MAX];
	uint32_t cnt;
};

static int take_members(struct mf_names *n, const struct mf_names_answer *answer, struct members *m)
{
	char text[MF_NAME_ROOM];

	m->cnt = 0;
	if (answer->alias_cnt > MF_NAMES_ALIASES_MAX)
		return MF_E_LIMIT;
	for (size_t i = 0; i <= answer->alias_cnt; i++) {
		const char *in = i ? answer->aliases[i - 1] : answer->question;
		int len = mf_name_canon(in, i ? strlen(in) : answer->question_len, text);

		if (len < 0)
			return len;
		m->at[m->cnt] = ref_name(n, text, (size_t)len);
		if (m->at[m->cnt] == NONE)
			return MF_E_NOMEM;
		m->cnt++;
	}
	return 0;
}

// Member @k of the chain is tied to @addr; what follows it in the chain is its own chain.
static int tie_member(struct mf_names *n, uint32_t addr, const struct members *m, uint32_t k,
		      uint64_t expires)
{
	uint32_t i = find_tie(n, addr, m->at[k]), cnt = m->cnt - k - 1;
	uint32_t *chain = NULL;
	struct tie *t;

	if (i == NONE)
		i = make_tie(n, addr, m->at[k]);
	if (i == NONE)
		return MF_E_NOMEM;
	t = TIE(n, i);
	// A shorter TTL does not end what an earlier answer promised.
	if (expires > t->expires_ns)
		t->expires_ns = expires;
	t->serial = n->serial;
	if (k == 0)
		t->alias = false;
	if (t->chain_cnt == cnt &&
	    (!cnt || memcmp(t->chain, m->at + k + 1, cnt * sizeof(*chain)) == 0))
		return 0;
	if (cnt) {
		chain = malloc(cnt * sizeof(*chain));
		if (!chain)
			return MF_E_NOMEM;
		memcpy(chain, m->at + k + 1, cnt * sizeof(*chain));
		for (uint32_t c = 0; c < cnt; c++)
			NAME(n, chain[c])->refs++;
	}
	drop_chain(n, t);
	t->chain = chain;
	t->chain_cnt = (uint8_t)cnt;
	n->stats.bytes += cnt * sizeof(*chain);
	return 0;
}

static int learn(struct mf_names *n, const struct mf_names_answer *answer, uint64_t now)
{
	uint64_t expires = now + life_ns(n, answer->ttl_s);
	struct members m;
	int r = take_members(n, answer, &m);

	for (size_t i = 0; !r && i < answer->addr_cnt; i++) {
		uint32_t addr;

		// A caller that has a raw mapped address gets the tie at its IPv4 address.
		struct mf_addr key;

		if (!mf_addr_from_bytes(&key, answer->addrs[i].bytes,
					answer->addrs[i].family == 4 ? 4 : 16) ||
		    !answer->addrs[i].family)
			continue;
		addr = get_addr(n, &key);
		if (addr == NONE) {
			r = MF_E_NOMEM;
			break;
		}
		// The question last, so that it is the one to stay when there is no room for all.
		for (uint32_t k = m.cnt; !r && k-- > 0;)
			r = tie_member(n, addr, &m, k, expires);
	}
	for (uint32_t k = 0; k < m.cnt; k++)
		unref_name(n, m.at[k]);
	return r;
}

int mf_names_learn(struct mf_names *n, const struct mf_names_answer *answer)
{
	uint64_t now = mf_clock_now(n->options.clock);
	int r;

	pthread_mutex_lock(&n->lock);
	n->serial++;
	n->stats.learned++;
	sweep(n, SWEEP_STEP + 2 * answer->addr_cnt, now);
	r = learn(n, answer, now);
	pthread_mutex_unlock(&n->lock);
	return r;
}

bool mf_names_has(struct mf_names *n, const struct mf_addr *addr, const char *name, size_t len)
{
	uint64_t now = mf_clock_now(n->options.clock);
	char text[MF_NAME_ROOM];
	uint32_t a, i;
	int r = mf_name_canon(name, len, text);
	bool has = false;

	if (r < 0)
		return false;
	pthread_mutex_lock(&n->lock);
	a = look_up(n, addr, now);
	if (a != NONE) {
		i = find_name(n, text, (size_t)r);
		has = i != NONE && find_tie(n, a, i) != NONE;
	}
	pthread_mutex_unlock(&n->lock);
	return has;
}

// Whether tie @x comes before tie @y in a list of names: asked for before alias, later answer before earlier.
static bool comes_before(const struct tie *x, const struct tie *y)
{
	if (x->alias != y->alias)
		return y->alias;
	return x->serial > y->serial;
}

size_t mf_names_recent(struct mf_names *n, const struct mf_addr *addr, char ret_name[MF_NAME_ROOM])
{
	uint64_t now = mf_clock_now(n->options.clock);
	const struct tie *best = NULL;
	size_t len = 0;
	uint32_t a;

	pthread_mutex_lock(&n->lock);
	a = look_up(n, addr, now);
	for (uint32_t i = a == NONE ? NONE : ADDR(n, a)->ties; i != NONE; i = TIE(n, i)->next)
		if (!best || comes_before(TIE(n, i), best))
			best = TIE(n, i);
	if (best) {
		len = NAME(n, best->name)->len;
		memcpy(ret_name, NAME(n, best->name)->text, len + 1);
	}
	pthread_mutex_unlock(&n->lock);
	return len;
}

static void fill_item(const struct mf_names *n, uint32_t name, struct mf_names_item *item)
{
	item->len = NAME(n, name)->len;
	memcpy(item->name, NAME(n, name)->text, item->len + 1u);
}

// The names of slot @a, which was swept, in the order of mf_names_list(). Under the lock.
static size_t list_ties(const struct mf_names *n, uint32_t a, uint64_t now,
			struct mf_names_item *items, size_t cap)
{
	const struct tie *order[PER_ADDR_MOST];
	size_t cnt = 0;

	for (uint32_t i = ADDR(n, a)->ties; i != NONE; i = TIE(n, i)->next) {
		size_t k = cnt++;

		for (; k > 0 && comes_before(TIE(n, i), order[k - 1]); k--)
			order[k] = order[k - 1];
		order[k] = TIE(n, i);
	}
	if (cnt > cap)
		cnt = cap;
	for (size_t k = 0; k < cnt; k++) {
		uint64_t left = order[k]->expires_ns > now ? order[k]->expires_ns - now : 0;

		fill_item(n, order[k]->name, &items[k]);
		items[k].alias = order[k]->alias;
		items[k].expires_in_s = (uint32_t)((left + MF_NS_PER_S - 1) / MF_NS_PER_S);
	}
	return cnt;
}

size_t mf_names_list(struct mf_names *n, const struct mf_addr *addr, struct mf_names_item *items,
		     size_t cap)
{
	uint64_t now = mf_clock_now(n->options.clock);
	size_t cnt;
	uint32_t a;

	pthread_mutex_lock(&n->lock);
	a = look_up(n, addr, now);
	cnt = a == NONE ? 0 : list_ties(n, a, now, items, cap);
	pthread_mutex_unlock(&n->lock);
	return cnt;
}

size_t mf_names_walk(struct mf_names *n, uint32_t *at, struct mf_addr *ret_addr,
		     struct mf_names_item *items, size_t cap)
{
	uint64_t now = mf_clock_now(n->options.clock);
	size_t cnt = 0;

	pthread_mutex_lock(&n->lock);
	while (cnt == 0 && *at < n->addrs.used) {
		uint32_t a = (*at)++;

		if (!ADDR(n, a)->key.family)
			continue;
		*ret_addr = ADDR(n, a)->key;
		sweep_addr(n, a, now);
		cnt = ADDR(n, a)->key.family ? list_ties(n, a, now, items, cap) : 0;
	}
	pthread_mutex_unlock(&n->lock);
	return cnt;
}

size_t mf_names_addrs(struct mf_names *n, const char *name, size_t len, struct mf_addr *addrs,
		      size_t cap)
{
	uint64_t now = mf_clock_now(n->options.clock);
	char text[MF_NAME_ROOM];
	int r = mf_name_canon(name, len, text);
	size_t cnt = 0;
	uint32_t i;

	if (r < 0)
		return 0;
	pthread_mutex_lock(&n->lock);
	i = find_name(n, text, (size_t)r);
	for (i = i == NONE ? NONE : NAME(n, i)->ties; i != NONE; i = TIE(n, i)->name_next) {
		const struct addr *a = ADDR(n, TIE(n, i)->addr);

		if (!is_live(n, a, TIE(n, i), now))
			continue;
		if (cnt < cap)
			addrs[cnt] = a->key;
		cnt++;
	}
	pthread_mutex_unlock(&n->lock);
	return cnt;
}

size_t mf_names_chain(struct mf_names *n, const struct mf_addr *addr, const char *question,
		      size_t len, struct mf_names_item *items, size_t cap)
{
	uint64_t now = mf_clock_now(n->options.clock);
	char text[MF_NAME_ROOM];
	int r = mf_name_canon(question, len, text);
	uint32_t a, i = NONE;
	size_t cnt = 0;

	if (r < 0)
		return 0;
	pthread_mutex_lock(&n->lock);
	a = look_up(n, addr, now);
	if (a != NONE) {
		i = find_name(n, text, (size_t)r);
		i = i == NONE ? NONE : find_tie(n, a, i);
	}
	for (; i != NONE && cnt < TIE(n, i)->chain_cnt && cnt < cap; cnt++) {
		fill_item(n, TIE(n, i)->chain[cnt], &items[cnt]);
		items[cnt].alias = true;
		items[cnt].expires_in_s = 0;
	}
	pthread_mutex_unlock(&n->lock);
	return cnt;
}

bool mf_names_hold(struct mf_names *n, const struct mf_addr *addr)
{
	uint64_t now = mf_clock_now(n->options.clock);
	uint32_t a;

	pthread_mutex_lock(&n->lock);
	a = look_up(n, addr, now);
	if (a != NONE && ADDR(n, a)->ties != NONE)
		ADDR(n, a)->holds++;
	else
		a = NONE;
	pthread_mutex_unlock(&n->lock);
	return a != NONE;
}

void mf_names_release(struct mf_names *n, const struct mf_addr *addr)
{
	uint64_t now = mf_clock_now(n->options.clock);
	uint32_t a;

	pthread_mutex_lock(&n->lock);
	a = find_addr(n, addr);
	// The address may have been evicted meanwhile, connections or not.
	if (a != NONE && ADDR(n, a)->holds) {
		ADDR(n, a)->holds--;
		sweep_addr(n, a, now);
	}
	pthread_mutex_unlock(&n->lock);
}

size_t mf_names_sweep(struct mf_names *n, size_t budget)
{
	uint64_t now = mf_clock_now(n->options.clock);
	size_t cnt;

	pthread_mutex_lock(&n->lock);
	cnt = sweep(n, budget, now);
	pthread_mutex_unlock(&n->lock);
	return cnt;
}

void mf_names_get_stats(struct mf_names *n, struct mf_names_stats *ret)
{
	pthread_mutex_lock(&n->lock);
	*ret = n->stats;
	ret->bytes += sizeof(*n) + n->addrs.room * sizeof(struct addr) +
		      n->names.room * sizeof(struct name) + n->ties.room * sizeof(struct tie) +
		      (n->by_addr.cnt + n->by_name.cnt) * sizeof(uint32_t);
	pthread_mutex_unlock(&n->lock);
}
