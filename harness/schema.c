/* SPDX-License-Identifier: BSD-3-Clause */
/* schema.c - the tables of schema.h. Offsets and widths are those of wire.h and wire_ext.h. */
#include "schema.h"

#include <pthread.h>

#define HEADER SCHEMA_HEADER
#define REQUEST 0
#define REPLY 1
#define MANY 253	/* as many as one message can carry: SCM_MAX_FD of the kernel */

#define SIZE(type) sizeof(struct wire_##type)

#define COMMAND(name, to, request, reply, request_fds, reply_fds) \
	{ #name, WIRE_##name, SCHEMA_TO_##to, request, reply, request_fds, reply_fds }
#define STRUCT(name, type) { #name, SCHEMA_##name, SCHEMA_TO_SERVER, SIZE(type), 0, 0, 0 }

#define ROW(cmd, reply, type, field, name, role, set) \
	{ name, set, cmd, reply, offsetof(struct wire_##type, field), \
	  sizeof(((struct wire_##type *)0)->field), SCHEMA_##role }
#define FIELD(cmd, reply, type, field, role, set) \
	ROW(cmd, reply, type, field, #field, role, set)
#define NESTED(cmd, type, field, name, role, set) \
	ROW(cmd, REQUEST, type, field, name, role, set)
#define TAIL(cmd, reply, type) { "data", NULL, cmd, reply, SIZE(type), 0, SCHEMA_DATA }

static const struct schema_command schema_command_rows[] = {
	COMMAND(VERSION, SERVER, SIZE(version), SIZE(version), 0, 1),
	COMMAND(DMA_MAP, SERVER, SIZE(dma_map), 0, 1, 0),
	COMMAND(DMA_UNMAP, SERVER, SIZE(dma_unmap), SIZE(dma_unmap), 0, 0),
	COMMAND(DEVICE_GET_INFO, SERVER, SIZE(device_info), SIZE(device_info), 0, 0),
	COMMAND(DEVICE_GET_REGION_INFO, SERVER, SIZE(region_info), SIZE(region_info), 0, 1),
	COMMAND(DEVICE_GET_REGION_IO_FDS, SERVER, SIZE(region_io_fds), SIZE(region_io_fds), 0,
		MANY),
	COMMAND(DEVICE_GET_IRQ_INFO, SERVER, SIZE(irq_info), SIZE(irq_info), 0, 0),
	COMMAND(DEVICE_SET_IRQS, SERVER, SIZE(irq_set), 0, MANY, 0),
	COMMAND(REGION_READ, SERVER, SIZE(region_access), SIZE(region_access), 0, 0),
	COMMAND(REGION_WRITE, SERVER, SIZE(region_access), SIZE(region_access), 0, 0),
	COMMAND(DMA_READ, CLIENT, SIZE(dma_access), SIZE(dma_access), 0, 0),
	COMMAND(DMA_WRITE, CLIENT, SIZE(dma_access), SIZE(dma_access), 0, 0),
	COMMAND(DEVICE_RESET, SERVER, 0, 0, 0, 0),
	COMMAND(REGION_WRITE_MULTI, SERVER, SIZE(write_multi), SIZE(write_multi), 0, 0),
	COMMAND(DEVICE_FEATURE, SERVER, SIZE(feature), SIZE(feature), 0, 0),
	COMMAND(MIG_DATA_READ, SERVER, SIZE(mig_data), SIZE(mig_data), 0, 0),
	COMMAND(MIG_DATA_WRITE, SERVER, SIZE(mig_data), 0, 0, 0),
	COMMAND(PAGE_REQUEST, CLIENT, SIZE(page_request), 0, 0, 0),
	COMMAND(PAGE_RESPONSE, SERVER, SIZE(page_response), 0, 0, 0),
	STRUCT(CAP_HEADER, cap_header),
	STRUCT(CAP_SPARSE_MMAP, cap_sparse_mmap),
	STRUCT(SPARSE_AREA, sparse_area),
	STRUCT(CAP_TYPE, cap_type),
	STRUCT(IO_FD, io_fd),
	STRUCT(WRITE_MULTI_ENTRY, write_multi_entry),
	STRUCT(MIGRATION, migration),
	STRUCT(DEVICE_STATE, device_state),
	STRUCT(LOGGING_CONTROL, logging_control),
	STRUCT(LOGGING_RANGE, logging_range),
	STRUCT(LOGGING_REPORT, logging_report),
	STRUCT(PAGE_RANGE, page_range),
	STRUCT(POC_PAGE, poc_page),
};

static const struct schema_field schema_field_rows[] = {
	FIELD(HEADER, REQUEST, header, id, VALUE, NULL),
	FIELD(HEADER, REQUEST, header, command, VALUE, NULL),
	FIELD(HEADER, REQUEST, header, msg_size, SIZE, NULL),
	FIELD(HEADER, REQUEST, header, flags, FLAGS, "HEADER_FLAGS"),
	FIELD(HEADER, REQUEST, header, error, VALUE, NULL),

	FIELD(WIRE_VERSION, REQUEST, version, major, VALUE, NULL),
	FIELD(WIRE_VERSION, REQUEST, version, minor, VALUE, NULL),
	TAIL(WIRE_VERSION, REQUEST, version),
	FIELD(WIRE_VERSION, REPLY, version, major, VALUE, NULL),
	FIELD(WIRE_VERSION, REPLY, version, minor, VALUE, NULL),
	TAIL(WIRE_VERSION, REPLY, version),

	FIELD(WIRE_DMA_MAP, REQUEST, dma_map, argsz, ARGSZ, NULL),
	FIELD(WIRE_DMA_MAP, REQUEST, dma_map, flags, FLAGS, "DMA_MAP_FLAGS"),
	FIELD(WIRE_DMA_MAP, REQUEST, dma_map, offset, OFFSET, NULL),
	FIELD(WIRE_DMA_MAP, REQUEST, dma_map, address, IOVA, NULL),
	FIELD(WIRE_DMA_MAP, REQUEST, dma_map, size, SIZE, NULL),

	FIELD(WIRE_DMA_UNMAP, REQUEST, dma_unmap, argsz, ARGSZ, NULL),
	FIELD(WIRE_DMA_UNMAP, REQUEST, dma_unmap, flags, RESERVED, NULL),
	FIELD(WIRE_DMA_UNMAP, REQUEST, dma_unmap, address, IOVA, NULL),
	FIELD(WIRE_DMA_UNMAP, REQUEST, dma_unmap, size, SIZE, NULL),
	FIELD(WIRE_DMA_UNMAP, REPLY, dma_unmap, argsz, ARGSZ, NULL),
	FIELD(WIRE_DMA_UNMAP, REPLY, dma_unmap, flags, RESERVED, NULL),
	FIELD(WIRE_DMA_UNMAP, REPLY, dma_unmap, address, IOVA, NULL),
	FIELD(WIRE_DMA_UNMAP, REPLY, dma_unmap, size, SIZE, NULL),

	FIELD(WIRE_DEVICE_GET_INFO, REQUEST, device_info, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_INFO, REQUEST, device_info, flags, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_INFO, REQUEST, device_info, num_regions, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_INFO, REQUEST, device_info, num_irqs, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_INFO, REPLY, device_info, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_INFO, REPLY, device_info, flags, FLAGS, "DEVICE_FLAGS"),
	FIELD(WIRE_DEVICE_GET_INFO, REPLY, device_info, num_regions, COUNT, NULL),
	FIELD(WIRE_DEVICE_GET_INFO, REPLY, device_info, num_irqs, COUNT, NULL),

	FIELD(WIRE_DEVICE_GET_REGION_INFO, REQUEST, region_info, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REQUEST, region_info, flags, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REQUEST, region_info, index, INDEX, "REGION_INDEX"),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REQUEST, region_info, cap_offset, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REQUEST, region_info, size, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REQUEST, region_info, offset, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info, flags, FLAGS, "REGION_FLAGS"),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info, index, INDEX, "REGION_INDEX"),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info, cap_offset, OFFSET, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info, size, SIZE, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info, offset, OFFSET, NULL),
	TAIL(WIRE_DEVICE_GET_REGION_INFO, REPLY, region_info),

	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REQUEST, region_io_fds, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REQUEST, region_io_fds, flags, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REQUEST, region_io_fds, index, INDEX, "REGION_INDEX"),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REQUEST, region_io_fds, count, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REPLY, region_io_fds, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REPLY, region_io_fds, flags, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REPLY, region_io_fds, index, INDEX, "REGION_INDEX"),
	FIELD(WIRE_DEVICE_GET_REGION_IO_FDS, REPLY, region_io_fds, count, COUNT, NULL),
	TAIL(WIRE_DEVICE_GET_REGION_IO_FDS, REPLY, region_io_fds),

	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REQUEST, irq_info, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REQUEST, irq_info, flags, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REQUEST, irq_info, index, INDEX, "IRQ_INDEX"),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REQUEST, irq_info, count, RESERVED, NULL),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REPLY, irq_info, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REPLY, irq_info, flags, FLAGS, "IRQ_INFO_FLAGS"),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REPLY, irq_info, index, INDEX, "IRQ_INDEX"),
	FIELD(WIRE_DEVICE_GET_IRQ_INFO, REPLY, irq_info, count, COUNT, NULL),

	FIELD(WIRE_DEVICE_SET_IRQS, REQUEST, irq_set, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_SET_IRQS, REQUEST, irq_set, flags, FLAGS, "IRQ_SET_FLAGS"),
	FIELD(WIRE_DEVICE_SET_IRQS, REQUEST, irq_set, index, INDEX, "IRQ_INDEX"),
	FIELD(WIRE_DEVICE_SET_IRQS, REQUEST, irq_set, start, START, NULL),
	FIELD(WIRE_DEVICE_SET_IRQS, REQUEST, irq_set, count, COUNT, NULL),
	TAIL(WIRE_DEVICE_SET_IRQS, REQUEST, irq_set),

	FIELD(WIRE_REGION_READ, REQUEST, region_access, offset, OFFSET, NULL),
	FIELD(WIRE_REGION_READ, REQUEST, region_access, region, INDEX, "REGION_INDEX"),
	FIELD(WIRE_REGION_READ, REQUEST, region_access, count, LENGTH, NULL),
	FIELD(WIRE_REGION_READ, REPLY, region_access, offset, OFFSET, NULL),
	FIELD(WIRE_REGION_READ, REPLY, region_access, region, INDEX, "REGION_INDEX"),
	FIELD(WIRE_REGION_READ, REPLY, region_access, count, LENGTH, NULL),
	TAIL(WIRE_REGION_READ, REPLY, region_access),

	FIELD(WIRE_REGION_WRITE, REQUEST, region_access, offset, OFFSET, NULL),
	FIELD(WIRE_REGION_WRITE, REQUEST, region_access, region, INDEX, "REGION_INDEX"),
	FIELD(WIRE_REGION_WRITE, REQUEST, region_access, count, LENGTH, NULL),
	TAIL(WIRE_REGION_WRITE, REQUEST, region_access),
	FIELD(WIRE_REGION_WRITE, REPLY, region_access, offset, OFFSET, NULL),
	FIELD(WIRE_REGION_WRITE, REPLY, region_access, region, INDEX, "REGION_INDEX"),
	FIELD(WIRE_REGION_WRITE, REPLY, region_access, count, LENGTH, NULL),

	FIELD(WIRE_DMA_READ, REQUEST, dma_access, address, IOVA, NULL),
	FIELD(WIRE_DMA_READ, REQUEST, dma_access, count, LENGTH, NULL),
	FIELD(WIRE_DMA_READ, REPLY, dma_access, address, IOVA, NULL),
	FIELD(WIRE_DMA_READ, REPLY, dma_access, count, LENGTH, NULL),
	TAIL(WIRE_DMA_READ, REPLY, dma_access),

	FIELD(WIRE_DMA_WRITE, REQUEST, dma_access, address, IOVA, NULL),
	FIELD(WIRE_DMA_WRITE, REQUEST, dma_access, count, LENGTH, NULL),
	TAIL(WIRE_DMA_WRITE, REQUEST, dma_access),
	FIELD(WIRE_DMA_WRITE, REPLY, dma_access, address, IOVA, NULL),
	FIELD(WIRE_DMA_WRITE, REPLY, dma_access, count, LENGTH, NULL),

	FIELD(WIRE_REGION_WRITE_MULTI, REQUEST, write_multi, wr_cnt, COUNT, NULL),
	TAIL(WIRE_REGION_WRITE_MULTI, REQUEST, write_multi),
	FIELD(WIRE_REGION_WRITE_MULTI, REPLY, write_multi, wr_cnt, COUNT, NULL),

	FIELD(WIRE_DEVICE_FEATURE, REQUEST, feature, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_FEATURE, REQUEST, feature, flags, FLAGS, "FEATURE_FLAGS"),
	TAIL(WIRE_DEVICE_FEATURE, REQUEST, feature),
	FIELD(WIRE_DEVICE_FEATURE, REPLY, feature, argsz, ARGSZ, NULL),
	FIELD(WIRE_DEVICE_FEATURE, REPLY, feature, flags, FLAGS, "FEATURE_FLAGS"),
	TAIL(WIRE_DEVICE_FEATURE, REPLY, feature),

	FIELD(WIRE_MIG_DATA_READ, REQUEST, mig_data, argsz, ARGSZ, NULL),
	FIELD(WIRE_MIG_DATA_READ, REQUEST, mig_data, size, LENGTH, NULL),
	FIELD(WIRE_MIG_DATA_READ, REPLY, mig_data, argsz, ARGSZ, NULL),
	FIELD(WIRE_MIG_DATA_READ, REPLY, mig_data, size, LENGTH, NULL),
	TAIL(WIRE_MIG_DATA_READ, REPLY, mig_data),

	FIELD(WIRE_MIG_DATA_WRITE, REQUEST, mig_data, argsz, ARGSZ, NULL),
	FIELD(WIRE_MIG_DATA_WRITE, REQUEST, mig_data, size, LENGTH, NULL),
	TAIL(WIRE_MIG_DATA_WRITE, REQUEST, mig_data),

	FIELD(WIRE_PAGE_REQUEST, REQUEST, page_request, cookie, VALUE, NULL),
	FIELD(WIRE_PAGE_REQUEST, REQUEST, page_request, prgi, VALUE, NULL),
	FIELD(WIRE_PAGE_REQUEST, REQUEST, page_request, nr, COUNT, NULL),
	FIELD(WIRE_PAGE_REQUEST, REQUEST, page_request, attr, FLAGS, "PAGE_REQUEST_ATTR"),
	FIELD(WIRE_PAGE_REQUEST, REQUEST, page_request, reserved, RESERVED, NULL),
	TAIL(WIRE_PAGE_REQUEST, REQUEST, page_request),

	FIELD(WIRE_PAGE_RESPONSE, REQUEST, page_response, cookie, VALUE, NULL),
	FIELD(WIRE_PAGE_RESPONSE, REQUEST, page_response, code, VALUE, "PAGE_CODE"),
	FIELD(WIRE_PAGE_RESPONSE, REQUEST, page_response, reserved, RESERVED, NULL),

	FIELD(SCHEMA_CAP_HEADER, REQUEST, cap_header, id, VALUE, "REGION_CAPS"),
	FIELD(SCHEMA_CAP_HEADER, REQUEST, cap_header, version, VALUE, NULL),
	FIELD(SCHEMA_CAP_HEADER, REQUEST, cap_header, next, OFFSET, NULL),

	NESTED(SCHEMA_CAP_SPARSE_MMAP, cap_sparse_mmap, header.id, "id", VALUE, "REGION_CAPS"),
	NESTED(SCHEMA_CAP_SPARSE_MMAP, cap_sparse_mmap, header.version, "version", VALUE, NULL),
	NESTED(SCHEMA_CAP_SPARSE_MMAP, cap_sparse_mmap, header.next, "next", OFFSET, NULL),
	FIELD(SCHEMA_CAP_SPARSE_MMAP, REQUEST, cap_sparse_mmap, nr_areas, COUNT, NULL),
	FIELD(SCHEMA_CAP_SPARSE_MMAP, REQUEST, cap_sparse_mmap, reserved, RESERVED, NULL),
	TAIL(SCHEMA_CAP_SPARSE_MMAP, REQUEST, cap_sparse_mmap),

	FIELD(SCHEMA_SPARSE_AREA, REQUEST, sparse_area, offset, OFFSET, NULL),
	FIELD(SCHEMA_SPARSE_AREA, REQUEST, sparse_area, size, SIZE, NULL),

	NESTED(SCHEMA_CAP_TYPE, cap_type, header.id, "id", VALUE, "REGION_CAPS"),
	NESTED(SCHEMA_CAP_TYPE, cap_type, header.version, "version", VALUE, NULL),
	NESTED(SCHEMA_CAP_TYPE, cap_type, header.next, "next", OFFSET, NULL),
	FIELD(SCHEMA_CAP_TYPE, REQUEST, cap_type, type, VALUE, NULL),
	FIELD(SCHEMA_CAP_TYPE, REQUEST, cap_type, subtype, VALUE, NULL),

	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, offset, OFFSET, NULL),
	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, size, SIZE, NULL),
	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, fd_index, INDEX, NULL),
	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, type, VALUE, "IO_FD_TYPE"),
	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, flags, FLAGS, "IOEVENTFD_FLAGS"),
	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, padding, RESERVED, NULL),
	FIELD(SCHEMA_IO_FD, REQUEST, io_fd, datamatch, VALUE, NULL),

	FIELD(SCHEMA_WRITE_MULTI_ENTRY, REQUEST, write_multi_entry, offset, OFFSET, NULL),
	FIELD(SCHEMA_WRITE_MULTI_ENTRY, REQUEST, write_multi_entry, region, INDEX, "REGION_INDEX"),
	FIELD(SCHEMA_WRITE_MULTI_ENTRY, REQUEST, write_multi_entry, count, LENGTH, NULL),
	FIELD(SCHEMA_WRITE_MULTI_ENTRY, REQUEST, write_multi_entry, data, VALUE, NULL),

	FIELD(SCHEMA_MIGRATION, REQUEST, migration, flags, FLAGS, "MIGRATION_FLAGS"),

	FIELD(SCHEMA_DEVICE_STATE, REQUEST, device_state, device_state, VALUE, "MIG_STATE"),
	FIELD(SCHEMA_DEVICE_STATE, REQUEST, device_state, data_fd, VALUE, NULL),

	FIELD(SCHEMA_LOGGING_CONTROL, REQUEST, logging_control, page_size, VALUE, NULL),
	FIELD(SCHEMA_LOGGING_CONTROL, REQUEST, logging_control, num_ranges, COUNT, NULL),
	FIELD(SCHEMA_LOGGING_CONTROL, REQUEST, logging_control, reserved, RESERVED, NULL),
	TAIL(SCHEMA_LOGGING_CONTROL, REQUEST, logging_control),

	FIELD(SCHEMA_LOGGING_RANGE, REQUEST, logging_range, iova, IOVA, NULL),
	FIELD(SCHEMA_LOGGING_RANGE, REQUEST, logging_range, length, SIZE, NULL),

	FIELD(SCHEMA_LOGGING_REPORT, REQUEST, logging_report, iova, IOVA, NULL),
	FIELD(SCHEMA_LOGGING_REPORT, REQUEST, logging_report, length, SIZE, NULL),
	FIELD(SCHEMA_LOGGING_REPORT, REQUEST, logging_report, page_size, VALUE, NULL),
	TAIL(SCHEMA_LOGGING_REPORT, REQUEST, logging_report),

	FIELD(SCHEMA_PAGE_RANGE, REQUEST, page_range, address, IOVA, NULL),
	FIELD(SCHEMA_PAGE_RANGE, REQUEST, page_range, size, SIZE, NULL),
	FIELD(SCHEMA_PAGE_RANGE, REQUEST, page_range, perm, FLAGS, "PAGE_PERM"),

	FIELD(SCHEMA_POC_PAGE, REQUEST, poc_page, address, IOVA, NULL),
	FIELD(SCHEMA_POC_PAGE, REQUEST, poc_page, count, SIZE, NULL),
	FIELD(SCHEMA_POC_PAGE, REQUEST, poc_page, flags, FLAGS, "PAGE_PERM"),
	FIELD(SCHEMA_POC_PAGE, REQUEST, poc_page, pasid, VALUE, NULL),
};

static const struct schema_constant schema_constant_rows[] = {
	{ "HEADER_FLAGS", "REPLY", WIRE_TYPE_REPLY },
	{ "HEADER_FLAGS", "NO_REPLY", WIRE_NO_REPLY },
	{ "HEADER_FLAGS", "ERROR", WIRE_ERROR },
	{ "DMA_MAP_FLAGS", "READ", WIRE_DMA_MAP_READ },
	{ "DMA_MAP_FLAGS", "WRITE", WIRE_DMA_MAP_WRITE },
	{ "DEVICE_FLAGS", "RESET", WIRE_DEVICE_FLAG_RESET },
	{ "DEVICE_FLAGS", "PCI", WIRE_DEVICE_FLAG_PCI },
	{ "REGION_FLAGS", "READ", WIRE_REGION_FLAG_READ },
	{ "REGION_FLAGS", "WRITE", WIRE_REGION_FLAG_WRITE },
	{ "REGION_FLAGS", "MMAP", WIRE_REGION_FLAG_MMAP },
	{ "REGION_FLAGS", "CAPS", WIRE_REGION_FLAG_CAPS },
	{ "REGION_CAPS", "SPARSE_MMAP", WIRE_CAP_ID_SPARSE_MMAP },
	{ "REGION_CAPS", "TYPE", WIRE_CAP_ID_TYPE },
	{ "REGION_INDEX", "BAR0", WIRE_REGION_INDEX_BAR0 },
	{ "REGION_INDEX", "BAR1", WIRE_REGION_INDEX_BAR1 },
	{ "REGION_INDEX", "BAR2", WIRE_REGION_INDEX_BAR2 },
	{ "REGION_INDEX", "BAR3", WIRE_REGION_INDEX_BAR3 },
	{ "REGION_INDEX", "BAR4", WIRE_REGION_INDEX_BAR4 },
	{ "REGION_INDEX", "BAR5", WIRE_REGION_INDEX_BAR5 },
	{ "REGION_INDEX", "ROM", WIRE_REGION_INDEX_ROM },
	{ "REGION_INDEX", "CONFIG", WIRE_REGION_INDEX_CONFIG },
	{ "REGION_INDEX", "VGA", WIRE_REGION_INDEX_VGA },
	{ "REGION_INDEX", "NUM", WIRE_REGION_INDEX_NUM },
	{ "IRQ_INDEX", "INTX", WIRE_IRQ_INDEX_INTX },
	{ "IRQ_INDEX", "MSI", WIRE_IRQ_INDEX_MSI },
	{ "IRQ_INDEX", "MSIX", WIRE_IRQ_INDEX_MSIX },
	{ "IRQ_INDEX", "ERR", WIRE_IRQ_INDEX_ERR },
	{ "IRQ_INDEX", "REQ", WIRE_IRQ_INDEX_REQ },
	{ "IRQ_INDEX", "NUM", WIRE_IRQ_INDEX_NUM },
	{ "IRQ_INFO_FLAGS", "EVENTFD", WIRE_IRQ_INFO_EVENTFD },
	{ "IRQ_INFO_FLAGS", "MASKABLE", WIRE_IRQ_INFO_MASKABLE },
	{ "IRQ_INFO_FLAGS", "AUTOMASKED", WIRE_IRQ_INFO_AUTOMASKED },
	{ "IRQ_INFO_FLAGS", "NORESIZE", WIRE_IRQ_INFO_NORESIZE },
	{ "IRQ_SET_FLAGS", "DATA_NONE", WIRE_IRQ_SET_DATA_NONE },
	{ "IRQ_SET_FLAGS", "DATA_BOOL", WIRE_IRQ_SET_DATA_BOOL },
	{ "IRQ_SET_FLAGS", "DATA_EVENTFD", WIRE_IRQ_SET_DATA_EVENTFD },
	{ "IRQ_SET_FLAGS", "ACTION_MASK", WIRE_IRQ_SET_ACTION_MASK },
	{ "IRQ_SET_FLAGS", "ACTION_UNMASK", WIRE_IRQ_SET_ACTION_UNMASK },
	{ "IRQ_SET_FLAGS", "ACTION_TRIGGER", WIRE_IRQ_SET_ACTION_TRIGGER },
	{ "IO_FD_TYPE", "IOEVENTFD", WIRE_IO_FD_TYPE_IOEVENTFD },
	{ "IO_FD_TYPE", "IOREGIONFD", WIRE_IO_FD_TYPE_IOREGIONFD },
	{ "IOEVENTFD_FLAGS", "DATAMATCH", WIRE_IOEVENTFD_DATAMATCH },
	{ "IOEVENTFD_FLAGS", "PIO", WIRE_IOEVENTFD_PIO },
	{ "IOEVENTFD_FLAGS", "VIRTIO_CCW_NOTIFY", WIRE_IOEVENTFD_VIRTIO_CCW_NOTIFY },
	{ "IOREGION_FLAGS", "PIO", WIRE_IOREGION_PIO },
	{ "IOREGION_FLAGS", "POSTED_WRITES", WIRE_IOREGION_POSTED_WRITES },
	{ "FEATURE_FLAGS", "GET", WIRE_FEATURE_GET },
	{ "FEATURE_FLAGS", "SET", WIRE_FEATURE_SET },
	{ "FEATURE_FLAGS", "PROBE", WIRE_FEATURE_PROBE },
	{ "FEATURE", "MIGRATION", WIRE_FEATURE_MIGRATION },
	{ "FEATURE", "MIG_DEVICE_STATE", WIRE_FEATURE_MIG_DEVICE_STATE },
	{ "FEATURE", "DMA_LOGGING_START", WIRE_FEATURE_DMA_LOGGING_START },
	{ "FEATURE", "DMA_LOGGING_STOP", WIRE_FEATURE_DMA_LOGGING_STOP },
	{ "FEATURE", "DMA_LOGGING_REPORT", WIRE_FEATURE_DMA_LOGGING_REPORT },
	{ "MIGRATION_FLAGS", "STOP_COPY", WIRE_MIGRATION_STOP_COPY },
	{ "MIGRATION_FLAGS", "P2P", WIRE_MIGRATION_P2P },
	{ "MIGRATION_FLAGS", "PRE_COPY", WIRE_MIGRATION_PRE_COPY },
	{ "MIG_STATE", "ERROR", WIRE_STATE_ERROR },
	{ "MIG_STATE", "STOP", WIRE_STATE_STOP },
	{ "MIG_STATE", "RUNNING", WIRE_STATE_RUNNING },
	{ "MIG_STATE", "STOP_COPY", WIRE_STATE_STOP_COPY },
	{ "MIG_STATE", "RESUMING", WIRE_STATE_RESUMING },
	{ "MIG_STATE", "RUNNING_P2P", WIRE_STATE_RUNNING_P2P },
	{ "MIG_STATE", "PRE_COPY", WIRE_STATE_PRE_COPY },
	{ "MIG_STATE", "PRE_COPY_P2P", WIRE_STATE_PRE_COPY_P2P },
	{ "MASKS", "HEADER_TYPE", WIRE_TYPE_MASK },
	{ "MASKS", "FEATURE", WIRE_FEATURE_MASK },
	{ "MASKS", "IRQ_SET_DATA", WIRE_IRQ_SET_DATA_TYPE_MASK },
	{ "MASKS", "IRQ_SET_ACTION", WIRE_IRQ_SET_ACTION_TYPE_MASK },
	{ "MASKS", "ATTR_PASID", WIRE_ATTR_PASID_MASK },
	{ "DEFAULTS", "MAX_MSG_FDS", WIRE_DEFAULT_MAX_MSG_FDS },
	{ "DEFAULTS", "MAX_DATA_XFER_SIZE", WIRE_DEFAULT_MAX_DATA_XFER_SIZE },
	{ "DEFAULTS", "MAX_DMA_MAPS", WIRE_DEFAULT_MAX_DMA_MAPS },
	{ "DEFAULTS", "PGSIZES", WIRE_DEFAULT_PGSIZES },
	{ "LIMITS", "HEADER_SIZE", sizeof(struct wire_header) },
	{ "LIMITS", "CAP_VERSION", WIRE_CAP_VERSION },
	{ "LIMITS", "WRITE_MULTI_COUNT", WIRE_WRITE_MULTI_MAX_COUNT },
	{ "LIMITS", "DMA_WRITE_SHORT_REPLY", WIRE_DMA_WRITE_SHORT_REPLY },
	{ "LIMITS", "PASID_BITS", WIRE_VIOMMU_MAX_PASID_BITS },
	{ "LIMITS", "PAGE_PRGIS", WIRE_PAGE_PRGIS },
	{ "LIMITS", "PAGE_RANGES", WIRE_PAGE_MAX_RANGES },
	{ "ATTR", "PASID_VALID", WIRE_ATTR_PASID_VALID },
	{ "DMA_MAP_ATTR", "REPLACE", WIRE_DMA_MAP_REPLACE },
	{ "DMA_MAP_ATTR", "BACKING", WIRE_DMA_MAP_BACKING },
	{ "DMA_MAP_ATTR", "INDIRECT", WIRE_DMA_MAP_INDIRECT },
	{ "DMA_UNMAP_ATTR", "ALL", WIRE_DMA_UNMAP_ALL },
	{ "DMA_UNMAP_ATTR", "RANGE", WIRE_DMA_UNMAP_RANGE },
	{ "DMA_UNMAP_ATTR", "BACKING", WIRE_DMA_UNMAP_BACKING },
	{ "PAGE_REQUEST_ATTR", "TRANSLATE_ONLY", WIRE_PAGE_TRANSLATE_ONLY },
	{ "PAGE_PERM", "READ", WIRE_PAGE_READ },
	{ "PAGE_PERM", "WRITE", WIRE_PAGE_WRITE },
	{ "PAGE_CODE", "SUCCESS", WIRE_PAGE_SUCCESS },
	{ "PAGE_CODE", "INVALID", WIRE_PAGE_INVALID },
	{ "PAGE_CODE", "FAILURE", WIRE_PAGE_FAILURE },
};

size_t schema_commands(const struct schema_command **out)
{
	*out = schema_command_rows;
	return sizeof(schema_command_rows) / sizeof(*schema_command_rows);
}

size_t schema_fields(const struct schema_field **out)
{
	*out = schema_field_rows;
	return sizeof(schema_field_rows) / sizeof(*schema_field_rows);
}

size_t schema_constants(const struct schema_constant **out)
{
	*out = schema_constant_rows;
	return sizeof(schema_constant_rows) / sizeof(*schema_constant_rows);
}

/* Where the rows of a command are; a number that is none has an empty place. */
struct schema_place {
	const struct schema_command *command;
	const struct schema_field *argsz;
};

#define SCHEMA_PLACES 128u	/* more than any number of a command */

static struct schema_place schema_places[SCHEMA_PLACES];
static pthread_once_t schema_placed = PTHREAD_ONCE_INIT;

static void schema_place(void)
{
	const struct schema_command *commands;
	const struct schema_field *fields;
	size_t count = schema_commands(&commands);

	for (size_t i = 0; i < count; i++)
		if (commands[i].number < SCHEMA_PLACES)
			schema_places[commands[i].number].command = &commands[i];
	count = schema_fields(&fields);
	for (size_t i = 0; i < count; i++)
		if (fields[i].command < SCHEMA_PLACES && fields[i].role == SCHEMA_ARGSZ &&
		    !fields[i].in_reply)
			schema_places[fields[i].command].argsz = &fields[i];
}

static const struct schema_place *schema_at(uint32_t number)
{
	pthread_once(&schema_placed, schema_place);
	return &schema_places[number < SCHEMA_PLACES ? number : SCHEMA_HEADER];
}

const struct schema_command *schema_command(uint32_t number)
{
	return schema_at(number)->command;
}

const struct schema_field *schema_argsz(uint32_t number)
{
	return schema_at(number)->argsz;
}
