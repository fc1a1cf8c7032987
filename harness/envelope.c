/* SPDX-License-Identifier: BSD-3-Clause */
/* envelope.c - see envelope.h. */
#include "envelope.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "schema.h"
#include "wire.h"
#include "wire_ext.h"

#define ENVELOPE_MAX_ERRNO 4095u	/* MAX_ERRNO of the kernel */

/* What is remembered of a command that was sent. */
struct envelope_command {
	uint16_t id;
	uint16_t number;
	uint16_t least;		/* smallest payload of a success reply */
	uint8_t channel;
	bool done;		/* answered; its place is reused when the list grows */
};

/* Commands in the order of sending. Everything in front of `head` is done. */
struct envelope_list {
	struct envelope_command *at;
	size_t head;
	size_t count;
	size_t room;
	uint32_t live;
};

enum envelope_rule {
	ENVELOPE_TYPE,
	ENVELOPE_UNEXPECTED,
	ENVELOPE_WRONG_ID,
	ENVELOPE_WRONG_COMMAND,
	ENVELOPE_WRONG_CHANNEL,
	ENVELOPE_NO_REPLY,
	ENVELOPE_FLAGS,
	ENVELOPE_ERROR_PAYLOAD,
	ENVELOPE_ERROR_FDS,
	ENVELOPE_ERRNO_RANGE,
	ENVELOPE_ERRNO_ON_SUCCESS,
	ENVELOPE_TOO_MANY_FDS,
	ENVELOPE_FDS_WITHOUT,
	ENVELOPE_PAYLOAD_SIZE,
	ENVELOPE_SHORT,
	ENVELOPE_DIRECTION,
	ENVELOPE_NOT_ON_TWIN,
	ENVELOPE_WANTS_REPLY,
};

/* `allowed` is followed by a number. */
static const struct {
	const char *code;
	const char *requirement;
	const char *allowed;
} envelope_rules[] = {
	[ENVELOPE_TYPE] = { "wrong-type", "HDR-FLAG-001", "type 0 or 1, not" },
	[ENVELOPE_UNEXPECTED] = { "unexpected-reply", "HDR-REPLY-001",
				  "one reply to a command; others that wait:" },
	[ENVELOPE_WRONG_ID] = { "unexpected-reply", "HDR-ID-001", "the command's id" },
	[ENVELOPE_WRONG_COMMAND] = { "wrong-command", "HDR-CMD-001",
				     "the command with that id:" },
	[ENVELOPE_WRONG_CHANNEL] = { "wrong-channel", "CONN-SOCK-001",
				     "the socket of the command:" },
	[ENVELOPE_NO_REPLY] = { "reply-to-no-reply", "HDR-REPLY-002",
				"replies to what has No_reply:" },
	[ENVELOPE_FLAGS] = { "flags", "HDR-FLAG-005", "none of the flags" },
	[ENVELOPE_ERROR_PAYLOAD] = { "error-with-payload", "HDR-ERR-005",
				     "bytes of an error reply:" },
	[ENVELOPE_ERROR_FDS] = { "error-with-fds", "HDR-ERR-006",
				 "descriptors of an error reply:" },
	[ENVELOPE_ERRNO_RANGE] = { "errno-range", "HDR-ERR-003", "an errno of at most" },
	[ENVELOPE_ERRNO_ON_SUCCESS] = { "errno-on-success", "HDR-ERR-003",
					"error field of a success:" },
	[ENVELOPE_TOO_MANY_FDS] = { "too-many-fds", "FD-PASS-006",
				    "descriptors, by max_msg_fds:" },
	[ENVELOPE_FDS_WITHOUT] = { "fds-on-reply-without", "FD-PASS-001",
				   "descriptors of such a message:" },
	[ENVELOPE_PAYLOAD_SIZE] = { "payload-size", "HDR-SIZE-001",
				    "bytes behind the header at least:" },
	[ENVELOPE_SHORT] = { "short-message", "HDR-FMT-001",
			     "bytes behind the header at least:" },
	[ENVELOPE_DIRECTION] = { "wrong-direction", "HDR-FMT-001",
				 "DMA_READ, DMA_WRITE of a server, not" },
	[ENVELOPE_NOT_ON_TWIN] = { "wrong-channel", "TWIN-IO-001",
				   "server commands on the twin socket, channel" },
	[ENVELOPE_WANTS_REPLY] = { "flags", "VE-REQ-001", "flags of a page request:" },
};

struct envelope {
	struct envelope_list must;	/* have to be answered */
	struct envelope_list may;	/* may be answered */
	struct envelope_list silent;	/* No_reply */
	struct envelope_command last;	/* answered last */
	uint32_t max_fds;
	uint32_t violations;
	bool twin;
	bool pages;		/* the server may send page requests */
	bool poc;		/* those of the poc dialect */
	struct envelope_violation kept[ENVELOPE_KEPT];
};

struct envelope *envelope_new(void)
{
	struct envelope *envelope = malloc(sizeof(*envelope));

	if (!envelope)
		return NULL;
	/* What is kept is the most of it, and most often nothing is. */
	memset(envelope, 0, offsetof(struct envelope, kept));
	envelope->max_fds = WIRE_DEFAULT_MAX_MSG_FDS;
	return envelope;
}

void envelope_free(struct envelope *envelope)
{
	if (!envelope)
		return;
	free(envelope->must.at);
	free(envelope->may.at);
	free(envelope->silent.at);
	free(envelope);
}

static void envelope_list_reset(struct envelope_list *list)
{
	list->head = list->count = 0;
	list->live = 0;
}

void envelope_reset(struct envelope *envelope)
{
	envelope_list_reset(&envelope->must);
	envelope_list_reset(&envelope->may);
	envelope_list_reset(&envelope->silent);
	envelope->last = (struct envelope_command){ 0 };
	envelope->max_fds = WIRE_DEFAULT_MAX_MSG_FDS;
	envelope->violations = 0;
	envelope->twin = false;
	envelope->pages = false;
	envelope->poc = false;
}

void envelope_set_max_fds(struct envelope *envelope, uint32_t max_msg_fds)
{
	envelope->max_fds = max_msg_fds;
}

void envelope_set_page_requests(struct envelope *envelope, uint32_t pages)
{
	envelope->pages = pages;
}

void envelope_set_poc(struct envelope *envelope)
{
	envelope->poc = true;
}

void envelope_set_twin(struct envelope *envelope)
{
	envelope->twin = true;
}

/* Squeeze out what is done, then make room for one more. */
static int envelope_list_grow(struct envelope_list *list)
{
	struct envelope_command *larger;
	size_t kept = 0;
	size_t room;

	for (size_t i = list->head; i < list->count; i++)
		if (!list->at[i].done)
			list->at[kept++] = list->at[i];
	list->head = 0;
	list->count = kept;
	if (kept < list->room / 2)
		return 0;
	room = list->room ? list->room * 2 : 16;
	larger = realloc(list->at, room * sizeof(*larger));
	if (!larger)
		return -ENOMEM;
	list->at = larger;
	list->room = room;
	return 0;
}

static int envelope_list_add(struct envelope_list *list, const struct envelope_command *command)
{
	if (list->count == list->room) {
		int error = envelope_list_grow(list);

		if (error)
			return error;
	}
	list->at[list->count++] = *command;
	list->live++;
	return 0;
}

/* What of a command has to agree with a reply to be a match. */
enum envelope_match {
	ENVELOPE_ID = 1,
	ENVELOPE_NUMBER = 2,
	ENVELOPE_CHANNEL = 4,
	ENVELOPE_EXACT = 7,
};

static bool envelope_agree(const struct envelope_command *c, const struct message *m,
			   unsigned int what)
{
	return (!(what & ENVELOPE_ID) || c->id == m->id) &&
	       (!(what & ENVELOPE_NUMBER) || c->number == m->command) &&
	       (!(what & ENVELOPE_CHANNEL) || c->channel == m->channel);
}

static struct envelope_command *envelope_list_find(const struct envelope_list *list,
						   const struct message *m, unsigned int what)
{
	for (size_t i = list->head; i < list->count; i++)
		if (!list->at[i].done && envelope_agree(&list->at[i], m, what))
			return &list->at[i];
	return NULL;
}

static void envelope_list_done(struct envelope_list *list, struct envelope_command *command)
{
	command->done = true;
	list->live--;
	while (list->head < list->count && list->at[list->head].done)
		list->head++;
}

/* A message in a few words. */
static void envelope_describe(const struct message *m, struct buf_writer *text)
{
	const struct schema_command *row = schema_command(m->command);

	if ((m->flags & WIRE_TYPE_MASK) == WIRE_TYPE_COMMAND)
		buf_text(text, "command ");
	else if (m->flags & WIRE_ERROR)
		buf_text(text, "error %u to ", m->error);
	else
		buf_text(text, "success of ");
	buf_text(text, "%s(%u), id %u, %u bytes", row ? row->name : "unknown", m->command, m->id,
		 m->msg_size);
	if (m->flags & ~(WIRE_TYPE_REPLY | WIRE_ERROR))
		buf_text(text, ", flags 0x%x", m->flags);
	if (m->error && !(m->flags & WIRE_ERROR))
		buf_text(text, ", error %u", m->error);
	if (m->nfds)
		buf_text(text, ", %u descriptors", m->nfds);
}

/* Write down that `m` breaks a rule; `number` completes the text of the rule. */
static void envelope_blame(struct envelope *envelope, const struct message *m,
			   enum envelope_rule rule, uint32_t number)
{
	uint32_t index = envelope->violations++;
	struct envelope_violation *v;
	struct buf_writer text;

	if (index >= ENVELOPE_KEPT)
		return;
	v = &envelope->kept[index];
	text = buf_text_over(v->code, sizeof(v->code));
	buf_text(&text, "envelope.%s", envelope_rules[rule].code);
	text = buf_text_over(v->requirement, sizeof(v->requirement));
	buf_text(&text, "%s", envelope_rules[rule].requirement);
	text = buf_text_over(v->text, sizeof(v->text));
	buf_text(&text, "came: ");
	envelope_describe(m, &text);
	buf_text(&text, "; allowed: %s %u", envelope_rules[rule].allowed, number);
}

/* The smallest payload of a success reply: the fixed part, or what argsz leaves of it. */
static uint16_t envelope_least(uint16_t command, struct buf_reader body)
{
	const struct schema_command *row = schema_command(command);
	const struct schema_field *argsz;
	uint32_t announced;

	if (!row || !row->reply_size)
		return 0;
	argsz = schema_argsz(command);
	if (!argsz)
		return (uint16_t)row->reply_size;
	buf_skip(&body, argsz->offset);
	buf_read(&body, &announced, sizeof(announced));
	return (uint16_t)(announced < row->reply_size ? announced : row->reply_size);
}

static int envelope_enter(struct envelope *envelope, uint32_t channel,
			  const struct wire_header *header, struct buf_reader body, bool maybe)
{
	struct envelope_command command = {
		.id = header->id,
		.number = header->command,
		.channel = (uint8_t)channel,
		.least = envelope_least(header->command, body),
	};

	if (maybe)
		return envelope_list_add(&envelope->may, &command);
	if ((header->flags & WIRE_TYPE_MASK) != WIRE_TYPE_COMMAND)
		return 0;
	if (header->flags & WIRE_NO_REPLY)
		return envelope_list_add(header->command == WIRE_VERSION ? &envelope->may :
					 &envelope->silent, &command);
	return envelope_list_add(&envelope->must, &command);
}

int envelope_sent(struct envelope *envelope, uint32_t channel, const void *bytes, size_t size,
		  bool maybe)
{
	struct buf_reader reader = buf_reader_over(bytes, size);
	int error = 0;

	while (!error && buf_left(&reader) >= sizeof(struct wire_header)) {
		struct wire_header header;
		struct buf_reader body;
		size_t payload;

		buf_read(&reader, &header, sizeof(header));
		payload = (size_t)header.msg_size - sizeof(header);
		body = buf_reader_over(reader.data + reader.at, buf_left(&reader));
		if (header.msg_size < sizeof(header) || payload > buf_left(&reader))
			return maybe ? envelope_enter(envelope, channel, &header, body, maybe) : 0;
		body.size = payload;
		error = envelope_enter(envelope, channel, &header, body, maybe);
		buf_skip(&reader, payload);
	}
	return error;
}

/* Blame `m` with a command that agrees with it in `what` only. False if there is none. */
static bool envelope_nearest(struct envelope *envelope, const struct message *m,
			     unsigned int what)
{
	struct envelope_list *lists[] = { &envelope->must, &envelope->may };

	for (size_t l = 0; l < sizeof(lists) / sizeof(*lists); l++) {
		struct envelope_command *c = envelope_list_find(lists[l], m, what);

		if (!c)
			continue;
		if (!(what & ENVELOPE_ID)) {
			envelope_blame(envelope, m, ENVELOPE_WRONG_ID, c->id);
			return true;
		}
		if (what & ENVELOPE_NUMBER)
			envelope_blame(envelope, m, ENVELOPE_WRONG_CHANNEL, c->channel);
		else
			envelope_blame(envelope, m, ENVELOPE_WRONG_COMMAND, c->number);
		envelope_list_done(lists[l], c);
		return true;
	}
	return false;
}

/*
 * A reply to nothing that waits on this channel with this id and number: say what comes nearest. A
 * second reply to the last command is just that, and one with a wrong id strikes nothing out.
 */
static void envelope_stray(struct envelope *envelope, const struct message *m)
{
	bool again = envelope->last.done && envelope_agree(&envelope->last, m, ENVELOPE_EXACT);

	if (again || (!envelope_nearest(envelope, m, ENVELOPE_ID | ENVELOPE_NUMBER) &&
		      !envelope_nearest(envelope, m, ENVELOPE_ID | ENVELOPE_CHANNEL) &&
		      !envelope_nearest(envelope, m, ENVELOPE_NUMBER | ENVELOPE_CHANNEL)))
		envelope_blame(envelope, m, ENVELOPE_UNEXPECTED, envelope->must.live);
}

/* Find what `m` answers and strike it out. Returns the least payload of a success reply. */
static uint32_t envelope_answer(struct envelope *envelope, const struct message *m)
{
	struct envelope_list *lists[] = { &envelope->must, &envelope->may, &envelope->silent };

	for (size_t l = 0; l < sizeof(lists) / sizeof(*lists); l++) {
		struct envelope_command *c = envelope_list_find(lists[l], m, ENVELOPE_EXACT);
		uint32_t least;

		if (!c)
			continue;
		least = c->least;
		if (lists[l] == &envelope->silent)
			envelope_blame(envelope, m, ENVELOPE_NO_REPLY, 0);
		envelope_list_done(lists[l], c);
		envelope->last = *c;
		return least;
	}
	envelope_stray(envelope, m);
	return 0;
}

static void envelope_judge_error(struct envelope *envelope, const struct message *m)
{
	if (m->msg_size != sizeof(struct wire_header))
		envelope_blame(envelope, m, ENVELOPE_ERROR_PAYLOAD, sizeof(struct wire_header));
	if (m->nfds)
		envelope_blame(envelope, m, ENVELOPE_ERROR_FDS, 0);
	if (m->error > ENVELOPE_MAX_ERRNO)
		envelope_blame(envelope, m, ENVELOPE_ERRNO_RANGE, ENVELOPE_MAX_ERRNO);
}

static void envelope_judge_reply(struct envelope *envelope, const struct message *m)
{
	const struct schema_command *row = schema_command(m->command);
	uint32_t surplus = m->flags & ~(WIRE_TYPE_MASK | WIRE_ERROR);
	uint32_t least = envelope_answer(envelope, m);

	if (surplus)
		envelope_blame(envelope, m, ENVELOPE_FLAGS, surplus);
	if (m->flags & WIRE_ERROR) {
		envelope_judge_error(envelope, m);
		return;
	}
	if (m->error)
		envelope_blame(envelope, m, ENVELOPE_ERRNO_ON_SUCCESS, 0);
	if (m->msg_size - sizeof(struct wire_header) < least)
		envelope_blame(envelope, m, ENVELOPE_PAYLOAD_SIZE, least);
	if (m->nfds > (row ? row->reply_fds : 0))
		envelope_blame(envelope, m, ENVELOPE_FDS_WITHOUT, row ? row->reply_fds : 0);
}

static void envelope_judge_poc(struct envelope *envelope, const struct message *m)
{
	uint32_t least = sizeof(struct wire_poc_page);

	if (m->msg_size - sizeof(struct wire_header) < least)
		envelope_blame(envelope, m, ENVELOPE_SHORT, least);
	if (m->nfds)
		envelope_blame(envelope, m, ENVELOPE_FDS_WITHOUT, 0);
}

static void envelope_judge_command(struct envelope *envelope, const struct message *m)
{
	const struct schema_command *row = schema_command(m->command);

	if (envelope->twin && m->channel == 0)
		envelope_blame(envelope, m, ENVELOPE_NOT_ON_TWIN, 1);
	if (envelope->poc && m->command == WIRE_POC_PAGE_REQUEST) {
		envelope_judge_poc(envelope, m);
		return;
	}
	if (!row || row->direction != SCHEMA_TO_CLIENT ||
	    (row->number >= SCHEMA_EXTENSION && !envelope->pages)) {
		envelope_blame(envelope, m, ENVELOPE_DIRECTION, m->command);
		return;
	}
	if (row->number == WIRE_PAGE_REQUEST && m->flags != WIRE_NO_REPLY)
		envelope_blame(envelope, m, ENVELOPE_WANTS_REPLY, WIRE_NO_REPLY);
	if (m->msg_size - sizeof(struct wire_header) < row->request_size)
		envelope_blame(envelope, m, ENVELOPE_SHORT, row->request_size);
	if (m->nfds > row->request_fds)
		envelope_blame(envelope, m, ENVELOPE_FDS_WITHOUT, row->request_fds);
}

void envelope_received(struct envelope *envelope, const struct message *message)
{
	uint32_t type = message->flags & WIRE_TYPE_MASK;

	if (type == WIRE_TYPE_REPLY)
		envelope_judge_reply(envelope, message);
	else if (type == WIRE_TYPE_COMMAND)
		envelope_judge_command(envelope, message);
	else
		envelope_blame(envelope, message, ENVELOPE_TYPE, type);
	if (message->nfds > envelope->max_fds)
		envelope_blame(envelope, message, ENVELOPE_TOO_MANY_FDS, envelope->max_fds);
}

uint32_t envelope_outstanding(const struct envelope *envelope)
{
	return envelope->must.live;
}

uint32_t envelope_violations(const struct envelope *envelope, uint32_t index,
			     struct envelope_violation *out)
{
	if (index < envelope->violations && index < ENVELOPE_KEPT)
		*out = envelope->kept[index];
	return envelope->violations;
}
