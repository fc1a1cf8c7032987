/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * input.h - inputs in files: bytes as they are, or programs as text, which end in ".prog".
 *
 * So that a file that `vuc run` takes shows the same in every binary, LLVMFuzzerInitialize(), which
 * engines call before anything else, has each argument that is the name of such a text replaced by
 * that of its packed bytes, in memory that goes with the process.
 */
#ifndef INPUT_H
#define INPUT_H

/*
 * A file with the bytes of an input, to be read from its beginning; a text is packed. The
 * descriptor, which is the caller's, or -errno. -EINVAL: no program; where and why was printed.
 */
int input_open(const char *path);

/* The hook of engines. A text that can not be packed ends the process with status 3. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

#endif
