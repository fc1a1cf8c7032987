/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * model_version.c - VERSION: which version data must be taken, which must be refused, and what a
 * reply may hold; see model_rule.h.
 *
 * Texts are read by json-c in its strict mode. What two honest readers of JSON may take in
 * different ways (keys that occur twice, escapes, bytes beyond ASCII, deep nesting, odd numbers) is
 * found beforehand and not judged.
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "model_rule.h"

#define MODEL_VERSION_TEXT 4096		/* longer version data is not judged */
#define MODEL_VERSION_DEPTH 16
#define MODEL_VERSION_CACHED 512
#define MODEL_VERSION_SLOTS 64

/* What version data is worth, from the best to the worst. */
enum model_version_worth {
	MODEL_VERSION_GOOD,	/* absent, or an object that means something */
	MODEL_VERSION_ODD,	/* a known entry has a value that can hardly be meant */
	MODEL_VERSION_WRONG,	/* a known entry has the wrong type */
	MODEL_VERSION_STRANGE,	/* readers may differ */
	MODEL_VERSION_UNENDED,	/* without its NUL */
	MODEL_VERSION_NO_JSON,	/* not a JSON object, or its capabilities are none */
	MODEL_VERSION_BROKEN,	/* an object that not even a lenient reader can make out */
};

struct model_version_data {
	enum model_version_worth worth;
	bool has_index;
	uint64_t index;		/* fd_index of the twin socket */
	struct model_limits limits;
};

static const struct model_limits model_version_defaults = {
	.max_msg_fds = WIRE_DEFAULT_MAX_MSG_FDS,
	.max_data_xfer_size = WIRE_DEFAULT_MAX_DATA_XFER_SIZE,
	.max_dma_maps = WIRE_DEFAULT_MAX_DMA_MAPS,
	.pgsizes = WIRE_DEFAULT_PGSIZES,
	.known = true,
};

/* ---- the text ---- */

static bool model_version_is_word(const char *text, const char *word)
{
	return !strncmp(text, word, strlen(word));
}

/* The length of a token outside strings that every reader takes alike; 0 if it is none. */
static size_t model_version_token(const char *text)
{
	size_t length = strspn(text, "0123456789");

	if (length)
		return text[0] == '0' && length > 1 ? 0 : length;
	if (model_version_is_word(text, "true") || model_version_is_word(text, "null"))
		return 4;
	if (model_version_is_word(text, "false"))
		return 5;
	if (text[0] == '-')
		return text[1] > '0' && text[1] <= '9' ? 1 : 0;
	return strchr("{}[],: \t\r\n", text[0]) ? 1 : 0;
}

/* The number of members that a text has by its colons; -1 when readers may differ about it. */
static int model_version_members(const char *text)
{
	int members = 0;

	while (*text) {
		size_t length;

		if (*text == '"') {
			for (text++; *text && *text != '"'; text++)
				if (*text < ' ' || *text == '\\' || *text == 127)
					return -1;
			text += *text == '"';
			continue;
		}
		length = model_version_token(text);
		if (!length)
			return -1;
		members += *text == ':';
		text += length;
	}
	return members;
}

/* The text as a value; NULL for what is none, and with *deep set when it is nested too deeply. */
static struct json_object *model_version_parse(const char *text, int flags, bool *deep)
{
	struct json_tokener *tokener = json_tokener_new_ex(MODEL_VERSION_DEPTH);
	struct json_object *value;
	enum json_tokener_error error;

	*deep = true;
	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, flags);
	value = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
	error = json_tokener_get_error(tokener);
	*deep = error == json_tokener_error_depth;
	json_tokener_free(tokener);
	if (error == json_tokener_success)
		return value;
	json_object_put(value);
	return NULL;
}

/* The members of a value that were kept, those of its values included. */
static int model_version_kept(struct json_object *value)
{
	int members = 0;

	if (json_object_is_type(value, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(value); i++)
			members += model_version_kept(json_object_array_get_idx(value, i));
	} else if (json_object_is_type(value, json_type_object)) {
		struct lh_entry *entry;

		lh_foreach(json_object_get_object(value), entry)
			members += 1 + model_version_kept((struct json_object *)lh_entry_v(entry));
	}
	return members;
}

static bool model_version_is_ascii(const char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text > 127)
			return false;
	return true;
}

/* ---- the entries ---- */

static void model_version_worsen(struct model_version_data *data, enum model_version_worth worth)
{
	if (data->worth < worth)
		data->worth = worth;
}

/* A number that is not negative. What can hardly be meant is below `least` or above `most`. */
static bool model_version_number(struct model_version_data *data, struct json_object *entries,
				 const char *key, uint64_t least, uint64_t *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(entries, key, &value))
		return false;
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0) {
		model_version_worsen(data, MODEL_VERSION_WRONG);
		return false;
	}
	*out = json_object_get_uint64(value);
	if (*out < least || *out > UINT32_MAX)
		model_version_worsen(data, MODEL_VERSION_ODD);
	return true;
}

static void model_version_switch(struct model_version_data *data, struct json_object *entries,
				 const char *key, bool *out)
{
	struct json_object *value;

	if (!json_object_object_get_ex(entries, key, &value))
		return;
	if (json_object_is_type(value, json_type_boolean))
		*out = json_object_get_boolean(value);
	else
		model_version_worsen(data, MODEL_VERSION_WRONG);
}

static void model_version_twin(struct model_version_data *data, struct json_object *entries)
{
	struct json_object *twin;

	if (!json_object_object_get_ex(entries, WIRE_CAP_TWIN_SOCKET, &twin))
		return;
	if (!json_object_is_type(twin, json_type_object)) {
		model_version_worsen(data, MODEL_VERSION_WRONG);
		return;
	}
	model_version_switch(data, twin, WIRE_TWIN_SUPPORTED, &data->limits.twin);
	data->has_index = model_version_number(data, twin, WIRE_TWIN_FD_INDEX, 0, &data->index);
}

static void model_version_entries(struct model_version_data *data, struct json_object *entries)
{
	struct model_limits *limits = &data->limits;

	model_version_number(data, entries, WIRE_CAP_MAX_MSG_FDS, 0, &limits->max_msg_fds);
	model_version_number(data, entries, WIRE_CAP_MAX_DATA_XFER_SIZE, 1,
			     &limits->max_data_xfer_size);
	model_version_number(data, entries, WIRE_CAP_MAX_DMA_MAPS, 1, &limits->max_dma_maps);
	model_version_number(data, entries, WIRE_CAP_PGSIZES, 1, &limits->pgsizes);
	model_version_switch(data, entries, WIRE_CAP_WRITE_MULTIPLE, &limits->write_multiple);
	model_version_twin(data, entries);
	model_viommu_read(&limits->viommu, entries);
	if (!limits->pgsizes)
		model_version_worsen(data, MODEL_VERSION_WRONG);
	if (!(limits->pgsizes & WIRE_DEFAULT_PGSIZES) ||
	    limits->pgsizes & (WIRE_DEFAULT_PGSIZES - 1))
		model_version_worsen(data, MODEL_VERSION_ODD);
}

static void model_version_object(struct model_version_data *data, struct json_object *object)
{
	struct json_object *entries;

	data->worth = MODEL_VERSION_NO_JSON;
	if (!json_object_is_type(object, json_type_object))
		return;
	if (json_object_object_get_ex(object, WIRE_KEY_CAPABILITIES, &entries) &&
	    !json_object_is_type(entries, json_type_object))
		return;
	data->worth = MODEL_VERSION_GOOD;
	model_version_entries(data, entries);
}

static void model_version_text(struct model_version_data *data, const char *text)
{
	int members = model_version_members(text);
	int flags = JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8;
	struct json_object *value;
	bool deep;

	value = model_version_parse(text, flags, &deep);
	if (value) {
		if (members == model_version_kept(value))
			model_version_object(data, value);
		else
			data->worth = MODEL_VERSION_STRANGE;
	} else if (deep || strpbrk(text, "\\\x7f") || !model_version_is_ascii(text)) {
		data->worth = MODEL_VERSION_STRANGE;
	} else {
		value = model_version_parse(text, 0, &deep);
		data->worth = value || text[0] != '{' ? MODEL_VERSION_NO_JSON :
							MODEL_VERSION_BROKEN;
	}
	json_object_put(value);
}

/*
 * Texts that were read before: a client repeats its own, and a server its answers. A text always
 * means the same, so it does not matter who has read it.
 */
struct model_version_slot {
	size_t size;		/* 0: free */
	uint8_t text[MODEL_VERSION_CACHED];
	struct model_version_data data;
};

static _Thread_local struct model_version_slot model_version_slots[MODEL_VERSION_SLOTS];

/* Where a text is kept, if it is: each has one place. */
static struct model_version_slot *model_version_place(const uint8_t *text, size_t size)
{
	uint32_t hash = (uint32_t)size;

	for (size_t i = 0; i < size; i++)
		hash = (hash ^ text[i]) * UINT32_C(0x01000193);
	return &model_version_slots[(hash ^ hash >> 16) % MODEL_VERSION_SLOTS];
}

static void model_version_make_out(struct model_version_data *data, const uint8_t *text,
				   size_t size)
{
	struct model_version_slot *slot;

	if (size > MODEL_VERSION_CACHED) {
		model_version_text(data, (const char *)text);
		return;
	}
	slot = model_version_place(text, size);
	if (slot->size == size && !memcmp(slot->text, text, size)) {
		*data = slot->data;
		return;
	}
	model_version_text(data, (const char *)text);
	slot->size = size;
	memcpy(slot->text, text, size);
	slot->data = *data;
}

/* What stands behind the version numbers: `size` bytes, all of them there. */
static void model_version_read(struct model_version_data *data, const uint8_t *text, size_t size)
{
	memset(data, 0, sizeof(*data));
	data->limits = model_version_defaults;
	if (!size)
		return;
	if (size > MODEL_VERSION_TEXT)
		data->worth = MODEL_VERSION_STRANGE;
	else if (text[size - 1])
		data->worth = MODEL_VERSION_UNENDED;
	else if (size == 1 || memchr(text, 0, size - 1))
		data->worth = MODEL_VERSION_NO_JSON;
	else
		model_version_make_out(data, text, size);
	data->limits.known = data->worth <= MODEL_VERSION_ODD;
}

static void model_version_offer(struct model_version_data *data, const struct model_asked *asked)
{
	uint8_t text[MODEL_VERSION_TEXT];
	size_t at = sizeof(struct wire_version);
	size_t size = asked->size - at;

	*data = (struct model_version_data){ .worth = MODEL_VERSION_STRANGE };
	if (model_body_at(asked, at, text, size <= sizeof(text) ? size : 0))
		model_version_read(data, text, size);
}

/* ---- the rule ---- */

static void model_version_judge_data(const struct model *model, const struct model_asked *asked,
				     struct model_expect *out)
{
	struct model_version_data data;

	model_version_offer(&data, asked);
	out->closed = data.worth != MODEL_VERSION_GOOD;
	switch (data.worth) {
	case MODEL_VERSION_GOOD:
		if (data.limits.viommu.wrong || (data.limits.twin && !data.limits.max_msg_fds))
			out->closed = true;
		else
			model_demand(out, asked->size > sizeof(struct wire_version) ?
				     "VER-JSON-002" : "VER-JSON-001", "the request is well-formed");
		break;
	case MODEL_VERSION_UNENDED:
		if (model_strict(model, MODEL_N9))
			model_refuse(out, "VER-JSON-003", "the version data have no NUL");
		break;
	case MODEL_VERSION_NO_JSON:
		if (model_strict(model, MODEL_N10))
			model_refuse(out, "VER-JSON-004", "the version data are no JSON object");
		break;
	case MODEL_VERSION_BROKEN:
		model_refuse(out, "VER-JSON-004", "the version data are broken JSON");
		break;
	case MODEL_VERSION_ODD:
	case MODEL_VERSION_WRONG:
	case MODEL_VERSION_STRANGE:
		break;
	}
}

static void model_version_judge(const struct model *model, const struct model_asked *asked,
				struct model_expect *out)
{
	struct wire_version version;

	if (!model_body(asked, &version, sizeof(version)))
		return;
	if (model->phase == MODEL_READY) {
		out->closed = true;
	} else if (version.major) {
		model_refuse(out, "VER-NEG-004", "major version %u is not supported",
			     version.major);
		out->closed = true;
	} else {
		model_version_judge_data(model, asked, out);
	}
}

static void model_version_check_twin(struct model *model, const struct model_asked *asked,
				     const struct model_version_data *offer,
				     const struct model_version_data *came, size_t nfds)
{
	if (!came->limits.twin) {
		if (nfds)
			model_blame(model, &asked->header, "TWIN-NEG-001",
				    "allowed: no descriptor without twin socket; came: %zu", nfds);
		return;
	}
	if (offer->limits.known && !offer->limits.twin)
		model_blame(model, &asked->header, "TWIN-NEG-001",
			    "allowed: no twin socket, which was not offered; came: one");
	if (offer->limits.known && !offer->limits.max_msg_fds)
		model_blame(model, &asked->header, "TWIN-NEG-003",
			    "allowed: no twin socket with max_msg_fds 0; came: one");
	if (nfds != 1 || !came->has_index || came->index)
		model_blame(model, &asked->header, "TWIN-NEG-002",
			    "allowed: one descriptor, fd_index 0; came: %zu, fd_index %llu", nfds,
			    came->has_index ? (unsigned long long)came->index : UINT64_MAX);
}

static void model_version_answer(struct model_version_data *data,
				 const struct model_message *reply)
{
	size_t at = sizeof(struct wire_version);

	model_version_read(data, reply->body + at, reply->size - at);
}

static void model_version_check_numbers(struct model *model, const struct model_asked *asked,
					const struct model_message *reply)
{
	struct wire_version proposed;
	struct wire_version came;

	if (!model_body(asked, &proposed, sizeof(proposed)) ||
	    !model_reply_at(reply, 0, &came, sizeof(came)))
		return;
	if (came.major != proposed.major)
		model_blame(model, &asked->header, "VER-NEG-003",
			    "allowed: major %u; came: %u", proposed.major, came.major);
	if (came.minor > proposed.minor)
		model_blame(model, &asked->header, "VER-NEG-005",
			    "allowed: a minor of at most %u; came: %u", proposed.minor,
			    came.minor);
}

static void model_version_check(struct model *model, const struct model_asked *asked,
				const struct model_message *reply)
{
	struct model_version_data offer;
	struct model_version_data came;

	if (model->phase == MODEL_READY)
		return;
	model_version_check_numbers(model, asked, reply);
	model_version_offer(&offer, asked);
	model_version_answer(&came, reply);
	if (came.worth == MODEL_VERSION_UNENDED)
		model_blame(model, &asked->header, "VER-NEG-009",
			    "allowed: version data with a NUL at their end; came: none");
	else if (came.worth == MODEL_VERSION_NO_JSON || came.worth == MODEL_VERSION_BROKEN)
		model_blame(model, &asked->header, "VER-JSON-009",
			    "allowed: version data that are a JSON object; came: others");
	else if (came.worth == MODEL_VERSION_WRONG)
		model_blame(model, &asked->header, "VER-JSON-009",
			    "allowed: known entries of their own types; came: others");
	if (!came.limits.known)
		return;
	if (came.limits.write_multiple && offer.limits.known && !offer.limits.write_multiple)
		model_blame(model, &asked->header, "VER-NEG-007",
			    "allowed: no write_multiple, which was not offered; came: true");
	model_version_check_twin(model, asked, &offer, &came, reply->nfds);
	model_viommu_check(model, asked, &offer.limits, &came.limits);
}

static void model_version_apply(struct model *model, const struct model_asked *asked,
				enum model_outcome outcome, const struct model_message *reply)
{
	struct model_version_data offer;
	struct model_version_data came;

	if (outcome == MODEL_ERROR || model->phase != MODEL_GREETING) {
		model->may_close = true;
		return;
	}
	if (!reply) {
		model_lose(model);
		return;
	}
	model_version_offer(&offer, asked);
	model_version_answer(&came, reply);
	model->client = offer.limits;
	model->server = came.limits;
	model->phase = MODEL_READY;
	if (came.limits.viommu.wrong)
		model_lose(model);
	model->viommu.on = came.limits.viommu.version;
}

const struct model_rule model_version_rule = {
	.keep = sizeof(struct wire_version) + MODEL_VERSION_TEXT,
	.shorter = "VER-NEG-010",
	.judge = model_version_judge,
	.check = model_version_check,
	.apply = model_version_apply,
};
