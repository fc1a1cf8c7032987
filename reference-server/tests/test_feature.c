/* SPDX-License-Identifier: BSD-3-Clause */
/* test_feature.c - which features and methods there are, and the sizes of their messages. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"
#include "feature.h"

#define GET WIRE_FEATURE_GET
#define SET WIRE_FEATURE_SET
#define PROBE WIRE_FEATURE_PROBE

static const struct migration_part parts[] = { { 1, 16 }, { 0, 0 } };

static void nothing(void *owner)
{
	(void)owner;
}

static int save(void *owner, uint8_t *image)
{
	memcpy(image, owner, 16);
	return 0;
}

static int load(void *owner, const uint8_t *image)
{
	memcpy(owner, image, 16);
	return 0;
}

static int stop(void *owner)
{
	(void)owner;
	return 0;
}

/* All addresses show the same pages of window 0. */
static bool next_run(void *owner, uint64_t page, struct dirty_run *run)
{
	(void)owner;
	*run = (struct dirty_run){ .pages = 16 };
	return page < run->pages;
}

static const struct migration_ops ops = { stop, nothing, save, load };


struct bench {
	struct call call;
	struct migration migration;
	struct window_table windows;
	struct dirty dirty;
	struct feature feature;
	uint8_t bytes[16];
};

static int set_up(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	migration_init(&bench.migration, &ops, bench.bytes, parts);
	bench.windows.windows[0] = (struct window){ .pages = 16 };
	dirty_init(&bench.dirty, &bench.windows, (struct dirty_source){ .next = next_run });
	bench.feature = (struct feature){ &bench.migration, &bench.dirty };
	*state = &bench;
	return call_open(&bench.call);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	migration_close(&bench->migration);
	dirty_end(&bench->dirty);
	call_close(&bench->call);
	return 0;
}

struct request {
	struct wire_feature wire;
	uint8_t data[64];
};

static int ask(struct bench *bench, uint32_t argsz, uint32_t flags, const void *data, size_t size)
{
	struct request request = { .wire = { argsz, flags } };

	memcpy(request.data, data, size);
	return call_handler(&bench->call, feature_command, &bench->feature, &request,
			    sizeof(request.wire) + size);
}

static const struct wire_device_state to_stop = { WIRE_STATE_STOP, 12345 };
static const struct wire_logging_control all = { 4096, 0, 0 };
static const struct wire_logging_report page = { 0, 4096, 4096 };

static void probes_tell_what_there_is(void **state)
{
	static const uint32_t methods[] = { [1] = GET, [2] = GET | SET, [6] = SET, [7] = SET,
					    [8] = GET, [16] = 0 };
	struct bench *bench = *state;

	for (uint32_t id = 0; id < 16; id++) {
		for (uint32_t asked = 0; asked <= (GET | SET); asked += GET) {
			const struct wire_feature wire = { 8, id | asked | PROBE };
			int expected = methods[id] ? asked & ~methods[id] ? -EINVAL : 0 : -ENOTTY;

			assert_int_equal(ask(bench, 8, wire.flags, "", 0), expected);
			if (expected)
				continue;
			assert_int_equal(bench->call.size, 8);
			assert_memory_equal(bench->call.reply, &wire, 8);
		}
	}
	assert_int_equal(ask(bench, 8, 0xffff | PROBE, "", 0), -ENOTTY);
}

static void probes_echo_and_do_nothing(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(ask(bench, 16, 2 | SET | PROBE, &to_stop, sizeof(to_stop)), 0);
	assert_int_equal(bench->call.size, 16);
	assert_memory_equal(bench->call.reply + 8, &to_stop, sizeof(to_stop));
	assert_int_equal(bench->migration.state, WIRE_STATE_RUNNING);
	assert_int_equal(ask(bench, 24, 6 | SET | PROBE, &all, sizeof(all)), 0);
	assert_false(bench->dirty.on);
	assert_int_equal(ask(bench, 15, 2 | SET | PROBE, &to_stop, sizeof(to_stop)), -EINVAL);
}

static void exactly_one_method_is_asked_for(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(ask(bench, 64, 2, &to_stop, sizeof(to_stop)), -EINVAL);
	assert_int_equal(ask(bench, 64, 2 | GET | SET, &to_stop, sizeof(to_stop)), -EINVAL);
	for (uint32_t bit = 19; bit < 32; bit++)
		assert_int_equal(ask(bench, 64, 2 | SET | 1u << bit, &to_stop, sizeof(to_stop)),
				 -EINVAL);
	assert_int_equal(ask(bench, 64, 6 | GET, &all, sizeof(all)), -EINVAL);
	assert_int_equal(ask(bench, 64, 7 | GET, "", 0), -EINVAL);
	assert_int_equal(ask(bench, 64, 8 | SET, &page, sizeof(page)), -EINVAL);
	assert_int_equal(bench->migration.state, WIRE_STATE_RUNNING);
}

static void get_says_what_it_needs(void **state)
{
	struct bench *bench = *state;
	struct wire_feature wire;
	struct wire_migration migration;
	struct wire_device_state device_state;

	for (uint32_t argsz = 0; argsz < 16; argsz++)
		assert_int_equal(ask(bench, argsz, 1 | GET, "", 0), -EINVAL);
	assert_int_equal(ask(bench, 4096, 1 | GET, "", 0), 0);
	memcpy(&wire, bench->call.reply, sizeof(wire));
	memcpy(&migration, bench->call.reply + 8, sizeof(migration));
	assert_int_equal(bench->call.size, 16);
	assert_int_equal(wire.argsz, 16);
	assert_int_equal(wire.flags, 1 | GET);
	assert_int_equal(migration.flags, WIRE_MIGRATION_STOP_COPY | WIRE_MIGRATION_PRE_COPY);
	assert_int_equal(ask(bench, 16, 2 | GET, "", 0), 0);
	memcpy(&device_state, bench->call.reply + 8, sizeof(device_state));
	assert_int_equal(device_state.device_state, WIRE_STATE_RUNNING);
}

static void set_echoes_and_needs_its_data(void **state)
{
	struct bench *bench = *state;

	for (size_t size = 0; size < sizeof(to_stop); size++)
		assert_int_equal(ask(bench, 64, 2 | SET, &to_stop, size), -EINVAL);
	assert_int_equal(ask(bench, 15, 2 | SET, &to_stop, sizeof(to_stop)), -EINVAL);
	assert_int_equal(bench->migration.state, WIRE_STATE_RUNNING);
	assert_int_equal(ask(bench, 64, 2 | SET, &to_stop, sizeof(to_stop)), 0);
	assert_int_equal(bench->migration.state, WIRE_STATE_STOP);
	assert_int_equal(bench->call.size, 16);
	assert_int_equal(bench->call.reply[0], 64);
	assert_memory_equal(bench->call.reply + 8, &to_stop, sizeof(to_stop));
}

static int start(struct bench *bench, uint64_t page_size)
{
	struct wire_logging_control control = { page_size, 0, 0 };

	return ask(bench, 64, 6 | SET, &control, sizeof(control));
}

static void logging_starts_reports_and_stops(void **state)
{
	struct bench *bench = *state;
	uint64_t word;

	assert_int_equal(ask(bench, 64, 8 | GET, &page, sizeof(page)), -EINVAL);
	assert_int_equal(start(bench, 1), 0);
	memcpy(&word, bench->call.reply + 8, sizeof(word));
	assert_int_equal(word, 4096);
	assert_int_equal(bench->call.size, 24);
	dirty_mark(&bench->dirty, 0, 0, 0);
	/* Without room for the bitmap, nothing is forgotten. */
	for (uint32_t argsz = 0; argsz < 40; argsz++)
		assert_int_equal(ask(bench, argsz, 8 | GET, &page, sizeof(page)), -EINVAL);
	assert_int_equal(ask(bench, 64, 8 | GET, &page, sizeof(page) - 1), -EINVAL);
	assert_int_equal(ask(bench, 64, 8 | GET, &page, sizeof(page)), 0);
	assert_int_equal(bench->call.size, 40);
	assert_int_equal(bench->call.reply[0], 40);
	assert_memory_equal(bench->call.reply + 8, &page, sizeof(page));
	memcpy(&word, bench->call.reply + 32, sizeof(word));
	assert_int_equal(word, 1);
	assert_int_equal(ask(bench, 8, 7 | SET, "", 0), 0);
	assert_int_equal(ask(bench, 24, 7 | SET, &all, sizeof(all)), 0);
	assert_int_equal(ask(bench, 64, 8 | GET, &page, sizeof(page)), -EINVAL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(probes_tell_what_there_is),
		CASE(probes_echo_and_do_nothing),
		CASE(exactly_one_method_is_asked_for),
		CASE(get_says_what_it_needs),
		CASE(set_echoes_and_needs_its_data),
		CASE(logging_starts_reports_and_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
