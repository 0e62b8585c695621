/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two walks from length to length: one collects the CIEs (in .debug_frame they may come after their
 * FDEs), one the FDEs. An FDE is kept as (address, position) and decoded a second time when its
 * rows are made, which costs less than keeping it. A lying length ends the whole file; an entry
 * that is bad inside is left out and counted, so that its code is unwound as code without CFI.
 */
#include "parse/eh_frame.h"

#include <dwarf.h>
#include <stdlib.h>
#include "base/array.h"
#include "base/cleanup.h"

#define POSITION_SECTION_SHIFT 31

_Static_assert(PARSE_CFI_BYTES_MAX <= 1u << POSITION_SECTION_SHIFT, "a position fits");
_Static_assert(CFI_SECTIONS_MAX <= 1 << (32 - POSITION_SECTION_SHIFT), "a section's index fits");
_Static_assert(PARSE_UNWIND_SPAN_MAX <= 1ull << 32, "an address less the base fits");

/* One CIE or FDE as the walk meets it. */
struct raw_entry {
	size_t offset; /* of its length field */
	bool is_cie;
	bool cie_is_known;      /* of an FDE: cie_offset lies in the section */
	size_t cie_offset;      /* of an FDE */
	struct cfi_reader body; /* behind the id */
};

enum walk_step {
	WALK_ENTRY,
	WALK_END,
	WALK_CORRUPT,
};

/* --- entries -----------------------------------------------------------------------------------
 */
static void read_id(const struct cfi_section *s, bool is_64, struct raw_entry *e)
{
	const size_t id_offset = (size_t)(e->body.at - s->data);
	uint64_t id = is_64 ? cfi_reader__u64(&e->body) : cfi_reader__u32(&e->body);

	if (s->is_debug_frame) {
		e->is_cie = id == (is_64 ? UINT64_MAX : UINT32_MAX);
		e->cie_is_known = id < s->bytes;
		e->cie_offset = (size_t)id;
	} else {
		e->is_cie = !id;
		e->cie_is_known = id <= id_offset;
		e->cie_offset = id_offset - (size_t)id;
	}
}

/* The entry at *offset, which is moved behind it. */
static enum walk_step next_entry(const struct cfi_section *s, size_t *offset, struct raw_entry *ret)
{
	for (;;) {
		struct cfi_reader r = { .at = s->data + *offset, .end = s->data + s->bytes };
		uint64_t length;
		bool is_64;

		if (cfi_reader__left(&r) < sizeof(uint32_t))
			return WALK_END;
		ret->offset = *offset;
		length = cfi_reader__u32(&r);
		/* Linked from parts that each had a terminator; libgcc stops, debuggers go on. */
		if (!length && !s->ends_at_zero) {
			*offset += sizeof(uint32_t);
			continue;
		}
		if (!length)
			return WALK_END;
		is_64 = length == UINT32_MAX;
		if (is_64)
			length = cfi_reader__u64(&r);
		if (r.failed || length > cfi_reader__left(&r))
			return WALK_CORRUPT;
		ret->body = (struct cfi_reader){ .at = r.at, .end = r.at + length };
		*offset = (size_t)(ret->body.end - s->data);
		read_id(s, is_64, ret);
		return ret->body.failed ? WALK_CORRUPT : WALK_ENTRY;
	}
}

/* The augmentation's data, as its string says. */
static void read_augmentation(struct cfi_reader *r, const char *letters, struct cfi_cie *cie)
{
	const uint64_t bytes = cfi_reader__uleb(r);
	struct cfi_reader data = { .at = r->at };

	cfi_reader__skip(r, bytes);
	data.end = r->failed ? data.at : r->at;
	for (const char *c = letters; *c; c++) {
		uint8_t encoding;

		switch (*c) {
		case 'R':
			cie->context.pointer_encoding = cfi_reader__u8(&data);
			break;
		case 'P':
			encoding = cfi_reader__u8(&data);
			if (encoding != DW_EH_PE_omit)
				cfa_program__pointer(&data, encoding & 0x0f, data.at, 0);
			break;
		case 'L':
			cfi_reader__skip(&data, 1);
			break;
		case 'S': /* a signal frame: known by its rule instead */
			break;
		default: /* unknown, as all behind it; how long it is was said */
			return;
		}
	}
	if (data.failed)
		cfi_reader__fail(r);
}

static bool read_cie(const struct cfi_section *s, const struct raw_entry *e, struct cfi_cie *ret)
{
	struct cfi_cie cie = { .context = { .section = s->data, .section_vaddr = s->vaddr } };
	struct cfi_reader r = e->body;
	char letters[PARSE_AUGMENTATION_MAX];
	uint8_t version = cfi_reader__u8(&r);
	size_t letters_cnt = 0;
	uint64_t ra;

	do {
		if (letters_cnt == sizeof(letters))
			return false;
		letters[letters_cnt] = (char)cfi_reader__u8(&r);
	} while (letters[letters_cnt++]);
	if (version != 1 && version != 3 && version != 4)
		return false;
	if (!strcmp(letters, "eh"))
		cfi_reader__u64(&r);
	if (version == 4 && (cfi_reader__u8(&r) != sizeof(uint64_t) || cfi_reader__u8(&r)))
		return false; /* other sizes of addresses, or segment selectors */
	cie.context.code_align = cfi_reader__uleb(&r);
	cie.context.data_align = cfi_reader__sleb(&r);
	ra = version == 1 ? cfi_reader__u8(&r) : cfi_reader__uleb(&r);
	cie.has_augmentation = letters[0] == 'z';
	if (cie.has_augmentation)
		read_augmentation(&r, letters + 1, &cie);
	else if (letters[0] && strcmp(letters, "eh") != 0)
		return false;
	if (r.failed || ra != UNWIND_REG_RA)
		return false;
	if (!cfa_program__run_initial(&cie.context, r.at, cfi_reader__left(&r)))
		cie.context.initial =
			(struct cfa_state){ .fp = CFA_SAVED_OTHER, .ra = CFA_SAVED_OTHER };
	*ret = cie;
	return true;
}

static bool read_fde(const struct cfi_section *s, const struct cfi_cie *cie, struct cfi_reader r,
		     struct cfi_fde *ret)
{
	const uint8_t encoding = cie->context.pointer_encoding;
	uint64_t bytes;

	ret->start = cfa_program__pointer(&r, encoding, s->data, s->vaddr);
	bytes = cfa_program__pointer(&r, encoding & 0x0f, s->data, s->vaddr);
	if (cie->has_augmentation)
		cfi_reader__skip(&r, cfi_reader__uleb(&r));
	if (r.failed || __builtin_add_overflow(ret->start, bytes, &ret->end))
		return false;
	ret->instructions = r.at;
	ret->bytes = cfi_reader__left(&r);
	ret->cie = cie;
	ret->is_debug_frame = s->is_debug_frame;
	return true;
}

/* --- collecting --------------------------------------------------------------------------------
 */
static uint32_t position_of(const struct eh_frame *f, const struct cfi_section *s, size_t offset)
{
	return (uint32_t)(s - f->sections) << POSITION_SECTION_SHIFT | (uint32_t)offset;
}

/* NULL: no CIE begins there. 'hint' is the last answer: neighbours share their CIE. */
static const struct cfi_cie *find_cie(const struct eh_frame *f, uint32_t position,
				      const struct cfi_cie *hint)
{
	size_t low = 0, high = f->cies_cnt;

	if (hint && hint->position == position)
		return hint;
	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (f->cies[mid].position < position)
			low = mid + 1;
		else
			high = mid;
	}
	return low < f->cies_cnt && f->cies[low].position == position ? &f->cies[low] : NULL;
}

static enum parse_status collect_cies(struct eh_frame *f, const struct cfi_section *s)
{
	struct raw_entry e;
	size_t offset = 0;
	enum walk_step step;

	while ((step = next_entry(s, &offset, &e)) == WALK_ENTRY) {
		struct cfi_cie *cie;

		if (!e.is_cie)
			continue;
		if (f->cies_cnt == PARSE_CIES_MAX ||
		    array__reserve(f->cies, f->cies_cap, f->cies_cnt + 1))
			return PARSE_LIMIT;
		cie = &f->cies[f->cies_cnt];
		if (read_cie(s, &e, cie)) {
			cie->position = position_of(f, s, e.offset);
			f->cies_cnt++;
		} else {
			f->bad_cnt++;
		}
	}
	return step == WALK_END ? PARSE_OK : PARSE_CORRUPT;
}

static bool is_text(const struct text_range *text, size_t cnt, uint64_t address)
{
	for (size_t i = 0; i < cnt; i++)
		if (address >= text[i].start && address < text[i].end)
			return true;
	return false;
}

static enum parse_status collect_fdes(struct eh_frame *f, const struct cfi_section *s,
				      const struct text_range *text, size_t text_cnt)
{
	const struct cfi_cie *cie = NULL;
	enum walk_step step;
	struct raw_entry e;
	size_t offset = 0;

	while ((step = next_entry(s, &offset, &e)) == WALK_ENTRY) {
		struct cfi_fde fde;

		if (e.is_cie)
			continue;
		cie = e.cie_is_known ? find_cie(f, position_of(f, s, e.cie_offset), cie) : NULL;
		if (!cie || !read_fde(s, cie, e.body, &fde)) {
			f->bad_cnt++;
			continue;
		}
		if (fde.start == fde.end || !is_text(text, text_cnt, fde.start)) {
			f->outside_cnt++;
			continue;
		}
		if (f->entries_cnt == PARSE_FDES_MAX ||
		    array__reserve(f->entries, f->entries_cap, f->entries_cnt + 1))
			return PARSE_LIMIT;
		f->entries[f->entries_cnt++] =
			(struct cfi_entry){ .start = (uint32_t)(fde.start - f->base),
					    .position = position_of(f, s, e.offset) };
	}
	return step == WALK_END ? PARSE_OK : PARSE_CORRUPT;
}

/* --- sorting -----------------------------------------------------------------------------------
 */
#define RADIX_BITS 11
#define RADIX      (1u << RADIX_BITS)

static void sort_by_digit(const struct cfi_entry *from, struct cfi_entry *to, size_t cnt,
			  unsigned int shift)
{
	size_t places[RADIX] = { 0 }, place = 0;

	for (size_t i = 0; i < cnt; i++)
		places[from[i].start >> shift & (RADIX - 1)]++;
	for (size_t d = 0; d < RADIX; d++) {
		size_t here = places[d];

		places[d] = place;
		place += here;
	}
	for (size_t i = 0; i < cnt; i++)
		to[places[from[i].start >> shift & (RADIX - 1)]++] = from[i];
}

/* Stable: at one address the order of the file stays. */
static enum parse_status sort_entries(struct eh_frame *f)
{
	_cleanup_free_ struct cfi_entry *other = NULL;
	bool sorted = true;

	for (size_t i = 1; i < f->entries_cnt && sorted; i++)
		sorted = f->entries[i - 1].start <= f->entries[i].start;
	if (sorted)
		return PARSE_OK;
	other = calloc(f->entries_cap, sizeof(*other));
	if (!other)
		return PARSE_LIMIT;
	for (unsigned int shift = 0; shift < 32; shift += RADIX_BITS) {
		struct cfi_entry *sorted_now = other;

		sort_by_digit(f->entries, other, f->entries_cnt, shift);
		other = f->entries;
		f->entries = sorted_now;
	}
	return PARSE_OK;
}

enum parse_status eh_frame__read(const struct cfi_section *sections, size_t cnt,
				 const struct text_range *text, size_t text_cnt,
				 struct eh_frame *ret)
{
	struct eh_frame f = { .sections = sections };
	enum parse_status status = PARSE_OK;

	if (text_cnt) {
		f.base = text[0].start;
		if (text[text_cnt - 1].end - f.base > PARSE_UNWIND_SPAN_MAX)
			return PARSE_LIMIT;
	}
	for (size_t i = 0; i < cnt && status == PARSE_OK; i++)
		status = collect_cies(&f, &sections[i]);
	for (size_t i = 0; i < cnt && status == PARSE_OK; i++)
		status = collect_fdes(&f, &sections[i], text, text_cnt);
	if (status == PARSE_OK)
		status = sort_entries(&f);
	if (status == PARSE_OK)
		*ret = f;
	else
		eh_frame__done(&f);
	return status;
}

void eh_frame__done(struct eh_frame *frames)
{
	free(frames->cies);
	free(frames->entries);
	*frames = (struct eh_frame){ .sections = NULL };
}

bool eh_frame__get(const struct eh_frame *frames, size_t idx, struct cfi_fde *ret)
{
	const struct cfi_entry *entry = &frames->entries[idx];
	const struct cfi_section *s = &frames->sections[entry->position >> POSITION_SECTION_SHIFT];
	size_t offset = entry->position & ((1u << POSITION_SECTION_SHIFT) - 1);
	const struct cfi_cie *cie;
	struct raw_entry e;

	if (next_entry(s, &offset, &e) != WALK_ENTRY || e.is_cie || !e.cie_is_known)
		return false;
	cie = find_cie(frames, position_of(frames, s, e.cie_offset), NULL);
	return cie && read_fde(s, cie, e.body, ret) && ret->start == frames->base + entry->start &&
	       ret->end > ret->start;
}
