/* SPDX-License-Identifier: BSD-3-Clause */
/* text_words.c - see text_words.h. */
#include "text_words.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "text.h"

#define ERRNO(name) { "ERRNO", #name, name }
#define STATE(name, number) { "SLOT_STATE", name, PROGRAM_##number }
#define SEAL(name) { "SEALS", #name, F_SEAL_##name }

/* Constants that are none of the protocol: errors, and those of the test device. */
static const struct schema_constant text_constants[] = {
	ERRNO(EPERM), ERRNO(ENOENT), ERRNO(EINTR), ERRNO(EIO), ERRNO(ENXIO), ERRNO(E2BIG),
	ERRNO(EBADF), ERRNO(EAGAIN), ERRNO(ENOMEM), ERRNO(EACCES), ERRNO(EFAULT), ERRNO(EBUSY),
	ERRNO(EEXIST), ERRNO(ENODEV), ERRNO(EINVAL), ERRNO(ENFILE), ERRNO(EMFILE), ERRNO(ENOTTY),
	ERRNO(EFBIG), ERRNO(ENOSPC), ERRNO(EROFS), ERRNO(EPIPE), ERRNO(EDOM), ERRNO(ERANGE),
	ERRNO(ENOSYS), ERRNO(ELOOP), ERRNO(ENODATA), ERRNO(ETIME), ERRNO(EPROTO), ERRNO(EBADMSG),
	ERRNO(EOVERFLOW), ERRNO(EMSGSIZE), ERRNO(EPROTONOSUPPORT), ERRNO(EOPNOTSUPP),
	ERRNO(ECONNRESET), ERRNO(ENOBUFS), ERRNO(ENOTCONN), ERRNO(ESHUTDOWN), ERRNO(ETIMEDOUT),
	ERRNO(EALREADY), ERRNO(EINPROGRESS), ERRNO(ESTALE), ERRNO(ECANCELED),
	SEAL(SEAL), SEAL(SHRINK), SEAL(GROW), SEAL(WRITE), SEAL(FUTURE_WRITE),
	{ "SLOT_OP", "NOP", 0 }, { "SLOT_OP", "READ", 1 }, { "SLOT_OP", "WRITE", 2 },
	{ "SLOT_OP", "COPY", 3 }, { "SLOT_OP", "TOUCH", 4 }, { "SLOT_OP", "FILL", 5 },
	{ "SLOT_OP", "CHECK", 6 },
	{ "SLOT_PATH", "DIRECT", 0x10 }, { "SLOT_PATH", "MESSAGES", 0x20 },
	{ "SLOT_CMD", "PAGES", 0x40 }, { "SLOT_CMD", "IRQ", 0x80 },
	{ "SLOT_CMD", "TRANSLATE", 0x200 }, { "SLOT_CMD", "ARMED", 0x400 },
	{ "SLOT_CTL", "PRE", 1 }, { "SLOT_CTL", "POST", 2 }, { "SLOT_CTL", "MID", 4 },
	{ "SLOT_CTL", "END", 8 }, { "SLOT_CTL", "RETIRED", 16 }, { "SLOT_CTL", "PREREQ", 32 },
	{ "SLOT_CTL", "POSTRESP", 64 }, { "SLOT_CTL", "DRAIN", 0x100 },
	{ "SLOT_STEP", "NEXT", 1 }, { "SLOT_STEP", "END", 2 }, { "SLOT_STEP", "ABORT", 3 },
	STATE("IDLE", IDLE), STATE("QUEUED", QUEUED), STATE("RUN", RUNS), STATE("HELD", HOLDS),
	STATE("WAIT_PAGE", WAITS_PAGE), STATE("WAIT_MSG", WAITS_MESSAGE), STATE("DONE", DONE),
	STATE("FAULT", FAULTS), STATE("ABORTED", ABORTED), STATE("REST", REST),
	{ "PAGES", "NEVER", PROGRAM_NEVER }, { "PAGES", "AT_ONCE", PROGRAM_AT_ONCE },
	{ "PAGES", "LATE", PROGRAM_LATE }, { "PAGES", "PARTIAL", PROGRAM_PARTIAL },
	{ "PAGES", "INVALID", PROGRAM_INVALID }, { "PAGES", "FAILURE", PROGRAM_FAILURE },
	{ "PAGES", "TWICE", PROGRAM_TWICE }, { "PAGES", "RANDOM", PROGRAM_RANDOM },
};

static const struct text_part text_parts[] = {
	{ "FEATURE_FLAGS", "FEATURE", WIRE_FEATURE_MASK },
	{ "SLOT_CMD", "SLOT_OP", 0xf },
	{ "SLOT_CMD", "SLOT_PATH", 0x30 },
	{ "DMA_MAP_FLAGS", "DMA_MAP_ATTR", WIRE_DMA_MAP_REPLACE },
	{ "DMA_MAP_FLAGS", "DMA_MAP_ATTR", WIRE_DMA_MAP_BACKING },
	{ "DMA_MAP_FLAGS", "DMA_MAP_ATTR", WIRE_DMA_MAP_INDIRECT },
};

/* Sets of bits that are attribute words of the vIOMMU extension, or laid out like them. */
static const char *const text_attributes[] = {
	"DMA_MAP_FLAGS", "DMA_UNMAP_ATTR", "PAGE_REQUEST_ATTR", "SLOT_CMD",
};

/* The rows of a set follow each other. */
static size_t text_set_in(const char *set, const struct schema_constant *rows, size_t count,
			  const struct schema_constant **out)
{
	size_t first = 0, end;

	while (first < count && strcmp(rows[first].set, set) != 0)
		first++;
	for (end = first; end < count && strcmp(rows[end].set, set) == 0; end++)
		continue;
	*out = rows + first;
	return end - first;
}

size_t text_set(const char *set, const struct schema_constant **out)
{
	const struct schema_constant *rows;
	size_t count = schema_constants(&rows);

	count = text_set_in(set, rows, count, out);
	if (count)
		return count;
	return text_set_in(set, text_constants, sizeof(text_constants) / sizeof(*text_constants),
			   out);
}

const char *text_constant_name(const char *set, uint64_t value)
{
	const struct schema_constant *rows;
	size_t count = text_set(set, &rows);

	for (size_t i = 0; i < count; i++)
		if (rows[i].value == value)
			return rows[i].name;
	return NULL;
}

const struct text_part *text_part(const char *set, size_t index)
{
	for (size_t i = 0; i < sizeof(text_parts) / sizeof(*text_parts); i++)
		if (strcmp(text_parts[i].of, set) == 0 && index-- == 0)
			return &text_parts[i];
	return NULL;
}

const char *text_field_set(const struct program_step *step, uint32_t index)
{
	const struct schema_field *rows;

	program_fields(step, &rows);
	if (step->op != PROGRAM_SLOT && index < PROGRAM_HEADER &&
	    rows[index].offset == offsetof(struct wire_header, error))
		return "ERRNO";
	if (step->op != PROGRAM_SLOT && rows[index].command == WIRE_DMA_UNMAP &&
	    rows[index].offset == offsetof(struct wire_dma_unmap, flags))
		return "DMA_UNMAP_ATTR";
	return rows[index].constants;
}

bool text_is_attribute(const char *set)
{
	for (size_t i = 0; i < sizeof(text_attributes) / sizeof(*text_attributes); i++)
		if (set && strcmp(text_attributes[i], set) == 0)
			return true;
	return false;
}

const char *text_number_set(const struct program_step *step, uint32_t index)
{
	if (step->op == PROGRAM_PAGES)
		return "PAGES";
	if (step->op == PROGRAM_DOOR && index > 0)
		return "SLOT_STATE";
	return step->op == PROGRAM_POKE || step->op == PROGRAM_DOOR ? "SLOT_STEP" : NULL;
}

const char *text_property_name(uint32_t bit)
{
	switch ((enum program_property)bit) {
	case PROGRAM_NOWAIT:
		return "nowait";
	case PROGRAM_NO_REPLY:
		return "no_reply";
	case PROGRAM_TWIN:
		return "twin";
	case PROGRAM_MAYBE:
		return "maybe";
	case PROGRAM_HELD:
		return "read_only";
	case PROGRAM_CUT:
		break;
	}
	return NULL;
}

const char *text_expect_name(uint32_t expect)
{
	switch ((enum program_expect)expect) {
	case PROGRAM_OK:
		return "ok";
	case PROGRAM_ERROR:
		return "error";
	case PROGRAM_CLOSED:
		return "closed";
	case PROGRAM_SILENCE:
		return "silence";
	case PROGRAM_ANYTHING:
		break;
	}
	return NULL;
}

const char *text_pages(uint32_t how)
{
	return text_constant_name("PAGES", how);
}

const char *text_slot_state(uint32_t state)
{
	const char *name = text_constant_name("SLOT_STATE", state);

	return name ? name : "none";
}

const char *text_errno(uint32_t number)
{
	return text_constant_name("ERRNO", number);
}

size_t text_braces(const char *text, size_t size)
{
	uint32_t depth = 0;
	bool quoted = false, escaped = false;

	for (size_t i = 0; i < size; i++) {
		if (text[i] < ' ' || text[i] > '~')
			return 0;
		if (text[i] == '"' && !escaped)
			quoted = !quoted;
		else if (!quoted && text[i] == '{')
			depth++;
		else if (!quoted && text[i] == '}')
			depth--;
		escaped = quoted && text[i] == '\\' && !escaped;
		if (depth == 0)
			return text[0] == '{' ? i + 1 : 0;
	}
	return 0;
}
