/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * generate_draft.h - how the parts of generate write steps down. Part of generate.h.
 *
 * A draft is what is made, where, and in view of what. Steps come one behind the other, each at
 * `at`, which moves on; when the program is full there is none any more, and `step` is one that
 * nobody sees, so that who writes need not look.
 */
#ifndef GENERATE_DRAFT_H
#define GENERATE_DRAFT_H

#include <stddef.h>

#include "buf.h"
#include "generate.h"

struct generate_draft {
	struct generate *generate;
	struct program *program;
	struct program_step *step;	/* the newest */
	const struct generate_sketch *sketch;
	uint32_t at;
	uint8_t connection;
	bool full;
	struct program_step spare;
};

/* A step of `op` on the draft's connection. */
struct program_step *generate_next(struct generate_draft *draft, enum program_op op);

/* A message. */
struct program_step *generate_send(struct generate_draft *draft, uint16_t command);

/* Gives a field of the newest step a number, or one that is counted from `base`. */
void generate_give(const struct generate_draft *draft, const char *name, uint64_t number);
void generate_count(const struct generate_draft *draft, const char *name, enum program_base base,
		    uint64_t number);

/* Without room for it the message is short, which is a message too. */
void generate_data(const struct generate_draft *draft, const void *data, size_t size);

/* A number at the end of what a field of that width can hold, or near to it. */
uint64_t generate_limit(struct generate *generate, uint32_t width);

/* An address that means something in view of the sketch, and a size. */
uint64_t generate_address(struct generate *generate, const struct generate_sketch *sketch);
uint64_t generate_size(struct generate *generate, const struct generate_sketch *sketch);

/* Sizes of files and mappings that are tried most. */
#define GENERATE_SIZES 6
extern const uint64_t generate_sizes[GENERATE_SIZES];

/* VERSION, as it may be and as it may not be (generate_version.c). */
void generate_greet(struct generate_draft *draft);

/* DEVICE_FEATURE and the data of migrations (generate_feature.c): fill the newest step. */
void generate_feature(const struct generate_draft *draft);
void generate_migration_data(const struct generate_draft *draft);

/* The vIOMMU extension (generate_viommu.c): its member of capabilities; */
void generate_offer(struct generate *generate, struct buf_writer *text);

/* attribute words for the newest step, and a response, where it was negotiated; */
void generate_map_attr(const struct generate_draft *draft);
void generate_unmap_attr(const struct generate_draft *draft);
void generate_response(const struct generate_draft *draft);

/* and steps that belong together. */
void generate_extension(struct generate_draft *draft);

/* SET of a state; the id and the methods of a feature. */
void generate_state(const struct generate_draft *draft, uint32_t state);
void generate_probe(const struct generate_draft *draft);

#endif
