/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_state.h - the test device as an image, for migration.
 *
 * The image holds what a client can see of the device and has not given to it: configuration
 * space, the stored registers, pending interrupts, the device buffer and the memory of BAR2 and
 * BAR4. Mappings and eventfds are the client's; it brings them to the other device itself. Of the
 * slots it has the registers, and neither results nor an operation under way: that is parked in
 * STOP, goes on when the same device runs again, and is not there in another one.
 */
#ifndef DEVICE_STATE_H
#define DEVICE_STATE_H

#include "migration.h"

/* The parts of the image of a profile; a `full` device has more than a bare one. */
const struct migration_part *device_state_parts(bool full);

/* How migration saves, loads, stops and runs a device; the owner is a struct device. */
extern const struct migration_ops device_state_ops;

#endif
