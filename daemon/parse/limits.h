/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much of a foreign file is believed. Every loop and allocation of this folder is bounded by
 * one of these; what goes beyond ends in PARSE_LIMIT. All are far above what linkers produce (the
 * largest real table met, libxul's, has 0.9 M symbols).
 */
#ifndef PARSE_LIMITS_H
#define PARSE_LIMITS_H

#define PARSE_SECTIONS_MAX  65536u
#define PARSE_SEGMENTS_MAX  4096u     /* program headers */
#define PARSE_EXEC_MAX      16u       /* executable ones among them */
#define PARSE_SYMBOLS_MAX   10000000u /* of one table */
#define PARSE_NOTES_MAX     1024u     /* of one segment or section */
#define PARSE_NOTE_BYTES    (1u << 20)
#define PARSE_NAME_BYTES    4096u       /* one name, as linked or demangled, with its NUL */
#define PARSE_COVERINGS_MAX (64u << 20) /* (symbol, address) pairs looked at: nesting gone mad */

#define PARSE_CFI_BYTES_MAX      (1u << 30)  /* of one section of call frame information */
#define PARSE_CFI_INFLATED_MAX   (64u << 20) /* of a compressed one */
#define PARSE_CIES_MAX           (1u << 18)
#define PARSE_FDES_MAX           (4u << 20)
#define PARSE_AUGMENTATION_MAX   16u   /* characters */
#define PARSE_LEB_BYTES          10u   /* of one LEB128 number: 64 bits */
#define PARSE_CFA_EXPRESSION_MAX 1024u /* bytes of a DWARF expression */
#define PARSE_CFA_STACK_MAX      64u   /* DW_CFA_remember_state within each other */
#define PARSE_UNWIND_ROWS_MAX    (8u << 20)
#define PARSE_UNWIND_RULES_MAX   16384u
#define PARSE_UNWIND_SPAN_MAX    (1ull << 32) /* from the first to the last executable byte */

#define PARSE_KALLSYMS_BYTES_MAX   (256u << 20)
#define PARSE_KALLSYMS_NAME_BYTES  512u /* KSYM_NAME_LEN, 128 before 6.1 */
#define PARSE_KALLSYMS_MODULES_MAX 8192u

#endif
