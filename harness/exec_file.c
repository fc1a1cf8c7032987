/* SPDX-License-Identifier: BSD-3-Clause */
/* exec_file.c - the descriptors of a run: made, altered, looked at and passed; see exec_state.h. */
#include "exec_state.h"

#include <errno.h>
#include <string.h>

static int exec_file_open(struct exec *exec, const struct program_step *step)
{
	const struct arena_want want = {
		.kind = step->kind,
		.size = step->number[0],
		.seals = step->seals,
		.read_only = step->properties & PROGRAM_HELD,
	};
	struct exec_handle *handle = &exec->handle[step->handle];
	int error;

	/* Mappings may still be made of the one before: it is given back at the end of the run. */
	*handle = (struct exec_handle){ 0 };
	if (step->kind == PROGRAM_SELF) {
		handle->self = true;
		handle->connection = step->connection;
		return 0;
	}
	error = arena_open(exec->arena, &want, &handle->file);
	if (error != -EFBIG)
		return error;
	if (exec->verdict)
		verdict_note(exec->verdict, exec->step, "not made: no file is that large");
	return 0;
}

static void exec_file_check(struct exec *exec, const struct program_step *step,
			    const struct arena_fd *file)
{
	uint64_t first = 0;
	int64_t count = arena_differs(file, step->number[0], step->number[1],
				      (uint32_t)step->number[2], &first);
	char text[160];

	if (count <= 0 || exec_lanes_alter(exec, step->handle))
		return;
	snprintf(text, sizeof(text), "%lld of the bytes at 0x%llx of r%u are not what they have to"
		 " be, the first at 0x%llx", (long long)count, (unsigned long long)step->number[0],
		 step->handle, (unsigned long long)first);
	exec_blame_text(exec, 0, "effect", text);
}

/* A file that can not be altered so is left as it is: sealed, or too large. */
static void exec_file_alter(struct exec *exec, const struct program_step *step,
			    struct arena_fd *file)
{
	int error = 0;

	exec_guard_alters(exec, file);
	if (step->op == PROGRAM_TRUNCATE)
		error = arena_truncate(file, step->number[0]);
	else if (step->op == PROGRAM_PUNCH)
		error = arena_punch(file, step->number[0], step->number[1]);
	else
		error = arena_fill(file, step->number[0], step->number[1],
				   (uint32_t)step->number[2]);
	if (error && exec->verdict)
		verdict_note(exec->verdict, exec->step, "not done: %s", strerror(-error));
}

int exec_file(struct exec *exec, const struct program_step *step)
{
	struct arena_fd *file = exec->handle[step->handle].file;

	if (step->op == PROGRAM_OPEN)
		return exec_file_open(exec, step);
	if (step->op == PROGRAM_CLOSE)
		exec->handle[step->handle].self = false;
	if (!file)
		return 0;
	if (step->op == PROGRAM_CLOSE)
		arena_drop(file);
	else if (step->op == PROGRAM_CHECK)
		exec_file_check(exec, step, file);
	else
		exec_file_alter(exec, step, file);
	return 0;
}

/* What a handle stands for now: a descriptor to be sent, or a negative number for none. */
static int exec_fd(const struct exec *exec, const struct exec_handle *handle,
		   struct model_fd *known)
{
	*known = (struct model_fd){ .kind = MODEL_FD_OTHER };
	if (handle->self)
		return exec->connection[handle->connection].open ?
			exec->link.ops->socket(exec->link.state, handle->connection) : -EBADF;
	if (!handle->file)
		return -EBADF;
	arena_describe(handle->file, known);
	return arena_pass(handle->file);
}

size_t exec_fds(const struct exec *exec, const struct program_step *step, struct exec_passed *out)
{
	size_t count = 0;

	out->first = NULL;
	for (uint32_t i = 0; i < step->nfds; i++) {
		const struct exec_handle *handle = &exec->handle[step->fd[i].handle];
		struct model_fd known;
		int fd = exec_fd(exec, handle, &known);

		if (fd >= 0 && !count)
			out->first = handle->file;
		if (known.kind == MODEL_FD_MEMORY &&
		    exec_lanes_resize(exec, step, step->fd[i].handle))
			known.kind = MODEL_FD_UNKNOWN;

		for (uint32_t n = 0; fd >= 0 && n < step->fd[i].times; n++) {
			out->fd[count] = fd;
			out->known[count++] = known;
		}
	}
	return count;
}
