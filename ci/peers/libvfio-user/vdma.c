/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vdma.c - the test device on libvfio-user, one step at a time; see port.h.
 *
 * The slots advance behind every write to a register, and between two steps as time wants it: the
 * socket is polled without blocking calls, so that what is held can be released by the side door
 * while a command waits for it.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>

#include "clock.h"
#include "device_slot_chunk.h"
#include "device_state.h"
#include "log.h"
#include "port.h"

struct port port;

/* Callbacks of the library fail by errno. */
static int vdma_result(int error)
{
	int saved = -error;

	if (!error)
		return 0;
	errno = saved;
	return -1;
}

/* Lets all slots advance; those that need the client get what they need now. */
static void vdma_talk(void)
{
	bool again = true;

	port.talking = true;
	while (again) {
		again = false;
		device_run(&port.device);
		for (uint32_t i = 0; i < DEVICE_SLOTS; i++) {
			const struct device_slot *slot = &port.device.bar0.engine.slots[i];

			again |= slot->state == SLOT_RUN && device_slot_needs_client(slot);
		}
	}
	port.talking = false;
}

static ssize_t vdma_access(uint32_t index, char *buf, size_t count, uint64_t offset, bool is_write)
{
	const struct region *region = &port.device.regions[index];
	bool command = index == WIRE_REGION_INDEX_BAR0 && offset < DEVICE_BUFFER;
	int error = -EACCES;

	if (command && !is_write)
		vdma_talk();
	if (is_write && region->ops->write)
		error = region->ops->write(region->owner, offset, buf, (uint32_t)count);
	else if (!is_write && region->ops->read)
		error = region->ops->read(region->owner, offset, buf, (uint32_t)count);
	if (command && is_write)
		vdma_talk();
	return error ? vdma_result(error) : (ssize_t)count;
}

#define VDMA_REGION(name, index) \
	static ssize_t vdma_##name(vfu_ctx_t *ctx, char *buf, size_t count, loff_t offset, \
				   bool is_write) \
	{ \
		(void)ctx; \
		return vdma_access(index, buf, count, (uint64_t)offset, is_write); \
	}
VDMA_REGION(bar0, WIRE_REGION_INDEX_BAR0)
VDMA_REGION(bar2, WIRE_REGION_INDEX_BAR2)
VDMA_REGION(bar4, WIRE_REGION_INDEX_BAR4)
VDMA_REGION(rom, WIRE_REGION_INDEX_ROM)

static const struct {
	vfu_region_access_cb_t *access;
	uint32_t index;
	int flags;
} vdma_regions[] = {
	{ vdma_bar0, WIRE_REGION_INDEX_BAR0, 0 },
	{ vdma_bar2, WIRE_REGION_INDEX_BAR2, 0 },
	{ vdma_bar4, WIRE_REGION_INDEX_BAR4, VFU_REGION_FLAG_64_BITS | VFU_REGION_FLAG_PREFETCH },
	{ vdma_rom, WIRE_REGION_INDEX_ROM, 0 },
};

#define VDMA_AREAS 2

static int vdma_open_region(const struct region *region, size_t i)
{
	int flags = VFU_REGION_FLAG_MEM | vdma_regions[i].flags;
	struct iovec areas[VDMA_AREAS];

	if (region->flags & WIRE_REGION_FLAG_READ)
		flags |= VFU_REGION_FLAG_READ;
	if (region->flags & WIRE_REGION_FLAG_WRITE)
		flags |= VFU_REGION_FLAG_WRITE;
	for (uint32_t k = 0; k < region->area_count; k++) {
		areas[k].iov_base = (void *)(uintptr_t)region->areas[k].offset;
		areas[k].iov_len = region->areas[k].size;
	}
	return vfu_setup_region(port.ctx, (int)vdma_regions[i].index, region->size,
				vdma_regions[i].access, flags, region->areas ? areas : NULL,
				region->area_count,
				region->flags & WIRE_REGION_FLAG_MMAP ? region->fd : -1,
				region->mmap_offset) ? -errno : 0;
}

static int vdma_open_doorbells(void)
{
	int error = device_doorbell_attach(&port.device.doorbell);

	for (uint32_t i = 0; i < DEVICE_DOORBELLS && !error; i++) {
		const struct wire_io_fd *io = &device_doorbell_io[i];

		if (io->type == WIRE_IO_FD_TYPE_IOEVENTFD &&
		    vfu_create_ioeventfd(port.ctx, WIRE_REGION_INDEX_BAR4,
					 port.device.doorbell.fd[io->fd_index], io->offset,
					 (uint32_t)io->size, io->flags, io->datamatch, -1, 0))
			error = -errno;
	}
	return error;
}

static int vdma_open_regions(void)
{
	int error = 0;

	for (size_t i = 0; i < sizeof(vdma_regions) / sizeof(vdma_regions[0]) && !error; i++)
		error = vdma_open_region(&port.device.regions[vdma_regions[i].index], i);
	return error ? error : vdma_open_doorbells();
}

/* Whether nothing more will come: what is held need not drain then. */
static bool vdma_client_left(void)
{
	char next;

	return recv(vfu_get_poll_fd(port.ctx), &next, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static int vdma_quiesce(vfu_ctx_t *ctx)
{
	(void)ctx;
	if (vdma_client_left()) {
		device_abort(&port.device);
		port_dma_forget();
	}
	port.quiescing = port_dma_drain();
	return vdma_result(port.quiescing ? -EBUSY : 0);
}

static int vdma_reset(vfu_ctx_t *ctx, vfu_reset_type_t type)
{
	(void)ctx;
	switch (type) {
	case VFU_RESET_DEVICE:
	case VFU_RESET_PCI_FLR:
		device_reset(&port.device);
		break;
	case VFU_RESET_LOST_CONN:
		device_abort(&port.device);
		device_doorbell_poll(&port.device.doorbell);
		irq_detach(&port.irq);
		port.attached = false;
		break;
	}
	return 0;
}

static int vdma_transition(vfu_ctx_t *ctx, vfu_migr_state_t state)
{
	static const enum wire_migration_state states[] = {
		[VFU_MIGR_STATE_STOP] = WIRE_STATE_STOP,
		[VFU_MIGR_STATE_RUNNING] = WIRE_STATE_RUNNING,
		[VFU_MIGR_STATE_STOP_AND_COPY] = WIRE_STATE_STOP_COPY,
		[VFU_MIGR_STATE_PRE_COPY] = WIRE_STATE_PRE_COPY,
		[VFU_MIGR_STATE_RESUME] = WIRE_STATE_RESUMING,
	};

	(void)ctx;
	return vdma_result(migration_set_state(&port.device.migration, states[state]));
}

static ssize_t vdma_read_data(vfu_ctx_t *ctx, void *buf, uint64_t count)
{
	struct migration *migration = &port.device.migration;
	struct migration_stream *stream = &migration->stream;
	size_t size;
	int error = 0;

	(void)ctx;
	if (migration->state != WIRE_STATE_PRE_COPY && migration->state != WIRE_STATE_STOP_COPY)
		return vdma_result(-EINVAL);
	if (migration->state == WIRE_STATE_PRE_COPY && migration_stream_queued(stream) < count) {
		error = device_state_ops.save(&port.device, stream->now);
		if (!error)
			error = migration_stream_put(stream);
	}
	if (error)
		return vdma_result(error);
	size = migration_stream_queued(stream);
	if (size > count)
		size = count;
	migration_stream_take(stream, buf, size);
	return (ssize_t)size;
}

static ssize_t vdma_write_data(vfu_ctx_t *ctx, void *buf, uint64_t count)
{
	struct migration *migration = &port.device.migration;

	(void)ctx;
	if (migration->state != WIRE_STATE_RESUMING)
		return vdma_result(-EINVAL);
	migration_stream_feed(&migration->stream, buf, count);
	return (ssize_t)count;
}

static int vdma_open_callbacks(void)
{
	static const vfu_migration_callbacks_t migration = {
		.version = VFU_MIGR_CALLBACKS_VERS,
		.transition = vdma_transition,
		.read_data = vdma_read_data,
		.write_data = vdma_write_data,
	};

	vfu_setup_device_quiesce_cb(port.ctx, vdma_quiesce);
	if (vfu_setup_device_reset_cb(port.ctx, vdma_reset) ||
	    vfu_setup_device_migration_callbacks(port.ctx, &migration))
		return -errno;
	return 0;
}

static void vdma_log(vfu_ctx_t *ctx, int level, const char *text)
{
	(void)ctx;
	if (level <= LOG_ERR)
		log_info("%s", text);
	else
		log_debug("%s", text);
}

/* While the engine sends a message, the library may find that the client has left, and tell us. */
static int vdma_make_lock_recursive(void)
{
	pthread_mutex_t *lock = &port.device.bar0.engine.env.lock;
	pthread_mutexattr_t kind;
	int error = pthread_mutexattr_init(&kind);

	if (error)
		return -error;
	pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_destroy(lock);
	error = pthread_mutex_init(lock, &kind);
	pthread_mutexattr_destroy(&kind);
	return -error;
}

int vdma_open(const char *path, bool verbose)
{
	int error;

	port.ctx = vfu_create_ctx(VFU_TRANS_SOCK, path, LIBVFIO_USER_FLAG_ATTACH_NB, NULL,
				  VFU_DEV_TYPE_PCI);
	if (!port.ctx || vfu_setup_log(port.ctx, vdma_log, verbose ? LOG_DEBUG : LOG_ERR))
		return -errno;
	error = config_open();
	if (!error)
		error = irq_open();
	if (!error)
		error = port_dma_open();
	if (!error)
		error = device_open(&port.device, DEVICE_FULL, &port.irq, &port.dma);
	if (!error)
		error = vdma_make_lock_recursive();
	if (!error)
		error = vdma_open_regions();
	if (!error)
		error = vdma_open_callbacks();
	if (!error && vfu_realize_ctx(port.ctx))
		error = -errno;
	if (!error)
		config_keep();
	return error;
}

void vdma_close(void)
{
	vfu_destroy_ctx(port.ctx);
	device_doorbell_detach(&port.device.doorbell);
	device_close(&port.device);
	port_dma_close();
}

/* Milliseconds until the slots want to run, or -1. */
static int vdma_due(void)
{
	uint64_t due = device_due(&port.device), now = clock_now();

	if (due == CLOCK_NEVER)
		return -1;
	return due > now ? (int)(due - now) : 0;
}

bool vdma_wait(int wakeup, int most_ms)
{
	int due = vdma_due();
	struct pollfd fds[] = {
		{ .fd = vfu_get_poll_fd(port.ctx),
		  .events = port.quiescing ? POLLRDHUP : POLLIN },
		{ .fd = wakeup, .events = POLLIN },
	};

	if (due < 0 || (most_ms >= 0 && most_ms < due))
		due = most_ms;
	return poll(fds, 2, due) > 0 && fds[0].revents;
}

void vdma_step(void)
{
	if (port.quiescing)
		device_abort(&port.device);
	else if (!port.attached)
		port.attached = vfu_attach_ctx(port.ctx) == 0;
	else if (vfu_run_ctx(port.ctx) < 0 && errno != EBUSY && errno != ENOTCONN) {
		log_debug("vfu_run_ctx: %s", strerror(errno));
		/* Without a client that is the listening socket. */
		if (port.attached)
			shutdown(vfu_get_poll_fd(port.ctx), SHUT_RDWR);
	}
}

void vdma_settle(void)
{
	device_run(&port.device);
	if (!port.quiescing || port_dma_drain())
		return;
	port.quiescing = false;
	vfu_device_quiesced(port.ctx, 0);
	device_run(&port.device);
}
