/* SPDX-License-Identifier: BSD-3-Clause */
/* model_dma.c - DMA_MAP and DMA_UNMAP; see model_rule.h and, for what is kept, model_dma.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model_rule.h"

#define MODEL_DMA_LARGE ((uint64_t)1 << 40)	/* a larger range may be too much (DMA-MAP-014) */
#define MODEL_DMA_SURPLUS 8	/* bytes behind the structure that T11 is about */
#define MODEL_DMA_FLAGS (WIRE_DMA_MAP_READ | WIRE_DMA_MAP_WRITE)

/* ---- the tree ---- */

static uint32_t model_dma_rank(uint32_t number)
{
	number *= 0x9e3779b1u;
	number ^= number >> 15;
	number *= 0x85ebca6bu;
	number ^= number >> 13;
	return number | 1;
}

/* A node that is not in the tree. 0 without memory, or when there are too many. */
static uint32_t model_dma_take(struct model_dma *dma)
{
	uint32_t number = dma->free;

	if (number) {
		dma->free = dma->node[number].left;
		return number;
	}
	if (dma->used + 1 >= dma->room) {
		uint32_t room = dma->room ? dma->room * 2 : 16;
		struct model_dma_node *larger;

		if (room > MODEL_DMA_MAPS)
			return 0;
		larger = realloc(dma->node, room * sizeof(*larger));
		if (!larger)
			return 0;
		dma->node = larger;
		dma->room = room;
	}
	return ++dma->used;
}

struct model_dma_node *model_dma_before(const struct model_dma *dma, uint64_t address)
{
	struct model_dma_node *found = NULL;

	for (uint32_t at = dma->root; at;) {
		struct model_dma_node *node = &dma->node[at];

		if (node->address <= address) {
			found = node;
			at = node->right;
		} else {
			at = node->left;
		}
	}
	return found;
}

struct model_dma_node *model_dma_over(const struct model_dma *dma, uint64_t address, uint64_t last)
{
	struct model_dma_node *node = model_dma_before(dma, last);

	return node && node->last >= address ? node : NULL;
}

/* Divide the tree `from` into what begins before `address` and the rest. */
static void model_dma_split(struct model_dma *dma, uint32_t from, uint64_t address, uint32_t *low,
			    uint32_t *high)
{
	while (from) {
		struct model_dma_node *node = &dma->node[from];

		if (node->address < address) {
			*low = from;
			low = &node->right;
			from = node->right;
		} else {
			*high = from;
			high = &node->left;
			from = node->left;
		}
	}
	*low = 0;
	*high = 0;
}

/* Make one tree of two, of which all of `low` stands before all of `high`. */
static void model_dma_join(struct model_dma *dma, uint32_t *place, uint32_t low, uint32_t high)
{
	while (low && high) {
		if (dma->node[low].rank > dma->node[high].rank) {
			*place = low;
			place = &dma->node[low].right;
			low = *place;
		} else {
			*place = high;
			place = &dma->node[high].left;
			high = *place;
		}
	}
	*place = low ? low : high;
}

/* The link that leads to where a node with this address and rank belongs. */
static uint32_t *model_dma_place(struct model_dma *dma, uint64_t address, uint32_t rank)
{
	uint32_t *place = &dma->root;

	while (*place && dma->node[*place].rank >= rank && dma->node[*place].address != address) {
		struct model_dma_node *node = &dma->node[*place];

		place = node->address < address ? &node->right : &node->left;
	}
	return place;
}

void model_dma_add(struct model_dma *dma, uint64_t address, uint64_t last, uint32_t flags)
{
	uint32_t number = model_dma_take(dma);
	struct model_dma_node *node;
	uint32_t *place;
	uint32_t below;

	if (!number) {
		dma->lost = true;
		return;
	}
	node = &dma->node[number];
	node->address = address;
	node->last = last;
	node->flags = flags;
	node->rank = model_dma_rank(number);
	place = model_dma_place(dma, address, node->rank);
	below = *place;
	*place = number;
	model_dma_split(dma, below, address, &node->left, &node->right);
	dma->count++;
}

void model_dma_remove(struct model_dma *dma, uint64_t address)
{
	uint32_t *place = &dma->root;
	struct model_dma_node *node;
	uint32_t number;

	while (*place && dma->node[*place].address != address) {
		node = &dma->node[*place];
		place = node->address < address ? &node->right : &node->left;
	}
	number = *place;
	if (!number)
		return;
	node = &dma->node[number];
	model_dma_join(dma, place, node->left, node->right);
	node->rank = 0;
	node->left = dma->free;
	dma->free = number;
	dma->count--;
}

/* ---- what is not known ---- */

bool model_dma_doubtful(const struct model_dma *dma, uint64_t address, uint64_t last)
{
	for (uint32_t i = 0; i < dma->ndoubts; i++)
		if (dma->doubt[i].address <= last && dma->doubt[i].last >= address)
			return true;
	return false;
}

void model_dma_settle(struct model_dma *dma, uint64_t address, uint64_t last)
{
	for (uint32_t i = 0; i < dma->ndoubts;) {
		if (dma->doubt[i].address <= last && dma->doubt[i].last >= address)
			dma->doubt[i] = dma->doubt[--dma->ndoubts];
		else
			i++;
	}
}

void model_dma_doubt(struct model_dma *dma, uint64_t address, uint64_t last)
{
	if (dma->ndoubts == MODEL_DMA_DOUBTS) {
		dma->lost = true;
		return;
	}
	dma->doubt[dma->ndoubts].address = address;
	dma->doubt[dma->ndoubts++].last = last;
}

/* An unmap that nobody sees done. */
void model_dma_leave(struct model_dma *dma, uint64_t address, uint64_t last)
{
	if (dma->ngone == MODEL_DMA_GONE) {
		dma->gone[0].address = 0;
		dma->gone[0].last = UINT64_MAX;
		return;
	}
	dma->gone[dma->ngone].address = address;
	dma->gone[dma->ngone++].last = last;
}

static bool model_dma_late(const struct model_dma *dma, uint64_t address, uint64_t last)
{
	for (uint32_t i = 0; i < dma->ngone; i++)
		if (dma->gone[i].address <= last && dma->gone[i].last >= address)
			return true;
	return false;
}

void model_dma_answered(struct model *model)
{
	model->dma.ngone = 0;
	for (uint32_t i = 0; i < model->viommu.nspaces; i++)
		model->viommu.space[i]->dma.ngone = 0;
}

void model_dma_free(struct model *model)
{
	free(model->dma.node);
	memset(&model->dma, 0, sizeof(model->dma));
}

void model_dma_reset(struct model *model, enum model_outcome outcome)
{
	if (outcome != MODEL_ERROR && !model_strict(model, MODEL_M2) && !model->viommu.on)
		model->dma.lost = true;
}

bool model_dma_reaches(const struct model *model, uint64_t *address, uint64_t last,
		       uint32_t access)
{
	return model->dma.lost || model_dma_lets(&model->dma, address, last, access);
}

bool model_dma_lets(const struct model_dma *dma, uint64_t *address, uint64_t last, uint32_t access)
{
	if (model_dma_doubtful(dma, *address, last) || model_dma_late(dma, *address, last))
		return true;
	for (;;) {
		const struct model_dma_node *node = model_dma_before(dma, *address);

		if (!node || node->last < *address || !(node->flags & access))
			return false;
		if (node->last >= last)
			return true;
		*address = node->last + 1;
	}
}

bool model_mapping(const struct model *model, uint32_t index, uint64_t *address, uint64_t *size)
{
	const struct model_dma *dma = &model->dma;

	if (index >= dma->count)
		return false;
	for (uint32_t i = 1; i <= dma->used; i++) {
		const struct model_dma_node *node = &dma->node[i];

		if (!node->rank || index--)
			continue;
		*address = node->address;
		*size = node->last - node->address + 1;
		return true;
	}
	return false;
}

/* ---- DMA_MAP ---- */

/* Is the descriptor, if there is one, a file that can be mapped like this? */
static bool model_dma_backed(const struct model_asked *asked, const struct wire_dma_map *map)
{
	const struct model_fd *fd = &asked->fd;

	if (!asked->nfds)
		return !map->offset;
	return asked->nfds == 1 && fd->kind == MODEL_FD_MEMORY && map->size <= fd->size &&
	       map->offset <= fd->size - map->size &&
	       (fd->writable || !(map->flags & WIRE_DMA_MAP_WRITE));
}

static bool model_dma_aligned(const struct model *model, const struct wire_dma_map *map)
{
	uint64_t page = model->server.pgsizes & -model->server.pgsizes;

	return model->server.known && page &&
	       !((map->address | map->size | map->offset) & (page - 1));
}

bool model_dma_is_good(const struct model *model, const struct model_asked *asked,
		       const struct wire_dma_map *map)
{
	uint32_t known = MODEL_DMA_FLAGS;

	if (model->viommu.on)
		known |= WIRE_DMA_MAP_REPLACE | WIRE_ATTR_PASID_VALID | WIRE_ATTR_PASID_MASK;
	return asked->size == sizeof(*map) && map->argsz == sizeof(*map) &&
	       map->flags & MODEL_DMA_FLAGS && !(map->flags & ~known) && map->size &&
	       map->size < MODEL_DMA_LARGE && map->address + map->size &&
	       model_dma_aligned(model, map) && model_dma_backed(asked, map);
}

/* More mappings than announced? Doubtful ones may or may not count. */
static bool model_dma_full(const struct model *model, bool for_sure)
{
	uint64_t count = model->dma.count + (for_sure ? 0 : model->dma.ndoubts);

	return !model->server.known || count >= model->server.max_dma_maps;
}

static void model_dma_judge_overlap(const struct model *model, const struct wire_dma_map *map,
				    const struct model_dma_node *over, struct model_expect *out)
{
	uint64_t last = map->address + (map->size - 1);

	if (over->address == map->address && over->last == last && !model_strict(model, MODEL_D1))
		return;
	model_refuse(out, "DMA-MAP-005", "[0x%llx, 0x%llx] is mapped already",
		     (unsigned long long)over->address, (unsigned long long)over->last);
}

/*
 * What the file behind the only descriptor forbids, in words; or NULL. A file that may become
 * longer may be long enough when its turn comes.
 */
static const char *model_dma_forbidden(const struct model_asked *asked,
				       const struct wire_dma_map *map)
{
	const struct model_fd *fd = &asked->fd;

	if (asked->nfds != 1 || fd->kind != MODEL_FD_MEMORY)
		return NULL;
	if (map->flags & WIRE_DMA_MAP_WRITE && !fd->writable)
		return "the file can not be written";
	if (fd->fixed && (map->offset > fd->size || map->size > fd->size - map->offset))
		return "the range ends behind the file";
	return NULL;
}

static void model_dma_judge_map(const struct model *model, const struct model_asked *asked,
				struct model_expect *out)
{
	const struct model_dma *dma = &model->dma;
	const struct model_dma_node *over;
	const char *forbidden;
	struct wire_dma_map map;
	bool good;

	if (model->viommu.on) {
		model_space_judge_map(model, asked, out);
		return;
	}
	if (!model_body(asked, &map, sizeof(map)))
		return;
	good = model_dma_is_good(model, asked, &map);
	if (map.size && map.size - 1 > UINT64_MAX - map.address) {
		model_refuse(out, "DMA-MAP-013", "the range wraps around");
		return;
	}
	if (map.flags & ~MODEL_DMA_FLAGS && model_strict(model, MODEL_D2)) {
		model_refuse(out, "DMA-MAP-011", "flags 0x%x are not defined", map.flags);
		return;
	}
	if (map.argsz < sizeof(map) && model_strict(model, MODEL_T19)) {
		model_refuse(out, "DMA-MAP-004", "argsz %u is below the structure", map.argsz);
		return;
	}
	if (dma->lost || !map.size)
		return;
	over = model_dma_over(dma, map.address, map.address + (map.size - 1));
	if (over) {
		model_dma_judge_overlap(model, &map, over, out);
		if (!out->ok && good && !model_dma_full(model, false))
			model_errno(out, EEXIST);
		return;
	}
	if (model->server.known && model_dma_full(model, true)) {
		model_refuse(out, "VER-CAP-005", "max_dma_maps ranges are mapped already");
		return;
	}
	forbidden = model_dma_forbidden(asked, &map);
	if (forbidden) {
		model_refuse(out, "VIO-MAP-004", "%s", forbidden);
		return;
	}
	if (asked->nfds && dma->count >= MODEL_DMA_FILES)
		return;
	if (good && dma->accepts && model_serves(model) && !model_dma_full(model, false) &&
	    !model_dma_doubtful(dma, map.address, map.address + (map.size - 1)))
		model_demand(out, asked->nfds ? "DMA-MAP-002" : "DMA-MAP-001",
			     "the range is free and well-formed");
}

static void model_dma_apply_map(struct model *model, const struct model_asked *asked,
				enum model_outcome outcome, const struct model_message *reply)
{
	struct model_dma *dma = &model->dma;
	struct wire_dma_map map;
	uint64_t last;

	if (model->viommu.on) {
		model_space_apply_map(model, asked, outcome, reply);
		return;
	}
	if (outcome == MODEL_ERROR || dma->lost || !model_body(asked, &map, sizeof(map)))
		return;
	if (outcome == MODEL_OK)
		dma->accepts = true;
	if (!map.size) {
		dma->empties = true;
		return;
	}
	last = map.address + (map.size - 1);
	if (last < map.address || model_dma_over(dma, map.address, last)) {
		dma->lost = true;	/* it may count twice, or for nothing */
		return;
	}
	if (outcome == MODEL_UNKNOWN) {
		model_dma_doubt(dma, map.address, last);
		return;
	}
	model_dma_settle(dma, map.address, last);
	model_dma_add(dma, map.address, last, map.flags);
}

const struct model_rule model_dma_map_rule = {
	.shorter = "DMA-MAP-003",
	.judge = model_dma_judge_map,
	.apply = model_dma_apply_map,
};

/* ---- DMA_UNMAP ---- */

/* The mapping that is exactly this range. */
static const struct model_dma_node *model_dma_exact(const struct model_dma *dma,
						    const struct wire_dma_unmap *unmap)
{
	const struct model_dma_node *node = model_dma_before(dma, unmap->address);

	return node && node->address == unmap->address && unmap->size &&
	       node->last - node->address == unmap->size - 1 ? node : NULL;
}

/* A range that may be mapped exactly like this: its place among the doubts, ndoubts if none is. */
static uint32_t model_dma_exact_doubt(const struct model_dma *dma,
				      const struct wire_dma_unmap *unmap)
{
	uint32_t i = 0;

	while (i < dma->ndoubts &&
	       (!unmap->size || dma->doubt[i].address != unmap->address ||
		dma->doubt[i].last - dma->doubt[i].address != unmap->size - 1))
		i++;
	return i;
}

static void model_dma_judge_unmap(const struct model *model, const struct model_asked *asked,
				  struct model_expect *out)
{
	const struct model_dma *dma = &model->dma;
	struct wire_dma_unmap unmap;

	if (model->viommu.on) {
		model_space_judge_unmap(model, asked, out);
		return;
	}
	if (!model_body(asked, &unmap, sizeof(unmap)))
		return;
	if (out->max_size > sizeof(unmap))
		out->max_size = sizeof(unmap);
	if (dma->lost || unmap.flags || (!unmap.size && dma->empties))
		return;
	if (model_dma_exact(dma, &unmap)) {
		uint32_t ignored = model_strict(model, MODEL_T11) ? MODEL_DMA_SURPLUS : 0;

		if (unmap.argsz >= sizeof(unmap) && unmap.argsz <= MODEL_LARGE &&
		    model_serves(model) && asked->size - sizeof(unmap) <= ignored)
			model_demand(out, "DMA-UNMAP-001", "the range is mapped like this");
	} else if (model_dma_exact_doubt(dma, &unmap) == dma->ndoubts) {
		model_refuse(out, "DMA-UNMAP-003", "no mapping is 0x%llx, 0x%llx bytes",
			     (unsigned long long)unmap.address, (unsigned long long)unmap.size);
	}
}

static void model_dma_check_unmap(struct model *model, const struct model_asked *asked,
				  const struct model_message *reply)
{
	struct wire_dma_unmap unmap;
	struct wire_dma_unmap came;
	uint64_t size;

	if (!model_body(asked, &unmap, sizeof(unmap)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	size = unmap.size;
	if (model->viommu.on && !model_space_removed(model, &unmap, &size))
		size = came.size;
	if (came.address != unmap.address || came.size != size || came.flags != unmap.flags)
		model_blame(model, &asked->header,
			    model->viommu.on ? "VE-UNMAP-004" : "DMA-UNMAP-001",
			    "allowed: the entry of the request, 0x%llx, 0x%llx bytes, flags 0x%x; "
			    "came: 0x%llx, 0x%llx bytes, flags 0x%x",
			    (unsigned long long)unmap.address, (unsigned long long)size,
			    unmap.flags, (unsigned long long)came.address,
			    (unsigned long long)came.size, came.flags);
	if (came.argsz != unmap.argsz && came.argsz != sizeof(came))
		model_blame(model, &asked->header, "DMA-UNMAP-002",
			    "allowed: argsz %u or %zu; came: %u", unmap.argsz, sizeof(came),
			    came.argsz);
}

/* A request that has to succeed if the range is mapped. */
static bool model_dma_is_plain(const struct model_asked *asked, const struct wire_dma_unmap *unmap)
{
	return !unmap->flags && unmap->argsz >= sizeof(*unmap) && asked->size == sizeof(*unmap) &&
	       !asked->nfds;
}

static void model_dma_apply_unmap(struct model *model, const struct model_asked *asked,
				  enum model_outcome outcome, const struct model_message *reply)
{
	struct model_dma *dma = &model->dma;
	struct wire_dma_unmap unmap;
	uint32_t doubt;
	uint64_t last;

	if (model->viommu.on) {
		model_space_apply_unmap(model, asked, outcome, reply);
		return;
	}
	if (dma->lost || !model_body(asked, &unmap, sizeof(unmap)))
		return;
	doubt = model_dma_exact_doubt(dma, &unmap);
	last = unmap.address + (unmap.size - 1);
	if (model_dma_exact(dma, &unmap) && outcome != MODEL_ERROR) {
		model_dma_remove(dma, unmap.address);
		if (outcome == MODEL_OK && !reply)
			model_dma_leave(dma, unmap.address, last);
		if (outcome == MODEL_UNKNOWN)
			model_dma_doubt(dma, unmap.address, last);
	} else if (doubt < dma->ndoubts) {
		/* A range that a good request can not unmap is not mapped; one around it may be. */
		if (outcome == MODEL_OK)
			model_dma_settle(dma, unmap.address, last);
		else if (outcome == MODEL_ERROR && model_dma_is_plain(asked, &unmap))
			dma->doubt[doubt] = dma->doubt[--dma->ndoubts];
	} else if (unmap.flags && outcome != MODEL_ERROR) {
		dma->lost = true;	/* whatever the flag means */
	}
}

const struct model_rule model_dma_unmap_rule = {
	.shorter = "DMA-UNMAP-009",
	.judge = model_dma_judge_unmap,
	.check = model_dma_check_unmap,
	.apply = model_dma_apply_unmap,
};
