/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * judged.h - for the unit tests of the model: a conversation that it judges. Each helper sends one
 * command, looks at what the model allows, gives one answer and looks at what it finds. Nothing
 * else is found in between: every finding of a test is one that the test has named.
 */
#ifndef JUDGED_H
#define JUDGED_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_rule.h"

#define JUDGED_REGIONS 10u
#define JUDGED_IRQS 5u
#define JUDGED_LIMIT 4096u	/* max_data_xfer_size of the server */

struct judged {
	struct model *model;
	uint16_t id;
	uint32_t found;		/* findings that the test has named */
};

/* A command with its answer: what `ask` and `answer` take. */
struct judged_part {
	const void *body;
	size_t size;
	const struct model_fd *fds;
	size_t nfds;
};

#define PART(structure) (struct judged_part){ &(structure), sizeof(structure), NULL, 0 }
#define PART_OF(bytes, length) (struct judged_part){ (bytes), (length), NULL, 0 }
#define NOTHING (struct judged_part){ NULL, 0, NULL, 0 }

static const uint8_t judged_zeros[256];

#define ZEROS(length) PART_OF(judged_zeros, length)

static inline void judged_message(struct judged *j, const struct wire_header *header,
				  struct judged_part part, bool reply)
{
	const struct model_message message = {
		.header = header,
		.body = part.body,
		.size = part.size,
		.fds = part.fds,
		.nfds = part.nfds,
	};

	assert_int_equal(reply ? model_received(j->model, &message) :
			 model_sent(j->model, &message), 0);
}

static inline void ask_flagged(struct judged *j, uint16_t command, struct judged_part part,
			       uint32_t flags)
{
	struct wire_header header = {
		.id = ++j->id,
		.command = command,
		.msg_size = (uint32_t)(sizeof(header) + part.size),
		.flags = flags,
	};

	judged_message(j, &header, part, false);
}

static inline void ask(struct judged *j, uint16_t command, struct judged_part part)
{
	ask_flagged(j, command, part, WIRE_TYPE_COMMAND);
}

static inline void answer(struct judged *j, uint16_t command, struct judged_part part)
{
	struct wire_header header = {
		.id = j->id,
		.command = command,
		.msg_size = (uint32_t)(sizeof(header) + part.size),
		.flags = WIRE_TYPE_REPLY,
	};

	judged_message(j, &header, part, true);
}

static inline void answer_error(struct judged *j, uint16_t command)
{
	struct wire_header header = {
		.id = j->id,
		.command = command,
		.msg_size = sizeof(header),
		.flags = WIRE_TYPE_REPLY | WIRE_ERROR,
		.error = EINVAL,
	};

	judged_message(j, &header, NOTHING, true);
}

/* One more finding, and it says that; "" = none. */
static inline void found(struct judged *j, const char *requirement)
{
	struct model_finding finding = { .code = "" };
	uint32_t count = model_findings(j->model, j->found, &finding);

	if (!*requirement) {
		if (count != j->found)
			print_error("%s %s\n", finding.requirement, finding.text);
		assert_int_equal(count, j->found);
		return;
	}
	assert_int_equal(count, j->found + 1);
	assert_string_equal(finding.requirement, requirement);
	assert_true(finding.text[0] != '\0');
	j->found++;
}

static inline struct model_expect allowed(const struct judged *j)
{
	struct model_expect expect;

	assert_true(model_expect(j->model, &expect));
	return expect;
}

/* Nothing but an error is allowed, and that is what comes. */
static inline void is_refused(struct judged *j, uint16_t command, struct judged_part part,
			      const char *requirement)
{
	ask(j, command, part);
	assert_false(allowed(j).ok);
	assert_string_equal(allowed(j).requirement, requirement);
	answer_error(j, command);
	found(j, "");
}

/* The same, and a success is found. It is sent twice. */
static inline void must_fail(struct judged *j, uint16_t command, struct judged_part part,
			     const char *requirement)
{
	is_refused(j, command, part, requirement);
	ask(j, command, part);
	answer(j, command, ZEROS(allowed(j).min_size));
	found(j, requirement);
}

/* Nothing but a success is allowed: an error is found. */
static inline void must_work(struct judged *j, uint16_t command, struct judged_part part,
			     const char *requirement)
{
	ask(j, command, part);
	assert_true(allowed(j).ok);
	assert_false(allowed(j).error);
	assert_string_equal(allowed(j).requirement, requirement);
	answer_error(j, command);
	found(j, requirement);
}

/* Both are allowed. It fails. */
static inline void may_fail(struct judged *j, uint16_t command, struct judged_part part)
{
	ask(j, command, part);
	assert_true(allowed(j).ok && allowed(j).error);
	answer_error(j, command);
	found(j, "");
}

/* A success with this payload: what is wrong with it, "" = nothing. */
static inline void tell(struct judged *j, uint16_t command, struct judged_part part,
			struct judged_part reply, const char *requirement)
{
	ask(j, command, part);
	assert_true(allowed(j).ok);
	answer(j, command, reply);
	found(j, requirement);
}

/* Negotiates, and learns how many regions and types of interrupts there are. */
static inline void judged_begin(struct judged *j)
{
	static const char json[] = "....{\"capabilities\":{\"max_msg_fds\":8,"
				   "\"max_data_xfer_size\":4096,\"write_multiple\":true}}";
	uint8_t version[sizeof(json)];
	const struct wire_version numbers = { 0, 0 };
	struct wire_device_info info = { .argsz = sizeof(info) };

	memcpy(version, json, sizeof(json));
	memcpy(version, &numbers, sizeof(numbers));
	tell(j, WIRE_VERSION, PART(version), PART(version), "");
	info = (struct wire_device_info){ sizeof(info), WIRE_DEVICE_FLAG_PCI |
					  WIRE_DEVICE_FLAG_RESET, JUDGED_REGIONS, JUDGED_IRQS };
	tell(j, WIRE_DEVICE_GET_INFO, PART(((struct wire_device_info){ .argsz = sizeof(info) })),
	     PART(info), "");
}

/* A fixture: a device that nobody has talked to, after the negotiation. */
static inline int judged_set_up(void **state)
{
	const struct model_options options = { .fresh = true };
	struct judged *j = calloc(1, sizeof(*j));

	if (!j || model_new(&options, &j->model))
		return -1;
	judged_begin(j);
	*state = j;
	return 0;
}

static inline int judged_tear_down(void **state)
{
	struct judged *j = *state;

	model_free(j->model);
	free(j);
	return 0;
}

#define JUDGED(test) cmocka_unit_test_setup_teardown(test, judged_set_up, judged_tear_down)

#endif
