/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * envelope.h - judges the outside of every message that a server sends, so that no case has to.
 *
 * The client enters the commands that it sends, then every message that it receives. The checker
 * keeps the commands that wait for a reply and writes down each violation: type, flags, echo of id
 * and command, exactly one reply on the channel of the command, header-only errors, errno, least
 * size, number of descriptors. It does no I/O, changes nothing and refuses nothing.
 *
 * A reply is matched with the oldest command of the same channel, id and number: ids may repeat
 * while in flight (HDR-ID-002). The first ENVELOPE_KEPT violations are kept, all are counted.
 */
#ifndef ENVELOPE_H
#define ENVELOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"

#define ENVELOPE_KEPT 64

/* Layout of struct vuc_violation. */
struct envelope_violation {
	char code[48];		/* "envelope.error-with-payload" */
	char requirement[24];	/* "HDR-ERR-005" */
	char text[200];		/* what came and what was allowed */
};

struct envelope;

/* A checker with nothing outstanding and a limit of one descriptor per message. NULL: no memory. */
struct envelope *envelope_new(void);
void envelope_free(struct envelope *envelope);

/* As a new one, with the memory that it has. */
void envelope_reset(struct envelope *envelope);

/* What this side announced as max_msg_fds (FD-PASS-006). */
void envelope_set_max_fds(struct envelope *envelope, uint32_t max_msg_fds);

/*
 * What was negotiated as page_requests of the vIOMMU extension: unless it is 0 the server may send
 * PAGE_REQUEST, with No_reply.
 */
void envelope_set_page_requests(struct envelope *envelope, uint32_t pages);

/* The poc dialect of that extension is spoken: the server may ask for pages by its command. */
void envelope_set_poc(struct envelope *envelope);

/* From now on server commands belong on channel 1 (TWIN-IO-001). */
void envelope_set_twin(struct envelope *envelope);

/*
 * Enter the commands that stand in `bytes`, which begin with a header. Whole messages are
 * entered; messages of another type than command are passed over. With `maybe` a reply may come
 * or not, and a last header counts too whose msg_size is wrong or whose body is not all there.
 * Without it, one with No_reply must not be answered, but for VERSION (HDR-REPLY-004), and any
 * other must be. 0 or -ENOMEM.
 */
int envelope_sent(struct envelope *envelope, uint32_t channel, const void *bytes, size_t size,
		  bool maybe);

/* Judge one message, before a descriptor is taken out of it. */
void envelope_received(struct envelope *envelope, const struct message *message);

/* Commands that must be answered and were not yet. */
uint32_t envelope_outstanding(const struct envelope *envelope);

/* Number of violations so far; fills *out with number `index` if it was kept. */
uint32_t envelope_violations(const struct envelope *envelope, uint32_t index,
			     struct envelope_violation *out);

#endif
