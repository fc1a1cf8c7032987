/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench_null.c - a server that does nothing, as fast as that goes: what a run of programs costs
 * without the server.
 *
 *     bench_null SOCKET
 *
 * It negotiates, and answers what is long enough for its command with a success of the right size,
 * so that a client has as much to receive and to judge as from a server that works; what else
 * comes, and what is optional, is refused with EINVAL. Nothing is kept from one message to the
 * next, and received descriptors are never taken. Region 0 begins with the number by which the test
 * device is known, so that the same programs are run on it.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "wire.h"

#define NULL_CLIENTS 16u
#define NULL_BUFFER ((size_t)2 << 20)	/* what is longer is no message */
#define NULL_READ ((uint32_t)1 << 20)	/* bytes of data in a reply */
#define NULL_MAGIC 0x414d4456u		/* "VDMA" */
#define NULL_REGION 0x20000u		/* bytes */

static const char null_text[] = "{\"capabilities\":{\"max_msg_fds\":8}}";

/* Bytes that a request has at least behind its header, and how many of them the reply repeats. */
static const struct {
	uint32_t least, repeated;
	bool known;
} null_commands[] = {
	[WIRE_VERSION] = { sizeof(struct wire_version), 0, true },
	[WIRE_DMA_MAP] = { sizeof(struct wire_dma_map), 0, true },
	[WIRE_DMA_UNMAP] = { sizeof(struct wire_dma_unmap), sizeof(struct wire_dma_unmap), true },
	[WIRE_DEVICE_GET_INFO] = { sizeof(struct wire_device_info), 0, true },
	[WIRE_DEVICE_GET_REGION_INFO] = { sizeof(struct wire_region_info), 0, true },
	[WIRE_DEVICE_GET_IRQ_INFO] = { sizeof(struct wire_irq_info), 0, true },
	[WIRE_DEVICE_SET_IRQS] = { sizeof(struct wire_irq_set), 0, true },
	[WIRE_REGION_READ] = { sizeof(struct wire_region_access),
			       sizeof(struct wire_region_access), true },
	[WIRE_REGION_WRITE] = { sizeof(struct wire_region_access),
				sizeof(struct wire_region_access), true },
	[WIRE_DEVICE_RESET] = { 0, 0, true },
};

struct null_client {
	uint8_t bytes[NULL_BUFFER];
	size_t count;
};

static struct null_client null_clients[NULL_CLIENTS];
static uint8_t null_reply[sizeof(struct wire_header) + sizeof(struct wire_region_access) +
			  NULL_READ];

/* Writes what a success of the command has behind its header; its size, or -EINVAL. */
static int64_t null_success(uint16_t command, const uint8_t *body, uint8_t *out)
{
	const struct wire_device_info device = { sizeof(device), WIRE_DEVICE_FLAG_PCI,
						 WIRE_REGION_INDEX_NUM, WIRE_IRQ_INDEX_NUM };
	struct wire_region_info region;
	struct wire_irq_info irq;
	struct wire_region_access access;

	switch (command) {
	case WIRE_VERSION:
		memset(out, 0, sizeof(struct wire_version));
		memcpy(out + sizeof(struct wire_version), null_text, sizeof(null_text));
		return sizeof(struct wire_version) + sizeof(null_text);
	case WIRE_DEVICE_GET_INFO:
		memcpy(out, &device, sizeof(device));
		return sizeof(device);
	case WIRE_DEVICE_GET_REGION_INFO:
		memcpy(&region, body, sizeof(region));
		region = (struct wire_region_info){ sizeof(region), 3, region.index, 0,
						    NULL_REGION, 0 };
		memcpy(out, &region, sizeof(region));
		return sizeof(region);
	case WIRE_DEVICE_GET_IRQ_INFO:
		memcpy(&irq, body, sizeof(irq));
		irq = (struct wire_irq_info){ sizeof(irq), WIRE_IRQ_INFO_EVENTFD, irq.index, 1 };
		memcpy(out, &irq, sizeof(irq));
		return sizeof(irq);
	case WIRE_REGION_READ:
		memcpy(&access, body, sizeof(access));
		if (access.count > NULL_READ)
			return -EINVAL;
		memcpy(out, &access, sizeof(access));
		memset(out + sizeof(access), 0, access.count);
		if (!access.region && !access.offset && access.count >= sizeof(uint32_t))
			memcpy(out + sizeof(access), &(uint32_t){ NULL_MAGIC }, sizeof(uint32_t));
		return (int64_t)sizeof(access) + access.count;
	default:
		memcpy(out, body, null_commands[command].repeated);
		return null_commands[command].repeated;
	}
}

static void null_answer(int fd, const struct wire_header *request, const uint8_t *body)
{
	const size_t known = sizeof(null_commands) / sizeof(null_commands[0]);
	struct wire_header reply = *request;
	uint32_t size = request->msg_size - (uint32_t)sizeof(reply);
	int64_t result = -EINVAL;

	if ((request->flags & WIRE_TYPE_MASK) != WIRE_TYPE_COMMAND ||
	    (request->flags & WIRE_NO_REPLY))
		return;
	if (request->command < known && null_commands[request->command].known &&
	    size >= null_commands[request->command].least)
		result = null_success(request->command, body, null_reply + sizeof(reply));
	reply.flags = WIRE_TYPE_REPLY | (result < 0 ? WIRE_ERROR : 0);
	reply.error = result < 0 ? (uint32_t)-result : 0;
	reply.msg_size = (uint32_t)(sizeof(reply) + (result < 0 ? 0 : (size_t)result));
	memcpy(null_reply, &reply, sizeof(reply));
	(void)send(fd, null_reply, reply.msg_size, MSG_NOSIGNAL);
}

/* Receives once and answers what is whole; false when the connection is over. */
static bool null_serve(int fd, struct null_client *client)
{
	ssize_t n = recv(fd, client->bytes + client->count, NULL_BUFFER - client->count, 0);
	struct wire_header header;
	size_t at = 0;

	if (n <= 0)
		return false;
	client->count += (size_t)n;
	for (; client->count - at >= sizeof(header); at += header.msg_size) {
		memcpy(&header, client->bytes + at, sizeof(header));
		if (header.msg_size < sizeof(header) || header.msg_size > NULL_BUFFER)
			return false;
		if (client->count - at < header.msg_size)
			break;
		null_answer(fd, &header, client->bytes + at + sizeof(header));
	}
	client->count -= at;
	memmove(client->bytes, client->bytes + at, client->count);
	return true;
}

static void null_loop(int listener)
{
	struct pollfd ready[1 + NULL_CLIENTS] = { { .fd = listener, .events = POLLIN } };

	for (size_t i = 1; i <= NULL_CLIENTS; i++)
		ready[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	while (poll(ready, 1 + NULL_CLIENTS, -1) >= 0) {
		size_t place = 0;

		for (size_t i = NULL_CLIENTS; i > 0; i--) {
			if (ready[i].fd >= 0 && ready[i].revents &&
			    !null_serve(ready[i].fd, &null_clients[i - 1])) {
				close(ready[i].fd);
				ready[i].fd = -1;
				null_clients[i - 1].count = 0;
			}
			if (ready[i].fd < 0)
				place = i;
		}
		/* Who comes when nothing is free waits. */
		ready[0].fd = place ? listener : -1;
		if (place && ready[0].revents)
			ready[place].fd = accept(listener, NULL, NULL);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd;

	if (argc != 2 || strlen(argv[1]) >= sizeof(name.sun_path)) {
		fputs("usage: bench_null SOCKET\n", stderr);
		return 2;
	}
	memcpy(name.sun_path, argv[1], strlen(argv[1]));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&name, sizeof(name)) ||
	    listen(fd, (int)NULL_CLIENTS)) {
		perror("bench_null");
		return 1;
	}
	null_loop(fd);
	return 1;
}
