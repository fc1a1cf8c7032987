/* SPDX-License-Identifier: BSD-3-Clause */
/* version.c - see version.h. */
#include "version.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fault.h"
#include "version_viommu.h"

#define VERSION_DEPTH 16
#define VERSION_REPLY_SIZE (256 + VERSION_VIOMMU_TEXT)
/* What stands between the strings of a JSON text: blanks, structure, numbers, three words. */
#define VERSION_TOKENS " \t\n\r{}[]:,0123456789+-.eEtrufalsn"

/* The known capabilities of a proposal; a key that is absent has its default. */
enum version_key {
	VERSION_MAX_MSG_FDS,
	VERSION_MAX_DATA_XFER_SIZE,
	VERSION_MAX_DMA_MAPS,
	VERSION_PGSIZES,
	VERSION_KEYS
};

struct version_proposal {
	bool proposed[VERSION_KEYS];
	uint64_t value[VERSION_KEYS];
	bool write_multiple;
	bool twin;
	struct version_viommu viommu;
};

static const struct version_rule {
	const char *key;
	uint64_t min;
	uint64_t max;
} version_rules[VERSION_KEYS] = {
	[VERSION_MAX_MSG_FDS] = { WIRE_CAP_MAX_MSG_FDS, 0, UINT32_MAX },
	[VERSION_MAX_DATA_XFER_SIZE] = { WIRE_CAP_MAX_DATA_XFER_SIZE, 1, UINT32_MAX },
	[VERSION_MAX_DMA_MAPS] = { WIRE_CAP_MAX_DMA_MAPS, 0, UINT32_MAX },
	[VERSION_PGSIZES] = { WIRE_CAP_PGSIZES, 1, UINT64_MAX },
};

/*
 * Whether each byte may stand where it does: no control characters, and outside of strings only
 * what tokens are made of. json-c accepts more, even when told to be strict: single quotes, say.
 */
static bool version_clean(const char *text, size_t size)
{
	bool inside = false;

	for (size_t i = 0; i < size; i++) {
		if (text[i] == '"')
			inside = !inside;
		else if (inside ? (unsigned char)text[i] < 0x20 : !strchr(VERSION_TOKENS, text[i]))
			return false;
		if (inside && text[i] == '\\')
			i++;
	}
	return true;
}

static bool version_only_blanks(const char *text, size_t size)
{
	return strspn(text, " \t\n\r") == size;
}

/* Parses text that ends with its only NUL. 0 and *out, which the caller puts, or -EINVAL. */
static int version_parse(const char *text, size_t size, struct json_object **out)
{
	struct json_tokener *tokener;
	struct json_object *json;
	size_t end;
	int error = -EINVAL;

	if (fault_on(FAULT_json_ends_at_its_first_nul) && memchr(text, 0, size))
		size = strlen(text) + 1;
	if (size < 2 || memchr(text, 0, size) != text + size - 1 || !version_clean(text, size - 1))
		return -EINVAL;
	tokener = json_tokener_new_ex(VERSION_DEPTH);
	if (!tokener)
		return -ENOMEM;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	json = json_tokener_parse_ex(tokener, text, (int)size);
	if (json_tokener_get_error(tokener) == json_tokener_error_depth &&
	    fault_on(FAULT_deep_json_crashes))
		abort();
	end = json_tokener_get_parse_end(tokener);
	if (json_tokener_get_error(tokener) == json_tokener_success &&
	    json_object_is_type(json, json_type_object) && end < size &&
	    version_only_blanks(text + end, size - 1 - end))
		error = 0;
	json_tokener_free(tokener);
	if (error)
		json_object_put(json);
	else
		*out = json;
	return error;
}

static int version_number(struct json_object *value, const struct version_rule *rule, uint64_t *out)
{
	if (!json_object_is_type(value, json_type_int) || json_object_get_int64(value) < 0)
		return -EINVAL;
	*out = json_object_get_uint64(value);
	return *out < rule->min || *out > rule->max ? -EINVAL : 0;
}

/* The two switches. */
static int version_switches(struct json_object *capabilities, const struct version_offer *offer,
			    struct version_proposal *proposal)
{
	struct json_object *value, *inner;

	if (json_object_object_get_ex(capabilities, WIRE_CAP_WRITE_MULTIPLE, &value)) {
		if (!json_object_is_type(value, json_type_boolean))
			return -EINVAL;
		proposal->write_multiple =
			!offer->no_write_multiple && json_object_get_boolean(value);
	}
	if (!json_object_object_get_ex(capabilities, WIRE_CAP_TWIN_SOCKET, &value))
		return 0;
	if (!json_object_is_type(value, json_type_object))
		return -EINVAL;
	if (!json_object_object_get_ex(value, WIRE_TWIN_SUPPORTED, &inner))
		return 0;
	if (!json_object_is_type(inner, json_type_boolean))
		return -EINVAL;
	proposal->twin = json_object_get_boolean(inner);
	return 0;
}

static int version_capabilities(struct json_object *json, const struct version_offer *offer,
				struct version_proposal *proposal)
{
	struct json_object *capabilities, *value;
	int error = 0;

	if (!json_object_object_get_ex(json, WIRE_KEY_CAPABILITIES, &capabilities))
		return 0;
	if (!json_object_is_type(capabilities, json_type_object))
		return -EINVAL;
	for (int key = 0; key < VERSION_KEYS && !error; key++) {
		const struct version_rule *rule = &version_rules[key];

		if (!json_object_object_get_ex(capabilities, rule->key, &value))
			continue;
		proposal->proposed[key] = true;
		error = version_number(value, rule, &proposal->value[key]);
	}
	/* Without a common page size no DMA could ever be mapped. */
	if (!error && !(proposal->value[VERSION_PGSIZES] & offer->pgsizes))
		error = -EINVAL;
	if (!error)
		error = version_viommu_read(capabilities, &offer->viommu, &proposal->viommu);
	return error ? error : version_switches(capabilities, offer, proposal);
}

static void version_text(const struct version_offer *offer, const struct version_proposal *proposal,
			 struct session_reply *reply)
{
	const uint64_t ours[VERSION_KEYS] = {
		[VERSION_MAX_MSG_FDS] = offer->max_msg_fds,
		[VERSION_MAX_DATA_XFER_SIZE] = offer->max_data_xfer_size,
		[VERSION_MAX_DMA_MAPS] = offer->max_dma_maps,
		[VERSION_PGSIZES] = offer->pgsizes,
	};
	char text[VERSION_REPLY_SIZE];
	const char *comma = "";
	int size = snprintf(text, sizeof(text), "{\"%s\":{", WIRE_KEY_CAPABILITIES);

	for (int key = 0; key < VERSION_KEYS; key++) {
		if (!proposal->proposed[key])
			continue;
		size += snprintf(text + size, sizeof(text) - (size_t)size, "%s\"%s\":%" PRIu64,
				 comma, version_rules[key].key, ours[key]);
		comma = ",";
	}
	if (proposal->write_multiple || fault_on(FAULT_capability_not_proposed)) {
		size += snprintf(text + size, sizeof(text) - (size_t)size, "%s\"%s\":true", comma,
				 WIRE_CAP_WRITE_MULTIPLE);
		comma = ",";
	}
	if (proposal->viommu.agreed.version) {
		size += snprintf(text + size, sizeof(text) - (size_t)size, "%s", comma);
		size += version_viommu_text(&proposal->viommu, text + size,
					    sizeof(text) - (size_t)size);
		comma = ",";
	}
	if (proposal->twin)
		size += snprintf(text + size, sizeof(text) - (size_t)size,
				 "%s\"%s\":{\"%s\":true,\"%s\":0}", comma, WIRE_CAP_TWIN_SOCKET,
				 WIRE_TWIN_SUPPORTED, WIRE_TWIN_FD_INDEX);
	size += snprintf(text + size, sizeof(text) - (size_t)size, "}}");
	session_reply_put(reply, text, (size_t)size + 1);
}

/*
 * Sets the twin socket up if the client asked for it and can take its end; else it is not offered.
 * A pair that cannot be had is no reason to fail: the main socket does as well.
 */
static void version_twin(const struct version *version, const struct msg *msg,
			 struct version_proposal *proposal, struct session_reply *reply)
{
	int fd[2];

	if (fault_on(FAULT_twin_for_everybody))
		proposal->twin = true;
	if (proposal->value[VERSION_MAX_MSG_FDS] == 0 || msg->header.flags & WIRE_NO_REPLY)
		proposal->twin = false;
	if (!proposal->twin)
		return;
	proposal->twin = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd) == 0;
	if (!proposal->twin)
		return;
	version->session->limits.client_max_msg_fds =
		(uint32_t)proposal->value[VERSION_MAX_MSG_FDS];
	session_reply_fd(reply, fd[1]);
	close(fd[1]);
	session_add_twin(version->session, fd[0]);
}

static void version_agree(const struct version *version, const struct version_proposal *proposal)
{
	struct session_limits *limits = &version->session->limits;
	const struct version_offer *offer = version->offer;

	limits->client_max_msg_fds = (uint32_t)proposal->value[VERSION_MAX_MSG_FDS];
	if (proposal->proposed[VERSION_MAX_DATA_XFER_SIZE])
		limits->client_max_data_xfer_size =
			(uint32_t)proposal->value[VERSION_MAX_DATA_XFER_SIZE];
	if (proposal->proposed[VERSION_MAX_DATA_XFER_SIZE])
		limits->max_data_xfer_size = offer->max_data_xfer_size;
	if (proposal->proposed[VERSION_MAX_DATA_XFER_SIZE] &&
	    fault_on(FAULT_limits_outlive_the_client))
		limits->max_data_xfer_size = (uint32_t)proposal->value[VERSION_MAX_DATA_XFER_SIZE];
	limits->write_multiple = proposal->write_multiple;
	limits->viommu = proposal->viommu.agreed;
	if (!limits->viommu.version && offer->poc == VERSION_POC_ALWAYS)
		limits->viommu = version_viommu_poc(offer->viommu.max_pasids);
	else if (!limits->viommu.version && offer->poc == VERSION_POC_AUTO)
		limits->latent = version_viommu_poc(offer->viommu.max_pasids);
	if (proposal->proposed[VERSION_MAX_DMA_MAPS])
		limits->max_dma_maps = offer->max_dma_maps;
	session_advance(version->session, SESSION_AGREED);
}

int version_command(void *owner, struct msg *msg, struct session_reply *reply)
{
	const struct version *version = owner;
	struct version_proposal proposal = {
		.value = {
			[VERSION_MAX_MSG_FDS] = WIRE_DEFAULT_MAX_MSG_FDS,
			[VERSION_PGSIZES] = WIRE_DEFAULT_PGSIZES,
		},
	};
	struct wire_version numbers;
	struct json_object *json = NULL;
	int error = 0;

	msg_read(msg, &numbers, sizeof(numbers));
	if (numbers.major != VERSION_MAJOR && !fault_on(FAULT_major_is_ignored))
		return -EPROTONOSUPPORT;
	if (numbers.minor > VERSION_MINOR || fault_on(FAULT_minor_is_the_newest))
		numbers.minor = VERSION_MINOR;
	session_reply_put(reply, &numbers, sizeof(numbers));
	if (msg->size > sizeof(numbers)) {
		error = version_parse((const char *)msg->body + sizeof(numbers),
				      msg->size - sizeof(numbers), &json);
		if (!error)
			error = version_capabilities(json, version->offer, &proposal);
		json_object_put(json);
		if (!error)
			version_twin(version, msg, &proposal, reply);
		version_text(version->offer, &proposal, reply);
	}
	/* An extension is negotiated by the reply that names it. */
	if (msg->header.flags & WIRE_NO_REPLY)
		proposal.viommu = (struct version_viommu){ .width = false };
	if (!error && version->offer->needs_write_multiple && !proposal.write_multiple)
		error = -EINVAL;
	if (!error)
		version_agree(version, &proposal);
	if (error && fault_on(FAULT_failed_negotiation_ends_the_server))
		exit(1);
	return error;
}
