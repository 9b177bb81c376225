// Setting up a ring and its receive buffers the way that was measured best; used by the ring floor and the load generator.
// Not thread-safe: the thread that calls ring_open owns the ring for its whole life (SINGLE_ISSUER).
#pragma once
#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

// Newer than liburing 2.3 (include/uapi/linux/io_uring.h).
#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16)  // Linux 6.6
#endif
#define RING_PBUF_INC 2u                    // IOU_PBUF_RING_INC, Linux 6.12; in the field that liburing 2.3 calls `pad`
#define RING_CQE_F_BUF_MORE (1U << 4)       // IORING_CQE_F_BUF_MORE: the buffer goes on after these bytes

static void ring_die(const char *what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(error));
  exit(1);
}

struct ring {
  struct io_uring uring;
  bool no_sqarray;
};

// Tries NO_SQARRAY first. It is set up by hand because liburing 2.3's own set-up fills the array that is then not there.
static void ring_open(struct ring *r, unsigned sq_entries, unsigned cq_entries) {
  unsigned base = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  struct io_uring_params p = {.flags = base | IORING_SETUP_NO_SQARRAY, .cq_entries = cq_entries};
  memset(&r->uring, 0, sizeof r->uring);
  int fd = (int)syscall(__NR_io_uring_setup, sq_entries, &p);
  if (fd >= 0) {
    int error = io_uring_queue_mmap(fd, &p, &r->uring);
    if (error) ring_die("io_uring_queue_mmap", -error);
    // Not set by liburing 2.3's mmap alone; without it a wait with a time limit would queue a timeout of its own.
    r->uring.features = p.features;
    r->no_sqarray = true;
    return;
  }
  if (errno != EINVAL) ring_die("io_uring_setup", errno);
  p = (struct io_uring_params){.flags = base, .cq_entries = cq_entries};
  int error = io_uring_queue_init_params(sq_entries, &r->uring, &p);
  if (error) ring_die("io_uring_setup (needs Linux 6.1)", -error);
  r->no_sqarray = false;
}

// An entry always: when the queue is full, what is in it is submitted first.
static inline struct io_uring_sqe *ring_sqe(struct ring *r) {
  struct io_uring_sqe *s;
  while (!(s = io_uring_get_sqe(&r->uring))) io_uring_submit(&r->uring);
  return s;
}

// Receive buffers, owned by the kernel until a completion names them, given back as soon as their bytes were looked at.
struct ring_buffers {
  struct io_uring_buf_ring *ring;
  char *memory;
  unsigned count, bytes;
  bool incremental;
  unsigned *offset;  // per buffer: where the next completion's bytes start (incremental only)
};

// `count` is a power of two. Without incremental consumption the same memory is cut into 4 KiB pieces, since then a
// completion takes a whole buffer, however few bytes it has.
static void ring_buffers_open(struct ring *r, struct ring_buffers *b, unsigned count, unsigned bytes) {
  b->incremental = true;
  for (;;) {
    size_t ring_bytes = (count * sizeof(struct io_uring_buf) + 4095) & ~(size_t)4095;
    b->ring = mmap(0, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (b->ring == MAP_FAILED) ring_die("mmap", errno);
    struct io_uring_buf_reg reg = {.ring_addr = (uint64_t)(uintptr_t)b->ring, .ring_entries = count, .bgid = 0,
                                   .pad = b->incremental ? RING_PBUF_INC : 0};
    int error = io_uring_register_buf_ring(&r->uring, &reg, 0);
    if (!error) break;
    munmap(b->ring, ring_bytes);
    if (!b->incremental) ring_die("io_uring_register_buf_ring", -error);
    b->incremental = false;
    count *= bytes / 4096;
    bytes = 4096;
  }
  b->count = count;
  b->bytes = bytes;
  b->memory = mmap(0, (size_t)count * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  b->offset = calloc(count, sizeof *b->offset);
  if (b->memory == MAP_FAILED || !b->offset) ring_die("receive buffers", ENOMEM);
  io_uring_buf_ring_init(b->ring);
  for (unsigned i = 0; i < count; i++)
    io_uring_buf_ring_add(b->ring, b->memory + (size_t)i * bytes, bytes, (unsigned short)i, io_uring_buf_ring_mask(count), (int)i);
  io_uring_buf_ring_advance(b->ring, (int)count);
}

// Where the bytes of this completion are. Call once per completion, in their order.
static inline char *ring_buffers_bytes(struct ring_buffers *b, const struct io_uring_cqe *cqe) {
  unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
  char *p = b->memory + (size_t)id * b->bytes + b->offset[id];
  if (b->incremental && cqe->res > 0) b->offset[id] += (unsigned)cqe->res;
  return p;
}

// Gives the buffer back, unless the kernel still fills the rest of it.
static inline void ring_buffers_done(struct ring_buffers *b, unsigned cqe_flags) {
  if (b->incremental && (cqe_flags & RING_CQE_F_BUF_MORE)) return;
  unsigned id = cqe_flags >> IORING_CQE_BUFFER_SHIFT;
  b->offset[id] = 0;
  io_uring_buf_ring_add(b->ring, b->memory + (size_t)id * b->bytes, b->bytes, (unsigned short)id, io_uring_buf_ring_mask(b->count), 0);
  io_uring_buf_ring_advance(b->ring, 1);
}
