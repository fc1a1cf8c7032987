/* SPDX-License-Identifier: BSD-3-Clause */
/* main_files.c - programs in files, as text or packed, and the commands that convert them. */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "main.h"
#include "pack.h"
#include "text.h"

#define MAIN_FILE ((size_t)16 << 20)	/* the largest that is read */

static bool main_is_text(const char *path)
{
	size_t length = strlen(path);

	return strcmp(path, "-") == 0 || (length > 5 && strcmp(path + length - 5, ".prog") == 0);
}

/* All of a file, in memory that is the caller's: 0 or -errno. */
static int main_read(const char *path, char **out, size_t *size)
{
	FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
	char *bytes;

	if (!file)
		return -errno;
	bytes = malloc(MAIN_FILE);
	*size = bytes ? fread(bytes, 1, MAIN_FILE, file) : 0;
	if (file != stdin)
		fclose(file);
	*out = bytes;
	return bytes ? 0 : -ENOMEM;
}

static int main_read_program(const char *path, struct program *program)
{
	struct text_error error;
	char *bytes = NULL;
	size_t size = 0;
	int result = main_read(path, &bytes, &size);

	if (result)
		return main_error("%s: %s", path, strerror(-result));
	if (!main_is_text(path))
		pack_parse(program, (const uint8_t *)bytes, size);
	else if (text_parse(program, bytes, size, &error))
		result = main_error("%s:%u:%u: %s", path, error.line, error.column, error.text);
	free(bytes);
	return result;
}

int main_load(const char *path, struct program **out)
{
	struct program *program = malloc(sizeof(*program));
	int result = program ? main_read_program(path, program) : main_error("out of memory");

	if (result)
		free(program);
	else
		*out = program;
	return result;
}

static int main_write(const char *path, const void *bytes, size_t size)
{
	bool standard = !path || strcmp(path, "-") == 0;
	FILE *file = standard ? stdout : fopen(path, "wb");
	bool ok;

	if (!file)
		return main_error("%s: %s", path, strerror(errno));
	ok = fwrite(bytes, 1, size, file) == size;
	ok = (standard ? fflush(file) : fclose(file)) == 0 && ok;
	return ok ? MAIN_PASS : main_error("%s: can not be written", path ? path : "output");
}

static int main_save_packed(const char *path, const struct program *program)
{
	uint8_t *bytes = malloc(PACK_SIZE);
	int size = bytes ? pack_program(program, bytes, PACK_SIZE) : -ENOMEM;
	int result = size < 0 ? main_error("%s: %s", path, strerror(-size)) :
				main_write(path, bytes, (size_t)size);

	free(bytes);
	return result;
}

int main_save(const char *path, const struct program *program)
{
	char *text;
	int size, result;

	if (path && !main_is_text(path))
		return main_save_packed(path, program);
	text = malloc(TEXT_SIZE);
	size = text ? text_print(program, text, TEXT_SIZE) : -ENOMEM;
	result = size < 0 ? main_error("%s", strerror(-size)) :
			    main_write(path, text, (size_t)size);
	free(text);
	return result;
}

/* The options of print, parse and pack: --output FILE and --help. */
struct main_convert {
	const char *output;
	const char *help;
};

/* 0; MAIN_USAGE; -1 when it was asked for help. */
static int main_convert_options(const struct main_call *call, struct main_convert *convert)
{
	static const struct option options[] = {
		{ "output", required_argument, NULL, 'o' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(call->argc, call->argv, "o:h", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(convert->help, stdout);
			return -1;
		}
		if (option != 'o')
			return MAIN_USAGE;
		convert->output = optarg;
	}
	if (optind == call->argc)
		return main_error("no file; see vuc %s --help", call->argv[0]);
	return 0;
}

/* Each file in turn: read, and written with `save` unless that is NULL. */
static int main_convert_all(const struct main_call *call, struct main_convert *convert,
			    int (*save)(const char *path, const struct program *program))
{
	int result = main_convert_options(call, convert);

	if (result)
		return result < 0 ? MAIN_PASS : result;
	for (int i = optind; i < call->argc; i++) {
		struct program *program;
		int error = main_load(call->argv[i], &program);

		if (!error) {
			if (save)
				error = save(convert->output, program);
			free(program);
		}
		result = error ? error : result;
	}
	return result;
}

int main_print(const struct main_call *call)
{
	struct main_convert convert = { .help =
		"usage: vuc print [--output FILE] FILE...\n"
		"Prints programs as text, in the one form that there is for each. A file is text\n"
		"when its name ends in .prog or is \"-\", else packed; so is the output.\n" };

	return main_convert_all(call, &convert, main_save);
}

int main_parse(const struct main_call *call)
{
	struct main_convert convert = { .help =
		"usage: vuc parse FILE...\n"
		"Reads programs and says, with line and column, where one is wrong. Exit code 2\n"
		"if any is. Packed files are never wrong.\n" };

	return main_convert_all(call, &convert, NULL);
}

int main_pack(const struct main_call *call)
{
	struct main_convert convert = { .output = "-", .help =
		"usage: vuc pack [--output FILE] FILE\n"
		"Writes a program as the bytes that fuzzing engines use, to standard output\n"
		"unless a file is named.\n" };

	return main_convert_all(call, &convert, main_save_packed);
}
