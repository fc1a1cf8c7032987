/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_rule.h - how an area plugs into the model: its rules, its state, and what they share.
 *
 * A rule is what the specification says about one command: `judge` before the reply, in the state
 * that the commands before it have left, `check` when a success came, `apply` when its outcome is
 * as clear as it gets. model.c does what holds for all commands: headers, wrong sizes, No_reply,
 * the order of the stream; judge and check are only called for a command that is whole (at least
 * request_size bytes of the schema), after the negotiation (but VERSION), sent to a model that has
 * not lost track.
 *
 * Nobody but the file of an area writes its state; others read it. Everything is bounded: where a
 * bound is hit, the state says that it does not know.
 */
#ifndef MODEL_RULE_H
#define MODEL_RULE_H

#include "model.h"
#include "model_dma.h"
#include "model_feature.h"
#include "model_irq.h"
#include "model_region.h"
#include "model_viommu.h"

#define MODEL_ASKED (1u << 18)		/* commands that wait for their outcome */
#define MODEL_ERRNO 12			/* bytes that the text of any errno takes */
#define MODEL_LARGE 0x7fffffffu	/* a larger argsz may be too much (ARGSZ-GEN-006) */
#define MODEL_INLINE 48			/* bytes of a body that need no memory of their own */
#define MODEL_SPARE 512u		/* most bodies that do need it take that much */
#define MODEL_STORED (8u << 20)		/* bytes of replies that wait for those before them */

/* Readings, in the order of model_readings(): strict when the bit is set. */
enum model_reading {
	MODEL_W1,
	MODEL_W2,
	MODEL_W7,
	MODEL_W10,
	MODEL_N9,
	MODEL_N10,
	MODEL_T7,
	MODEL_T11,
	MODEL_T15,
	MODEL_T19,
	MODEL_D1,
	MODEL_D2,
	MODEL_R6,
	MODEL_R7,
	MODEL_R8,
	MODEL_I3,
	MODEL_I4,
	MODEL_I8,
	MODEL_M1,
	MODEL_M2,
	MODEL_M3,
	MODEL_L1,
	MODEL_L2,
	MODEL_L3,
	MODEL_L4,
	MODEL_L5,
	MODEL_L8,
	MODEL_L9,
	MODEL_READINGS,
};

enum model_phase {
	MODEL_GREETING,		/* no VERSION has succeeded */
	MODEL_READY,
	MODEL_LOST,		/* framing, memory or a bound: nothing is judged any more */
};

/* How a command ended. UNKNOWN: neither seen nor certain (No_reply, silence that was allowed). */
enum model_outcome {
	MODEL_OK,
	MODEL_ERROR,
	MODEL_UNKNOWN,
};

/* What one side announced, or the defaults; zero before the negotiation. */
struct model_limits {
	uint64_t max_msg_fds;
	uint64_t max_data_xfer_size;
	uint64_t max_dma_maps;
	uint64_t pgsizes;
	bool write_multiple;
	bool twin;
	struct model_viommu_limits viommu;
	bool known;		/* false: something of it could not be read, judge nothing by it */
};

/* A command that waits for its outcome. */
struct model_asked {
	struct wire_header header;
	uint32_t channel;
	uint32_t size;		/* of the body as it was sent */
	uint32_t kept;		/* of it that model_body can give */
	uint32_t nfds;
	uint32_t kinds;		/* bit k: one of the descriptors is of enum model_fd_kind k */
	struct model_fd fd;	/* the first descriptor */
	uint32_t cookies;	/* that had come when it was sent (model_pages.c) */
	bool waits;		/* a PAGE_RESPONSE to a group that waited then, for certain */

	/* The rest is model.c's. */
	bool answered;			/* the reply came before those to earlier commands */
	uint8_t *more;			/* the body, when it is longer than `body` */
	struct model_reply *reply;	/* NULL though answered: there was no room to keep it */
	uint8_t body[MODEL_INLINE];
};

/* A reply that waits for those before it. `message` points into it. */
struct model_reply {
	struct model_message message;
	struct wire_header header;
	uint8_t body[];
};

/* What the specification says about one command; those that are NULL have nothing to do. */
struct model_rule {
	uint32_t keep;		/* bytes of the body that judge, check and apply look at */
	char shorter[24];	/* requirement that a body below request_size breaks */

	/*
	 * Narrow *out, which allows success and error, no close, no silence, and a payload between
	 * reply_size and, unless the schema has a tail there, the same. Use model_refuse and
	 * model_demand; return after the first that decides.
	 */
	void (*judge)(const struct model *model, const struct model_asked *asked,
		      struct model_expect *out);

	/* A success came that was allowed, of allowed size: blame what is wrong inside. */
	void (*check)(struct model *model, const struct model_asked *asked,
		      const struct model_message *reply);

	/* `reply` is NULL unless it is a success that was seen whole. */
	void (*apply)(struct model *model, const struct model_asked *asked,
		      enum model_outcome outcome, const struct model_message *reply);
};

/* Commands of the device and of the session: one rule each, in the file of its area. */
extern const struct model_rule model_version_rule;
extern const struct model_rule model_dma_map_rule;
extern const struct model_rule model_dma_unmap_rule;
extern const struct model_rule model_device_info_rule;
extern const struct model_rule model_device_reset_rule;
extern const struct model_rule model_region_info_rule;
extern const struct model_rule model_region_io_fds_rule;
extern const struct model_rule model_region_read_rule;
extern const struct model_rule model_region_write_rule;
extern const struct model_rule model_region_write_multi_rule;
extern const struct model_rule model_irq_info_rule;
extern const struct model_rule model_irq_set_rule;
extern const struct model_rule model_feature_rule;
extern const struct model_rule model_feature_mig_read_rule;
extern const struct model_rule model_feature_mig_write_rule;
extern const struct model_rule model_viommu_response_rule;	/* where it was negotiated */

/* The life of a state: a zeroed one is a valid beginning, where nothing is known. */
void model_dma_free(struct model *model);
void model_region_free(struct model *model);
void model_irq_free(struct model *model);
void model_feature_free(struct model *model);
void model_viommu_free(struct model *model);

/* DEVICE_RESET came to this. It may have happened unless the outcome is ERROR. */
void model_dma_reset(struct model *model, enum model_outcome outcome);
void model_region_reset(struct model *model, enum model_outcome outcome);
void model_irq_reset(struct model *model, enum model_outcome outcome);
void model_feature_reset(struct model *model, enum model_outcome outcome);

/* A reply has come: what was sent without one before its command has been executed. */
void model_dma_answered(struct model *model);

/* What GET_INFO has told. */
struct model_device {
	bool known;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
};

/* Commands of the server that wait for the client's reply. */
struct model_request {
	uint16_t id;
	uint16_t command;
	uint32_t channel;
	struct wire_dma_access dma;
};

#define MODEL_REQUESTS 64		/* that are told apart; later ones only count */

struct model {
	uint64_t strict;
	enum model_phase phase;
	struct model_limits client;
	struct model_limits server;
	struct model_device device;
	struct model_dma dma;
	struct model_region region;
	struct model_irq irq;
	struct model_feature feature;
	struct model_viommu viommu;

	bool still;			/* time passes when model_passed() says so */
	bool shared;			/* another connection may change the device, too */
	bool may_close;			/* something went out that excuses the end of the session */
	bool ends;			/* no message is behind a msg_size below the header's */

	/* The rest is model.c's and model_requests.c's. */
	struct model_asked *asked;	/* a ring, the oldest at `first` */
	uint32_t first;
	uint32_t count;
	uint32_t room;			/* a power of two */
	uint32_t answered;		/* of them, out of order */
	uint8_t *spare;			/* MODEL_SPARE bytes for the next body, or NULL */
	bool judged;			/* `expect` is that of the oldest */
	struct model_expect expect;
	size_t stored;			/* bytes of replies that wait */
	bool sent;
	struct model_request request[MODEL_REQUESTS];
	uint32_t requests;
	uint32_t uncounted;		/* beyond those */
	uint32_t findings;
	uint32_t kept_room;
	struct model_finding *kept;
};

/* Is that ambiguity read strictly? */
static inline bool model_strict(const struct model *model, enum model_reading reading)
{
	return model->strict >> reading & 1;
}

/*
 * Is a command that makes nothing run served now? A stopped device may refuse it (MIG-STATE-007),
 * unless M3 is read strictly.
 */
bool model_serves(const struct model *model);

/* The first `size` bytes of the body of a command; false when they were not sent or not kept. */
bool model_body(const struct model_asked *asked, void *out, size_t size);

/* `size` bytes at `offset` of it. */
bool model_body_at(const struct model_asked *asked, size_t offset, void *out, size_t size);

/* `size` bytes at `offset` of the payload of a reply; false when it ends before. */
bool model_reply_at(const struct model_message *reply, size_t offset, void *out, size_t size);

/* Only an error is allowed any more; in words why, and what says so. */
void model_refuse(struct model_expect *out, const char *requirement, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Only a success is allowed any more. */
void model_demand(struct model_expect *out, const char *requirement, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* An error is allowed to name this errno; the first call makes others, but 0, wrong. */
void model_errno(struct model_expect *out, uint32_t number);

/* What a finding is about: the code of a failed case, and the requirement. */
struct model_broken {
	const char *code;
	const char *requirement;
};

void model_found(struct model *model, const struct wire_header *header,
		 struct model_broken broken, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* The name of an errno, or the number, which is put into `buffer`. */
const char *model_errno_text(uint32_t number, char buffer[MODEL_ERRNO]);

/* The usual one, "reply.field": the payload of a reply is not what it should be. */
void model_blame(struct model *model, const struct wire_header *header, const char *requirement,
		 const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Nothing can be judged any more. */
void model_lose(struct model *model);

/* What a command may lead to in this state (model_judge.c). */
void model_judge(const struct model *model, const struct model_asked *asked,
		 struct model_expect *out);

/* What became of the oldest command: findings, and the state after it (model_judge.c). */
void model_settle(struct model *model, const struct model_asked *asked,
		  const struct model_expect *expect, const struct model_message *reply);

/* The same without a reply: silence that was allowed or asked for. */
void model_settle_unseen(struct model *model, const struct model_asked *asked,
			 const struct model_expect *expect);

/* The rule of a command of the client; NULL where there is none. */
const struct model_rule *model_rule(uint16_t command);

/* Number `index` of the commands that wait, the oldest first; NULL behind the last. */
const struct model_asked *model_waiting(const struct model *model, uint32_t index);

/*
 * May the device access [*address, last] like this (enum wire's DMA_MAP flags)? False with *address
 * moved to the first byte that is in no mapping for it and in no range that may be one.
 */
bool model_dma_reaches(const struct model *model, uint64_t *address, uint64_t last,
		       uint32_t access);

/*
 * Nothing that the text leaves open: such a range has to be mapped, if there is room for it. With
 * the vIOMMU extension the attribute word has been judged before.
 */
struct wire_dma_map;
bool model_dma_is_good(const struct model *model, const struct model_asked *asked,
		       const struct wire_dma_map *map);

/* ---- the vIOMMU extension, where it was negotiated ---- */

struct json_object;

/* The member "viommu" of capabilities; and what an answer says that it may not say. */
void model_viommu_read(struct model_viommu_limits *limits, struct json_object *capabilities);
void model_viommu_check(struct model *model, const struct model_asked *asked,
			const struct model_limits *offer, const struct model_limits *came);

/* A command was sent; its outcome is known, by its reply if `seen`: it may have ended groups. */
void model_viommu_sent(struct model *model, struct model_asked *asked);
void model_viommu_settled(struct model *model, const struct model_asked *asked,
			  enum model_outcome outcome, bool seen);

/* The same for stop markers, of which one came with that attribute word. */
void model_marker_sent(struct model *model, const struct model_asked *asked);
void model_marker_came(struct model *model, uint32_t attr);
void model_marker_settled(struct model *model, const struct model_asked *asked,
			  enum model_outcome outcome);

/* The server has sent a PAGE_REQUEST. */
void model_viommu_came(struct model *model, const struct model_message *message);

/* Is that an attribute word of a server, with bits of `known` besides? If not, a finding. */
bool model_viommu_attr(struct model *model, const struct model_message *message, uint32_t attr,
		       uint32_t known);

/* DMA_MAP and DMA_UNMAP, as the functions of a rule. */
void model_space_judge_map(const struct model *model, const struct model_asked *asked,
			   struct model_expect *out);
void model_space_apply_map(struct model *model, const struct model_asked *asked,
			   enum model_outcome outcome, const struct model_message *reply);
void model_space_judge_unmap(const struct model *model, const struct model_asked *asked,
			     struct model_expect *out);
void model_space_apply_unmap(struct model *model, const struct model_asked *asked,
			     enum model_outcome outcome, const struct model_message *reply);

/* The size that the reply to an unmap has to have; false if that is not known. */
struct wire_dma_unmap;
bool model_space_removed(const struct model *model, const struct wire_dma_unmap *unmap,
			 uint64_t *size);

/* The table of the space of an attribute word: NULL without mappings, or with !*known. */
const struct model_dma *model_space_of(const struct model *model, uint32_t attr, bool *known);
void model_space_free(struct model *model);

/* A command of the server (model_requests.c). */
void model_requests_came(struct model *model, const struct model_message *message);

/* The client's reply: true when it answers a request, which waits no longer. */
bool model_requests_answered(struct model *model, const struct model_message *message);

#endif
