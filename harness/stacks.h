/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stacks.h - where the threads of a process are, from the best source that is at hand.
 */
#ifndef STACKS_H
#define STACKS_H

#include <stddef.h>
#include <sys/types.h>

/*
 * User stacks from gdb or eu-stack, if one is installed, may trace the process and is done in
 * time; else what proc_stacks shows. Stops the process for that moment. Returns the length of the
 * text, cut to size - 1 and NUL-terminated; -ESRCH; -EACCES; -EINVAL if size is 0.
 */
int stacks_collect(pid_t pid, char *text, size_t size);

#endif
