/* SPDX-License-Identifier: BSD-3-Clause */
/* test_migration.c - every pair of states, what happens on the arcs, and the data commands. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"
#include "migration.h"

#define SIZE 64u

static const struct migration_part parts[] = { { 1, SIZE }, { 0, 0 } };

/* A device of 64 bytes, which notes what was done with it. */
struct bench {
	struct call call;
	struct migration migration;
	uint8_t bytes[SIZE];
	bool stopped;
	int save_error, load_error;
	char trace[32];		/* s: stopped, r: runs, v: saved, l: loaded */
};

static void note(struct bench *bench, char what)
{
	size_t end = strlen(bench->trace);

	assert_true(end + 1 < sizeof(bench->trace));
	bench->trace[end] = what;
}

static int stop(void *owner)
{
	struct bench *bench = owner;

	assert_false(bench->stopped);
	bench->stopped = true;
	note(bench, 's');
	return 0;
}

static void run(void *owner)
{
	struct bench *bench = owner;

	assert_true(bench->stopped);
	bench->stopped = false;
	note(bench, 'r');
}

static int save(void *owner, uint8_t *image)
{
	struct bench *bench = owner;

	note(bench, 'v');
	memcpy(image, bench->bytes, SIZE);
	return bench->save_error;
}

static int load(void *owner, const uint8_t *image)
{
	struct bench *bench = owner;

	note(bench, 'l');
	if (!bench->load_error)
		memcpy(bench->bytes, image, SIZE);
	return bench->load_error;
}

static const struct migration_ops ops = { stop, run, save, load };

static int set_up(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	bench.bytes[3] = 7;
	migration_init(&bench.migration, &ops, &bench, parts);
	*state = &bench;
	return call_open(&bench.call);
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	migration_close(&bench->migration);
	call_close(&bench->call);
	return 0;
}

/* MIG_DATA_READ: the number of bytes in call.reply + 8, or -errno. */
static int read_data(struct bench *bench, uint32_t argsz, uint32_t size)
{
	const struct wire_mig_data request = { argsz, size };
	struct wire_mig_data answer;
	int error = call_handler(&bench->call, migration_read, &bench->migration, &request,
				 sizeof(request));

	if (error)
		return error;
	memcpy(&answer, bench->call.reply, sizeof(answer));
	assert_int_equal(answer.argsz, 8 + answer.size);
	assert_int_equal(bench->call.size, answer.argsz);
	return (int)answer.size;
}

static int write_data(struct bench *bench, const void *data, uint32_t size, uint32_t claimed)
{
	struct { struct wire_mig_data request; uint8_t bytes[4096]; } message;

	message.request = (struct wire_mig_data){ 0, claimed };
	memcpy(message.bytes, data, size);
	return call_handler(&bench->call, migration_write, &bench->migration, &message,
			    sizeof(message.request) + size);
}

static void go(struct bench *bench, uint32_t state)
{
	assert_int_equal(migration_set_state(&bench->migration, state), 0);
	assert_int_equal(bench->migration.state, state);
}

/* The whole stream of the present state, from STOP to STOP. */
static uint32_t save_all(struct bench *bench, uint8_t *stream)
{
	int size;

	go(bench, WIRE_STATE_STOP_COPY);
	size = read_data(bench, 4104, 4096);
	assert_true(size > 0);
	memcpy(stream, bench->call.reply + 8, (size_t)size);
	go(bench, WIRE_STATE_STOP);
	return (uint32_t)size;
}

/* Reaches a state from RUNNING, with good data delivered in RESUMING. */
static void reach(struct bench *bench, uint32_t state, const uint8_t *stream, uint32_t size)
{
	migration_reset(&bench->migration);
	go(bench, state);
	if (state == WIRE_STATE_RESUMING)
		assert_int_equal(write_data(bench, stream, size, size), 0);
	memset(bench->trace, 0, sizeof(bench->trace));
}

/* The actions of each pair, by row and column; NULL: refused. */
static const char *const pairs[7][7] = {
	[WIRE_STATE_STOP] = { NULL, "", "r", "v", "", NULL, "rv" },
	[WIRE_STATE_RUNNING] = { NULL, "s", "", "sv", "s", NULL, "v" },
	[WIRE_STATE_STOP_COPY] = { NULL, "", "r", "", "", NULL, NULL },
	[WIRE_STATE_RESUMING] = { NULL, "l", "lr", "lv", "", NULL, "lrv" },
	[WIRE_STATE_PRE_COPY] = { NULL, "s", "", "sv", "s", NULL, "" },
};

static void all_pairs_take_their_arcs(void **state)
{
	static const uint32_t from[] = { 1, 2, 3, 4, 6 };
	static const uint32_t beyond[] = { 7, 8, 100, 1u << 31, UINT32_MAX };
	struct bench *bench = *state;
	uint8_t stream[4096] = { 0 };
	uint32_t size;

	go(bench, WIRE_STATE_STOP);
	size = save_all(bench, stream);
	for (size_t i = 0; i < sizeof(from) / sizeof(from[0]); i++) {
		for (uint32_t to = 0; to < 7; to++) {
			const char *expected = pairs[from[i]][to];

			reach(bench, from[i], stream, size);
			assert_int_equal(migration_set_state(&bench->migration, to),
					 expected ? 0 : -EINVAL);
			assert_int_equal(bench->migration.state, expected ? to : from[i]);
			assert_string_equal(bench->trace, expected ? expected : "");
			assert_int_equal(bench->stopped, !migration_is_running(&bench->migration));
		}
		for (size_t j = 0; j < sizeof(beyond) / sizeof(beyond[0]); j++)
			assert_int_equal(migration_set_state(&bench->migration, beyond[j]),
					 -EINVAL);
	}
}

static void data_moves_in_its_states_only(void **state)
{
	struct bench *bench = *state;

	for (uint32_t to = 1; to <= 6; to++) {
		bool saves = to == WIRE_STATE_STOP_COPY || to == WIRE_STATE_PRE_COPY;

		if (to == WIRE_STATE_RUNNING_P2P)
			continue;
		migration_reset(&bench->migration);
		go(bench, to);
		assert_int_equal(read_data(bench, 9, 1), saves ? 1 : -EINVAL);
		assert_int_equal(write_data(bench, "x", 1, 1),
				 to == WIRE_STATE_RESUMING ? 0 : -EINVAL);
		assert_int_equal(bench->migration.state, to);
	}
}

static void bad_sizes_lose_no_data(void **state)
{
	struct bench *bench = *state;
	uint64_t magic = MIGRATION_MAGIC;

	go(bench, WIRE_STATE_STOP_COPY);
	assert_int_equal(read_data(bench, 0, 0), -EINVAL);
	assert_int_equal(read_data(bench, 8, 1), -EINVAL);
	assert_int_equal(read_data(bench, 8, UINT32_MAX), -EINVAL);
	assert_int_equal(read_data(bench, UINT32_MAX, UINT32_MAX), -EINVAL);
	assert_int_equal(read_data(bench, UINT32_MAX, (1 << 20) + 1), -EINVAL);
	assert_int_equal(read_data(bench, 8, 0), 0);
	assert_int_equal(read_data(bench, 100, 8), 8);
	assert_memory_equal(bench->call.reply + 8, &magic, 8);
	assert_true(read_data(bench, UINT32_MAX, 1 << 20) > 0);
	assert_int_equal(read_data(bench, UINT32_MAX, 1 << 20), 0);
	go(bench, WIRE_STATE_RESUMING);
	assert_int_equal(write_data(bench, &magic, 4, 8), -EINVAL);
	assert_int_equal(write_data(bench, &magic, 8, 4), -EINVAL);
	assert_int_equal(write_data(bench, &magic, 4, UINT32_MAX), -EINVAL);
	assert_int_equal(write_data(bench, &magic, 0, 0), 0);
}

static void pre_copy_tells_what_changes(void **state)
{
	struct bench *bench = *state;
	uint8_t stream[4096] = { 0 };
	uint32_t size = 0;
	int n;

	go(bench, WIRE_STATE_PRE_COPY);
	for (int round = 0; round < 4; round++) {
		if (round == 3)
			go(bench, WIRE_STATE_STOP_COPY);
		n = read_data(bench, 1024, 1000);
		assert_true(round == 3 ? n == sizeof(struct migration_section) + SIZE +
						    sizeof(struct migration_section)
				       : round == 2 ? n == 0 : n > 0);
		memcpy(stream + size, bench->call.reply + 8, (size_t)n);
		size += (uint32_t)n;
		if (round != 1)
			bench->bytes[5]++;
	}
	assert_int_equal(bench->bytes[5], 3);
	migration_reset(&bench->migration);
	memset(bench->bytes, 0, SIZE);
	go(bench, WIRE_STATE_RESUMING);
	for (uint32_t i = 0; i < size; i++)
		assert_int_equal(write_data(bench, stream + i, 1, 1), 0);
	go(bench, WIRE_STATE_RUNNING);
	assert_int_equal(bench->bytes[3], 7);
	assert_int_equal(bench->bytes[5], 2);
}

static void bad_data_is_an_error_until_reset(void **state)
{
	struct bench *bench = *state;
	uint8_t stream[4096] = { 0 };
	uint32_t size;

	go(bench, WIRE_STATE_STOP);
	size = save_all(bench, stream);
	for (int what = 0; what < 5; what++) {
		uint32_t length = what == 0 ? 0 : what == 1 ? size - 1 : size;

		go(bench, WIRE_STATE_RESUMING);
		stream[size / 2] ^= what == 2;
		assert_int_equal(write_data(bench, stream, length, length), 0);
		stream[size / 2] ^= what == 2;
		if (what == 3)
			assert_int_equal(write_data(bench, stream, 1, 1), 0);
		bench->load_error = what == 4 ? -ENOSPC : 0;
		assert_int_equal(migration_set_state(&bench->migration, WIRE_STATE_RUNNING),
				 what == 4 ? -ENOSPC : -EIO);
		for (uint32_t to = 0; to <= 8; to++) {
			assert_int_equal(migration_set_state(&bench->migration, to), -EINVAL);
			assert_int_equal(bench->migration.state, WIRE_STATE_ERROR);
		}
		assert_int_equal(read_data(bench, 9, 1), -EINVAL);
		assert_int_equal(write_data(bench, stream, 1, 1), -EINVAL);
		assert_true(bench->stopped);
		migration_detach(&bench->migration);
		assert_int_equal(bench->migration.state, WIRE_STATE_ERROR);
		migration_reset(&bench->migration);
		assert_int_equal(bench->migration.state, WIRE_STATE_RUNNING);
		assert_false(bench->stopped);
	}
}

static void an_arc_that_fails_ends_where_it_began(void **state)
{
	struct bench *bench = *state;

	bench->save_error = -EIO;
	assert_int_equal(migration_set_state(&bench->migration, WIRE_STATE_STOP_COPY), -EIO);
	assert_int_equal(bench->migration.state, WIRE_STATE_STOP);
	go(bench, WIRE_STATE_RUNNING);
	assert_int_equal(migration_set_state(&bench->migration, WIRE_STATE_PRE_COPY), -EIO);
	assert_int_equal(bench->migration.state, WIRE_STATE_RUNNING);
	bench->save_error = 0;
	go(bench, WIRE_STATE_PRE_COPY);
	bench->save_error = -EIO;
	assert_int_equal(migration_set_state(&bench->migration, WIRE_STATE_STOP_COPY), -EIO);
	assert_int_equal(bench->migration.state, WIRE_STATE_PRE_COPY);
	assert_false(bench->stopped);
	assert_int_equal(read_data(bench, 4104, 4096), -EIO);
	bench->save_error = 0;
	assert_true(read_data(bench, 4104, 4096) > 0);
}

static void a_client_that_leaves_ends_its_migration(void **state)
{
	struct bench *bench = *state;

	for (uint32_t to = 1; to <= 6; to++) {
		if (to == WIRE_STATE_RUNNING_P2P)
			continue;
		go(bench, to);
		migration_detach(&bench->migration);
		assert_int_equal(bench->migration.state, WIRE_STATE_RUNNING);
		assert_false(bench->stopped);
		assert_null(bench->migration.stream.image);
	}
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(all_pairs_take_their_arcs),
		CASE(data_moves_in_its_states_only),
		CASE(bad_sizes_lose_no_data),
		CASE(pre_copy_tells_what_changes),
		CASE(bad_data_is_an_error_until_reset),
		CASE(an_arc_that_fails_ends_where_it_began),
		CASE(a_client_that_leaves_ends_its_migration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
