/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vDSO as a file: the kernel maps the same image into every 64-bit process, so our own copy
 * answers for all of them. Used by symbolize/ and unwind/, which hand it to the worker like any
 * other file.
 */
#ifndef PROCESS_VDSO_H
#define PROCESS_VDSO_H

/* A sealed memfd with our vDSO's bytes, the caller's to close. -ENOENT: this kernel gives none;
 * -errno. */
int vdso__open(void);

#endif
