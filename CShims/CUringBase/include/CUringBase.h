// What Swift cannot call itself: SIMD masks, the time stamp counter, thread affinity, system calls without a Glibc overlay.
// glibc's <features.h> comes first so that every importer sees the same fd_set (see docs/HACKING.md).
#pragma once
#include <features.h>
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#include "CUringSIMD.h"
