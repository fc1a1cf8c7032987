/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * feature.h - DEVICE_FEATURE: which features there are and by which methods, and the way to them.
 *
 * PROBE changes nothing and tells for the methods that are set beside it whether they exist. Of
 * GET and SET there is exactly one without PROBE. A reply is never longer than argsz: a command
 * whose reply would be is refused, with nothing changed.
 */
#ifndef FEATURE_H
#define FEATURE_H

#include "dirty.h"
#include "dispatch.h"
#include "migration.h"

/* The state of this module: whose features these are; NULL if the device does without. */
struct feature {
	struct migration *migration;
	struct dirty *dirty;
};

/*
 * Handler of DEVICE_FEATURE. -ENOTTY for a feature that is unknown or left out; -EINVAL for a
 * method that the feature does not have, undefined flags, no or two methods, a short argsz, too
 * little data; what migration_set_state(), dirty_start() and dirty_report_size() say.
 */
int feature_command(void *owner, struct msg *msg, struct session_reply *reply);

#endif
