/* SPDX-License-Identifier: BSD-3-Clause */
/* stage.c - see stage.h. */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "account.h"
#include "account_process.h"
#include "buf.h"
#include "client_judge.h"
#include "driver.h"
#include "envelope.h"
#include "loop_transport.h"

/* Descriptors of one piece. */
#define STAGE_FDS 8u
/* Descriptors in which a leak is looked for after each input; all of them, so often. */
#define STAGE_LOW_FDS 1024u
#define STAGE_CENSUS 1024u
/* In page requests, of a client that proposes the vIOMMU extension. */
#define STAGE_PAGES 8u
/* An engine may start a helper process, and does so once. */
#define STAGE_AGAIN 2u

static struct {
	bool open;
	bool over;
	struct inproc inproc;
	struct loop *loop;	/* NULL: there is no client */
	struct envelope *envelope;
	struct client_judge *judge;	/* NULL: none */
	struct account before;
	struct account_process process;
	unsigned int inputs;
	unsigned int again;
} stage;

static void stage_need(int error, const char *what)
{
	if (error)
		driver_finding("%s: %s", what, strerror(-error));
}

static void stage_open(void)
{
	stage_need(inproc_open(&stage.inproc, loop_events), "the server does not start");
	stage.envelope = envelope_new();
	stage_need(stage.envelope ? 0 : -ENOMEM, "envelope");
	account_take(&stage.inproc, &stage.before);
	stage_need(account_process(&stage.process), "this process");
	stage.open = true;
}

struct server_instance *stage_server(void)
{
	return stage.inproc.instances[0];
}

static void stage_connect(void)
{
	int socket;

	stage.loop = loop_new(&socket);
	stage_need(stage.loop ? 0 : -EMFILE, "loop");
	stage_need(inproc_connect(&stage.inproc, socket), "no connection");
	stage.over = false;
	envelope_reset(stage.envelope);
}

static void stage_negotiate(uint32_t max_pasids)
{
	struct {
		struct wire_header header;
		struct wire_version version;
		char text[256];
	} version = {
		.header = { .command = WIRE_VERSION },
		.version = { .minor = 1 },
	};
	struct buf_writer text = buf_text_over(version.text, sizeof(version.text));
	struct message *reply;

	buf_text(&text, "{\"capabilities\":{\"max_msg_fds\":8,\"max_dma_maps\":65535");
	if (max_pasids)
		buf_text(&text, ",\"viommu\":{\"version\":1,\"pasid_bits\":8,\"max_pasids\":%u,"
			 "\"page_requests\":%u,\"unmap_range\":true,\"replace\":true}",
			 max_pasids, STAGE_PAGES);
	buf_text(&text, "}}");
	version.header.msg_size = (uint32_t)(sizeof(version) - sizeof(version.text) +
					     strlen(version.text) + 1);
	if (max_pasids)
		envelope_set_page_requests(stage.envelope, STAGE_PAGES);
	stage_send(&version, version.header.msg_size, NULL, 0);
	stage_turn();
	reply = stage_take();
	if (!reply || reply->flags & WIRE_ERROR)
		driver_finding("VERSION is refused");
	message_free(reply);
}

void stage_begin(const struct stage_limits *limits)
{
	if (!stage.open)
		stage_open();
	stage.inproc.options.offer.max_dma_maps = limits->max_dma_maps;
	stage.inproc.options.dma_threads = limits->dma_threads;
	dma_set_quotas(&stage_server()->dma, &limits->quotas);
	stage_server()->device.bar0.engine.env.by_hand = limits->dma_threads > 0;
	if (limits->judged)
		stage_need(client_judge_new(model_readings(), &stage.judge), "model");
	stage_connect();
	stage_negotiate(limits->max_pasids);
}

void stage_send(const void *bytes, size_t size, const int *fd, size_t nfds)
{
	int copies[STAGE_FDS];
	size_t count = 0;

	if (!stage.loop)
		return;
	while (count < nfds && count < STAGE_FDS) {
		copies[count] = fcntl(fd[count], F_DUPFD_CLOEXEC, 0);
		stage_need(copies[count] < 0 ? -errno : 0, "descriptor");
		count++;
	}
	if (envelope_sent(stage.envelope, 0, bytes, size, false))
		driver_finding("no memory for the envelope");
	if (stage.judge)
		stage_need(client_judge_sends(stage.judge, &(struct client_judge_piece){
							   .bytes = bytes,
							   .size = size,
							   .fds = fd,
							   .nfds = nfds,
						   }),
			   "model");
	if (loop_send(stage.loop, bytes, size, copies, count) == -ENOMEM)
		driver_finding("no memory for the loop");
}

void stage_turn(void)
{
	struct server_instance *server = stage_server();

	for (;;) {
		uint32_t events = server->phase == SERVER_BUSY ?
					  loop_events(&server->session.transport) : 0;

		if (!events || server->session.deferred ||
		    server->session.phase == SESSION_CLOSING)
			break;
		server_serve(server, events);
		if (server_is_over(&server->session))
			server_instance_end(server);
	}
}

void stage_look(uint64_t ms)
{
	uint64_t end = stage.inproc.now + ms;

	while (inproc_wait(&stage.inproc, end))
		continue;
}

static void stage_judge(const struct message *message)
{
	struct envelope_violation violation;
	struct model_finding finding;

	envelope_received(stage.envelope, message);
	if (envelope_violations(stage.envelope, 0, &violation))
		driver_finding("%s [%s] %s", violation.code, violation.requirement, violation.text);
	if (!stage.judge)
		return;
	stage_need(client_judge_came(stage.judge, message), "model");
	if (client_judge_findings(stage.judge, 0, &finding))
		driver_finding("%s [%s] %s", finding.code, finding.requirement, finding.text);
}

struct message *stage_take(void)
{
	struct message *message;
	int n = stage.loop ? loop_recv(stage.loop, 0, &message) : 0;

	stage.over = n == 0;
	if (n == -EPROTO)
		driver_finding("what the server sends is no message");
	if (n != 1)
		return NULL;
	stage_judge(message);
	return message;
}

bool stage_is_over(void)
{
	return stage.over;
}

uint32_t stage_outstanding(void)
{
	return envelope_outstanding(stage.envelope);
}

void stage_leave(void)
{
	if (stage.loop)
		loop_free(stage.loop);
	stage.loop = NULL;
	client_judge_free(stage.judge);
	stage.judge = NULL;
}

/* What of the process is more than it was. */
static int stage_count(char *text, size_t size)
{
	bool same;

	if (++stage.inputs % STAGE_CENSUS && account_new_fd(&stage.process, STAGE_LOW_FDS) < 0)
		return 0;
	same = account_same_process(&stage.process, text, size);
	account_process(&stage.process);
	return same ? 0 : -EAGAIN;
}

bool stage_end(void)
{
	struct link_left left = { .rule = &account_anything };
	struct account after;
	int error;

	stage_leave();
	inproc_renew(&stage.inproc, INPROC_ANYTHING);
	loop_take_traces();
	account_take(&stage.inproc, &after);
	if (!account_equal(&stage.before, &after, left.text, sizeof(left.text))) {
		left.rule = account_rule(&stage.before, &after);
		driver_left(&left);
	}
	error = stage_count(left.text, sizeof(left.text));
	stage.again = error ? stage.again + 1 : 0;
	if (stage.again > STAGE_AGAIN)
		driver_left(&left);
	return stage.again;
}
