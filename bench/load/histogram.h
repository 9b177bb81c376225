// Latency histogram, log-linear: 128 buckets per power of two, so a value is known to within 0.8 %. Values are nanoseconds.
#pragma once
#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 7, HISTOGRAM_SUB = 1 << HISTOGRAM_SUB_BITS, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB };

struct histogram {
  uint64_t count, max;
  uint64_t bucket[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t v) {
  if (v < HISTOGRAM_SUB) return (unsigned)v;
  unsigned shift = 63u - (unsigned)__builtin_clzll(v) - HISTOGRAM_SUB_BITS;
  return (shift + 1) * HISTOGRAM_SUB + (unsigned)(v >> shift) - HISTOGRAM_SUB;
}

// The middle of what the bucket holds.
static inline uint64_t histogram_value(unsigned bucket) {
  if (bucket < HISTOGRAM_SUB) return bucket;
  unsigned shift = bucket / HISTOGRAM_SUB - 1;
  uint64_t low = (uint64_t)(bucket % HISTOGRAM_SUB + HISTOGRAM_SUB) << shift;
  return low + ((uint64_t)1 << shift) / 2;
}

static inline void histogram_add(struct histogram *h, uint64_t v, uint64_t times) {
  h->bucket[histogram_bucket(v)] += times;
  h->count += times;
  if (v > h->max) h->max = v;
}

// `q` in 0...1. 0 when nothing was recorded.
static inline uint64_t histogram_quantile(const struct histogram *h, double q) {
  if (!h->count) return 0;
  uint64_t rank = (uint64_t)(q * (double)h->count), seen = 0;
  if (rank >= h->count) rank = h->count - 1;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += h->bucket[i];
    if (seen > rank) {
      uint64_t v = histogram_value(i);
      return v < h->max ? v : h->max;
    }
  }
  return h->max;
}
