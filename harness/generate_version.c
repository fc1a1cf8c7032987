/* SPDX-License-Identifier: BSD-3-Clause */
/* generate_version.c - VERSION, as it may be and as it may not be; see generate.h. */
#include <string.h>

#include "buf.h"
#include "generate_draft.h"
#include "wire.h"

/* So often of a hundred a client that has capabilities offers the vIOMMU extension. */
#define GENERATE_OFFERS 40

/* A number that a client may say, or one that it may not. */
static uint32_t generate_some(struct generate *generate, uint32_t usual)
{
	return generate_chance(generate, 85) ? usual :
					       (uint32_t)generate_limit(generate, 4);
}

static void generate_capabilities(struct generate *generate, struct buf_writer *text)
{
	buf_text(text, "{\"capabilities\":{\"max_msg_fds\":%u",
		 generate_some(generate, generate_chance(generate, 70) ?
			       1 + generate_below(generate, 16) : generate_below(generate, 3)));
	if (generate_chance(generate, 60))
		buf_text(text, ",\"max_data_xfer_size\":%u",
			 generate_some(generate, generate_chance(generate, 92) ?
				       GENERATE_PAGE << generate_below(generate, 9) :
				       1 + generate_below(generate, 64)));
	if (generate_chance(generate, 30))
		buf_text(text, ",\"max_dma_maps\":%u",
			 generate_some(generate, generate_below(generate, 70000)));
	if (generate_chance(generate, 30))
		buf_text(text, ",\"pgsizes\":%u", generate_some(generate, GENERATE_PAGE));
	if (generate_chance(generate, 40))
		buf_text(text, ",\"write_multiple\":true");
	if (generate_chance(generate, 10))
		buf_text(text, ",\"twin_socket\":{\"supported\":true}");
	if (generate_chance(generate, 10))
		buf_text(text, ",\"migration\":{\"pgsize\":%u}", GENERATE_PAGE);
	if (generate_chance(generate, GENERATE_OFFERS))
		generate_offer(generate, text);
	buf_text(text, "}}");
}

/* Text that is none: the end inside of it, or brackets without end. */
static void generate_spoil(const struct generate_draft *draft, char *text, uint32_t size)
{
	static const char bracket[] = "{\"a\":[";
	char deep[1024];
	uint32_t at = generate_below(draft->generate, size);

	switch (generate_below(draft->generate, 4)) {
	case 0:
		text[at] = '\0';
		break;
	case 1:
		text[at] = (char)generate_random(draft->generate);
		break;
	case 2:
		generate_data(draft, "{}\0{}", 6);
		return;
	default:
		memset(deep, '[', sizeof(deep));
		memcpy(deep, bracket, sizeof(bracket) - 1);
		deep[sizeof(deep) - 1] = '\0';
		generate_data(draft, deep, sizeof(deep));
		return;
	}
	generate_data(draft, text, size);
}

void generate_greet(struct generate_draft *draft)
{
	struct generate *generate = draft->generate;
	char bytes[512];
	struct buf_writer text = buf_text_over(bytes, sizeof(bytes));

	generate_send(draft, WIRE_VERSION);
	generate_give(draft, "minor", generate_chance(generate, 90) ? 1 : 0);
	if (generate_chance(generate, 3))
		generate_give(draft, "major", 1);
	if (generate_chance(generate, 10))
		return;
	generate_capabilities(generate, &text);
	if (generate_chance(generate, 2))
		generate_spoil(draft, bytes, (uint32_t)strlen(bytes) + 1);
	else
		generate_data(draft, bytes, strlen(bytes) + generate_chance(generate, 98));
}

bool generate_version(struct generate *generate, struct program *program, uint32_t at,
		      uint8_t connection)
{
	struct generate_draft draft = {
		.generate = generate,
		.program = program,
		.at = at,
		.connection = connection,
	};

	generate_greet(&draft);
	return !draft.full;
}
