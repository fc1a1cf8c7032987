/* SPDX-License-Identifier: BSD-3-Clause */
/* text_value.h - what stands behind '=' in the text of a program: for text.c. False: an error. */
#ifndef TEXT_VALUE_H
#define TEXT_VALUE_H

#include "text_scan.h"

/* The value of a field. */
bool text_value(struct text_scan *scan, struct program_step *step, uint32_t index);

/* A number up to `most`, or constants of `set` (or NULL) joined by '|'. */
bool text_plain(struct text_scan *scan, const char *set, uint64_t most, uint64_t *out);

/* Data of the last step of the program: what stands behind `data=`, and behind `caps=`. */
bool text_data(struct text_scan *scan, struct program *program);
bool text_caps(struct text_scan *scan, struct program *program);

/* Behind `fd=` and `fds=`. */
bool text_fds(struct text_scan *scan, struct program_step *step);

#endif
