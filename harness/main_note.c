/* SPDX-License-Identifier: BSD-3-Clause */
/* main_note.c - see main_note.h. */
#include "main_note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "envelope.h"
#include "pack.h"
#include "stream.h"
#include "wire.h"

int main_note_new(const struct model_options *options, enum verdict_gate gate,
		  struct main_note **out)
{
	struct main_note *note = calloc(1, sizeof(*note));

	if (!note)
		return -ENOMEM;
	note->program = calloc(1, sizeof(*note->program));
	note->envelope = envelope_new();
	if (!note->program || !note->envelope || model_new(options, &note->model) ||
	    verdict_new(note->program, gate, &note->verdict)) {
		main_note_free(note);
		return -ENOMEM;
	}
	/* What the client announces is not read here. */
	envelope_set_max_fds(note->envelope, STREAM_MAX_FDS);
	*out = note;
	return 0;
}

void main_note_free(struct main_note *note)
{
	verdict_free(note->verdict);
	model_free(note->model);
	envelope_free(note->envelope);
	free(note->program);
	free(note);
}

static void main_note_take(struct main_note *note, uint32_t step)
{
	struct envelope_violation violation = { .code = "" };
	struct model_finding finding = { .code = "" };

	while (model_findings(note->model, note->taken[0], &finding) > note->taken[0])
		if (note->taken[0]++ < MODEL_KEPT)
			verdict_found(note->verdict, note->step[finding.id], &finding);
	while (envelope_violations(note->envelope, note->taken[1], &violation) >
	       note->taken[1]) {
		if (note->taken[1]++ >= ENVELOPE_KEPT)
			continue;
		verdict_finding(&finding, violation.code, violation.requirement, 0,
				violation.text);
		verdict_found(note->verdict, step, &finding);
	}
}

/* What kind of descriptor it is, for a step that makes one like it. */
static enum program_kind main_note_kind(int fd, const struct stat *stat)
{
	char path[40], name[64];
	ssize_t n;

	if (S_ISREG(stat->st_mode))
		return PROGRAM_MEMFD;
	if (S_ISDIR(stat->st_mode))
		return PROGRAM_DIRECTORY;
	if (S_ISFIFO(stat->st_mode))
		return PROGRAM_PIPE;
	if (S_ISSOCK(stat->st_mode))
		return PROGRAM_SOCKET;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, name, sizeof(name) - 1);
	name[n > 0 ? n : 0] = '\0';
	return strstr(name, "eventfd") ? PROGRAM_EVENTFD : PROGRAM_NULL;
}

/* The handle for a descriptor, with the step that makes it if it is new; -ENOSPC. */
static int main_note_handle(struct main_note *note, int fd, const struct stat *stat)
{
	struct program_step *step;
	uint32_t handle;
	int seals;

	/* All that are no files share one inode. */
	for (uint32_t i = 0; S_ISREG(stat->st_mode) && i < PROGRAM_HANDLES; i++)
		if (note->handle[i].used && note->handle[i].device == stat->st_dev &&
		    note->handle[i].inode == stat->st_ino)
			return (int)i;
	step = program_insert(note->program, note->program->count);
	if (!step)
		return -ENOSPC;
	handle = note->next++ % PROGRAM_HANDLES;
	note->handle[handle].device = stat->st_dev;
	note->handle[handle].inode = stat->st_ino;
	note->handle[handle].used = true;
	step->op = PROGRAM_OPEN;
	step->handle = (uint8_t)handle;
	step->kind = (uint8_t)main_note_kind(fd, stat);
	if (step->kind != PROGRAM_MEMFD)
		return (int)handle;
	step->number[0] = (uint64_t)stat->st_size;
	seals = fcntl(fd, F_GET_SEALS);
	step->seals = seals > 0 ? (uint32_t)seals : 0;
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
		step->properties = PROGRAM_HELD;
	return (int)handle;
}

static void main_note_describe(int fd, const struct stat *stat, struct model_fd *out)
{
	enum program_kind kind = main_note_kind(fd, stat);
	int seals = fcntl(fd, F_GET_SEALS);

	*out = (struct model_fd){ .kind = MODEL_FD_OTHER };
	if (kind == PROGRAM_EVENTFD)
		out->kind = MODEL_FD_EVENTFD;
	if (kind != PROGRAM_MEMFD)
		return;
	out->kind = MODEL_FD_MEMORY;
	out->writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR &&
			(seals < 0 || !(seals & F_SEAL_WRITE));
	out->shrinks = seals < 0 || !(seals & F_SEAL_SHRINK);
	out->size = (uint64_t)stat->st_size;
}

static struct wire_header main_note_header(const struct message *message)
{
	return (struct wire_header){
		.id = message->id,
		.command = message->command,
		.msg_size = message->msg_size,
		.flags = message->flags,
		.error = message->error,
	};
}

/* The message as the step behind those of its descriptors. 0 or -ENOSPC. */
static int main_note_step(struct main_note *note, const struct message *message,
			  const uint8_t *bytes)
{
	struct program_fd fds[PROGRAM_FDS];
	uint8_t nfds = 0;
	struct program_step *step;

	for (uint32_t i = 0; i < message->nfds && nfds < PROGRAM_FDS; i++) {
		struct stat stat;
		int handle = fstat(message->fds[i], &stat) ? -errno :
			main_note_handle(note, message->fds[i], &stat);

		if (handle < 0)
			return handle;
		fds[nfds++] = (struct program_fd){ (uint8_t)handle, 1 };
	}
	step = program_insert(note->program, note->program->count);
	if (!step)
		return -ENOSPC;
	if (pack_unmessage(note->program, step, bytes, message->msg_size)) {
		program_remove(note->program, note->program->count - 1, 1);
		return -ENOSPC;
	}
	if (message->channel)
		step->properties |= PROGRAM_TWIN;
	step->nfds = nfds;
	memcpy(step->fd, fds, nfds * sizeof(fds[0]));
	return 0;
}

/* Writes a step down, or puts the program back as it was before. */
static void main_note_program(struct main_note *note, const struct message *message,
			      const uint8_t *bytes)
{
	uint32_t before = note->program->count;

	if (!note->left_out && !main_note_step(note, message, bytes))
		return;
	program_remove(note->program, before, note->program->count - before);
	note->left_out++;
}

static struct model_message main_note_message(const struct message *message,
					      const struct wire_header *header,
					      struct model_fd *known)
{
	for (uint32_t i = 0; i < message->nfds; i++) {
		struct stat stat;

		known[i] = (struct model_fd){ .kind = MODEL_FD_UNKNOWN };
		if (message->fds[i] >= 0 && !fstat(message->fds[i], &stat))
			main_note_describe(message->fds[i], &stat, &known[i]);
	}
	return (struct model_message){
		.header = header,
		.body = message->body,
		.size = message->msg_size - sizeof(*header),
		.fds = known,
		.nfds = message->nfds,
		.channel = message->channel,
	};
}

int main_note_sent(struct main_note *note, const struct message *message)
{
	struct wire_header header = main_note_header(message);
	struct model_fd known[STREAM_MAX_FDS];
	struct model_message told = main_note_message(message, &header, known);
	uint8_t *bytes = malloc(message->msg_size);
	struct model_expect expect;
	int error;

	if (!bytes)
		return -ENOMEM;
	memcpy(bytes, &header, sizeof(header));
	memcpy(bytes + sizeof(header), message->body, message->msg_size - sizeof(header));
	main_note_program(note, message, bytes);
	note->step[message->id] = (uint16_t)(note->program->count - 1);
	error = model_sent(note->model, &told);
	if (!error)
		error = envelope_sent(note->envelope, message->channel, bytes, message->msg_size,
				      false);
	if (!note->left_out && model_expect(note->model, &expect) &&
	    (header.flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND)
		verdict_allowed(note->verdict, note->program->count - 1, &expect);
	free(bytes);
	return error;
}

int main_note_came(struct main_note *note, const struct message *message)
{
	bool reply = (message->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY;
	uint32_t last = note->program->count ? note->program->count - 1 : 0;
	uint32_t step = reply ? note->step[message->id] : last;
	struct wire_header header = main_note_header(message);
	struct model_fd known[STREAM_MAX_FDS];
	struct model_message told = main_note_message(message, &header, known);
	int error;

	verdict_came(note->verdict, step, &told);
	envelope_received(note->envelope, message);
	error = model_received(note->model, &told);
	main_note_take(note, step);
	return error;
}

void main_note_closed(struct main_note *note)
{
	model_closed(note->model);
	main_note_take(note, note->program->count ? note->program->count - 1 : 0);
}
