/* SPDX-License-Identifier: BSD-3-Clause */
/* main_note.c - see main_note.h. */
#include "main_note.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client.h"
#include "envelope.h"
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
	note->note.program = note->program;
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

static void main_note_describe(int fd, const struct stat *stat, struct model_fd *out)
{
	enum program_kind kind = note_kind(fd);
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

static void main_note_program(struct main_note *note, const struct message *message,
			      const uint8_t *bytes)
{
	const struct note_message what = {
		.bytes = bytes,
		.size = message->msg_size,
		.fds = message->fds,
		.nfds = message->nfds,
		.twin = message->channel == CLIENT_TWIN,
	};

	if (note->left_out || note_add(&note->note, &what) < 0)
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
