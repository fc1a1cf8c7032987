/* SPDX-License-Identifier: BSD-3-Clause */
/* test_device_state.c - the test device from one instance into another, and its doorbells. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "call.h"
#include "device.h"
#include "device_state.h"

#define AREA (UINT64_C(1) << 20)
#define FAR_AREA (UINT64_C(4) << 30)

struct side {
	struct dma dma;
	struct irq irq;
	struct device device;
};

struct bench {
	struct side from;
	struct side to;
	struct side bare;
	uint8_t *stream;
	size_t size;
	unsigned int fds_before;
};

static int open_side(struct side *side, enum device_profile profile)
{
	irq_init(&side->irq, device_irq_types(profile));
	if (dma_init(&side->dma))
		return -1;
	return device_open(&side->device, profile, &side->irq, &side->dma);
}

static void close_side(struct side *side)
{
	device_detach(&side->device);
	device_close(&side->device);
	irq_detach(&side->irq);
	dma_detach(&side->dma);
	dma_close(&side->dma);
}

static int set_up(void **state)
{
	static struct bench bench;

	bench.fds_before = call_count_fds();
	bench.stream = NULL;
	*state = &bench;
	return open_side(&bench.from, DEVICE_FULL) | open_side(&bench.to, DEVICE_FULL) |
	       open_side(&bench.bare, DEVICE_VDMA);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	close_side(&bench->from);
	close_side(&bench->to);
	close_side(&bench->bare);
	free(bench->stream);
	return call_count_fds() == bench->fds_before ? 0 : -1;
}

static void put(struct side *side, uint32_t region, uint64_t offset, const void *data,
		uint32_t count)
{
	const struct region *row = &side->device.regions[region];

	assert_int_equal(row->ops->write(row->owner, offset, data, count), 0);
}

static void get(struct side *side, uint32_t region, uint64_t offset, void *data, uint32_t count)
{
	const struct region *row = &side->device.regions[region];

	assert_int_equal(row->ops->read(row->owner, offset, data, count), 0);
}

static uint32_t get_word(struct side *side, uint32_t region, uint64_t offset)
{
	uint32_t word;

	get(side, region, offset, &word, sizeof(word));
	return word;
}

static void put_word(struct side *side, uint32_t region, uint64_t offset, uint32_t word)
{
	put(side, region, offset, &word, sizeof(word));
}

/* Each word of the device that is kept gets a value of its own. */
static const struct { uint64_t offset; uint32_t region; uint32_t value; } words[] = {
	{ 0x3c, WIRE_REGION_INDEX_CONFIG, 0x0000015a },
	{ DEVICE_GCTL, WIRE_REGION_INDEX_BAR0, 1 },
	{ DEVICE_CKLEN, WIRE_REGION_INDEX_BAR0, 77 },
	{ DEVICE_DRAIN_MS, WIRE_REGION_INDEX_BAR0, 1234 },
	{ CONFIG_MSIX_TABLE + 0x7c, WIRE_REGION_INDEX_BAR0, 0 },
	{ DEVICE_SLOT_REGISTERS + 7 * SLOT_SIZE + SLOT_STRIDE, WIRE_REGION_INDEX_BAR0, 99 },
	{ DEVICE_BUFFER + 0xfffc, WIRE_REGION_INDEX_BAR0, 0x11111111 },
	{ 0xffc, WIRE_REGION_INDEX_BAR2, 0x22222222 },
	{ 0, WIRE_REGION_INDEX_BAR4, 0x33333333 },
	{ DEVICE_DOORBELL_COUNTERS, WIRE_REGION_INDEX_BAR4, 0x44444444 },
	{ AREA, WIRE_REGION_INDEX_BAR4, 0x55555555 },
	{ FAR_AREA + AREA - 4, WIRE_REGION_INDEX_BAR4, 0x66666666 },
};

static void save(struct bench *bench, struct side *side)
{
	struct migration *migration = &side->device.migration;

	assert_int_equal(migration_set_state(migration, WIRE_STATE_STOP_COPY), 0);
	bench->size = migration_stream_queued(&migration->stream);
	bench->stream = malloc(bench->size);
	assert_non_null(bench->stream);
	migration_stream_take(&migration->stream, bench->stream, bench->size);
}

static int load(struct bench *bench, struct side *side)
{
	struct migration *migration = &side->device.migration;

	assert_int_equal(migration_set_state(migration, WIRE_STATE_RESUMING), 0);
	migration_stream_feed(&migration->stream, bench->stream, bench->size);
	return migration_set_state(migration, WIRE_STATE_RUNNING);
}

static void another_device_continues(void **state)
{
	struct bench *bench = *state;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		put_word(&bench->from, words[i].region, words[i].offset, words[i].value);
	put_word(&bench->to, WIRE_REGION_INDEX_BAR4, AREA + 8192, 1);
	save(bench, &bench->from);
	assert_true(bench->size < 40000);
	assert_int_equal(load(bench, &bench->to), 0);
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		assert_int_equal(get_word(&bench->to, words[i].region, words[i].offset),
				 words[i].value);
	assert_int_equal(get_word(&bench->to, WIRE_REGION_INDEX_BAR4, AREA + 8192), 0);
}

static void another_kind_of_device_refuses(void **state)
{
	struct bench *bench = *state;

	put_word(&bench->from, WIRE_REGION_INDEX_BAR4, AREA, 1);	/* the bare one has none */
	save(bench, &bench->from);
	assert_int_equal(load(bench, &bench->bare), -EIO);
	assert_int_equal(bench->bare.device.migration.state, WIRE_STATE_ERROR);
	device_reset(&bench->bare.device);
	free(bench->stream);
	save(bench, &bench->bare);
	assert_int_equal(load(bench, &bench->to), -EINVAL);
	device_reset(&bench->to.device);
	assert_int_equal(bench->to.device.migration.state, WIRE_STATE_RUNNING);
}

static void bits_that_no_device_has_are_refused(void **state)
{
	struct bench *bench = *state;
	struct migration *migration = &bench->from.device.migration;
	const struct migration_part *part = migration->parts;
	uint8_t *image = calloc(1, migration_stream_image(part));

	assert_non_null(image);
	assert_int_equal(device_state_ops.save(&bench->from.device, image), 0);
	assert_int_equal(device_state_ops.load(&bench->from.device, image), 0);
	image[0] ^= 1;	/* vendor */
	assert_int_equal(device_state_ops.load(&bench->from.device, image), -EINVAL);
	image[0] ^= 1;
	image[part[0].size + part[1].size + 1] ^= 1;	/* a ninth vector of INTx */
	assert_int_equal(device_state_ops.load(&bench->from.device, image), -EINVAL);
	free(image);
}

static uint64_t signals(int fd)
{
	uint64_t value = 0;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static int assign(struct side *side, uint32_t vector)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	side->irq.vectors[WIRE_IRQ_INDEX_MSIX][vector].fd[IRQ_TRIGGER] =
		fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return fd;
}

static void a_stopped_device_signals_later(void **state)
{
	struct bench *bench = *state;
	struct migration *migration = &bench->from.device.migration;
	int before = assign(&bench->from, 3), after = assign(&bench->to, 3);

	assert_int_equal(migration_set_state(migration, WIRE_STATE_STOP), 0);
	put_word(&bench->from, 0, DEVICE_IRQ, 3);
	put_word(&bench->from, 0, DEVICE_IRQ, 4);
	assert_int_equal(signals(before), 0);
	save(bench, &bench->from);
	assert_int_equal(load(bench, &bench->to), 0);
	assert_int_equal(signals(after), 1);
	assert_int_equal(migration_set_state(migration, WIRE_STATE_RUNNING), 0);
	assert_int_equal(signals(before), 1);
	put_word(&bench->from, 0, DEVICE_IRQ, 3);
	assert_int_equal(signals(before), 1);
	assert_int_equal(migration_set_state(migration, WIRE_STATE_STOP), 0);
	put_word(&bench->from, 0, DEVICE_IRQ, 3);
	device_reset(&bench->from.device);
	assert_int_equal(signals(before), 0);
	put_word(&bench->from, 0, DEVICE_IRQ, 3);
	assert_int_equal(signals(before), 1);
	close(before);
	close(after);
}

static uint32_t counter(struct side *side, uint32_t which)
{
	return get_word(side, WIRE_REGION_INDEX_BAR4, DEVICE_DOORBELL_COUNTERS + 4 * which);
}

static void doorbells_ring_by_message_and_by_eventfd(void **state)
{
	struct bench *bench = *state;
	struct side *side = &bench->from;
	const uint64_t twice = 2, once = 1;

	device_attach(&side->device, 0);
	assert_int_equal(device_doorbell_attach(&side->device.doorbell), 0);
	put_word(side, WIRE_REGION_INDEX_BAR4, 0x800, 5);
	put(side, WIRE_REGION_INDEX_BAR4, 0x808, "xy", 2);
	assert_int_equal(counter(side, 0), 2);
	assert_int_equal(get_word(side, WIRE_REGION_INDEX_BAR4, 0x800), 0);
	assert_int_equal(write(side->device.doorbell.fd[0], &twice, 8), 8);
	assert_int_equal(counter(side, 0), 4);
	put_word(side, WIRE_REGION_INDEX_BAR4, 0x810, DEVICE_DOORBELL_MATCH);
	assert_int_equal(counter(side, 1), 1);
	put_word(side, WIRE_REGION_INDEX_BAR4, 0x810, 1);
	assert_int_equal(get_word(side, WIRE_REGION_INDEX_BAR4, 0x810), 1);
	assert_int_equal(counter(side, 1), 1);
	put(side, WIRE_REGION_INDEX_BAR4, 0x818, "x", 1);
	put(side, WIRE_REGION_INDEX_BAR4, 0x818, "12345678", 8);
	put(side, WIRE_REGION_INDEX_BAR4, 0x818, "123456789", 9);
	assert_int_equal(counter(side, 2), 2);
	assert_int_equal(write(side->device.doorbell.fd[2], &once, 8), 8);
	device_detach(&side->device);
	assert_int_equal(side->device.doorbell.fd[2], -1);
	assert_int_equal(counter(side, 2), 3);
}

static void doorbell_with_an_ioregionfd_counts_its_writes(void **state)
{
	struct bench *bench = *state;
	struct side *side = &bench->from;
	struct device_doorbell_command command = { .info = 1, .user_data = 0x820 };
	int fd;

	device_attach(&side->device, 0);
	assert_int_equal(device_doorbell_attach(&side->device.doorbell), 0);
	fd = side->device.doorbell.fd[3];
	for (int i = 0; i < 3; i++)
		assert_int_equal(write(fd, &command, sizeof(command)), sizeof(command));
	assert_int_equal(counter(side, 3), 3);
	put(side, WIRE_REGION_INDEX_BAR4, 0x820, "1", 1);
	assert_int_equal(counter(side, 3), 4);
	command.info = 0;
	assert_int_equal(write(fd, &command, sizeof(command)), sizeof(command));
	assert_int_equal(write(fd, &command, 1), 1);
	assert_int_equal(write(fd, "0123456789012345678901234567890123456789", 40), 40);
	command.info = 1;
	command.user_data = 1;
	assert_int_equal(write(fd, &command, sizeof(command)), sizeof(command));
	assert_int_equal(counter(side, 3), 4);
}

static void a_doorbell_that_blocks_does_not_block_us(void **state)
{
	struct bench *bench = *state;
	struct side *side = &bench->from;

	device_attach(&side->device, 0);
	assert_int_equal(device_doorbell_attach(&side->device.doorbell), 0);
	for (int i = 0; i < DEVICE_DOORBELL_FDS; i++)
		assert_int_equal(fcntl(side->device.doorbell.fd[i], F_SETFL, 0), 0);
	assert_int_equal(counter(side, 0), 0);
}

static void rings_before_a_reset_are_forgotten(void **state)
{
	struct bench *bench = *state;
	struct side *side = &bench->from;
	const uint64_t once = 1;

	device_attach(&side->device, 0);
	assert_int_equal(device_doorbell_attach(&side->device.doorbell), 0);
	assert_int_equal(write(side->device.doorbell.fd[1], &once, 8), 8);
	device_reset(&side->device);
	assert_int_equal(counter(side, 1), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(another_device_continues),
		CASE(another_kind_of_device_refuses),
		CASE(bits_that_no_device_has_are_refused),
		CASE(a_stopped_device_signals_later),
		CASE(doorbells_ring_by_message_and_by_eventfd),
		CASE(doorbell_with_an_ioregionfd_counts_its_writes),
		CASE(a_doorbell_that_blocks_does_not_block_us),
		CASE(rings_before_a_reset_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
