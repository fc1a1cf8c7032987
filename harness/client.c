/* SPDX-License-Identifier: BSD-3-Clause */
/* client.c - see client.h. */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "client_judge.h"
#include "client_note.h"
#include "deadline.h"
#include "stream.h"
#include "trace.h"
#include "wire.h"

#define CLIENT_PACE_MS 1	/* between two looks at what the server has not read yet */

struct client {
	struct stream stream[CLIENT_CHANNELS];
	struct message_queue kept[CLIENT_CHANNELS];
	size_t kept_bytes;
	struct envelope *envelope;
	struct client_judge *judge;	/* NULL: none */
	struct client_note *note;	/* NULL: nothing is written down */
};

/* Which message a receiving call asks for. */
struct client_want {
	bool any;		/* whatever comes; else by type, id and command */
	uint32_t first;		/* channels first..last */
	uint32_t last;
	uint32_t until;		/* the channel whose end ends the wait */
	uint32_t type;
	uint16_t id;		/* of a reply */
	uint16_t command;
};

int client_adopt(int fd, struct client **out)
{
	struct client *client = calloc(1, sizeof(*client));
	int error = -ENOMEM;

	if (!client)
		return -ENOMEM;
	client->envelope = envelope_new();
	if (!client->envelope)
		goto fail;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
		error = -errno;
		goto fail;
	}
	stream_open(&client->stream[CLIENT_MAIN], fd, CLIENT_MAIN);
	stream_open(&client->stream[CLIENT_TWIN], -1, CLIENT_TWIN);
	*out = client;
	return 0;
fail:
	envelope_free(client->envelope);
	free(client);
	return error;
}

/*
 * connect() within the deadline. A blocking connect() waits for room in the backlog as long as
 * SO_SNDTIMEO says; 0 there means for ever, so that asking once takes a non-blocking socket.
 */
static int client_reach(int fd, const struct sockaddr_un *address, struct deadline deadline)
{
	int left = deadline_left_ms(deadline);
	int flags = left ? 0 : O_NONBLOCK;
	struct timeval limit = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000L };

	do {
		if (fcntl(fd, F_SETFL, flags) < 0 ||
		    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
			return -errno;
		if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
			return 0;
		left = deadline_left_ms(deadline);
	} while (errno == EINTR && left);
	return errno == EAGAIN || errno == EINTR ? -ETIMEDOUT : -errno;
}

int client_connect(const char *path, int timeout_ms, struct client **out)
{
	struct deadline deadline = deadline_in(timeout_ms);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int error;
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	error = client_reach(fd, &address, deadline);
	if (!error)
		error = client_adopt(fd, out);
	if (error)
		close(fd);
	return error;
}

void client_free(struct client *client)
{
	if (!client)
		return;
	for (uint32_t i = 0; i < CLIENT_CHANNELS; i++) {
		stream_close(&client->stream[i]);
		message_free_all(&client->kept[i]);
	}
	envelope_free(client->envelope);
	client_judge_free(client->judge);
	client_note_free(client->note);
	free(client);
}

int client_adopt_twin(struct client *client, int fd)
{
	if (client->stream[CLIENT_TWIN].fd >= 0)
		return -EBUSY;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	stream_open(&client->stream[CLIENT_TWIN], fd, CLIENT_TWIN);
	envelope_set_twin(client->envelope);
	return 0;
}

int client_fd(const struct client *client, uint32_t channel)
{
	if (channel >= CLIENT_CHANNELS)
		return -EINVAL;
	return client->stream[channel].fd < 0 ? -ENOTCONN : client->stream[channel].fd;
}

void client_set_max_fds(struct client *client, uint32_t max_msg_fds)
{
	envelope_set_max_fds(client->envelope, max_msg_fds);
}

void client_set_page_requests(struct client *client, uint32_t pages)
{
	envelope_set_page_requests(client->envelope, pages);
}

void client_set_poc(struct client *client)
{
	envelope_set_poc(client->envelope);
}

int client_unread(const struct client *client)
{
	return stream_unread(&client->stream[CLIENT_MAIN]);
}

const struct envelope *client_envelope(const struct client *client)
{
	return client->envelope;
}

int client_judged(struct client *client, const char *const *strict)
{
	return client->judge ? -EBUSY : client_judge_new(strict, &client->judge);
}

void client_unjudged(struct client *client)
{
	if (client->judge)
		client_judge_stop(client->judge);
}

uint32_t client_findings(const struct client *client, uint32_t index, struct model_finding *out)
{
	return client->judge ? client_judge_findings(client->judge, index, out) : 0;
}

int client_recorded(struct client *client)
{
	if (client->note)
		return -EBUSY;
	client->note = client_note_new();
	return client->note ? 0 : -ENOMEM;
}

int client_program(struct client *client, char *text, size_t size)
{
	return client->note ? client_note_print(client->note, text, size) : 0;
}

int client_shutdown(struct client *client)
{
	int fd = client_fd(client, CLIENT_MAIN);

	if (fd < 0)
		return fd;
	if (client->judge)
		client_judge_ends(client->judge);
	if (client->note)
		client_note_ends(client->note);
	return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

/* What a kept message costs; the constant is for the smallest ones. */
static size_t client_cost(const struct message *message)
{
	return sizeof(*message) + message->msg_size;
}

static void client_keep(struct client *client, struct message *message)
{
	client->kept_bytes += client_cost(message);
	message_push(&client->kept[message->channel], message);
}

/* The next message of a channel, judged. As stream_pull, or -ENOBUFS. */
static int client_pull(struct client *client, uint32_t channel, struct message **out)
{
	struct stream *stream = &client->stream[channel];
	int result;

	if (client->kept_bytes >= CLIENT_KEPT)
		return -ENOBUFS;
	result = stream_pull(stream, out);
	if (result != 1) {
		bool over = result == 0 || result == -EPROTO;

		if (client->judge && channel == CLIENT_MAIN && over)
			client_judge_closed(client->judge);
		return result;
	}
	trace_line("%p channel %u got id=%u command=%u size=%u flags=0x%x error=%u fds=%u",
		   (void *)client, channel, (*out)->id, (*out)->command, (*out)->msg_size,
		   (*out)->flags, (*out)->error, (*out)->nfds);
	envelope_received(client->envelope, *out);
	if (client->note)
		client_note_came(client->note, *out);
	if (client->judge && client_judge_came(client->judge, *out))
		client_judge_stop(client->judge);
	return 1;
}

/* Keep everything that has come so far; what ends a channel is told to the next receiving call. */
static void client_drain(struct client *client)
{
	for (uint32_t i = 0; i < CLIENT_CHANNELS; i++) {
		struct message *message;

		while (client_pull(client, i, &message) == 1)
			client_keep(client, message);
	}
}

/* What to wait for: channels as bits 1 << channel. */
struct client_wait {
	unsigned int readers;
	unsigned int writers;
	int wait_ms;
};

#define CLIENT_ALL ((1u << CLIENT_CHANNELS) - 1)

/*
 * Wait until one of the channels is ready or the time is over. Channels that have ended, and all
 * when no more can be kept, are not asked for reading: they would be ready for ever.
 */
static int client_poll(const struct client *client, const struct client_wait *wait)
{
	bool full = client->kept_bytes >= CLIENT_KEPT;
	struct pollfd ready[CLIENT_CHANNELS];

	for (uint32_t i = 0; i < CLIENT_CHANNELS; i++) {
		const struct stream *stream = &client->stream[i];
		bool reads = wait->readers >> i & 1 && stream->end == 1 && !full;
		bool writes = wait->writers >> i & 1;

		ready[i] = (struct pollfd){
			.fd = reads || writes ? stream->fd : -1,
			.events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)),
		};
	}
	if (poll(ready, CLIENT_CHANNELS, wait->wait_ms) < 0 && errno != EINTR)
		return -errno;
	return 0;
}

/* The pieces must be in order, not empty, and use up all bytes and descriptors. */
static int client_check_parts(const struct client_send *what)
{
	size_t at = 0;
	size_t nfds = 0;

	for (size_t i = 0; i < what->nparts; i++) {
		const struct client_part *part = &what->parts[i];

		if (part->end <= at || part->nfds > STREAM_MAX_FDS)
			return -EINVAL;
		at = part->end;
		nfds += part->nfds;
	}
	if (what->nparts && (at != what->size || nfds != what->nfds))
		return -EINVAL;
	return what->size && (what->nparts || what->nfds <= STREAM_MAX_FDS) ? 0 : -EINVAL;
}

/* Send one piece, taking in what comes meanwhile. */
static int client_send_part(struct client *client, const struct client_send *part,
			    struct deadline deadline)
{
	const uint8_t *bytes = part->bytes;
	size_t nfds = part->nfds;
	size_t at = 0;

	while (at < part->size) {
		int64_t sent = stream_push(&client->stream[part->channel], bytes + at,
					   part->size - at, part->fds, nfds);
		struct client_wait wait = {
			.readers = CLIENT_ALL,
			.writers = 1u << part->channel,
			.wait_ms = deadline_left_ms(deadline),
		};
		int error;

		if (sent > 0) {
			at += (size_t)sent;
			nfds = 0;
			continue;
		}
		if (sent != -EAGAIN)
			return (int)sent;
		if (!wait.wait_ms)
			return -ETIMEDOUT;
		client_drain(client);
		error = client_poll(client, &wait);
		if (error)
			return error;
	}
	return 0;
}

/* Wait until the server has read everything that was sent on the channel. */
static int client_pace(struct client *client, uint32_t channel, struct deadline deadline)
{
	const struct client_wait wait = { .readers = CLIENT_ALL, .wait_ms = CLIENT_PACE_MS };

	for (;;) {
		int unread = stream_unread(&client->stream[channel]);
		int error;

		if (unread <= 0)
			return unread;
		if (!deadline_left_ms(deadline))
			return -ETIMEDOUT;
		client_drain(client);
		error = client_poll(client, &wait);
		if (error)
			return error;
	}
}

/* Send the pieces that `what` is divided into. */
static int client_send_parts(struct client *client, const struct client_send *what,
			     struct deadline deadline)
{
	struct client_send part = *what;
	size_t at = 0;
	int error = 0;

	for (size_t i = 0; i < what->nparts && !error; i++) {
		part.bytes = (const uint8_t *)what->bytes + at;
		part.size = what->parts[i].end - at;
		part.nfds = what->parts[i].nfds;
		if (i && what->flags & CLIENT_SEND_PACED)
			error = client_pace(client, what->channel, deadline);
		if (!error)
			error = client_send_part(client, &part, deadline);
		at += part.size;
		part.fds = part.nfds ? part.fds + part.nfds : part.fds;
	}
	return error;
}

/* Show the model what goes out, piece by piece. It judges no more when it can not follow. */
static void client_show(struct client *client, const struct client_send *what)
{
	const struct client_part whole = { (uint32_t)what->size, (uint32_t)what->nfds };
	const struct client_part *parts = what->nparts ? what->parts : &whole;
	struct client_judge_piece piece = { .channel = what->channel, .fds = what->fds };
	uint32_t at = 0;

	for (size_t i = 0; client->judge && i < (what->nparts ? what->nparts : 1); i++) {
		piece.bytes = (const uint8_t *)what->bytes + at;
		piece.size = parts[i].end - at;
		piece.nfds = parts[i].nfds;
		if (client_judge_sends(client->judge, &piece))
			client_judge_stop(client->judge);
		piece.fds = piece.nfds ? piece.fds + piece.nfds : piece.fds;
		at = parts[i].end;
	}
}

int client_send(struct client *client, const struct client_send *what)
{
	struct deadline deadline = deadline_in(what->timeout_ms);
	bool maybe = what->flags & CLIENT_SEND_MAYBE;
	int error = client_check_parts(what);
	int fd = client_fd(client, what->channel);

	if (error || fd < 0)
		return error ? error : fd;
	error = envelope_sent(client->envelope, what->channel, what->bytes, what->size, maybe);
	if (error)
		return error;
	client_show(client, what);
	if (client->note)
		client_note_sends(client->note, what);
	error = what->nparts ? client_send_parts(client, what, deadline) :
			       client_send_part(client, what, deadline);
	if (error)
		client_unjudged(client);
	trace_line("%p channel %u sent %zu bytes, %zu fds: %d", (void *)client, what->channel,
		   what->size, what->nfds, error);
	return error;
}

static bool client_matches(const struct client_want *want, const struct message *message)
{
	if (want->any)
		return true;
	if ((message->flags & WIRE_TYPE_MASK) != want->type)
		return false;
	return want->type == WIRE_TYPE_COMMAND ||
	       (message->id == want->id && message->command == want->command);
}

/* Look among the messages that were kept. */
static struct message *client_recall(struct client *client, const struct client_want *want)
{
	for (uint32_t i = want->first; i <= want->last; i++) {
		struct message *before = NULL;

		for (struct message *m = client->kept[i].first; m; before = m, m = m->next) {
			if (!client_matches(want, m))
				continue;
			message_unlink(&client->kept[i], before, m);
			client->kept_bytes -= client_cost(m);
			return m;
		}
	}
	return NULL;
}

/* Read until the wanted message has come. 1; -EAGAIN when it may still come; else its end. */
static int client_read(struct client *client, const struct client_want *want,
		       struct message **out)
{
	int end = -EAGAIN;

	for (uint32_t i = want->first; i <= want->last; i++) {
		struct message *message;
		int result = client_pull(client, i, &message);

		for (; result == 1; result = client_pull(client, i, &message)) {
			if (client_matches(want, message)) {
				*out = message;
				return 1;
			}
			client_keep(client, message);
		}
		if (result == -ENOBUFS || result == -ENOMEM || i == want->until)
			end = result;
	}
	return end;
}

static int client_await(struct client *client, const struct client_want *want, int timeout_ms,
			struct message **out)
{
	struct deadline deadline = deadline_in(timeout_ms);
	struct client_wait wait = {
		.readers = want->first == want->last ? 1u << want->first : CLIENT_ALL,
	};

	*out = client_recall(client, want);
	if (*out)
		return 1;
	for (;;) {
		int result;

		wait.wait_ms = deadline_left_ms(deadline);
		result = client_read(client, want, out);
		if (result != -EAGAIN)
			return result;
		if (!wait.wait_ms)
			return -ETIMEDOUT;
		result = client_poll(client, &wait);
		if (result)
			return result;
	}
}

int client_recv(struct client *client, uint32_t channel, int timeout_ms, struct message **out)
{
	const struct client_want want = {
		.any = true,
		.first = channel,
		.last = channel,
		.until = channel,
	};
	int fd = client_fd(client, channel);

	return fd < 0 ? fd : client_await(client, &want, timeout_ms, out);
}

int client_recv_reply(struct client *client, uint16_t id, uint16_t command, int timeout_ms,
		      struct message **out)
{
	const struct client_want want = {
		.first = CLIENT_MAIN,
		.last = CLIENT_TWIN,
		.until = CLIENT_MAIN,
		.type = WIRE_TYPE_REPLY,
		.id = id,
		.command = command,
	};

	return client_await(client, &want, timeout_ms, out);
}

int client_recv_request(struct client *client, int timeout_ms, struct message **out)
{
	bool twin = client->stream[CLIENT_TWIN].fd >= 0;
	const struct client_want want = {
		.first = CLIENT_MAIN,
		.last = CLIENT_TWIN,
		.until = twin ? CLIENT_TWIN : CLIENT_MAIN,
		.type = WIRE_TYPE_COMMAND,
	};

	return client_await(client, &want, timeout_ms, out);
}
