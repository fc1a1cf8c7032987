/* SPDX-License-Identifier: BSD-3-Clause */
/* feature.c - see feature.h. */
#include "feature.h"

#include <errno.h>
#include <string.h>

#define FEATURE_METHODS (WIRE_FEATURE_GET | WIRE_FEATURE_SET)

/* A checked request: the data behind its structure, and the most bytes of data in its reply. */
struct feature_request {
	struct wire_feature wire;
	const uint8_t *data;
	size_t size;
	size_t room;
};

/* What is done for GET, or for SET; they append the data of the reply. */
typedef int (*feature_method)(struct feature *feature, const struct feature_request *request,
			      struct session_reply *reply);

struct feature_row {
	uint32_t id;
	size_t get_size;	/* of data in the request, at least */
	size_t set_size;
	feature_method get;	/* NULL: there is no such method */
	feature_method set;
};

static void feature_put_header(const struct feature_request *request, size_t size,
			       struct session_reply *reply)
{
	const struct wire_feature wire = {
		.argsz = (uint32_t)(sizeof(wire) + size),
		.flags = request->wire.flags,
	};

	session_reply_put(reply, &wire, sizeof(wire));
}

/* The whole reply to a GET whose data is a structure. */
static int feature_put(const struct feature_request *request, const void *data, size_t size,
		       struct session_reply *reply)
{
	if (request->room < size)
		return -EINVAL;
	feature_put_header(request, size, reply);
	session_reply_put(reply, data, size);
	return 0;
}

/* The whole reply to SET and PROBE: the request, as it was. */
static void feature_echo(const struct feature_request *request, struct session_reply *reply)
{
	session_reply_put(reply, &request->wire, sizeof(request->wire));
	session_reply_put(reply, request->data, request->size);
}

static int feature_get_migration(struct feature *feature, const struct feature_request *request,
				 struct session_reply *reply)
{
	const uint32_t pre_copy = feature->migration->no_pre_copy ? 0 : WIRE_MIGRATION_PRE_COPY;
	const struct wire_migration migration = { .flags = WIRE_MIGRATION_STOP_COPY | pre_copy };

	return feature_put(request, &migration, sizeof(migration), reply);
}

/* data_fd has no meaning; -1 is what nobody takes for a descriptor. */
static int feature_get_state(struct feature *feature, const struct feature_request *request,
			     struct session_reply *reply)
{
	const struct wire_device_state state = {
		.device_state = feature->migration->state,
		.data_fd = -1,
	};

	return feature_put(request, &state, sizeof(state), reply);
}

static int feature_set_state(struct feature *feature, const struct feature_request *request,
			     struct session_reply *reply)
{
	struct wire_device_state state;

	memcpy(&state, request->data, sizeof(state));
	feature_echo(request, reply);
	return migration_set_state(feature->migration, state.device_state);
}

/* The reply is the request, but for the page size. */
static int feature_start_logging(struct feature *feature, const struct feature_request *request,
				 struct session_reply *reply)
{
	uint64_t page_size;
	int error = dirty_start(feature->dirty, request->data, request->size, &page_size);

	if (error)
		return error;
	session_reply_put(reply, &request->wire, sizeof(request->wire));
	session_reply_put(reply, &page_size, sizeof(page_size));
	session_reply_put(reply, request->data + sizeof(page_size),
			  request->size - sizeof(page_size));
	return 0;
}

/* The text does not say whether the control structure comes with it: it may. */
static int feature_stop_logging(struct feature *feature, const struct feature_request *request,
				struct session_reply *reply)
{
	dirty_stop(feature->dirty);
	feature_echo(request, reply);
	return 0;
}

/* The log is read only when there is room for what it says. */
static int feature_report_logging(struct feature *feature, const struct feature_request *request,
				  struct session_reply *reply)
{
	struct wire_logging_report report;
	size_t room = request->room, max = reply->session->limits.max_data_xfer_size, size;
	uint8_t *bitmap;
	int error;

	if (room < sizeof(report))
		return -EINVAL;
	room -= sizeof(report);
	memcpy(&report, request->data, sizeof(report));
	error = dirty_report_size(feature->dirty, &report, room < max ? room : max, &size);
	if (error)
		return error;
	feature_put_header(request, sizeof(report) + size, reply);
	session_reply_put(reply, &report, sizeof(report));
	bitmap = session_reply_space(reply, size);
	if (bitmap)
		dirty_report(feature->dirty, &report, bitmap);
	return 0;
}

static const struct feature_row feature_rows[] = {
	{ .id = WIRE_FEATURE_MIGRATION, .get = feature_get_migration },
	{ .id = WIRE_FEATURE_MIG_DEVICE_STATE, .get = feature_get_state,
	  .set = feature_set_state, .set_size = sizeof(struct wire_device_state) },
	{ .id = WIRE_FEATURE_DMA_LOGGING_START, .set = feature_start_logging,
	  .set_size = sizeof(struct wire_logging_control) },
	{ .id = WIRE_FEATURE_DMA_LOGGING_STOP, .set = feature_stop_logging },
	{ .id = WIRE_FEATURE_DMA_LOGGING_REPORT, .get = feature_report_logging,
	  .get_size = sizeof(struct wire_logging_report) },
};

static const struct feature_row *feature_find(const struct feature *feature, uint32_t id)
{
	bool of_migration = id == WIRE_FEATURE_MIGRATION || id == WIRE_FEATURE_MIG_DEVICE_STATE;

	if (of_migration ? !feature->migration : !feature->dirty)
		return NULL;
	for (size_t i = 0; i < sizeof(feature_rows) / sizeof(feature_rows[0]); i++) {
		if (feature_rows[i].id == id)
			return &feature_rows[i];
	}
	return NULL;
}

/* Whether the flags ask for something, and only for what the feature has. */
static int feature_check(const struct feature_row *row, uint32_t flags)
{
	uint32_t methods = flags & FEATURE_METHODS;

	if (flags & ~(WIRE_FEATURE_MASK | FEATURE_METHODS | WIRE_FEATURE_PROBE))
		return -EINVAL;
	if (!(flags & WIRE_FEATURE_PROBE) && (!methods || methods == FEATURE_METHODS))
		return -EINVAL;
	if ((methods & WIRE_FEATURE_GET && !row->get) || (methods & WIRE_FEATURE_SET && !row->set))
		return -EINVAL;
	return 0;
}

int feature_command(void *owner, struct msg *msg, struct session_reply *reply)
{
	struct feature_request request;
	const struct feature_row *row;
	struct wire_feature *wire = &request.wire;
	bool get, probe;
	int error;

	msg_read(msg, wire, sizeof(*wire));
	row = feature_find(owner, wire->flags & WIRE_FEATURE_MASK);
	if (!row)
		return -ENOTTY;
	error = feature_check(row, wire->flags);
	if (error)
		return error;
	request.data = msg->body + sizeof(*wire);
	request.size = msg->size - sizeof(*wire);
	if (wire->argsz < sizeof(*wire))
		return -EINVAL;
	request.room = wire->argsz - sizeof(*wire);
	probe = wire->flags & WIRE_FEATURE_PROBE;
	get = wire->flags & WIRE_FEATURE_GET;
	/* What these two send back is the request. */
	if ((probe || !get) && request.size > request.room)
		return -EINVAL;
	if (probe) {
		feature_echo(&request, reply);
		return 0;
	}
	if (request.size < (get ? row->get_size : row->set_size))
		return -EINVAL;
	return get ? row->get(owner, &request, reply) : row->set(owner, &request, reply);
}
