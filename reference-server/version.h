/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * version.h - VERSION: the version rule and the capabilities ("VFIO_USER_VERSION").
 *
 * Major must be 0. The minor version that we know is 1; the reply carries the smaller of the
 * proposed one and ours, so all below are supported. Version data is strict JSON: valid UTF-8,
 * one object, one NUL and that at its end, bounded in size and depth. A known key with a wrong
 * type or an impossible value is refused, an unknown key is ignored. The reply has only keys that
 * were proposed, and a switch only when it was proposed to be on. Where the client does not
 * propose a key, the default of the specification holds and not our own value: it has not been
 * told that. The twin socket is set up if the client asks for it and takes at least one descriptor
 * in a message; its end is the only descriptor.
 */
#ifndef VERSION_H
#define VERSION_H

#include "dispatch.h"

#define VERSION_MAJOR 0
#define VERSION_MINOR 1
/* Largest VERSION body: the two numbers and 64 KiB of text. */
#define VERSION_MAX_SIZE (sizeof(struct wire_version) + 65536)

/* Whether clients that do not negotiate the vIOMMU extension speak its poc dialect. */
enum version_poc {
	VERSION_POC_NEVER,
	VERSION_POC_AUTO,	/* from their first PASID on */
	VERSION_POC_ALWAYS,
};

/* What we announce. */
struct version_offer {
	uint32_t max_msg_fds;
	uint32_t max_data_xfer_size;
	uint32_t max_dma_maps;
	uint64_t pgsizes;
	bool no_write_multiple;		/* it is not taken up */
	bool needs_write_multiple;	/* a client that does not propose it is refused */
	struct session_viommu viommu;	/* `version` 0: not at all */
	enum version_poc poc;
};

/* The state of this module: where the outcome goes. */
struct version {
	const struct version_offer *offer;
	struct session *session;
};

/*
 * Handler of VERSION. On success the limits are in the session and it is negotiated.
 * -EPROTONOSUPPORT for another major; -EINVAL for bad version data, or without a capability that
 * we need; -ENOMEM.
 */
int version_command(void *owner, struct msg *msg, struct session_reply *reply);

#endif
