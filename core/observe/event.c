/* SPDX-License-Identifier: Apache-2.0 */
/* event.c - one event becomes one line of JSON; see events.h */
#include <stdio.h>
#include <string.h>

#include "core/base/utf8.h"
#include "core/observe/event_stamp.h"

// What is kept free for the end of the line: }  ,"truncated":true  }
#define TAIL 32u

// ------------------------------------------------------------------------------------------------------------------
// Text

bool mf_utf8_valid(const char *in, size_t len)
{
	const uint8_t *p = (const uint8_t *)in;

	for (size_t i = 0; i < len;) {
		uint32_t c;

		i += mf_utf8_decode(p + i, len - i, &c);
		if (c >= MF_UTF8_BAD)
			return false;
	}
	return true;
}

// What stands for one ASCII byte that may not stand for itself. Return: its length, 0 when it may.
static size_t escape_byte(uint8_t c, char out[6])
{
	static const char digits[] = "0123456789abcdef";
	static const char shorts[32] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
	};

	if (c == '"' || c == '\\' || (c < 32 && shorts[c])) {
		out[0] = '\\';
		out[1] = c < 32 ? shorts[c] : (char)c;
		return 2;
	}
	// DEL is legal JSON, but nothing that a terminal should see.
	if (c >= 32 && c != 127)
		return 0;
	memcpy(out, "\\u00", 4);
	out[4] = digits[c >> 4];
	out[5] = digits[c & 15];
	return 6;
}

// C1 control characters (U+0080 to U+009F) steer terminals too, and U+2028/2029 end lines for some readers.
static size_t escape_wide(uint32_t c, char out[6])
{
	if ((c < 0x80 || c > 0x9f) && c != 0x2028 && c != 0x2029)
		return 0;
	memcpy(out, c < 0xa0 ? "\\u00" : "\\u20", 4);
	out[4] = "0123456789abcdef"[c >> 4 & 15];
	out[5] = "0123456789abcdef"[c & 15];
	return 6;
}

// Eight bytes of ASCII that stand for themselves: no control byte, DEL, quote or backslash.
static inline bool is_plain(const uint8_t *p)
{
	const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
	uint64_t w, quote, slash, del;

	memcpy(&w, p, 8);
	quote = w ^ ones * '"';
	slash = w ^ ones * '\\';
	del = w ^ ones * 127;
	// A borrow may report a byte above one that is found: that only makes it slow.
	return !((w | (w - ones * 32) | (quote - ones) | (slash - ones) | (del - ones)) & high);
}

static inline bool is_itself(uint8_t c)
{
	return c >= 32 && c < 127 && c != '"' && c != '\\';
}

size_t mf_json_escape(const char *in, size_t len, char *out, size_t room, size_t *ret_used)
{
	const uint8_t *p = (const uint8_t *)in;
	size_t i = 0, n = 0;

	while (i < len) {
		char esc[6];
		size_t used = 1, e;
		uint32_t c;

		// Most text is plain: eight bytes at a time.
		while (len - i >= 8 && room - n >= 8 && is_plain(p + i)) {
			memcpy(out + n, p + i, 8);
			i += 8;
			n += 8;
		}
		// ... and what is left of it one by one
		while (i < len && n < room && is_itself(p[i]))
			out[n++] = (char)p[i++];
		if (i == len)
			break;
		if (p[i] < 0x80) {
			e = escape_byte(p[i], esc);
		} else {
			used = mf_utf8_decode(p + i, len - i, &c);
			e = c >= MF_UTF8_BAD ? 3 : escape_wide(c, esc);
			if (c >= MF_UTF8_BAD)
				memcpy(esc, "\xef\xbf\xbd", 3);
		}
		if ((e ? e : used) > room - n)
			break;
		memcpy(out + n, e ? esc : in + i, e ? e : used);
		n += e ? e : used;
		i += used;
	}
	*ret_used = i;
	return n;
}

// ------------------------------------------------------------------------------------------------------------------
// Writing; each returns false, with the rest unchanged, when there is no room

static bool raw(struct mf_event *ev, const char *text, size_t len)
{
	if (ev->len + len > MF_EVENT_ROOM - TAIL)
		return false;
	memcpy(ev->buf + ev->len, text, len);
	ev->len = (uint16_t)(ev->len + len);
	return true;
}

static bool text_value(struct mf_event *ev, const char *text, size_t len)
{
	size_t n, used, want = len;

	if (len > MF_EVENT_TEXT_MAX) {
		want = MF_EVENT_TEXT_MAX;
		// Not in the middle of a character.
		while (want > MF_EVENT_TEXT_MAX - 4 && ((uint8_t)text[want] & 0xc0) == 0x80)
			want--;
		ev->truncated = true;
	}
	if (!raw(ev, "\"", 1))
		return false;
	n = mf_json_escape(text, want, ev->buf + ev->len, MF_EVENT_ROOM - TAIL - ev->len, &used);
	ev->len = (uint16_t)(ev->len + n);
	return used == want && raw(ev, "\"", 1);
}

static bool int_value(struct mf_event *ev, int64_t value)
{
	char buf[20];
	uint64_t v = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
	size_t i = sizeof(buf);

	do {
		buf[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	if (value < 0)
		buf[--i] = '-';
	return raw(ev, buf + i, sizeof(buf) - i);
}

static bool key(struct mf_event *ev, const char *name)
{
	char last = ev->buf[ev->len - 1];

	return (last == '{' || raw(ev, ",", 1)) && raw(ev, "\"", 1) &&
	       raw(ev, name, strlen(name)) && raw(ev, "\":", 2);
}

// A member is written whole or not at all.
static void check(struct mf_event *ev, uint16_t before, bool good)
{
	if (good)
		return;
	ev->len = before;
	ev->truncated = true;
}

static void member_text(struct mf_event *ev, const char *name, const char *text, size_t len)
{
	uint16_t before = ev->len;

	check(ev, before, key(ev, name) && text_value(ev, text, len));
}

static void member_cstr(struct mf_event *ev, const char *name, const char *text)
{
	if (text && *text)
		member_text(ev, name, text, strlen(text));
}

static void member_int(struct mf_event *ev, const char *name, int64_t value)
{
	uint16_t before = ev->len;

	check(ev, before, key(ev, name) && int_value(ev, value));
}

// RFC 4648 base64 of a path that is not UTF-8.
static void member_base64(struct mf_event *ev, const char *name, const char *text, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const uint8_t *p = (const uint8_t *)text;
	uint16_t before = ev->len;
	bool good = key(ev, name) && raw(ev, "\"", 1);

	for (size_t i = 0; good && i < len; i += 3) {
		size_t n = len - i < 3 ? len - i : 3;
		uint32_t v = (uint32_t)p[i] << 16 | (n > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
			     (n > 2 ? p[i + 2] : 0);
		char out[4] = { digits[v >> 18], digits[v >> 12 & 63],
				n > 1 ? digits[v >> 6 & 63] : '=', n > 2 ? digits[v & 63] : '=' };

		good = raw(ev, out, 4);
	}
	check(ev, before, good && raw(ev, "\"", 1));
}

static void member_policy(struct mf_event *ev, const struct mf_decision *d, const char *effective)
{
	const char *name = mf_verdict_name(d->verdict);
	const char *decided = d->settled ? mf_verdict_name(d->decided) : d->audit ? "audit" : name;
	uint16_t before = ev->len;

	if (!key(ev, "policy") || !raw(ev, "{", 1)) {
		check(ev, before, false);
		return;
	}
	member_cstr(ev, "decision", decided);
	member_cstr(ev, "effective_decision", effective ? effective : name);
	member_cstr(ev, "rule", d->rule);
	member_cstr(ev, "message", d->message);
	member_cstr(ev, "reason", d->reason);
	member_cstr(ev, "name", d->policy);
	member_cstr(ev, "pack", d->pack);
	member_cstr(ev, "pack_version", d->pack_version);
	member_cstr(ev, "file", d->file);
	if (d->line)
		member_int(ev, "line", d->line);
	if (d->generation)
		member_int(ev, "generation", (int64_t)d->generation);
	member_cstr(ev, "origin", mf_origin_name(d->origin));
	if (d->error)
		member_cstr(ev, "error", mf_strerror(d->error));
	// Members were only written where TAIL stayed free, so this fits.
	ev->buf[ev->len++] = '}';
}

// Puts ":port" between a text and its closing quote.
static bool add_port(struct mf_event *ev, uint16_t port)
{
	ev->len--;
	return raw(ev, ":", 1) && int_value(ev, port) && raw(ev, "\"", 1);
}

static void member_remote(struct mf_event *ev, const struct mf_event_head *head)
{
	char text[MF_ENDPOINT_TEXT_MAX];
	uint16_t before = ev->len;

	if (!head->domain || !*head->domain) {
		member_cstr(ev, "remote", mf_endpoint_format(head->remote, text, sizeof(text)));
		return;
	}
	check(ev, before,
	      key(ev, "remote") && text_value(ev, head->domain, strlen(head->domain)) &&
		      add_port(ev, head->remote->port));
}

// ------------------------------------------------------------------------------------------------------------------
// The interface

static size_t printable(char *out, size_t room, const char *text)
{
	size_t n = 0;

	for (; *text && n < room; text++)
		out[n++] = (uint8_t)*text < 32 || *text == 127 ? '?' : *text;
	return n;
}

// "api.example:443: deny: no model APIs (connect_redirects[1] models)"
static void make_notice(struct mf_event *ev, const struct mf_event_head *head)
{
	const struct mf_decision *d = head->decision;
	char at[MF_ENDPOINT_TEXT_MAX + 256] = "", text[1400];
	const char *why = d->message && *d->message ? d->message : d->reason;
	const char *what = "?";

	if (head->domain && *head->domain && head->remote)
		snprintf(at, sizeof(at), "%.253s:%u", head->domain, head->remote->port);
	else if (head->domain)
		snprintf(at, sizeof(at), "%.253s", head->domain);
	else if (head->remote)
		mf_endpoint_format(head->remote, at, sizeof(at));
	if ((unsigned)d->verdict < MF_VERDICT_NUM)
		what = mf_verdict_name(d->verdict);
	snprintf(text, sizeof(text), "%.300s%s%s%s%.400s%s%.200s%s", head->path ? head->path : at,
		 head->path || *at ? ": " : "", what, why && *why ? ": " : "", why ? why : "",
		 d->rule && *d->rule ? " (" : "", d->rule ? d->rule : "",
		 d->rule && *d->rule ? ")" : "");
	ev->notice_len = (uint16_t)printable(ev->notice, sizeof(ev->notice), text);
}

static void add_decision(struct mf_event *ev, const struct mf_event_head *head)
{
	const struct mf_decision *d = head->decision;

	ev->visibility = d->visibility;
	if (d->verdict != MF_ALLOW || d->audit)
		ev->priority = true;
	member_policy(ev, d, head->effective_decision);
	if (d->visibility == MF_WARN)
		make_notice(ev, head);
}

void mf_event_begin(struct mf_event *ev, const struct mf_event_head *head)
{
	const struct mf_event_type_info *info = mf_event_type_info(head->type);

	ev->type = head->type;
	ev->visibility = MF_AUDIT_ONLY;
	ev->priority = info && info->urgent;
	ev->truncated = ev->in_fields = ev->ended = false;
	ev->notice_len = 0;
	memcpy(ev->buf, MF_EVENT_STAMP, sizeof(MF_EVENT_STAMP) - 1);
	ev->len = sizeof(MF_EVENT_STAMP) - 1;
	member_cstr(ev, "type", info ? info->name : "?");
	// Always there, so that a reader may rely on it.
	member_text(ev, "session_id", head->session_id ? head->session_id : "",
		    head->session_id ? strlen(head->session_id) : 0);
	member_cstr(ev, "source", head->source);
	if (head->pid)
		member_int(ev, "pid", head->pid);
	if (head->parent_pid)
		member_int(ev, "parent_pid", head->parent_pid);
	member_cstr(ev, "domain", head->domain);
	if (head->remote && head->remote->addr.family)
		member_remote(ev, head);
	if (head->path) {
		size_t len = head->path_len ? head->path_len : strlen(head->path);

		member_text(ev, "path", head->path, len);
		if (!mf_utf8_valid(head->path, len))
			member_base64(ev, "path_b64", head->path, len);
	}
	member_cstr(ev, "operation", head->operation);
	member_cstr(ev, "effective_action", head->effective_action);
	if (head->decision)
		add_decision(ev, head);
}

// Begins a field; false when it must be left out.
static bool field_key(struct mf_event *ev, enum mf_event_field field, enum mf_event_value value,
		      uint16_t *ret_before)
{
	const struct mf_event_type_info *info = mf_event_type_info(ev->type);
	bool known = false;

	for (size_t i = 0; info && i < info->field_cnt; i++)
		known |= info->fields[i] == field;
	if (mf_bug(!known || ev->ended || mf_event_field_value(field) != value))
		return false;
	if (!ev->in_fields) {
		*ret_before = ev->len;
		if (!raw(ev, ",\"fields\":{", 11)) {
			check(ev, *ret_before, false);
			return false;
		}
		ev->in_fields = true;
	}
	*ret_before = ev->len;
	if (key(ev, mf_event_field_name(field)))
		return true;
	check(ev, *ret_before, false);
	return false;
}

void mf_event_add_str(struct mf_event *ev, enum mf_event_field field, const char *text, size_t len)
{
	uint16_t before;

	if (field_key(ev, field, MF_EVENT_STR, &before))
		check(ev, before, text_value(ev, text, len));
}

void mf_event_add_cstr(struct mf_event *ev, enum mf_event_field field, const char *text)
{
	if (text && *text)
		mf_event_add_str(ev, field, text, strlen(text));
}

void mf_event_add_int(struct mf_event *ev, enum mf_event_field field, int64_t value)
{
	uint16_t before;

	if (field_key(ev, field, MF_EVENT_INT, &before))
		check(ev, before, int_value(ev, value));
}

void mf_event_add_bool(struct mf_event *ev, enum mf_event_field field, bool value)
{
	uint16_t before;

	if (field_key(ev, field, MF_EVENT_BOOL, &before))
		check(ev, before, value ? raw(ev, "true", 4) : raw(ev, "false", 5));
}

// An item more, or the list stays as it is. Return: false when it did.
static bool list_item(struct mf_event *ev, const char *text, size_t len)
{
	uint16_t before = ev->len;
	bool good = (ev->buf[ev->len - 1] == '[' || raw(ev, ",", 1)) && text_value(ev, text, len);

	// Room for the ] as well.
	good = good && ev->len < MF_EVENT_ROOM - TAIL;
	check(ev, before, good);
	return good;
}

void mf_event_add_list(struct mf_event *ev, enum mf_event_field field, const char *const *items,
		       size_t cnt)
{
	uint16_t before;

	if (!field_key(ev, field, MF_EVENT_LIST, &before))
		return;
	if (!raw(ev, "[", 1) || ev->len >= MF_EVENT_ROOM - TAIL) {
		check(ev, before, false);
		return;
	}
	for (size_t i = 0; i < cnt; i++)
		if (!list_item(ev, items[i], strlen(items[i])))
			break;
	raw(ev, "]", 1);
}

void mf_event_add_addr(struct mf_event *ev, enum mf_event_field field, const struct mf_addr *addr)
{
	char text[MF_ADDR_TEXT_MAX];

	mf_event_add_cstr(ev, field, mf_addr_format(addr, text, sizeof(text)));
}

void mf_event_add_endpoint(struct mf_event *ev, enum mf_event_field field,
			   const struct mf_endpoint *ep)
{
	char text[MF_ENDPOINT_TEXT_MAX];

	mf_event_add_cstr(ev, field, mf_endpoint_format(ep, text, sizeof(text)));
}

void mf_event_add_addrs(struct mf_event *ev, enum mf_event_field field, const struct mf_addr *addrs,
			size_t cnt)
{
	uint16_t before;

	if (!field_key(ev, field, MF_EVENT_LIST, &before))
		return;
	if (!raw(ev, "[", 1) || ev->len >= MF_EVENT_ROOM - TAIL) {
		check(ev, before, false);
		return;
	}
	for (size_t i = 0; i < cnt; i++) {
		char text[MF_ADDR_TEXT_MAX];

		mf_addr_format(&addrs[i], text, sizeof(text));
		if (!list_item(ev, text, strlen(text)))
			break;
	}
	raw(ev, "]", 1);
}

const char *mf_event_end(struct mf_event *ev, size_t *ret_len)
{
	static const char truncated[] = ",\"truncated\":true";

	if (!ev->ended) {
		if (ev->in_fields)
			ev->buf[ev->len++] = '}';
		if (ev->truncated) {
			memcpy(ev->buf + ev->len, truncated, sizeof(truncated) - 1);
			ev->len = (uint16_t)(ev->len + sizeof(truncated) - 1);
		}
		ev->buf[ev->len++] = '}';
		ev->ended = true;
	}
	*ret_len = ev->len;
	return ev->buf;
}
