/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_space.c - DMA_MAP and DMA_UNMAP where the vIOMMU extension was negotiated; see model_rule.h
 * and, for what is kept, model_viommu.h. Messages about backing windows are not judged.
 */
#include <errno.h>
#include <stdlib.h>

#include "model_rule.h"

#define MODEL_SPACE_RIGHTS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)
#define MODEL_SPACE_PASID (WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK)
#define MODEL_SPACE_FORMS (WIRE_DMA_UNMAP_ALL | WIRE_DMA_UNMAP_RANGE | WIRE_DMA_UNMAP_BACKING)

/* ---- the spaces ---- */

static struct model_space *model_space_at(const struct model *model, uint32_t pasid)
{
	for (uint32_t i = 0; i < model->viommu.nspaces; i++)
		if (model->viommu.space[i]->pasid == pasid)
			return model->viommu.space[i];
	return NULL;
}

const struct model_dma *model_space_of(const struct model *model, uint32_t attr, bool *known)
{
	const struct model_space *space;

	*known = !model->dma.lost;
	if (!(attr & WIRE_ATTR_PASID_VALID))
		return &model->dma;
	space = model_space_at(model, attr >> WIRE_ATTR_PASID_SHIFT);
	*known = !model->viommu.lost && !(space && space->dma.lost);
	return space ? &space->dma : NULL;
}

/* The same to be changed, made where it is missing; NULL where it is not known. */
static struct model_dma *model_space_take(struct model *model, uint32_t attr)
{
	uint32_t pasid = attr >> WIRE_ATTR_PASID_SHIFT;
	struct model_viommu *viommu = &model->viommu;
	struct model_space *space = model_space_at(model, pasid);

	if (!(attr & WIRE_ATTR_PASID_VALID))
		return model->dma.lost ? NULL : &model->dma;
	if (viommu->lost || (space && space->dma.lost))
		return NULL;
	if (space)
		return &space->dma;
	if (!viommu->space)
		viommu->space = calloc(MODEL_SPACES, sizeof(*viommu->space));
	space = viommu->space && viommu->nspaces < MODEL_SPACES ? calloc(1, sizeof(*space)) : NULL;
	if (!space) {
		viommu->lost = true;
		return NULL;
	}
	space->pasid = pasid;
	viommu->space[viommu->nspaces++] = space;
	return &space->dma;
}

static void model_space_opened(struct model *model, uint32_t attr, bool open)
{
	struct model_space *space = model_space_at(model, attr >> WIRE_ATTR_PASID_SHIFT);

	if (attr & WIRE_ATTR_PASID_VALID && space)
		space->open = open;
}

void model_space_free(struct model *model)
{
	struct model_viommu *viommu = &model->viommu;

	for (uint32_t i = 0; i < viommu->nspaces; i++) {
		free(viommu->space[i]->dma.node);
		free(viommu->space[i]);
	}
	free(viommu->space);
	viommu->space = NULL;
	viommu->nspaces = 0;
}

/* Mappings over all spaces; those in doubt count unless only what is sure does. */
static uint64_t model_space_mappings(const struct model *model, bool sure)
{
	uint64_t count = model->dma.count + (sure ? 0 : model->dma.ndoubts);

	for (uint32_t i = 0; i < model->viommu.nspaces; i++) {
		const struct model_dma *dma = &model->viommu.space[i]->dma;

		count += dma->count + (sure ? 0 : dma->ndoubts);
	}
	return count;
}

/* Is anything unknown that counts against a limit? */
static bool model_space_hazy(const struct model *model)
{
	bool hazy = model->dma.lost || model->viommu.lost || model->server.viommu.backing;

	for (uint32_t i = 0; i < model->viommu.nspaces; i++)
		hazy = hazy || model->viommu.space[i]->dma.lost;
	return hazy;
}

/*
 * Spaces with a PASID: those that have a mapping for sure, or all that have had one and were not
 * ended by ALL.
 */
static uint64_t model_space_count(const struct model *model, bool sure)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < model->viommu.nspaces; i++) {
		const struct model_space *space = model->viommu.space[i];

		count += sure ? space->dma.count > 0 && !space->dma.lost : space->open;
	}
	return count;
}

/* ---- what is wrong by itself ---- */

static uint64_t model_space_page(const struct model *model)
{
	return model->server.known ? model->server.pgsizes & -model->server.pgsizes : 0;
}

/* Does an attribute word of a client have bits that it may not have? `known`: those that it may. */
static bool model_space_judge_bits(const struct model *model, uint32_t flags, uint32_t known,
				   struct model_expect *out)
{
	const struct model_viommu_limits *limits = &model->server.viommu;

	if (limits->pasid_bits)
		known |= MODEL_SPACE_PASID;
	if (flags & ~known)
		model_refuse(out, flags & ~known & 0xff ? "VE-ATTR-002" : "VE-NEG-006",
			     "bits 0x%x were not negotiated", flags & ~known);
	else if (flags & WIRE_ATTR_PASID_MASK && !(flags & WIRE_ATTR_PASID_VALID))
		model_refuse(out, "VE-ATTR-004", "bits of a PASID without PASID valid");
	else if ((uint64_t)flags >> WIRE_ATTR_PASID_SHIFT >> limits->pasid_bits)
		model_refuse(out, "VE-ATTR-005", "PASID 0x%x has more than %u bits",
			     flags >> WIRE_ATTR_PASID_SHIFT, (unsigned int)limits->pasid_bits);
	return !out->ok;
}

static bool model_space_judge_range(const struct model *model, const struct wire_dma_map *map,
				    struct model_expect *out)
{
	uint64_t page = model_space_page(model);
	uint64_t bits = model->server.viommu.address_bits;

	if (!(map->flags & MODEL_SPACE_RIGHTS))
		model_refuse(out, "VE-MAP-001", "neither readable nor writeable");
	else if (!map->size || map->size - 1 > UINT64_MAX - map->address)
		model_refuse(out, "VE-MAP-001", "the range is empty or wraps around");
	else if (page && (map->address | map->size) & (page - 1))
		model_refuse(out, "VE-MAP-001", "no multiple of a page");
	else if (bits < 64 && (map->address + (map->size - 1)) >> bits)
		model_refuse(out, "VE-MAP-001", "addresses have %u bits", (unsigned int)bits);
	return !out->ok;
}

/* ---- DMA_MAP ---- */

static const struct model_dma_node *model_space_exact(const struct model_dma *dma,
						      uint64_t address, uint64_t size)
{
	const struct model_dma_node *node = dma ? model_dma_before(dma, address) : NULL;

	return node && node->address == address && size && node->last - address == size - 1 ?
		node : NULL;
}

static void model_space_judge_replace(const struct model_dma *dma, const struct wire_dma_map *map,
				      bool good, struct model_expect *out)
{
	if (!model_space_exact(dma, map->address, map->size)) {
		model_refuse(out, "VE-REPL-001", "no mapping is 0x%llx, 0x%llx bytes",
			     (unsigned long long)map->address, (unsigned long long)map->size);
		if (good)
			model_errno(out, ENOENT);
	} else if (good) {
		model_demand(out, "VE-REPL-001", "the range is mapped like this");
	}
}

static void model_space_judge_new(const struct model *model, const struct wire_dma_map *map,
				  bool good, struct model_expect *out)
{
	const struct model_viommu_limits *limits = &model->server.viommu;
	bool with = map->flags & WIRE_ATTR_PASID_VALID, hazy = model_space_hazy(model);
	const struct model_space *space;

	space = with ? model_space_at(model, map->flags >> WIRE_ATTR_PASID_SHIFT) : NULL;
	if (model->server.known && !hazy &&
	    model_space_mappings(model, true) >= model->server.max_dma_maps) {
		model_refuse(out, "VE-MAP-007", "max_dma_maps ranges are mapped already");
	} else if (with && !hazy && !(space && space->open) &&
		   model_space_count(model, true) >= limits->max_pasids) {
		model_refuse(out, "VE-SPACE-004", "there are max_pasids spaces");
		if (good)
			model_errno(out, ENOSPC);
	} else if (good && !hazy &&
		   model_space_mappings(model, false) < model->server.max_dma_maps &&
		   (!with || (space && space->open) ||
		    model_space_count(model, false) < limits->max_pasids)) {
		model_demand(out, with ? "VE-SPACE-003" : "VE-NEG-009",
			     "the range is free and well-formed");
	}
}

void model_space_judge_map(const struct model *model, const struct model_asked *asked,
			   struct model_expect *out)
{
	const struct model_viommu_limits *limits = &model->server.viommu;
	uint32_t known = MODEL_SPACE_RIGHTS | (limits->replace ? WIRE_DMA_MAP_REPLACE : 0) |
			 (limits->backing ? WIRE_DMA_MAP_BACKING | WIRE_DMA_MAP_INDIRECT : 0);
	const struct model_dma_node *over;
	const struct model_dma *dma;
	struct wire_dma_map map;
	bool good, sure;

	if (!model_body(asked, &map, sizeof(map)) ||
	    model_space_judge_bits(model, map.flags, known, out) ||
	    map.flags & (WIRE_DMA_MAP_BACKING | WIRE_DMA_MAP_INDIRECT) ||
	    model_space_judge_range(model, &map, out))
		return;
	dma = model_space_of(model, map.flags, &sure);
	if (!sure || (dma && model_dma_doubtful(dma, map.address, map.address + (map.size - 1))))
		return;
	good = model->dma.accepts && model_dma_is_good(model, asked, &map) && model_serves(model) &&
	       !(asked->nfds && model_space_mappings(model, false) >= MODEL_DMA_FILES);
	if (map.flags & WIRE_DMA_MAP_REPLACE) {
		model_space_judge_replace(dma, &map, good, out);
		return;
	}
	over = dma ? model_dma_over(dma, map.address, map.address + (map.size - 1)) : NULL;
	if (!over) {
		model_space_judge_new(model, &map, good, out);
		return;
	}
	model_refuse(out, "VE-MAP-003", "[0x%llx, 0x%llx] is mapped already",
		     (unsigned long long)over->address, (unsigned long long)over->last);
	if (good && model_space_mappings(model, false) < model->server.max_dma_maps)
		model_errno(out, EEXIST);
}

/* A REPLACE that was not seen to fail: the old rights may hold unless it was seen to succeed. */
static void model_space_replaced(struct model_dma *dma, const struct wire_dma_map *map,
				 enum model_outcome outcome)
{
	struct model_dma_node *node = model_dma_before(dma, map->address);

	if (!model_space_exact(dma, map->address, map->size)) {
		dma->lost = dma->lost || outcome == MODEL_OK;
		return;
	}
	node->flags = map->flags | (outcome == MODEL_UNKNOWN ? node->flags : 0);
}

void model_space_apply_map(struct model *model, const struct model_asked *asked,
			   enum model_outcome outcome)
{
	struct model_dma *dma;
	struct wire_dma_map map;
	uint64_t last;

	if (outcome == MODEL_ERROR || !model_body(asked, &map, sizeof(map)) ||
	    map.flags & WIRE_DMA_MAP_BACKING)
		return;
	if (outcome == MODEL_OK)
		model->dma.accepts = true;
	dma = model_space_take(model, map.flags);
	if (!dma)
		return;
	last = map.address + (map.size - 1);
	if (map.flags & WIRE_DMA_MAP_REPLACE)
		model_space_replaced(dma, &map, outcome);
	else if (!map.size || last < map.address || model_dma_over(dma, map.address, last))
		dma->lost = true;
	else if (outcome == MODEL_UNKNOWN)
		model_dma_doubt(dma, map.address, last);
	if (map.flags & WIRE_DMA_MAP_REPLACE || dma->lost)
		return;
	model_space_opened(model, map.flags, true);
	if (outcome == MODEL_UNKNOWN)
		return;
	model_dma_settle(dma, map.address, last);
	model_dma_add(dma, map.address, last, map.flags & MODEL_SPACE_RIGHTS);
}

/* ---- DMA_UNMAP ---- */

/* The range that RANGE names; false for one that it can not name. */
static bool model_space_range(const struct wire_dma_unmap *unmap, uint64_t *last)
{
	*last = unmap->size ? unmap->address + (unmap->size - 1) : UINT64_MAX;
	return unmap->size ? *last >= unmap->address : !unmap->address;
}

static void model_space_judge_many(const struct model *model, const struct wire_dma_unmap *unmap,
				   bool plain, struct model_expect *out)
{
	uint64_t page = model_space_page(model), last;
	const struct model_dma_node *first, *end;
	const struct model_dma *dma;
	bool sure;

	if (unmap->flags & WIRE_DMA_UNMAP_ALL) {
		if (unmap->address || unmap->size)
			model_refuse(out, "VE-ALL-001", "ALL with an address or a size");
		else if (plain)
			model_demand(out, "VE-UNMAP-003", "ALL can not fail");
		return;
	}
	if (!model_space_range(unmap, &last) ||
	    (page && (unmap->address | unmap->size) & (page - 1))) {
		model_refuse(out, "VE-RANGE-004", "the range wraps, or is no multiple of a page");
		return;
	}
	dma = model_space_of(model, unmap->flags, &sure);
	if (!sure || (dma && model_dma_doubtful(dma, unmap->address, last)))
		return;
	first = dma ? model_dma_before(dma, unmap->address) : NULL;
	end = dma ? model_dma_before(dma, last) : NULL;
	if ((first && first->address < unmap->address && first->last >= unmap->address) ||
	    (end && end->last > last))
		model_refuse(out, "VE-RANGE-003", "an end of the range cuts a mapping");
	else if (plain)
		model_demand(out, "VE-RANGE-001", "no mapping is cut");
}

void model_space_judge_unmap(const struct model *model, const struct model_asked *asked,
			     struct model_expect *out)
{
	const struct model_viommu_limits *limits = &model->server.viommu;
	uint32_t known = WIRE_DMA_UNMAP_ALL | (limits->unmap_range ? WIRE_DMA_UNMAP_RANGE : 0) |
			 (limits->backing ? WIRE_DMA_UNMAP_BACKING : 0);
	const struct model_dma *dma;
	struct wire_dma_unmap unmap;
	bool plain, sure;
	uint32_t form;

	if (!model_body(asked, &unmap, sizeof(unmap)) ||
	    model_space_judge_bits(model, unmap.flags, known, out))
		return;
	form = unmap.flags & MODEL_SPACE_FORMS;
	plain = unmap.argsz >= sizeof(unmap) && unmap.argsz <= MODEL_LARGE && !asked->nfds &&
		asked->size == sizeof(unmap) && model_serves(model);
	if (out->max_size > sizeof(unmap))
		out->max_size = sizeof(unmap);
	if (form & (form - 1)) {
		model_refuse(out, "VE-UNMAP-002", "more than one form");
	} else if (form == WIRE_DMA_UNMAP_BACKING) {
		return;
	} else if (form) {
		model_space_judge_many(model, &unmap, plain, out);
	} else {
		dma = model_space_of(model, unmap.flags, &sure);
		if (!sure || !unmap.size ||
		    (dma && model_dma_doubtful(dma, unmap.address, unmap.address + unmap.size - 1)))
			return;
		if (!model_space_exact(dma, unmap.address, unmap.size))
			model_refuse(out, "VE-UNMAP-001", "no mapping is 0x%llx, 0x%llx bytes",
				     (unsigned long long)unmap.address,
				     (unsigned long long)unmap.size);
		else if (plain)
			model_demand(out, "VE-UNMAP-001", "the range is mapped like this");
	}
}

/* The bytes of the mappings in [first, last]. */
static uint64_t model_space_bytes(const struct model_dma *dma, uint64_t first, uint64_t last)
{
	const struct model_dma_node *node;
	uint64_t bytes = 0;

	while (dma && (node = model_dma_before(dma, last)) && node->address >= first) {
		bytes += node->last - node->address + 1;
		if (!bytes)
			return WIRE_DMA_UNMAP_EVERYTHING;
		if (!node->address)
			break;
		last = node->address - 1;
	}
	return bytes;
}

bool model_space_removed(const struct model *model, const struct wire_dma_unmap *unmap,
			 uint64_t *size)
{
	const struct model_dma *dma;
	uint64_t last;
	bool sure;

	*size = unmap->size;
	if (!(unmap->flags & (WIRE_DMA_UNMAP_ALL | WIRE_DMA_UNMAP_RANGE)))
		return true;
	dma = model_space_of(model, unmap->flags, &sure);
	if (!sure || !model_space_range(unmap, &last) ||
	    (dma && model_dma_doubtful(dma, unmap->address, last)))
		return false;
	*size = model_space_bytes(dma, unmap->address, last);
	return true;
}

static void model_space_remove_range(struct model_dma *dma, uint64_t first, uint64_t last)
{
	const struct model_dma_node *node;

	while ((node = model_dma_before(dma, last)) && node->address >= first)
		model_dma_remove(dma, node->address);
	model_dma_settle(dma, first, last);
}

static void model_space_apply_one(struct model_dma *dma, const struct wire_dma_unmap *unmap,
				  enum model_outcome outcome)
{
	uint64_t last = unmap->address + (unmap->size - 1);

	if (outcome == MODEL_ERROR || !unmap->size)
		return;
	if (model_space_exact(dma, unmap->address, unmap->size)) {
		model_dma_remove(dma, unmap->address);
		if (outcome == MODEL_UNKNOWN)
			model_dma_doubt(dma, unmap->address, last);
	} else if (outcome == MODEL_OK) {
		model_dma_settle(dma, unmap->address, last);
	}
}

void model_space_apply_unmap(struct model *model, const struct model_asked *asked,
			     enum model_outcome outcome)
{
	struct wire_dma_unmap unmap;
	struct model_dma *dma;
	uint64_t last;

	if (outcome == MODEL_ERROR || !model_body(asked, &unmap, sizeof(unmap)) ||
	    unmap.flags & WIRE_DMA_UNMAP_BACKING)
		return;
	dma = model_space_take(model, unmap.flags);
	if (!dma)
		return;
	if (!(unmap.flags & MODEL_SPACE_FORMS))
		model_space_apply_one(dma, &unmap, outcome);
	else if (outcome == MODEL_UNKNOWN || !model_space_range(&unmap, &last))
		dma->lost = true;
	else
		model_space_remove_range(dma, unmap.address, last);
	if (unmap.flags & WIRE_DMA_UNMAP_ALL && outcome == MODEL_OK)
		model_space_opened(model, unmap.flags, false);
}
