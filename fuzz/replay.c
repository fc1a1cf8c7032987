/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.c - the main of a fuzz target without a fuzzer: runs the files that are named, one after
 * the other, with whatever compiler there is. What the target finds ends the program.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MOST (1U << 20) /* bytes of a file */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t bytes[MOST];

static int replay(const char *name)
{
	FILE *file = fopen(name, "rb");
	size_t size;

	if (!file) {
		perror(name);
		return 1;
	}
	size = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	printf("%s: %zu bytes\n", name, size);
	fflush(stdout);
	return LLVMFuzzerTestOneInput(bytes, size);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		fprintf(stderr, "usage: %s FILE...\n", argv[0]);
		return 2;
	}
	for (int i = 1; i < argc; i++) {
		if (replay(argv[i]) != 0)
			return 1;
	}
	return 0;
}
