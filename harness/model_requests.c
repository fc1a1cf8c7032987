/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_requests.c - DMA_READ and DMA_WRITE, which the server sends; see model_rule.h.
 *
 * What they reach must be mapped, or may be: a DMA_MAP that has gone out may be executed before
 * its reply is seen. Two sockets have no common order, so that with a twin socket a command may
 * have been sent before a reply that was read before it: which ranges it reaches is not judged.
 */
#include <string.h>

#include "model_rule.h"

#define MODEL_REQUESTS_SPACE (WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK)

/* What a request is for: with the vIOMMU extension its count is two fields. */
struct model_requests_part {
	uint64_t address;
	uint64_t count;
	uint32_t attr;		/* 0 without the extension */
	uint32_t access;
};

static struct model_requests_part model_requests_part(const struct model *model, uint16_t command,
						      const struct wire_dma_access *dma)
{
	bool wide = !model->viommu.on;

	return (struct model_requests_part){
		.address = dma->address,
		.count = wide ? dma->count : (uint32_t)dma->count,
		.attr = wide ? 0 : (uint32_t)(dma->count >> 32),
		.access = command == WIRE_DMA_READ ? WIRE_DMA_MAP_READ : WIRE_DMA_MAP_WRITE,
	};
}

/* The last byte of a DMA_MAP that waits for its reply and allows access to `address`. */
static bool model_requests_pending(const struct model *model,
				   const struct model_requests_part *part, uint64_t address,
				   uint64_t *last)
{
	const struct model_asked *asked;

	for (uint32_t i = 0; (asked = model_waiting(model, i)); i++) {
		struct wire_dma_map map;

		if (asked->header.command != WIRE_DMA_MAP || !model_body(asked, &map, sizeof(map)))
			continue;
		*last = map.address + (map.size - 1);
		if (model->viommu.on && (map.flags & MODEL_REQUESTS_SPACE) != part->attr)
			continue;
		if (map.flags & part->access && map.size && address >= map.address &&
		    address <= *last)
			return true;
	}
	return false;
}

/* Does the space of the part let it access all of [*at, last]? */
static bool model_requests_reaches(const struct model *model,
				   const struct model_requests_part *part, uint64_t *at,
				   uint64_t last)
{
	const struct model_dma *dma;
	bool known;

	if (!model->viommu.on)
		return model_dma_reaches(model, at, last, part->access);
	dma = model_space_of(model, part->attr, &known);
	return !known || (dma && model_dma_lets(dma, at, last, part->access));
}

/* Every byte must be in a mapping that allows the access, or in a range that may be one. */
static void model_requests_check_range(struct model *model, const struct model_message *message,
				       const struct model_requests_part *part)
{
	bool read = message->header->command == WIRE_DMA_READ;
	uint64_t last = part->address + (part->count - 1);
	uint64_t at = part->address;

	if (model->client.twin && model->server.twin)
		return;
	while (!model_requests_reaches(model, part, &at, last)) {
		uint64_t end;

		if (!model_requests_pending(model, part, at, &end)) {
			model_found(model, message->header,
				    (struct model_broken){ "request.range", "DMA-RW-003" },
				    "allowed: %s where it is mapped for them; came: 0x%llx, 0x%llx "
				    "bytes, with 0x%llx outside", read ? "reads" : "writes",
				    (unsigned long long)part->address,
				    (unsigned long long)part->count, (unsigned long long)at);
			return;
		}
		if (end >= last)
			return;
		at = end + 1;
	}
}

static void model_requests_check(struct model *model, const struct model_message *message)
{
	bool read = message->header->command == WIRE_DMA_READ;
	struct model_broken broken = { "request.field", read ? "DMA-RW-001" : "DMA-RW-002" };
	struct model_requests_part dma;
	struct wire_dma_access raw;
	uint64_t tail;

	if (!model_reply_at(message, 0, &raw, sizeof(raw)))
		return;
	dma = model_requests_part(model, message->header->command, &raw);
	if (dma.attr && !model_viommu_attr(model, message, dma.attr, 0))
		return;
	tail = read ? 0 : dma.count;
	if (message->size - sizeof(raw) != tail)
		model_found(model, message->header, broken,
			    "allowed: %llu bytes behind the structure; came: %zu",
			    (unsigned long long)tail, message->size - sizeof(raw));
	if (!dma.count || dma.count - 1 > UINT64_MAX - dma.address) {
		broken.requirement = dma.count ? "DMA-RW-003" : "DMA-RW-001";
		model_found(model, message->header, broken,
			    "allowed: a range; came: address 0x%llx, count 0x%llx",
			    (unsigned long long)dma.address, (unsigned long long)dma.count);
		return;
	}
	broken.requirement = "DMA-RW-004";
	if (model->client.known && dma.count > model->client.max_data_xfer_size)
		model_found(model, message->header, broken,
			    "allowed: a count of at most 0x%llx; came: 0x%llx",
			    (unsigned long long)model->client.max_data_xfer_size,
			    (unsigned long long)dma.count);
	model_requests_check_range(model, message, &dma);
}

void model_requests_came(struct model *model, const struct model_message *message)
{
	uint16_t command = message->header->command;
	struct model_request *request = &model->request[model->requests];

	if (command == WIRE_PAGE_REQUEST && model->phase == MODEL_READY)
		model_viommu_came(model, message);
	if (command != WIRE_DMA_READ && command != WIRE_DMA_WRITE)
		return;
	if (model->phase == MODEL_READY)
		model_requests_check(model, message);
	if (message->header->flags & WIRE_NO_REPLY)
		return;
	if (model->requests == MODEL_REQUESTS) {
		model->uncounted++;
		return;
	}
	*request = (struct model_request){
		.id = message->header->id,
		.command = command,
		.channel = message->channel,
	};
	model_reply_at(message, 0, &request->dma, sizeof(request->dma));
	model->requests++;
}

/* Is that the answer which the specification describes? */
static bool model_requests_fits(const struct model *model, const struct model_request *request,
				const struct model_message *message)
{
	bool read = request->command == WIRE_DMA_READ;
	uint64_t tail = read ? model_requests_part(model, WIRE_DMA_READ, &request->dma).count : 0;
	struct wire_dma_access dma;

	if (message->nfds)
		return false;
	if (message->header->flags & WIRE_ERROR)
		return !message->size;
	return model_reply_at(message, 0, &dma, sizeof(dma)) &&
	       dma.address == request->dma.address && dma.count == request->dma.count &&
	       message->size - sizeof(dma) == tail;
}

bool model_requests_answered(struct model *model, const struct model_message *message)
{
	for (uint32_t i = 0; i < model->requests; i++) {
		struct model_request *one = &model->request[i];

		if (one->id != message->header->id || one->command != message->header->command ||
		    one->channel != message->channel)
			continue;
		if (!model_requests_fits(model, one, message))
			model->may_close = true;
		model->requests--;
		memmove(one, one + 1, (model->requests - i) * sizeof(*one));
		return true;
	}
	if (!model->uncounted)
		return false;
	model->uncounted--;
	return true;
}

uint32_t model_requests(const struct model *model)
{
	return model->requests + model->uncounted;
}
