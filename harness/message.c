/* SPDX-License-Identifier: BSD-3-Clause */
/* message.c - see message.h. */
#include "message.h"

#include <stddef.h>
#include <stdlib.h>

struct message *message_new(const struct wire_header *header, uint32_t channel)
{
	size_t body_size = header->msg_size - sizeof(*header);
	struct message *message = malloc(sizeof(*message) + body_size);

	if (!message)
		return NULL;
	*message = (struct message){
		.id = header->id,
		.command = header->command,
		.msg_size = header->msg_size,
		.flags = header->flags,
		.error = header->error,
		.channel = channel,
	};
	message->storage = (uint8_t *)(message + 1);
	message->body = message->storage;
	return message;
}

void message_own(struct message *message, struct fds *list)
{
	fds_close(&message->owned);
	message->owned = *list;
	message->fds = list->fd;
	message->nfds = list->count;
	*list = (struct fds){ 0 };
}

int message_take_fd(struct message *message, uint32_t index)
{
	return fds_take(&message->owned, index);
}

struct wire_header message_header(const struct message *message)
{
	return (struct wire_header){
		.id = message->id,
		.command = message->command,
		.msg_size = message->msg_size,
		.flags = message->flags,
		.error = message->error,
	};
}

void message_free(struct message *message)
{
	if (!message)
		return;
	fds_close(&message->owned);
	free(message);
}

void message_push(struct message_queue *queue, struct message *message)
{
	message->next = NULL;
	if (queue->last)
		queue->last->next = message;
	else
		queue->first = message;
	queue->last = message;
}

void message_unlink(struct message_queue *queue, struct message *before, struct message *message)
{
	if (before)
		before->next = message->next;
	else
		queue->first = message->next;
	if (queue->last == message)
		queue->last = before;
	message->next = NULL;
}

void message_free_all(struct message_queue *queue)
{
	while (queue->first) {
		struct message *message = queue->first;

		message_unlink(queue, NULL, message);
		message_free(message);
	}
}
