/* SPDX-License-Identifier: Apache-2.0 */
/* monitor_record_linux.c - see monitor_record_linux.h */
#include "fs/monitor_record_linux.h"

#include <stddef.h>
#include <string.h>

#include "core/base/err.h"

/* Linux 5.17 */
#define INFO_OLD_DFID_NAME 10
#define INFO_NEW_DFID_NAME 12

#define FSID_LEN	   8
#define HANDLE_HEAD	   8 /* struct file_handle: length and type */

/* One info record after its header: file system, handle and, behind it, a name. Return: false: it is cut off */
static bool take_fid(struct mf_span body, struct mf_span *ret_handle, struct mf_span *ret_name)
{
	uint32_t bytes;
	size_t len;
	const uint8_t *end;

	if (body.len < FSID_LEN + HANDLE_HEAD)
		return false;
	memcpy(&bytes, body.ptr + FSID_LEN, sizeof(bytes));
	if (bytes > body.len - FSID_LEN - HANDLE_HEAD)
		return false;
	len = FSID_LEN + HANDLE_HEAD + bytes;
	*ret_handle = mf_span_of(body.ptr, len);
	if (!ret_name)
		return true;
	end = body.len > len ? memchr(body.ptr + len, '\0', body.len - len) : NULL;
	*ret_name = end ? mf_span_of(body.ptr + len, (size_t)(end - body.ptr) - len)
			: mf_span_of(body.ptr + len, 0);
	return true;
}

static bool take_info(uint8_t type, struct mf_span body, struct mf_monitor_record *r)
{
	switch (type) {
	case FAN_EVENT_INFO_TYPE_FID:
		return take_fid(body, &r->object, NULL);
	case FAN_EVENT_INFO_TYPE_DFID_NAME:
	case INFO_OLD_DFID_NAME:
		return take_fid(body, &r->dir, &r->name);
	case FAN_EVENT_INFO_TYPE_DFID:
		return take_fid(body, &r->dir, NULL);
	case INFO_NEW_DFID_NAME:
		return take_fid(body, &r->new_dir, &r->new_name);
	default:
		return true; // of a kernel that knows more
	}
}

int mf_monitor_record_next(struct mf_span *data, struct mf_monitor_record *r)
{
	struct fanotify_event_metadata meta;
	struct fanotify_event_info_header head;
	struct mf_span rest;

	if (!data->len)
		return 0;
	if (data->len < sizeof(meta))
		return MF_E_BAD;
	memcpy(&meta, data->ptr, sizeof(meta));
	if (meta.vers != FANOTIFY_METADATA_VERSION || meta.metadata_len < sizeof(meta) ||
	    meta.event_len < meta.metadata_len || meta.event_len > data->len)
		return MF_E_BAD;
	rest = mf_span_of(data->ptr + meta.metadata_len, meta.event_len - meta.metadata_len);
	*data = mf_span_of(data->ptr + meta.event_len, data->len - meta.event_len);
	*r = (struct mf_monitor_record){ .mask = meta.mask, .pid = meta.pid };
	while (rest.len >= sizeof(head)) {
		memcpy(&head, rest.ptr, sizeof(head));
		if (head.len < sizeof(head) || head.len > rest.len ||
		    !take_info(head.info_type,
			       mf_span_of(rest.ptr + sizeof(head), head.len - sizeof(head)), r))
			return MF_E_BAD;
		rest = mf_span_of(rest.ptr + head.len, rest.len - head.len);
	}
	return 1;
}
