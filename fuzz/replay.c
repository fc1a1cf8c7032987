/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - the main of a fuzz target without a fuzzer: runs the files that are named, one after
 * the other, with whatever compiler there is. What the target finds ends the program.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"

#define MOST (1U << 20) /* bytes of a file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t bytes[MOST];

static int replay(const char *name)
{
	int fd = input_open(name);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");
	size_t size;

	if (!file) {
		fprintf(stderr, "%s: %s\n", name, fd < 0 ? strerror(-fd) : "cannot be read");
		return 3;
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	printf("%s: %zu bytes\n", name, size);
	fflush(stdout);
	return LLVMFuzzerTestOneInput(bytes, size);
}

int main(int argc, char **argv)
{
	int result = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc && !result; i++)
		result = replay(argv[i]);
	return result;
}
