/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irq.h - interrupts: GET_IRQ_INFO, SET_IRQS, and raising a vector.
 *
 * Each vector may have three descriptors of the client: the one that is signalled when the vector
 * fires, and two that are told when it becomes masked and unmasked. A vector that is raised while
 * masked is pending and fires once on UNMASK. A vector without descriptor forgets. Triggering by
 * the client is the same as raising by the device.
 *
 * The module owns the descriptors. Signalling never waits: a full eventfd or pipe loses the
 * signal. Only eventfds and writable pipes are accepted.
 *
 * Any thread may raise vectors: a lock that is held for one signal at most keeps a descriptor from
 * being closed under it. The lock is the innermost one.
 */
#ifndef IRQ_H
#define IRQ_H

#include <pthread.h>
#include <stdbool.h>

#include "dispatch.h"

#define IRQ_MAX_VECTORS 8

/* One interrupt type of the device, as GET_IRQ_INFO shows it. */
struct irq_type {
	uint32_t flags;		/* WIRE_IRQ_INFO_* */
	uint32_t count;		/* at most IRQ_MAX_VECTORS */
};

/* What a descriptor of a vector is for. */
enum irq_role {
	IRQ_TRIGGER,
	IRQ_ON_MASK,
	IRQ_ON_UNMASK,
	IRQ_ROLES
};

struct irq_vector {
	int fd[IRQ_ROLES];	/* -1: none */
	bool masked;
	bool pending;
};

struct irq {
	pthread_mutex_t lock;	/* for all below */
	const struct irq_type *types;	/* WIRE_IRQ_INDEX_NUM of them */
	struct irq_vector vectors[WIRE_IRQ_INDEX_NUM][IRQ_MAX_VECTORS];
	bool held;		/* the device is stopped and signals nothing */
	uint32_t set[WIRE_IRQ_INDEX_NUM];	/* vectors enabled since all were off, by bit */
};

/* `types` outlives the module. */
void irq_init(struct irq *irq, const struct irq_type *types);

/* Closes all descriptors and forgets masks: the client is gone. */
void irq_detach(struct irq *irq);

/* Device reset: nothing is pending any more; assignments and masks are the client's and stay. */
void irq_reset(struct irq *irq);

/*
 * While held, what the device raises becomes pending, masked or not, and fires when that ends.
 * What the client triggers is no activity of the device and is signalled all the same.
 */
void irq_hold(struct irq *irq, bool held);

/* The pending vectors of an index, by bit, and setting them; -EINVAL for one that is not there. */
uint32_t irq_pending(struct irq *irq, uint32_t index);
int irq_set_pending(struct irq *irq, uint32_t index, uint32_t vectors);

/* Raises a vector: 0, or -EINVAL if the device has no such vector. */
int irq_raise(struct irq *irq, uint32_t index, uint32_t vector);

/* Handler of GET_IRQ_INFO. -EINVAL for a short argsz or an unknown index. */
int irq_get_info(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of SET_IRQS. Takes the descriptors that it assigns. -EINVAL, and then nothing has
 * changed: bad form, flags that are not one of each kind, a range outside the index, a number of
 * descriptors that is neither 0 nor count, an action that the type does not support, more vectors
 * of a NORESIZE type while some are enabled, a descriptor that cannot be signalled.
 */
int irq_set(void *owner, struct msg *msg, struct session_reply *reply);

#endif
