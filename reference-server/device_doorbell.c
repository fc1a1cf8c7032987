/* SPDX-License-Identifier: BSD-3-Clause */
/* device_doorbell.c - see device_doorbell.h. */
#include "device_doorbell.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define DEVICE_DOORBELL_PAGE 4096u
#define DEVICE_DOORBELL_REGION DEVICE_DOORBELL_EVENTFDS	/* the descriptor with packets */
#define DEVICE_DOORBELL_QUEUE 4096	/* packets: more than a socket holds */

const struct wire_io_fd device_doorbell_io[DEVICE_DOORBELLS] = {
	{ .offset = 0x800, .size = 4, .fd_index = 0, .type = WIRE_IO_FD_TYPE_IOEVENTFD },
	{ .offset = 0x808, .size = 2, .fd_index = 0, .type = WIRE_IO_FD_TYPE_IOEVENTFD },
	{ .offset = 0x810, .size = 4, .fd_index = 1, .type = WIRE_IO_FD_TYPE_IOEVENTFD,
	  .flags = WIRE_IOEVENTFD_DATAMATCH, .datamatch = DEVICE_DOORBELL_MATCH },
	{ .offset = 0x818, .size = 0, .fd_index = 2, .type = WIRE_IO_FD_TYPE_IOEVENTFD },
	{ .offset = 0x820, .size = 0, .fd_index = 3, .type = WIRE_IO_FD_TYPE_IOREGIONFD,
	  .flags = WIRE_IOREGION_POSTED_WRITES, .user_data = 0x820 },
};

void device_doorbell_init(struct device_doorbell *doorbell, struct device_memory *memory)
{
	doorbell->memory = memory;
	memset(doorbell->fd, -1, sizeof(doorbell->fd));
	doorbell->commands = -1;
}

static void device_doorbell_close(struct device_doorbell *doorbell)
{
	for (int i = 0; i < DEVICE_DOORBELL_FDS; i++) {
		if (doorbell->fd[i] >= 0)
			close(doorbell->fd[i]);
		doorbell->fd[i] = -1;
	}
	if (doorbell->commands >= 0)
		close(doorbell->commands);
	doorbell->commands = -1;
}

int device_doorbell_attach(struct device_doorbell *doorbell)
{
	int error = 0, pair[2];

	if (doorbell->commands >= 0)
		return 0;
	for (int i = 0; i < DEVICE_DOORBELL_EVENTFDS && !error; i++) {
		doorbell->fd[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (doorbell->fd[i] < 0)
			error = -errno;
	}
	if (!error && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		error = -errno;
	if (!error) {
		doorbell->fd[DEVICE_DOORBELL_REGION] = pair[0];
		doorbell->commands = pair[1];
	}
	if (error)
		device_doorbell_close(doorbell);
	return error;
}

static int device_doorbell_ring(struct device_doorbell *doorbell, uint32_t which, uint32_t times)
{
	uint64_t offset = DEVICE_DOORBELL_COUNTERS + which * sizeof(uint32_t);
	uint32_t counter;
	int error;

	error = device_memory_ops.read(doorbell->memory, offset, &counter, sizeof(counter));
	counter += times;
	return error ? error : device_memory_ops.write(doorbell->memory, offset, &counter,
						       sizeof(counter));
}

/*
 * The number of rings since the last time. O_NONBLOCK is no help, as the client shares that flag
 * with us and may clear it.
 */
static uint64_t device_doorbell_read(int fd)
{
	uint64_t rings = 0;
	struct iovec iov = { &rings, sizeof(rings) };

	if (fd < 0 || preadv2(fd, &iov, 1, -1, RWF_NOWAIT) != sizeof(rings))
		return 0;
	return rings;
}

/* The number of writes that have come as packets. What is no write to the doorbell is dropped. */
static uint64_t device_doorbell_receive(int fd)
{
	const uint64_t user_data = device_doorbell_io[DEVICE_DOORBELLS - 1].user_data;
	uint64_t rings = 0;

	for (int i = 0; fd >= 0 && i < DEVICE_DOORBELL_QUEUE; i++) {
		struct device_doorbell_command command;
		ssize_t n = recv(fd, &command, sizeof(command), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0)
			break;
		rings += n == sizeof(command) && (command.info & 0xf) == 1 &&
			 command.user_data == user_data && command.offset == 0;
	}
	return rings;
}

static uint64_t device_doorbell_take(const struct device_doorbell *doorbell, uint32_t which)
{
	if (which == DEVICE_DOORBELL_REGION)
		return device_doorbell_receive(doorbell->commands);
	return device_doorbell_read(doorbell->fd[which]);
}

void device_doorbell_poll(struct device_doorbell *doorbell)
{
	for (uint32_t i = 0; i < DEVICE_DOORBELL_FDS; i++) {
		uint64_t rings = device_doorbell_take(doorbell, i);

		if (rings)
			device_doorbell_ring(doorbell, i, (uint32_t)rings);
	}
}

void device_doorbell_drop(struct device_doorbell *doorbell)
{
	for (uint32_t i = 0; i < DEVICE_DOORBELL_FDS; i++)
		device_doorbell_take(doorbell, i);
}

void device_doorbell_detach(struct device_doorbell *doorbell)
{
	device_doorbell_poll(doorbell);
	device_doorbell_close(doorbell);
}

/* The descriptor of the doorbell that a write rings, or -1. */
static int device_doorbell_match(uint64_t offset, const void *data, uint32_t count)
{
	for (int i = 0; i < DEVICE_DOORBELLS; i++) {
		const struct wire_io_fd *io = &device_doorbell_io[i];
		uint64_t value = 0;

		if (offset != io->offset || count > sizeof(value))
			continue;
		if (io->size && count != io->size)
			continue;
		memcpy(&value, data, count);
		if (io->flags & WIRE_IOEVENTFD_DATAMATCH && value != io->datamatch)
			continue;
		return (int)io->fd_index;
	}
	return -1;
}

static int device_doorbell_region_read(void *owner, uint64_t offset, void *data, uint32_t count)
{
	struct device_doorbell *doorbell = owner;

	if (offset < DEVICE_DOORBELL_PAGE)
		device_doorbell_poll(doorbell);
	return device_memory_ops.read(doorbell->memory, offset, data, count);
}

static int device_doorbell_region_write(void *owner, uint64_t offset, const void *data,
					uint32_t count)
{
	struct device_doorbell *doorbell = owner;
	int which = device_doorbell_match(offset, data, count);

	if (offset < DEVICE_DOORBELL_PAGE)
		device_doorbell_poll(doorbell);
	if (which >= 0)
		return device_doorbell_ring(doorbell, (uint32_t)which, 1);
	return device_memory_ops.write(doorbell->memory, offset, data, count);
}

static int device_doorbell_open(void *owner)
{
	return device_doorbell_attach(owner);
}

const struct region_ops device_doorbell_ops = {
	.read = device_doorbell_region_read,
	.write = device_doorbell_region_write,
	.open_io = device_doorbell_open,
};
