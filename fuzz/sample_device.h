/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sample_device.h - the device of a server that is somewhere else, as its registers show it; the
 * other half is explore_device.h.
 *
 * What was seen holds until something more is done to the device.
 */
#ifndef SAMPLE_DEVICE_H
#define SAMPLE_DEVICE_H

#include "explore.h"

/* Hold points that operations have, by bit, from now on. */
void sample_device_begin(const struct explore_scenario *scenario, const uint32_t *holds);

/* Looks, while no command waits for its reply: whether it is as it was when last looked at. */
bool sample_device_look(void);

/* Something is done to it. */
void sample_device_changes(void);

/* Whether an operation goes on by itself, or is held. */
bool sample_device_is_busy(void);

#endif
