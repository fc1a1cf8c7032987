/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_space.c - the table of an address space beside its model, on whatever operations the bytes
 * stand for (reference-server/tests/space_model.h). */
#include <stddef.h>
#include <stdint.h>

#include "tests/space_model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	model_run(data, size);
	return 0;
}
