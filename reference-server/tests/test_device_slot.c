/* SPDX-License-Identifier: BSD-3-Clause */
/* test_device_slot.c - the DMA operations of the test device, driven through its registers. */
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
#include "device.h"

#define TIME 1000u
#define A 0x10000u		/* two pages with a file */
#define B 0x12000u		/* a page behind them, by messages */
#define READ_ONLY 0x20000u	/* a page with a file */

enum { NOP, READ, WRITE, COPY, TOUCH, FILL, CHECK };
enum { PRE = 1, POST = 2, MID = 4, END = 8, RETIRED = 16, DRAIN = 256 };

struct bench {
	struct dma dma;
	uint8_t *memory;	/* of the client: three pages, of which the last is READ_ONLY */
	struct dispatch dispatch;
	void *owners[COMMANDS_OWNERS];
	struct irq irq;
	struct call call;
	struct device device;
	int file;
	uint16_t id;
};

static void run(struct bench *bench, uint16_t command, const void *body, size_t size, int fd)
{
	static uint8_t bytes[64];
	static struct msg msg;

	msg_init(&msg);
	msg.header = (struct wire_header){ .id = ++bench->id, .command = command };
	/* It stays until it has been answered. */
	memcpy(bytes, body, size);
	msg.body = bytes;
	msg.size = size;
	if (fd >= 0)
		msg_add(&msg, dup(fd));
	dispatch_message(&bench->dispatch, &msg);
	device_run(&bench->device);
	transport_flush(&bench->call.session.transport);
}

/* What the loop of the server does when time has passed. */
static void go_on(struct bench *bench)
{
	device_run(&bench->device);
	if (bench->call.session.deferred && dma_is_quiet(&bench->dma))
		dispatch_resume(&bench->dispatch);
}

/* The next message to the client; its body, or nothing and false. */
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

static void expect_reply(struct bench *bench, uint32_t error)
{
	struct wire_header header;
	uint8_t body[64];

	assert_true(receive(bench, &header, body, sizeof(body)));
	assert_int_equal(header.id, bench->id);
	assert_int_equal(header.error, error);
}

static void expect_nothing(struct bench *bench)
{
	char byte;

	transport_flush(&bench->call.session.transport);
	assert_int_equal(recv(bench->call.peer, &byte, 1, MSG_DONTWAIT), -1);
}

static void map(struct bench *bench, struct wire_dma_map wire, int fd)
{
	run(bench, WIRE_DMA_MAP, &wire, sizeof(wire), fd);
	expect_reply(bench, 0);
}

static void unmap(struct bench *bench, uint64_t address, uint64_t size)
{
	const struct wire_dma_unmap wire = { sizeof(wire), 0, address, size };

	run(bench, WIRE_DMA_UNMAP, &wire, sizeof(wire), -1);
}

static int set_up(void **state)
{
	static struct bench bench;
	const uint32_t rw = WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE;

	clock_hold(TIME);
	if (call_open(&bench.call))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	bench.call.session.t_dma = 100;
	irq_init(&bench.irq, device_irq_types(DEVICE_VDMA));
	if (dma_init(&bench.dma) ||
	    device_open(&bench.device, DEVICE_VDMA, &bench.irq, &bench.dma))
		return -1;
	dma_attach(&bench.dma, &bench.call.session);
	region_attach(&bench.device.table, &bench.call.session.limits);
	bench.owners[COMMANDS_DMA] = &bench.dma;
	bench.owners[COMMANDS_DEVICE] = &bench.device;
	bench.owners[COMMANDS_REGION] = &bench.device.table;
	bench.dispatch = (struct dispatch){ commands_table, COMMANDS_COUNT, 16,
					    &bench.call.session, bench.owners };
	bench.file = memfd_create("test", MFD_CLOEXEC);
	if (ftruncate(bench.file, 0x3000))
		return -1;
	bench.memory = mmap(NULL, 0x3000, PROT_READ | PROT_WRITE, MAP_SHARED, bench.file, 0);
	map(&bench, (struct wire_dma_map){ 32, rw, 0, A, 0x2000 }, bench.file);
	map(&bench, (struct wire_dma_map){ 32, rw, 0, B, 0x1000 }, -1);
	map(&bench, (struct wire_dma_map){ 32, WIRE_DMA_MAP_READ, 0x2000, READ_ONLY, 0x1000 },
	    bench.file);
	*state = &bench;
	return bench.memory == MAP_FAILED;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	device_abort(&bench->device);
	dma_detach(&bench->dma);
	dma_close(&bench->dma);
	irq_detach(&bench->irq);
	device_close(&bench->device);
	call_close(&bench->call);
	munmap(bench->memory, 0x3000);
	close(bench->file);
	clock_hold(CLOCK_NEVER);
	return 0;
}

/* Whether memory is in use. */
static bool holds(struct bench *bench)
{
	return hazard_overlaps(&bench->dma.hazards, 0, SPACE_PAGES - 1);
}

static void put(struct bench *bench, uint32_t offset, uint64_t value, uint32_t width)
{
	assert_int_equal(device_bar0_ops.write(&bench->device.bar0, offset, &value, width), 0);
}

static uint32_t get(struct bench *bench, uint32_t offset)
{
	uint32_t value;

	assert_int_equal(device_bar0_ops.read(&bench->device.bar0, offset, &value, 4), 0);
	return value;
}

static uint32_t slot_get(struct bench *bench, uint32_t offset)
{
	return get(bench, DEVICE_SLOT_REGISTERS + offset);
}

static void slot_put(struct bench *bench, uint32_t offset, uint64_t value, uint32_t width)
{
	put(bench, DEVICE_SLOT_REGISTERS + offset, value, width);
}

struct operation {
	uint32_t cmd;
	uint64_t address;	/* on both sides, but for COPY */
	uint32_t length;
	uint32_t ctl;
	uint64_t target;	/* of COPY */
};

static void start(struct bench *bench, struct operation op)
{
	slot_put(bench, SLOT_CTL, op.ctl, 4);
	slot_put(bench, SLOT_SRC, op.address, 8);
	slot_put(bench, SLOT_DST, (op.cmd & 15) == COPY ? op.target : op.address, 8);
	slot_put(bench, SLOT_LEN, op.length, 4);
	slot_put(bench, SLOT_CMD, op.cmd, 4);
	device_run(&bench->device);
}

static void step(struct bench *bench, uint32_t code)
{
	slot_put(bench, SLOT_STEP, code, 4);
	device_run(&bench->device);
}

static void expect(struct bench *bench, uint32_t state, int error, uint32_t moved)
{
	assert_int_equal(slot_get(bench, SLOT_STATE) & 0xff, state);
	assert_int_equal(slot_get(bench, SLOT_STATE) >> 16, error);
	assert_int_equal(slot_get(bench, SLOT_MOVED), moved);
}

static void bytes_go_both_ways_with_their_checksum(void **state)
{
	struct bench *bench = *state;

	memcpy(bench->device.bar0.engine.env.buffer + 5, "123456789", 9);
	slot_put(bench, SLOT_BUF, 5, 4);
	start(bench, (struct operation){ WRITE, A + 0xffc, 9, 0, 0 });
	expect(bench, SLOT_DONE, 0, 9);
	assert_int_equal(slot_get(bench, SLOT_CSUM), 0xcbf43926);
	assert_memory_equal(bench->memory + 0xffc, "123456789", 9);
	slot_put(bench, SLOT_BUF, DEVICE_BUFFER_SIZE - 4, 4);
	start(bench, (struct operation){ READ, A + 0xffc, 9, 0, 0 });
	expect(bench, SLOT_DONE, 0, 9);
	assert_int_equal(slot_get(bench, SLOT_CSUM), 0xcbf43926);
	/* The buffer is used in the round. */
	assert_memory_equal(bench->device.bar0.engine.env.buffer, "56789", 5);
	start(bench, (struct operation){ COPY, A + 0xffc, 9, 0, A });
	expect(bench, SLOT_DONE, 0, 9);
	assert_memory_equal(bench->memory, "123456789", 9);
}

static void patterns_are_written_and_checked(void **state)
{
	struct bench *bench = *state;

	slot_put(bench, SLOT_PAT, 3, 4);
	start(bench, (struct operation){ FILL, A, 0x2000, 0, 0 });
	expect(bench, SLOT_DONE, 0, 0x2000);
	assert_int_equal(bench->memory[0x1801], (uint8_t)(3 + 0x1801 * 0x9d));
	start(bench, (struct operation){ CHECK, A, 0x2000, 0, 0 });
	expect(bench, SLOT_DONE, 0, 0x2000);
	bench->memory[0x1234]++;
	start(bench, (struct operation){ CHECK, A, 0x2000, 0, 0 });
	expect(bench, SLOT_FAULT, EILSEQ, 0x1234);
	assert_int_equal(get(bench, DEVICE_FAULT_VIEWS), A + 0x1234);
}

static void a_burst_repeats_at_its_stride(void **state)
{
	struct bench *bench = *state;

	slot_put(bench, SLOT_COUNT, 5, 4);
	slot_put(bench, SLOT_STRIDE, 0x800, 4);
	start(bench, (struct operation){ FILL, A, 2, 0, 0 });
	/* The fifth is reached by messages. */
	expect(bench, SLOT_WAIT_MSG, 0, 8);
	assert_int_equal(bench->memory[0x1801], (uint8_t)(7 * 0x9d));
	assert_int_equal(bench->memory[0x802], 0);
	slot_put(bench, SLOT_STRIDE, UINT32_MAX, 4);
	step(bench, STEP_ABORT);
	start(bench, (struct operation){ FILL, A, 2, 0, 0 });
	expect(bench, SLOT_FAULT, ENOENT, 2);
}

static void misses_and_rights_fault_with_the_exact_count(void **state)
{
	struct bench *bench = *state;
	static const struct {
		struct operation op;
		int error;
		uint32_t moved;
		uint32_t at;
	} rows[] = {
		{ { WRITE, 0x5000, 4, 0, 0 }, ENOENT, 0, 0x5000 },
		{ { READ, A - 4, 8, 0, 0 }, ENOENT, 0, A - 4 },
		{ { WRITE, READ_ONLY, 8, 0, 0 }, EACCES, 0, READ_ONLY },
		{ { READ, READ_ONLY + 0xff0, 0x20, 0, 0 }, ENOENT, 0x10, READ_ONLY + 0x1000 },
		{ { TOUCH, READ_ONLY, 0x2000, 0, 0 }, ENOENT, 0, READ_ONLY + 0x1000 },
		{ { COPY, A, 8, 0, READ_ONLY }, EACCES, 0, READ_ONLY },
		{ { READ | 1 << 4, B, 8, 0, 0 }, ENOTSUP, 0, B },
		{ { READ, UINT64_MAX - 3, 8, 0, 0 }, ENOENT, 0, UINT32_MAX - 3 },
		{ { READ | 1 << 6, A, 8, 0, 0 }, ENOTSUP, 0, 0 },
		{ { READ | 1 << 8, A, 8, 0, 0 }, ENOTSUP, 0, 0 },
		{ { READ | 3 << 4, A, 8, 0, 0 }, ENOTSUP, 0, 0 },
		{ { CHECK + 1, A, 8, 0, 0 }, ENOTSUP, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		start(bench, rows[i].op);
		expect(bench, SLOT_FAULT, rows[i].error, rows[i].moved);
		assert_int_equal(get(bench, DEVICE_FAULT_VIEWS), rows[i].at);
	}
	assert_false(holds(bench));
	start(bench, (struct operation){ WRITE, 0x5000, 0, 0, 0 });
	expect(bench, SLOT_DONE, 0, 0);
}

static void each_hold_point_holds_once(void **state)
{
	struct bench *bench = *state;
	static const uint32_t points[] = { 0, 1, 2, 3, 4 };

	slot_put(bench, SLOT_MID, 0x1000, 4);
	start(bench, (struct operation){ FILL, A, 0x2000, PRE | POST | MID | END | RETIRED, 0 });
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(slot_get(bench, SLOT_STATE), points[i] << 8 | SLOT_HELD);
		assert_int_equal(holds(bench), points[i] >= 1 && points[i] <= 3);
		assert_int_equal(slot_get(bench, SLOT_MOVED), i < 2 ? 0 : i < 3 ? 0x1000 : 0x2000);
		step(bench, STEP_NEXT);
	}
	expect(bench, SLOT_DONE, 0, 0x2000);
	start(bench, (struct operation){ FILL, A, 0x2000, PRE | POST | MID | END | RETIRED, 0 });
	step(bench, STEP_END);
	expect(bench, SLOT_DONE, 0, 0x2000);
}

static void armed_and_frozen_operations_wait(void **state)
{
	struct bench *bench = *state;

	start(bench, (struct operation){ FILL | 1 << 10, A, 8, 0, 0 });
	expect(bench, SLOT_QUEUED, 0, 0);
	slot_put(bench, SLOT_CMD, READ, 4);
	put(bench, DEVICE_GCTL, 2, 4);
	put(bench, DEVICE_GO, 0xff, 4);
	device_run(&bench->device);
	expect(bench, SLOT_QUEUED, 0, 0);
	put(bench, DEVICE_GCTL, 0, 4);
	device_run(&bench->device);
	expect(bench, SLOT_DONE, 0, 8);
	assert_int_equal(get(bench, DEVICE_COUNTERS), 1);
}

/* Takes the request and answers it with what `error` and `data` say; its address. */
static uint64_t serve(struct bench *bench, uint32_t error, size_t data)
{
	struct { struct wire_dma_access access; uint8_t bytes[4096]; } body;
	struct wire_header header;
	static struct msg msg;

	memset(&body, 0, sizeof(body));
	assert_true(receive(bench, &header, &body, sizeof(body)));
	assert_int_equal(header.flags & WIRE_TYPE_MASK, WIRE_TYPE_COMMAND);
	if (header.command == WIRE_DMA_READ)
		memset(body.bytes, 'r', sizeof(body.bytes));
	msg_init(&msg);
	msg.header = header;
	msg.header.flags = WIRE_TYPE_REPLY | (error ? WIRE_ERROR : 0);
	msg.header.error = error;
	msg.body = (const uint8_t *)&body;
	msg.size = error ? 0 : data;
	dispatch_message(&bench->dispatch, &msg);
	device_run(&bench->device);
	return body.access.address;
}

static void messages_have_the_size_that_the_client_takes(void **state)
{
	struct bench *bench = *state;

	bench->call.session.limits.client_max_data_xfer_size = 3;
	start(bench, (struct operation){ READ, B, 7, 0, 0 });
	assert_int_equal(serve(bench, 0, 19), B);
	assert_int_equal(serve(bench, 0, 19), B + 3);
	assert_int_equal(serve(bench, 0, 17), B + 6);
	expect(bench, SLOT_DONE, 0, 7);
	assert_memory_equal(bench->device.bar0.engine.env.buffer, "rrrrrrr\0", 8);
	bench->call.session.limits.client_max_data_xfer_size = 4096;
	/* Messages where there is a file, the short reply, and the end of a mapping. */
	start(bench, (struct operation){ WRITE | 2 << 4, A + 0x1ff0, 0x20, 0, 0 });
	assert_int_equal(serve(bench, 0, 12), A + 0x1ff0);
	assert_int_equal(serve(bench, 0, 16), B);
	expect(bench, SLOT_DONE, 0, 0x20);
	expect_nothing(bench);
}

static void a_bad_reply_fails_the_operation(void **state)
{
	struct bench *bench = *state;
	static const struct { size_t data; uint32_t error; int expected; } rows[] = {
		{ 0, EFAULT, EFAULT }, { 0, 0, EIO }, { 16, 0, EIO }, { 16 + 7, 0, EIO },
		{ 16 + 9, 0, EIO }, { 12, 0, EIO },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		start(bench, (struct operation){ READ, B, 8, 0, 0 });
		serve(bench, rows[i].error, rows[i].data);
		expect(bench, SLOT_FAULT, rows[i].expected, 0);
	}
	start(bench, (struct operation){ READ, B, 8, 0, 0 });
	session_expire(&bench->call.session, TIME + 100);
	expect(bench, SLOT_FAULT, EIO, 0);
	serve(bench, 0, 24);
	expect(bench, SLOT_FAULT, EIO, 0);
}

static void unmap_aborts_or_waits_for_the_drain(void **state)
{
	struct bench *bench = *state;

	slot_put(bench, SLOT_MID, 0x1000, 4);
	start(bench, (struct operation){ FILL, A, 0x2000, MID | DRAIN, 0 });
	unmap(bench, B, 0x1000);
	expect_reply(bench, 0);
	put(bench, DEVICE_DRAIN_MS, 20, 4);
	unmap(bench, A, 0x2000);
	expect_nothing(bench);
	assert_non_null(bench->call.session.deferred);
	clock_hold(TIME + 19);
	device_run(&bench->device);
	expect(bench, SLOT_HELD, 0, 0x1000);
	assert_int_equal(device_due(&bench->device), TIME + 20);
	clock_hold(TIME + 20);
	go_on(bench);
	expect(bench, SLOT_DONE, 0, 0x2000);
	expect_reply(bench, 0);
	assert_null(bench->call.session.deferred);
	start(bench, (struct operation){ READ, READ_ONLY, 8, POST, 0 });
	unmap(bench, READ_ONLY, 0x1000);
	expect_reply(bench, 0);
	expect(bench, SLOT_ABORTED, ECANCELED, 0);
	start(bench, (struct operation){ READ, READ_ONLY, 8, 0, 0 });
	expect(bench, SLOT_FAULT, ENOENT, 0);
}

static void unmap_does_not_wait_for_the_client(void **state)
{
	struct bench *bench = *state;

	/* Also where the policy is to drain, and the part that goes is copied. */
	start(bench, (struct operation){ COPY, A, 8, DRAIN, B });
	expect(bench, SLOT_WAIT_MSG, 0, 0);
	unmap(bench, A, 0x2000);
	expect(bench, SLOT_ABORTED, ECANCELED, 0);
	assert_int_equal(serve(bench, 0, 16), B);
	expect_reply(bench, 0);
	expect(bench, SLOT_ABORTED, ECANCELED, 0);
}

static void a_truncated_file_costs_one_operation(void **state)
{
	struct bench *bench;

	/* The first mapping puts our handler of SIGBUS in front of the one of this test. */
	assert_int_equal(set_up(state), 0);
	bench = *state;

	assert_int_equal(ftruncate(bench->file, 0x1000), 0);
	for (int i = 0; i < 2; i++) {
		start(bench, (struct operation){ FILL, A + 0xf00, 0x200, 0, 0 });
		expect(bench, SLOT_FAULT, EFAULT, 0x100);
		start(bench, (struct operation){ READ, A + 0x1000, 4, 0, 0 });
		expect(bench, SLOT_FAULT, EFAULT, 0);
		start(bench, (struct operation){ FILL, A, 0x1000, 0, 0 });
		expect(bench, SLOT_DONE, 0, 0x1000);
	}
	assert_int_equal(tear_down(state), 0);
}

static void reset_aborts_and_forgets(void **state)
{
	struct bench *bench = *state;

	start(bench, (struct operation){ FILL, A, 0x2000, POST | DRAIN, 0 });
	device_reset(&bench->device);
	assert_false(holds(bench));
	expect(bench, SLOT_IDLE, 0, 0);
	assert_int_equal(get(bench, DEVICE_EVHEAD), 1);
	assert_int_equal(get(bench, DEVICE_EVENT_RING + 4), DEVICE_EVENT_RESET);
	start(bench, (struct operation){ FILL, A, 8, 0, 0 });
	expect(bench, SLOT_DONE, 0, 8);
	assert_int_equal(bench->memory[0x1000], 0);
}

static void the_side_door_releases_and_shows(void **state)
{
	struct bench *bench = *state;
	uint32_t code = STEP_NEXT;

	start(bench, (struct operation){ FILL, A, 8, PRE, 0 });
	assert_int_equal(pread(bench->device.bar2.fd, &code, 4, DEVICE_DOOR_STATE), 4);
	assert_int_equal(code, SLOT_HELD);
	assert_true(device_due(&bench->device) < CLOCK_NEVER);
	code = STEP_NEXT;
	assert_int_equal(pwrite(bench->device.bar2.fd, &code, 4, DEVICE_DOOR_RELEASE), 4);
	device_run(&bench->device);
	expect(bench, SLOT_DONE, 0, 8);
	assert_int_equal(pread(bench->device.bar2.fd, &code, 4, DEVICE_DOOR_RELEASE), 4);
	assert_int_equal(code, 0);
	assert_int_equal(pread(bench->device.bar2.fd, &code, 4, DEVICE_DOOR_STATE), 4);
	assert_int_equal(code, SLOT_DONE);
	assert_true(device_due(&bench->device) == CLOCK_NEVER);
}

static void a_long_burst_yields(void **state)
{
	struct bench *bench = *state;

	slot_put(bench, SLOT_COUNT, UINT32_MAX, 4);
	start(bench, (struct operation){ FILL, A, 0x2000, 0, 0 });
	assert_int_equal(slot_get(bench, SLOT_STATE), SLOT_RUN);
	assert_int_equal(device_due(&bench->device), 0);
	unmap(bench, A, 0x2000);
	expect_reply(bench, 0);
	assert_int_equal(slot_get(bench, SLOT_STATE), ECANCELED << 16 | SLOT_ABORTED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: each test gets a handler of SIGBUS from cmocka, and ours comes once. */
		cmocka_unit_test(a_truncated_file_costs_one_operation),
		CASE(bytes_go_both_ways_with_their_checksum),
		CASE(patterns_are_written_and_checked),
		CASE(a_burst_repeats_at_its_stride),
		CASE(misses_and_rights_fault_with_the_exact_count),
		CASE(each_hold_point_holds_once),
		CASE(armed_and_frozen_operations_wait),
		CASE(messages_have_the_size_that_the_client_takes),
		CASE(a_bad_reply_fails_the_operation),
		CASE(unmap_aborts_or_waits_for_the_drain),
		CASE(unmap_does_not_wait_for_the_client),
		CASE(reset_aborts_and_forgets),
		CASE(the_side_door_releases_and_shows),
		CASE(a_long_burst_yields),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
