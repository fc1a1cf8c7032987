/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sanitizer.h - recognises the report of a sanitizer in the log of a server.
 *
 * A report is what the run-time libraries of AddressSanitizer, LeakSanitizer, ThreadSanitizer,
 * MemorySanitizer and UndefinedBehaviorSanitizer print. Panics of languages that check by
 * themselves are not: they end the process, which is judged by its exit.
 */
#ifndef SANITIZER_H
#define SANITIZER_H

#include <sys/types.h>

/*
 * Look through the file from *at on and move *at behind what need not be read again. 1 when there
 * is a report, 0 when there is none so far, -errno when the file can not be read.
 */
int sanitizer_scan(int fd, off_t *at);

#endif
