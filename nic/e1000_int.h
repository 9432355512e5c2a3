/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_int.h - the state of the 82540EM model, and what its files do for each other */
#ifndef MF_NIC_E1000_INT_H
#define MF_NIC_E1000_INT_H

#include "nic/e1000.h"
#include "nic/e1000_regs.h"
#include "nic/offload.h"

#define E1000_DESC_LEN	    16u
#define E1000_EEPROM_WORDS  64u
#define E1000_PHY_REGISTERS 32u
#define E1000_FRAME_MAX	    16384u /* with FCS: long packets */
#define E1000_TX_BYTES_MAX \
	(65536u + 1024u)	   /* of one packet before segmentation, headers included */
#define E1000_HEAD_MAX	      512u /* of a packet's bytes that are copied where there is an offload */
#define E1000_TX_BUDGET	      256u	 /* descriptors at one go */
#define E1000_TX_BYTES_BUDGET (1u << 20) /* behind them a kick begins no packet */
#define E1000_THROTTLE_NS     256u	 /* a unit of ITR */
#define E1000_NEVER	      UINT64_MAX

/* Statistics: numbers of registers from 0x4000 on. */
enum e1000_stat {
	STAT_MPC = 0x10 / 4,
	STAT_PRC64 = 0x5c / 4, /* ... 127, 255, 511, 1023, 1522 */
	STAT_GPRC = 0x74 / 4,
	STAT_BPRC = 0x78 / 4,
	STAT_MPRC = 0x7c / 4,
	STAT_GPTC = 0x80 / 4,
	STAT_GORC = 0x88 / 4, /* 64 bits */
	STAT_GOTC = 0x90 / 4, /* 64 bits */
	STAT_RNBC = 0xa0 / 4,
	STAT_RUC = 0xa4 / 4,
	STAT_ROC = 0xac / 4,
	STAT_TOR = 0xc0 / 4, /* 64 bits */
	STAT_TOT = 0xc8 / 4, /* 64 bits */
	STAT_TPR = 0xd0 / 4,
	STAT_TPT = 0xd4 / 4,
	STAT_PTC64 = 0xd8 / 4, /* ... 1522 */
	STAT_MPTC = 0xf0 / 4,
	STAT_BPTC = 0xf4 / 4,
	STAT_TSCTC = 0xf8 / 4,
};

/* A context descriptor as it was read. */
struct e1000_context {
	uint8_t ipcss, ipcso, tucss, tucso, tucmd, hdrlen;
	uint16_t ipcse, tucse, mss;
};

/* The packet that is put together from descriptors. */
struct e1000_packet {
	uint8_t kind; /* enum e1000_packet_kind */
	uint8_t dcmd; /* of its first descriptor */
	uint8_t popts;
	bool bad;     /* dropped at its end, counted */
	uint32_t len; /* bytes in e1000_state.spill */
};

enum e1000_packet_kind { PACKET_NONE, PACKET_LEGACY, PACKET_DATA };

/* The microwire EEPROM behind EECD. */
struct e1000_microwire {
	uint8_t bits;	  /* clocked in since CS rose, stops at 255 */
	uint32_t in;	  /* the last 32 of them */
	uint8_t address;  /* of the word that is read or written */
	uint8_t out_left; /* bits of @out still to come */
	uint16_t out;
	uint8_t op; /* 0 until start, opcode and address have come; then enum in e1000_eeprom.c */
	bool write_enabled;
};

/* A timer: E1000_NEVER while it does not run. */
struct e1000_timers {
	uint64_t rx_packet, rx_absolute, tx_packet, tx_absolute;
	uint64_t throttle; /* no interrupt before: 0 = any time */
};

/* All that a snapshot holds, beside the configuration space. */
struct e1000_state {
	uint32_t regs[R_NUM];
	uint32_t stats[MF_E1000_STATS_NUM];
	uint32_t mta[MF_E1000_MTA_NUM], ra[MF_E1000_RA_NUM], vfta[MF_E1000_VFTA_NUM];
	uint32_t ioaddr;
	uint16_t eeprom[E1000_EEPROM_WORDS];
	uint16_t phy[E1000_PHY_REGISTERS];
	struct e1000_microwire microwire;
	struct e1000_timers timers;
	struct e1000_context context, tso_context;
	struct e1000_packet packet;
	bool link_up;
	bool tx_more;			   /* the ring holds descriptors that the last kick left */
	uint8_t spill[E1000_TX_BYTES_MAX]; /* the packet's bytes that a kick ended with */
};

/* A piece of the packet in guest memory, within one kick. */
struct e1000_piece {
	uint64_t gpa;
	uint32_t len;
};

struct e1000 {
	struct mf_nic nic; /* first */
	struct e1000_state s;
	uint64_t now;	   /* the latest time that was said */
	bool want_buffers; /* receive_ready() is owed */
	bool in_loopback;
	/* one kick's */
	struct e1000_piece pieces[MF_NIC_PARTS_MAX];
	unsigned piece_cnt;
	struct mf_span parts[MF_NIC_PARTS_MAX + 2];
	uint8_t head[E1000_HEAD_MAX];
	uint8_t flat[E1000_FRAME_MAX]; /* a received frame in one piece */
	/* notices: each unknown register once, 64 at most */
	uint32_t unknown_seen[MF_E1000_BAR_SIZE / 4 / 32];
	unsigned unknown_cnt;
	struct e1000_state spare; /* a snapshot is read into it first */
};

static inline struct e1000 *e1000_of(struct mf_nic *nic)
{
	return (struct e1000 *)nic;
}

static inline void e1000_set_now(struct e1000 *e, uint64_t now_ns)
{
	if (now_ns > e->now)
		e->now = now_ns;
}

/* Kinds of mf_nic_notice(). */
enum e1000_notice {
	NOTICE_TX_RING,
	NOTICE_RX_RING,
	NOTICE_TX_DESCRIPTOR,
	NOTICE_TX_KIND,
	NOTICE_TX_LONG,
	NOTICE_RX_BUFFER,
	NOTICE_CONTEXT,
};

/* A ring as its registers have it. */
struct e1000_ring {
	uint64_t base;
	uint32_t cnt; /* descriptors, 0: there is none */
};

static inline struct e1000_ring e1000_ring_of(const struct e1000 *e, unsigned bal)
{
	return (struct e1000_ring){ e->s.regs[bal] | (uint64_t)e->s.regs[bal + 1] << 32,
				    e->s.regs[bal + 2] / E1000_DESC_LEN };
}

/* e1000_registers.c */
extern const uint32_t e1000_writable[R_NUM]; /* bits that a guest may write */
uint32_t e1000_register_read(struct e1000 *e, uint32_t off);
void e1000_register_write(struct e1000 *e, uint32_t off, uint32_t value);
void e1000_registers_reset(
	struct e1000 *e); /* CTRL.RST: all but the configuration space, PHY and EEPROM */
uint64_t e1000_bar_read(struct mf_nic *nic, unsigned bar, uint64_t off, unsigned size,
			uint64_t now_ns);
void e1000_bar_write(struct mf_nic *nic, unsigned bar, uint64_t off, uint64_t value, unsigned size,
		     uint64_t now_ns);

/* e1000_eeprom.c */
void e1000_eeprom_init(struct e1000_state *s, const uint8_t mac[6]);
void e1000_eeprom_load_mac(struct e1000_state *s); /* into RA[0] */
uint32_t e1000_eecd_read(const struct e1000_state *s);
void e1000_eecd_write(struct e1000_state *s, uint32_t value);
uint32_t e1000_eerd(const struct e1000_state *s, uint32_t value); /* what EERD then holds */

/* e1000_phy.c */
void e1000_phy_reset(struct e1000_state *s);
void e1000_mdic_write(struct e1000 *e, uint32_t value);
void e1000_set_link(struct mf_nic *nic, bool up, uint64_t now_ns);

/* e1000_irq.c */
void e1000_irq_raise(struct e1000 *e, uint32_t causes);
void e1000_irq_update(struct e1000 *e); /* ICR, IMS, ITR or the time have changed */
void e1000_irq_received(struct e1000 *e,
			size_t len); /* a frame has come: RXT0 now, or by its timers */
void e1000_irq_sent(struct e1000 *e, bool now,
		    bool delayed); /* descriptors with RS are done, without IDE and with it */
void e1000_irq_run_timers(struct e1000 *e);
uint64_t e1000_irq_deadline(const struct e1000 *e);

/* e1000_tx.c */
void e1000_tx_kick(struct e1000 *e);

/* e1000_rx.c */
enum mf_nic_received e1000_receive(struct mf_nic *nic, const struct mf_span *parts, unsigned cnt,
				   size_t len, const struct mf_nic_offload *offload,
				   uint64_t now_ns);
void e1000_rx_tail_written(struct e1000 *e);

/* e1000_filter.c */
enum e1000_match { MATCH_NONE, MATCH_EXACT, MATCH_INEXACT };
enum e1000_match e1000_filter(const struct e1000_state *s, const uint8_t *frame, size_t len);

/* e1000_stats.c */
void e1000_stat_add(struct e1000_state *s, enum e1000_stat stat,
		    uint32_t n);			       /* sticks at all ones */
uint32_t e1000_stat_read(struct e1000_state *s, uint32_t off); /* clears */
void e1000_stat_sent(struct e1000_state *s, const uint8_t *dst, size_t len, unsigned frames);
void e1000_stat_received(struct e1000_state *s, const uint8_t *dst, size_t len);

/* e1000_snapshot.c */
size_t e1000_save(const struct mf_nic *nic, void *ptr, size_t cap);
int e1000_restore(struct mf_nic *nic, const void *ptr, size_t len, struct mf_err *err);

#endif
