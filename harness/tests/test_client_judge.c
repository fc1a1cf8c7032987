/* SPDX-License-Identifier: BSD-3-Clause */
/* Unit tests of client_judge: pieces become messages, and descriptors what the model knows. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_judge.h"

#define PAGE ((uint64_t)0x1000)
#define MAP_SIZE (sizeof(struct wire_header) + sizeof(struct wire_dma_map))

/* A DMA_MAP of a page, as bytes. */
static void map_bytes(uint8_t *out, uint16_t id, uint64_t address)
{
	const struct wire_header header = { id, WIRE_DMA_MAP, MAP_SIZE, 0, 0 };
	const struct wire_dma_map map = { sizeof(map), WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE, 0,
					  address, PAGE };

	memcpy(out, &header, sizeof(header));
	memcpy(out + sizeof(header), &map, sizeof(map));
}

/* A reply comes: a success with this payload, or an error. */
static void comes(struct client_judge *judge, uint16_t id, uint16_t command, const void *body,
		  uint32_t size)
{
	const struct message message = {
		.id = id,
		.command = command,
		.msg_size = (uint32_t)sizeof(struct wire_header) + size,
		.flags = WIRE_TYPE_REPLY | (body ? 0 : WIRE_ERROR),
		.body = body,
	};

	assert_int_equal(client_judge_came(judge, &message), 0);
}

/* A piece goes out, with a descriptor unless it is NULL. */
static void sends_with(struct client_judge *judge, const uint8_t *bytes, size_t size,
		       const int32_t *fd)
{
	const struct client_judge_piece piece = {
		.bytes = bytes,
		.size = size,
		.fds = fd,
		.nfds = fd ? 1 : 0,
	};

	assert_int_equal(client_judge_sends(judge, &piece), 0);
}

static void sends(struct client_judge *judge, const uint8_t *bytes, size_t size)
{
	sends_with(judge, bytes, size, NULL);
}

static int set_up(void **state)
{
	static const struct wire_version version;
	struct wire_header header = { 1, WIRE_VERSION, 20, 0, 0 };
	const char *const strict[] = { "D1", "M3", NULL };
	struct client_judge *judge;
	uint8_t bytes[20] = { 0 };

	if (client_judge_new(strict, &judge))
		return -1;
	memcpy(bytes, &header, sizeof(header));
	sends(judge, bytes, sizeof(bytes));
	comes(judge, 1, WIRE_VERSION, &version, sizeof(version));
	*state = judge;
	return 0;
}

static int tear_down(void **state)
{
	client_judge_free(*state);
	return 0;
}

static void found(const struct client_judge *judge, uint32_t count, const char *requirement)
{
	struct model_finding finding = { .requirement = "" };

	assert_int_equal(client_judge_findings(judge, count - 1, &finding), count);
	assert_string_equal(finding.requirement, requirement);
}

static void pieces_become_messages(void **state)
{
	struct client_judge *judge = *state;
	uint8_t bytes[3 * MAP_SIZE];

	for (size_t step = 1; step < sizeof(bytes); step++) {
		for (uint16_t i = 0; i < 3; i++)
			map_bytes(bytes + i * MAP_SIZE, i, ((uint64_t)step << 32) + i * PAGE);
		for (size_t at = 0; at < sizeof(bytes); at += step)
			sends(judge, bytes + at,
			      step < sizeof(bytes) - at ? step : sizeof(bytes) - at);
		for (uint16_t i = 0; i < 3; i++)
			comes(judge, i, WIRE_DMA_MAP, "", 0);
	}
	assert_int_equal(client_judge_findings(judge, 0, NULL), 0);
	map_bytes(bytes, 7, (uint64_t)5 << 32);
	sends(judge, bytes, MAP_SIZE);
	comes(judge, 7, WIRE_DMA_MAP, "", 0);
	found(judge, 1, "DMA-MAP-005");
}

static void nothing_is_judged_behind_a_broken_header(void **state)
{
	struct wire_header header = { 9, WIRE_DEVICE_RESET, sizeof(header) - 1, 0, 0 };
	struct client_judge *judge = *state;
	uint8_t bytes[MAP_SIZE];

	sends(judge, (const uint8_t *)&header, sizeof(header));
	map_bytes(bytes, 3, 0);
	for (int i = 0; i < 2; i++) {
		sends(judge, bytes, sizeof(bytes));
		comes(judge, 3, WIRE_DMA_MAP, "", 0);
	}
	client_judge_closed(judge);
	assert_int_equal(client_judge_findings(judge, 0, NULL), 0);
}

static int memory_of(size_t size, unsigned int seals)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

/* The page at `address` is mapped with a descriptor, and the server refuses that. */
static void refused(struct client_judge *judge, uint64_t address, int fd, size_t with)
{
	uint8_t bytes[MAP_SIZE];
	int32_t number = fd;

	map_bytes(bytes, 5, address);
	if (with)
		sends(judge, bytes, with);
	sends_with(judge, bytes + with, sizeof(bytes) - with, &number);
	comes(judge, 5, WIRE_DMA_MAP, NULL, 0);
	close(fd);
}

static void descriptors_are_what_they_are(void **state)
{
	struct client_judge *judge = *state;
	uint8_t bytes[MAP_SIZE];
	char path[32];
	int fd;

	map_bytes(bytes, 2, 0);
	sends(judge, bytes, sizeof(bytes));
	comes(judge, 2, WIRE_DMA_MAP, "", 0);
	refused(judge, PAGE, eventfd(0, EFD_CLOEXEC), 0);
	refused(judge, PAGE, open("/dev/null", O_RDWR | O_CLOEXEC), 0);
	refused(judge, PAGE, memory_of(PAGE - 1, 0), 0);
	refused(judge, PAGE, memory_of(PAGE, F_SEAL_WRITE), 0);
	fd = memory_of(PAGE, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	refused(judge, PAGE, open(path, O_RDONLY | O_CLOEXEC), 0);
	refused(judge, PAGE, open(path, O_PATH | O_CLOEXEC), 0);
	refused(judge, PAGE, fd, 1);
	assert_int_equal(client_judge_findings(judge, 0, NULL), 0);
	refused(judge, PAGE, memory_of(PAGE, 0), 0);
	found(judge, 1, "DMA-MAP-002");
}

static void end_by_the_server_is_found_unless_the_client_ended_first(void **state)
{
	struct wire_header header = { 9, WIRE_DEVICE_RESET, sizeof(header), 0, 0 };
	struct client_judge *judge = *state;

	sends(judge, (const uint8_t *)&header, sizeof(header));
	client_judge_closed(judge);
	client_judge_closed(judge);
	found(judge, 1, "HDR-REPLY-001");
	tear_down(state);
	assert_int_equal(set_up(state), 0);
	judge = *state;
	sends(judge, (const uint8_t *)&header, sizeof(header));
	client_judge_ends(judge);
	client_judge_closed(judge);
	assert_int_equal(client_judge_findings(judge, 0, NULL), 0);
}

static void readings_are_named(void **state)
{
	const char *const wrong[] = { "D1", "D0", NULL };
	struct client_judge *judge;

	(void)state;
	assert_int_equal(client_judge_new(wrong, &judge), -EINVAL);
	assert_int_equal(client_judge_new(NULL, &judge), 0);
	client_judge_free(judge);
	client_judge_free(NULL);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(pieces_become_messages),
		WITH(nothing_is_judged_behind_a_broken_header),
		WITH(descriptors_are_what_they_are),
		WITH(end_by_the_server_is_found_unless_the_client_ended_first),
		cmocka_unit_test(readings_are_named),
	};

	return cmocka_run_group_tests_name("client_judge", tests, NULL, NULL);
}
