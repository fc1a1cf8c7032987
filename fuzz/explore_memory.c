/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_memory.c - see explore_memory.h. */
#include "explore_memory.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "explore_device.h"
#include "wire.h"

#define MEMORY_CANARY 0xc5u	/* nothing is mapped here */
#define MEMORY_LOCKED 0x3au	/* may only be read */
#define MEMORY_FRESH 0x40u	/* may be written; and the number of the page */

static struct {
	uint8_t *bytes;
	int file;
	const struct explore_scenario *scenario;
	uint8_t fill[MEMORY_PAGES];	/* what the client wrote to a page last; 0: nothing */
} memory;

static void memory_make(void)
{
	const size_t size = (size_t)MEMORY_PAGES * MEMORY_PAGE;
	void *bytes;

	memory.file = memfd_create("explore", MFD_CLOEXEC);
	if (memory.file < 0 || ftruncate(memory.file, (off_t)size))
		explore_violation("no file to be mapped");
	bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory.file, 0);
	if (bytes == MAP_FAILED)
		explore_violation("no memory");
	memory.bytes = bytes;
}

void memory_begin(const struct explore_scenario *scenario)
{
	if (!memory.bytes)
		memory_make();
	memory.scenario = scenario;
	memset(memory.fill, 0, sizeof(memory.fill));
}

int memory_file(void)
{
	return memory.file;
}

const uint8_t *memory_bytes(uint32_t page)
{
	return memory.bytes + (size_t)page * MEMORY_PAGE;
}

/* Two of them in a row are in no pattern of the device, so they were read elsewhere. */
static void memory_check_copies(uint32_t page)
{
	static const uint8_t canaries[] = { MEMORY_CANARY, MEMORY_CANARY };

	if (memmem(memory_bytes(page), MEMORY_BYTES, canaries, sizeof(canaries)))
		explore_violation("page %u of the file has memory that is not mapped any more",
				  page);
}

static void memory_check_page(uint32_t page)
{
	const uint8_t *bytes = memory_bytes(page), fill = memory.fill[page];

	if (fill && fill != MEMORY_CANARY && fill != MEMORY_LOCKED)
		memory_check_copies(page);
	else if (fill && (bytes[0] != fill || memcmp(bytes, bytes + 1, MEMORY_BYTES - 1) != 0))
		explore_violation("page %u of the file was written, which %s", page,
				  fill == MEMORY_CANARY ? "is not mapped any more" :
							  "may only be read");
}

/* What a page has to hold. */
static uint8_t memory_kind(const uint32_t *live, uint32_t page)
{
	uint32_t flags = 0;

	for (uint32_t i = 0; i < EXPLORE_MAPPINGS; i++) {
		const struct explore_mapping *mapping = &memory.scenario->mapping[i];

		if (live[i] && !mapping->no_file && page >= mapping->file &&
		    page < mapping->file + mapping->pages)
			flags |= mapping->flags;
	}
	if (flags & WIRE_DMA_MAP_WRITE)
		return (uint8_t)(MEMORY_FRESH + page);
	return flags & WIRE_DMA_MAP_READ ? MEMORY_LOCKED : MEMORY_CANARY;
}

void memory_refresh(const uint32_t *live)
{
	for (uint32_t i = 0; i < MEMORY_PAGES; i++) {
		uint8_t fill = memory_kind(live, i);

		if (fill == memory.fill[i])
			continue;
		memory_check_page(i);
		memory.fill[i] = fill;
		memset(memory.bytes + (size_t)i * MEMORY_PAGE, fill, MEMORY_BYTES);
	}
}

void memory_check(void)
{
	const uint8_t *buffer = explore_buffer();

	for (uint32_t i = 0; i < MEMORY_PAGES; i++)
		memory_check_page(i);
	if (buffer && memchr(buffer, MEMORY_CANARY, (size_t)2 * MEMORY_PAGE))
		explore_violation("memory was read that is not mapped any more");
}
