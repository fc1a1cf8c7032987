/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * space.c - see space.h. A treap: a search tree by address and a heap by random priority, which
 * keeps it balanced whatever order the client chooses.
 */
#include "space.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

struct space_node {
	struct space_mapping mapping;
	uint32_t priority;
	struct space_node *left;
	struct space_node *right;
};

void space_init(struct space *space)
{
	space->root = NULL;
	space->count = 0;
	/* From outside, so that no client can aim at a degenerate tree. */
	if (getrandom(&space->random, sizeof(space->random), GRND_NONBLOCK) !=
	    (ssize_t)sizeof(space->random))
		space->random = (uint32_t)time(NULL);
	space->random |= 1;
}

/* Marsaglia's xorshift; the state is never 0. */
static uint32_t space_random(struct space *space)
{
	space->random ^= space->random << 13;
	space->random ^= space->random >> 17;
	space->random ^= space->random << 5;
	return space->random;
}

static void space_free(struct space_node *node)
{
	while (node) {
		struct space_node *right = node->right;

		space_free(node->left);
		free(node);
		node = right;
	}
}

void space_clear(struct space *space)
{
	space_free(space->root);
	space->root = NULL;
	space->count = 0;
}

size_t space_count(const struct space *space)
{
	return space->count;
}

/* Cuts a tree into the mappings below `first` and the rest. */
static void space_split(struct space_node *node, uint64_t first, struct space_node **low,
			struct space_node **high)
{
	while (node) {
		if (node->mapping.range.first < first) {
			*low = node;
			low = &node->right;
			node = node->right;
		} else {
			*high = node;
			high = &node->left;
			node = node->left;
		}
	}
	*low = NULL;
	*high = NULL;
}

/* Joins two trees, all of `low` below all of `high`. */
static struct space_node *space_join(struct space_node *low, struct space_node *high)
{
	struct space_node *root = NULL, **link = &root;

	while (low && high) {
		if (low->priority > high->priority) {
			*link = low;
			link = &low->right;
			low = low->right;
		} else {
			*link = high;
			link = &high->left;
			high = high->left;
		}
	}
	*link = low ? low : high;
	return root;
}

const struct space_mapping *space_find(const struct space *space, struct range range)
{
	const struct space_node *node = space->root;
	const struct space_mapping *found = NULL;

	while (node) {
		if (range_last(node->mapping.range) < range.first) {
			node = node->right;
		} else {
			if (range_overlaps(node->mapping.range, range))
				found = &node->mapping;
			node = node->left;
		}
	}
	return found;
}

int space_insert(struct space *space, const struct space_mapping *mapping)
{
	struct space_node **link = &space->root, *node;

	if (space_find(space, mapping->range))
		return -EEXIST;
	node = malloc(sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->mapping = *mapping;
	node->priority = space_random(space);
	while (*link && (*link)->priority >= node->priority)
		link = (*link)->mapping.range.first < mapping->range.first ? &(*link)->right
									   : &(*link)->left;
	space_split(*link, mapping->range.first, &node->left, &node->right);
	*link = node;
	space->count++;
	return 0;
}

int space_remove(struct space *space, struct range range, struct space_mapping *out)
{
	struct space_node **link = &space->root, *node;

	while (*link && (*link)->mapping.range.first != range.first)
		link = (*link)->mapping.range.first < range.first ? &(*link)->right
								   : &(*link)->left;
	node = *link;
	if (!node || !range_equal(node->mapping.range, range))
		return -ENOENT;
	*out = node->mapping;
	*link = space_join(node->left, node->right);
	free(node);
	space->count--;
	return 0;
}

static void space_walk_node(struct space_node *node, struct range range,
			    void (*visit)(struct space_mapping *mapping, void *arg), void *arg)
{
	if (!node)
		return;
	if (node->mapping.range.first > range.first)
		space_walk_node(node->left, range, visit, arg);
	if (range_overlaps(node->mapping.range, range))
		visit(&node->mapping, arg);
	if (range_last(node->mapping.range) < range_last(range))
		space_walk_node(node->right, range, visit, arg);
}

void space_walk(struct space *space, struct range range,
		void (*visit)(struct space_mapping *mapping, void *arg), void *arg)
{
	space_walk_node(space->root, range, visit, arg);
}
