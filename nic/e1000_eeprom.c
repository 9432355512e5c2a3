/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e1000_eeprom.c - the 64 words behind EECD (a 93C46 on a microwire, bit by bit) and behind EERD
 *
 * After CS has risen, bits come in on DI at rising edges of SK: a one that starts, two of opcode, six of address. READ then
 * gives a zero and sixteen bits on DO, high one first, and goes on with the next word. WRITE takes sixteen bits and is done at
 * once (DO says ready), where EWEN has come before; ERASE likewise. (8254x manual 5.3, Fairchild FM93C46.)
 */
#include "nic/e1000_int.h"

#define COMMAND_BITS  9 /* start, opcode, address */
#define ADDRESS_MASK  (E1000_EEPROM_WORDS - 1)
#define CHECKSUM_WORD 0x3f
#define CHECKSUM      0xbaba

enum microwire_op { OP_NONE, OP_READ, OP_WRITE, OP_DONE };

void e1000_eeprom_init(struct e1000_state *s, const uint8_t mac[6])
{
	uint16_t sum = 0;

	memset(s->eeprom, 0xff, sizeof(s->eeprom));
	for (unsigned i = 0; i < 3; i++)
		s->eeprom[i] = mf_load_le16(mac + 2 * i);
	s->eeprom[0x03] = 0x0000; // compatibility
	s->eeprom[0x08] = 0x3000; // the board's number
	s->eeprom[0x09] = 0x1000;
	s->eeprom[0x0a] = 0x6403; // initialization control 1: valid, loads the identifiers
	s->eeprom[0x0b] = 0x001e; // subsystem
	s->eeprom[0x0c] = 0x8086;
	s->eeprom[0x0d] = 0x100e;
	s->eeprom[0x0e] = 0x8086;
	s->eeprom[0x0f] = 0x3040; // initialization control 2: pause both ways
	for (unsigned i = 0; i < CHECKSUM_WORD; i++)
		sum = (uint16_t)(sum + s->eeprom[i]);
	s->eeprom[CHECKSUM_WORD] = (uint16_t)(CHECKSUM - sum);
}

void e1000_eeprom_load_mac(struct e1000_state *s)
{
	s->ra[0] = s->eeprom[0] | (uint32_t)s->eeprom[1] << 16;
	s->ra[1] = s->eeprom[2] | 0x80000000u;
}

uint32_t e1000_eecd_read(const struct e1000_state *s)
{
	const struct e1000_microwire *m = &s->microwire;
	uint32_t v = s->regs[R_EECD] | EECD_PRES, dout = 1;

	if (v & EECD_REQ)
		v |= EECD_GNT;
	if (m->op == OP_READ)
		dout = m->out_left > 16 ? 0 : m->out >> 15;
	return dout ? v | EECD_DO : v & ~EECD_DO;
}

static void command(struct e1000_state *s)
{
	struct e1000_microwire *m = &s->microwire;
	uint8_t address = (uint8_t)(m->in & ADDRESS_MASK);

	m->address = address;
	m->op = OP_DONE;
	switch (m->in >> 6 & 3) {
	case 2:
		m->op = OP_READ;
		m->out = s->eeprom[address];
		m->out_left = 17; // a zero before them
		break;
	case 1:
		m->op = OP_WRITE;
		break;
	case 3:
		if (m->write_enabled)
			s->eeprom[address] = 0xffff;
		break;
	default: // by the upper two bits of the address
		if (address >> 4 == 3)
			m->write_enabled = true;
		else if (address >> 4 == 0)
			m->write_enabled = false;
	}
}

static void clock_in(struct e1000_state *s, bool bit)
{
	struct e1000_microwire *m = &s->microwire;

	if (m->op == OP_READ) {
		m->out_left--;
		if (m->out_left < 16)
			m->out = (uint16_t)(m->out << 1);
		if (m->out_left == 0) {
			m->address = (m->address + 1) & ADDRESS_MASK;
			m->out = s->eeprom[m->address];
			m->out_left = 16;
		}
		return;
	}
	if (m->op == OP_DONE || (m->bits == 0 && !bit)) // zeros before the start bit do not count
		return;
	m->in = m->in << 1 | bit;
	m->bits++;
	if (m->op == OP_NONE && m->bits == COMMAND_BITS) {
		command(s);
	} else if (m->op == OP_WRITE && m->bits == COMMAND_BITS + 16) {
		if (m->write_enabled)
			s->eeprom[m->address] = (uint16_t)m->in;
		m->op = OP_DONE;
	}
}

void e1000_eecd_write(struct e1000_state *s, uint32_t value)
{
	uint32_t old = s->regs[R_EECD];

	s->regs[R_EECD] = value & (EECD_SK | EECD_CS | EECD_DI | 0x30 | EECD_REQ);
	if (!(value & EECD_CS)) {
		bool enabled = s->microwire.write_enabled;

		memset(&s->microwire, 0, sizeof(s->microwire));
		s->microwire.write_enabled = enabled;
	} else if (value & EECD_SK && !(old & EECD_SK)) {
		clock_in(s, value & EECD_DI);
	}
}

uint32_t e1000_eerd(const struct e1000_state *s, uint32_t value)
{
	uint32_t address = value >> 8 & 0xff;
	uint32_t word = address < E1000_EEPROM_WORDS ? s->eeprom[address] : 0xffff;

	if (!(value & EERD_START))
		return value & 0xff00;
	return word << 16 | address << 8 | EERD_DONE;
}
