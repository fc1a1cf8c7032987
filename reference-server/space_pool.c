/* SPDX-License-Identifier: BSD-3-Clause */
/* space_pool.c - see space_pool.h. */
#include "space_pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fault.h"

#define SPACE_CHUNK ((size_t)SPACE_CHUNK_PAGES * SPACE_PAGE)
#define SPACE_NODE (SPACE_SPARSE_WIDTH * sizeof(uint64_t))
#define SPACE_NODES (SPACE_PAGE / SPACE_NODE)	/* sparse nodes in a page */
#define SPACE_KEPT 16				/* free pages that keep their memory */
#define SPACE_SPARE 64				/* free pages elsewhere that let a chunk go */

_Static_assert(sizeof(struct space_chunk) <= SPACE_PAGE, "the head of a chunk is one page");

struct space_free {
	struct space_free *next, *previous;
};

/* With AddressSanitizer a free node is out of bounds, but for its links. */
#if defined(__SANITIZE_ADDRESS__)
#define SPACE_POISONS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPACE_POISONS 1
#endif
#endif

#ifdef SPACE_POISONS
void __asan_poison_memory_region(void const volatile *at, size_t size);
void __asan_unpoison_memory_region(void const volatile *at, size_t size);
#define space_poison(at, size) __asan_poison_memory_region(at, size)
#define space_unpoison(at, size) __asan_unpoison_memory_region(at, size)
#else
#define space_poison(at, size) ((void)(at), (void)(size))
#define space_unpoison(at, size) ((void)(at), (void)(size))
#endif

void space_pool_init(struct space_pool *pool, size_t quota)
{
	*pool = (struct space_pool){ .quota = quota };
}

/* --- chunks ----------------------------------------------------------------------------------- */

static bool space_chunk_is_full(const struct space_chunk *chunk)
{
	return chunk->used == SPACE_CHUNK_PAGES - 1;
}

static void space_chunk_unlink(struct space_pool *pool, struct space_chunk *chunk)
{
	if (pool->chunks == chunk)
		pool->chunks = chunk->next == chunk ? NULL : chunk->next;
	chunk->next->previous = chunk->previous;
	chunk->previous->next = chunk->next;
}

/* Into the ring: in front, or at its end. */
static void space_chunk_link(struct space_pool *pool, struct space_chunk *chunk, bool in_front)
{
	struct space_chunk *head = pool->chunks;

	chunk->next = head ? head : chunk;
	chunk->previous = head ? head->previous : chunk;
	chunk->next->previous = chunk;
	chunk->previous->next = chunk;
	if (in_front || !head)
		pool->chunks = chunk;
}

/* Twice the size has an aligned part; the rest goes back, or stays unused where it can not. */
static struct space_chunk *space_chunk_map(void)
{
	size_t size = 2 * SPACE_CHUNK, front, behind;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct space_chunk *chunk;

	if (at == MAP_FAILED)
		return NULL;
	front = -(uintptr_t)at & (SPACE_CHUNK - 1);
	behind = SPACE_CHUNK - front;
	chunk = (struct space_chunk *)(void *)(at + front);
	if (front && munmap(at, front) == 0) {
		at += front;
		size -= front;
	}
	if (behind && munmap(at + size - behind, behind) == 0)
		size -= behind;
	chunk->mapped = at;
	chunk->mapped_size = size;
	chunk->fresh = 1;
	return chunk;
}

static int space_chunk_add(struct space_pool *pool)
{
	struct space_chunk *chunk = space_chunk_map();

	if (!chunk && fault_on(FAULT_no_memory_is_fatal))
		abort();
	if (!chunk)
		return -ENOMEM;
	space_chunk_link(pool, chunk, true);
	pool->page_count += SPACE_CHUNK_PAGES - 1;
	return 0;
}

static size_t space_chunk_dirty(const struct space_chunk *chunk)
{
	size_t count = 0;

	for (unsigned int i = 1; i < chunk->fresh; i++)
		count += chunk->page[i].dirty;
	return count;
}

/* A chunk that can not be unmapped (taking it out would split an area) stays for use. */
static void space_chunk_drop(struct space_pool *pool, struct space_chunk *chunk)
{
	size_t dirty = space_chunk_dirty(chunk);

	space_chunk_unlink(pool, chunk);
	space_unpoison(chunk, SPACE_CHUNK);
	if (munmap(chunk->mapped, chunk->mapped_size) != 0) {
		space_chunk_link(pool, chunk, true);
		return;
	}
	pool->page_count -= SPACE_CHUNK_PAGES - 1;
	pool->dirty -= dirty;
}

void space_pool_clear(struct space_pool *pool)
{
	while (pool->chunks) {
		struct space_chunk *chunk = pool->chunks;

		space_chunk_unlink(pool, chunk);
		space_unpoison(chunk, SPACE_CHUNK);
		munmap(chunk->mapped, chunk->mapped_size);
	}
	space_pool_init(pool, pool->quota);
}

/* --- pages ------------------------------------------------------------------------------------ */

static void *space_page_take(struct space_pool *pool)
{
	struct space_chunk *chunk = pool->chunks;
	unsigned int i = chunk->free;
	char *at;

	if (i)
		chunk->free = chunk->page[i].next;
	else
		i = chunk->fresh++;
	at = (char *)chunk + (size_t)i * SPACE_PAGE;
	space_unpoison(at, SPACE_PAGE);
	if (chunk->page[i].dirty) {
		memset(at, 0, SPACE_PAGE);
		pool->dirty--;
	}
	chunk->page[i] = (struct space_page){ .used = 0 };
	pool->page_count--;
	pool->bytes += chunk->used++ == 0 ? 2 * SPACE_PAGE : SPACE_PAGE;
	if (space_chunk_is_full(chunk))
		pool->chunks = chunk->next;
	return at;
}

static void space_page_give(struct space_pool *pool, void *at)
{
	uintptr_t inside = (uintptr_t)at & (SPACE_CHUNK - 1);
	struct space_chunk *chunk = (struct space_chunk *)(void *)((char *)at - inside);
	unsigned int i = (unsigned int)(inside / SPACE_PAGE);

	if (space_chunk_is_full(chunk)) {
		space_chunk_unlink(pool, chunk);
		space_chunk_link(pool, chunk, true);
	}
	chunk->page[i].dirty = pool->dirty < SPACE_KEPT ||
			       madvise(at, SPACE_PAGE, MADV_DONTNEED) != 0;
	pool->dirty += chunk->page[i].dirty;
	chunk->page[i].next = chunk->free;
	chunk->free = (uint8_t)i;
	space_poison(at, SPACE_PAGE);
	pool->page_count++;
	pool->bytes -= --chunk->used == 0 ? 2 * SPACE_PAGE : SPACE_PAGE;
	if (chunk->used == 0 && pool->page_count >= SPACE_CHUNK_PAGES - 1 + SPACE_SPARE)
		space_chunk_drop(pool, chunk);
}

/* --- nodes ------------------------------------------------------------------------------------ */

static void space_node_link(struct space_pool *pool, void *at)
{
	struct space_free *node = at;

	node->next = pool->nodes;
	node->previous = NULL;
	if (node->next)
		node->next->previous = node;
	pool->nodes = node;
	pool->node_count++;
	space_poison(node + 1, SPACE_NODE - sizeof(*node));
}

static void space_node_unlink(struct space_pool *pool, struct space_free *node)
{
	if (node->previous)
		node->previous->next = node->next;
	else
		pool->nodes = node->next;
	if (node->next)
		node->next->previous = node->previous;
	pool->node_count--;
	space_unpoison(node, SPACE_NODE);
}

int space_pool_reserve(struct space_pool *pool, size_t dense, size_t sparse)
{
	size_t lacking = sparse > pool->node_count ? sparse - pool->node_count : 0;
	size_t pages = dense + (lacking + SPACE_NODES - 1) / SPACE_NODES;
	size_t left = pool->quota > pool->bytes ? pool->quota - pool->bytes : 0;

	if (!pages)
		return 0;
	/* At most one chunk that is not in use yet comes to it, and then its head. */
	if ((pages + 1) * SPACE_PAGE > left)
		return -ENOSPC;
	return pool->page_count < pages ? space_chunk_add(pool) : 0;
}

_Atomic uint64_t *space_pool_take(struct space_pool *pool, bool sparse)
{
	struct space_free *node;

	if (!sparse)
		return space_page_take(pool);
	if (!pool->nodes) {
		char *page = space_page_take(pool);

		for (size_t i = SPACE_NODES; i-- > 0;)
			space_node_link(pool, page + i * SPACE_NODE);
	}
	node = pool->nodes;
	space_node_unlink(pool, node);
	memset(node, 0, SPACE_NODE);
	++*space_pool_used((_Atomic uint64_t *)node);
	return (_Atomic uint64_t *)node;
}

void space_pool_give(struct space_pool *pool, _Atomic uint64_t *node, bool sparse)
{
	char *page = (char *)node - ((uintptr_t)node & (SPACE_PAGE - 1));

	if (fault_on(FAULT_nodes_are_not_returned))
		return;
	if (!sparse) {
		space_page_give(pool, page);
		return;
	}
	space_node_link(pool, node);
	if (--*space_pool_used(node) > 0)
		return;
	for (size_t i = 0; i < SPACE_NODES; i++)
		space_node_unlink(pool, (struct space_free *)(void *)(page + i * SPACE_NODE));
	space_page_give(pool, page);
}
