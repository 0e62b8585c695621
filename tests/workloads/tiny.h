/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What libtiny.so has.
 */
#ifndef TINY_H
#define TINY_H

#include "workload.h"

uint64_t tiny_1(uint64_t x);
uint64_t tiny_2(uint64_t x);
uint64_t tiny_3(uint64_t x);
uint64_t tiny_4(uint64_t x);
uint64_t tiny_pushes_1(uint64_t x);
uint64_t tiny_pushes_2(uint64_t x);
uint64_t tiny_pushes_3(uint64_t x);
uint64_t tiny_pushes_4(uint64_t x);

#endif
