/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_wire.c - raw bytes and descriptors, straight into the server.
 *
 * The input is a sequence of steps. Each begins with a byte: bits 0 to 2 say what to do, bits 3
 * and 4 on which connection, bits 5 to 7 how many descriptors go along. Steps 0 to 3 send a piece:
 * two bytes of size, a byte for each descriptor (its kind), and the bytes, as many as there are;
 * 3 on the twin socket. 4 lets time pass: two bytes, units of 16 ms. 5 ends the sending half, 6
 * the connection. 7 negotiates, with a twin socket if bit 5 is set.
 */
#include "buf.h"
#include "driver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void wire_piece(struct buf_reader *reader, uint8_t step)
{
	uint32_t connection = step >> 3 & 3, channel = (step & 7) == 3;
	int32_t fds[7];
	uint16_t size = 0;
	struct client_send send = { .fds = fds, .nfds = step >> 5 };

	buf_read(reader, &size, sizeof(size));
	for (size_t i = 0; i < send.nfds; i++) {
		uint8_t kind = 0;

		buf_read(reader, &kind, sizeof(kind));
		fds[i] = driver_fd(kind);
	}
	send.bytes = reader->data + (reader->overflow ? 0 : reader->at);
	send.size = size < buf_left(reader) ? size : buf_left(reader);
	if (!send.size)
		return;
	buf_skip(reader, send.size);
	if (!driver_is_connected(connection))
		driver_connect(connection);
	driver_send(connection, channel, &send);
}

static void wire_step(struct buf_reader *reader)
{
	uint8_t step = 0;
	uint16_t time = 0;
	uint32_t connection;

	buf_read(reader, &step, sizeof(step));
	connection = step >> 3 & 3;
	switch (step & 7) {
	case 4:
		buf_read(reader, &time, sizeof(time));
		driver_tick((uint64_t)time * 16);
		break;
	case 5:
		driver_shutdown(connection);
		break;
	case 6:
		driver_disconnect(connection);
		break;
	case 7:
		if (!driver_is_connected(connection))
			driver_connect(connection);
		driver_negotiate(connection, step >> 5 & 1);
		break;
	default:
		wire_piece(reader, step);
	}
	driver_receive();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf_reader reader;

	do {
		driver_begin();
		reader = buf_reader_over(data, size);
		while (buf_left(&reader) > 1)
			wire_step(&reader);
	} while (driver_end());
	return 0;
}
