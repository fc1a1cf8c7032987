/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reduce.c - makes an input that fails as small as it can be, in the build that it fails in.
 *
 *	reduce INPUT
 *
 * Each try is an entry's run in a process of its own; it shows the same if the first line that
 * names what was found is the same but for its numbers. The smaller program is printed as text.
 * Exit status: 0, 1 when the input does not fail, 3 when this side can not go on.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "minimize.h"
#include "pack.h"
#include "text.h"

#define REDUCE_SECONDS 20
#define REDUCE_NAME 256
#define REDUCE_RUNS 4000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is printed is read behind the end of the process that prints it. */
struct reduce {
	int output;
	char wanted[REDUCE_NAME];	/* "" before the first run */
};

static struct program reduce_program;
static uint8_t reduce_bytes[PACK_SIZE];

static void reduce_run(const struct reduce *reduce, size_t size)
{
	if (dup2(reduce->output, STDERR_FILENO) < 0)
		_exit(3);
	alarm(REDUCE_SECONDS);
	LLVMFuzzerTestOneInput(reduce_bytes, size);
	_exit(0);
}

/* The line as it stands, without digits. */
static void reduce_plain(const char *line, char name[static REDUCE_NAME])
{
	size_t n = 0;

	for (; *line && *line != '\n' && n + 1 < REDUCE_NAME; line++) {
		if (!isdigit((unsigned char)*line))
			name[n++] = *line;
	}
	name[n] = '\0';
}

/* What a run was about, by what it has printed; a run that only ends has no such line. */
static void reduce_name(const struct reduce *reduce, int status, char name[static REDUCE_NAME])
{
	static const char *const heads[] = { "signature ", "finding: ", "SUMMARY: " };
	FILE *file = fdopen(dup(reduce->output), "r");
	char line[4096];

	snprintf(name, REDUCE_NAME, "status %c", 'a' + WTERMSIG(status) % 26);
	if (!file)
		return;
	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		const char *at = line + strspn(line, " ");

		for (size_t i = 0; i < sizeof(heads) / sizeof(*heads); i++) {
			if (strncmp(at, heads[i], strlen(heads[i])) != 0)
				continue;
			reduce_plain(at, name);
			fclose(file);
			return;
		}
	}
	fclose(file);
}

static int reduce_shows(void *arg, const struct program *program)
{
	struct reduce *reduce = arg;
	int size = pack_program(program, reduce_bytes, sizeof(reduce_bytes)), status;
	char name[REDUCE_NAME];
	pid_t child;

	if (size < 0)
		return 0;
	if (ftruncate(reduce->output, 0) || lseek(reduce->output, 0, SEEK_SET))
		return -errno;
	child = fork();
	if (child < 0)
		return -errno;
	if (!child)
		reduce_run(reduce, (size_t)size);
	if (waitpid(child, &status, 0) < 0)
		return -errno;
	if (status == 0)
		return 0;
	reduce_name(reduce, status, name);
	if (!reduce->wanted[0])
		memcpy(reduce->wanted, name, sizeof(name));
	return strcmp(reduce->wanted, name) == 0;
}

static size_t reduce_read(const char *path)
{
	FILE *file = fopen(path, "rb");
	size_t size = file ? fread(reduce_bytes, 1, sizeof(reduce_bytes), file) : 0;

	if (!file) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
		exit(3);
	}
	fclose(file);
	return size;
}

static int reduce_print(void)
{
	static char text[TEXT_SIZE];
	int size = text_print(&reduce_program, text, sizeof(text));

	return size < 0 || fwrite(text, 1, (size_t)size, stdout) != (size_t)size ? 3 : 0;
}

int main(int argc, char **argv)
{
	struct reduce reduce = { .output = memfd_create("output", MFD_CLOEXEC) };
	const struct minimize_options options = {
		.shows = reduce_shows,
		.arg = &reduce,
		.wanted = 1,
		.runs = 1,
		.most = REDUCE_RUNS,
	};
	struct minimize_result result;
	int error;

	if (argc != 2 || reduce.output < 0)
		return 3;
	pack_parse(&reduce_program, reduce_bytes, reduce_read(argv[1]));
	reduce_program.seed = 0;
	error = minimize(&reduce_program, &options, &result);
	close(reduce.output);
	if (error == -ENOENT)
		return 1;
	return error ? 3 : reduce_print();
}
