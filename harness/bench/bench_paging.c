/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_paging.c - a device works on memory that is not there: its client maps nothing, brings
 * pages in as the device asks for them, and takes others away by invalidation: its pool is small.
 *
 *     bench_paging PAGES FRAMES SEGMENT ROUNDS SEED SERVER [ARGUMENT...]
 *
 * PAGES of IOVA in the space of a PASID are cut into segments of SEGMENT pages. In each of ROUNDS
 * they are put in pairs, by SEED, and the device (test device vdma, with the vIOMMU extension)
 * copies one of each pair over the other, eight pairs at a time. The client maps what a page
 * request names into a pool of FRAMES pages, each page for itself, and when frames run out it
 * removes blocks of pages by DMA_UNMAP with RANGE: any of them, and often those that the device
 * has asked for just before. What each page has to contain is known (paging.h), and compared
 * whenever one is put out, which in the end are all.
 *
 * Each line of the output is a JSON object: what is in the pool at a time, and at the end figures
 * with name, unit and value. Exit status 1: a page was wrong, or the server failed.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "paging.h"
#include "post.h"
#include "subject.h"
#include "wire_ext.h"

#define SLOTS PAGING_COPIES
#define PASID 1u
#define SPACE (WIRE_ATTR_PASID_VALID | PASID << WIRE_ATTR_PASID_SHIFT)
#define CREDIT 64u       /* pages that the device may wait for */
#define BLOCK 16u        /* pages that are taken away by one message */
#define MAX_UNMAPS 1024u /* of those messages without a reply */
#define DUES (2 * MAX_UNMAPS)
#define SAMPLES 400
#define OFTEN 8u /* one in so many blocks is one that the device has just asked for */

/* The device of vdma. */
enum {
	COMMAND = 0x04,
	COMMAND_ON = 0x06, /* memory, bus master */
	ATS_CONTROL = 0x106,
	PRI_CONTROL = 0x114,
	PRI_ALLOCATION = 0x11c,
	PASID_CONTROL = 0x126,
	GLOBAL_CONTROL = 0x0c,
	GLOBAL_CACHE = 1,
	CONTROL = 0x104,
	MOVED = 0x134,
	SLOT_STRIDE_OF = 0x40,
	COPY_WITH_REQUESTS = 0x3 | 0x40 | 0x80 | 0x100,
};
#define CONTROL_DRAIN 0xff000100u /* and as many requests for one page as there can be */

/* A command whose reply is due. */
struct due {
	uint16_t command;
	uint32_t what; /* the block, or the register */
	uint32_t pages;
};

struct group {
	uint32_t cookie;
	uint32_t ranges;
};

struct pager {
	struct paging memory;
	struct due due[DUES];
	uint32_t due_first, dues;
	uint32_t unmaps;            /* of them */
	uint32_t leaving;           /* pages that they take away */
	bool *leaves;               /* of each block */
	struct group group[CREDIT]; /* not answered yet */
	struct wire_page_range range[CREDIT];
	uint32_t groups, ranges;
	uint32_t recent[CREDIT], recent_at; /* pages brought in */
	uint32_t *segment;                  /* in the order of this round */
	uint32_t segments, next, segment_pages;
	uint32_t busy;                 /* slots */
	uint32_t status;               /* of the slot that was asked for last */
	struct pollfd poll[1 + SLOTS]; /* the socket, the vectors */
	uint64_t random, requests, invalidations, copied;
	double begin;
	uint64_t sampled, interval; /* pages in and out */
};

static struct pager pager;

static uint32_t random_below(uint32_t limit)
{
	pager.random ^= pager.random << 13;
	pager.random ^= pager.random >> 7;
	pager.random ^= pager.random << 17;
	return (uint32_t)((pager.random >> 32) * limit >> 32);
}

/* ---- messages ---- */

static void say_due(uint16_t command, uint32_t what, uint32_t pages)
{
	if (pager.dues == DUES)
		subject_fail("too many commands without replies");
	pager.due[(pager.due_first + pager.dues++) % DUES] = (struct due){ command, what, pages };
}

static void say_map(uint32_t page, uint32_t frame, uint32_t flags)
{
	struct subject_map map = {
		subject_header(WIRE_DMA_MAP, sizeof(map)),
		{ sizeof(map.map), flags | WIRE_DMA_MAP_INDIRECT | SPACE, frame * PAGING_PAGE,
		  SUBJECT_BASE + page * PAGING_PAGE, PAGING_PAGE },
	};

	map.header.flags = WIRE_NO_REPLY;
	post_put(&map, sizeof(map));
}

static void say_respond(uint32_t cookie)
{
	struct {
		struct wire_header header;
		struct wire_page_response response;
	} WIRE_PACKED message = {
		subject_header(WIRE_PAGE_RESPONSE, sizeof(message)),
		{ cookie, WIRE_PAGE_SUCCESS, 0 },
	};

	message.header.flags = WIRE_NO_REPLY;
	post_put(&message, sizeof(message));
}

static void say_write(uint32_t offset, uint64_t value, uint32_t size)
{
	struct subject_access message = {
		subject_header(WIRE_REGION_WRITE, offsetof(struct subject_access, data) + size),
		{ offset, WIRE_REGION_INDEX_BAR0, size },
		value,
	};

	message.header.flags = WIRE_NO_REPLY;
	post_put(&message, message.header.msg_size);
}

static void say_ask(uint32_t offset)
{
	struct subject_access message = {
		subject_header(WIRE_REGION_READ, offsetof(struct subject_access, data)),
		{ offset, WIRE_REGION_INDEX_BAR0, sizeof(uint32_t) },
		0,
	};

	post_put(&message, message.header.msg_size);
	say_due(WIRE_REGION_READ, offset, 0);
}

/* ---- pages out ---- */

/* Takes a block away, of which a page is there. */
static void evict_block(uint32_t block)
{
	struct subject_unmap message = {
		subject_header(WIRE_DMA_UNMAP, sizeof(message)),
		{ sizeof(message.unmap), WIRE_DMA_UNMAP_RANGE | SPACE,
		  SUBJECT_BASE + PAGING_PAGE * BLOCK * block, PAGING_PAGE * BLOCK },
	};
	uint32_t pages = 0;

	for (uint32_t i = 0; i < BLOCK; i++)
		pages += pager.memory.frame[block * BLOCK + i] != PAGING_NONE;
	post_put(&message, sizeof(message));
	say_due(WIRE_DMA_UNMAP, block, pages);
	pager.leaves[block] = true;
	pager.leaving += pages;
	pager.unmaps++;
	pager.invalidations++;
}

/* Any page that is there, or one of those that came last. */
static uint32_t evict_choose(void)
{
	uint32_t page = pager.recent[random_below(CREDIT)], frame;

	if (random_below(OFTEN) == 0 && pager.memory.frame[page] != PAGING_NONE &&
	    !pager.leaves[page / BLOCK])
		return page / BLOCK;
	frame = random_below(pager.memory.frames);
	while (pager.memory.page[frame] == PAGING_NONE ||
	       pager.leaves[pager.memory.page[frame] / BLOCK])
		frame = (frame + 1) % pager.memory.frames;
	return pager.memory.page[frame] / BLOCK;
}

/* So that there is room for what can be asked for, and some more. */
static void evict(void)
{
	uint32_t wanted = 2 * CREDIT + pager.memory.frames / 32;

	while (pager.memory.free_count + pager.leaving < wanted && pager.unmaps < MAX_UNMAPS)
		evict_block(evict_choose());
}

static void evict_done(const struct due *due, uint64_t size)
{
	if (size != due->pages * PAGING_PAGE)
		subject_fail("an invalidation has removed %" PRIu64 " bytes and not %u pages", size,
			     due->pages);
	for (uint32_t i = 0; i < BLOCK; i++)
		if (pager.memory.frame[due->what * BLOCK + i] != PAGING_NONE)
			paging_put(&pager.memory, due->what * BLOCK + i);
	pager.leaves[due->what] = false;
	pager.leaving -= due->pages;
	pager.unmaps--;
}

/* ---- pages in ---- */

static void serve_page(uint32_t page, uint32_t flags)
{
	uint32_t frame = pager.memory.frame[page];
	bool writes = flags & WIRE_DMA_MAP_WRITE;

	if (frame == PAGING_NONE) {
		frame = paging_bring(&pager.memory, page, writes);
		pager.recent[pager.recent_at++ % CREDIT] = page;
	} else if (writes && !pager.memory.writable[frame]) {
		pager.memory.writable[frame] = true;
		flags |= WIRE_DMA_MAP_READ | WIRE_DMA_MAP_REPLACE;
	} else {
		return;
	}
	say_map(page, frame, flags);
}

static void serve_range(const struct wire_page_range *range)
{
	uint64_t page = (range->address - SUBJECT_BASE) / PAGING_PAGE;
	uint32_t count = range->size / (uint32_t)PAGING_PAGE;

	if (range->address % PAGING_PAGE || page >= pager.memory.pages ||
	    count > pager.memory.pages - page)
		subject_fail("pages at %#" PRIx64 " are asked for", range->address);
	for (uint32_t i = 0; i < count; i++)
		serve_page((uint32_t)page + i, range->perm & WIRE_PAGE_WRITE
						       ? WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE
						       : WIRE_DMA_MAP_READ);
}

/*
 * Answers what has been asked for, once nothing is leaving: so a page is either there or not. All
 * that can be asked for at a time is less than what evict() makes room for.
 */
static void serve(void)
{
	const struct wire_page_range *range = pager.range;

	if (!pager.groups || pager.unmaps)
		return;
	if (pager.memory.free_count < CREDIT) {
		evict();
		return;
	}
	for (uint32_t i = 0; i < pager.groups; i++) {
		for (uint32_t k = 0; k < pager.group[i].ranges; k++)
			serve_range(range++);
		say_respond(pager.group[i].cookie);
	}
	pager.groups = pager.ranges = 0;
}

static void take_request(const uint8_t *body, size_t size)
{
	struct wire_page_request request;

	if (size < sizeof(request))
		subject_fail("a page request of %zu bytes", size);
	memcpy(&request, body, sizeof(request));
	if (request.attr != SPACE || size != sizeof(request) + request.nr * sizeof(*pager.range) ||
	    !request.nr || pager.groups == CREDIT || pager.ranges + request.nr > CREDIT)
		subject_fail("a page request that should not be, of %u ranges", request.nr);
	memcpy(pager.range + pager.ranges, body + sizeof(request),
	       request.nr * sizeof(*pager.range));
	pager.group[pager.groups++] = (struct group){ request.cookie, request.nr };
	pager.ranges += request.nr;
	pager.requests++;
}

/* ---- the device ---- */

static uint32_t slot_at(uint32_t slot, uint32_t offset)
{
	return slot * SLOT_STRIDE_OF + offset;
}

static void slot_start(uint32_t slot)
{
	uint32_t pages = pager.segment_pages;
	struct paging_copy copy = {
		.source = pager.segment[pager.next] * pages,
		.sink = pager.segment[pager.next + 1] * pages,
		.count = pages,
	};

	pager.next += 2;
	pager.busy++;
	paging_copy_begin(&pager.memory, slot, copy);
	say_write(slot_at(slot, CONTROL), CONTROL_DRAIN | slot << 16, 4);
	say_write(slot_at(slot, SLOT_SRC), SUBJECT_BASE + copy.source * PAGING_PAGE, 8);
	say_write(slot_at(slot, SLOT_DST), SUBJECT_BASE + copy.sink * PAGING_PAGE, 8);
	say_write(slot_at(slot, SLOT_LEN), pages * PAGING_PAGE, 4);
	say_write(slot_at(slot, SLOT_CMD), COPY_WITH_REQUESTS | SPACE, 4);
}

/* The registers of a slot whose operation has ended come one after the other. */
static void slot_told(uint32_t offset, uint32_t value)
{
	uint32_t slot = (offset - SLOT_CMD) / SLOT_STRIDE_OF;
	uint64_t bytes = pager.segment_pages * PAGING_PAGE;

	if (offset == slot_at(slot, SLOT_STATE)) {
		pager.status = value;
		return;
	}
	if ((pager.status & 0xff) != SLOT_DONE || value != bytes)
		subject_fail("a copy of %" PRIu64 " bytes ends in state %#x behind %u bytes", bytes,
			     pager.status, value);
	paging_copy_end(&pager.memory, slot);
	pager.copied += bytes;
	pager.busy--;
	if (pager.next + 1 < pager.segments)
		slot_start(slot);
}

static void slot_ended(uint32_t slot)
{
	eventfd_t times;

	eventfd_read(pager.poll[1 + slot].fd, &times);
	say_ask(slot_at(slot, SLOT_STATE));
	say_ask(slot_at(slot, MOVED));
}

/* ---- what comes ---- */

static void take_reply(const struct wire_header *header, const uint8_t *body, size_t size)
{
	struct due due = pager.due[pager.due_first];
	struct wire_dma_unmap unmap;
	uint32_t value;

	if (!pager.dues || due.command != header->command || header->flags & WIRE_ERROR)
		subject_fail("command %u is answered: %s", header->command,
			     strerror((int)header->error));
	pager.due_first = (pager.due_first + 1) % DUES;
	pager.dues--;
	if (due.command == WIRE_DMA_UNMAP && size == sizeof(unmap)) {
		memcpy(&unmap, body, sizeof(unmap));
		evict_done(&due, unmap.size);
	} else if (size == sizeof(struct wire_region_access) + sizeof(value)) {
		memcpy(&value, body + sizeof(struct wire_region_access), sizeof(value));
		slot_told(due.what, value);
	} else {
		subject_fail("a reply of %zu bytes to command %u", size, due.command);
	}
}

static void take_message(const struct wire_header *header, const uint8_t *body)
{
	size_t size = header->msg_size - sizeof(*header);

	if ((header->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY)
		take_reply(header, body, size);
	else if (header->command == WIRE_PAGE_REQUEST)
		take_request(body, size);
	else
		subject_fail("command %u of the server", header->command);
}

/* ---- the whole ---- */

static void sample(void)
{
	pager.sampled = pager.memory.brought + pager.memory.put;
	printf("{\"seconds\": %.4f, \"resident\": %u, \"in\": %" PRIu64 ", \"out\": %" PRIu64
	       ", \"copied\": %" PRIu64 "}\n",
	       subject_now() - pager.begin, paging_resident(&pager.memory), pager.memory.brought,
	       pager.memory.put, pager.copied);
}

static void turn(void)
{
	if (pager.memory.brought + pager.memory.put - pager.sampled >= pager.interval)
		sample();
	serve();
	pager.poll[0].events = post_send() ? POLLIN | POLLOUT : POLLIN;
	if (poll(pager.poll, 1 + SLOTS, SUBJECT_WAIT_MS) <= 0)
		subject_fail("nothing happens any more, and %u copies have not ended", pager.busy);
	if (pager.poll[0].revents & ~POLLOUT)
		post_receive(take_message);
	for (uint32_t i = 0; i < SLOTS; i++)
		if (pager.poll[1 + i].revents)
			slot_ended(i);
}

/* The segments in an order that the random number says; two of each are a pair. */
static void shuffle(void)
{
	for (uint32_t i = 0; i < pager.segments; i++) {
		uint32_t other = random_below(i + 1);

		pager.segment[i] = pager.segment[other];
		pager.segment[other] = i;
	}
	pager.next = 0;
}

/* What each page has to contain, by the pairs alone. */
static void follow(uint32_t *value)
{
	uint32_t pages = pager.segment_pages;

	for (uint32_t i = 0; i + 1 < pager.segments; i += 2)
		memcpy(value + (uint64_t)pager.segment[i + 1] * pages,
		       value + (uint64_t)pager.segment[i] * pages, pages * sizeof(*value));
}

static void round_of_copies(uint32_t *value)
{
	shuffle();
	follow(value);
	for (uint32_t i = 0; i < SLOTS && pager.next + 1 < pager.segments; i++)
		slot_start(i);
	while (pager.busy || pager.unmaps)
		turn();
}

/* Everything is put out, and so looked at. */
static void put_out_all(void)
{
	for (uint32_t i = 0; i < pager.memory.frames; i++) {
		uint32_t page = pager.memory.page[i];

		if (page != PAGING_NONE && !pager.leaves[page / BLOCK])
			evict_block(page / BLOCK);
		while (pager.unmaps == MAX_UNMAPS)
			turn();
	}
	while (pager.unmaps)
		turn();
}

static void config_write(uint32_t offset, uint64_t value, uint32_t size)
{
	struct subject_access message = {
		subject_header(WIRE_REGION_WRITE, offsetof(struct subject_access, data) + size),
		{ offset, WIRE_REGION_INDEX_CONFIG, size },
		value,
	};
	uint8_t reply[SUBJECT_BUFFER];

	subject_call(&message, message.header.msg_size, -1, reply);
}

static void device_begin(void)
{
	config_write(COMMAND, COMMAND_ON, 2);
	config_write(ATS_CONTROL, WIRE_PCI_ATS_ENABLE, 2);
	config_write(PRI_ALLOCATION, CREDIT, 4);
	config_write(PRI_CONTROL, WIRE_PCI_PRI_ENABLE, 2);
	config_write(PASID_CONTROL, WIRE_PCI_PASID_ENABLE, 2);
	subject_write(GLOBAL_CONTROL, GLOBAL_CACHE, 4);
	pager.poll[0].fd = subject_fd();
	for (uint32_t i = 0; i < SLOTS; i++)
		pager.poll[1 + i] = (struct pollfd){ subject_interrupt(i), POLLIN, 0 };
}

/* The pool, as the one window of the backing space. */
static void pool_begin(void)
{
	struct subject_map map = {
		subject_header(WIRE_DMA_MAP, sizeof(map)),
		{ sizeof(map.map), WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE | WIRE_DMA_MAP_BACKING, 0,
		  0, pager.memory.frames * PAGING_PAGE },
	};
	uint8_t reply[SUBJECT_BUFFER];

	subject_call(&map, sizeof(map), pager.memory.fd, reply);
}

static void figures(double seconds)
{
	const struct paging *memory = &pager.memory;

	subject_emit("s", seconds, "seconds");
	subject_emit("MiB", (double)pager.copied / (1 << 20), "copied");
	subject_emit("MiB/s", (double)pager.copied / (1 << 20) / seconds, "throughput");
	subject_emit("pages", (double)memory->pages, "pages");
	subject_emit("pages", (double)memory->frames, "pool");
	subject_emit("pages", (double)memory->brought, "in");
	subject_emit("pages", (double)memory->put, "out");
	subject_emit("pages", (double)memory->changed, "changed");
	subject_emit("requests", (double)pager.requests, "requests");
	subject_emit("messages", (double)pager.invalidations, "invalidations");
	subject_emit("1/s", (double)(memory->brought + memory->put) / seconds, "paging");
}

static void run(uint32_t rounds)
{
	uint32_t *value = calloc(pager.memory.pages, sizeof(*value));

	pager.segment = calloc(pager.segments, sizeof(*pager.segment));
	pager.leaves = calloc(pager.memory.pages / BLOCK, sizeof(*pager.leaves));
	if (!value || !pager.segment || !pager.leaves)
		subject_fail("no memory");
	for (uint32_t i = 0; i < pager.memory.pages; i++)
		value[i] = i;
	device_begin();
	pool_begin();
	pager.begin = subject_now();
	pager.interval = UINT64_C(2) * pager.memory.pages * rounds / SAMPLES;
	sample();
	for (uint32_t i = 0; i < rounds; i++)
		round_of_copies(value);
	figures(subject_now() - pager.begin);
	put_out_all();
	if (memcmp(value, pager.memory.value, pager.memory.pages * sizeof(*value)) != 0)
		subject_fail("a page does not contain what was copied to it last");
	free(value);
	free(pager.segment);
	free(pager.leaves);
}

/* A number of the command line; 0 if it is none, or not in [least, most]. */
static uint32_t number(const char *text, uint32_t least, uint32_t most)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	return *end || value < least || value > most ? 0 : (uint32_t)value;
}

int main(int argc, char **argv)
{
	static const char extension[] = ",\"viommu\":{\"version\":1,\"pasid_bits\":20,"
					"\"max_pasids\":1,\"page_requests\":64,"
					"\"unmap_range\":true,\"replace\":true,\"backing\":true}";
	uint32_t pages = argc > 6 ? number(argv[1], 2 * BLOCK, 1u << 30) : 0;
	uint32_t frames = argc > 6 ? number(argv[2], 4 * CREDIT, 1u << 24) : 0;
	uint32_t segment = argc > 6 ? number(argv[3], BLOCK, 1u << 19) : 0;
	uint32_t rounds = argc > 6 ? number(argv[4], 1, 1000) : 0;
	uint32_t seed = argc > 6 ? number(argv[5], 1, UINT32_MAX) : 0;

	if (!pages || !frames || !rounds || !seed || !segment || segment % BLOCK ||
	    pages % segment) {
		fprintf(stderr, "usage: bench_paging PAGES FRAMES SEGMENT ROUNDS SEED SERVER "
				"[ARGUMENT...]\n");
		return 2;
	}
	subject_begin((const char *const *)argv + 6, argc - 6, extension);
	paging_begin(&pager.memory, pages, frames);
	pager.segment_pages = segment;
	pager.segments = pages / segment;
	pager.random = seed * UINT64_C(0x9e3779b97f4a7c15);
	run(rounds);
	for (uint32_t i = 0; i < SLOTS; i++)
		close(pager.poll[1 + i].fd);
	paging_end(&pager.memory);
	subject_end();
	return 0;
}
