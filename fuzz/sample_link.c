/* SPDX-License-Identifier: BSD-3-Clause */
/* sample_link.c - see sample_link.h. */
#include "sample_link.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client.h"
#include "device_engine.h"
#include "explore.h"
#include "explore_peer.h"
#include "wire_ext.h"

#define LINK_OURS 0x8000u	/* ids of what is asked here */
#define LINK_DOOR_SIZE 4096u
#define LINK_VERSION "{\"capabilities\":{\"viommu\":{\"version\":1,\"pasid_bits\":8," \
		     "\"max_pasids\":4,\"page_requests\":64,\"unmap_range\":true," \
		     "\"replace\":true}%s,\"max_msg_fds\":8}}"
#define LINK_TWIN ",\"twin_socket\":{\"supported\":true}"

static struct {
	struct client *client;
	struct message_queue ready;	/* for explore_take() */
	struct message *ours;		/* the reply to what is asked here */
	bool twin, over;
	uint16_t next_id;
	volatile uint32_t *door;
} sample_link;

static void link_need(int error, const char *what)
{
	if (error < 0)
		explore_violation("%s: %s", what, strerror(-error));
}

/* ---- what comes ---- */

static bool link_is_ours(const struct message *m)
{
	return (m->flags & WIRE_TYPE_MASK) == WIRE_TYPE_REPLY && m->id & LINK_OURS;
}

static bool link_is_request(const struct message *m)
{
	struct wire_page_request head;

	if (m->command != WIRE_PAGE_REQUEST ||
	    m->msg_size < sizeof(struct wire_header) + sizeof(head))
		return false;
	memcpy(&head, m->body, sizeof(head));
	return head.nr;
}

/* All that a socket has; whether that is something. */
static bool link_drain(uint32_t channel, struct message_queue *queue)
{
	struct message *m;
	bool some = false;
	int n;

	for (; (n = client_recv(sample_link.client, channel, 0, &m)) == 1; some = true)
		message_push(queue, m);
	if (n == -EPROTO)
		explore_violation("what the server sends is no message");
	sample_link.over |= n == 0 && channel == CLIENT_MAIN;
	return some;
}

static void link_sort(struct message_queue *from, bool but_requests)
{
	struct message *before = NULL, *next;

	for (struct message *m = from->first; m; m = next) {
		next = m->next;
		if (but_requests && link_is_request(m)) {
			before = m;
			continue;
		}
		message_unlink(from, before, m);
		if (link_is_ours(m))
			sample_link.ours = m;
		else
			message_push(&sample_link.ready, m);
	}
}

/*
 * The two sockets have no order between them. A stop marker is sent before its reply, as are
 * messages for memory before the reply to its unmap, and a page request that uses credit behind
 * the reply to what gave it: so both are read until they have nothing, and page requests by the
 * twin are taken last.
 */
static void link_fill(void)
{
	struct message_queue twin = { 0 }, main = { 0 };
	bool some;

	if (!sample_link.client)
		return;
	do
		some = sample_link.twin && link_drain(CLIENT_TWIN, &twin);
	while (link_drain(CLIENT_MAIN, &main) || some);
	link_sort(&twin, true);
	link_sort(&main, false);
	link_sort(&twin, false);
}

struct message *explore_take(void)
{
	struct message *m;

	if (!sample_link.ready.first)
		link_fill();
	m = sample_link.ready.first;
	if (m)
		message_unlink(&sample_link.ready, NULL, m);
	return m;
}

bool explore_is_over(void)
{
	return sample_link.over && !sample_link.ready.first;
}

bool sample_wait(int ms)
{
	struct pollfd fds[2] = { { client_fd(sample_link.client, CLIENT_MAIN), POLLIN, 0 },
				 { -1, POLLIN, 0 } };

	if (sample_link.twin)
		fds[1].fd = client_fd(sample_link.client, CLIENT_TWIN);
	link_fill();
	if (!sample_link.ready.first && !sample_link.over && poll(fds, 2, ms) > 0)
		link_fill();
	return sample_link.ready.first || sample_link.over;
}

/* ---- what goes ---- */

void sample_send(uint32_t channel, const void *bytes, size_t size, int fd)
{
	const int32_t fds[] = { fd };
	const struct client_send what = {
		.bytes = bytes,
		.size = size,
		.fds = fds,
		.nfds = fd >= 0,
		.channel = channel,
		.timeout_ms = SAMPLE_LONG_MS,
	};
	int error = client_send(sample_link.client, &what);

	if (error != -EPIPE)
		link_need(error, "send");
}

static uint16_t link_command(uint16_t command, const void *body, size_t size)
{
	struct {
		struct wire_header header;
		uint8_t body[512];
	} message = {
		.header = {
			.id = (uint16_t)(LINK_OURS | sample_link.next_id++),
			.command = command,
			.msg_size = (uint32_t)(sizeof(message.header) + size),
		},
	};

	memcpy(message.body, body, size);
	sample_send(CLIENT_MAIN, &message, message.header.msg_size, -1);
	return message.header.id;
}

/* The reply to a command of ours, the caller's. */
static struct message *link_reply(uint16_t id)
{
	struct pollfd main = { client_fd(sample_link.client, CLIENT_MAIN), POLLIN, 0 };
	struct message *reply;

	link_fill();
	while (!sample_link.ours && !sample_link.over && poll(&main, 1, SAMPLE_LONG_MS) > 0)
		link_fill();
	reply = sample_link.ours;
	sample_link.ours = NULL;
	if (!reply || reply->id != id)
		explore_violation("a command is not answered");
	if (reply->flags & WIRE_ERROR)
		explore_violation("command %u is refused: %s", reply->command,
				  strerror((int)reply->error));
	return reply;
}

void sample_read(const struct sample_register *registers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		const struct wire_region_access access = {
			.offset = registers[i].offset,
			.region = registers[i].region,
			.count = registers[i].width,
		};
		struct message *reply =
			link_reply(link_command(WIRE_REGION_READ, &access, sizeof(access)));

		if (reply->msg_size != sizeof(struct wire_header) + sizeof(access) + access.count)
			explore_violation("a reply of %u bytes to REGION_READ", reply->msg_size);
		memcpy(registers[i].value, reply->body + sizeof(access), access.count);
		message_free(reply);
	}
}

void sample_write(uint32_t region, uint32_t offset, uint32_t value)
{
	const struct {
		struct wire_region_access access;
		uint32_t value;
	} WIRE_PACKED write = { { offset, region, sizeof(value) }, value };

	message_free(link_reply(link_command(WIRE_REGION_WRITE, &write, sizeof(write))));
}

/* ---- the side door ---- */

uint32_t sample_door_state(uint32_t slot)
{
	return sample_link.door[DEVICE_DOOR_STATE / sizeof(uint32_t) + slot];
}

void sample_door_store(uint32_t slot, uint32_t code)
{
	sample_link.door[slot] = code;
}

bool sample_door_is_empty(uint32_t slot)
{
	return !sample_link.door[slot];
}

static void link_open_door(void)
{
	const struct wire_region_info ask = { .argsz = sizeof(ask), .index = 2 };
	struct message *reply =
		link_reply(link_command(WIRE_DEVICE_GET_REGION_INFO, &ask, sizeof(ask)));
	struct wire_region_info info;
	int fd = message_take_fd(reply, 0);
	void *door;

	link_need(fd, "the side door");
	memcpy(&info, reply->body, sizeof(info));
	door = mmap(NULL, LINK_DOOR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    (off_t)info.offset);
	close(fd);
	message_free(reply);
	if (door == MAP_FAILED)
		explore_violation("the side door can not be mapped");
	sample_link.door = door;
	for (uint32_t i = 0; i < EXPLORE_SLOTS; i++)
		sample_door_store(i, 0);
}

/* ---- connections ---- */

static void link_negotiate(bool twin)
{
	struct {
		struct wire_version version;
		char text[256];
	} body = { .version = { .minor = 1 } };
	struct message *reply;
	int length;

	length = snprintf(body.text, sizeof(body.text), LINK_VERSION, twin ? LINK_TWIN : "");
	reply = link_reply(link_command(WIRE_VERSION, &body,
					sizeof(body.version) + (size_t)length + 1));
	if (!memmem(reply->body, reply->msg_size - sizeof(struct wire_header), "viommu", 6)) {
		fputs("explore-socket: the server does not have the vIOMMU extension\n", stderr);
		_exit(SAMPLE_BROKEN);
	}
	if (twin) {
		link_need(client_adopt_twin(sample_link.client, message_take_fd(reply, 0)),
			  "twin socket");
		sample_link.twin = true;
	}
	message_free(reply);
	client_set_max_fds(sample_link.client, 8);
}

void sample_connect(const char *path, bool twin)
{
	link_need(client_connect(path, SAMPLE_LONG_MS, &sample_link.client), "connect");
	link_negotiate(twin);
	message_free(link_reply(link_command(WIRE_DEVICE_RESET, "", 0)));
	link_open_door();
}

void sample_hang_up(void)
{
	if (sample_link.door)
		munmap((void *)(uintptr_t)sample_link.door, LINK_DOOR_SIZE);
	client_free(sample_link.client);
	message_free_all(&sample_link.ready);
	message_free(sample_link.ours);
	memset(&sample_link, 0, sizeof(sample_link));
}
