/* SPDX-License-Identifier: BSD-3-Clause */
/* explore_peer.c - see explore_peer.h. */
#include "explore_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "account.h"
#include "account_process.h"
#include "clock.h"
#include "explore.h"
#include "explore_judge.h"
#include "loop_transport.h"

#define PEER_PASID_BITS 8
/* Descriptors in which one that is left is looked for. */
#define PEER_FDS 96u
#define PEER_VIOMMU "\"viommu\":{\"version\":1,\"pasid_bits\":8,\"max_pasids\":4," \
		    "\"page_requests\":64,\"unmap_range\":true,\"replace\":true}"
#define PEER_TWIN ",\"twin_socket\":{\"supported\":true}"
#define PEER_REST ",\"max_msg_fds\":8"

static struct {
	bool open;
	bool over;
	struct inproc inproc;
	struct loop *loop[2];	/* main and twin; NULL: there is none */
	int twin;		/* the client's end, which only shows that it is there; or -1 */
	struct account before;
	bool counted;
	struct account_process process;
} peer = { .twin = -1 };

static void peer_need(int error, const char *what)
{
	if (error)
		explore_violation("%s: %s", what, strerror(-error));
}

static void peer_open(void)
{
	peer_need(inproc_open(&peer.inproc, loop_events), "the server does not start");
	peer.inproc.options.offer.viommu = (struct session_viommu){
		.version = WIRE_VIOMMU_VERSION_1,
		.pasid_bits = PEER_PASID_BITS,
		.max_pasids = 1u << PEER_PASID_BITS,
		.address_bits = WIRE_VIOMMU_DEFAULT_ADDRESS_BITS,
		.page_requests = PRI_CAPACITY,
		.unmap_range = true,
		.replace = true,
	};
	peer.inproc.options.dma_threads = 1;
	device_add_viommu(&explore_server()->device, PEER_PASID_BITS);
	explore_server()->device.bar0.engine.env.by_hand = true;
	account_take(&peer.inproc, &peer.before);
	peer.open = true;
}

struct server_instance *explore_server(void)
{
	return peer.inproc.instances[0];
}

static void peer_adopt_twin(struct message *reply)
{
	peer.twin = message_take_fd(reply, 0);
	peer.loop[1] = peer.twin >= 0 ? loop_of(&explore_server()->session.twin) : NULL;
	peer_need(peer.loop[1] ? 0 : -ENOTCONN, "twin socket");
}

static void peer_negotiate(bool twin)
{
	static const char plain[] = "{\"capabilities\":{" PEER_VIOMMU PEER_REST "}}";
	static const char twinned[] = "{\"capabilities\":{" PEER_VIOMMU PEER_TWIN PEER_REST "}}";
	size_t length = twin ? sizeof(twinned) : sizeof(plain);
	struct {
		struct wire_header header;
		struct wire_version version;
		char text[sizeof(twinned)];
	} version = {
		.header = { .command = WIRE_VERSION },
		.version = { .minor = 1 },
	};
	struct message *reply;

	version.header.msg_size =
		(uint32_t)(sizeof(version.header) + sizeof(version.version) + length);
	memcpy(version.text, twin ? twinned : plain, length);
	explore_send(0, &version, version.header.msg_size, -1);
	explore_turn();
	reply = explore_take();
	if (!reply || reply->flags & WIRE_ERROR)
		explore_violation("VERSION is refused");
	if (twin)
		peer_adopt_twin(reply);
	message_free(reply);
}

void explore_connect(bool twin)
{
	int socket;

	if (!peer.open)
		peer_open();
	peer.loop[0] = loop_new(&socket);
	peer_need(peer.loop[0] ? 0 : -EMFILE, "loop");
	peer_need(inproc_connect(&peer.inproc, socket), "no connection");
	peer.over = false;
	judge_begin(twin);
	peer_negotiate(twin);
}

void explore_send(uint32_t channel, const void *bytes, size_t size, int fd)
{
	int copy = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;

	judge_sends(channel, bytes, size, fd >= 0);
	if (peer.loop[channel])
		loop_send(peer.loop[channel], bytes, size, &copy, copy >= 0);
	else if (copy >= 0)
		close(copy);
}

static void peer_settle(struct server_instance *server)
{
	if (server->phase == SERVER_BUSY && server_is_over(&server->session))
		server_instance_end(server);
}

/* One turn of the main socket; false: there is nothing for it. */
static bool peer_turn_main(struct server_instance *server)
{
	uint32_t events;

	if (server->phase != SERVER_BUSY || server->session.deferred ||
	    server->session.phase == SESSION_CLOSING)
		return false;
	events = loop_events(&server->session.transport);
	if (events)
		server_serve(server, events);
	peer_settle(server);
	return events;
}

/* What the twin socket has come with: what waits to be sent there is for a round of the loop. */
static bool peer_turn_twin(struct server_instance *server)
{
	if (server->phase != SERVER_BUSY || !server->session.twinned ||
	    !(loop_events(&server->session.twin) & ~(uint32_t)EPOLLOUT))
		return false;
	server_serve_twin(server);
	peer_settle(server);
	return true;
}

void explore_turn(void)
{
	struct server_instance *server = explore_server();
	bool more = true;

	while (more) {
		more = peer_turn_main(server);
		more |= peer_turn_twin(server);
	}
}

void explore_look(void)
{
	struct server_instance *server = explore_server();

	if (server->phase != SERVER_BUSY || !peer.loop[0]) {
		inproc_serve(&peer.inproc);
		return;
	}
	server_advance(server, explore_now());
	peer_settle(server);
	explore_turn();
}

uint64_t explore_now(void)
{
	return clock_now();
}

void explore_pass(uint64_t ms)
{
	uint64_t end = peer.inproc.now + ms;

	judge_passed();
	while (inproc_wait(&peer.inproc, end))
		continue;
}

struct message *explore_take(void)
{
	struct message *message;

	for (uint32_t i = 2; i-- > 0;) {
		int n = peer.loop[i] ? loop_recv(peer.loop[i], i, &message) : -EAGAIN;

		if (n == 1) {
			judge_came(message);
			return message;
		}
		if (n == -EPROTO)
			explore_violation("what the server sends is no message");
		peer.over |= n == 0 && i == 0;
	}
	return NULL;
}

bool explore_is_over(void)
{
	return peer.over;
}

void explore_hang_up(void)
{
	for (uint32_t i = 0; i < 2; i++) {
		if (peer.loop[i])
			loop_free(peer.loop[i]);
		peer.loop[i] = NULL;
	}
	if (peer.twin >= 0)
		close(peer.twin);
	peer.twin = -1;
	inproc_serve(&peer.inproc);
}

void explore_renew(void)
{
	char text[512] = "";
	struct account after;

	inproc_renew(&peer.inproc, INPROC_ANYTHING);
	loop_take_traces();
	account_take(&peer.inproc, &after);
	if (!account_equal(&peer.before, &after, text, sizeof(text)))
		explore_violation("not as it was before: %s", text);
	if (!peer.counted)
		peer_need(account_process(&peer.process), "this process");
	peer.counted = true;
	if (account_new_fd(&peer.process, PEER_FDS) >= 0)
		explore_violation("a descriptor is left open");
}
