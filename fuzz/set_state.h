/* SPDX-License-Identifier: BSD-3-Clause */
/* set_state.h - the body of the DEVICE_FEATURE that sets a state of migration. */
#ifndef SET_STATE_H
#define SET_STATE_H

#include <stdint.h>

#include "wire.h"

struct set_state {
	struct wire_feature feature;
	struct wire_device_state state;
};

static inline struct set_state set_state(uint32_t state)
{
	return (struct set_state){
		.feature = {
			.argsz = sizeof(struct set_state),
			.flags = WIRE_FEATURE_SET | WIRE_FEATURE_MIG_DEVICE_STATE,
		},
		.state = { .device_state = state },
	};
}

#endif
