/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Compares wire.h with the installed <linux/vfio.h> and <linux/kvm.h>, from which the specification
 * borrows most of its numbers by name. wire.h does without those headers, so a slip of the pen
 * there would otherwise go unseen: harness and server would agree on the same wrong number.
 *
 * A header may be older than some numbers. A row starts with the word for the release that brought
 * its number; rows that the header is too old for are listed as missing and do not fail.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <linux/vfio.h>
#if __has_include(<linux/kvm.h>)
#include <linux/kvm.h>
#endif

#include "wire.h"

/* Fewer numbers than this mean that the guards below are wrong, not that the header is old. */
#define LEAST_COMPARED 40

struct number {
	const char *name;	/* of the header's number */
	uint64_t ours;
	uint64_t theirs;
	int present;		/* 0: the header is too old for it */
};

/* Linux 4.6 or older, taken for granted */
#define SAME(our, their) { #their, (uint64_t)(our), (uint64_t)(their), 1 }
#define MISSING(our, their) { #their, 0, 0, 0 }

/* Linux 5.7 */
#ifdef VFIO_DEVICE_FEATURE
#define FEATURE SAME
#else
#define FEATURE MISSING
#endif

/* Linux 5.18; before it VFIO_DEVICE_STATE_RUNNING and its like were other numbers. */
#ifdef VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE
#define MIGRATION SAME
#else
#define MIGRATION MISSING
#endif

/* Linux 6.1 */
#ifdef VFIO_DEVICE_FEATURE_DMA_LOGGING_START
#define LOGGING SAME
#else
#define LOGGING MISSING
#endif

/* Linux 6.2 */
#ifdef VFIO_MIGRATION_PRE_COPY
#define PRE_COPY SAME
#else
#define PRE_COPY MISSING
#endif

/* A field that has the same name on both sides, at its offset and with its size. */
#define FIELD(row, our, their, field) \
	row(offsetof(struct our, field), offsetof(struct their, field)), \
	row(sizeof(((struct our *)0)->field), sizeof(((struct their *)0)->field))

/* The end of our fixed part is where the array or pointer of their structure begins. */
#define TAIL(row, our, their, field) row(sizeof(struct our), offsetof(struct their, field))

static const struct number device_numbers[] = {
	/* sizeof(struct vfio_device_info) is left out: it grew and vfio-user did not follow. */
	FIELD(SAME, wire_device_info, vfio_device_info, argsz),
	FIELD(SAME, wire_device_info, vfio_device_info, flags),
	FIELD(SAME, wire_device_info, vfio_device_info, num_regions),
	FIELD(SAME, wire_device_info, vfio_device_info, num_irqs),
	SAME(WIRE_DEVICE_FLAG_RESET, VFIO_DEVICE_FLAGS_RESET),
	SAME(WIRE_DEVICE_FLAG_PCI, VFIO_DEVICE_FLAGS_PCI),
	SAME(WIRE_DMA_MAP_READ, VFIO_DMA_MAP_FLAG_READ),
	SAME(WIRE_DMA_MAP_WRITE, VFIO_DMA_MAP_FLAG_WRITE),
};

static const struct number region_numbers[] = {
	SAME(sizeof(struct wire_region_info), sizeof(struct vfio_region_info)),
	FIELD(SAME, wire_region_info, vfio_region_info, argsz),
	FIELD(SAME, wire_region_info, vfio_region_info, flags),
	FIELD(SAME, wire_region_info, vfio_region_info, index),
	FIELD(SAME, wire_region_info, vfio_region_info, cap_offset),
	FIELD(SAME, wire_region_info, vfio_region_info, size),
	FIELD(SAME, wire_region_info, vfio_region_info, offset),
	SAME(WIRE_REGION_FLAG_READ, VFIO_REGION_INFO_FLAG_READ),
	SAME(WIRE_REGION_FLAG_WRITE, VFIO_REGION_INFO_FLAG_WRITE),
	SAME(WIRE_REGION_FLAG_MMAP, VFIO_REGION_INFO_FLAG_MMAP),
	SAME(WIRE_REGION_FLAG_CAPS, VFIO_REGION_INFO_FLAG_CAPS),
	SAME(WIRE_REGION_INDEX_BAR0, VFIO_PCI_BAR0_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_BAR1, VFIO_PCI_BAR1_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_BAR2, VFIO_PCI_BAR2_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_BAR3, VFIO_PCI_BAR3_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_BAR4, VFIO_PCI_BAR4_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_BAR5, VFIO_PCI_BAR5_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_ROM, VFIO_PCI_ROM_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_CONFIG, VFIO_PCI_CONFIG_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_VGA, VFIO_PCI_VGA_REGION_INDEX),
	SAME(WIRE_REGION_INDEX_NUM, VFIO_PCI_NUM_REGIONS),
};

static const struct number capability_numbers[] = {
	SAME(sizeof(struct wire_cap_header), sizeof(struct vfio_info_cap_header)),
	FIELD(SAME, wire_cap_header, vfio_info_cap_header, id),
	FIELD(SAME, wire_cap_header, vfio_info_cap_header, version),
	FIELD(SAME, wire_cap_header, vfio_info_cap_header, next),
	SAME(WIRE_CAP_ID_SPARSE_MMAP, VFIO_REGION_INFO_CAP_SPARSE_MMAP),
	SAME(WIRE_CAP_ID_TYPE, VFIO_REGION_INFO_CAP_TYPE),
	FIELD(SAME, wire_cap_sparse_mmap, vfio_region_info_cap_sparse_mmap, header),
	FIELD(SAME, wire_cap_sparse_mmap, vfio_region_info_cap_sparse_mmap, nr_areas),
	FIELD(SAME, wire_cap_sparse_mmap, vfio_region_info_cap_sparse_mmap, reserved),
	TAIL(SAME, wire_cap_sparse_mmap, vfio_region_info_cap_sparse_mmap, areas),
	SAME(sizeof(struct wire_sparse_area), sizeof(struct vfio_region_sparse_mmap_area)),
	FIELD(SAME, wire_sparse_area, vfio_region_sparse_mmap_area, offset),
	FIELD(SAME, wire_sparse_area, vfio_region_sparse_mmap_area, size),
	SAME(sizeof(struct wire_cap_type), sizeof(struct vfio_region_info_cap_type)),
	FIELD(SAME, wire_cap_type, vfio_region_info_cap_type, header),
	FIELD(SAME, wire_cap_type, vfio_region_info_cap_type, type),
	FIELD(SAME, wire_cap_type, vfio_region_info_cap_type, subtype),
};

static const struct number irq_numbers[] = {
	SAME(sizeof(struct wire_irq_info), sizeof(struct vfio_irq_info)),
	FIELD(SAME, wire_irq_info, vfio_irq_info, argsz),
	FIELD(SAME, wire_irq_info, vfio_irq_info, flags),
	FIELD(SAME, wire_irq_info, vfio_irq_info, index),
	FIELD(SAME, wire_irq_info, vfio_irq_info, count),
	SAME(WIRE_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_EVENTFD),
	SAME(WIRE_IRQ_INFO_MASKABLE, VFIO_IRQ_INFO_MASKABLE),
	SAME(WIRE_IRQ_INFO_AUTOMASKED, VFIO_IRQ_INFO_AUTOMASKED),
	SAME(WIRE_IRQ_INFO_NORESIZE, VFIO_IRQ_INFO_NORESIZE),
	SAME(WIRE_IRQ_INDEX_INTX, VFIO_PCI_INTX_IRQ_INDEX),
	SAME(WIRE_IRQ_INDEX_MSI, VFIO_PCI_MSI_IRQ_INDEX),
	SAME(WIRE_IRQ_INDEX_MSIX, VFIO_PCI_MSIX_IRQ_INDEX),
	SAME(WIRE_IRQ_INDEX_ERR, VFIO_PCI_ERR_IRQ_INDEX),
	SAME(WIRE_IRQ_INDEX_REQ, VFIO_PCI_REQ_IRQ_INDEX),
	SAME(WIRE_IRQ_INDEX_NUM, VFIO_PCI_NUM_IRQS),
	FIELD(SAME, wire_irq_set, vfio_irq_set, argsz),
	FIELD(SAME, wire_irq_set, vfio_irq_set, flags),
	FIELD(SAME, wire_irq_set, vfio_irq_set, index),
	FIELD(SAME, wire_irq_set, vfio_irq_set, start),
	FIELD(SAME, wire_irq_set, vfio_irq_set, count),
	TAIL(SAME, wire_irq_set, vfio_irq_set, data),
	SAME(WIRE_IRQ_SET_DATA_NONE, VFIO_IRQ_SET_DATA_NONE),
	SAME(WIRE_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_BOOL),
	SAME(WIRE_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_EVENTFD),
	SAME(WIRE_IRQ_SET_DATA_TYPE_MASK, VFIO_IRQ_SET_DATA_TYPE_MASK),
	SAME(WIRE_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_MASK),
	SAME(WIRE_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_ACTION_UNMASK),
	SAME(WIRE_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_TRIGGER),
	SAME(WIRE_IRQ_SET_ACTION_TYPE_MASK, VFIO_IRQ_SET_ACTION_TYPE_MASK),
};

static const struct number feature_numbers[] = {
	FIELD(FEATURE, wire_feature, vfio_device_feature, argsz),
	FIELD(FEATURE, wire_feature, vfio_device_feature, flags),
	TAIL(FEATURE, wire_feature, vfio_device_feature, data),
	FEATURE(WIRE_FEATURE_MASK, VFIO_DEVICE_FEATURE_MASK),
	FEATURE(WIRE_FEATURE_GET, VFIO_DEVICE_FEATURE_GET),
	FEATURE(WIRE_FEATURE_SET, VFIO_DEVICE_FEATURE_SET),
	FEATURE(WIRE_FEATURE_PROBE, VFIO_DEVICE_FEATURE_PROBE),
	MIGRATION(WIRE_FEATURE_MIGRATION, VFIO_DEVICE_FEATURE_MIGRATION),
	MIGRATION(WIRE_FEATURE_MIG_DEVICE_STATE, VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE),
	LOGGING(WIRE_FEATURE_DMA_LOGGING_START, VFIO_DEVICE_FEATURE_DMA_LOGGING_START),
	LOGGING(WIRE_FEATURE_DMA_LOGGING_STOP, VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP),
	LOGGING(WIRE_FEATURE_DMA_LOGGING_REPORT, VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT),
};

static const struct number migration_numbers[] = {
	MIGRATION(sizeof(struct wire_migration), sizeof(struct vfio_device_feature_migration)),
	FIELD(MIGRATION, wire_migration, vfio_device_feature_migration, flags),
	MIGRATION(WIRE_MIGRATION_STOP_COPY, VFIO_MIGRATION_STOP_COPY),
	MIGRATION(WIRE_MIGRATION_P2P, VFIO_MIGRATION_P2P),
	PRE_COPY(WIRE_MIGRATION_PRE_COPY, VFIO_MIGRATION_PRE_COPY),
	MIGRATION(sizeof(struct wire_device_state), sizeof(struct vfio_device_feature_mig_state)),
	FIELD(MIGRATION, wire_device_state, vfio_device_feature_mig_state, device_state),
	FIELD(MIGRATION, wire_device_state, vfio_device_feature_mig_state, data_fd),
	MIGRATION(WIRE_STATE_ERROR, VFIO_DEVICE_STATE_ERROR),
	MIGRATION(WIRE_STATE_STOP, VFIO_DEVICE_STATE_STOP),
	MIGRATION(WIRE_STATE_RUNNING, VFIO_DEVICE_STATE_RUNNING),
	MIGRATION(WIRE_STATE_STOP_COPY, VFIO_DEVICE_STATE_STOP_COPY),
	MIGRATION(WIRE_STATE_RESUMING, VFIO_DEVICE_STATE_RESUMING),
	MIGRATION(WIRE_STATE_RUNNING_P2P, VFIO_DEVICE_STATE_RUNNING_P2P),
	PRE_COPY(WIRE_STATE_PRE_COPY, VFIO_DEVICE_STATE_PRE_COPY),
	PRE_COPY(WIRE_STATE_PRE_COPY_P2P, VFIO_DEVICE_STATE_PRE_COPY_P2P),
};

static const struct number logging_numbers[] = {
	FIELD(LOGGING, wire_logging_control, vfio_device_feature_dma_logging_control, page_size),
	FIELD(LOGGING, wire_logging_control, vfio_device_feature_dma_logging_control, num_ranges),
	TAIL(LOGGING, wire_logging_control, vfio_device_feature_dma_logging_control, ranges),
	LOGGING(sizeof(struct wire_logging_range),
		sizeof(struct vfio_device_feature_dma_logging_range)),
	FIELD(LOGGING, wire_logging_range, vfio_device_feature_dma_logging_range, iova),
	FIELD(LOGGING, wire_logging_range, vfio_device_feature_dma_logging_range, length),
	FIELD(LOGGING, wire_logging_report, vfio_device_feature_dma_logging_report, iova),
	FIELD(LOGGING, wire_logging_report, vfio_device_feature_dma_logging_report, length),
	FIELD(LOGGING, wire_logging_report, vfio_device_feature_dma_logging_report, page_size),
	TAIL(LOGGING, wire_logging_report, vfio_device_feature_dma_logging_report, bitmap),
};

#define GROUP(numbers) { numbers, sizeof(numbers) / sizeof((numbers)[0]) }

static const struct group {
	const struct number *numbers;
	size_t count;
} groups[] = {
	GROUP(device_numbers), GROUP(region_numbers), GROUP(capability_numbers),
	GROUP(irq_numbers), GROUP(feature_numbers), GROUP(migration_numbers),
	GROUP(logging_numbers),
};

struct tally {
	unsigned int compared;
	unsigned int different;
	unsigned int missing;
};

static void compare(const struct number *number, struct tally *tally)
{
	if (!number->present) {
		tally->missing++;
		return;
	}
	tally->compared++;
	if (number->ours == number->theirs)
		return;
	tally->different++;
	print_error("%s: ours is %#jx, the header's %#jx\n", number->name,
		    (uintmax_t)number->ours, (uintmax_t)number->theirs);
}

static void list_missing(void)
{
	const char *separator = " (";

	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (size_t i = 0; i < groups[g].count; i++) {
			if (groups[g].numbers[i].present)
				continue;
			printf("%s%s", separator, groups[g].numbers[i].name);
			separator = ", ";
		}
	}
	puts(*separator == ',' ? ")" : "");
}

static void numbers_are_those_of_linux_vfio(void **state)
{
	struct tally tally = { 0, 0, 0 };

	(void)state;
	for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
		for (size_t i = 0; i < groups[g].count; i++)
			compare(&groups[g].numbers[i], &tally);
	}
	printf("wire: %u numbers compared with <linux/vfio.h>, %u missing from that header",
	       tally.compared, tally.missing);
	list_missing();
	assert_int_equal(tally.different, 0);
	assert_true(tally.compared >= LEAST_COMPARED);
}

static void ioeventfd_flags_are_those_of_linux_kvm(void **state)
{
	(void)state;
#ifdef KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY
	assert_int_equal(WIRE_IOEVENTFD_DATAMATCH, KVM_IOEVENTFD_FLAG_DATAMATCH);
	assert_int_equal(WIRE_IOEVENTFD_PIO, KVM_IOEVENTFD_FLAG_PIO);
	assert_int_equal(WIRE_IOEVENTFD_VIRTIO_CCW_NOTIFY, KVM_IOEVENTFD_FLAG_VIRTIO_CCW_NOTIFY);
#else
	print_message("SKIP: <linux/kvm.h> is not installed\n");
	skip();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_those_of_linux_vfio),
		cmocka_unit_test(ioeventfd_flags_are_those_of_linux_kvm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
