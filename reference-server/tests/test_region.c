/* SPDX-License-Identifier: BSD-3-Clause */
/* test_region.c - region info with capabilities, and the checks before an access. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "call.h"
#include "region.h"

#define LIMIT 64u

static uint8_t store[100];
static int refusal;

static int store_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	memcpy(data, (uint8_t *)owner + offset, count);
	return refusal;
}

static int store_write(void *owner, uint64_t offset, const void *data, uint32_t count)
{
	if (!refusal)
		memcpy((uint8_t *)owner + offset, data, count);
	return refusal;
}

static const struct region_ops ops = { .read = store_read, .write = store_write };
static const struct wire_sparse_area areas[2] = { { 4096, 4096 }, { 16384, 8192 } };

#define RW (WIRE_REGION_FLAG_READ | WIRE_REGION_FLAG_WRITE)

enum { PLAIN, SPARSE, READ_ONLY, WRITE_ONLY, EMPTY, TOP, DOORS, REGIONS };

static const struct wire_io_fd doors[3] = {
	{ .offset = 0, .fd_index = 0 }, { .offset = 8, .fd_index = 0 },
	{ .offset = 16, .fd_index = 1 },
};
static const int door_fds[2] = { STDIN_FILENO, STDOUT_FILENO };

static const struct region regions[REGIONS] = {
	[PLAIN] = { .size = sizeof(store), .flags = RW, .ops = &ops, .owner = store },
	[SPARSE] = { .size = 65536, .flags = RW | WIRE_REGION_FLAG_MMAP, .mmap_offset = 8192,
		     .areas = areas, .area_count = 2, .type = 7, .subtype = 8 },
	[READ_ONLY] = { .size = sizeof(store), .flags = WIRE_REGION_FLAG_READ, .ops = &ops,
			.owner = store },
	[WRITE_ONLY] = { .size = sizeof(store), .flags = WIRE_REGION_FLAG_WRITE, .ops = &ops,
			 .owner = store },
	[TOP] = { .size = UINT64_MAX, .flags = WIRE_REGION_FLAG_READ, .ops = &ops,
		  .owner = store },
	[DOORS] = { .size = sizeof(store), .flags = RW, .ops = &ops, .owner = store,
		    .io = doors, .io_count = 3, .io_fds = door_fds },
};

struct bench {
	struct call call;
	struct region_table table;
};

static int set_up(void **state)
{
	static struct bench bench;

	for (size_t i = 0; i < sizeof(store); i++)
		store[i] = (uint8_t)i;
	refusal = 0;
	bench.table = (struct region_table){ .regions = regions, .count = REGIONS };
	*state = &bench;
	if (call_open(&bench.call))
		return -1;
	bench.call.session.limits.max_data_xfer_size = LIMIT;
	region_attach(&bench.table, &bench.call.session.limits);
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	call_close(&bench->call);
	return 0;
}

static int info(struct bench *bench, uint32_t index, uint32_t argsz, struct wire_region_info *out)
{
	struct wire_region_info request = { .argsz = argsz, .index = index };
	int error = call_handler(&bench->call, region_get_info, &bench->table, &request,
				 sizeof(request));

	memcpy(out, bench->call.reply, sizeof(*out));
	return error;
}

static void info_has_the_capabilities_and_a_descriptor(void **state)
{
	struct bench *bench = *state;
	struct wire_region_info out;
	struct wire_cap_sparse_mmap sparse;
	struct wire_cap_type type;
	const uint32_t needed = sizeof(out) + sizeof(sparse) + sizeof(areas) + sizeof(type);

	assert_int_equal(info(bench, SPARSE, 4096, &out), 0);
	assert_int_equal(bench->call.size, needed);
	assert_int_equal(bench->call.fds, 1);
	assert_int_equal(out.argsz, needed);
	assert_int_equal(out.flags, RW | WIRE_REGION_FLAG_MMAP | WIRE_REGION_FLAG_CAPS);
	assert_int_equal(out.cap_offset, sizeof(out));
	assert_int_equal(out.offset, 8192);
	memcpy(&sparse, bench->call.reply + sizeof(out), sizeof(sparse));
	assert_int_equal(sparse.header.id, WIRE_CAP_ID_SPARSE_MMAP);
	assert_int_equal(sparse.nr_areas, 2);
	assert_int_equal(sparse.reserved, 0);
	assert_memory_equal(bench->call.reply + sizeof(out) + sizeof(sparse), areas,
			    sizeof(areas));
	assert_int_equal(sparse.header.next, needed - sizeof(type));
	memcpy(&type, bench->call.reply + sparse.header.next, sizeof(type));
	assert_int_equal(type.header.id, WIRE_CAP_ID_TYPE);
	assert_int_equal(type.header.next, 0);
	assert_int_equal(type.type, 7);
}

static void capabilities_that_do_not_fit_are_left_out(void **state)
{
	struct bench *bench = *state;
	struct wire_region_info full, out;

	assert_int_equal(info(bench, SPARSE, 4096, &full), 0);
	for (uint32_t argsz = sizeof(out); argsz < full.argsz; argsz++) {
		assert_int_equal(info(bench, SPARSE, argsz, &out), 0);
		assert_int_equal(bench->call.size, sizeof(out));
		assert_int_equal(bench->call.fds, 1);
		assert_int_equal(out.argsz, full.argsz);
		assert_int_equal(out.cap_offset, 0);
		assert_true(out.flags & WIRE_REGION_FLAG_CAPS);
	}
	assert_int_equal(info(bench, SPARSE, full.argsz, &out), 0);
	assert_int_equal(bench->call.size, full.argsz);
	assert_int_equal(info(bench, SPARSE, sizeof(out) - 1, &out), -EINVAL);
	assert_int_equal(info(bench, SPARSE, 0, &out), -EINVAL);
	assert_int_equal(info(bench, REGIONS, 4096, &out), -EINVAL);
}

static void no_descriptor_for_a_client_that_takes_none(void **state)
{
	struct bench *bench = *state;
	struct wire_region_info out;

	bench->call.session.limits.client_max_msg_fds = 0;
	assert_int_equal(info(bench, SPARSE, 4096, &out), 0);
	assert_int_equal(bench->call.fds, 0);
	assert_true(out.flags & WIRE_REGION_FLAG_MMAP);
	bench->call.session.limits.client_max_msg_fds = 1;
	assert_int_equal(info(bench, PLAIN, 4096, &out), 0);
	assert_int_equal(bench->call.fds, 0);
	assert_int_equal(out.flags, RW);
}

static int access_region(struct bench *bench, dispatch_handler handler, uint32_t region,
			 uint64_t offset, uint32_t count)
{
	struct {
		struct wire_region_access access;
		uint8_t data[LIMIT + 1];
	} WIRE_PACKED body = { { offset, region, count }, { 0 } };
	size_t data = handler == region_write ? (count <= LIMIT + 1 ? count : LIMIT + 1) : 0;

	memset(body.data, 0xee, sizeof(body.data));
	return call_handler(&bench->call, handler, &bench->table, &body,
			    sizeof(body.access) + data);
}

static void reads_return_header_and_data(void **state)
{
	struct bench *bench = *state;
	struct wire_region_access out;

	for (uint32_t count = 0; count <= LIMIT; count++) {
		assert_int_equal(access_region(bench, region_read, PLAIN, 3, count), 0);
		assert_int_equal(bench->call.size, sizeof(out) + count);
		memcpy(&out, bench->call.reply, sizeof(out));
		assert_int_equal(out.count, count);
		assert_int_equal(out.offset, 3);
		if (count)
			assert_memory_equal(bench->call.reply + sizeof(out), store + 3, count);
	}
}

static void writes_store_and_return_the_header_only(void **state)
{
	struct bench *bench = *state;

	assert_int_equal(access_region(bench, region_write, PLAIN, 10, 5), 0);
	assert_int_equal(bench->call.size, sizeof(struct wire_region_access));
	for (int i = 0; i < 100; i++)
		assert_int_equal(store[i], i >= 10 && i < 15 ? 0xee : i);
}

static void accesses_outside_or_against_the_flags_are_refused(void **state)
{
	struct bench *bench = *state;
	static const struct wire_region_access outside[] = {
		{ 100, PLAIN, 1 }, { 99, PLAIN, 2 }, { 0, PLAIN, LIMIT + 1 }, { 101, PLAIN, 0 },
		{ UINT64_C(1) << 63, PLAIN, 4 }, { UINT64_MAX, PLAIN, 1 },
		{ UINT64_MAX - 3, PLAIN, 8 }, { UINT64_MAX, PLAIN, UINT32_MAX },
		{ 0, EMPTY, 1 }, { 0, REGIONS, 1 }, { 0, UINT32_MAX, 1 },
		{ UINT64_MAX - 3, TOP, 8 },
	};

	for (size_t i = 0; i < sizeof(outside) / sizeof(*outside); i++) {
		assert_int_equal(access_region(bench, region_read, outside[i].region,
					       outside[i].offset, outside[i].count), -EINVAL);
		assert_int_equal(access_region(bench, region_write, outside[i].region,
					       outside[i].offset, outside[i].count), -EINVAL);
	}
	assert_int_equal(access_region(bench, region_write, READ_ONLY, 0, 4), -EACCES);
	assert_int_equal(access_region(bench, region_read, WRITE_ONLY, 0, 4), -EACCES);
	for (int i = 0; i < 100; i++)
		assert_int_equal(store[i], i);
}

static void the_data_has_to_be_count_bytes(void **state)
{
	struct bench *bench = *state;
	struct {
		struct wire_region_access access;
		uint8_t data[8];
	} WIRE_PACKED body = { { 0, PLAIN, 4 }, { 0 } };

	for (size_t size = 0; size <= sizeof(body.data); size++)
		assert_int_equal(call_handler(&bench->call, region_write, &bench->table, &body,
					      sizeof(body.access) + size), size == 4 ? 0 : -EINVAL);
}

static void what_the_owner_refuses_is_refused(void **state)
{
	struct bench *bench = *state;

	refusal = -EIO;
	assert_int_equal(access_region(bench, region_read, PLAIN, 0, 4), -EIO);
	assert_int_equal(access_region(bench, region_write, PLAIN, 0, 4), -EIO);
	assert_int_equal(store[0], 0);
}

struct multi {
	struct wire_write_multi multi;
	struct wire_write_multi_entry entries[4];
};

/* The number of writes done, or -errno. */
static int write_multi(struct bench *bench, uint64_t claimed, const struct multi *request,
		       size_t size)
{
	struct multi message = *request;
	struct wire_write_multi answer;
	int error;

	message.multi.wr_cnt = claimed;
	error = call_handler(&bench->call, region_write_multi, &bench->table, &message, size);
	if (error)
		return error;
	assert_int_equal(bench->call.size, sizeof(answer));
	memcpy(&answer, bench->call.reply, sizeof(answer));
	return (int)answer.wr_cnt;
}

#define MULTI_SIZE(count) \
	(sizeof(struct wire_write_multi) + (count) * sizeof(struct wire_write_multi_entry))

static void many_writes_happen_in_order(void **state)
{
	static const struct multi good = { .entries = {
		{ 0, PLAIN, 8, "abcdefgh" }, { 2, PLAIN, 1, "X" },
		{ sizeof(store), PLAIN, 0, "" }, { sizeof(store) - 3, WRITE_ONLY, 3, "end" },
	} };
	struct bench *bench = *state;

	assert_int_equal(write_multi(bench, 4, &good, MULTI_SIZE(4)), -EOPNOTSUPP);
	assert_int_equal(store[0], 0);
	bench->call.session.limits.write_multiple = true;
	assert_int_equal(write_multi(bench, 4, &good, MULTI_SIZE(4)), 4);
	assert_memory_equal(store, "abXdefgh", 8);
	assert_int_equal(store[8], 8);
	assert_memory_equal(store + sizeof(store) - 3, "end", 3);
	assert_int_equal(write_multi(bench, 0, &good, MULTI_SIZE(0)), 0);
}

static void the_first_write_that_fails_is_the_last(void **state)
{
	static const struct multi mixed = { .entries = {
		{ 0, PLAIN, 1, "a" }, { 1, READ_ONLY, 1, "b" }, { 2, PLAIN, 1, "c" },
	} };
	struct bench *bench = *state;

	bench->call.session.limits.write_multiple = true;
	assert_int_equal(write_multi(bench, 3, &mixed, MULTI_SIZE(3)), 1);
	assert_int_equal(store[0], 'a');
	assert_int_equal(store[1], 1);
	assert_int_equal(store[2], 2);
	refusal = -EIO;
	assert_int_equal(write_multi(bench, 3, &mixed, MULTI_SIZE(3)), 0);
}

static void writes_that_do_not_fit_are_not_begun(void **state)
{
	static const uint64_t claims[] = { 0, 2, UINT64_MAX, (UINT64_C(1) << 61) + 1 };
	struct multi one = { .entries = { { 0, PLAIN, 1, "a" }, { 1, PLAIN, 9, "b" } } };
	struct bench *bench = *state;

	bench->call.session.limits.write_multiple = true;
	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
		assert_int_equal(write_multi(bench, claims[i], &one, MULTI_SIZE(1)), -EINVAL);
	assert_int_equal(write_multi(bench, 1, &one, MULTI_SIZE(1) - 1), -EINVAL);
	assert_int_equal(write_multi(bench, 1, &one, MULTI_SIZE(1) + 1), -EINVAL);
	assert_int_equal(write_multi(bench, 2, &one, MULTI_SIZE(2)), -EINVAL);
	one.entries[1].count = UINT32_MAX;
	assert_int_equal(write_multi(bench, 2, &one, MULTI_SIZE(2)), -EINVAL);
	assert_int_equal(store[0], 0);
}

static int io_fds(struct bench *bench, uint32_t index, uint32_t argsz,
		  struct wire_region_io_fds *out)
{
	const struct wire_region_io_fds request = { .argsz = argsz, .flags = 9, .index = index };
	int error = call_handler(&bench->call, region_get_io_fds, &bench->table, &request,
				 sizeof(request));

	if (!error)
		memcpy(out, bench->call.reply, sizeof(*out));
	return error;
}

static void io_fds_keep_to_the_limits_of_the_client(void **state)
{
	static const uint32_t counts[] = { 0, 2, 3, 3 }, fds[] = { 0, 1, 2, 2 };
	struct bench *bench = *state;
	struct wire_region_io_fds out = { 0 };

	for (uint32_t limit = 0; limit < 4; limit++) {
		bench->call.session.limits.client_max_msg_fds = limit;
		assert_int_equal(io_fds(bench, DOORS, 4096, &out), 0);
		assert_int_equal(out.flags, 0);
		assert_int_equal(out.index, DOORS);
		assert_int_equal(out.count, counts[limit]);
		assert_int_equal(out.argsz, 16 + 40 * counts[limit]);
		assert_int_equal(bench->call.size, out.argsz);
		assert_int_equal(bench->call.fds, fds[limit]);
		assert_memory_equal(bench->call.reply + 16, doors,
				    counts[limit] * sizeof(doors[0]));
	}
	/* No entry comes without its neighbours, and no descriptor without its entry. */
	assert_int_equal(io_fds(bench, DOORS, 16 + 3 * 40 - 1, &out), 0);
	assert_int_equal(out.argsz, 16 + 3 * 40);
	assert_int_equal(bench->call.size, 16);
	assert_int_equal(bench->call.fds, 0);
	assert_int_equal(io_fds(bench, DOORS, 15, &out), -EINVAL);
	assert_int_equal(io_fds(bench, REGIONS, 4096, &out), -EINVAL);
	assert_int_equal(io_fds(bench, PLAIN, 4096, &out), 0);
	assert_int_equal(out.count, 0);
	assert_int_equal(out.argsz, 16);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(info_has_the_capabilities_and_a_descriptor),
		CASE(capabilities_that_do_not_fit_are_left_out),
		CASE(no_descriptor_for_a_client_that_takes_none),
		CASE(reads_return_header_and_data),
		CASE(writes_store_and_return_the_header_only),
		CASE(accesses_outside_or_against_the_flags_are_refused),
		CASE(the_data_has_to_be_count_bytes),
		CASE(what_the_owner_refuses_is_refused),
		CASE(many_writes_happen_in_order),
		CASE(the_first_write_that_fails_is_the_last),
		CASE(writes_that_do_not_fit_are_not_begun),
		CASE(io_fds_keep_to_the_limits_of_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
