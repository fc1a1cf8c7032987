/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space_model.h - a table and a sorted array side by side, driven by bytes.
 *
 * Each step takes its operation and its operands out of the bytes, does it to both, and aborts the
 * program where they differ. For the unit tests the bytes are random, for the fuzzer they are what
 * it likes. Where no byte is left the operands are 0 and the run ends: everything is looked up,
 * taken out, and no memory may be left in use.
 */
#ifndef SPACE_MODEL_H
#define SPACE_MODEL_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"

#define MODEL_MAPPINGS 600
#define MODEL_BYTES (1U << 20)
#define MODEL_MARGIN ((size_t)32 * 4096)	/* so near to its quota ENOSPC is right */
#define MODEL_SLOTS 3

struct model {
	struct hazard_set hazards;
	const uint8_t *data;
	size_t left;
	struct space space;
	struct space_mapping mapping[MODEL_MAPPINGS];	/* in ascending order */
	size_t count;
	uint64_t held[MODEL_SLOTS];	/* pages of the hazards, from held_first on; 0: none */
	uint64_t held_first[MODEL_SLOTS];
};

#define model_check(condition) \
	do { \
		if (!(condition)) { \
			fprintf(stderr, "model: %s:%d: not so: %s\n", __FILE__, __LINE__, \
				#condition); \
			abort(); \
		} \
	} while (0)

static uint64_t model_take(struct model *model, size_t bytes)
{
	uint64_t value = 0;

	while (bytes-- > 0 && model->left > 0) {
		value = value << 8 | *model->data++;
		model->left--;
	}
	return value;
}

/* Places where the parts of the tree meet, and ends of the space; the last are far from each
 * other, so that there are long chains. */
static uint64_t model_page(struct model *model)
{
	static const uint64_t bases[] = {
		0, 0, 512 - 8, (1 << 18) - 64, (UINT64_C(1) << 27) - 4, UINT64_C(77) << 36,
		SPACE_PAGES - (1 << 16),
	};
	uint64_t kind = model_take(model, 1), offset;

	if (kind % 8 == 7)
		return (model_take(model, 1) * UINT64_C(0x9e3779b97f4a7c15)) >> 12;
	offset = model_take(model, 2);
	if (kind & 32)
		offset &= 31;
	if (kind & 64)
		offset <<= 3;
	return (bases[kind % 8] + offset) & (SPACE_PAGES - 1);
}

static uint64_t model_pages(struct model *model)
{
	uint64_t kind = model_take(model, 1), pages = 1 + (kind >> 4);

	switch (kind & 7) {
	case 0:
		return pages << 9;
	case 1:
		return (pages << 9) + model_take(model, 1) - 100;
	case 2:
		return pages << 18;
	case 3:
		return (UINT64_C(1) << model_take(model, 1) % 53) + pages - 8;
	case 4:
		return pages;
	default:
		return 1;
	}
}

/* The first mapping that ends at or behind the page. */
static size_t model_seek(const struct model *model, uint64_t page)
{
	size_t low = 0, high = model->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		const struct space_mapping *mapping = &model->mapping[middle];

		if (mapping->first + mapping->pages - 1 < page)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int model_expect(const struct model *model, const struct space_mapping *new)
{
	size_t i = model_seek(model, new->first);

	if (new->pages == 0 || new->first >= SPACE_PAGES ||
	    new->pages > SPACE_PAGES - new->first ||
	    (!(new->entry & SPACE_MESSAGE) &&
	     space_entry_page(new->entry) + new->pages > SPACE_FILE_PAGES))
		return -EINVAL;
	if (i < model->count && model->mapping[i].first < new->first + new->pages)
		return -EEXIST;
	return model->count == MODEL_MAPPINGS ? -ENOSPC : 0;
}

static void model_insert(struct model *model)
{
	struct space_mapping new = { .first = model_page(model), .pages = model_pages(model) };
	uint64_t bits = model_take(model, 3);
	size_t i = model_seek(model, new.first), bytes = space_bytes(&model->space);
	int error, expected;

	new.entry = space_entry((unsigned int)bits & 0x1e, (unsigned int)(bits >> 5) & 0xfff,
				bits >> 4 << (bits & 8 ? 8 : 0)) & ~(uint64_t)SPACE_FIRST;
	expected = model_expect(model, &new);
	error = space_insert(&model->space, new.first, new.pages, new.entry);
	if (!expected && error == -ENOSPC) {
		model_check(bytes + MODEL_MARGIN > MODEL_BYTES);
		return;
	}
	model_check(error == expected);
	model_check(space_bytes(&model->space) <= MODEL_BYTES);
	if (error)
		return;
	memmove(&model->mapping[i + 1], &model->mapping[i],
		(model->count - i) * sizeof(model->mapping[0]));
	new.entry |= SPACE_FIRST;
	model->mapping[i] = new;
	model->count++;
}

static void model_remove(struct model *model, uint64_t first, uint64_t pages)
{
	size_t i = model_seek(model, first);
	const struct space_mapping *mapping = &model->mapping[i];
	bool exact = i < model->count && mapping->first == first && mapping->pages == pages;
	uint64_t entry;

	model_check(space_remove(&model->space, first, pages, &entry) == (exact ? 0 : -ENOENT));
	if (!exact)
		return;
	model_check(entry == mapping->entry);
	model->count--;
	memmove(&model->mapping[i], &model->mapping[i + 1],
		(model->count - i) * sizeof(model->mapping[0]));
}

/* Mostly a mapping that there is, as it is or almost. */
static void model_remove_some(struct model *model)
{
	uint64_t kind = model_take(model, 1), pick = model_take(model, 2);
	struct space_mapping mapping;

	if (!model->count || (kind & 15) == 15) {
		uint64_t first = model_page(model);

		model_remove(model, first, model_pages(model));
		return;
	}
	mapping = model->mapping[pick % model->count];
	switch (kind & 15) {
	case 0:
		mapping.first++;
		break;
	case 1:
		mapping.first--;
		break;
	case 2:
		mapping.pages++;
		break;
	case 3:
		mapping.pages--;
		break;
	case 4:
		mapping.first++;
		mapping.pages--;
		break;
	case 5:
		mapping.pages += model_pages(model);
		break;
	default:
		break;
	}
	model_remove(model, mapping.first, mapping.pages);
}

/* Of a mapping that there is, or with other pages. */
static void model_replace_some(struct model *model)
{
	uint64_t kind = model_take(model, 1), pick = model_take(model, 2), old;
	uint64_t bits = model_take(model, 3), file_page = bits >> 4 << (bits & 8 ? 18 : 0);
	uint64_t entry = space_entry((unsigned int)bits & 0x16, (unsigned int)bits & 0xfff,
				     file_page);
	struct space_mapping *mapping;
	size_t bytes = space_bytes(&model->space);
	int expected = 0;

	if (!model->count)
		return;
	mapping = &model->mapping[pick % model->count];
	if (!(kind & 7))
		expected = -ENOENT;
	else if (!(entry & SPACE_MESSAGE) && file_page + mapping->pages > SPACE_FILE_PAGES)
		expected = -EINVAL;
	model_check(space_replace(&model->space, mapping->first, mapping->pages + !(kind & 7),
				  entry, &old) == expected);
	model_check(space_bytes(&model->space) == bytes);
	if (expected)
		return;
	model_check(old == mapping->entry);
	mapping->entry = entry | SPACE_FIRST;
}

static void model_find_at(struct model *model, uint64_t page, uint64_t max)
{
	size_t i = model_seek(model, page);
	const struct space_mapping *mapping = &model->mapping[i];
	uint64_t run, entry = space_find(&model->space, page, max, &run), offset, rest;

	if (i == model->count || mapping->first > page) {
		model_check(entry == 0 && run == 0);
		return;
	}
	offset = page - mapping->first;
	rest = mapping->pages - offset;
	model_check(run == (rest < max ? rest : max));
	model_check(entry == (offset ? mapping->entry - SPACE_FIRST : mapping->entry) +
				     (offset << 26));
}

/* The next mapping is found by whoever looks as far as it, and by nobody else. */
static void model_overlap_at(struct model *model, uint64_t page, const struct space_mapping *next)
{
	uint64_t last = next->first > page ? next->first : page;
	struct space_mapping found;

	model_check(space_overlap(&model->space, page, last, &found));
	model_check(found.first == next->first && found.pages == next->pages);
	if (last > page)
		model_check(!space_overlap(&model->space, page, last - 1, &found));
}

static void model_next_at(struct model *model, uint64_t page)
{
	size_t i = model_seek(model, page);
	struct space_mapping found;

	if (!space_next(&model->space, page, &found)) {
		model_check(i == model->count);
		return;
	}
	model_check(i < model->count);
	model_check(found.first == model->mapping[i].first);
	model_check(found.pages == model->mapping[i].pages);
	model_check(found.entry == model->mapping[i].entry);
	model_overlap_at(model, page, &found);
}

/* Publishes or clears: nodes that are taken out meanwhile have to wait, and nothing else. */
static void model_hold(struct model *model)
{
	unsigned int slot = (unsigned int)model_take(model, 1) % MODEL_SLOTS;
	uint64_t first = model_page(model), pages = model_pages(model);

	if (model->held[slot]) {
		hazard_clear(&model->hazards, slot);
		model->held[slot] = 0;
		return;
	}
	model->held[slot] = pages ? pages : 1;
	model->held_first[slot] = first;
	hazard_publish(&model->hazards, slot, first, first + model->held[slot] - 1);
}

static void model_check_holds(struct model *model)
{
	uint64_t page = model_page(model), pages = model_pages(model);
	uint64_t last = page + (pages ? pages : 1) - 1;
	bool expected = false;

	for (size_t i = 0; i < MODEL_SLOTS; i++) {
		expected |= model->held[i] && model->held_first[i] <= last &&
			    model->held_first[i] + model->held[i] - 1 >= page;
	}
	model_check(hazard_overlaps(&model->hazards, page, last) == expected);
}

static void model_step(struct model *model)
{
	uint64_t operation = model_take(model, 1) % 16, page;

	if (operation < 6) {
		model_insert(model);
	} else if (operation < 9) {
		model_remove_some(model);
	} else if (operation < 10) {
		model_replace_some(model);
	} else if (operation < 13) {
		page = model_page(model);
		model_find_at(model, page, 1 + model_pages(model));
	} else if (operation == 13) {
		model_next_at(model, model_page(model));
	} else if (operation == 14) {
		model_hold(model);
	} else {
		model_check_holds(model);
		space_reclaim(&model->space);
	}
	model_check(space_count(&model->space) == model->count);
}

static void model_end(struct model *model)
{
	uint64_t page = 0;

	for (size_t i = 0; i < model->count; i++) {
		const struct space_mapping mapping = model->mapping[i];

		model_next_at(model, page);
		page = mapping.first + mapping.pages;
		model_find_at(model, mapping.first, SPACE_PAGES);
		model_find_at(model, page - 1, 2);
	}
	model_next_at(model, page);
	for (unsigned int i = 0; i < MODEL_SLOTS; i++)
		hazard_clear(&model->hazards, i);
	while (model->count) {
		const struct space_mapping *last = &model->mapping[model->count - 1];

		model_remove(model, last->first, last->pages);
	}
	model_check(space_reclaim(&model->space) == 0);
	model_check(space_bytes(&model->space) == 0);
}

/* Runs the bytes to their end. */
static void model_run(const uint8_t *data, size_t size)
{
	struct model *model = calloc(1, sizeof(*model));
	struct space_quota quota = { .mappings = MODEL_MAPPINGS, .bytes = MODEL_BYTES };

	model_check(model && hazard_init(&model->hazards) == 0);
	model->data = data;
	model->left = size;
	space_init(&model->space, &model->hazards, quota);
	while (model->left > 0)
		model_step(model);
	model_end(model);
	space_clear(&model->space);
	hazard_end(&model->hazards);
	free(model);
}

#endif
