/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_order.c - the bytes choose which of the events that are possible happens next.
 *
 * The first byte of an input chooses a short program, the second where its DMA is held (bits 0 to
 * 4) and whether it drains (bit 5). Each byte behind them is one event: the next message of the
 * program arrives; a thread of DMA takes an operation; one does a step and gives it back; the loop
 * looks; the client answers a request of the server, rightly or not, be it for pages; time passes;
 * an operation is released; the client leaves. So every order of commands, steps of threads,
 * replies and time can come about, and the same bytes lead to the same again.
 *
 * No byte of a range may change behind the reply to its DMA_UNMAP, nor of any behind that to a
 * reset or a stop, nor when the client has left: there are canaries in the memory of the client.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config_viommu.h"
#include "device_slot_chunk.h"
#include "driver.h"
#include "order_programs.h"
#include "set_state.h"
#include "stage.h"
#include "wire_ext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ORDER_PAGE 4096u
#define ORDER_PASIDS 4u
#define ORDER_CANARY 0xc5u
#define ORDER_EVENTS 192u
#define ORDER_REQUESTS 16u
#define ORDER_IDS 512u
#define ORDER_TURNS 4096u	/* that an operation takes to its end, at most */
#define ORDER_WHILE 1000u	/* ms: longer than any operation waits by itself */
#define ORDER_LONG 100000u	/* ms: longer than any time-out of the server */

static struct {
	uint8_t *memory;		/* made once, as its files */
	int file[ORDER_PAGES / ORDER_FILE];
	const struct order_step *program;
	uint32_t step;			/* the next one */
	uint32_t ctl;
	uint32_t guard[ORDER_PAGES];
	uint32_t mapped[ORDER_PAGES];	/* the last step that did so, */
	uint32_t started, run;		/* and that started an operation, or the device */
	uint32_t sent[ORDER_IDS];	/* the step that a message belongs to */
	uint32_t ids;
	struct device_slot *taken[DEVICE_SLOTS];
	uint32_t taken_count;
	struct message *requests[ORDER_REQUESTS];
	uint32_t request_count;
	bool left;
	bool alone;		/* nothing was owed, and no operation taken, when a message came */
	uint8_t bytes[2048];		/* of the messages of a step */
	size_t used;
} order;

static void order_make_memory(void)
{
	const size_t size = (size_t)ORDER_FILE * ORDER_PAGE;

	order.memory = mmap(NULL, (size_t)ORDER_PAGES * ORDER_PAGE, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (uint32_t i = 0; i < ORDER_PAGES / ORDER_FILE; i++) {
		order.file[i] = memfd_create("order", MFD_CLOEXEC);
		if (order.file[i] < 0 || ftruncate(order.file[i], (off_t)size) ||
		    mmap(order.memory + i * size, size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, order.file[i], 0) == MAP_FAILED)
			driver_finding("no memory to be mapped");
	}
}

/* ---- canaries ---- */

static const char *order_reason(uint32_t guard)
{
	return guard & ORDER_UNMAPPED ? "its unmap was answered" :
	       guard & ORDER_IS_RESET ? "the reset was answered" :
	       guard & ORDER_IS_STOPPED ? "the stop was answered" : "the client has left";
}

static void order_check(uint32_t page)
{
	const uint8_t *bytes = order.memory + (size_t)page * ORDER_PAGE;
	uint32_t guard = order.guard[page];

	if (guard && (bytes[0] != ORDER_CANARY || memcmp(bytes, bytes + 1, ORDER_PAGE - 1) != 0))
		driver_finding("page %u was written though %s", page, order_reason(guard));
}

static void order_protect(uint32_t page, enum order_guard why)
{
	order_check(page);
	if (!order.guard[page])
		memset(order.memory + (size_t)page * ORDER_PAGE, ORDER_CANARY, ORDER_PAGE);
	order.guard[page] |= why;
}

static void order_protect_all(enum order_guard why)
{
	for (uint32_t i = 0; i < ORDER_PAGES; i++)
		order_protect(i, why);
}

static void order_release(uint32_t page, uint32_t why)
{
	order_check(page);
	order.guard[page] &= ~why;
}

static void order_release_all(uint32_t why)
{
	for (uint32_t i = 0; i < ORDER_PAGES; i++)
		order_release(i, why);
}

/* ---- messages ---- */

static void order_put(const void *bytes, size_t size)
{
	memcpy(order.bytes + order.used, bytes, size);
	order.used += size;
}

static void order_command(uint16_t command, const void *body, size_t size)
{
	const struct wire_header header = {
		.id = (uint16_t)order.ids,
		.command = command,
		.msg_size = (uint32_t)(sizeof(header) + size),
	};

	order.sent[order.ids++ % ORDER_IDS] = order.step;
	order_put(&header, sizeof(header));
	order_put(body, size);
}

static void order_write(uint32_t region, uint32_t offset, uint64_t value, uint32_t width)
{
	struct {
		struct wire_region_access access;
		uint8_t data[sizeof(value)];
	} write = { .access = { .offset = offset, .region = region, .count = width } };

	memcpy(write.data, &value, sizeof(value));
	order_command(WIRE_REGION_WRITE, &write, sizeof(write.access) + width);
}

static void order_register(uint32_t slot, uint32_t offset, uint64_t value, uint32_t width)
{
	order_write(WIRE_REGION_INDEX_BAR0, DEVICE_SLOT_REGISTERS + slot * SLOT_SIZE + offset,
		    value, width);
}

static void order_start(const struct order_step *step)
{
	uint32_t length = step->pages * ORDER_PAGE - 64;

	order_register(step->slot, SLOT_CTL, order.ctl, 4);
	order_register(step->slot, SLOT_SRC, (uint64_t)step->page * ORDER_PAGE, 8);
	order_register(step->slot, SLOT_DST, (uint64_t)step->sink * ORDER_PAGE, 8);
	order_register(step->slot, SLOT_LEN, length, 4);
	order_register(step->slot, SLOT_MID, length / 2, 4);
	order_register(step->slot, SLOT_PAT, step->slot, 4);
	order_register(step->slot, SLOT_CMD, step->cmd, 4);
	order_release_all(ORDER_IS_RESET);
	order.started = order.step;
}

static void order_map(const struct order_step *step)
{
	const struct wire_dma_map map = {
		.argsz = sizeof(map),
		.flags = WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE | step->cmd,
		.offset = (uint64_t)(step->page % ORDER_FILE) * ORDER_PAGE,
		.address = (uint64_t)step->page * ORDER_PAGE,
		.size = (uint64_t)step->pages * ORDER_PAGE,
	};

	order_command(WIRE_DMA_MAP, &map, sizeof(map));
	for (uint32_t i = step->page; i < step->page + step->pages && i < ORDER_PAGES; i++) {
		order_release(i, ORDER_UNMAPPED);
		order.mapped[i] = order.step;
	}
}

static void order_unmap(const struct order_step *step)
{
	bool all = step->cmd & WIRE_DMA_UNMAP_ALL;
	const struct wire_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = step->cmd,
		.address = all ? 0 : (uint64_t)step->page * ORDER_PAGE,
		.size = all ? 0 : (uint64_t)step->pages * ORDER_PAGE,
	};

	order_command(WIRE_DMA_UNMAP, &unmap, sizeof(unmap));
}

/* In configuration space: Bus Master Enable, and the controls of PASID, ATS and PRI. */
static void order_permit(void)
{
	order_write(WIRE_REGION_INDEX_CONFIG, 4, 6, 2);
	order_write(WIRE_REGION_INDEX_CONFIG, CONFIG_PASID + WIRE_PCI_PASID_CONTROL,
		    WIRE_PCI_PASID_ENABLE, 2);
	order_write(WIRE_REGION_INDEX_CONFIG, CONFIG_ATS + WIRE_PCI_ATS_CONTROL,
		    WIRE_PCI_ATS_ENABLE, 2);
	order_write(WIRE_REGION_INDEX_CONFIG, CONFIG_PRI + WIRE_PCI_PRI_ALLOCATION, 8, 4);
	order_write(WIRE_REGION_INDEX_CONFIG, CONFIG_PRI + WIRE_PCI_PRI_CONTROL,
		    WIRE_PCI_PRI_ENABLE, 2);
}

static void order_set_state(uint32_t state)
{
	const struct set_state set = set_state(state);

	order_command(WIRE_DEVICE_FEATURE, &set, sizeof(set));
}

/* The next message of the program arrives. */
static void order_deliver(void)
{
	const struct wire_device_info info = { .argsz = sizeof(info) };
	const struct order_step *step = &order.program[order.step];
	int fd = -1;

	order.used = 0;
	switch (step->op) {
	case ORDER_END:
		return;
	case ORDER_MAP:
		order_map(step);
		fd = step->page < ORDER_PAGES ? order.file[step->page / ORDER_FILE] : -1;
		break;
	case ORDER_UNMAP:
		order_unmap(step);
		break;
	case ORDER_START:
		order_start(step);
		break;
	case ORDER_RESET:
		order_command(WIRE_DEVICE_RESET, "", 0);
		order_release_all(ORDER_IS_STOPPED);
		order.run = order.step;
		break;
	case ORDER_STOP:
		order_set_state(WIRE_STATE_STOP);
		break;
	case ORDER_RUN:
		order_set_state(WIRE_STATE_RUNNING);
		order_release_all(ORDER_IS_STOPPED);
		order.run = order.step;
		break;
	case ORDER_INFO:
		order_command(WIRE_DEVICE_GET_INFO, &info, sizeof(info));
		break;
	case ORDER_PERMIT:
		order_permit();
		break;
	}
	order.step++;
	order.alone = !stage_outstanding() && !order.taken_count;
	stage_send(order.bytes, order.used, &fd, fd >= 0);
	stage_turn();
}

/* ---- what comes ---- */

/* The reply to a step has come: what must not be written from now on. */
static void order_answered(uint32_t number)
{
	const struct order_step *step = &order.program[number];

	switch (step->op) {
	case ORDER_UNMAP:
		for (uint32_t i = step->page; i < step->page + step->pages && i < ORDER_PAGES;
		     i++) {
			if (order.mapped[i] <= number)
				order_protect(i, ORDER_UNMAPPED);
		}
		break;
	case ORDER_RESET:
		if (order.started <= number)
			order_protect_all(ORDER_IS_RESET);
		break;
	case ORDER_STOP:
		if (order.run <= number)
			order_protect_all(ORDER_IS_STOPPED);
		break;
	case ORDER_END: case ORDER_MAP: case ORDER_START: case ORDER_RUN: case ORDER_INFO:
	case ORDER_PERMIT:
		break;
	}
}

static void order_receive(void)
{
	struct message *message;

	while (!order.left && (message = stage_take())) {
		if ((message->flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND &&
		    order.request_count < ORDER_REQUESTS) {
			order.requests[order.request_count++] = message;
			continue;
		}
		if ((message->flags & (WIRE_TYPE_MASK | WIRE_ERROR)) == WIRE_TYPE_REPLY)
			order_answered(order.sent[message->id % ORDER_IDS]);
		message_free(message);
	}
	if (order.left && stage_server()->phase == SERVER_FREE && !order.guard[0])
		order_protect_all(ORDER_HAS_LEFT);
}

static void order_reply(const struct message *request, enum order_reply how)
{
	static uint8_t bytes[sizeof(struct wire_header) + sizeof(struct wire_dma_access) +
			     DMA_CHUNK];
	struct wire_header header = {
		.id = (uint16_t)(request->id + (how == ORDER_OTHER_ID)),
		.command = request->command,
		.flags = WIRE_TYPE_REPLY | (how == ORDER_ERROR ? WIRE_ERROR : 0),
		.error = how == ORDER_ERROR ? EIO : 0,
	};
	struct wire_dma_access access;
	size_t size = sizeof(header) + sizeof(access);
	uint32_t moved;

	memcpy(&access, request->body, sizeof(access));
	moved = (uint32_t)access.count;	/* above are attributes */
	if (request->command == WIRE_DMA_READ && how != ORDER_SHORT)
		size += moved;
	if (how == ORDER_ERROR)
		size = sizeof(header);
	if (how == ORDER_SHORT)
		access.count -= moved / 2;
	if (size > sizeof(bytes))
		driver_finding("a request for %u bytes", moved);
	header.msg_size = (uint32_t)size;
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), &access, sizeof(access));
	stage_send(bytes, size, NULL, 0);
	stage_turn();
}

/* A command that no step of the program has goes out. */
static void order_send_aside(int fd)
{
	order.sent[(order.ids - 1) % ORDER_IDS] = ORDER_STEPS - 1;
	stage_send(order.bytes, order.used, &fd, fd >= 0);
}

/* Maps the pages of a range, with their file where they have one. */
static void order_map_pages(const struct wire_page_range *range, uint32_t attr)
{
	const struct order_step map = {
		.op = ORDER_MAP,
		.page = (uint32_t)(range->address / ORDER_PAGE),
		.pages = range->size / ORDER_PAGE,
		.cmd = attr & (WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK),
	};
	int fd = map.page < ORDER_PAGES ? order.file[map.page / ORDER_FILE] : -1;

	order.used = 0;
	order_map(&map);
	order_send_aside(fd);
}

/* A stop marker wants nothing. SHORT: nothing was mapped. */
static void order_respond(const struct message *message, enum order_reply how)
{
	struct wire_page_response response;
	struct wire_page_request request;
	struct wire_page_range range;

	memcpy(&request, message->body, sizeof(request));
	for (uint32_t i = 0; i < request.nr && how == ORDER_RIGHT; i++) {
		memcpy(&range, message->body + sizeof(request) + i * sizeof(range), sizeof(range));
		order_map_pages(&range, request.attr);
	}
	if (!request.nr)
		return;
	response = (struct wire_page_response){
		.cookie = request.cookie + (how == ORDER_OTHER_ID),
		.code = how == ORDER_ERROR ? WIRE_PAGE_INVALID : WIRE_PAGE_SUCCESS,
	};
	order.used = 0;
	order_command(WIRE_PAGE_RESPONSE, &response, sizeof(response));
	order_send_aside(-1);
	stage_turn();
}

/* The oldest request of the server, or the one behind it. */
static void order_answer(uint32_t index, enum order_reply how)
{
	struct message *request;

	if (index >= order.request_count)
		return;
	request = order.requests[index];
	memmove(order.requests + index, order.requests + index + 1,
		(--order.request_count - index) * sizeof(request));
	if (how != ORDER_NEVER && request->command == WIRE_PAGE_REQUEST)
		order_respond(request, how);
	else if (how != ORDER_NEVER)
		order_reply(request, how);
	message_free(request);
}

/* ---- DMA ---- */

static struct device_engine *order_engine(void)
{
	return &stage_server()->device.bar0.engine;
}

static bool order_take(void)
{
	struct device_slot *slot = NULL;

	if (order.taken_count < DEVICE_SLOTS)
		slot = device_engine_take(order_engine());
	if (slot)
		order.taken[order.taken_count++] = slot;
	return slot;
}

static void order_give(uint32_t index)
{
	struct device_slot *slot;

	if (!order.taken_count)
		return;
	index %= order.taken_count;
	slot = order.taken[index];
	order.taken[index] = order.taken[--order.taken_count];
	device_engine_give(order_engine(), slot);
}

/* The client stores to the page that it may have mapped. */
static void order_store(uint32_t slot, uint32_t code)
{
	off_t place = (off_t)(DEVICE_DOOR_RELEASE + slot * sizeof(code));

	if (pwrite(order_engine()->door, &code, sizeof(code), place) != sizeof(code))
		driver_finding("the side door cannot be written");
}

/* ---- the input ---- */

static void order_leave(void)
{
	order.left = true;
	while (order.request_count)
		order_answer(0, ORDER_NEVER);
	stage_leave();
}

/*
 * A message arrives. The unmap of what is reached by messages waits for nobody but commands before
 * it and a thread that has an operation.
 */
static void order_next(void)
{
	const struct order_step *step = &order.program[order.step];

	order.alone = false;
	order_deliver();
	order_receive();
	if (order.alone && !order.left && step->op == ORDER_UNMAP && step->page >= ORDER_PAGES &&
	    stage_outstanding() && !stage_is_over())
		driver_finding("an unmap waits for the client");
}

static void order_event(uint8_t byte)
{
	uint32_t value = byte >> 3;

	switch (byte & 7) {
	case 0:
		order_next();
		break;
	case 1:
		order_take();
		break;
	case 2:
		order_give(value);
		break;
	case 3:
		stage_look(0);
		break;
	case 4:
		order_answer(value & 1, (enum order_reply)((value >> 1) % (ORDER_NEVER + 1)));
		break;
	case 5:
		stage_look(UINT64_C(1) << (value & 15));
		break;
	case 6:
		order_store(value & 3, value >> 2 & 3);
		break;
	default:
		if (value == 31)
			order_leave();
		else
			order_next();
	}
	order_receive();
}

/* What was begun comes to its end; then everything that is owed has been paid. */
static void order_finish(void)
{
	for (uint32_t i = 0; i < ORDER_TURNS && (order.taken_count || order_take()); i++) {
		order_give(0);
		order_receive();
	}
	while (order.request_count) {
		order_answer(0, ORDER_RIGHT);
		stage_look(0);
		order_receive();
	}
	stage_look(0);
	order_receive();
}

static void order_end(void)
{
	for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
		order_finish();
		for (uint32_t k = 0; k < DEVICE_SLOTS; k++)
			order_store(k, STEP_END);
		stage_look(ORDER_WHILE);
	}
	order_finish();
	stage_look(ORDER_LONG);
	order_receive();
	if (!order.left && !stage_is_over() && stage_outstanding())
		driver_finding("%u commands are not answered", stage_outstanding());
	order_leave();
	while (order.taken_count || order_take())
		order_give(0);
}

static void order_begin(const uint8_t *data)
{
	const uint32_t program = data[0] % ORDER_PROGRAMS;
	const struct stage_limits limits = {
		.max_dma_maps = 64,
		.dma_threads = 2,
		.judged = true,
		.max_pasids = program < ORDER_PLAIN ? 0 : ORDER_PASIDS,
		.quotas = {
			.table_bytes = 1u << 20,
			.windows = 8,
			.window_bytes = 1u << 20,
			.dirty_bytes = DIRTY_QUOTA,
		},
	};

	order.program = order_programs[program];
	order.step = 0;
	order.ctl = (data[1] & 31u) | (data[1] & 32u ? 1u << 8 : 0);
	memset(order.guard, 0, sizeof(order.guard));
	memset(order.mapped, 0, sizeof(order.mapped));
	memset(order.sent, 0, sizeof(order.sent));
	order.started = 0;
	order.run = 0;
	order.ids = 1;
	order.left = false;
	stage_begin(&limits);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool again;

	if (size < 2)
		return 0;
	if (!order.memory)
		order_make_memory();
	do {
		order_begin(data);
		for (size_t i = 2; i < size && i < ORDER_EVENTS; i++)
			order_event(data[i]);
		order_end();
		again = stage_end();
		for (uint32_t i = 0; i < ORDER_PAGES; i++)
			order_check(i);
	} while (again);
	return 0;
}
