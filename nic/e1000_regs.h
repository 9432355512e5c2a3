/* SPDX-License-Identifier: Apache-2.0 */
/* e1000_regs.h - offsets and bits of the 82540EM, as in chapter 13 of the 8254x manual (descriptors: chapter 3) */
#ifndef MF_NIC_E1000_REGS_H
#define MF_NIC_E1000_REGS_H

/*
 * Registers that hold a value: name, offset, value after a reset, bits that a guest may write.
 * Those with effects are looked at in e1000_registers.c before this table is.
 */
#define MF_E1000_REGISTERS(X)                                                                              \
	X(CTRL, 0x0000, 0x00000201, 0xfffffff7)                                                            \
	X(STATUS, 0x0008, 0x00000080, 0)                                                                   \
	X(EECD, 0x0010, 0x00000110, 0x0000007f)                                                            \
	X(EERD, 0x0014, 0, 0)                                                                              \
	X(CTRL_EXT, 0x0018, 0, 0xffffffff)                                                                 \
	X(FLA, 0x001c, 0, 0)                                                                               \
	X(MDIC, 0x0020, 0x10000000, 0)                                                                     \
	X(FCAL, 0x0028, 0x00c28001, 0xffffffff)                                                            \
	X(FCAH, 0x002c, 0x00000100, 0x0000ffff)                                                            \
	X(FCT, 0x0030, 0x00008808, 0x0000ffff)                                                             \
	X(VET, 0x0038, 0x00008100, 0x0000ffff)                                                             \
	X(ICR, 0x00c0, 0, 0)                                                                               \
	X(ITR, 0x00c4, 0, 0x0000ffff)                                                                      \
	X(ICS, 0x00c8, 0, 0)                                                                               \
	X(IMS, 0x00d0, 0, 0)                                                                               \
	X(IMC, 0x00d8, 0, 0)                                                                               \
	X(RCTL, 0x0100, 0, 0x06dfb3fe)                                                                     \
	X(FCTTV, 0x0170, 0, 0x0000ffff)                                                                    \
	X(TXCW, 0x0178, 0, 0xffffffff)                                                                     \
	X(RXCW, 0x0180, 0, 0)                                                                              \
	X(TCTL, 0x0400, 0, 0x037ffffa)                                                                     \
	X(TIPG, 0x0410, 0x00602008, 0x3fffffff)                                                            \
	X(AIFS, 0x0458, 0, 0x0000ffff)                                                                     \
	X(LEDCTL, 0x0e00, 0x07068302, 0xffffffff)                                                          \
	X(PBA, 0x1000, 0x00100030, 0x0000ffff)                                                             \
	X(FCRTL, 0x2160, 0, 0x8000fff8)                                                                    \
	X(FCRTH, 0x2168, 0, 0x0000fff8)                                                                    \
	X(RDBAL, 0x2800, 0, 0xfffffff0)                                                                    \
	X(RDBAH, 0x2804, 0, 0xffffffff)                                                                    \
	X(RDLEN, 0x2808, 0, 0x000fff80)                                                                    \
	X(RDH, 0x2810, 0, 0x0000ffff)                                                                      \
	X(RDT, 0x2818, 0, 0x0000ffff)                                                                      \
	X(RDTR, 0x2820, 0, 0x0000ffff)                                                                     \
	X(RXDCTL, 0x2828, 0x00010000, 0x013f3f3f)                                                          \
	X(RADV, 0x282c, 0, 0x0000ffff)                                                                     \
	X(RSRPD, 0x2c00, 0, 0x00000fff)                                                                    \
	X(TXDMAC, 0x3000, 0, 0x00000001)                                                                   \
	X(TDBAL, 0x3800, 0, 0xfffffff0)                                                                    \
	X(TDBAH, 0x3804, 0, 0xffffffff)                                                                    \
	X(TDLEN, 0x3808, 0, 0x000fff80)                                                                    \
	X(TDH, 0x3810, 0, 0x0000ffff)                                                                      \
	X(TDT, 0x3818, 0, 0x0000ffff)                                                                      \
	X(TIDV, 0x3820, 0, 0x0000ffff)                                                                     \
	X(TXDCTL, 0x3828, 0, 0xff3f3f3f)                                                                   \
	X(TADV, 0x382c, 0, 0x0000ffff)                                                                     \
	X(TSPMT, 0x3830, 0x01000400, 0xffffffff)                                                           \
	X(RXCSUM, 0x5000, 0, 0x000007ff)                                                                   \
	X(WUC, 0x5800, 0, 0x0000000b)                                                                      \
	X(WUFC, 0x5808, 0, 0x000f00ff)                                                                     \
	X(WUS, 0x5810, 0, 0)                                                                               \
	X(MANC, 0x5820, 0, 0xffffffff)                                                                     \
	X(IPAV, 0x5838, 0, 0x0001000f)                                                                     \
	X(WUPL, 0x5900, 0, 0)                                                                              \
	/* of its relatives: written by drivers that take all of them for one; hold a value, do nothing */ \
	X(RFCTL, 0x5008, 0, 0xffffffff)                                                                    \
	/* U-Boot reads no EEPROM unless it can take SWSM's semaphore (SWESMBI) */                         \
	X(SWSM, 0x5b50, 0, 0x00000002)                                                                     \
	X(FWSM, 0x5b54, 0, 0)                                                                              \
	X(SW_FW_SYNC, 0x5b5c, 0, 0)

/* Offsets, as MF_E1000_CTRL. */
#define MF_E1000_OFFSET(name, offset, reset, writable) MF_E1000_##name = (offset),
enum mf_e1000_offset { MF_E1000_REGISTERS(MF_E1000_OFFSET) };

/* Where each stands in the array of values, as R_CTRL. */
#define MF_E1000_SLOT(name, offset, reset, writable) R_##name,
enum mf_e1000_slot { MF_E1000_REGISTERS(MF_E1000_SLOT) R_NUM };

#define MF_E1000_BAR_SIZE    0x20000
#define MF_E1000_IO_BAR_SIZE 0x40
#define MF_E1000_STATS	     0x4000 /* ... 0x40fc */
#define MF_E1000_STATS_NUM   64
#define MF_E1000_MTA	     0x5200
#define MF_E1000_MTA_NUM     128
#define MF_E1000_RA	     0x5400
#define MF_E1000_RA_NUM	     32 /* 16 pairs */
#define MF_E1000_VFTA	     0x5600
#define MF_E1000_VFTA_NUM    128

#define CTRL_SLU	     0x00000040u
#define CTRL_RST	     0x04000000u
#define CTRL_VME	     0x40000000u
#define CTRL_PHY_RST	     0x80000000u
#define STATUS_FD	     0x00000001u
#define STATUS_LU	     0x00000002u
#define STATUS_1000	     0x00000080u
#define CTRL_EXT_EE_RST	     0x00002000u

#define EECD_SK		     0x01u
#define EECD_CS		     0x02u
#define EECD_DI		     0x04u
#define EECD_DO		     0x08u
#define EECD_REQ	     0x40u
#define EECD_GNT	     0x80u
#define EECD_PRES	     0x100u

#define EERD_START	     0x01u
#define EERD_DONE	     0x10u

#define MDIC_WRITE	     0x04000000u
#define MDIC_READ	     0x08000000u
#define MDIC_READY	     0x10000000u
#define MDIC_INTERRUPT	     0x20000000u
#define MDIC_ERROR	     0x40000000u

#define ICR_TXDW	     0x00000001u
#define ICR_TXQE	     0x00000002u
#define ICR_LSC		     0x00000004u
#define ICR_RXDMT0	     0x00000010u
#define ICR_RXO		     0x00000040u
#define ICR_RXT0	     0x00000080u
#define ICR_MDAC	     0x00000200u
#define ICR_TXDLOW	     0x00008000u
#define ICR_SRPD	     0x00010000u
#define ICR_ALL		     0x0001ffffu

#define RCTL_EN		     0x00000002u
#define RCTL_UPE	     0x00000008u
#define RCTL_MPE	     0x00000010u
#define RCTL_LPE	     0x00000020u
#define RCTL_LBM	     0x000000c0u
#define RCTL_BAM	     0x00008000u
#define RCTL_VFE	     0x00040000u
#define RCTL_CFIEN	     0x00080000u
#define RCTL_CFI	     0x00100000u
#define RCTL_BSEX	     0x02000000u
#define RCTL_SECRC	     0x04000000u

#define TCTL_EN		     0x00000002u

#define RXCSUM_IPOFL	     0x100u
#define RXCSUM_TUOFL	     0x200u

#define RDTR_FPD	     0x80000000u

/* Descriptors. CMD and DCMD share their bits but for IC and TSE. */
#define TXD_EOP	   0x01u
#define TXD_IFCS   0x02u
#define TXD_IC	   0x04u /* legacy */
#define TXD_TSE	   0x04u /* data, context */
#define TXD_RS	   0x08u
#define TXD_RPS	   0x10u
#define TXD_DEXT   0x20u
#define TXD_VLE	   0x40u
#define TXD_IDE	   0x80u
#define TXD_DD	   0x01u
#define TUCMD_TCP  0x01u
#define TUCMD_IP   0x02u
#define POPTS_IXSM 0x01u
#define POPTS_TXSM 0x02u

#define RXD_DD	   0x01u
#define RXD_EOP	   0x02u
#define RXD_IXSM   0x04u
#define RXD_VP	   0x08u
#define RXD_TCPCS  0x20u
#define RXD_IPCS   0x40u
#define RXD_PIF	   0x80u
#define RXD_TCPE   0x20u /* errors */
#define RXD_IPE	   0x40u
#define RXD_RXE	   0x80u

#endif
