/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_feature.h - which features the device has, the state of its migration, and whether it logs
 * DMA. Part of model_rule.h.
 *
 * Migration states are a set of bits: all the states that the device may be in. Logging likewise:
 * on, off, or either of them. An empty set says that nothing is known.
 */
#ifndef MODEL_FEATURE_H
#define MODEL_FEATURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.h"

#define MODEL_FEATURES (WIRE_FEATURE_DMA_LOGGING_REPORT + 1)

struct model;
struct model_asked;
struct model_expect;
struct model_message;

enum model_support {
	MODEL_UNTOLD = 0,
	MODEL_SUPPORTED,
	MODEL_UNSUPPORTED,
};

enum model_logging {
	MODEL_LOGGING_ON = 1,
	MODEL_LOGGING_OFF = 2,
};

struct model_feature {
	uint8_t support[MODEL_FEATURES];	/* enum model_support */
	uint8_t states;		/* bit i: it may be in enum wire_migration_state i */
	uint8_t logging;	/* enum model_logging, one or both */
	uint8_t stop_refused;	/* forms of STOP: 1 = without data, 2 = with data */
	bool flags_told;
	bool ended;		/* the stream of STOP_COPY was read to its end */
	uint64_t flags;		/* of migration */
};

/* A DEVICE_FEATURE, taken apart. */
struct model_feature_request {
	struct wire_feature wire;
	uint32_t id;
	uint32_t methods;	/* GET, SET */
	size_t data;		/* bytes behind the structure */
	bool probe;
	bool clean;		/* no unknown flags, argsz neither small nor huge, no descriptors */
	bool plain;		/* and no more data than it needs */
};

/* What one feature adds to the rule: about GET and SET only, with as much data as they need. */
struct model_feature_row {
	uint32_t methods;	/* 0: there is no such feature */
	uint32_t get_data;	/* bytes that a GET brings at least */
	uint32_t set_data;
	const char *other;	/* requirement that refuses the other methods */
	void (*judge)(const struct model *model, const struct model_asked *asked,
		      const struct model_feature_request *request, struct model_expect *out);
	void (*check)(struct model *model, const struct model_asked *asked,
		      const struct model_feature_request *request,
		      const struct model_message *reply);
	void (*done)(struct model *model, const struct model_asked *asked,
		     const struct model_feature_request *request,
		     const struct model_message *reply);
	void (*failed)(struct model *model, const struct model_asked *asked,
		       const struct model_feature_request *request);
	void (*unseen)(struct model *model, const struct model_asked *asked,
		       const struct model_feature_request *request);
};

extern const struct model_feature_row model_migration_flags_row;
extern const struct model_feature_row model_migration_state_row;
extern const struct model_feature_row model_logging_start_row;
extern const struct model_feature_row model_logging_stop_row;
extern const struct model_feature_row model_logging_report_row;

/* The device runs for sure, so that nothing is refused because it is stopped (MIG-STATE-007). */
bool model_feature_runs(const struct model *model);

/* The device is as it was when its server was started: it runs, and logs nothing. */
void model_feature_start(struct model *model);

/* Nothing is known of the state of its migration, nor of its logging. */
void model_feature_forget(struct model *model);

/* See model_learn. */
void model_feature_learn(struct model *model, const struct model *from);

/* Is the feature there for sure? */
bool model_feature_is_there(const struct model *model, uint32_t id);

/* argsz and size of the reply to a GET whose data has this size; blames what is not so. */
void model_feature_check_get(struct model *model, const struct model_asked *asked,
			     const struct model_feature_request *request,
			     const struct model_message *reply, size_t size);

#endif
