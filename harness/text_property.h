/* SPDX-License-Identifier: BSD-3-Clause */
/* text_property.h - what stands behind a step in parentheses: for text.c. */
#ifndef TEXT_PROPERTY_H
#define TEXT_PROPERTY_H

#include "text_scan.h"

/* The properties of a step whose op is known, if there are any. False: an error. */
bool text_properties(struct text_scan *scan, struct program_step *step);

#endif
