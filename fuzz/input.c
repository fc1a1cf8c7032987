/* SPDX-License-Identifier: BSD-3-Clause */
/* input.c - see input.h. */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pack.h"
#include "text.h"

#define INPUT_SUFFIX ".prog"
#define INPUT_TEXT ((size_t)16 << 20)	/* the largest that is read */

static bool input_is_text(const char *path)
{
	size_t length = strlen(path), suffix = strlen(INPUT_SUFFIX);

	return path[0] != '-' && length > suffix &&
	       strcmp(path + length - suffix, INPUT_SUFFIX) == 0;
}

/* The number of bytes, or -errno. */
static int input_pack(const char *path, char *text, struct program *program, uint8_t *packed)
{
	FILE *file = fopen(path, "re");
	struct text_error error;
	size_t size;

	if (!file)
		return -errno;
	size = fread(text, 1, INPUT_TEXT, file);
	fclose(file);
	if (text_parse(program, text, size, &error)) {
		fprintf(stderr, "%s:%u:%u: %s\n", path, error.line, error.column, error.text);
		return -EINVAL;
	}
	return pack_program(program, packed, PACK_SIZE);
}

static int input_store(const uint8_t *bytes, size_t size)
{
	int fd = memfd_create("input", 0), error;
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = pwrite(fd, bytes, size, 0);
	if (n == (ssize_t)size)
		return fd;
	error = n < 0 ? -errno : -EIO;
	close(fd);
	return error;
}

int input_open(const char *path)
{
	char *text;
	struct program *program;
	uint8_t *packed;
	int result = -ENOMEM;

	if (!input_is_text(path)) {
		result = open(path, O_RDONLY | O_CLOEXEC);
		return result < 0 ? -errno : result;
	}
	text = malloc(INPUT_TEXT);
	program = malloc(sizeof(*program));
	packed = malloc(PACK_SIZE);
	if (text && program && packed)
		result = input_pack(path, text, program, packed);
	if (result >= 0)
		result = input_store(packed, (size_t)result);
	free(text);
	free(program);
	free(packed);
	return result;
}

/* The name of a descriptor; it and its name last as long as the process. */
static char *input_name(const char *path)
{
	int fd = input_open(path);
	char *name;

	if (fd < 0) {
		fprintf(stderr, "%s: %s\n", path, strerror(-fd));
		exit(3);
	}
	if (asprintf(&name, "/proc/self/fd/%d", fd) < 0)
		exit(3);
	fprintf(stderr, "%s: packed, as %s\n", path, name);
	return name;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	for (int i = 1; i < *argc; i++) {
		if (input_is_text((*argv)[i]))
			(*argv)[i] = input_name((*argv)[i]);
	}
	return 0;
}
