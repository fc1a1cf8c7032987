/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * region.h - the regions of a device: their description, and accesses by message.
 *
 * Index, access rights, range and size are checked here; an owner gets only bytes that lie inside
 * its region and never an empty access.
 */
#ifndef REGION_H
#define REGION_H

#include "dispatch.h"

/*
 * Called for accesses; 0, or a negative errno which refuses the access as a whole: then the owner
 * has changed nothing. A write that cannot be answered yet returns -EINPROGRESS and is done again.
 * A region without READ (WRITE) needs no read (write). What has descriptors for writes (io_fds)
 * may make them when a client asks for them: open_io gives 0, or -errno and there are none.
 */
struct region_ops {
	int (*read)(void *owner, uint64_t offset, void *data, uint32_t count);
	int (*write)(void *owner, uint64_t offset, const void *data, uint32_t count);
	int (*open_io)(void *owner);
};

struct region {
	uint64_t size;		/* 0: not implemented */
	uint32_t flags;		/* WIRE_REGION_FLAG_READ, _WRITE, _MMAP */
	int fd;			/* for MMAP; the owner's */
	uint64_t mmap_offset;
	const struct wire_sparse_area *areas;	/* parts that can be mapped; NULL: no capability */
	uint32_t area_count;
	uint32_t type;		/* for the TYPE capability; 0: none */
	uint32_t subtype;
	const struct wire_io_fd *io;	/* parts that eventfds write to; fd_index ascends */
	uint32_t io_count;
	const int *io_fds;	/* that fd_index counts; the owner's; -1: none are there now */
	const struct region_ops *ops;
	void *owner;
};

struct region_table {
	const struct region *regions;
	uint32_t count;
	const struct session_limits *limits;	/* of the client that is served */
	uint64_t multi_done;	/* entries of the REGION_WRITE_MULTI that waits for the next one */
};

/* The limits of a new client (they stay the session's), NULL for none. */
void region_attach(struct region_table *table, const struct session_limits *limits);

/*
 * Handler of GET_REGION_INFO. Capabilities that do not fit argsz are left out: cap_offset is 0,
 * CAPS stays set and argsz says what is needed. -EINVAL for a short argsz or an unknown index.
 */
int region_get_info(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handlers of REGION_READ and REGION_WRITE. An empty access inside the region (or at its end)
 * succeeds. -EINVAL for an unknown index, a range outside, more than max_data_xfer_size, or data
 * that are not count bytes; -EACCES against the flags; what the owner says.
 */
int region_read(void *owner, struct msg *msg, struct session_reply *reply);
int region_write(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of REGION_WRITE_MULTI. The writes happen in order up to the first one that fails, and
 * the reply counts those that were done. Nothing is written and the command fails with
 * -EOPNOTSUPP if write_multiple was not negotiated, and with -EINVAL if wr_cnt is not the number
 * of entries that have come or one of them claims more than its 8 bytes.
 */
int region_write_multi(void *owner, struct msg *msg, struct session_reply *reply);

/*
 * Handler of GET_REGION_IO_FDS. A sub-region whose descriptor is beyond what the client takes in
 * a message is left out: writes to it by message always work ("max_msg_fds"). Without room for
 * all others in argsz only the fixed part comes, without descriptors, and argsz says what is
 * needed. -EINVAL for a short argsz or an unknown index.
 */
int region_get_io_fds(void *owner, struct msg *msg, struct session_reply *reply);

#endif
