/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay.h - what policies would have been asked about captured packets, and what they answer
 *
 *	mf_replay_new(&options, &replay, &err);
 *	while (... a record ...)
 *		mf_replay_packet(replay, &ip);      // tells options.question about every question that is settled
 *	mf_replay_finish(replay);
 *
 * How it works
 *
 * Packets become flows (TCP from its SYN on, UDP from its first datagram), flows become the questions that a live session
 * asks through the very same code (core/ask): dns for each question on port 53, connect for each other flow under all
 * names that the capture's own DNS answers tied to its address, sni for each TLS hello. A question is settled when
 * everything that counts has been seen: a DNS question with its answer (whose aliases may be denied), a TCP connection with
 * its client's first words, which may choose among names. Questions are told in the order of their packets.
 *
 * Up to MF_REPLAY_SIDES_MAX sets of policies are asked side by side, each at the time that the packets say.
 *
 * What happened stays what happened: names are learnt from the captured answers also where a policy would have refused
 * the question, so that each question is judged for itself.
 *
 * A capture is hostile input: flows, questions that wait, bytes of streams and fragments are bounded; what had to give way
 * is counted, and still told (a flow whose first words could not be kept is judged by what is known).
 *
 * Threads: one.
 */
#ifndef MF_CAPTURE_REPLAY_H
#define MF_CAPTURE_REPLAY_H

#include "capture/pcap_link.h"
#include "core/ask/ask.h"
#include "core/base/clock.h"

#define MF_REPLAY_SIDES_MAX 2

/* Why there is no decision. */
enum mf_replay_unasked {
	MF_REPLAY_ASKED,
	MF_REPLAY_NO_OPINION,	  /* sni: no policy has one, what connect said stands */
	MF_REPLAY_CONNECT_DENIED, /* sni: its connection does not come so far */
	MF_REPLAY_NO_NAME,	  /* dns: refused without asking, no policy can judge such a name */
	MF_REPLAY_UNASKED_NUM
};

/* What one set of policies said about one question. */
struct mf_replay_answer {
	const struct mf_decision *decision; /* NULL: see @unasked */
	enum mf_replay_unasked unasked;
	const char *host;   /* the name that the decision belongs to; NULL for none */
	const char *remark; /* what is special about it; NULL for nothing */
	bool asked_process; /* a policy wanted to know the process, which no capture tells */
};

struct mf_replay_question {
	enum mf_kind kind; /* MF_DNS, MF_CONNECT, MF_SNI */
	uint64_t time_ns, packet;
	const struct mf_session_flow *flow;
	const char *name;	  /* dns: what was asked for; sni: the server name, "" for none */
	const char *type;	  /* dns */
	const char *note;	  /* what the capture did not hold, for people; NULL for nothing */
	const char *const *names; /* connect: candidates at its time */
	size_t name_cnt;
	unsigned repeats; /* dns: the same question again before its answer */
	struct mf_replay_answer answers[MF_REPLAY_SIDES_MAX];
};

/* What becomes of a packet under the policies of the first session. */
enum mf_replay_fate_kind {
	MF_REPLAY_OTHER,  /* nothing that is judged: passes */
	MF_REPLAY_PASS,	  /* of a flow, or a question, that passes */
	MF_REPLAY_REFUSE, /* its flow, or its question, is refused from here on */
	MF_REPLAY_DIVERT, /* to the proxy, which serves it or answers it */
	MF_REPLAY_MOOT, /* would not exist: of a flow that was refused before, an answer that nobody got to give */
	MF_REPLAY_FATE_NUM
};

/*
 * A connection in which the session's resolver speaks in the server's place: after a packet of the client, or in place of what
 * one of the server carries, @said is said.
 */
struct mf_replay_speech {
	bool on;
	uint32_t
		seq; /* of what is said; all before it is what a packet of the client acknowledges */
	uint32_t ack;  /* of what is said */
	uint32_t next; /* behind it: the number of a packet of the server that carries nothing */
	struct mf_span
		said; /* whole messages with their lengths; may be empty. Valid as the fate is */
};

/*
 * What a connection becomes whose client's first words will choose, or redirect it. Its packets until then are told as those
 * of one that passes; once it is no longer @open, they are @kind. Whoever keeps one counts itself.
 */
struct mf_replay_outcome {
	unsigned refs;
	bool open;
	enum mf_replay_fate_kind kind; /* PASS or DIVERT */
};

/** mf_replay_outcome_unref() - NULL is fine */
void mf_replay_outcome_unref(struct mf_replay_outcome *o);

struct mf_replay_fate {
	enum mf_replay_fate_kind kind;
	struct mf_replay_outcome *outcome; /* borrowed; NULL: @kind is all */
	bool from_client;
	bool alone; /* a datagram of DNS: judged for itself, its flow is not remembered */
	struct mf_span
		answer; /* @alone: the message that the session gives, in place of a packet that is refused or moot, or
				* to a diverted one; empty for none. Valid as the fate is */
	struct mf_replay_speech speech; /* DNS over TCP */
	char comment[480]; /* what was decided, where something was by this packet; else "" */
};

struct mf_replay_stats {
	uint64_t packets, bytes;
	uint64_t no_ip, unknown_link, malformed, other_protocols;
	uint64_t cut; /* packets that the capture holds in part */
	uint64_t tcp_flows, udp_flows, dns_questions, dns_answers, hellos;
	uint64_t old_connections; /* TCP: their beginning is not in the capture */
	uint64_t unasked_answers; /* DNS answers without their question */
	uint64_t bad_dns, disagreeing_segments;
	uint64_t evicted_flows, evicted_questions, evicted_streams; /* bounds */
	uint64_t fragments, fragments_lost;
	uint64_t process_asked; /* questions for which a policy wanted to know the process */
	uint64_t failures;	/* questions that some policy failed to answer */
};

/* Zero means the default. */
struct mf_replay_options {
	struct mf_session
		*sessions[MF_REPLAY_SIDES_MAX]; /* vm set; names, ops are replay's to set */
	unsigned session_cnt;
	bool dns_runtime_default; /* not MF_PROXY_DNS_RESOLVE_KNOWN's rule (P13) */
	void (*question)(void *ctx, const struct mf_replay_question *q);
	void *ctx;
	uint32_t flows_max;	   /* 65,536 */
	uint32_t questions_max;	   /* that wait: 16,384 */
	uint64_t stream_bytes_max; /* 64 MiB */
};

struct mf_replay;

/* The time that the packets say: for the runtimes of the policies. monotonic never goes back. */
struct mf_replay_clock {
	uint64_t wall_ns, monotonic_ns;
};
/** mf_replay_clock_of() - An interface to @clock, which must live as long */
struct mf_clock mf_replay_clock_of(struct mf_replay_clock *clock);
void mf_replay_clock_set(struct mf_replay_clock *clock, uint64_t time_ns);

/** mf_replay_new() - @clock: the one that the sessions' runtimes use; set by mf_replay_record() */
int mf_replay_new(const struct mf_replay_options *options, struct mf_replay_clock *clock,
		  struct mf_replay **ret, struct mf_err *err);
void mf_replay_free(struct mf_replay *r);

/** mf_replay_record() - One packet of the capture, the same afterwards as before; Return: 0, MF_E_NOMEM */
int mf_replay_record(struct mf_replay *r, const struct mf_pcap_record *rec);

/**
 * mf_replay_differ() - Whether two answers to one question lead to different ends
 * Verdicts and all that is carried out with them count, provenance and reasons do not; a hello that one side does not see
 * because connect was denied is no difference of its own.
 */
bool mf_replay_differ(enum mf_kind kind, const struct mf_replay_answer *a,
		      const struct mf_replay_answer *b);

/** mf_replay_unasked_name() - "no opinion" and so on; never NULL */
const char *mf_replay_unasked_name(enum mf_replay_unasked unasked);

/** mf_replay_last_fate() - What becomes of the packet of the last mf_replay_record(); valid until the next */
const struct mf_replay_fate *mf_replay_last_fate(const struct mf_replay *r);

/** mf_replay_finish() - Settle and tell everything that still waits */
void mf_replay_finish(struct mf_replay *r);

void mf_replay_get_stats(const struct mf_replay *r, struct mf_replay_stats *ret);

#endif
