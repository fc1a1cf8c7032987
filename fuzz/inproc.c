/* SPDX-License-Identifier: BSD-3-Clause */
/* inproc.c - see inproc.h. */
#include "inproc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "clock.h"
#include "fault.h"
#include "pri.h"
#include "wire_ext.h"

/* Rounds in which a device may go on that works without end. */
#define INPROC_ROUNDS 64
/* Where it begins, in ms; not 0, which is a mistake that nobody would see. */
#define INPROC_START 1000u
/* Looks at what only polling can find out, in one wait. */
#define INPROC_LOOKS 16u

#define INPROC_READS ((uint32_t)EPOLLIN | EPOLLRDHUP)

/*
 * As the program has them without options, but for threads, for mappings and PASIDs: so few that a
 * program can have all of them; and with the vIOMMU extension for those who ask for it.
 */
const struct server_options inproc_options = {
	.fd = -1,
	.devices = INPROC_DEVICES,
	.profile = DEVICE_FULL,
	.offer = {
		.max_msg_fds = 16,
		.max_data_xfer_size = 1u << 20,
		.max_dma_maps = 1u << 10,
		.pgsizes = DMA_PAGE,
		.viommu = {
			.version = WIRE_VIOMMU_VERSION_1,
			.pasid_bits = WIRE_VIOMMU_MAX_PASID_BITS,
			.max_pasids = 16,
			.address_bits = WIRE_VIOMMU_DEFAULT_ADDRESS_BITS,
			.page_requests = PRI_CAPACITY,
			.unmap_range = true,
			.replace = true,
			.backing = true,
		},
	},
	.t_partial = 30000,
	.t_idle = 60000,
	.t_dma = 30000,
	.t_drain = 30000,
	.quotas = {
		.table_bytes = UINT64_C(256) << 20,
		.windows = WINDOW_QUOTA,
		.window_bytes = WINDOW_PAGE_QUOTA * WINDOW_PAGE,
		.dirty_bytes = DIRTY_QUOTA,
	},
};

static void inproc_set_time(struct inproc *inproc, uint64_t now)
{
	inproc->now = now;
	clock_hold(now);
}

int inproc_select_fault(void)
{
	int error = 0;
#ifdef VUC_FAULTS
	const char *names = getenv("VUC_FAULT");
	char *copy = strdup(names ? names : ""), *rest = NULL;

	for (char *name = strtok_r(copy, ",", &rest); name && !error;
	     name = strtok_r(NULL, ",", &rest))
		error = fault_select(name);
	free(copy);
#endif
	return error;
}

int inproc_open(struct inproc *inproc, inproc_events events)
{
	int error = inproc_select_fault();

	memset(inproc, 0, sizeof(*inproc));
	inproc->options = inproc_options;
	inproc->events = events;
	inproc_set_time(inproc, INPROC_START);
	/* Interrupts may be pipes that nobody reads. */
	signal(SIGPIPE, SIG_IGN);
	for (unsigned int i = 0; i < INPROC_DEVICES && !error; i++)
		error = server_instance_open(&inproc->instances[i], &inproc->options, i);
	if (error) {
		inproc_close(inproc);
		return error;
	}
	/* A reset leaves an event behind, which shall be there from the beginning. */
	memset(inproc->used, true, sizeof(inproc->used));
	inproc_renew(inproc, INPROC_ANYTHING);
	return 0;
}

void inproc_close(struct inproc *inproc)
{
	for (unsigned int i = 0; i < INPROC_DEVICES; i++) {
		if (inproc->instances[i])
			server_instance_close(inproc->instances[i]);
		inproc->instances[i] = NULL;
	}
}

bool inproc_is_busy(const struct inproc *inproc, int number)
{
	return inproc->instances[number]->phase == SERVER_BUSY;
}

/* What the main socket has, of what the server would ask for (server.c). */
static uint32_t inproc_main_events(const struct inproc *inproc,
				   const struct server_instance *instance)
{
	const struct session *session = &instance->session;
	uint32_t events = inproc->events(&session->transport);

	if (session->deferred && instance->hung)
		return 0;
	if (session->phase == SESSION_CLOSING || session->deferred ||
	    !transport_takes_more(&session->transport))
		events &= ~INPROC_READS;
	return events;
}

static uint32_t inproc_twin_events(const struct inproc *inproc,
				   const struct server_instance *instance)
{
	const struct session *session = &instance->session;
	uint32_t events = session->twinned ? inproc->events(&session->twin) : 0;

	if (session->phase == SESSION_CLOSING || !transport_takes_more(&session->twin))
		events &= ~INPROC_READS;
	return events;
}

static void inproc_settle(struct server_instance *instance)
{
	if (server_is_over(&instance->session))
		server_instance_end(instance);
}

/* What the sockets of one instance have for it; whether there was something. */
static bool inproc_turn(struct inproc *inproc, struct server_instance *instance)
{
	uint32_t events;
	bool turned = false;

	if (instance->phase != SERVER_BUSY)
		return false;
	events = inproc_main_events(inproc, instance);
	if (events) {
		server_serve(instance, events);
		inproc_settle(instance);
		turned = true;
	}
	if (instance->phase == SERVER_BUSY && instance->session.twinned &&
	    inproc_twin_events(inproc, instance)) {
		server_serve_twin(instance);
		inproc_settle(instance);
		turned = true;
	}
	return turned;
}

/* Time has come for one instance; when it comes next. */
static uint64_t inproc_tick(struct inproc *inproc, struct server_instance *instance)
{
	uint64_t next;

	if (instance->phase == SERVER_WINDING)
		return server_instance_wind(instance, inproc->now);
	if (instance->phase == SERVER_FREE)
		return CLOCK_NEVER;
	server_advance(instance, inproc->now);
	inproc_settle(instance);
	if (instance->phase == SERVER_BUSY &&
	    server_deadline(instance, &inproc->options) <= inproc->now && server_expire(instance))
		server_instance_end(instance);
	if (instance->phase != SERVER_BUSY)
		return inproc->now;
	next = server_deadline(instance, &inproc->options);
	next = server_earlier(next, session_expire(&instance->session, inproc->now));
	return server_earlier(next, device_due(&instance->device));
}

/* Does what can be done now; when there will be more to do. */
static uint64_t inproc_run(struct inproc *inproc)
{
	uint64_t next = 0;
	bool turned = true;

	for (int round = 0; round < INPROC_ROUNDS && (turned || next <= inproc->now); round++) {
		next = CLOCK_NEVER;
		turned = false;
		for (unsigned int i = 0; i < INPROC_DEVICES; i++)
			next = server_earlier(next, inproc_tick(inproc, inproc->instances[i]));
		for (unsigned int i = 0; i < INPROC_DEVICES; i++)
			turned |= inproc_turn(inproc, inproc->instances[i]);
	}
	return next;
}

void inproc_serve(struct inproc *inproc)
{
	inproc_run(inproc);
}

bool inproc_wait(struct inproc *inproc, uint64_t end)
{
	uint64_t next = inproc_run(inproc), look;

	if (inproc->now >= end)
		return false;
	look = inproc->now + (end - inproc->now) / INPROC_LOOKS + 1;
	if (next < look)
		next = look;
	inproc_set_time(inproc, next < end ? next : end);
	inproc_run(inproc);
	return inproc->now < end;
}

/* Whether DMA of a client that has left has to come to its end before the next one is taken. */
static bool inproc_winds(const struct inproc *inproc)
{
	for (unsigned int i = 0; i < INPROC_DEVICES; i++) {
		const struct server_instance *instance = inproc->instances[i];

		if (instance->hung || instance->phase == SERVER_WINDING)
			return true;
	}
	return false;
}

int inproc_connect(struct inproc *inproc, int fd)
{
	inproc_serve(inproc);
	while (inproc_winds(inproc))
		inproc_wait(inproc, inproc->now + inproc->options.t_drain);
	for (int i = 0; i < INPROC_DEVICES; i++) {
		if (inproc->instances[i]->phase != SERVER_FREE)
			continue;
		server_instance_begin(inproc->instances[i], fd, &inproc->options);
		inproc->used[i] = true;
		return i;
	}
	return -EBUSY;
}

static void inproc_forget_unmaps(struct device_engine *engine)
{
	memset(&engine->env.events, 0, sizeof(engine->env.events));
	engine->env.counters[COUNTER_UNMAPS] = 0;
	device_engine_event(engine, DEVICE_EVENT_RESET);
}

static void inproc_renew_device(struct device *device, enum inproc_traces traces)
{
	switch (traces) {
	case INPROC_NOTHING:
		break;
	case INPROC_UNMAPS:
		inproc_forget_unmaps(&device->bar0.engine);
		break;
	case INPROC_ANYTHING:
		device_reset(device);
		break;
	}
}

void inproc_renew(struct inproc *inproc, enum inproc_traces traces)
{
	inproc_serve(inproc);
	while (inproc_winds(inproc))
		inproc_wait(inproc, inproc->now + inproc->options.t_drain);
	for (unsigned int i = 0; i < INPROC_DEVICES; i++) {
		if (inproc->used[i])
			inproc_renew_device(&inproc->instances[i]->device, traces);
		inproc->renewed[i] = inproc->used[i];
		inproc->used[i] = false;
	}
	inproc_set_time(inproc, INPROC_START);
}
