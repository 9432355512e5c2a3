/* SPDX-License-Identifier: Apache-2.0 */
/* replay_int.h - what the parts of one replay share; not for anybody outside replay*.c */
#ifndef MF_CAPTURE_REPLAY_INT_H
#define MF_CAPTURE_REPLAY_INT_H

#include "capture/replay.h"
#include "core/ask/dns.h"
#include "core/names/correlation.h"
#include "core/packet/reassemble.h"
#include "core/packet/stream.h"
#include "core/wire/quic_initial.h"

#define MF_REPLAY_HELLO_NS \
	(5 * MF_NS_PER_S) /* as a live session waits for a client's first words */
#define MF_REPLAY_DNS_NS     (10 * MF_NS_PER_S) /* for an answer */
#define MF_REPLAY_UDP_NS     (60 * MF_NS_PER_S) /* a flow that is quiet for longer is another one */
#define MF_REPLAY_DNS_WINDOW 65538		/* a message and its length */

enum { MF_REPLAY_CLIENT, MF_REPLAY_SERVER }; /* the sides of a connection */
enum { MF_REPLAY_DNS_BUCKETS = 4096, MF_REPLAY_REMARK_MAX = 320, MF_REPLAY_CHAIN_MAX = 64 };

/* What one side said, kept until the question is told. */
struct mf_replay_said {
	struct mf_kept *kept; /* NULL: not asked */
	char host[MF_NAME_ROOM];
	enum mf_replay_unasked unasked;
	char remark[MF_REPLAY_REMARK_MAX];
	bool asked_process;
	bool differ;  /* connect: names disagree, the client's words will choose */
	bool started; /* connect: already on its way before the client's words are heard */
};

/* A question between its asking and its telling. */
struct mf_replay_waiting {
	struct mf_replay_waiting *next;	 /* in the queue */
	struct mf_replay_waiting *chain; /* dns: in its bucket while it waits for an answer */
	struct mf_replay_flow *owner;	 /* connect that is not settled */
	enum mf_kind kind;
	bool settled, awaits_answer;
	bool moot; /* dns: the first session does not let its answer come */
	uint64_t time_ns, packet, deadline_ns;
	struct mf_session_flow flow;
	const char *note;
	unsigned repeats;
	char name[256];
	char type[16], class[16];
	struct mf_dns_query *query; /* dns */
	char (*names)[MF_NAME_ROOM];
	size_t name_cnt;
	struct mf_replay_said said[MF_REPLAY_SIDES_MAX];
};

struct mf_replay_flow {
	struct mf_replay_flow *chain, *newer, *older;
	struct mf_session_flow ends;
	uint64_t seen_ns;
	uint32_t client_isn;
	bool old;  /* its beginning is not in the capture: nothing is asked */
	bool dns;  /* port 53 */
	bool held; /* its names are held (core/names) */
	bool has_server_isn, cut, not_tls;
	bool has_fin, has_server_fin;
	bool refused; /* one of its packets was */
	enum mf_replay_fate_kind fate;
	struct mf_replay_outcome *
		outcome; /* from when on nothing but its client's words can tell; NULL: it is known */
	uint32_t fin_seq;		    /* of the client's */
	struct mf_replay_waiting *question; /* connect, while it is not settled */
	struct mf_stream *streams[2];	    /* MF_REPLAY_CLIENT, _SERVER; while somebody reads it */
	struct mf_replay_voice *voice;	    /* DNS over TCP, once we speak in it */
	struct mf_tls_scan *scan;
	struct mf_quic_reader *quic; /* while its hello is waited for */
};

struct mf_replay {
	struct mf_replay_options opt;
	struct mf_replay_clock *clock;
	struct mf_clock mf_clock;
	struct mf_replay_stats stats;
	struct mf_view_stats view_stats;
	struct mf_replay_fate fate;	/* of the packet */
	struct mf_replay_flow *current; /* whose segment it is */
	struct mf_asker askers[MF_REPLAY_SIDES_MAX];
	struct mf_names *names;
	struct mf_reassembler *reassembler;
	struct mf_dns_chain *dns_chain;
	uint8_t *joined;  /* MF_TLS_HELLO_MAX */
	uint8_t *message; /* MF_DNS_MESSAGE_MAX: composed by mf_replay_compose() */
	uint8_t *says;	  /* what the packet leads to in its connection */
	size_t says_len, says_room;
	struct mf_quic_crypto *quic_crypto; /* with the first packet of QUIC */
	/* flows */
	struct mf_replay_flow **buckets;
	uint32_t bucket_cnt, flow_cnt; /* a power of two */
	struct mf_replay_flow *newest, *oldest;
	uint64_t seed;
	uint64_t stream_bytes;
	/* questions */
	struct mf_replay_waiting *first, **last;
	uint32_t waiting_cnt;
	struct mf_replay_waiting *dns_buckets[MF_REPLAY_DNS_BUCKETS];
	uint64_t packet; /* number of the packet that is being looked at */
	bool no_memory;
};

/* replay_queue.c */
/** mf_replay_make_room() - For one more question: those that wait for longest are settled as they stand */
void mf_replay_make_room(struct mf_replay *r);
struct mf_replay_waiting *mf_replay_ask_later(struct mf_replay *r, enum mf_kind kind,
					      const struct mf_session_flow *flow);
/** mf_replay_settle() - Nothing can change @w any more; it is told when it is its turn */
void mf_replay_settle(struct mf_replay *r, struct mf_replay_waiting *w);
/** mf_replay_settle_until() - Settle what has waited for too long */
void mf_replay_settle_until(struct mf_replay *r, uint64_t now_ns);
/** mf_replay_settle_first() - Settle the question that has waited for longest, as it stands; Return: false for none */
bool mf_replay_settle_first(struct mf_replay *r, const char *note);
/** mf_replay_wanted() - Whether the question that side @i was asked last read what a capture does not tell: the process */
bool mf_replay_wanted(const struct mf_replay *r, unsigned i);
/** mf_replay_answer() - Side @i said @d to the question that it was asked last; @host: "" for none */
void mf_replay_answer(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
		      const struct mf_decision *d, const char *host);
/** mf_replay_take() - The same for a decision that no policy took */
void mf_replay_take(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
		    const struct mf_decision *d, const char *host);
/** mf_replay_deny() - Every side that would let it through refuses it, for a reason of the program's own */
void mf_replay_deny(struct mf_replay *r, struct mf_replay_waiting *w, const char *why);
static inline bool mf_replay_denies(const struct mf_replay_said *s)
{
	return s->kept && mf_verdict_rank(&s->kept->d) == 4;
}

/* replay_fate.c */
void mf_replay_begin_fate(struct mf_replay *r);
/** mf_replay_comment() - The packet's comment gets what side 0 said */
void mf_replay_comment(struct mf_replay *r, enum mf_kind kind, const struct mf_replay_said *s);
enum mf_replay_fate_kind mf_replay_fate_of(const struct mf_replay_said *s);
/** mf_replay_flow_fate() - The packet is one of @f */
void mf_replay_flow_fate(struct mf_replay *r, struct mf_replay_flow *f, bool from_client);
/** mf_replay_leave_open() - What becomes of @f's packets is for its client's words to tell */
void mf_replay_leave_open(struct mf_replay *r, struct mf_replay_flow *f);
/** mf_replay_set_outcome() - It is told: @f->fate */
void mf_replay_set_outcome(struct mf_replay_flow *f);

/* replay_dns.c */
/** mf_replay_dns_question() - Return: the message that the first session gives itself, empty for none; valid until the next */
struct mf_span mf_replay_dns_question(struct mf_replay *r, const struct mf_session_flow *flow,
				      struct mf_span msg);
/** mf_replay_dns_answer() - Return: false: it does not reach its client, but *ret_instead does unless it is empty */
bool mf_replay_dns_answer(struct mf_replay *r, const struct mf_session_flow *flow,
			  struct mf_span msg, struct mf_span *ret_instead);
void mf_replay_dns_forget(struct mf_replay *r, struct mf_replay_waiting *w);

/* replay_say.c */
/** mf_replay_compose() - What the first session says to a question that it refuses or answers itself
 * Return: empty where it would ask about another name; valid until the next */
struct mf_span mf_replay_compose(struct mf_replay *r, const struct mf_replay_waiting *w);
/** mf_replay_say() - A message of ours in @f; nothing where the capture does not tell what the server has said so far */
void mf_replay_say(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span msg);
/** mf_replay_hear() - A message of the server, with its length, is whole. @instead: said where it does not reach its client */
void mf_replay_hear(struct mf_replay *r, struct mf_replay_flow *f, struct mf_span framed,
		    bool reaches, struct mf_span instead);
/** mf_replay_voice_fate() - The packet is one of @f, and has been taken */
void mf_replay_voice_fate(struct mf_replay *r, struct mf_replay_flow *f, const struct mf_view *view,
			  bool from_client);
void mf_replay_free_voice(struct mf_replay_flow *f);

/* replay_judge.c */
bool mf_replay_wants_rewrite(const struct mf_replay_said *s);
/** mf_replay_goes_on() - Whether a flow goes somewhere, or its client's words may make it */
bool mf_replay_goes_on(const struct mf_replay_said *s);
bool mf_replay_any_goes_on(const struct mf_replay *r, const struct mf_replay_waiting *w);
/** mf_replay_list_names() - The names of a question's server, as it is asked */
void mf_replay_list_names(struct mf_replay *r, struct mf_replay_waiting *w);
/** mf_replay_judge_said() - connect again on side @i where what the client says changes what was decided
 * @name, @len: "" for a client that says none. Return: whether the name is one of the address' */
bool mf_replay_judge_said(struct mf_replay *r, struct mf_replay_waiting *w, unsigned i,
			  const char *name, size_t len);
/** mf_replay_judge_hello() - A hello is whole: sni is asked, and the flow's question settled */
void mf_replay_judge_hello(struct mf_replay *r, struct mf_replay_flow *f,
			   const struct mf_tls_hello *h);
/** mf_replay_end_question() - The flow's client has been heard, or will not be; settles connect if it is open */
void mf_replay_end_question(struct mf_replay *r, struct mf_replay_flow *f, const char *note);

/* replay_tcp.c */
extern const char mf_replay_late[]; /* the note of a question whose client was too slow */
void mf_replay_tcp(struct mf_replay *r, const struct mf_view *v, uint32_t missing);
/** mf_replay_tcp_end() - Nothing more comes of @f's client: its question is settled by what is there */
void mf_replay_tcp_end(struct mf_replay *r, struct mf_replay_flow *f, const char *note);

/* replay_udp.c */
void mf_replay_udp(struct mf_replay *r, const struct mf_view *v, uint32_t missing);
/** mf_replay_udp_end() - As mf_replay_tcp_end() */
void mf_replay_udp_end(struct mf_replay *r, struct mf_replay_flow *f, const char *note);
void mf_replay_free_quic(struct mf_replay *r, struct mf_replay_flow *f);

/* replay.c */
struct mf_replay_flow *mf_replay_find_flow(struct mf_replay *r, enum mf_proto proto,
					   const struct mf_flow *packet, bool *ret_from_client);
struct mf_replay_flow *mf_replay_new_flow(struct mf_replay *r, const struct mf_session_flow *ends);
void mf_replay_end_flow(struct mf_replay *r, struct mf_replay_flow *f, const char *note);
/** mf_replay_give_up() - Nothing more is waited for of @f's client */
void mf_replay_give_up(struct mf_replay *r, struct mf_replay_flow *f, const char *note);
/** mf_replay_touch() - A packet of @f was seen now */
void mf_replay_touch(struct mf_replay *r, struct mf_replay_flow *f);
/** mf_replay_close_flow() - The connection has ended: its names are no longer held */
void mf_replay_close_flow(struct mf_replay *r, struct mf_replay_flow *f);
void mf_replay_free_stream(struct mf_replay *r, struct mf_replay_flow *f, unsigned which);
/** mf_replay_mind_bytes() - What is kept has grown for @f; false: it is too much, @f gives way */
bool mf_replay_mind_bytes(struct mf_replay *r, const struct mf_replay_flow *f);
/** mf_replay_keep_bytes() - A segment's payload into a stream; false: it could not be kept */
bool mf_replay_keep_bytes(struct mf_replay *r, struct mf_replay_flow *f, unsigned which,
			  uint32_t seq, struct mf_span payload);
bool mf_replay_begin_stream(struct mf_replay *r, struct mf_replay_flow *f, unsigned which,
			    uint32_t seq, uint32_t window);

#endif
