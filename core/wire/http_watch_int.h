/* SPDX-License-Identifier: Apache-2.0 */
/* http_watch_int.h - the parts of a watch: HTTP (http_watch.c), TLS and what may become it (http_watch_tls.c) */
#ifndef MF_WIRE_HTTP_WATCH_INT_H
#define MF_WIRE_HTTP_WATCH_INT_H

#include "core/wire/hpack.h"
#include "core/wire/http_watch.h"
#include "core/wire/tls_hello.h"

enum mf_watch_state {
	FIRST,	   /* nothing was seen yet: HTTP/1 or HTTP/2 */
	HEAD,	   /* a request, or empty lines before it */
	AFTER,	   /* behind CONNECT or Upgrade: anything */
	TOLD,	   /* the request at the front was returned: it goes */
	BODY,	   /* @left bytes */
	CHUNK,	   /* the line before a chunk */
	CHUNK_END, /* the empty line behind it */
	TRAILER,
	FRAME,	 /* HTTP/2 */
	WORDS,	 /* another protocol: TLS may begin in it */
	RECORDS, /* behind a TLS hello: there may be a second one */
	OPAQUE,
};

struct mf_http_watch {
	enum mf_watch_state state, next; /* next: what follows TOLD and BODY */
	uint64_t left;	  /* bytes to pass in TOLD and BODY, or of a chunk's size so far */
	uint32_t scanned; /* bytes of a head that hold no end */
	uint16_t line;	  /* bytes of the current line of chunks and trailers */
	uint8_t digits;
	bool in_extension, cr; /* of a chunk's line; the last byte was a CR */
	bool unsure;
	struct mf_watch_tunnel *tunnels, *told_of; /* HTTP/2: told_of has more to say */
	size_t ahead; /* ... of frames that were read and have not passed */
	size_t tunnel_bytes;
	uint32_t tunnel_cnt;
	uint8_t depth; /* of watches in one another */
	bool greeted;  /* the first acknowledgement of settings is for ours */
	struct mf_tls_scan scan;
	struct mf_hpack *hpack;
	enum mf_watch_state behind; /* a chunked body */
	char *host;		    /* MF_HPACK_VALUE_MAX; of HTTP/2, whose bytes do not stay */
	uint32_t words;		    /* bytes of another protocol that were looked at */
	bool has_tls;		    /* a hello was read */
	bool in_hello; /* WORDS: the bytes at the front are one's, and @scan is at work */
	bool early;    /* RECORDS: early data may come before the second hello */
	uint32_t early_len;
	uint8_t record_cnt;
	struct mf_watch_hello *hello; /* that was told of; until the next call */
	uint8_t sni[255], sni_len;    /* of the first hello, lower case */
};

/* The step functions: look again; wait for more; or a request is there (SAID), or an answer to us (OURS); or an error. */
enum { WAIT = 0, AGAIN = 1, SAID = 2, OURS = 3 };

/* The first @len bytes are a request of which @ret tells; @next comes behind it. */
static inline int mf_watch_tell(struct mf_http_watch *w, uint64_t len, enum mf_watch_state next)
{
	w->state = TOLD;
	w->left = len;
	w->next = next;
	w->scanned = 0;
	return SAID;
}

/* http_watch_h2.c */
int mf_watch_begin_http2(struct mf_http_watch *w);
int mf_watch_step_frame(struct mf_http_watch *w, struct mf_span in, size_t *pass,
			struct mf_http_said *ret);
void mf_watch_drop_tunnels(struct mf_http_watch *w);

/* http_watch_tls.c */
int mf_watch_step_hello(struct mf_http_watch *w, struct mf_span in, struct mf_http_said *ret);
int mf_watch_step_words(struct mf_http_watch *w, struct mf_span in, size_t *pass,
			struct mf_http_said *ret);
int mf_watch_step_records(struct mf_http_watch *w, struct mf_span in);

#endif
