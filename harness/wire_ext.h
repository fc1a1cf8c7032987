/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire_ext.h - every number and every structure of the vIOMMU extension, in the order of its text.
 *
 * The text is reference-server/viommu.rst; each group names its section. Numbers of commands are
 * provisional: 100 belongs to the poc dialect, 101 and 102 to the extension itself. DMA_MAP and
 * DMA_UNMAP keep their structures, DMA_READ and DMA_WRITE their size; what is new there are bits.
 * The rules at the head of wire.h (byte order, offsets, packing, copying) hold here as well.
 */
#ifndef WIRE_EXT_H
#define WIRE_EXT_H

#include "wire.h"

#define WIRE_FIELD(type, field, at, width) \
	_Static_assert(offsetof(struct type, field) == (at) && \
		       sizeof(((struct type *)0)->field) == (width), #type "." #field)
#define WIRE_SIZE(type, size) _Static_assert(sizeof(struct type) == (size), #type)

/* "Commands". */
#define WIRE_POC_PAGE_REQUEST	100u	/* poc dialect only: either direction, wire_poc_page */
#define WIRE_PAGE_REQUEST	101u	/* server to client, always with WIRE_NO_REPLY */
#define WIRE_PAGE_RESPONSE	102u	/* client to server; the reply has no payload */

/* "Capability viommu": key of "capabilities" and the members of its object; absent = 0 or false. */
#define WIRE_CAP_VIOMMU			"viommu"
#define WIRE_VIOMMU_VERSION		"version"
#define WIRE_VIOMMU_PASID_BITS		"pasid_bits"
#define WIRE_VIOMMU_MAX_PASIDS		"max_pasids"
#define WIRE_VIOMMU_ADDRESS_BITS	"address_bits"
#define WIRE_VIOMMU_PAGE_REQUESTS	"page_requests"
#define WIRE_VIOMMU_UNMAP_RANGE		"unmap_range"
#define WIRE_VIOMMU_REPLACE		"replace"
#define WIRE_VIOMMU_BACKING		"backing"

#define WIRE_VIOMMU_VERSION_1			1u
#define WIRE_VIOMMU_MAX_PASID_BITS		20u
#define WIRE_VIOMMU_DEFAULT_ADDRESS_BITS	64u	/* the only member with another default */

/*
 * "Attribute word": flags of DMA_MAP and DMA_UNMAP, attr of DMA_READ, DMA_WRITE and PAGE_REQUEST.
 * Bits 9 to 11 mean what the message says; WIRE_DMA_MAP_READ and _WRITE are bits 0 and 1 of
 * DMA_MAP alone.
 */
#define WIRE_ATTR_PASID_VALID		0x100u
#define WIRE_ATTR_PASID_SHIFT		12u
#define WIRE_ATTR_PASID_MASK		0xfffff000u

#define WIRE_DMA_MAP_REPLACE		0x200u
#define WIRE_DMA_MAP_BACKING		0x400u
#define WIRE_DMA_MAP_INDIRECT		0x800u

#define WIRE_DMA_UNMAP_GET_DIRTY_BITMAP	0x1u	/* older drafts; EINVAL */
#define WIRE_DMA_UNMAP_ALL		0x2u
#define WIRE_DMA_UNMAP_RANGE		0x200u
#define WIRE_DMA_UNMAP_BACKING		0x400u

#define WIRE_PAGE_TRANSLATE_ONLY	0x200u

/* size in the reply to DMA_UNMAP with ALL or RANGE where all 2^64 bytes were removed. */
#define WIRE_DMA_UNMAP_EVERYTHING	UINT64_MAX

/*
 * "DMA_READ and DMA_WRITE", request and reply: struct wire_dma_access with its count in two
 * halves. attr is 0 where the PASID is none, and the message then is that of the base protocol.
 */
struct wire_dma_access_attr {
	uint64_t address;
	uint32_t count;
	uint32_t attr;
} WIRE_PACKED;
WIRE_FIELD(wire_dma_access_attr, address, 0, 8);
WIRE_FIELD(wire_dma_access_attr, count, 8, 4);
WIRE_FIELD(wire_dma_access_attr, attr, 12, 4);
WIRE_SIZE(wire_dma_access_attr, 16);

/* "VFIO_USER_PAGE_REQUEST"; nr ranges follow. nr 0 is the stop marker of the PASID in attr. */
struct wire_page_request {
	uint32_t cookie;	/* 0 in a stop marker, and there only */
	uint16_t prgi;		/* below WIRE_PAGE_PRGIS; 0 in a stop marker */
	uint16_t nr;		/* at most WIRE_PAGE_MAX_RANGES */
	uint32_t attr;
	uint32_t reserved;	/* 0 */
} WIRE_PACKED;
WIRE_FIELD(wire_page_request, cookie, 0, 4);
WIRE_FIELD(wire_page_request, prgi, 4, 2);
WIRE_FIELD(wire_page_request, nr, 6, 2);
WIRE_FIELD(wire_page_request, attr, 8, 4);
WIRE_FIELD(wire_page_request, reserved, 12, 4);
WIRE_SIZE(wire_page_request, 16);

struct wire_page_range {
	uint64_t address;
	uint32_t size;
	uint32_t perm;		/* WIRE_PAGE_READ | WIRE_PAGE_WRITE, not 0 */
} WIRE_PACKED;
WIRE_FIELD(wire_page_range, address, 0, 8);
WIRE_FIELD(wire_page_range, size, 8, 4);
WIRE_FIELD(wire_page_range, perm, 12, 4);
WIRE_SIZE(wire_page_range, 16);

#define WIRE_PAGE_READ		1u
#define WIRE_PAGE_WRITE		2u
#define WIRE_PAGE_PRGIS		512u
#define WIRE_PAGE_MAX_RANGES	512u

/* "VFIO_USER_PAGE_RESPONSE"; the reply has no payload. */
struct wire_page_response {
	uint32_t cookie;
	uint16_t code;		/* enum wire_page_code; others are -EINVAL */
	uint16_t reserved;	/* 0 */
} WIRE_PACKED;
WIRE_FIELD(wire_page_response, cookie, 0, 4);
WIRE_FIELD(wire_page_response, code, 4, 2);
WIRE_FIELD(wire_page_response, reserved, 6, 2);
WIRE_SIZE(wire_page_response, 8);

enum wire_page_code {
	WIRE_PAGE_SUCCESS = 0,
	WIRE_PAGE_INVALID = 1,
	WIRE_PAGE_FAILURE = 15,
};

/* "PCI capabilities": extended capability ids, version 1 each, and offsets in the capability. */
#define WIRE_PCI_ATS_ID			0x0fu
#define WIRE_PCI_ATS_CAPABILITY		0x04u	/* 2 bytes */
#define WIRE_PCI_ATS_QUEUE_DEPTH_MASK	0x001fu	/* 0 = 32 */
#define WIRE_PCI_ATS_PAGE_ALIGNED	0x0020u
#define WIRE_PCI_ATS_GLOBAL_INVALIDATE	0x0040u
#define WIRE_PCI_ATS_CONTROL		0x06u	/* 2 bytes */
#define WIRE_PCI_ATS_STU_MASK		0x001fu
#define WIRE_PCI_ATS_ENABLE		0x8000u
#define WIRE_PCI_ATS_SIZE		0x08u

#define WIRE_PCI_PRI_ID			0x13u
#define WIRE_PCI_PRI_CONTROL		0x04u	/* 2 bytes */
#define WIRE_PCI_PRI_ENABLE		0x0001u
#define WIRE_PCI_PRI_RESET		0x0002u	/* reads as 0 */
#define WIRE_PCI_PRI_STATUS		0x06u	/* 2 bytes */
#define WIRE_PCI_PRI_RF			0x0001u	/* W1C */
#define WIRE_PCI_PRI_UPRGI		0x0002u	/* W1C */
#define WIRE_PCI_PRI_STOPPED		0x0100u
#define WIRE_PCI_PRI_PASID_REQUIRED	0x8000u
#define WIRE_PCI_PRI_CAPACITY		0x08u	/* 4 bytes, pages */
#define WIRE_PCI_PRI_ALLOCATION		0x0cu	/* 4 bytes, pages */
#define WIRE_PCI_PRI_SIZE		0x10u

#define WIRE_PCI_PASID_ID		0x1bu
#define WIRE_PCI_PASID_CAPABILITY	0x04u	/* 2 bytes */
#define WIRE_PCI_PASID_WIDTH_MASK	0x1f00u
#define WIRE_PCI_PASID_WIDTH_SHIFT	8u
#define WIRE_PCI_PASID_CONTROL		0x06u	/* 2 bytes */
#define WIRE_PCI_PASID_ENABLE		0x0001u
#define WIRE_PCI_PASID_SIZE		0x08u

/* "The poc dialect": command 100, request and reply of both directions; the reply may lack it. */
struct wire_poc_page {
	uint64_t address;
	uint64_t count;
	uint32_t flags;		/* WIRE_PAGE_READ | WIRE_PAGE_WRITE */
	uint32_t pasid;		/* WIRE_POC_NO_PASID = none */
} WIRE_PACKED;
WIRE_FIELD(wire_poc_page, address, 0, 8);
WIRE_FIELD(wire_poc_page, count, 8, 8);
WIRE_FIELD(wire_poc_page, flags, 16, 4);
WIRE_FIELD(wire_poc_page, pasid, 20, 4);
WIRE_SIZE(wire_poc_page, 24);

#define WIRE_POC_NO_PASID	UINT32_MAX

#undef WIRE_FIELD
#undef WIRE_SIZE

#endif
