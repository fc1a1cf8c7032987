/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config_viommu.h - the extended capabilities ATS, PRI and PASID ("PCI capabilities" in
 * viommu.rst).
 *
 * What a write causes beyond stored bits: Smallest Translation Unit is taken while ATS Enable is 0;
 * Response Failure and Unexpected Page Request Group Index are cleared by 1; Reset of PRI counts
 * where it leaves Enable 0; Allocation is cut to its limit. The status of PRI and the width of
 * PASIDs are the owner's, who puts them here before an access, and takes the status back behind
 * one.
 */
#ifndef CONFIG_VIOMMU_H
#define CONFIG_VIOMMU_H

#include "config.h"

#define CONFIG_ATS 0x100u
#define CONFIG_PRI 0x110u
#define CONFIG_PASID 0x120u

/* What the bits of all three say. */
struct config_viommu {
	bool ats;
	bool pri;
	bool pasid;
	bool master;		/* Bus Master Enable */
	uint32_t allocation;
	uint16_t status;	/* WIRE_PCI_PRI_RF and so on */
};

/* Adds them, with reset values, in front of what is there; `pasid_bits` 0: no PASID. */
void config_add_viommu(struct config *config, uint32_t pasid_bits);

/* All 0 where they are not there. */
struct config_viommu config_get_viommu(const struct config *config);

/* Stores Status; nothing happens where there is none. */
void config_set_status(struct config *config, uint16_t status);

/*
 * Stores the width of PASIDs; nothing happens where there are none. config_load() does not compare
 * it.
 */
void config_set_width(struct config *config, uint32_t pasid_bits);

/*
 * Puts right what config_write() stored, of which `old` are the bytes from CONFIG_ATS on before it;
 * the effects.
 */
uint32_t config_settle_viommu(struct config *config, const uint8_t *old, uint32_t offset,
			      const uint8_t *bytes, uint32_t count);

#define CONFIG_VIOMMU_SIZE (CONFIG_PASID + 8 - CONFIG_ATS)

#endif
