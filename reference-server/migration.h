/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * migration.h - the migration state of a device, MIG_DATA_READ and MIG_DATA_WRITE.
 *
 * The state machine is that of Linux without the P2P states. A request for a state that is not
 * reached by one arc walks over several, each with its action; when one fails, the request fails
 * and the state is the one that this arc began in, or ERROR where data was found to be bad.
 * ERROR is left by a reset only.
 *
 * The device describes its state as an image: parts of fixed size, one behind the other. What is
 * saved is a stream of sections, which are pieces of parts that differ from what was saved
 * before, at first from zero. So PRE_COPY sends everything once and then what has changed, and
 * what is zero takes no room. Format, in host byte order (migration_stream.h): a header, sections
 * each with a checksum, and an end with a checksum over all.
 *
 * What is loaded is checked piece by piece as it comes, in memory of fixed size, and nothing of it
 * is believed: the device gets it as a whole on the arc RESUMING -> STOP, or not at all.
 */
#ifndef MIGRATION_H
#define MIGRATION_H

#include "dispatch.h"
#include "migration_stream.h"

/* What migration does with the device. */
struct migration_ops {
	/*
	 * 0: no DMA and no interrupt from when this returns, until run(). -EINPROGRESS: DMA has to
	 * end first, and the command is to be executed again.
	 */
	int (*stop)(void *owner);
	void (*run)(void *owner);
	/* Fills in the image. 0, or -errno: the arc, or the command, fails. */
	int (*save)(void *owner, uint8_t *image);
	/* Takes over the image. 0, or -errno if it is none of this device, which needs a reset */
	int (*load)(void *owner, const uint8_t *image);
};

struct migration {
	const struct migration_ops *ops;
	void *owner;
	const struct migration_part *parts;
	enum wire_migration_state state;
	bool no_pre_copy;		/* PRE_COPY is no state of this device */
	struct migration_stream stream;	/* in PRE_COPY, STOP_COPY and RESUMING */
};

/* A device that runs. `parts` ends with one of size 0, and outlives the module. */
void migration_init(struct migration *migration, const struct migration_ops *ops, void *owner,
		    const struct migration_part *parts);

/* Frees the stream. */
void migration_close(struct migration *migration);

/*
 * The device was reset, and runs ("To recover from ERROR"). What was saved or loaded is dropped;
 * run() is called if the device was stopped.
 */
void migration_reset(struct migration *migration);

/* The client is gone: as migration_reset(), but ERROR stays. */
void migration_detach(struct migration *migration);

/* Whether the device may start DMA and raise interrupts. */
bool migration_is_running(const struct migration *migration);

/*
 * SET MIG_DEVICE_STATE. 0, also for the present state; -EINPROGRESS, to be called again, while DMA
 * has to end; -EINVAL for a state that is none or has no
 * way there; -ENOMEM, or what the device says, where an arc failed; -EIO for bad data in RESUMING.
 */
int migration_set_state(struct migration *migration, uint32_t state);

/*
 * Handler of MIG_DATA_READ. The reply is shorter than asked for only when nothing more is there;
 * in PRE_COPY that holds until the device changes. -EINVAL outside of the saving states, for an
 * argsz without room for size bytes, and for more than max_data_xfer_size; no data is lost then.
 */
int migration_read(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of MIG_DATA_WRITE. Bad data is found out here and held against it on RESUMING -> STOP.
 * -EINVAL outside of RESUMING, if size is not the number of bytes that have come, or for more than
 * max_data_xfer_size.
 */
int migration_write(void *owner, struct msg *msg, struct session_reply *reply);

#endif
