// What Swift cannot call itself: SIMD masks, the time stamp counter, thread affinity, system calls without a Glibc overlay.
// glibc's <features.h> comes first so that every importer sees the same fd_set (see docs/HACKING.md).
#pragma once
#include <features.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "CUringFlight.h"
#include "CUringProbes.h"
#include "CUringSystem.h"

// A counter of constant rate that a thread reads in a few nanoseconds without entering the kernel: the time stamp counter on x86
// (constant and synchronised where the kernel chose it as clock source), the generic timer on arm64.
static inline uint64_t ur_ticks(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
  return 0;
#endif
}
#include "CUringSIMD.h"
#include "CUringHPACK.h"
