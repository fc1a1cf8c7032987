/* SPDX-License-Identifier: BSD-3-Clause */
/* pri_marker.h - stop markers; see pri.h. */
#ifndef PRI_MARKER_H
#define PRI_MARKER_H

#include "pri.h"

/* Sends a marker, or remembers it: 0, or -ENOMEM. */
int pri_marker_post(struct pri *pri, uint32_t pasid, struct session_reply *reply);

/* Sends those that are remembered, if what was sent before has been taken. */
void pri_marker_flush(struct pri *pri);

/* There are none. */
void pri_marker_forget(struct pri *pri);

#endif
