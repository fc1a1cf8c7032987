/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * config.c - reference-server/config.h over the configuration space of libvfio-user.
 *
 * The library has the header and the capabilities that it knows, and decides on every write to
 * them. What lies between them comes here, and is reserved: it reads 0 and ignores writes.
 */
#include <errno.h>
#include <string.h>

#include "port.h"

#define CONFIG_PM 0x40
#define CONFIG_MSIX 0x50
#define CONFIG_PCIE 0x60
#define CONFIG_MSI 0xa0
#define CONFIG_SERIAL 0x100
#define CONFIG_VENDOR 0x110
#define CONFIG_VENDOR_SIZE 16

#define CONFIG_IDS 4
#define CONFIG_CLASS 8

static uint8_t config_kept[CONFIG_SIZE];

static uint8_t *config_space(void)
{
	return (uint8_t *)vfu_pci_get_config_space(port.ctx);
}

static ssize_t config_access(vfu_ctx_t *ctx, char *buf, size_t count, loff_t offset, bool is_write)
{
	(void)ctx;
	if (!is_write)
		memcpy(buf, config_space() + offset, count);
	return (ssize_t)count;
}

static int config_capabilities(void)
{
	/* Header, then id, revision and length; the rest is stored. */
	uint32_t vendor[CONFIG_VENDOR_SIZE / 4] = {
		1 << 16 | PCI_EXT_CAP_ID_VNDR, CONFIG_VENDOR_SIZE << 20 | 1 << 16 | 1,
	};
	struct pmcap pm = {
		.hdr = { .id = PCI_CAP_ID_PM }, .pc = { .vs = 3 }, .pmcs = { .nsfrst = 1 },
	};
	struct msixcap msix = {
		.hdr = { .id = PCI_CAP_ID_MSIX }, .mxc = { .ts = CONFIG_MSIX_VECTORS - 1 },
		.mtab = { .to = CONFIG_MSIX_TABLE >> 3 }, .mpba = { .pbao = CONFIG_MSIX_PBA >> 3 },
	};
	struct pxcap express = {
		.hdr = { .id = PCI_CAP_ID_EXP }, .pxcaps = { .ver = 2 },
		.pxdcap = { .rer = 1, .flrc = 1 }, .pxdc = { .raw = 0x2810 },
		.pxlcap = { .stuff = 0x11 }, .pxls = { .stuff = 0x11 },
	};
	struct msicap msi = { .hdr = { .id = PCI_CAP_ID_MSI }, .mc = { .mmc = 3, .c64 = 1 } };
	struct dsncap serial = {
		.hdr = { .id = PCI_EXT_CAP_ID_DSN, .version = 1 }, .sn_lo = 0x41564d44, .sn_hi = 1,
	};
	const struct {
		size_t at;
		int flags;
		void *data;
	} all[] = {
		{ CONFIG_PM, 0, &pm },
		{ CONFIG_MSIX, 0, &msix },
		{ CONFIG_PCIE, 0, &express },
		{ CONFIG_MSI, 0, &msi },
		{ CONFIG_SERIAL, VFU_CAP_FLAG_EXTENDED, &serial },
		{ CONFIG_VENDOR, VFU_CAP_FLAG_EXTENDED, vendor },
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (vfu_pci_add_capability(port.ctx, all[i].at, all[i].flags, all[i].data) < 0)
			return -errno;
	}
	return 0;
}

int config_open(void)
{
	if (vfu_pci_init(port.ctx, VFU_PCI_TYPE_EXPRESS, PCI_HEADER_TYPE_NORMAL, 1))
		return -errno;
	vfu_pci_set_id(port.ctx, 0x1234, 0x11e9, 0x1234, 0x11e9);
	vfu_pci_set_class(port.ctx, 0, 0xff, 0);
	if (vfu_setup_region(port.ctx, VFU_PCI_DEV_CFG_REGION_IDX, CONFIG_SIZE, config_access,
			     VFU_REGION_FLAG_RW, NULL, 0, -1, 0))
		return -errno;
	return config_capabilities();
}

void config_keep(void)
{
	memcpy(config_kept, config_space(), CONFIG_SIZE);
	port.realized = true;
}

/* Before there is anything to bring back, the library builds it. */
void config_init(struct config *config, bool full)
{
	(void)config;
	(void)full;
	if (port.realized)
		memcpy(config_space(), config_kept, CONFIG_SIZE);
}

void config_read(const struct config *config, uint32_t offset, void *data, uint32_t count)
{
	(void)config;
	memcpy(data, config_space() + offset, count);
}

/* The device of the reference server writes its own; here the library does. */
enum config_effect config_write(struct config *config, uint32_t offset, const void *data,
				uint32_t count)
{
	(void)config;
	memcpy(config_space() + offset, data, count);
	return CONFIG_NOTHING;
}

int config_load(struct config *config, const uint8_t *bytes)
{
	(void)config;
	if (memcmp(bytes, config_kept, CONFIG_IDS) != 0 ||
	    memcmp(bytes + CONFIG_CLASS, config_kept + CONFIG_CLASS, CONFIG_IDS) != 0)
		return -EINVAL;
	memcpy(config_space(), bytes, CONFIG_SIZE);
	return 0;
}
