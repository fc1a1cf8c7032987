/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes over a connection as the text of a program: client_note.h and note.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "client_note.h"
#include "text.h"
#include "wire.h"

#define COMMAND(number, name, length) \
	{ .id = (number), .command = (name), .msg_size = sizeof(struct wire_header) + (length) }

static int setup(void **state)
{
	*state = client_note_new();
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	client_note_free(*state);
	return 0;
}

static void sends(struct client_note *note, const struct wire_header *header, const void *body,
		  struct client_send what)
{
	uint8_t bytes[8192];

	memcpy(bytes, header, sizeof(*header));
	memcpy(bytes + sizeof(*header), body, header->msg_size - sizeof(*header));
	what.bytes = bytes;
	what.size = header->msg_size;
	client_note_sends(note, &what);
}

static void asks(struct client_note *note, uint16_t id, uint32_t flags)
{
	const struct message message = { .id = id, .command = WIRE_DMA_WRITE, .flags = flags };

	client_note_came(note, &message);
}

static void assert_text(struct client_note *note, const char *wanted)
{
	static char text[TEXT_SIZE + CLIENT_NOTE_COMMENT];

	assert_true(client_note_print(note, text, sizeof(text)) >= 0);
	assert_string_equal(text, wanted);
}

static void test_command_without_an_answer_need_not_have_one(void **state)
{
	const struct wire_header header = COMMAND(1, WIRE_DEVICE_RESET, 0);

	sends(*state, &header, "", (struct client_send){ 0 });
	assert_text(*state, "device_reset() (maybe)\n");
}

static void test_reply_answers_what_has_waited_longest(void **state)
{
	const struct wire_dma_access body = { 0x1000, 4 };
	struct wire_header header = COMMAND(7, WIRE_DMA_WRITE, sizeof(body));

	header.flags = WIRE_TYPE_REPLY;
	asks(*state, 7, 0);
	asks(*state, 8, 0);
	sends(*state, &header, &body, (struct client_send){ .channel = CLIENT_TWIN });
	assert_text(*state, "reply(dma_write, address=0x1000, count=4) (twin)\n");
}

static void test_reply_to_nothing_is_bytes(void **state)
{
	struct wire_header header = COMMAND(9, WIRE_DMA_WRITE, 0);

	header.flags = WIRE_TYPE_REPLY;
	asks(*state, 7, 0);
	sends(*state, &header, "", (struct client_send){ 0 });
	assert_text(*state, "raw(data=u32(0xc0009, 0x10, 1, 0))\n");
}

static void test_rest_of_a_message_is_bytes(void **state)
{
	const struct wire_header header = COMMAND(1, WIRE_DEVICE_RESET, 4);
	struct client_send half = { .bytes = &header, .size = sizeof(header) };

	client_note_sends(*state, &half);
	half = (struct client_send){ .bytes = "abcd", .size = 4 };
	client_note_sends(*state, &half);
	half = (struct client_send){ .bytes = "efgh", .size = 4 };
	client_note_sends(*state, &half);
	assert_text(*state, "device_reset(header.msg_size=0x14) (nowait, maybe)\n"
			    "raw(data=\"abcd\")\nraw(data=\"efgh\")\n");
}

static void test_pieces_beyond_those_of_a_step_are_one(void **state)
{
	const struct wire_header header = COMMAND(1, WIRE_DEVICE_RESET, 0);
	const struct client_part parts[] = {
		{ 1, 0 }, { 2, 0 }, { 3, 0 }, { 4, 0 }, { 5, 0 }, { 16, 0 },
	};
	const struct client_send what = { .parts = parts, .nparts = 6 };
	const struct message reply = {
		.id = 1, .command = WIRE_DEVICE_RESET, .flags = WIRE_TYPE_REPLY,
	};

	sends(*state, &header, "", what);
	client_note_came(*state, &reply);
	assert_text(*state, "device_reset() (pieces: 1 2 3 4)\n");
}

static void test_descriptors_are_made_once_each(void **state)
{
	const struct wire_header header = COMMAND(1, WIRE_DEVICE_RESET, 0);
	int32_t fds[4] = { eventfd(0, 0), eventfd(0, 0), memfd_create("a", 0), 0 };

	fds[3] = fds[0];
	sends(*state, &header, "", (struct client_send){ .fds = fds, .nfds = 4 });
	for (uint32_t i = 0; i < 3; i++)
		close(fds[i]);
	assert_text(*state, "r0 = eventfd(size=0)\nr1 = eventfd(size=0)\n"
			    "r2 = memfd(size=0, seals=SEAL)\n"
			    "device_reset(fds=[r0, r1, r2, r0]) (maybe)\n");
}

static void test_first_byte_of_a_long_write_stands_for_all(void **state)
{
	static const uint8_t body[sizeof(struct wire_region_access) + 4096] = {
		[12] = 0, [13] = 16, [16] = 7, [17] = 8,
	};
	const struct wire_header header = COMMAND(1, WIRE_REGION_WRITE, sizeof(body));

	sends(*state, &header, body, (struct client_send){ 0 });
	assert_text(*state, "region_write(data=0x7*4096) (maybe)\n");
}

static void test_end_of_sending_counts_unless_it_is_the_last(void **state)
{
	const struct wire_header header = COMMAND(1, WIRE_DEVICE_RESET, 0);

	client_note_ends(*state);
	sends(*state, &header, "", (struct client_send){ 0 });
	client_note_ends(*state);
	assert_text(*state, "shutdown(c0)\ndevice_reset() (maybe)\n");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(test_command_without_an_answer_need_not_have_one),
		CASE(test_reply_answers_what_has_waited_longest),
		CASE(test_reply_to_nothing_is_bytes),
		CASE(test_rest_of_a_message_is_bytes),
		CASE(test_pieces_beyond_those_of_a_step_are_one),
		CASE(test_descriptors_are_made_once_each),
		CASE(test_first_byte_of_a_long_write_stands_for_all),
		CASE(test_end_of_sending_counts_unless_it_is_the_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
