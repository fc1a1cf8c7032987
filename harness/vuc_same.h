/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vuc_same.h - what vuc.h declares for its users is what the modules behind it have: structures are
 * handed through, so a difference has to be an error of the compiler.
 */
#ifndef VUC_SAME_H
#define VUC_SAME_H

#include <stddef.h>

#define SAME_FIELD(outer, inner, field) \
	_Static_assert(offsetof(struct outer, field) == offsetof(struct inner, field) && \
		       sizeof(((struct outer *)0)->field) == sizeof(((struct inner *)0)->field), \
		       #outer "." #field)
#define SAME_SIZE(outer, inner) \
	_Static_assert(sizeof(struct outer) == sizeof(struct inner), #outer)
#define SAME_NUMBER(outer, inner) \
	_Static_assert((int)(outer) == (int)(inner), #outer)

#endif
