/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_device_slot_page.c - operations that miss pages: what they ask for, how they go on, and what
 * becomes of them when something else ends their wait. Without threads, on a single socket.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "call.h"
#include "clock.h"
#include "commands.h"
#include "config_viommu.h"
#include "device.h"

#define TIME 1000u
#define A 0x10000u
#define SIZE ((size_t)8 * DMA_PAGE)
#define PASID(n) (WIRE_ATTR_PASID_VALID | (uint32_t)(n) << WIRE_ATTR_PASID_SHIFT)
#define RW (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

enum { READ = 1, WRITE = 2, COPY = 3, TOUCH = 4, FILL = 5, ASK = 1 << 6, TRANSLATE = 1 << 9 };
enum { POST = 2, MID = 4, PREREQ = 32, POSTRESP = 64, DRAIN = 256 };
#define RETRY(n) ((uint32_t)(n) << 24)
#define WAITS(bench) expect_state(bench, SLOT_WAIT_PAGE, 0)

struct bench {
	struct dma dma;
	struct call call;
	struct irq irq;
	struct device device;
	void *owners[COMMANDS_OWNERS];
	struct dispatch dispatch;
	uint8_t *memory;
	int file;
	uint16_t id;
};

/* The next message to the client, with its body of `size` bytes at most; false: there is none. */
static bool receive(struct bench *bench, struct wire_header *header, void *body, size_t size)
{
	transport_flush(&bench->call.session.transport);
	if (recv(bench->call.peer, header, sizeof(*header), MSG_DONTWAIT) != sizeof(*header))
		return false;
	assert_true(header->msg_size - sizeof(*header) <= size);
	if (header->msg_size > sizeof(*header))
		assert_int_equal(recv(bench->call.peer, body, header->msg_size - sizeof(*header),
				      MSG_DONTWAIT), header->msg_size - sizeof(*header));
	return true;
}

/* A command without descriptor, or with this one; the errno of its reply, -1 if there is none. */
static int run(struct bench *bench, uint16_t command, const void *body, size_t size, int fd)
{
	static uint8_t bytes[64], reply[64];
	static struct msg msg;
	struct wire_header header;

	msg_init(&msg);
	msg.header = (struct wire_header){ .id = ++bench->id, .command = command };
	memcpy(bytes, body, size);
	msg.body = bytes;
	msg.size = size;
	if (fd >= 0)
		msg_add(&msg, dup(fd));
	dispatch_message(&bench->dispatch, &msg);
	if (!receive(bench, &header, reply, sizeof(reply)))
		return -1;
	assert_int_equal(header.id, bench->id);
	device_run(&bench->device);
	return (int)header.error;
}

static int map(struct bench *bench, uint32_t flags, uint64_t address, uint64_t pages, uint64_t page)
{
	const struct wire_dma_map wire = {
		32, flags, page * DMA_PAGE, address, pages * DMA_PAGE,
	};

	return run(bench, WIRE_DMA_MAP, &wire, sizeof(wire), bench->file);
}

static int respond(struct bench *bench, uint32_t cookie, uint16_t code)
{
	const struct wire_page_response wire = { .cookie = cookie, .code = code };

	return run(bench, WIRE_PAGE_RESPONSE, &wire, sizeof(wire), -1);
}

static void configure(struct bench *bench, uint32_t offset, uint64_t value, uint32_t width)
{
	const struct region *region = &bench->device.regions[WIRE_REGION_INDEX_CONFIG];

	assert_int_equal(region->ops->write(region->owner, offset, &value, width), 0);
	device_run(&bench->device);
}

static void enable(struct bench *bench)
{
	configure(bench, 0x04, 6, 2);
	configure(bench, CONFIG_ATS + WIRE_PCI_ATS_CONTROL, WIRE_PCI_ATS_ENABLE, 2);
	configure(bench, CONFIG_PRI + WIRE_PCI_PRI_ALLOCATION, 16, 4);
	configure(bench, CONFIG_PRI + WIRE_PCI_PRI_CONTROL, WIRE_PCI_PRI_ENABLE, 2);
	configure(bench, CONFIG_PASID + WIRE_PCI_PASID_CONTROL, WIRE_PCI_PASID_ENABLE, 2);
}

static int set_up(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	clock_hold(TIME);
	if (call_open(&bench.call))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.limits.viommu = (struct session_viommu){
		.version = 1, .pasid_bits = 8, .max_pasids = 4, .page_requests = 32,
		.unmap_range = true, .replace = true,
	};
	irq_init(&bench.irq, device_irq_types(DEVICE_VDMA));
	if (dma_init(&bench.dma) ||
	    device_open(&bench.device, DEVICE_VDMA, &bench.irq, &bench.dma))
		return -1;
	device_add_viommu(&bench.device, 20);
	dma_attach(&bench.dma, &bench.call.session);
	bench.owners[COMMANDS_DMA] = &bench.dma;
	bench.owners[COMMANDS_PRI] = &bench.dma.pri;
	bench.owners[COMMANDS_DEVICE] = &bench.device;
	bench.dispatch = (struct dispatch){ commands_table, COMMANDS_COUNT, 16,
					    &bench.call.session, bench.owners };
	bench.file = memfd_create("test", MFD_CLOEXEC);
	if (ftruncate(bench.file, SIZE))
		return -1;
	bench.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bench.file,
			    0);
	enable(&bench);
	*state = &bench;
	return bench.memory == MAP_FAILED;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	device_abort(&bench->device);
	dma_detach(&bench->dma);
	dma_close(&bench->dma);
	device_close(&bench->device);
	call_close(&bench->call);
	munmap(bench->memory, SIZE);
	close(bench->file);
	clock_hold(CLOCK_NEVER);
	return 0;
}

static uint32_t get(struct bench *bench, uint32_t offset)
{
	uint32_t value = 0;

	assert_int_equal(device_bar0_ops.read(&bench->device.bar0, offset, &value, 4), 0);
	return value;
}

static void put(struct bench *bench, uint32_t offset, uint64_t value, uint32_t width)
{
	assert_int_equal(device_bar0_ops.write(&bench->device.bar0, offset, &value, width), 0);
}

static void slot_put(struct bench *bench, uint32_t offset, uint64_t value, uint32_t width)
{
	put(bench, DEVICE_SLOT_REGISTERS + offset, value, width);
}

static void start(struct bench *bench, uint32_t cmd, uint64_t address, uint32_t length,
		  uint32_t ctl)
{
	slot_put(bench, SLOT_CTL, ctl, 4);
	slot_put(bench, SLOT_SRC, address, 8);
	slot_put(bench, SLOT_DST, address + ((cmd & 15) == COPY ? 0x4000 : 0), 8);
	slot_put(bench, SLOT_LEN, length, 4);
	slot_put(bench, SLOT_PAT, 7, 4);
	slot_put(bench, SLOT_CMD, cmd, 4);
	device_run(&bench->device);
}

static void expect_state(struct bench *bench, enum device_slot_state state, uint32_t rest)
{
	uint32_t status = get(bench, DEVICE_SLOT_REGISTERS + SLOT_STATE);

	assert_int_equal(status & 0xff, state);
	assert_int_equal(state == SLOT_HELD ? status >> 8 : status >> 16, rest);
	/* Nothing is in use while an operation waits, or when it has ended. */
	if (state != SLOT_HELD || rest > 3)
		assert_false(hazard_overlaps(&bench->dma.hazards, 0, SPACE_PAGES - 1));
}

static uint32_t view(struct bench *bench, uint32_t offset)
{
	return get(bench, DEVICE_FAULT_VIEWS + offset);
}

/* A request with one range at this address comes, and nothing else; its cookie. */
static uint32_t expect_request(struct bench *bench, uint32_t attr, uint64_t address, uint32_t pages,
			       uint32_t perm)
{
	struct {
		struct wire_page_request head;
		struct wire_page_range range;
	} body = { .head.nr = 0 };
	struct wire_header header;

	assert_true(receive(bench, &header, &body, sizeof(body)));
	assert_int_equal(header.command, WIRE_PAGE_REQUEST);
	assert_int_equal(body.head.nr, 1);
	assert_int_equal(body.head.attr, attr);
	assert_int_equal(body.range.address, address);
	assert_int_equal(body.range.size, pages * DMA_PAGE);
	assert_int_equal(body.range.perm, perm);
	assert_int_equal(view(bench, FAULT_VIEW_COOKIE), body.head.cookie);
	return body.head.cookie;
}

static void expect_nothing(struct bench *bench)
{
	char byte;

	transport_flush(&bench->call.session.transport);
	assert_int_equal(recv(bench->call.peer, &byte, 1, MSG_DONTWAIT), -1);
}

static void a_page_is_brought_in(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie;

	start(bench, FILL | ASK | PASID(3), A + 0x10, 16, 0);
	WAITS(bench);
	cookie = expect_request(bench, PASID(3), A, 1, WIRE_PAGE_WRITE);
	assert_int_equal(map(bench, RW | PASID(3), A, 1, 2), 0);
	WAITS(bench);
	assert_int_equal(respond(bench, cookie, 0), 0);
	expect_state(bench, SLOT_DONE, 0);
	assert_int_equal(bench->memory[0x2010], 7);
	assert_int_equal(view(bench, FAULT_VIEW_NREQ), 1);
	assert_int_equal(view(bench, FAULT_VIEW_RESP), 0);
	assert_int_equal(get(bench, 0x38), 1);
	assert_int_equal(get(bench, 0x3c), 1);
}

static void who_does_not_ask_faults(void **state)
{
	struct bench *bench = *state;

	start(bench, FILL, A, 16, 0);
	expect_state(bench, SLOT_FAULT, ENOENT);
	configure(bench, CONFIG_PRI + WIRE_PCI_PRI_CONTROL, 0, 2);
	start(bench, FILL | ASK, A, 16, PREREQ);
	expect_state(bench, SLOT_FAULT, ENOENT);
	enable(bench);
	configure(bench, CONFIG_PASID + WIRE_PCI_PASID_CONTROL, 0, 2);
	start(bench, FILL | ASK | PASID(3), A, 16, 0);
	expect_state(bench, SLOT_FAULT, ENOTSUP);
	assert_int_equal(map(bench, WIRE_DMA_MAP_READ, A, 1, 0), 0);
	configure(bench, 0x04, 0, 2);
	start(bench, FILL | ASK, A, 16, 0);
	expect_state(bench, SLOT_FAULT, EACCES);
	expect_nothing(bench);
}

static void success_without_a_page_has_a_bound(void **state)
{
	struct bench *bench = *state;

	start(bench, READ | ASK, A, 16, RETRY(2));
	for (uint32_t i = 0; i < 3; i++) {
		uint32_t cookie = expect_request(bench, 0, A, 1, WIRE_PAGE_READ);

		assert_int_equal(view(bench, FAULT_VIEW_NRETRY), i);
		assert_int_equal(respond(bench, cookie, 0), 0);
	}
	expect_state(bench, SLOT_FAULT, ELOOP);
	assert_int_equal(view(bench, FAULT_VIEW_NREQ), 3);
	expect_nothing(bench);
}

static void what_has_moved_stays_and_counting_begins_anew(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie;

	start(bench, FILL | ASK, A, 3 * DMA_PAGE, 0);
	for (uint32_t i = 0; i < 3; i++) {
		cookie = expect_request(bench, 0, A + i * DMA_PAGE, 3 - i, WIRE_PAGE_WRITE);
		assert_int_equal(get(bench, DEVICE_SLOT_REGISTERS + SLOT_MOVED), i * DMA_PAGE);
		assert_int_equal(map(bench, RW, A + i * DMA_PAGE, 1, i), 0);
		assert_int_equal(respond(bench, cookie, 0), 0);
	}
	expect_state(bench, SLOT_DONE, 0);
}

static void both_sides_are_one_group(void **state)
{
	struct bench *bench = *state;
	struct {
		struct wire_page_request head;
		struct wire_page_range range[2];
	} body = { .head.nr = 0 };
	struct wire_header header;

	start(bench, COPY | ASK, A, 16, 0);
	assert_true(receive(bench, &header, &body, sizeof(body)));
	assert_int_equal(body.head.nr, 2);
	assert_int_equal(body.range[0].address, A);
	assert_int_equal(body.range[0].perm, WIRE_PAGE_READ);
	assert_int_equal(body.range[1].address, A + UINT64_C(4) * DMA_PAGE);
	assert_int_equal(body.range[1].perm, WIRE_PAGE_WRITE);
	assert_int_equal(map(bench, RW, A, 5, 0), 0);
	assert_int_equal(respond(bench, body.head.cookie, 0), 0);
	expect_state(bench, SLOT_DONE, 0);
	/* Where they touch, the rights are put together. */
	start(bench, COPY | ASK, 0x80000000, 8 * DMA_PAGE, 0);
	assert_true(receive(bench, &header, &body, sizeof(body)));
	assert_int_equal(body.head.nr, 1);
	assert_int_equal(body.range[0].size, 8 * DMA_PAGE);
	assert_int_equal(body.range[0].perm, 3);
}

static void a_page_that_came_meanwhile_is_not_asked_for(void **state)
{
	struct bench *bench = *state;

	start(bench, FILL | ASK, A, 16, PREREQ | POSTRESP);
	expect_state(bench, SLOT_HELD, 5);
	assert_int_equal(map(bench, RW, A, 1, 0), 0);
	slot_put(bench, SLOT_STEP, STEP_NEXT, 4);
	device_run(&bench->device);
	expect_state(bench, SLOT_DONE, 0);
	expect_nothing(bench);
	start(bench, FILL | ASK, A + DMA_PAGE, 16, POSTRESP | RETRY(1));
	assert_int_equal(respond(bench, expect_request(bench, 0, A + DMA_PAGE, 1, 2), 0), 0);
	expect_state(bench, SLOT_HELD, 6);
	slot_put(bench, SLOT_STEP, STEP_NEXT, 4);
	device_run(&bench->device);
	assert_int_equal(respond(bench, expect_request(bench, 0, A + DMA_PAGE, 1, 2), 1), 0);
	expect_state(bench, SLOT_FAULT, EFAULT);
	assert_int_equal(view(bench, FAULT_VIEW_RESP), 1);
}

static void no_unmap_waits_for_a_page(void **state)
{
	struct bench *bench = *state;
	const struct wire_dma_unmap unmap = { 24, 0, A, DMA_PAGE };
	uint32_t cookie;

	assert_int_equal(map(bench, RW, A, 1, 0), 0);
	start(bench, FILL | ASK, A, 2 * DMA_PAGE, DRAIN);
	cookie = expect_request(bench, 0, A + DMA_PAGE, 1, 2);
	assert_int_equal(run(bench, WIRE_DMA_UNMAP, &unmap, sizeof(unmap), -1), 0);
	WAITS(bench);
	assert_int_equal(map(bench, RW, A + DMA_PAGE, 1, 1), 0);
	assert_int_equal(respond(bench, cookie, 0), 0);
	expect_state(bench, SLOT_DONE, 0);
}

static void nothing_goes_on_without_bus_mastering(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie;

	start(bench, FILL | ASK, A, 16, 0);
	cookie = expect_request(bench, 0, A, 1, 2);
	configure(bench, 0x04, 2, 2);
	assert_int_equal(map(bench, RW, A, 1, 0), 0);
	assert_int_equal(respond(bench, cookie, 0), 0);
	WAITS(bench);
	assert_int_equal(bench->memory[0], 0);
	configure(bench, 0x04, 6, 2);
	expect_state(bench, SLOT_DONE, 0);
}

static void a_late_response_changes_nothing(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie;

	put(bench, DEVICE_PR_TIMEOUT, 100, 4);
	start(bench, FILL | ASK, A, 16, 0);
	cookie = expect_request(bench, 0, A, 1, 2);
	assert_int_equal(device_due(&bench->device), TIME + 100);
	clock_hold(TIME + 99);
	device_run(&bench->device);
	WAITS(bench);
	clock_hold(TIME + 100);
	device_run(&bench->device);
	expect_state(bench, SLOT_FAULT, ETIMEDOUT);
	assert_int_equal(respond(bench, cookie, 0), ENOENT);
	expect_state(bench, SLOT_FAULT, ETIMEDOUT);
	assert_int_equal(get(bench, 0x40), 1);
}

static void the_end_of_the_space_ends_the_wait(void **state)
{
	struct bench *bench = *state;
	const struct wire_dma_unmap unmap = { 24, WIRE_DMA_UNMAP_ALL | PASID(3), 0, 0 };
	struct wire_page_request marker = { 0 };
	struct wire_header header;
	uint32_t cookie;

	start(bench, FILL | ASK | PASID(3), A, 16, 0);
	cookie = expect_request(bench, PASID(3), A, 1, 2);
	bench->id++;
	dispatch_message(&bench->dispatch, &(struct msg){
		.header = { .id = bench->id, .command = WIRE_DMA_UNMAP },
		.body = (const uint8_t *)&unmap, .size = sizeof(unmap) });
	assert_true(receive(bench, &header, &marker, sizeof(marker)));
	assert_int_equal(header.command, WIRE_PAGE_REQUEST);
	assert_int_equal(marker.nr, 0);
	assert_true(receive(bench, &header, &(uint8_t[24]){ 0 }, 24));
	assert_int_equal(header.command, WIRE_DMA_UNMAP);
	expect_state(bench, SLOT_ABORTED, ECANCELED);
	assert_int_equal(respond(bench, cookie, 0), ENOENT);
}

static void a_reset_ends_the_wait(void **state)
{
	struct bench *bench = *state;

	for (int flr = 0; flr < 2; flr++) {
		uint32_t cookie;

		enable(bench);
		start(bench, FILL | ASK, A, 16, 0);
		cookie = expect_request(bench, 0, A, 1, 2);
		if (flr)
			configure(bench, 0x68, 0x8000, 2);
		else
			assert_int_equal(run(bench, WIRE_DEVICE_RESET, "", 0, -1), 0);
		expect_state(bench, SLOT_IDLE, 0);
		assert_int_equal(respond(bench, cookie, 0), ENOENT);
		assert_int_equal(pri_status(&bench->dma.pri), WIRE_PCI_PRI_STOPPED);
		assert_int_equal(bench->dma.pri.used, 0);
	}
}

static void a_stop_parks_and_asks_anew(void **state)
{
	struct bench *bench = *state;
	uint32_t cookie;

	start(bench, FILL | ASK, A, 16, 0);
	cookie = expect_request(bench, 0, A, 1, 2);
	assert_int_equal(migration_set_state(&bench->device.migration, WIRE_STATE_STOP), 0);
	expect_state(bench, SLOT_RUN, 0);
	assert_int_equal(respond(bench, cookie, 0), ENOENT);
	assert_false(pri_status(&bench->dma.pri) & WIRE_PCI_PRI_UPRGI);
	device_run(&bench->device);
	expect_nothing(bench);
	assert_int_equal(migration_set_state(&bench->device.migration, WIRE_STATE_RUNNING), 0);
	device_run(&bench->device);
	assert_int_equal(expect_request(bench, 0, A, 1, 2), cookie + 1);
	assert_int_equal(map(bench, RW, A, 1, 0), 0);
	assert_int_equal(respond(bench, cookie + 1, 0), 0);
	expect_state(bench, SLOT_DONE, 0);
}

static void what_waits_is_saved_as_not_begun(void **state)
{
	struct bench *bench = *state;
	struct device_slot *slots = bench->device.bar0.engine.slots;
	uint8_t image[DEVICE_SLOT_IMAGE];

	start(bench, FILL | ASK, A, 16, 0);
	WAITS(bench);
	device_slot_save(&slots[0], image);
	assert_int_equal(device_slot_restore(&slots[1], image), 0);
	assert_int_equal(device_slot_status(&slots[1]), SLOT_RUN);
	expect_request(bench, 0, A, 1, 2);
	device_engine_stir(&bench->device.bar0.engine);
	device_run(&bench->device);
	assert_int_equal(device_slot_status(&slots[1]), SLOT_WAIT_PAGE);
	device_abort(&bench->device);
	start(bench, FILL | ASK, A + DMA_PAGE, 16, PREREQ);
	expect_state(bench, SLOT_HELD, 5);
	device_slot_save(&slots[0], image);
	assert_int_equal(device_slot_restore(&slots[1], image), 0);
	assert_int_equal(device_slot_status(&slots[1]), 5 << 8 | SLOT_HELD);
}

static void the_client_may_miss_pages_too(void **state)
{
	struct bench *bench = *state;
	const struct wire_dma_map wire = { 32, RW, 0, A, DMA_PAGE };
	struct wire_header header;
	uint8_t body[64];
	static struct msg msg;

	assert_int_equal(run(bench, WIRE_DMA_MAP, &wire, sizeof(wire), -1), 0);
	start(bench, FILL | ASK, A + 8, 16, RETRY(1));
	assert_true(receive(bench, &header, body, sizeof(body)));
	assert_int_equal(header.command, WIRE_DMA_WRITE);
	msg_init(&msg);
	msg.header = header;
	msg.header.flags = WIRE_TYPE_REPLY | WIRE_ERROR;
	msg.header.error = EFAULT;
	dispatch_message(&bench->dispatch, &msg);
	device_run(&bench->device);
	WAITS(bench);
	assert_int_equal(respond(bench, expect_request(bench, 0, A, 1, 2), 0), 0);
	assert_true(receive(bench, &header, body, sizeof(body)));
	msg_init(&msg);
	msg.header = header;
	msg.header.flags = WIRE_TYPE_REPLY | WIRE_ERROR;
	msg.header.error = ENODEV;
	dispatch_message(&bench->dispatch, &msg);
	expect_state(bench, SLOT_FAULT, EIO);
}

static void a_held_operation_gives_way_to_a_replacement(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(map(bench, RW, A, 1, 0), 0);
	start(bench, FILL, A, 16, POST);
	expect_state(bench, SLOT_HELD, 1);
	assert_int_equal(map(bench, RW | WIRE_DMA_MAP_REPLACE, A, 1, 1), 0);
	expect_state(bench, SLOT_ABORTED, ECANCELED);
	put(bench, DEVICE_DRAIN_MS, 50, 4);
	start(bench, FILL, A, 16, POST | DRAIN);
	assert_int_equal(map(bench, RW | WIRE_DMA_MAP_REPLACE, A, 1, 2), -1);
	clock_hold(TIME + 50);
	device_run(&bench->device);
	assert_true(dma_is_quiet(&bench->dma));
	dispatch_resume(&bench->dispatch);
	expect_state(bench, SLOT_DONE, 0);
	assert_int_equal(bench->memory[0x1000], 7);
	assert_int_equal(bench->memory[0x2000], 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_page_is_brought_in),
		CASE(who_does_not_ask_faults),
		CASE(success_without_a_page_has_a_bound),
		CASE(what_has_moved_stays_and_counting_begins_anew),
		CASE(both_sides_are_one_group),
		CASE(a_page_that_came_meanwhile_is_not_asked_for),
		CASE(no_unmap_waits_for_a_page),
		CASE(nothing_goes_on_without_bus_mastering),
		CASE(a_late_response_changes_nothing),
		CASE(the_end_of_the_space_ends_the_wait),
		CASE(a_reset_ends_the_wait),
		CASE(a_stop_parks_and_asks_anew),
		CASE(what_waits_is_saved_as_not_begun),
		CASE(the_client_may_miss_pages_too),
		CASE(a_held_operation_gives_way_to_a_replacement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
