// A ring of the last events of one thread: that thread writes, any other may copy it meanwhile. No lock; the writer pays plain stores on x86-64, for a release store is one there.
// Memory is the caller's (FlightRing in UringBase).
#pragma once
#include <features.h>
#include <stddef.h>
#include <stdint.h>

/// Half a line of cache. What the words mean is the writer's business.
typedef struct {
  uint64_t words[4];
} ur_flight_event;

typedef struct {
  /// Events ever written; event number n lies at n & mask until number n + mask + 1 is written.
  uint64_t written;
  uint64_t mask;
  ur_flight_event *events;
} ur_flight_ring;

/// On the writer's thread.
static inline void ur_flight_write(ur_flight_ring *ring, uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  uint64_t number = __atomic_load_n(&ring->written, __ATOMIC_RELAXED);
  ur_flight_event *event = &ring->events[number & ring->mask];
  // Whoever sees a word of this event sees that the event before it was written, and so knows which old one is gone. An instruction on arm64, none on x86-64.
  __atomic_thread_fence(__ATOMIC_RELEASE);
  __atomic_store_n(&event->words[0], a, __ATOMIC_RELAXED);
  __atomic_store_n(&event->words[1], b, __ATOMIC_RELAXED);
  __atomic_store_n(&event->words[2], c, __ATOMIC_RELAXED);
  __atomic_store_n(&event->words[3], d, __ATOMIC_RELAXED);
  __atomic_store_n(&ring->written, number + 1, __ATOMIC_RELEASE);
}

/// How many events were ever written. Any thread.
static inline uint64_t ur_flight_written(const ur_flight_ring *ring) { return __atomic_load_n(&ring->written, __ATOMIC_ACQUIRE); }

/// Copies the events that are left, oldest first, into room for mask + 1, and answers how many. None of them is torn: what the writer may have overwritten meanwhile is left out. Any thread.
size_t ur_flight_copy(const ur_flight_ring *ring, ur_flight_event *to);
