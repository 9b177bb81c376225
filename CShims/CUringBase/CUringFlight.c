#include <string.h>
#include "include/CUringFlight.h"

size_t ur_flight_copy(const ur_flight_ring *ring, ur_flight_event *to) {
  uint64_t capacity = ring->mask + 1;
  uint64_t end = __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE);
  uint64_t begin = end > capacity ? end - capacity : 0;
  for (uint64_t number = begin; number != end; number++) {
    const ur_flight_event *from = &ring->events[number & ring->mask];
    for (int word = 0; word < 4; word++) to[number - begin].words[word] = __atomic_load_n(&from->words[word], __ATOMIC_RELAXED);
  }
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  // Event number `now` may be half written: it takes the place of number now - capacity.
  uint64_t now = __atomic_load_n(&ring->written, __ATOMIC_RELAXED);
  uint64_t whole = now >= capacity ? now - capacity + 1 : 0;
  if (whole <= begin) return (size_t)(end - begin);
  if (whole >= end) return 0;
  memmove(to, to + (whole - begin), (size_t)(end - whole) * sizeof(ur_flight_event));
  return (size_t)(end - whole);
}
