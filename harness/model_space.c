/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_space.c - DMA_MAP and DMA_UNMAP where the vIOMMU extension was negotiated; see model_rule.h
 * and, for what is kept, model_viommu.h. Backing windows are a table like that of a space; which
 * mappings refer to a window is not known, so that its removal may always be refused.
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

/* It has a mapping now, or may have. */
static void model_space_opened(struct model *model, uint32_t attr, enum model_outcome outcome)
{
	struct model_space *space = model_space_at(model, attr >> WIRE_ATTR_PASID_SHIFT);

	if (!(attr & WIRE_ATTR_PASID_VALID) || !space)
		return;
	space->begun = true;
	space->open = space->open || outcome == MODEL_OK;
}

static void model_space_closed(struct model *model, uint32_t attr)
{
	struct model_space *space = model_space_at(model, attr >> WIRE_ATTR_PASID_SHIFT);

	if (attr & WIRE_ATTR_PASID_VALID && space)
		space->open = space->begun = false;
}

void model_space_free(struct model *model)
{
	struct model_viommu *viommu = &model->viommu;

	for (uint32_t i = 0; i < viommu->nspaces; i++) {
		free(viommu->space[i]->dma.node);
		free(viommu->space[i]);
	}
	free(viommu->space);
	free(viommu->backing.node);
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
	bool hazy = model->dma.lost || model->viommu.lost;

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

		count += sure ? space->dma.count > 0 && !space->dma.lost : space->begun;
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
	else if (bits < 64 && !(map->flags & WIRE_DMA_MAP_BACKING) &&
		 (map->address + (map->size - 1)) >> bits)
		model_refuse(out, "VE-MAP-001", "addresses have %u bits", (unsigned int)bits);
	return !out->ok;
}

/* ---- backing windows ---- */

/* A window that is wrong by itself, or a mapping to one. */
static bool model_space_judge_forms(const struct model_asked *asked,
				    const struct wire_dma_map *map, struct model_expect *out)
{
	bool window = map->flags & WIRE_DMA_MAP_BACKING;

	if (window && map->flags & (MODEL_SPACE_PASID | WIRE_DMA_MAP_REPLACE |
				    WIRE_DMA_MAP_INDIRECT))
		model_refuse(out, "VE-BACK-001", "a window with PASID, REPLACE or INDIRECT");
	else if (window && !asked->nfds)
		model_refuse(out, "VE-BACK-001", "a window without descriptor");
	else if (map->flags & WIRE_DMA_MAP_INDIRECT && asked->nfds)
		model_refuse(out, "VE-BACK-003", "INDIRECT with a descriptor");
	return !out->ok;
}

static void model_space_judge_window(const struct model *model, const struct wire_dma_map *map,
				     bool good, struct model_expect *out)
{
	const struct model_dma *backing = &model->viommu.backing;
	const struct model_dma_node *over;
	uint64_t last = map->address + (map->size - 1);

	if (backing->lost || model_dma_doubtful(backing, map->address, last))
		return;
	over = model_dma_over(backing, map->address, last);
	if (!over)
		return;
	model_refuse(out, "VE-BACK-002", "[0x%llx, 0x%llx] is a window already",
		     (unsigned long long)over->address, (unsigned long long)over->last);
	if (good)
		model_errno(out, EEXIST);
}

/* Is the range of the backing space that a mapping refers to surely in no window? */
static bool model_space_judge_indirect(const struct model *model, const struct wire_dma_map *map,
				       struct model_expect *out)
{
	const struct model_dma *backing = &model->viommu.backing;
	uint64_t last = map->offset + (map->size - 1);
	const struct model_dma_node *node;

	if (backing->lost || last < map->offset || model_dma_doubtful(backing, map->offset, last))
		return false;
	node = model_dma_before(backing, map->offset);
	if (!node || node->last < last)
		model_refuse(out, "VE-BACK-003", "no window has [0x%llx, 0x%llx]",
			     (unsigned long long)map->offset, (unsigned long long)last);
	return !out->ok;
}

/* The window of a command that has succeeded, or may have. */
static void model_space_apply_window(struct model *model, const struct wire_dma_map *map,
				     enum model_outcome outcome)
{
	struct model_dma *backing = &model->viommu.backing;
	uint64_t last = map->address + (map->size - 1);

	if (backing->lost)
		return;
	if (!map->size || last < map->address || model_dma_over(backing, map->address, last)) {
		backing->lost = true;
	} else if (outcome == MODEL_UNKNOWN) {
		model_dma_doubt(backing, map->address, last);
	} else {
		model_dma_settle(backing, map->address, last);
		model_dma_add(backing, map->address, last, map->flags & MODEL_SPACE_RIGHTS);
	}
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
	} else if (with && !hazy && !(space && space->begun) &&
		   model_space_count(model, true) >= limits->max_pasids) {
		model_refuse(out, "VE-SPACE-004", "there are max_pasids spaces");
		if (good)
			model_errno(out, ENOSPC);
	} else if (good && !hazy &&
		   model_space_mappings(model, false) < model->server.max_dma_maps &&
		   /* One without mappings may have made room for another (VE-SPACE-009). */
		   (!with || (space && space->open && space->dma.count) ||
		    model_space_count(model, false) < limits->max_pasids)) {
		model_demand(out, with ? "VE-SPACE-003" : "VE-NEG-009",
			     "the range is free and well-formed");
	}
}

/* Files that may be held: each mapping's own, and one for each window. */
static uint64_t model_space_files(const struct model *model)
{
	const struct model_dma *backing = &model->viommu.backing;

	return model_space_mappings(model, false) + backing->count + backing->ndoubts;
}

/* Can nothing but what is mapped be a reason to refuse it? That is not told of INDIRECT. */
static bool model_space_is_good(const struct model *model, const struct model_asked *asked,
				const struct wire_dma_map *map)
{
	return model->dma.accepts && model_dma_is_good(model, asked, map) && model_serves(model) &&
	       !(asked->nfds && (model->viommu.backing.lost ||
				 model_space_files(model) >= MODEL_DMA_FILES));
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
	    model_space_judge_forms(asked, &map, out) ||
	    model_space_judge_range(model, &map, out))
		return;
	if (map.flags & WIRE_DMA_MAP_BACKING) {
		map.flags &= MODEL_SPACE_RIGHTS;
		model_space_judge_window(model, &map, model_space_is_good(model, asked, &map), out);
		return;
	}
	if (map.flags & WIRE_DMA_MAP_INDIRECT && model_space_judge_indirect(model, &map, out))
		return;
	dma = model_space_of(model, map.flags, &sure);
	if (!sure || (dma && model_dma_doubtful(dma, map.address, map.address + (map.size - 1))))
		return;
	good = model_space_is_good(model, asked, &map);
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
				 enum model_outcome outcome, bool seen)
{
	struct model_dma_node *node = model_dma_before(dma, map->address);

	if (!model_space_exact(dma, map->address, map->size)) {
		dma->lost = dma->lost || outcome == MODEL_OK;
		return;
	}
	node->flags = map->flags | (seen ? 0 : node->flags);
}

void model_space_apply_map(struct model *model, const struct model_asked *asked,
			   enum model_outcome outcome, const struct model_message *reply)
{
	struct model_dma *dma;
	struct wire_dma_map map;
	uint64_t last;

	if (outcome == MODEL_ERROR || !model_body(asked, &map, sizeof(map)))
		return;
	if (outcome == MODEL_OK)
		model->dma.accepts = true;
	if (map.flags & WIRE_DMA_MAP_BACKING) {
		model_space_apply_window(model, &map, outcome);
		return;
	}
	dma = model_space_take(model, map.flags);
	if (!dma)
		return;
	last = map.address + (map.size - 1);
	if (map.flags & WIRE_DMA_MAP_REPLACE)
		model_space_replaced(dma, &map, outcome, reply);
	else if (!map.size || last < map.address || model_dma_over(dma, map.address, last))
		dma->lost = true;
	else if (outcome == MODEL_UNKNOWN)
		model_dma_doubt(dma, map.address, last);
	if (map.flags & WIRE_DMA_MAP_REPLACE || dma->lost)
		return;
	model_space_opened(model, map.flags, outcome);
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

static void model_space_judge_unwindow(const struct model *model,
				       const struct wire_dma_unmap *unmap,
				       struct model_expect *out)
{
	const struct model_dma *backing = &model->viommu.backing;

	if (unmap->flags & MODEL_SPACE_PASID)
		model_refuse(out, "VE-BACK-005", "a window has no PASID");
	else if (!backing->lost && unmap->size &&
		 !model_dma_doubtful(backing, unmap->address, unmap->address + unmap->size - 1) &&
		 !model_space_exact(backing, unmap->address, unmap->size))
		model_refuse(out, "VE-UNMAP-001", "no window is 0x%llx, 0x%llx bytes",
			     (unsigned long long)unmap->address, (unsigned long long)unmap->size);
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
		model_space_judge_unwindow(model, &unmap, out);
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
			     enum model_outcome outcome, const struct model_message *reply)
{
	struct wire_dma_unmap unmap;
	struct model_dma *dma;
	uint64_t last;

	if (outcome == MODEL_ERROR || !model_body(asked, &unmap, sizeof(unmap)))
		return;
	if (unmap.flags & WIRE_DMA_UNMAP_BACKING) {
		if (!model->viommu.backing.lost)
			model_space_apply_one(&model->viommu.backing, &unmap, outcome);
		return;
	}
	dma = model_space_take(model, unmap.flags);
	if (!dma)
		return;
	if (!(unmap.flags & MODEL_SPACE_FORMS))
		model_space_apply_one(dma, &unmap, outcome);
	else if (outcome == MODEL_UNKNOWN || !model_space_range(&unmap, &last))
		dma->lost = true;
	else
		model_space_remove_range(dma, unmap.address, last);
	if (outcome == MODEL_OK && !reply && model_space_range(&unmap, &last))
		model_dma_leave(dma, unmap.address, last);
	if (unmap.flags & WIRE_DMA_UNMAP_ALL && outcome == MODEL_OK)
		model_space_closed(model, unmap.flags);
}
