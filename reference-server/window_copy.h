/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * window_copy.h - what window.c asks of the copies: to survive the faults that it may cause.
 */
#ifndef WINDOW_COPY_H
#define WINDOW_COPY_H

/* From the first call on, a SIGBUS inside a copy ends the copy. */
void window_catch_faults(void);

/*
 * So many fenced windows more, or less, in the process. While there are any, a SIGSEGV of a copy
 * at an address that is mapped without rights ends the copy.
 */
void window_fenced(int change);

#endif
