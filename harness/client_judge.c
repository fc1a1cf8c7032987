/* SPDX-License-Identifier: BSD-3-Clause */
/* client_judge.c - see client_judge.h. */
#include "client_judge.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "stream.h"

#define CLIENT_JUDGE_FDS 256		/* of one message; more are not told apart */
#define CLIENT_JUDGE_CAME 16		/* of a reply; more are not looked at */

/* A message that is being sent. */
struct client_judge_part {
	uint8_t *bytes;
	size_t size;
	size_t room;
	size_t nfds;
	struct model_fd fd[CLIENT_JUDGE_FDS];
};

struct client_judge {
	struct model *model;
	bool stopped;
	bool ended;		/* by the client */
	struct client_judge_part part[CLIENT_CHANNELS];
};

int client_judge_new(const char *const *strict, struct client_judge **out)
{
	const char *const *names = model_readings();
	struct model_options options = { 0 };
	struct client_judge *judge;
	int error;

	for (; strict && *strict; strict++) {
		size_t i = 0;

		while (names[i] && strcmp(names[i], *strict) != 0)
			i++;
		if (!names[i])
			return -EINVAL;
		options.strict |= (uint64_t)1 << i;
	}
	judge = calloc(1, sizeof(*judge));
	if (!judge)
		return -ENOMEM;
	error = model_new(&options, &judge->model);
	if (error)
		free(judge);
	else
		*out = judge;
	return error;
}

void client_judge_free(struct client_judge *judge)
{
	if (!judge)
		return;
	for (uint32_t i = 0; i < CLIENT_CHANNELS; i++)
		free(judge->part[i].bytes);
	model_free(judge->model);
	free(judge);
}

void client_judge_stop(struct client_judge *judge)
{
	judge->stopped = true;
	model_broke(judge->model);
}

void client_judge_ends(struct client_judge *judge)
{
	judge->ended = true;
}

/* ---- descriptors ---- */

static uint32_t client_judge_kind(int fd, const struct stat *status, int flags)
{
	char link[32];
	char name[64];
	ssize_t length;

	if (S_ISREG(status->st_mode) && !(flags & O_PATH) && (flags & O_ACCMODE) != O_WRONLY)
		return MODEL_FD_MEMORY;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	length = readlink(link, name, sizeof(name) - 1);
	if (length < 0)
		return MODEL_FD_UNKNOWN;
	name[length] = '\0';
	return strcmp(name, "anon_inode:[eventfd]") ? MODEL_FD_OTHER : MODEL_FD_EVENTFD;
}

static struct model_fd client_judge_describe(int fd)
{
	struct model_fd out = { .kind = MODEL_FD_UNKNOWN };
	int flags = fcntl(fd, F_GETFL);
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat status;

	if (flags < 0 || fstat(fd, &status) < 0)
		return out;
	out.kind = client_judge_kind(fd, &status, flags);
	out.writable = (flags & O_ACCMODE) == O_RDWR;
	out.shrinks = true;
	out.size = out.kind == MODEL_FD_MEMORY ? (uint64_t)status.st_size : 0;
	if (seals > 0 && seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		out.writable = false;
	if (seals > 0 && seals & F_SEAL_SHRINK)
		out.shrinks = false;
	return out;
}

static void client_judge_attach(struct client_judge_part *part, const int32_t *fds, size_t nfds)
{
	for (size_t i = 0; i < nfds && part->nfds < CLIENT_JUDGE_FDS; i++) {
		struct model_fd *fd = &part->fd[part->nfds++];

		*fd = client_judge_describe(fds[i]);
	}
	if (!part->size || !nfds)
		return;
	for (size_t i = 0; i < part->nfds; i++)
		part->fd[i].kind = MODEL_FD_UNKNOWN;
}

/* ---- messages ---- */

/* The whole size of the message that begins with these bytes; 0: more are needed, or no message. */
static size_t client_judge_whole(struct client_judge *judge, const uint8_t *bytes, size_t size)
{
	struct wire_header header;

	if (size < sizeof(header))
		return 0;
	memcpy(&header, bytes, sizeof(header));
	if (header.msg_size < sizeof(header) || header.msg_size > STREAM_MAX_MESSAGE) {
		client_judge_stop(judge);
		return 0;
	}
	return header.msg_size <= size ? header.msg_size : 0;
}

static int client_judge_tell(struct client_judge *judge, uint32_t channel, const uint8_t *bytes,
			     size_t size)
{
	struct client_judge_part *part = &judge->part[channel];
	struct wire_header header;
	struct model_message message = {
		.header = &header,
		.body = bytes + sizeof(header),
		.size = size - sizeof(header),
		.fds = part->fd,
		.nfds = part->nfds,
		.channel = channel,
	};

	memcpy(&header, bytes, sizeof(header));
	part->nfds = 0;
	return model_sent(judge->model, &message);
}

/* Tell of all messages that are whole; what is left is counted. */
static int client_judge_all(struct client_judge *judge, uint32_t channel, const uint8_t *bytes,
			    size_t *size)
{
	int error = 0;

	while (!error && !judge->stopped) {
		size_t whole = client_judge_whole(judge, bytes, *size);

		if (!whole)
			break;
		error = client_judge_tell(judge, channel, bytes, whole);
		bytes += whole;
		*size -= whole;
	}
	return error;
}

/* Keep the bytes behind those of the message that has begun. */
static int client_judge_append(struct client_judge_part *part, const uint8_t *bytes, size_t size)
{
	if (size > part->room - part->size) {
		size_t room = 2 * (part->size + size);
		uint8_t *larger = realloc(part->bytes, room);

		if (!larger)
			return -ENOMEM;
		part->bytes = larger;
		part->room = room;
	}
	memcpy(part->bytes + part->size, bytes, size);
	part->size += size;
	return 0;
}

int client_judge_sends(struct client_judge *judge, const struct client_judge_piece *piece)
{
	struct client_judge_part *part = &judge->part[piece->channel];
	size_t left = piece->size;
	size_t kept;
	int error;

	if (judge->stopped)
		return 0;
	client_judge_attach(part, piece->fds, piece->nfds);
	if (!part->size) {
		error = client_judge_all(judge, piece->channel, piece->bytes, &left);
		if (error || judge->stopped || !left)
			return error;
		return client_judge_append(part, piece->bytes + (piece->size - left), left);
	}
	error = client_judge_append(part, piece->bytes, piece->size);
	if (error)
		return error;
	kept = part->size;
	left = kept;
	error = client_judge_all(judge, piece->channel, part->bytes, &left);
	memmove(part->bytes, part->bytes + (kept - left), left);
	part->size = left;
	return error;
}

int client_judge_came(struct client_judge *judge, const struct message *message)
{
	const struct wire_header header = message_header(message);
	struct model_fd fds[CLIENT_JUDGE_CAME];
	const struct model_message came = {
		.header = &header,
		.body = message->body,
		.size = message->msg_size - sizeof(header),
		.fds = message->nfds <= CLIENT_JUDGE_CAME ? fds : NULL,
		.nfds = message->nfds,
		.channel = message->channel,
	};

	for (uint32_t i = 0; came.fds && i < message->nfds; i++)
		fds[i] = client_judge_describe(message->fds[i]);
	return judge->stopped ? 0 : model_received(judge->model, &came);
}

void client_judge_closed(struct client_judge *judge)
{
	if (!judge->stopped && !judge->ended)
		model_closed(judge->model);
	judge->stopped = true;
}

uint32_t client_judge_findings(const struct client_judge *judge, uint32_t index,
			       struct model_finding *out)
{
	return model_findings(judge->model, index, out);
}
