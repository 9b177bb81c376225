// Counts heap allocations and Swift's reference counting of the process it is linked into. For probes and benchmarks only: no product links it.
#pragma once
#include <features.h>
#include <stdbool.h>
#include <stdint.h>

struct ac_counts {
  // malloc, calloc, realloc, memalign, aligned_alloc, posix_memalign.
  uint64_t allocations;
  uint64_t frees;
  // swift_retain, swift_release and their relatives. Calls are counted: swift_retain_n(x, 2) is one.
  uint64_t retains;
  uint64_t releases;
  // OpenSSL's allocations, which are in none of the counts above.
  uint64_t openssl;
  // Bytes that the allocations of the first count asked for.
  uint64_t asked;
};

// Since the process began. Exact while no other thread runs Swift code.
struct ac_counts ac_read(void);

// Bytes that malloc has given out and not got back, from its heap and mapped, as it counts itself.
uint64_t ac_held_bytes(void);

// Has OpenSSL allocate by functions that count apart. Before its first allocation; false when it is too late.
bool ac_separate_openssl(void);
