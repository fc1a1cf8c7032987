/* SPDX-License-Identifier: BSD-3-Clause */
/* server_instance.c - see server_instance.h. */
#include "server_instance.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "fault.h"
#include "log.h"

/* Header, fixed part of an access, and slack: what a message may have beside its data. */
#define SERVER_MESSAGE_EXTRA (16 + 16 + 2048)
/* In ms: threads have that long to come back before they are fenced, and then before they are
 * given up. A chunk takes microseconds. */
#define SERVER_T_WIND 1000u

static void server_instance_wire(struct server_instance *instance,
				 const struct server_options *options)
{
	instance->main.instance = instance;
	instance->twin.instance = instance;
	instance->wake.instance = instance;
	instance->version.offer = &options->offer;
	instance->version.session = &instance->session;
	instance->owners[COMMANDS_VERSION] = &instance->version;
	instance->owners[COMMANDS_DMA] = &instance->dma;
	instance->owners[COMMANDS_PRI] = &instance->dma.pri;
	instance->owners[COMMANDS_IRQ] = &instance->irq;
	instance->owners[COMMANDS_REGION] = &instance->device.table;
	instance->owners[COMMANDS_DEVICE] = &instance->device;
	instance->feature.migration = &instance->device.migration;
	instance->feature.dirty = &instance->dma.dirty;
	instance->owners[COMMANDS_FEATURE] = &instance->feature;
	instance->owners[COMMANDS_MIGRATION] = &instance->device.migration;
	instance->dispatch = (struct dispatch){
		.commands = commands_table,
		.count = COMMANDS_COUNT,
		.max_msg_fds = options->offer.max_msg_fds,
		.session = &instance->session,
		.owners = instance->owners,
	};
}

/* The interrupts of the profile, with what was said of them. */
static void server_instance_set_irqs(struct server_instance *instance,
				     const struct server_options *options)
{
	memcpy(instance->irqs, device_irq_types(options->profile), sizeof(instance->irqs));
	for (int i = 0; i < WIRE_IRQ_INDEX_NUM; i++) {
		if (!instance->irqs[i].count)
			continue;
		instance->irqs[i].flags |= options->with & SERVER_IRQ_FLAGS;
		instance->irqs[i].flags &= ~options->without;
	}
	irq_init(&instance->irq, instance->irqs);
}

/* The device as it is, but for what it was told to do without. */
static void server_instance_leave_out(struct server_instance *instance, uint32_t without)
{
	instance->device.no_reset = without & SERVER_RESET;
	instance->device.migration.no_pre_copy = without & SERVER_PRE_COPY;
	if (without & SERVER_MIGRATION)
		instance->feature.migration = NULL;
	if (without & SERVER_DMA_LOGGING)
		instance->feature.dirty = NULL;
}

int server_instance_open(struct server_instance **out, const struct server_options *options,
			 unsigned int number)
{
	struct server_instance *instance = calloc(1, sizeof(*instance));
	int error;

	if (!instance)
		return -ENOMEM;
	instance->number = number;
	server_instance_wire(instance, options);
	server_instance_set_irqs(instance, options);
	error = dma_init(&instance->dma);
	if (error) {
		free(instance);
		return error;
	}
	dma_set_quotas(&instance->dma, &options->quotas);
	error = device_open(&instance->device, options->profile, &instance->irq, &instance->dma);
	if (error) {
		server_instance_close(instance);
		return error;
	}
	server_instance_leave_out(instance, options->without);
	if (options->offer.viommu.version || options->offer.poc != VERSION_POC_NEVER)
		device_add_viommu(&instance->device, options->offer.viommu.pasid_bits);
	*out = instance;
	return 0;
}

void server_instance_close(struct server_instance *instance)
{
	if (instance->phase == SERVER_WINDING)
		return;
	device_close(&instance->device);
	dma_close(&instance->dma);
	free(instance);
}

/* The largest message: also a client that has not been told our limit may use the default. */
static size_t server_max_message(const struct server_options *options)
{
	size_t data = options->offer.max_data_xfer_size;

	if (data < WIRE_DEFAULT_MAX_DATA_XFER_SIZE)
		data = WIRE_DEFAULT_MAX_DATA_XFER_SIZE;
	return data + SERVER_MESSAGE_EXTRA;
}

void server_instance_begin(struct server_instance *instance, int fd,
			   const struct server_options *options)
{
	session_open(&instance->session, fd, server_max_message(options));
	if (fault_on(FAULT_client_forgets_a_page))
		fault_forget(4096);
	instance->session.t_dma = options->t_dma;
	dma_attach(&instance->dma, &instance->session);
	region_attach(&instance->device.table, &instance->session.limits);
	device_attach(&instance->device, options->dma_threads);
	instance->phase = SERVER_BUSY;
	instance->hung = false;
	instance->fenced = false;
	log_debug("device %u: client connected", instance->number);
}

/* No DMA is under way any more: what the client gave us goes, the device stays as it is. */
static void server_instance_release(struct server_instance *instance)
{
	if (!fault_on(FAULT_mappings_outlive_the_client))
		dma_detach(&instance->dma);
	if (!fault_on(FAULT_eventfds_outlive_the_client))
		irq_detach(&instance->irq);
	device_detach(&instance->device);
	region_attach(&instance->device.table, NULL);
	instance->phase = SERVER_FREE;
}

void server_instance_end(struct server_instance *instance)
{
	if (!instance->fenced)
		instance->since = clock_now();
	instance->hung = false;
	instance->phase = SERVER_WINDING;
	server_instance_wind(instance, instance->since);
	session_close(&instance->session);
	log_debug("device %u: client gone", instance->number);
}

void server_instance_fence(struct server_instance *instance)
{
	device_abort(&instance->device);
	dma_fence(&instance->dma);
	device_interrupt(&instance->device);
	instance->fenced = true;
	instance->since = clock_now();
}

uint64_t server_instance_wind(struct server_instance *instance, uint64_t now)
{
	if (dma_quiesce(&instance->dma, DMA_ENDS) == 0) {
		server_instance_release(instance);
		return CLOCK_NEVER;
	}
	if (!instance->fenced && now >= instance->since + SERVER_T_WIND) {
		log_info("device %u: DMA does not come back, fenced", instance->number);
		server_instance_fence(instance);
	}
	return instance->since + SERVER_T_WIND;
}

bool server_instance_is_lost(const struct server_instance *instance, uint64_t now)
{
	return instance->phase == SERVER_WINDING && instance->fenced &&
	       now >= instance->since + SERVER_T_WIND;
}

void server_instance_retire(struct server_instance **lost, struct server_instance *instance)
{
	unsigned int count = 1;

	instance->next = *lost;
	*lost = instance;
	for (; instance->next; instance = instance->next)
		count++;
	log_info("device %u: DMA never came back, given up with its threads (%u so far)",
		 (*lost)->number, count);
}

void server_instance_reap(struct server_instance **lost)
{
	struct server_instance **link = lost;

	while (*link) {
		struct server_instance *instance = *link;

		if (dma_quiesce(&instance->dma, DMA_ENDS)) {
			link = &instance->next;
			continue;
		}
		*link = instance->next;
		server_instance_release(instance);
		server_instance_close(instance);
	}
}
