/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sanitizer.c - searches a log that grows, a piece at a time; pieces overlap, so that a mark on
 * the border of two is seen.
 */
#include "sanitizer.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#define SANITIZER_PIECE 16384
#define SANITIZER_OVERLAP 64	/* longer than any mark and what decides about it */

static const char *const sanitizer_marks[] = {
	"ERROR: AddressSanitizer",
	"AddressSanitizer:DEADLYSIGNAL",
	"ERROR: HWAddressSanitizer",
	"LeakSanitizer",
	"ThreadSanitizer:",
	"MemorySanitizer:",
	"UndefinedBehaviorSanitizer:",
};

static bool sanitizer_has(const char *text, size_t size, const char *mark)
{
	return memmem(text, size, mark, strlen(mark)) != NULL;
}

/* FILE:LINE:COLUMN: runtime error: TEXT. Go says "panic: runtime error: " of its own checks. */
static bool sanitizer_undefined(const char *text, size_t size)
{
	static const char mark[] = ": runtime error:", panic[] = "panic";
	const char *at = text, *end = text + size;

	while ((at = memmem(at, (size_t)(end - at), mark, strlen(mark)))) {
		if ((size_t)(at - text) < strlen(panic) ||
		    memcmp(at - strlen(panic), panic, strlen(panic)) != 0)
			return true;
		at++;
	}
	return false;
}

static bool sanitizer_found(const char *text, size_t size)
{
	size_t i;

	for (i = 0; i < sizeof(sanitizer_marks) / sizeof(sanitizer_marks[0]); i++) {
		if (sanitizer_has(text, size, sanitizer_marks[i]))
			return true;
	}
	return sanitizer_undefined(text, size);
}

int sanitizer_scan(int fd, off_t *at)
{
	char text[SANITIZER_PIECE];
	ssize_t n;

	for (;;) {
		n = pread(fd, text, sizeof(text), *at);
		if (n < 0)
			return -errno;
		if (n > 0 && sanitizer_found(text, (size_t)n))
			return 1;
		if (n <= SANITIZER_OVERLAP)
			return 0;
		*at += n - SANITIZER_OVERLAP;
	}
}
