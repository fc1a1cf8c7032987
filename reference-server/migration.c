/* SPDX-License-Identifier: BSD-3-Clause */
/* migration.c - see migration.h. */
#include "migration.h"

#include <errno.h>
#include <string.h>

#include "fault.h"
#include "log.h"

#define MIGRATION_STATES (WIRE_STATE_PRE_COPY + 1)
/* ERROR cannot be asked for, so its number says that there is no way. */
#define MIGRATION_NO_WAY WIRE_STATE_ERROR

/*
 * From the row towards the column: the state at the end of the first arc of the shortest path
 * that has no saving state in its middle ("Complex State Transitions").
 */
static const enum wire_migration_state migration_next[MIGRATION_STATES][MIGRATION_STATES] = {
	[WIRE_STATE_STOP] = {
		[WIRE_STATE_RUNNING] = WIRE_STATE_RUNNING,
		[WIRE_STATE_STOP_COPY] = WIRE_STATE_STOP_COPY,
		[WIRE_STATE_RESUMING] = WIRE_STATE_RESUMING,
		[WIRE_STATE_PRE_COPY] = WIRE_STATE_RUNNING,
	},
	[WIRE_STATE_RUNNING] = {
		[WIRE_STATE_STOP] = WIRE_STATE_STOP,
		[WIRE_STATE_STOP_COPY] = WIRE_STATE_STOP,
		[WIRE_STATE_RESUMING] = WIRE_STATE_STOP,
		[WIRE_STATE_PRE_COPY] = WIRE_STATE_PRE_COPY,
	},
	[WIRE_STATE_STOP_COPY] = {
		[WIRE_STATE_STOP] = WIRE_STATE_STOP,
		[WIRE_STATE_RUNNING] = WIRE_STATE_STOP,
		[WIRE_STATE_RESUMING] = WIRE_STATE_STOP,
		[WIRE_STATE_PRE_COPY] = MIGRATION_NO_WAY,
	},
	[WIRE_STATE_RESUMING] = {
		[WIRE_STATE_STOP] = WIRE_STATE_STOP,
		[WIRE_STATE_RUNNING] = WIRE_STATE_STOP,
		[WIRE_STATE_STOP_COPY] = WIRE_STATE_STOP,
		[WIRE_STATE_PRE_COPY] = WIRE_STATE_STOP,
	},
	[WIRE_STATE_PRE_COPY] = {
		[WIRE_STATE_STOP] = WIRE_STATE_RUNNING,
		[WIRE_STATE_RUNNING] = WIRE_STATE_RUNNING,
		[WIRE_STATE_STOP_COPY] = WIRE_STATE_STOP_COPY,
		[WIRE_STATE_RESUMING] = WIRE_STATE_RUNNING,
	},
};

void migration_init(struct migration *migration, const struct migration_ops *ops, void *owner,
		    const struct migration_part *parts)
{
	memset(migration, 0, sizeof(*migration));
	migration->ops = ops;
	migration->owner = owner;
	migration->parts = parts;
	migration->state = WIRE_STATE_RUNNING;
}

void migration_close(struct migration *migration)
{
	migration_stream_close(&migration->stream);
}

bool migration_is_running(const struct migration *migration)
{
	return migration->state == WIRE_STATE_RUNNING || migration->state == WIRE_STATE_PRE_COPY;
}

void migration_reset(struct migration *migration)
{
	bool running = migration_is_running(migration);

	migration_stream_close(&migration->stream);
	migration->state = WIRE_STATE_RUNNING;
	if (!running)
		migration->ops->run(migration->owner);
}

void migration_detach(struct migration *migration)
{
	if (migration->state != WIRE_STATE_ERROR)
		migration_reset(migration);
}

static int migration_stop(struct migration *migration)
{
	return migration->ops->stop(migration->owner);
}

static int migration_run(struct migration *migration)
{
	migration->ops->run(migration->owner);
	return 0;
}

/* Ends a session of saving. */
static int migration_end(struct migration *migration)
{
	migration_stream_close(&migration->stream);
	return 0;
}

/* Queues what has changed since the last time. */
static int migration_save(struct migration *migration)
{
	int error = migration->ops->save(migration->owner, migration->stream.now);

	return error ? error : migration_stream_put(&migration->stream);
}

/* Begins a session of saving, with everything. */
static int migration_begin(struct migration *migration)
{
	int error = migration_stream_open(&migration->stream, migration->parts);

	if (fault_on(FAULT_pre_copy_stops))
		migration->ops->stop(migration->owner);
	if (!error)
		error = migration_stream_begin(&migration->stream);
	if (!error)
		error = migration_save(migration);
	if (error)
		migration_stream_close(&migration->stream);
	return error;
}

static int migration_begin_stopped(struct migration *migration)
{
	int error = migration_begin(migration);

	if (!error)
		error = migration_stream_finish(&migration->stream);
	if (error)
		migration_stream_close(&migration->stream);
	return error;
}

/* PRE_COPY -> STOP_COPY: the rest of the stream. */
static int migration_continue(struct migration *migration)
{
	int error = migration->ops->stop(migration->owner);

	if (error)
		return error;
	error = migration_save(migration);
	if (!error)
		error = migration_stream_finish(&migration->stream);
	if (error)
		migration->ops->run(migration->owner);
	return error;
}

static int migration_resume(struct migration *migration)
{
	return migration_stream_open(&migration->stream, migration->parts);
}

/* RESUMING -> STOP. After an error the device could have lost its state: that makes it ERROR. */
static int migration_load(struct migration *migration)
{
	int error = -EIO;

	if (migration_stream_is_complete(&migration->stream))
		error = migration->ops->load(migration->owner, migration->stream.image);
	migration_stream_close(&migration->stream);
	if (error)
		migration->state = WIRE_STATE_ERROR;
	return error;
}

static const struct migration_arc {
	enum wire_migration_state from, to;
	int (*action)(struct migration *migration);
} migration_arcs[] = {
	{ WIRE_STATE_RUNNING, WIRE_STATE_STOP, migration_stop },
	{ WIRE_STATE_STOP, WIRE_STATE_RUNNING, migration_run },
	{ WIRE_STATE_STOP, WIRE_STATE_STOP_COPY, migration_begin_stopped },
	{ WIRE_STATE_STOP_COPY, WIRE_STATE_STOP, migration_end },
	{ WIRE_STATE_RUNNING, WIRE_STATE_PRE_COPY, migration_begin },
	{ WIRE_STATE_PRE_COPY, WIRE_STATE_RUNNING, migration_end },
	{ WIRE_STATE_PRE_COPY, WIRE_STATE_STOP_COPY, migration_continue },
	{ WIRE_STATE_STOP, WIRE_STATE_RESUMING, migration_resume },
	{ WIRE_STATE_RESUMING, WIRE_STATE_STOP, migration_load },
};

/* One arc: its action, and then the state. */
static int migration_walk(struct migration *migration, enum wire_migration_state to)
{
	for (size_t i = 0; i < sizeof(migration_arcs) / sizeof(migration_arcs[0]); i++) {
		const struct migration_arc *arc = &migration_arcs[i];
		int error;

		if (arc->from != migration->state || arc->to != to)
			continue;
		error = arc->action(migration);
		if (!error)
			migration->state = to;
		return error;
	}
	return -EINVAL;
}

int migration_set_state(struct migration *migration, uint32_t state)
{
	int error = 0;

	if (state >= MIGRATION_STATES ||
	    (state == WIRE_STATE_PRE_COPY && migration->no_pre_copy))
		return -EINVAL;
	if (migration->state == WIRE_STATE_ERROR && fault_on(FAULT_error_can_be_left))
		migration->state = WIRE_STATE_STOP;
	while (migration->state != state && !error) {
		enum wire_migration_state next = migration_next[migration->state][state];

		if (next == MIGRATION_NO_WAY)
			return -EINVAL;
		log_debug("migration state %d to %d", migration->state, next);
		error = migration_walk(migration, next);
	}
	return state == WIRE_STATE_ERROR ? -EINVAL : error;
}

int migration_read(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct migration *migration = owner;
	struct migration_stream *stream = &migration->stream;
	struct wire_mig_data data;
	size_t queued;
	void *space;
	int error = 0;

	msg_read(msg, &data, sizeof(data));
	if (migration->state != WIRE_STATE_PRE_COPY && migration->state != WIRE_STATE_STOP_COPY)
		return -EINVAL;
	if (data.argsz < sizeof(data) || data.argsz - sizeof(data) < data.size ||
	    data.size > reply->session->limits.max_data_xfer_size)
		return -EINVAL;
	queued = migration_stream_queued(stream);
	if (queued < data.size && migration->state == WIRE_STATE_PRE_COPY)
		error = migration_save(migration);
	if (error)
		return error;
	queued = migration_stream_queued(stream);
	if (data.size > queued)
		data.size = (uint32_t)queued;
	data.argsz = (uint32_t)sizeof(data) + data.size;
	session_reply_put(reply, &data, sizeof(data));
	space = session_reply_space(reply, data.size);
	if (space)
		migration_stream_take(stream, space, data.size);
	return 0;
}

int migration_write(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct migration *migration = owner;
	struct wire_mig_data data;

	msg_read(msg, &data, sizeof(data));
	if (migration->state != WIRE_STATE_RESUMING)
		return -EINVAL;
	if (msg->size - sizeof(data) != data.size ||
	    data.size > reply->session->limits.max_data_xfer_size)
		return -EINVAL;
	migration_stream_feed(&migration->stream, msg->body + sizeof(data), data.size);
	return 0;
}
