/* SPDX-License-Identifier: BSD-3-Clause */
/* test_server_turn.c - what one turn of a connection sends, and by which socket first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "server_turn.h"

#define ADDRESS 0x10000u
#define PAGE 4096u
#define READ 1u
#define T_MS 1000u

struct bench {
	struct server_instance *instance;
	int main, twin;		/* the client's ends */
	uint8_t sent[1024];
	size_t size;
};

static const struct server_options options = {
	.fd = -1,
	.devices = 1,
	.profile = DEVICE_VDMA,
	.offer = {
		.max_msg_fds = 1,
		.max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
		.max_dma_maps = 16,
		.pgsizes = WIRE_DEFAULT_PGSIZES,
	},
	.t_partial = T_MS,
	.t_idle = T_MS,
	.t_dma = T_MS,
	.t_drain = T_MS,
	.quotas = { 1 << 20, 16, 1 << 20, 1 << 20 },
};

static int set_up(void **state)
{
	static struct bench bench;
	int main[2], twin[2];

	bench.size = 0;
	if (server_instance_open(&bench.instance, &options, 0) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, main) ||
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, twin))
		return -1;
	server_instance_begin(bench.instance, main[0], &options);
	session_add_twin(&bench.instance->session, twin[0]);
	bench.instance->session.phase = SESSION_NEGOTIATED;
	bench.main = main[1];
	bench.twin = twin[1];
	*state = &bench;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *bench = *state;

	server_instance_end(bench->instance);
	server_instance_close(bench->instance);
	close(bench->main);
	close(bench->twin);
	return 0;
}

/* One more message of those that are sent together. */
static void add(struct bench *bench, uint16_t command, const void *body, size_t size)
{
	struct wire_header header = { 1, command, (uint32_t)(sizeof(header) + size), 0, 0 };

	assert_true(bench->size + header.msg_size <= sizeof(bench->sent));
	memcpy(bench->sent + bench->size, &header, sizeof(header));
	memcpy(bench->sent + bench->size + sizeof(header), body, size);
	bench->size += header.msg_size;
}

static void add_store(struct bench *bench, uint32_t slot_register, uint32_t value)
{
	struct {
		struct wire_region_access access;
		uint32_t value;
	} body = {
		{ DEVICE_SLOT_REGISTERS + slot_register, WIRE_REGION_INDEX_BAR0, sizeof(value) },
		value,
	};

	add(bench, WIRE_REGION_WRITE, &body, sizeof(body));
}

static void add_map(struct bench *bench)
{
	const struct wire_dma_map map = {
		sizeof(map), WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE, 0, ADDRESS, PAGE
	};

	add(bench, WIRE_DMA_MAP, &map, sizeof(map));
}

static void add_unmap(struct bench *bench)
{
	const struct wire_dma_unmap unmap = { sizeof(unmap), 0, ADDRESS, PAGE };

	add(bench, WIRE_DMA_UNMAP, &unmap, sizeof(unmap));
}

static int bytes_in(int fd)
{
	int bytes;

	assert_int_equal(ioctl(fd, FIONREAD, &bytes), 0);
	return bytes;
}

static void turn(struct bench *bench)
{
	assert_int_equal(send(bench->main, bench->sent, bench->size, 0), bench->size);
	server_serve(bench->instance, EPOLLIN);
}

static void what_is_asked_is_there_before_the_reply_to_the_next_command(void **state)
{
	const int request = sizeof(struct wire_header) + sizeof(struct wire_dma_access);
	struct bench *bench = *state;

	add_map(bench);
	add_store(bench, SLOT_SRC, ADDRESS);
	add_store(bench, SLOT_LEN, PAGE);
	add_store(bench, SLOT_CMD, READ);
	add_unmap(bench);
	turn(bench);
	assert_true(bytes_in(bench->main) > 5 * (int)sizeof(struct wire_header));
	assert_int_equal(bytes_in(bench->twin), request);
	/* The operation is over, so nothing more is asked. */
	server_advance(bench->instance, 0);
	assert_int_equal(bytes_in(bench->twin), request);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			what_is_asked_is_there_before_the_reply_to_the_next_command, set_up,
			tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
