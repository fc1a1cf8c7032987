/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_device_stop.c - operations of the test device that have to end or come to rest: by an
 * unmap, a reset or a stop, with and without threads; and operations at rest as bytes.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "call.h"
#include "device.h"
#include "device_state.h"

#define A 0x10000u		/* two pages with a file */
#define B 0x20000u		/* a page by messages */
#define SIZE 0x2000u

enum { PRE = 1, POST = 2, MID = 4, END = 8, RETIRED = 16, DRAIN = 256 };
enum { READ = 1, FILL = 5 };

struct bench {
	struct call call;
	struct dma dma;
	struct irq irq;
	struct device device;
	uint8_t *memory;
	int file;
};

static void map(struct bench *bench, uint64_t address, uint64_t size, int fd)
{
	const struct wire_dma_map wire = { sizeof(wire), 3, 0, address, size };
	static struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&wire;
	msg.size = sizeof(wire);
	if (fd >= 0)
		msg_add(&msg, dup(fd));
	assert_int_equal(call_message(&bench->call, dma_map, &bench->dma, &msg), 0);
}

static int unmap(struct bench *bench, uint64_t address, uint64_t size)
{
	const struct wire_dma_unmap wire = { sizeof(wire), 0, address, size };

	return call_handler(&bench->call, dma_unmap, &bench->dma, &wire, sizeof(wire));
}

static int set_up_threads(void **state, uint32_t threads)
{
	static struct bench bench;

	if (call_open(&bench.call) || dma_init(&bench.dma))
		return -1;
	bench.call.session.phase = SESSION_NEGOTIATED;
	irq_init(&bench.irq, device_irq_types(DEVICE_VDMA));
	if (device_open(&bench.device, DEVICE_VDMA, &bench.irq, &bench.dma))
		return -1;
	dma_attach(&bench.dma, &bench.call.session);
	device_attach(&bench.device, threads);
	bench.file = memfd_create("test", MFD_CLOEXEC);
	if (ftruncate(bench.file, SIZE))
		return -1;
	bench.memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, bench.file, 0);
	map(&bench, A, SIZE, bench.file);
	map(&bench, B, 0x1000, -1);
	*state = &bench;
	return bench.memory == MAP_FAILED;
}

static int set_up(void **state)
{
	return set_up_threads(state, 0);
}

static int set_up_three(void **state)
{
	return set_up_threads(state, 3);
}

/* Waits for the threads as the loop of the server does. */
static void await(struct bench *bench)
{
	struct pollfd pollfd = { .fd = dma_wake_fd(&bench->dma), .events = POLLIN };

	assert_int_equal(poll(&pollfd, 1, 10000), 1);
	dma_awake(&bench->dma);
	device_run(&bench->device);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	while (dma_quiesce(&bench->dma, DMA_ENDS))
		await(bench);
	device_detach(&bench->device);
	dma_detach(&bench->dma);
	irq_detach(&bench->irq);
	device_close(&bench->device);
	dma_close(&bench->dma);
	call_close(&bench->call);
	munmap(bench->memory, SIZE);
	return close(bench->file);
}

static void put(struct bench *bench, uint32_t slot, uint32_t offset, uint64_t value)
{
	uint64_t place = DEVICE_SLOT_REGISTERS + slot * SLOT_SIZE + offset;
	uint32_t width = offset == SLOT_SRC || offset == SLOT_DST ? 8 : 4;

	assert_int_equal(device_bar0_ops.write(&bench->device.bar0, place, &value, width), 0);
}

static uint32_t get(struct bench *bench, uint32_t slot, uint32_t offset)
{
	uint64_t place = DEVICE_SLOT_REGISTERS + slot * SLOT_SIZE + offset;
	uint32_t value;

	assert_int_equal(device_bar0_ops.read(&bench->device.bar0, place, &value, 4), 0);
	return value;
}

static void start(struct bench *bench, uint32_t slot, uint32_t op, uint64_t address, uint32_t ctl)
{
	put(bench, slot, SLOT_CTL, ctl);
	put(bench, slot, SLOT_SRC, address);
	put(bench, slot, SLOT_DST, address);
	put(bench, slot, SLOT_MID, 0x1000);
	put(bench, slot, SLOT_LEN, address == A ? SIZE : 0x1000);
	put(bench, slot, SLOT_CMD, op);
	device_run(&bench->device);
}

static int set_state(struct bench *bench, uint32_t state)
{
	return migration_set_state(&bench->device.migration, state);
}

static void stop_and_expect(struct bench *bench, uint32_t status, uint32_t moved)
{
	assert_int_equal(set_state(bench, WIRE_STATE_STOP), 0);
	assert_int_equal(get(bench, 0, SLOT_STATE), status);
	assert_int_equal(get(bench, 0, SLOT_MOVED), moved);
	assert_false(hazard_overlaps(&bench->dma.hazards, 0, SPACE_PAGES - 1));
	device_run(&bench->device);
	assert_int_equal(get(bench, 0, SLOT_STATE), status);
	assert_int_equal(set_state(bench, WIRE_STATE_RUNNING), 0);
}

static void stop_parks_what_holds_nothing(void **state)
{
	struct bench *bench = *state;

	start(bench, 0, FILL, A, PRE);
	stop_and_expect(bench, SLOT_HELD, 0);
	put(bench, 0, SLOT_STEP, STEP_END);
	device_run(&bench->device);
	assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_DONE);
	start(bench, 0, FILL, A, RETIRED);
	stop_and_expect(bench, 4 << 8 | SLOT_HELD, SIZE);
	put(bench, 0, SLOT_STEP, STEP_END);
	device_run(&bench->device);
	assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_DONE);
}

static void stop_drops_what_is_cached(void **state)
{
	struct bench *bench = *state;
	struct device_engine *engine = &bench->device.bar0.engine;
	const uint32_t *drops = &engine->env.counters[COUNTER_ATC_DROPS];

	engine->env.viommu = engine->env.ats = true;
	device_engine_cache(engine, true);
	start(bench, 0, FILL, A, 0);
	assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_DONE);
	assert_int_equal(*drops, 0);
	assert_int_equal(set_state(bench, WIRE_STATE_STOP), 0);
	assert_true(*drops > 0);
}

static void stop_meets_what_is_pinned_by_its_policy(void **state)
{
	struct bench *bench = *state;

	start(bench, 0, FILL, A, MID);
	stop_and_expect(bench, ECANCELED << 16 | SLOT_ABORTED, 0x1000);
	start(bench, 0, FILL, A, MID | DRAIN);
	assert_int_equal(set_state(bench, WIRE_STATE_STOP), -EINPROGRESS);
	/* At once, as DRAIN_MS is 0. */
	device_run(&bench->device);
	stop_and_expect(bench, SLOT_DONE, SIZE);
}

static void stop_gives_a_message_up_and_sends_it_again(void **state)
{
	struct bench *bench = *state;
	size_t queued;

	start(bench, 0, READ, B, 0);
	assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_WAIT_MSG);
	queued = transport_queued(&bench->call.session.transport);
	stop_and_expect(bench, SLOT_RUN, 0);
	assert_int_equal(transport_queued(&bench->call.session.transport), queued);
	device_run(&bench->device);
	assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_WAIT_MSG);
	assert_true(transport_queued(&bench->call.session.transport) > queued);
}

static void only_states_that_can_be_are_restored(void **state)
{
	struct bench *bench = *state;
	struct device_slot *slot = &bench->device.bar0.engine.slots[0];
	uint8_t image[DEVICE_SLOT_IMAGE], bad[DEVICE_SLOT_IMAGE];
	unsigned int refused = 0;

	start(bench, 0, FILL, A, RETIRED);
	device_slot_save(slot, image);
	assert_int_equal(device_slot_restore(slot, image), 0);
	assert_int_equal(get(bench, 0, SLOT_MOVED), SIZE);
	/* Numbers that are too large for anything, everywhere but in the job, results and CRC. */
	for (size_t at = 24; at < 64; at += 4) {
		memcpy(bad, image, sizeof(bad));
		memset(bad + at, 0xff, 4);
		refused += device_slot_restore(slot, bad) == -EINVAL;
	}
	assert_int_equal(refused, 9);
	memcpy(bad, image, sizeof(bad));
	bad[1] ^= 1;	/* MOVED is not what the iteration and the offset say */
	assert_int_equal(device_slot_restore(slot, bad), -EINVAL);
	memset(bad, 0, sizeof(bad));
	assert_int_equal(device_slot_restore(slot, bad), 0);
	assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_IDLE);
}

static void a_burst_of_threads_ends_with_its_memory(void **state)
{
	struct bench *bench = *state;

	for (int round = 0; round < 200; round++) {
		for (uint32_t slot = 0; slot < 4; slot++) {
			put(bench, slot, SLOT_COUNT, UINT32_MAX);
			start(bench, slot, FILL, A, 0);
		}
		while (unmap(bench, A, SIZE) == -EINPROGRESS)
			await(bench);
		memset(bench->memory, 0, SIZE);
		map(bench, A, SIZE, bench->file);
		for (uint32_t slot = 0; slot < 4; slot++)
			assert_int_equal(get(bench, slot, SLOT_STATE),
					 ECANCELED << 16 | SLOT_ABORTED);
		for (uint32_t i = 0; i < SIZE; i++)
			assert_int_equal(bench->memory[i], 0);
	}
}

static int replace(struct bench *bench, int fd)
{
	const struct wire_dma_map wire = { sizeof(wire), 3 | WIRE_DMA_MAP_REPLACE, 0, A, SIZE };
	static struct msg msg;

	msg_init(&msg);
	msg.body = (const uint8_t *)&wire;
	msg.size = sizeof(wire);
	msg_add(&msg, dup(fd));
	return call_message(&bench->call, dma_map, &bench->dma, &msg);
}

/* Four operations write all the time; none of them ends, and what was replaced stays as it is. */
static void a_burst_of_threads_goes_on_elsewhere(void **state)
{
	struct bench *bench = *state;
	int other = memfd_create("other", MFD_CLOEXEC);
	uint8_t *memory[2] = { bench->memory, NULL };

	assert_int_equal(ftruncate(other, SIZE), 0);
	memory[1] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
	assert_ptr_not_equal(memory[1], MAP_FAILED);
	bench->call.session.limits.viommu.version = 1;
	bench->call.session.limits.viommu.replace = true;
	for (uint32_t slot = 0; slot < 4; slot++) {
		put(bench, slot, SLOT_COUNT, UINT32_MAX);
		start(bench, slot, FILL, A, 0);
	}
	for (int round = 1; round <= 200; round++) {
		const uint8_t *old = memory[(round + 1) % 2];

		while (replace(bench, round % 2 ? other : bench->file) == -EINPROGRESS)
			await(bench);
		memset(memory[(round + 1) % 2], 0, SIZE);
		device_run(&bench->device);
		for (uint32_t i = 0; i < SIZE; i++)
			assert_int_equal(old[i], 0);
		for (uint32_t slot = 0; slot < 4; slot++)
			assert_int_equal(get(bench, slot, SLOT_STATE), SLOT_RUN);
	}
	munmap(memory[1], SIZE);
	close(other);
}

static void a_reset_waits_for_threads(void **state)
{
	struct bench *bench = *state;

	for (int round = 0; round < 200; round++) {
		for (uint32_t slot = 0; slot < 4; slot++) {
			put(bench, slot, SLOT_COUNT, UINT32_MAX);
			start(bench, slot, FILL, A, 0);
		}
		while (device_reset(&bench->device) == -EINPROGRESS)
			await(bench);
		assert_int_equal(get(bench, 3, SLOT_STATE), SLOT_IDLE);
		assert_false(hazard_overlaps(&bench->dma.hazards, 0, SPACE_PAGES - 1));
	}
}

static void threads_rest_while_stopped(void **state)
{
	struct bench *bench = *state;

	put(bench, 0, SLOT_COUNT, UINT32_MAX);
	start(bench, 0, FILL, A, DRAIN);
	for (int round = 0; round < 200; round++) {
		uint32_t moved;

		while (set_state(bench, WIRE_STATE_STOP) == -EINPROGRESS)
			await(bench);
		moved = get(bench, 0, SLOT_MOVED);
		assert_int_equal(get(bench, 0, SLOT_STATE), SLOT_RUN);
		assert_false(hazard_overlaps(&bench->dma.hazards, 0, SPACE_PAGES - 1));
		device_run(&bench->device);
		assert_int_equal(get(bench, 0, SLOT_MOVED), moved);
		assert_int_equal(set_state(bench, WIRE_STATE_RUNNING), 0);
		device_run(&bench->device);
	}
}

static void a_fence_ends_copies(void **state)
{
	struct bench *bench = *state;

	put(bench, 0, SLOT_COUNT, UINT32_MAX);
	start(bench, 0, FILL, A, 0);
	dma_fence(&bench->dma);
	memset(bench->memory, 0, SIZE);
	while ((get(bench, 0, SLOT_STATE) & 0xff) == SLOT_RUN)
		device_run(&bench->device);
	assert_int_equal(get(bench, 0, SLOT_STATE), EFAULT << 16 | SLOT_FAULT);
	assert_int_equal(bench->memory[0] | bench->memory[SIZE - 1], 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define THREADS(name) cmocka_unit_test_setup_teardown(name, set_up_three, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(stop_parks_what_holds_nothing),
		CASE(stop_drops_what_is_cached),
		CASE(stop_meets_what_is_pinned_by_its_policy),
		CASE(stop_gives_a_message_up_and_sends_it_again),
		CASE(only_states_that_can_be_are_restored),
		THREADS(a_burst_of_threads_ends_with_its_memory),
		THREADS(a_burst_of_threads_goes_on_elsewhere),
		THREADS(a_reset_waits_for_threads),
		THREADS(threads_rest_while_stopped),
		THREADS(a_fence_ends_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
