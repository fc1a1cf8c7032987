/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_text.c - programs as bytes and as text: each form gives back what it was made from. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pack.h"
#include "text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct program first, second;
static uint8_t packed[PACK_SIZE];
static char printed[TEXT_SIZE], again[TEXT_SIZE];

static void must(int fine)
{
	if (!fine)
		abort();
}

/* The program in `first` by way of its text, and that text by way of the program. */
static void by_text(void)
{
	struct text_error error;
	int length = text_print(&first, printed, sizeof(printed));

	must(length >= 0);
	must(text_parse(&second, printed, (size_t)length, &error) == 0);
	must(program_equal(&first, &second));
	must(text_print(&second, again, sizeof(again)) == length);
	must(strcmp(printed, again) == 0);
}

/* The same by way of its bytes. */
static void by_bytes(void)
{
	int length = pack_program(&first, packed, sizeof(packed));

	must(length >= 0);
	pack_parse(&second, packed, (size_t)length);
	must(program_equal(&first, &second));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct text_error error;

	pack_parse(&first, data, size);
	by_text();
	by_bytes();
	if (text_parse(&first, (const char *)data, size, &error) == 0) {
		by_text();
		by_bytes();
	} else {
		must(error.line > 0 && error.column > 0 && error.text[0]);
	}
	return 0;
}
