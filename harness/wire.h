/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire.h - every number and every structure of the vfio-user protocol, in specification order.
 *
 * The specification is docs/interop/vfio-user.rst of QEMU, version 0.9.2; each group below names
 * the section that it comes from and, where the text contradicts itself or is silent, the reading
 * that this project takes. Numbers that the specification borrows from <linux/vfio.h> by name are
 * repeated here, so that nothing depends on the age of the installed header; tests/test_wire.c
 * compares the two.
 *
 * All fields are in host byte order ("Protocol Specification"); sizes are bytes. Structures are
 * packed and hold only the fixed part of a payload: the comment says what follows. Offsets count
 * from the end of the message header. A received payload may start at any address: copy a
 * structure out of the buffer and never take the address of a field.
 *
 * Constants only, no functions: the harness and the reference server share this file and
 * nothing else. The static assertions restate the tables of the specification.
 */
#ifndef WIRE_H
#define WIRE_H

#include <stddef.h>
#include <stdint.h>

#define WIRE_PACKED __attribute__((packed))

/* One row of a table of the specification: the field of struct `type` is `width` bytes at `at`. */
#define WIRE_FIELD(type, field, at, width) \
	_Static_assert(offsetof(struct type, field) == (at) && \
		       sizeof(((struct type *)0)->field) == (width), #type "." #field)
#define WIRE_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

/*
 * "Commands". The text also calls number 8 SET_IRQS and DEVICE_SET_IRQ: all three are this one.
 * 0 and 14 are not assigned (14 was DIRTY_PAGES in older drafts) and get an error reply.
 */
enum wire_command {
	WIRE_VERSION = 1,
	WIRE_DMA_MAP = 2,
	WIRE_DMA_UNMAP = 3,
	WIRE_DEVICE_GET_INFO = 4,
	WIRE_DEVICE_GET_REGION_INFO = 5,
	WIRE_DEVICE_GET_REGION_IO_FDS = 6,
	WIRE_DEVICE_GET_IRQ_INFO = 7,
	WIRE_DEVICE_SET_IRQS = 8,
	WIRE_REGION_READ = 9,
	WIRE_REGION_WRITE = 10,
	WIRE_DMA_READ = 11,		/* server to client */
	WIRE_DMA_WRITE = 12,		/* server to client */
	WIRE_DEVICE_RESET = 13,		/* no payload either way */
	WIRE_REGION_WRITE_MULTI = 15,
	WIRE_DEVICE_FEATURE = 16,
	WIRE_MIG_DATA_READ = 17,
	WIRE_MIG_DATA_WRITE = 18,
};

/* "Header". Nothing in it tells the byte order: peers of another one are not detected. */
struct wire_header {
	uint16_t id;		/* chosen by the sender of the command, echoed in the reply */
	uint16_t command;	/* enum wire_command, echoed in the reply */
	uint32_t msg_size;	/* whole message, this header included */
	uint32_t flags;
	uint32_t error;		/* positive errno or 0; valid in a reply with WIRE_ERROR */
} WIRE_PACKED;
WIRE_FIELD(wire_header, id, 0, 2);
WIRE_FIELD(wire_header, command, 2, 2);
WIRE_FIELD(wire_header, msg_size, 4, 4);
WIRE_FIELD(wire_header, flags, 8, 4);
WIRE_FIELD(wire_header, error, 12, 4);
WIRE_SIZE(wire_header, 16);

#define WIRE_TYPE_MASK		0xfu
#define WIRE_TYPE_COMMAND	0x0u
#define WIRE_TYPE_REPLY		0x1u
#define WIRE_NO_REPLY		0x10u
#define WIRE_ERROR		0x20u

/* "VFIO_USER_VERSION", request and reply; optional JSON text with its NUL follows. */
struct wire_version {
	uint16_t major;
	uint16_t minor;
} WIRE_PACKED;
WIRE_FIELD(wire_version, major, 0, 2);
WIRE_FIELD(wire_version, minor, 2, 2);
WIRE_SIZE(wire_version, 4);

/* Keys of the JSON text: the outermost, those of "capabilities", those of "twin_socket". */
#define WIRE_KEY_CAPABILITIES		"capabilities"
#define WIRE_CAP_MAX_MSG_FDS		"max_msg_fds"
#define WIRE_CAP_MAX_DATA_XFER_SIZE	"max_data_xfer_size"
#define WIRE_CAP_MAX_DMA_MAPS		"max_dma_maps"
#define WIRE_CAP_PGSIZES		"pgsizes"
#define WIRE_CAP_TWIN_SOCKET		"twin_socket"
#define WIRE_CAP_WRITE_MULTIPLE		"write_multiple"
#define WIRE_TWIN_SUPPORTED		"supported"
#define WIRE_TWIN_FD_INDEX		"fd_index"

/*
 * What holds when a key is absent; both switches are off. The text gives max_dma_maps "a value
 * of" 65535 without the word default, and is read as if it were there.
 */
#define WIRE_DEFAULT_MAX_MSG_FDS	1u
#define WIRE_DEFAULT_MAX_DATA_XFER_SIZE	1048576u
#define WIRE_DEFAULT_MAX_DMA_MAPS	65535u
#define WIRE_DEFAULT_PGSIZES		4096u

/* "VFIO_USER_DMA_MAP"; argsz is the size of this structure, the reply has no payload. */
struct wire_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset;	/* in the file of the descriptor */
	uint64_t address;
	uint64_t size;
} WIRE_PACKED;
WIRE_FIELD(wire_dma_map, argsz, 0, 4);
WIRE_FIELD(wire_dma_map, flags, 4, 4);
WIRE_FIELD(wire_dma_map, offset, 8, 8);
WIRE_FIELD(wire_dma_map, address, 16, 8);
WIRE_FIELD(wire_dma_map, size, 24, 8);
WIRE_SIZE(wire_dma_map, 32);

#define WIRE_DMA_MAP_READ	1u	/* the device may read */
#define WIRE_DMA_MAP_WRITE	2u	/* the device may write */

/*
 * "VFIO_USER_DMA_UNMAP", request and reply; no flag is defined. The reply is "the original DMA
 * entry": these 24 bytes, with argsz either echoed or 24.
 */
struct wire_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
} WIRE_PACKED;
WIRE_FIELD(wire_dma_unmap, argsz, 0, 4);
WIRE_FIELD(wire_dma_unmap, flags, 4, 4);
WIRE_FIELD(wire_dma_unmap, address, 8, 8);
WIRE_FIELD(wire_dma_unmap, size, 16, 8);
WIRE_SIZE(wire_dma_unmap, 24);

/* "VFIO_USER_DEVICE_GET_INFO", request and reply. */
struct wire_device_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t num_regions;
	uint32_t num_irqs;
} WIRE_PACKED;
WIRE_FIELD(wire_device_info, argsz, 0, 4);
WIRE_FIELD(wire_device_info, flags, 4, 4);
WIRE_FIELD(wire_device_info, num_regions, 8, 4);
WIRE_FIELD(wire_device_info, num_irqs, 12, 4);
WIRE_SIZE(wire_device_info, 16);

#define WIRE_DEVICE_FLAG_RESET	1u
#define WIRE_DEVICE_FLAG_PCI	2u

/*
 * "VFIO_USER_DEVICE_GET_REGION_INFO", request and reply; capabilities follow in the reply.
 * "index is the only field that is required" is read as "beside argsz", which must be at least
 * this structure. If the capabilities do not fit argsz, the reply is this structure alone with
 * WIRE_REGION_FLAG_CAPS set, cap_offset 0 and argsz the size needed; the descriptor that
 * WIRE_REGION_FLAG_MMAP promises comes with it all the same.
 */
struct wire_region_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t cap_offset;	/* first capability, from the start of this structure */
	uint64_t size;
	uint64_t offset;	/* for mmap() of the descriptor */
} WIRE_PACKED;
WIRE_FIELD(wire_region_info, argsz, 0, 4);
WIRE_FIELD(wire_region_info, flags, 4, 4);
WIRE_FIELD(wire_region_info, index, 8, 4);
WIRE_FIELD(wire_region_info, cap_offset, 12, 4);
WIRE_FIELD(wire_region_info, size, 16, 8);
WIRE_FIELD(wire_region_info, offset, 24, 8);
WIRE_SIZE(wire_region_info, 32);

#define WIRE_REGION_FLAG_READ	1u
#define WIRE_REGION_FLAG_WRITE	2u
#define WIRE_REGION_FLAG_MMAP	4u
#define WIRE_REGION_FLAG_CAPS	8u

/* Region indexes of a PCI device; further regions of the device start at WIRE_REGION_INDEX_NUM. */
enum wire_region_index {
	WIRE_REGION_INDEX_BAR0 = 0,
	WIRE_REGION_INDEX_BAR1 = 1,
	WIRE_REGION_INDEX_BAR2 = 2,
	WIRE_REGION_INDEX_BAR3 = 3,
	WIRE_REGION_INDEX_BAR4 = 4,
	WIRE_REGION_INDEX_BAR5 = 5,
	WIRE_REGION_INDEX_ROM = 6,
	WIRE_REGION_INDEX_CONFIG = 7,
	WIRE_REGION_INDEX_VGA = 8,
	WIRE_REGION_INDEX_NUM = 9,
};

/* "VFIO cap header format". The text does not say how the list ends: with next = 0. */
struct wire_cap_header {
	uint16_t id;
	uint16_t version;
	uint32_t next;		/* from the start of struct wire_region_info */
} WIRE_PACKED;
WIRE_FIELD(wire_cap_header, id, 0, 2);
WIRE_FIELD(wire_cap_header, version, 2, 2);
WIRE_FIELD(wire_cap_header, next, 4, 4);
WIRE_SIZE(wire_cap_header, 8);

#define WIRE_CAP_ID_SPARSE_MMAP		1u
#define WIRE_CAP_ID_TYPE		2u
#define WIRE_CAP_VERSION		1u	/* of both */

/*
 * "VFIO sparse mmap cap header" and "VFIO region info cap sparse mmap"; nr_areas areas follow.
 * The second table of the text counts from the end of the capability header, as Linux does.
 */
struct wire_cap_sparse_mmap {
	struct wire_cap_header header;
	uint32_t nr_areas;
	uint32_t reserved;
} WIRE_PACKED;
WIRE_FIELD(wire_cap_sparse_mmap, header, 0, 8);
WIRE_FIELD(wire_cap_sparse_mmap, nr_areas, 8, 4);
WIRE_FIELD(wire_cap_sparse_mmap, reserved, 12, 4);
WIRE_SIZE(wire_cap_sparse_mmap, 16);

struct wire_sparse_area {
	uint64_t offset;	/* in the region */
	uint64_t size;
} WIRE_PACKED;
WIRE_FIELD(wire_sparse_area, offset, 0, 8);
WIRE_FIELD(wire_sparse_area, size, 8, 8);
WIRE_SIZE(wire_sparse_area, 16);

/* "Device-Specific Regions" asks for this capability without its layout, which is that of Linux. */
struct wire_cap_type {
	struct wire_cap_header header;
	uint32_t type;
	uint32_t subtype;
} WIRE_PACKED;
WIRE_FIELD(wire_cap_type, header, 0, 8);
WIRE_FIELD(wire_cap_type, type, 8, 4);
WIRE_FIELD(wire_cap_type, subtype, 12, 4);
WIRE_SIZE(wire_cap_type, 16);

/*
 * "VFIO_USER_DEVICE_GET_REGION_IO_FDS", request and reply; count entries follow in the reply. The
 * text places entry i at i * ((argsz - 32) / count), which counts the message header once and
 * forgets the base: entry i is at 16 + i * ((argsz - 16) / count) of the payload.
 */
struct wire_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
} WIRE_PACKED;
WIRE_FIELD(wire_region_io_fds, argsz, 0, 4);
WIRE_FIELD(wire_region_io_fds, flags, 4, 4);
WIRE_FIELD(wire_region_io_fds, index, 8, 4);
WIRE_FIELD(wire_region_io_fds, count, 12, 4);
WIRE_SIZE(wire_region_io_fds, 16);

/* "Sub-Region IO FD info format": the two kinds differ only in the name of the last field. */
struct wire_io_fd {
	uint64_t offset;	/* in the region */
	uint64_t size;		/* 0 = any access size */
	uint32_t fd_index;	/* among the descriptors of the reply */
	uint32_t type;
	uint32_t flags;
	uint32_t padding;
	union {
		uint64_t datamatch;	/* ioeventfd */
		uint64_t user_data;	/* ioregionfd */
	};
} WIRE_PACKED;
WIRE_FIELD(wire_io_fd, offset, 0, 8);
WIRE_FIELD(wire_io_fd, size, 8, 8);
WIRE_FIELD(wire_io_fd, fd_index, 16, 4);
WIRE_FIELD(wire_io_fd, type, 20, 4);
WIRE_FIELD(wire_io_fd, flags, 24, 4);
WIRE_FIELD(wire_io_fd, padding, 28, 4);
WIRE_FIELD(wire_io_fd, datamatch, 32, 8);
WIRE_FIELD(wire_io_fd, user_data, 32, 8);
WIRE_SIZE(wire_io_fd, 40);

/* The text gives the types no numbers: they are counted from 0 in its order. */
#define WIRE_IO_FD_TYPE_IOEVENTFD	0u
#define WIRE_IO_FD_TYPE_IOREGIONFD	1u

/* Flags of an ioeventfd, as in <linux/kvm.h>; bit 2 there is DEASSIGN, which has no place here. */
#define WIRE_IOEVENTFD_DATAMATCH		1u
#define WIRE_IOEVENTFD_PIO			2u
#define WIRE_IOEVENTFD_VIRTIO_CCW_NOTIFY	8u

/* Flags of an ioregionfd, from the proposal that the text links to; no kernel has them. */
#define WIRE_IOREGION_PIO		1u
#define WIRE_IOREGION_POSTED_WRITES	2u

/* "VFIO_USER_DEVICE_GET_IRQ_INFO", request and reply. */
struct wire_irq_info {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count;
} WIRE_PACKED;
WIRE_FIELD(wire_irq_info, argsz, 0, 4);
WIRE_FIELD(wire_irq_info, flags, 4, 4);
WIRE_FIELD(wire_irq_info, index, 8, 4);
WIRE_FIELD(wire_irq_info, count, 12, 4);
WIRE_SIZE(wire_irq_info, 16);

#define WIRE_IRQ_INFO_EVENTFD		1u
#define WIRE_IRQ_INFO_MASKABLE		2u
#define WIRE_IRQ_INFO_AUTOMASKED	4u
#define WIRE_IRQ_INFO_NORESIZE		8u

/* Interrupt types of a PCI device. */
enum wire_irq_index {
	WIRE_IRQ_INDEX_INTX = 0,
	WIRE_IRQ_INDEX_MSI = 1,
	WIRE_IRQ_INDEX_MSIX = 2,
	WIRE_IRQ_INDEX_ERR = 3,
	WIRE_IRQ_INDEX_REQ = 4,
	WIRE_IRQ_INDEX_NUM = 5,
};

/*
 * "VFIO_USER_DEVICE_SET_IRQS"; count bytes follow with WIRE_IRQ_SET_DATA_BOOL and nothing
 * otherwise. Unlike in Linux, event descriptors are ancillary data only: there are count of them
 * or none, and -1 as a descriptor does not exist. argsz is the size of the request, the reply has
 * no payload.
 */
struct wire_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
} WIRE_PACKED;
WIRE_FIELD(wire_irq_set, argsz, 0, 4);
WIRE_FIELD(wire_irq_set, flags, 4, 4);
WIRE_FIELD(wire_irq_set, index, 8, 4);
WIRE_FIELD(wire_irq_set, start, 12, 4);
WIRE_FIELD(wire_irq_set, count, 16, 4);
WIRE_SIZE(wire_irq_set, 20);

#define WIRE_IRQ_SET_DATA_NONE		0x01u
#define WIRE_IRQ_SET_DATA_BOOL		0x02u
#define WIRE_IRQ_SET_DATA_EVENTFD	0x04u
#define WIRE_IRQ_SET_DATA_TYPE_MASK	0x07u	/* exactly one of these three */
#define WIRE_IRQ_SET_ACTION_MASK	0x08u
#define WIRE_IRQ_SET_ACTION_UNMASK	0x10u
#define WIRE_IRQ_SET_ACTION_TRIGGER	0x20u
#define WIRE_IRQ_SET_ACTION_TYPE_MASK	0x38u	/* exactly one of these three */

/*
 * "VFIO_USER_REGION_READ" and "VFIO_USER_REGION_WRITE", request and reply; count bytes of data
 * follow in the reply of the former and the request of the latter.
 */
struct wire_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
} WIRE_PACKED;
WIRE_FIELD(wire_region_access, offset, 0, 8);
WIRE_FIELD(wire_region_access, region, 8, 4);
WIRE_FIELD(wire_region_access, count, 12, 4);
WIRE_SIZE(wire_region_access, 16);

/*
 * "VFIO_USER_DMA_READ" and "VFIO_USER_DMA_WRITE", request and reply; count bytes of data follow
 * in the reply of the former and the request of the latter. The table of the DMA_WRITE reply gives
 * count 4 bytes where the other three give it 8; it is 8 in all four. A client may send the short
 * reply, of WIRE_DMA_WRITE_SHORT_REPLY bytes, and a server survives it.
 */
struct wire_dma_access {
	uint64_t address;
	uint64_t count;
} WIRE_PACKED;
WIRE_FIELD(wire_dma_access, address, 0, 8);
WIRE_FIELD(wire_dma_access, count, 8, 8);
WIRE_SIZE(wire_dma_access, 16);

#define WIRE_DMA_WRITE_SHORT_REPLY	12u

/* "VFIO_USER_REGION_WRITE_MULTI", request and reply; wr_cnt entries follow in the request. */
struct wire_write_multi {
	uint64_t wr_cnt;
} WIRE_PACKED;
WIRE_FIELD(wire_write_multi, wr_cnt, 0, 8);
WIRE_SIZE(wire_write_multi, 8);

/* "Single Device Write Format"; the first count bytes of data are written. */
struct wire_write_multi_entry {
	uint64_t offset;
	uint32_t region;
	uint32_t count;		/* at most WIRE_WRITE_MULTI_MAX_COUNT */
	uint8_t data[8];
} WIRE_PACKED;
WIRE_FIELD(wire_write_multi_entry, offset, 0, 8);
WIRE_FIELD(wire_write_multi_entry, region, 8, 4);
WIRE_FIELD(wire_write_multi_entry, count, 12, 4);
WIRE_FIELD(wire_write_multi_entry, data, 16, 8);
WIRE_SIZE(wire_write_multi_entry, 24);

#define WIRE_WRITE_MULTI_MAX_COUNT	8u

/*
 * "VFIO_USER_DEVICE_FEATURE", request and reply; the data of the feature follows. In the reply to
 * GET "its length is added to argsz" means the size needed: 8 + length, whatever the request said.
 */
struct wire_feature {
	uint32_t argsz;
	uint32_t flags;
} WIRE_PACKED;
WIRE_FIELD(wire_feature, argsz, 0, 4);
WIRE_FIELD(wire_feature, flags, 4, 4);
WIRE_SIZE(wire_feature, 8);

#define WIRE_FEATURE_MASK	0xffffu		/* the feature's number */
#define WIRE_FEATURE_GET	0x10000u
#define WIRE_FEATURE_SET	0x20000u
#define WIRE_FEATURE_PROBE	0x40000u

/* "Device Features"; other numbers of Linux have no meaning here. */
enum wire_feature_id {
	WIRE_FEATURE_MIGRATION = 1,
	WIRE_FEATURE_MIG_DEVICE_STATE = 2,
	WIRE_FEATURE_DMA_LOGGING_START = 6,
	WIRE_FEATURE_DMA_LOGGING_STOP = 7,
	WIRE_FEATURE_DMA_LOGGING_REPORT = 8,
};

/* "VFIO_DEVICE_FEATURE_MIGRATION", data of the GET reply. */
struct wire_migration {
	uint64_t flags;
} WIRE_PACKED;
WIRE_FIELD(wire_migration, flags, 0, 8);
WIRE_SIZE(wire_migration, 8);

#define WIRE_MIGRATION_STOP_COPY	1u
#define WIRE_MIGRATION_P2P		2u	/* the P2P states are "not used in vfio-user" */
#define WIRE_MIGRATION_PRE_COPY		4u

/*
 * "VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE", data of the SET request and of both replies. The text
 * calls data_fd unused without giving it a value: whoever receives it ignores it.
 */
struct wire_device_state {
	uint32_t device_state;	/* enum wire_migration_state */
	int32_t data_fd;
} WIRE_PACKED;
WIRE_FIELD(wire_device_state, device_state, 0, 4);
WIRE_FIELD(wire_device_state, data_fd, 4, 4);
WIRE_SIZE(wire_device_state, 8);

enum wire_migration_state {
	WIRE_STATE_ERROR = 0,
	WIRE_STATE_STOP = 1,
	WIRE_STATE_RUNNING = 2,
	WIRE_STATE_STOP_COPY = 3,
	WIRE_STATE_RESUMING = 4,
	WIRE_STATE_RUNNING_P2P = 5,	/* not used in vfio-user */
	WIRE_STATE_PRE_COPY = 6,
	WIRE_STATE_PRE_COPY_P2P = 7,	/* not used in vfio-user */
};

/*
 * "VFIO_DEVICE_FEATURE_DMA_LOGGING_START", data of the SET request and reply; num_ranges ranges
 * follow, none = everything. The section is shared with DMA_LOGGING_STOP, which carries no data.
 */
struct wire_logging_control {
	uint64_t page_size;
	uint32_t num_ranges;
	uint32_t reserved;
} WIRE_PACKED;
WIRE_FIELD(wire_logging_control, page_size, 0, 8);
WIRE_FIELD(wire_logging_control, num_ranges, 8, 4);
WIRE_FIELD(wire_logging_control, reserved, 12, 4);
WIRE_SIZE(wire_logging_control, 16);

struct wire_logging_range {
	uint64_t iova;
	uint64_t length;
} WIRE_PACKED;
WIRE_FIELD(wire_logging_range, iova, 0, 8);
WIRE_FIELD(wire_logging_range, length, 8, 8);
WIRE_SIZE(wire_logging_range, 16);

/*
 * "VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT", data of the GET request and reply; in the reply an
 * array of 64-bit words follows. The formula of the text indexes words by page and shifts by
 * address; what is meant: page n = (address - iova) / page_size is bit n % 64 of word n / 64.
 */
struct wire_logging_report {
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
} WIRE_PACKED;
WIRE_FIELD(wire_logging_report, iova, 0, 8);
WIRE_FIELD(wire_logging_report, length, 8, 8);
WIRE_FIELD(wire_logging_report, page_size, 16, 8);
WIRE_SIZE(wire_logging_report, 24);

/*
 * "VFIO_USER_MIG_DATA_READ", request and reply, and "VFIO_USER_MIG_DATA_WRITE", request only; size
 * bytes of data follow in the READ reply and the WRITE request. A short read is a short message:
 * the reply ends after its size bytes. argsz of WRITE is called the size of a reply payload that
 * does not exist: any value is accepted.
 */
struct wire_mig_data {
	uint32_t argsz;
	uint32_t size;
} WIRE_PACKED;
WIRE_FIELD(wire_mig_data, argsz, 0, 4);
WIRE_FIELD(wire_mig_data, size, 4, 4);
WIRE_SIZE(wire_mig_data, 8);

#undef WIRE_FIELD
#undef WIRE_SIZE

#endif
