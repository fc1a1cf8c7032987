/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model.h - the protocol as an executable specification: what a server may do, and what it did.
 *
 * A model follows one connection. It is told every message that the client has sent, in order, and
 * every message that the server has sent; it says which outcomes the specification allows for each
 * command, with the requirements that say so, and what of that the server did not keep. It does no
 * I/O, waits for nothing, and shares no code with a server but wire.h.
 *
 * What it does not know it does not judge: a device is known by what it has told (GET_INFO,
 * GET_REGION_INFO, GET_IRQ_INFO, VERSION, migration flags), state that another connection may have
 * changed is unknown until it is asked, and a command whose outcome was neither seen (No_reply) nor
 * certain leaves what it touches unknown. The outside of messages (ids, flags, errors without
 * payload) is the envelope checker's (envelope.h).
 *
 * Commands are executed in the order of the stream, so each is judged in the state that the
 * replies before it have left. Memory is bounded (MODEL_*): beyond a bound the model knows less and
 * never judges wrongly.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define MODEL_KEPT 64		/* findings that are kept; all are counted */

enum model_fd_kind {
	MODEL_FD_MEMORY = 0,	/* a file that can be mapped: size and access are known */
	MODEL_FD_EVENTFD = 1,
	MODEL_FD_OTHER = 2,
	MODEL_FD_UNKNOWN = 3,
};

struct model_fd {
	uint32_t kind;
	bool writable;
	bool shrinks;		/* no seal keeps it from being truncated */
	bool fixed;		/* a seal keeps it from becoming longer */
	uint64_t size;
};

/* One message, either way. `body` is what follows the header. */
struct model_message {
	const struct wire_header *header;
	const uint8_t *body;
	size_t size;		/* of the body as it was sent, whatever msg_size says */
	const struct model_fd *fds;	/* of a reply NULL where nobody has looked at them */
	size_t nfds;
	uint32_t channel;	/* 0 = main socket, 1 = twin */
};

/* What a server may do with one command. */
struct model_expect {
	bool ok;		/* a reply without error */
	bool error;
	bool closed;		/* the connection ends, with or without a reply before */
	bool silence;
	uint32_t nerrnos;	/* errnos that are named; 0 = any; but for EEXIST alone, an error of
				 * 0 is always one */
	uint32_t errnos[6];
	uint32_t min_size;	/* of the payload of a success */
	uint32_t max_size;
	uint32_t max_fds;
	char requirement[24];	/* that rules out what is not allowed; "" when all is allowed */
	char why[160];		/* in words: "no mapping begins at 0x1000" */
};

struct model_finding {
	char code[48];		/* "reply.unexpected-success": the codes of a failed case */
	char requirement[24];
	char text[240];		/* what was allowed and what came */
	uint16_t id;
	uint16_t command;
};

/* How the specification is read where it is ambiguous: bit i stands for model_readings()[i]. */
struct model_options {
	uint64_t strict;
	bool fresh;		/* nobody has talked to the device since its server was started */
	bool still;		/* time stands still but where model_passed() says otherwise */
};

/* The names of the readings, as target files have them ("W1"), NULL behind the last. */
const char *const *model_readings(void);

struct model;

/* 0 and *out, to be freed by model_free; -ENOMEM. */
int model_new(const struct model_options *options, struct model **out);
void model_free(struct model *model);

/* As if new, for another connection; keeps what memory it has. Cannot fail. */
void model_renew(struct model *model, const struct model_options *options);

/*
 * What the device has told the other model of its regions, interrupts and features is known to this
 * one, too. Both are of connections to one device, or to devices of one kind.
 */
void model_learn(struct model *model, const struct model *from);

/* Another connection reaches the same device: what it may change there is not known any more. */
void model_share(struct model *model);

/*
 * The client has sent a whole message, or one whose msg_size is below the header's: what comes
 * behind that is not judged. Commands wait in the model for their outcome; replies end the
 * server's requests. 0; -ENOMEM.
 */
int model_sent(struct model *model, const struct model_message *message);

/* The client has sent something that is no message, or cut one short: framing is lost. */
void model_broke(struct model *model);

/* The server has sent this. 0; -ENOMEM. What is wrong with it becomes a finding. */
int model_received(struct model *model, const struct model_message *message);

/* Time has passed, in which a device may have given up what it waited for. */
void model_passed(struct model *model);

/* The server has closed the connection. What it may not leave unanswered becomes a finding. */
void model_closed(struct model *model);

/* Nothing more came for as long as anyone waits: what must be answered and was not is found. */
void model_waited(struct model *model);

/* What the command sent last may lead to, by what is known now; false if nothing was sent. */
bool model_expect(struct model *model, struct model_expect *out);

/* "success, or error EINVAL|ENOENT": what is allowed, in words. Cut to size - 1. */
void model_expect_text(const struct model_expect *expect, char *text, size_t size);

/* Number of findings so far; fills *out with number `index` if it was kept. */
uint32_t model_findings(const struct model *model, uint32_t index, struct model_finding *out);

/* ---- what is known, for generators: what the server announced, or the default ---- */

uint64_t model_limit(const struct model *model, uint32_t base);	/* enum program_base */

/* What of the vIOMMU extension was negotiated, by bit; 0: it was not. */
enum model_extension {
	MODEL_EXTENDED = 1,
	MODEL_REPLACES = 2,
};

uint32_t model_extension(const struct model *model);

/* Mappings that are alive: fills [*address, *size) number `index`; false behind the last. */
bool model_mapping(const struct model *model, uint32_t index, uint64_t *address, uint64_t *size);

/* Requests of the server that wait for a reply. */
uint32_t model_requests(const struct model *model);

#endif
