/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * exec_guard.c - canaries where something was unmapped; see exec_state.h.
 *
 * When DMA_UNMAP has succeeded, and no mapping that there may be shows the same bytes of the file,
 * nobody may write them any more (DMA-UNMAP-006): they are filled, and looked at before the program
 * passes or alters that file again, and at the end of the run. What is not known to be unmapped is
 * left alone: files that go anywhere but with a plain DMA_MAP, whose mappings end without a reply,
 * or on a connection that is out of step.
 */
#include "exec_state.h"

#include <stdio.h>

#include "wire.h"

#define EXEC_GUARDED (64u << 10)	/* bytes of a mapping, from its front on */
#define EXEC_CANARY 0x5au
#define EXEC_HEADER ((1u << PROGRAM_HEADER) - 1)	/* the fields of it in `set` */

static uint64_t exec_guard_size(uint64_t size)
{
	return size < EXEC_GUARDED ? size : EXEC_GUARDED;
}

static void exec_guard_check(struct exec *exec, const struct exec_guard *guard)
{
	uint64_t first = 0;
	int64_t count = arena_differs(guard->file, guard->offset, guard->size, EXEC_CANARY, &first);
	struct model_finding finding;
	char text[200];

	if (count <= 0)
		return;
	snprintf(text, sizeof(text), "behind the reply to the unmap %lld bytes of the file at its"
		 " offset 0x%llx were written, the first at 0x%llx", (long long)count,
		 (unsigned long long)guard->offset, (unsigned long long)first);
	verdict_finding(&finding, "effect", "DMA-UNMAP-006", WIRE_DMA_UNMAP, text);
	exec_blame(exec, guard->connection, &finding, guard->step);
}

/* Room for one more; NULL when there is none, and nothing is guarded any more. */
static struct exec_guard *exec_guard_new(struct exec *exec)
{
	for (uint32_t i = 0; i < exec->nguards; i++)
		if (!exec->guard[i].file)
			return &exec->guard[i];
	if (exec->nguards < EXEC_GUARDS)
		return &exec->guard[exec->nguards++];
	exec->unguarded = true;
	return NULL;
}

static bool exec_guard_is_lost(const struct exec *exec, const struct arena_fd *file)
{
	for (uint32_t i = 0; i < exec->nguards; i++)
		if (exec->guard[i].file == file && !exec->guard[i].size)
			return true;
	return exec->unguarded;
}

/* What becomes of its mappings is not known any more. */
static void exec_guard_lose(struct exec *exec, struct arena_fd *file)
{
	struct exec_guard *guard = exec_guard_is_lost(exec, file) ? NULL : exec_guard_new(exec);

	if (guard)
		*guard = (struct exec_guard){ .file = file };
}

void exec_guard_alters(struct exec *exec, const struct arena_fd *file)
{
	for (uint32_t i = 0; i < exec->nguards; i++) {
		struct exec_guard *guard = &exec->guard[i];

		if (guard->file != file || !guard->size)
			continue;
		exec_guard_check(exec, guard);
		guard->file = NULL;
	}
}

/* Does a step do nothing with its descriptor but map it, in a way that tells whether it did? */
static bool exec_guard_is_plain(const struct exec *exec, const struct program_step *step)
{
	return step->op == PROGRAM_SEND && step->command == WIRE_DMA_MAP && step->nfds == 1 &&
	       step->fd[0].times == 1 && !(step->set & EXEC_HEADER) &&
	       !(step->properties & (PROGRAM_CUT | PROGRAM_NO_REPLY)) &&
	       !exec->connection[step->connection].broke;
}

void exec_guard_passes(struct exec *exec, const struct program_step *step)
{
	for (uint32_t i = 0; i < step->nfds && exec->guards; i++) {
		struct arena_fd *file = exec->handle[step->fd[i].handle].file;

		if (!file)
			continue;
		exec_guard_alters(exec, file);
		if (!exec_guard_is_plain(exec, step))
			exec_guard_lose(exec, file);
	}
}

static bool exec_guard_overlaps(const struct exec_map *a, const struct exec_map *b)
{
	return a->file == b->file && a->offset < b->offset + b->size &&
	       b->offset < a->offset + a->size;
}

/* May a mapping of that connection show bytes of `map`? */
static bool exec_guard_shows(const struct exec_connection *c, const struct exec_map *map)
{
	for (uint32_t i = 0; i < c->nmaps; i++)
		if (exec_guard_overlaps(&c->map[i], map))
			return true;
	for (size_t i = c->head; i < c->count; i++)
		if (!c->asked[i].done && exec_guard_overlaps(&c->asked[i].map, map))
			return true;
	return c->unmapped;
}

void exec_guard_unmapped(struct exec *exec, uint32_t index, const struct exec_asked *asked,
			 const struct exec_map *map)
{
	const struct exec_connection *c = &exec->connection[index];
	const struct program_step *step = &exec->program->step[asked->step];
	struct exec_guard *guard;

	if (!exec->guards || !map->file)
		return;
	if (c->broke || step->properties & PROGRAM_NO_REPLY || step->set & EXEC_HEADER)
		exec_guard_lose(exec, map->file);
	if (exec_guard_is_lost(exec, map->file))
		return;
	for (uint32_t i = 0; i < PROGRAM_CONNECTIONS; i++)
		if (exec->connection[i].open && exec_guard_shows(&exec->connection[i], map))
			return;
	if (arena_fill(map->file, map->offset, exec_guard_size(map->size), EXEC_CANARY))
		return;
	guard = exec_guard_new(exec);
	if (guard)
		*guard = (struct exec_guard){
			map->file, map->offset, exec_guard_size(map->size), index, asked->step,
		};
}

void exec_guard_forgets(struct exec *exec, const struct exec_connection *c)
{
	for (uint32_t i = 0; i < c->nmaps && exec->guards; i++)
		if (c->map[i].file)
			exec_guard_lose(exec, c->map[i].file);
	for (size_t i = c->head; i < c->count && exec->guards; i++)
		if (c->asked[i].map.file)
			exec_guard_lose(exec, c->asked[i].map.file);
}

void exec_guard_end(struct exec *exec)
{
	for (uint32_t i = 0; i < exec->nguards; i++)
		if (exec->guard[i].file && exec->guard[i].size)
			exec_guard_check(exec, &exec->guard[i]);
	exec->nguards = 0;
	exec->unguarded = false;
}
