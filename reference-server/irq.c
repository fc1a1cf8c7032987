/* SPDX-License-Identifier: BSD-3-Clause */
/* irq.c - see irq.h. */
#include "irq.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fault.h"

/* A checked SET_IRQS. */
struct irq_request {
	struct wire_irq_set wire;
	const uint8_t *bools;	/* NULL: all of the range */
	unsigned int fds;
};

void irq_init(struct irq *irq, const struct irq_type *types)
{
	memset(irq, 0, sizeof(*irq));
	pthread_mutex_init(&irq->lock, NULL);
	irq->types = types;
	memset(irq->vectors, -1, sizeof(irq->vectors));
	irq_detach(irq);
}

static void irq_put_fd(struct irq_vector *vector, enum irq_role role, int fd)
{
	if (vector->fd[role] >= 0 && fd >= 0 && fault_on(FAULT_assigning_does_not_replace)) {
		close(fd);
		return;
	}
	if (vector->fd[role] >= 0)
		close(vector->fd[role]);
	vector->fd[role] = fd;
}

/* Back to the state before any SET_IRQS. */
static void irq_disable(struct irq *irq, uint32_t index)
{
	for (int i = 0; i < IRQ_MAX_VECTORS; i++) {
		struct irq_vector *vector = &irq->vectors[index][i];

		for (int role = 0; role < IRQ_ROLES; role++)
			irq_put_fd(vector, (enum irq_role)role, -1);
		vector->masked = false;
		vector->pending = false;
	}
	irq->set[index] = 0;
}

static void irq_disable_all(struct irq *irq)
{
	for (uint32_t index = 0; index < WIRE_IRQ_INDEX_NUM; index++)
		irq_disable(irq, index);
}

void irq_detach(struct irq *irq)
{
	pthread_mutex_lock(&irq->lock);
	irq_disable_all(irq);
	pthread_mutex_unlock(&irq->lock);
}

void irq_reset(struct irq *irq)
{
	pthread_mutex_lock(&irq->lock);
	if (fault_on(FAULT_reset_drops_eventfds))
		irq_disable_all(irq);
	for (int index = 0; index < WIRE_IRQ_INDEX_NUM; index++) {
		for (int i = 0; i < IRQ_MAX_VECTORS; i++)
			irq->vectors[index][i].pending = false;
	}
	pthread_mutex_unlock(&irq->lock);
}

/*
 * Adds 1 to an eventfd, or 8 bytes to a pipe, if that is possible without waiting. The descriptor
 * shares its O_NONBLOCK with the client, so that flag is no help: a pipe takes RWF_NOWAIT, an
 * eventfd is asked first.
 */
static void irq_signal(int fd)
{
	uint64_t one = 1;
	struct iovec iov = { &one, sizeof(one) };
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
	ssize_t n;

	if (fd < 0)
		return;
	n = pwritev2(fd, &iov, 1, -1, RWF_NOWAIT);
	if (n >= 0 || errno != EOPNOTSUPP)
		return;
	if ((poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLOUT)) &&
	    !fault_on(FAULT_signalling_blocks))
		return;
	do {
		n = write(fd, &one, sizeof(one));
	} while (n < 0 && errno == EINTR);
}

static void irq_mask(struct irq_vector *vector)
{
	if (vector->masked)
		return;
	vector->masked = true;
	irq_signal(vector->fd[IRQ_ON_MASK]);
}

static void irq_fire(struct irq_vector *vector, const struct irq_type *type)
{
	if (vector->fd[IRQ_TRIGGER] < 0)
		return;
	if (vector->masked) {
		vector->pending = true;
		return;
	}
	vector->pending = false;
	irq_signal(vector->fd[IRQ_TRIGGER]);
	if (type->flags & WIRE_IRQ_INFO_AUTOMASKED)
		irq_mask(vector);
}

static void irq_unmask(const struct irq *irq, struct irq_vector *vector,
		       const struct irq_type *type)
{
	if (!vector->masked)
		return;
	vector->masked = false;
	irq_signal(vector->fd[IRQ_ON_UNMASK]);
	if (vector->pending && !irq->held)
		irq_fire(vector, type);
}

void irq_hold(struct irq *irq, bool held)
{
	pthread_mutex_lock(&irq->lock);
	irq->held = held;
	for (int index = 0; index < WIRE_IRQ_INDEX_NUM && !held; index++) {
		for (int i = 0; i < IRQ_MAX_VECTORS; i++) {
			struct irq_vector *vector = &irq->vectors[index][i];

			if (!vector->pending || vector->masked)
				continue;
			vector->pending = false;
			irq_fire(vector, &irq->types[index]);
		}
	}
	pthread_mutex_unlock(&irq->lock);
}

uint32_t irq_pending(struct irq *irq, uint32_t index)
{
	uint32_t vectors = 0;

	pthread_mutex_lock(&irq->lock);
	for (uint32_t i = 0; i < IRQ_MAX_VECTORS; i++)
		vectors |= (uint32_t)irq->vectors[index][i].pending << i;
	pthread_mutex_unlock(&irq->lock);
	return vectors;
}

int irq_set_pending(struct irq *irq, uint32_t index, uint32_t vectors)
{
	if (vectors >> irq->types[index].count)
		return -EINVAL;
	pthread_mutex_lock(&irq->lock);
	for (uint32_t i = 0; i < IRQ_MAX_VECTORS; i++)
		irq->vectors[index][i].pending = vectors >> i & 1;
	pthread_mutex_unlock(&irq->lock);
	return 0;
}

/* A vector without descriptor forgets. */
static void irq_keep(struct irq_vector *vector)
{
	if (vector->fd[IRQ_TRIGGER] >= 0)
		vector->pending = true;
}

int irq_raise(struct irq *irq, uint32_t index, uint32_t vector)
{
	if (index >= WIRE_IRQ_INDEX_NUM || vector >= irq->types[index].count)
		return -EINVAL;
	if (fault_on(FAULT_types_share_vectors))
		index = WIRE_IRQ_INDEX_MSIX;
	pthread_mutex_lock(&irq->lock);
	if (irq->held)
		irq_keep(&irq->vectors[index][vector]);
	else
		irq_fire(&irq->vectors[index][vector], &irq->types[index]);
	pthread_mutex_unlock(&irq->lock);
	return 0;
}

int irq_get_info(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct irq *irq = owner;
	struct wire_irq_info info;

	msg_read(msg, &info, sizeof(info));
	if (info.argsz < sizeof(info) || info.index >= WIRE_IRQ_INDEX_NUM)
		return -EINVAL;
	info.argsz = sizeof(info);
	info.flags = irq->types[info.index].flags;
	info.count = irq->types[info.index].count;
	session_reply_put(reply, &info, sizeof(info));
	return 0;
}

static bool irq_is_one_of(uint32_t flags, uint32_t mask)
{
	flags &= mask;
	return flags && !(flags & (flags - 1));
}

/* Flags, index and range ("VFIO_USER_DEVICE_SET_IRQS"). */
static int irq_check_form(const struct irq *irq, const struct wire_irq_set *set)
{
	const struct irq_type *type;

	if (set->argsz < sizeof(*set) || set->index >= WIRE_IRQ_INDEX_NUM)
		return -EINVAL;
	if (set->flags & ~(WIRE_IRQ_SET_DATA_TYPE_MASK | WIRE_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	if (!irq_is_one_of(set->flags, WIRE_IRQ_SET_DATA_TYPE_MASK) ||
	    !irq_is_one_of(set->flags, WIRE_IRQ_SET_ACTION_TYPE_MASK))
		return -EINVAL;
	type = &irq->types[set->index];
	if (set->flags & WIRE_IRQ_SET_DATA_EVENTFD && !(type->flags & WIRE_IRQ_INFO_EVENTFD))
		return -EINVAL;
	if (set->start + set->count <= type->count && fault_on(FAULT_irq_range_wraps))
		return 0;
	if (set->start > type->count || set->count > type->count - set->start)
		return -EINVAL;
	if (!(set->flags & WIRE_IRQ_SET_ACTION_TRIGGER) && !(type->flags & WIRE_IRQ_INFO_MASKABLE))
		return -EINVAL;
	return 0;
}

/* Start 0, count 0 with no data disables the index; no other empty range has a meaning. */
static bool irq_is_disable(const struct wire_irq_set *set)
{
	return set->start == 0 && set->count == 0 &&
	       set->flags == (WIRE_IRQ_SET_DATA_NONE | WIRE_IRQ_SET_ACTION_TRIGGER);
}

/* Bytes and descriptors have to be those that the data flag promises. */
static int irq_check_data(struct irq_request *request, const struct msg *msg)
{
	const struct wire_irq_set *set = &request->wire;
	size_t bytes = msg->size - sizeof(*set);

	request->bools = NULL;
	request->fds = msg->count;
	if (set->count == 0)
		return irq_is_disable(set) && bytes == 0 && msg->count == 0 ? 0 : -EINVAL;
	if (set->flags & WIRE_IRQ_SET_DATA_EVENTFD) {
		if (fault_on(FAULT_irq_refused_halfway) && msg->count < set->count)
			return 0;
		return bytes || (msg->count && msg->count != set->count) ? -EINVAL : 0;
	}
	if (set->flags & WIRE_IRQ_SET_DATA_BOOL)
		request->bools = msg->body + sizeof(*set);
	return bytes != (request->bools ? set->count : 0) || msg->count ? -EINVAL : 0;
}

static uint32_t irq_bits(const struct wire_irq_set *set)
{
	return ((UINT32_C(1) << set->count) - 1) << set->start;
}

/* NORESIZE: the vectors that are enabled first are all that there are until all are disabled. */
static int irq_check_resize(const struct irq *irq, const struct wire_irq_set *set)
{
	uint32_t enabled = irq->set[set->index];

	if (!(irq->types[set->index].flags & WIRE_IRQ_INFO_NORESIZE) || !enabled)
		return 0;
	return irq_bits(set) & ~enabled ? -EINVAL : 0;
}

/* An eventfd is an anonymous file that accepts a write of 0 and is not changed by it. */
static bool irq_is_eventfd(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLOUT };
	uint64_t zero = 0;

	if (poll(&pollfd, 1, 0) < 0 || pollfd.revents & (POLLERR | POLLHUP | POLLNVAL))
		return false;
	return write(fd, &zero, sizeof(zero)) == (ssize_t)sizeof(zero);
}

static bool irq_can_signal(int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat stat;

	if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == O_RDONLY || fstat(fd, &stat))
		return false;
	if (S_ISFIFO(stat.st_mode))
		return true;
	return (stat.st_mode & S_IFMT) == 0 && irq_is_eventfd(fd);
}

static enum irq_role irq_role_of(uint32_t flags)
{
	if (flags & WIRE_IRQ_SET_ACTION_MASK)
		return IRQ_ON_MASK;
	return flags & WIRE_IRQ_SET_ACTION_UNMASK ? IRQ_ON_UNMASK : IRQ_TRIGGER;
}

/* Recomputed from what is assigned, so that disabling vector by vector counts as well. */
static void irq_keep_set(struct irq *irq, const struct wire_irq_set *set, bool assigned)
{
	if (assigned)
		irq->set[set->index] |= irq_bits(set);
	for (int i = 0; i < IRQ_MAX_VECTORS; i++) {
		if (irq->vectors[set->index][i].fd[IRQ_TRIGGER] >= 0)
			return;
	}
	irq->set[set->index] = 0;
}

static int irq_assign(struct irq *irq, const struct irq_request *request, struct msg *msg)
{
	const struct wire_irq_set *set = &request->wire;
	enum irq_role role = irq_role_of(set->flags);

	for (unsigned int i = 0; i < request->fds; i++) {
		if (!irq_can_signal(msg->fd[i]))
			return -EINVAL;
	}
	if (role == IRQ_TRIGGER && request->fds && irq_check_resize(irq, set))
		return -EINVAL;
	for (uint32_t i = 0; i < set->count; i++) {
		struct irq_vector *vector = &irq->vectors[set->index][set->start + i];

		irq_put_fd(vector, role, msg_take(msg, i));
		if (role == IRQ_TRIGGER && !request->fds)
			vector->pending = false;
	}
	if (role == IRQ_TRIGGER)
		irq_keep_set(irq, set, request->fds);
	return 0;
}

static void irq_act(struct irq *irq, const struct irq_request *request)
{
	const struct wire_irq_set *set = &request->wire;
	const struct irq_type *type = &irq->types[set->index];

	for (uint32_t i = 0; i < set->count; i++) {
		struct irq_vector *vector = &irq->vectors[set->index][set->start + i];

		if (request->bools && !request->bools[i] && !fault_on(FAULT_bools_are_ignored))
			continue;
		if (set->flags & WIRE_IRQ_SET_ACTION_MASK)
			irq_mask(vector);
		else if (set->flags & WIRE_IRQ_SET_ACTION_UNMASK)
			irq_unmask(irq, vector, type);
		else
			irq_fire(vector, type);
	}
}

int irq_set(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct irq *irq = owner;
	struct irq_request request;
	int error = 0;

	(void)reply;
	msg_read(msg, &request.wire, sizeof(request.wire));
	if (irq_check_form(irq, &request.wire) || irq_check_data(&request, msg))
		return -EINVAL;
	if (request.wire.count == 0 && fault_on(FAULT_disable_keeps_eventfds))
		return 0;
	pthread_mutex_lock(&irq->lock);
	if (request.wire.count == 0)
		irq_disable(irq, request.wire.index);
	else if (request.wire.flags & WIRE_IRQ_SET_DATA_EVENTFD)
		error = irq_assign(irq, &request, msg);
	else
		irq_act(irq, &request);
	pthread_mutex_unlock(&irq->lock);
	return error;
}
