/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel emulates is read from its arch/x86/kernel/uprobes.c, branch_xol_ops and
 * push_xol_ops: push of a register, nop of one byte, direct jumps and calls, near and short. Longer
 * nops are emulated by recent kernels only. Where one of these has a prefix that kernel refuses it
 * is refused here.
 */
#include "parse/insn.h"

#include <Zydis/Zydis.h>

static void init_decoder(ZydisDecoder *decoder)
{
	ZydisDecoderInit(decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
}

/* INSN_NO_REG for what is no general register. */
static uint8_t register_number(ZydisRegister reg)
{
	static const uint8_t dwarf[INSN_REGS] = {
		0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15,
	};
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15)
		return INSN_NO_REG;
	return dwarf[whole - ZYDIS_REGISTER_RAX];
}

static bool has_prefix(const ZydisDecodedInstruction *in, uint8_t value)
{
	for (int i = 0; i < in->raw.prefix_count; i++)
		if (in->raw.prefixes[i].value == value)
			return true;
	return false;
}

static bool is_refused(const ZydisDecodedInstruction *in)
{
	/* lock and the segments of old: is_prefix_bad() of the kernel. */
	static const uint8_t bad_prefixes[] = { 0xf0, 0x26, 0x2e, 0x36, 0x3e };

	for (size_t i = 0; i < sizeof(bad_prefixes); i++)
		if (has_prefix(in, bad_prefixes[i]))
			return true;
	return in->encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY ||
	       in->attributes & ZYDIS_ATTRIB_IS_PRIVILEGED ||
	       in->meta.category == ZYDIS_CATEGORY_INTERRUPT ||
	       in->meta.category == ZYDIS_CATEGORY_SYSTEM ||
	       in->meta.category == ZYDIS_CATEGORY_SYSCALL ||
	       in->meta.category == ZYDIS_CATEGORY_SYSRET ||
	       in->meta.category == ZYDIS_CATEGORY_IO ||
	       in->meta.category == ZYDIS_CATEGORY_IOSTRINGOP || in->mnemonic == ZYDIS_MNEMONIC_UD2;
}

/*
 * Linux 6.18 puts a call in the place of such a nop, of a page that it maps for it and that a
 * fork's child does not have: the child would end with SIGSEGV at its first hit.
 */
static bool is_turned_into_call(const ZydisDecodedInstruction *in)
{
	return in->mnemonic == ZYDIS_MNEMONIC_NOP && in->length == 5;
}

static bool is_push_of_register(const ZydisDecodedInstruction *in)
{
	const bool plain = in->length == 1, extended = in->length == 2 && has_prefix(in, 0x41);

	return in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->opcode >= 0x50 &&
	       in->opcode <= 0x57 && (plain || extended);
}

static bool is_emulated(const ZydisDecodedInstruction *in)
{
	const bool is_first = in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT;
	const uint8_t op = in->opcode;

	if (is_first && op == 0x90)
		return in->mnemonic == ZYDIS_MNEMONIC_NOP;
	if (is_push_of_register(in))
		return true;
	if (has_prefix(in, 0x66))
		return false;
	if (is_first)
		return op == 0xe8 || op == 0xe9 || op == 0xeb || (op >= 0x70 && op <= 0x7f);
	return in->opcode_map == ZYDIS_OPCODE_MAP_0F && op >= 0x80 && op <= 0x8f;
}

static enum insn_kind kind_of(const ZydisDecodedInstruction *in)
{
	switch (in->meta.category) {
	case ZYDIS_CATEGORY_CALL:
		return INSN_CALL;
	case ZYDIS_CATEGORY_RET:
		return INSN_RETURN;
	case ZYDIS_CATEGORY_COND_BR:
		return INSN_CONDITIONAL;
	case ZYDIS_CATEGORY_UNCOND_BR:
		return INSN_JUMP;
	default:
		break;
	}
	if (in->mnemonic == ZYDIS_MNEMONIC_UD2 || in->mnemonic == ZYDIS_MNEMONIC_HLT ||
	    in->mnemonic == ZYDIS_MNEMONIC_INT3)
		return INSN_STOP;
	return INSN_OTHER;
}

static void read_target(const ZydisDecodedInstruction *in, struct insn *insn)
{
	const uint64_t next = insn->address + insn->length;

	if (in->raw.imm[0].is_relative) {
		insn->target_kind = INSN_TARGET_ADDRESS;
		insn->target = next + (uint64_t)in->raw.imm[0].value.s;
	} else if ((in->attributes & ZYDIS_ATTRIB_HAS_MODRM) && in->opcode == 0xff &&
		   !in->raw.modrm.mod && in->raw.modrm.rm == 5) {
		insn->target_kind = INSN_TARGET_SLOT;
		insn->target = next + (uint64_t)in->raw.disp.value;
	}
}

static uint8_t condition_of(const ZydisDecodedInstruction *in)
{
	const bool is_short = in->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT && in->opcode >= 0x70 &&
			      in->opcode <= 0x7f;
	const bool is_near =
		in->opcode_map == ZYDIS_OPCODE_MAP_0F && in->opcode >= 0x80 && in->opcode <= 0x8f;

	return is_short || is_near ? in->opcode & 0xf : INSN_IF_OTHER;
}

bool insn__decode(const unsigned char *bytes, size_t bytes_cnt, uint64_t address, struct insn *ret)
{
	ZydisDecodedInstruction in;
	ZydisDecoder decoder;

	init_decoder(&decoder);
	if (!ZYAN_SUCCESS(
		    ZydisDecoderDecodeInstruction(&decoder, ZYAN_NULL, bytes, bytes_cnt, &in)))
		return false;
	*ret = (struct insn){ .address = address, .length = in.length, .kind = kind_of(&in) };
	if (ret->kind == INSN_JUMP || ret->kind == INSN_CONDITIONAL || ret->kind == INSN_CALL)
		read_target(&in, ret);
	if (ret->kind == INSN_CONDITIONAL)
		ret->condition = condition_of(&in);
	if (is_refused(&in) || is_turned_into_call(&in))
		ret->probe = INSN_PROBE_REFUSED;
	else
		ret->probe = is_emulated(&in) ? INSN_PROBE_EMULATED : INSN_PROBE_STEPPED;
	return true;
}

/* --- effects -----------------------------------------------------------------------------------
 */
static uint8_t whole_register(const ZydisDecodedOperand *op)
{
	if (op->type != ZYDIS_OPERAND_TYPE_REGISTER || op->reg.value < ZYDIS_REGISTER_RAX ||
	    op->reg.value > ZYDIS_REGISTER_R15)
		return INSN_NO_REG;
	return register_number(op->reg.value);
}

static void note_meaning(const ZydisDecodedInstruction *in, const ZydisDecodedOperand *ops,
			 struct insn_effects *e)
{
	const uint8_t first = whole_register(&ops[0]), second = whole_register(&ops[1]);
	const bool same = ops[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			  ops[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
			  ops[0].reg.value == ops[1].reg.value;

	switch (in->mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		if (first != INSN_NO_REG && second != INSN_NO_REG) {
			e->copy_to = first;
			e->copy_from = second;
		}
		break;
	case ZYDIS_MNEMONIC_TEST:
		if (same)
			e->tested = first;
		break;
	case ZYDIS_MNEMONIC_XOR:
		/* xor %eax,%eax clears all of rax. */
		if (same && ops[0].size >= 32)
			e->zeroed = register_number(ops[0].reg.value);
		break;
	case ZYDIS_MNEMONIC_CMP:
		if (first != INSN_NO_REG && ops[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
			e->compared = first;
			e->constant = ops[1].imm.value.s;
		}
		break;
	default:
		break;
	}
}

bool insn__effects(const unsigned char *bytes, size_t bytes_cnt, struct insn_effects *ret)
{
	ZydisDecodedOperand ops[ZYDIS_MAX_OPERAND_COUNT];
	struct insn_effects e = { .copy_from = INSN_NO_REG,
				  .copy_to = INSN_NO_REG,
				  .tested = INSN_NO_REG,
				  .zeroed = INSN_NO_REG,
				  .compared = INSN_NO_REG };
	ZydisDecodedInstruction in;
	ZydisDecoder decoder;

	init_decoder(&decoder);
	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, bytes_cnt, &in, ops)))
		return false;
	for (int i = 0; i < in.operand_count; i++) {
		uint8_t reg;

		if (ops[i].type != ZYDIS_OPERAND_TYPE_REGISTER ||
		    !(ops[i].actions & ZYDIS_OPERAND_ACTION_MASK_WRITE))
			continue;
		reg = register_number(ops[i].reg.value);
		if (reg != INSN_NO_REG)
			e.written |= 1u << reg;
	}
	if (in.operand_count >= 2)
		note_meaning(&in, ops, &e);
	*ret = e;
	return true;
}

bool insn__is_nop(const unsigned char *bytes, size_t bytes_cnt)
{
	ZydisDecodedInstruction in;
	ZydisDecoder decoder;

	init_decoder(&decoder);
	return ZYAN_SUCCESS(
		       ZydisDecoderDecodeInstruction(&decoder, ZYAN_NULL, bytes, bytes_cnt, &in)) &&
	       in.mnemonic == ZYDIS_MNEMONIC_NOP;
}
