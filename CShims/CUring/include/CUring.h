// liburing's inline functions under names Swift can import, and the constants that liburing 2.3 lacks. No policy.
// <features.h> first: liburing.h defines _GNU_SOURCE, and the Glibc module must see the same fd_set.
#pragma once
#include <features.h>
#include <liburing.h>
#include <stdbool.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <sys/socket.h>
#include "CUringEpoll.h"

// Linux 6.6. liburing 2.3 does not know it.
#define UR_SETUP_NO_SQARRAY (1U << 16)

typedef struct io_uring ur_ring;
typedef struct io_uring_sqe ur_sqe;
typedef struct io_uring_cqe ur_cqe;
typedef struct io_uring_buf_ring ur_buf_ring;

// Sets up a ring with exactly these IORING_SETUP_* flags and maps it. 0, or -errno. Does not write the submission array
// when UR_SETUP_NO_SQARRAY is set: there is none (liburing 2.3 would write over the ring's header).
int ur_setup(unsigned entries, unsigned cq_entries, unsigned flags, ur_ring *ring);

// Publishes the queued entries and enters the kernel with GETEVENTS. timeout_ns < 0: no timeout.
// Returns the number of entries consumed, or -errno (-ETIME when the timeout passed first).
int ur_enter(ur_ring *ring, unsigned min_complete, int64_t timeout_ns);

// Bit `op` is set when the kernel supports the operation. Operations 0…127 in two words.
int ur_probe(ur_ring *ring, uint64_t supported[2]);

// Writes the version of the liburing that is loaded, "2.3"; false when it cannot be told.
bool ur_library_version(char *text, size_t size);

int ur_register_buf_ring(ur_ring *ring, ur_buf_ring *memory, unsigned entries, int group);

static inline ur_sqe *ur_get_sqe(ur_ring *ring) { return io_uring_get_sqe(ring); }
static inline unsigned ur_sq_space(const ur_ring *ring) { return io_uring_sq_space_left(ring); }
// Entries queued and not yet consumed by the kernel.
static inline unsigned ur_sq_pending(const ur_ring *ring) { return ring->sq.sqe_tail - *ring->sq.khead; }
static inline bool ur_cq_overflow(const ur_ring *ring) { return io_uring_cq_has_overflow(ring); }

// Makes the queued entries visible to the consumer and returns how many there are.
static inline unsigned ur_sq_flush(ur_ring *ring) {
  ring->sq.sqe_head = ring->sq.sqe_tail;
  __atomic_store_n(ring->sq.ktail, ring->sq.sqe_tail, __ATOMIC_RELEASE);
  return ring->sq.sqe_tail - __atomic_load_n(ring->sq.khead, __ATOMIC_ACQUIRE);
}

static inline unsigned ur_cq_ready(const ur_ring *ring) {
  return __atomic_load_n(ring->cq.ktail, __ATOMIC_ACQUIRE) - *ring->cq.khead;
}
static inline const ur_cqe *ur_cq_at(const ur_ring *ring, unsigned offset) {
  return &ring->cq.cqes[(*ring->cq.khead + offset) & ring->cq.ring_mask];
}
static inline void ur_cq_advance(ur_ring *ring, unsigned count) {
  __atomic_store_n(ring->cq.khead, *ring->cq.khead + count, __ATOMIC_RELEASE);
}

// The first entry that is queued and not consumed, when it is a close; NULL otherwise.
static inline ur_sqe *ur_first_pending_close(ur_ring *ring) {
  unsigned head = __atomic_load_n(ring->sq.khead, __ATOMIC_ACQUIRE);
  if (head == ring->sq.sqe_tail) return NULL;
  ur_sqe *sqe = &ring->sq.sqes[head & ring->sq.ring_mask];
  return sqe->opcode == IORING_OP_CLOSE ? sqe : NULL;
}

static inline void ur_sqe_tag(ur_sqe *sqe, uint64_t user_data, unsigned flags) {
  sqe->user_data = user_data;
  sqe->flags = (uint8_t)flags;
}
static inline void ur_prep_nop(ur_sqe *sqe) { io_uring_prep_nop(sqe); }
// Accepted sockets are blocking ones: up to Linux 5.19 the ring answered -EAGAIN on others where it should wait. Nothing here waits in a call.
static inline void ur_prep_multishot_accept(ur_sqe *sqe, int fd) {
  io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
}
static inline void ur_prep_accept(ur_sqe *sqe, int fd) { io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC); }
// Receive into a buffer that the kernel picks from `group`. The caller's flags must contain IOSQE_BUFFER_SELECT.
static inline void ur_prep_recv(ur_sqe *sqe, int fd, int group, bool multishot) {
  if (multishot) io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
  else io_uring_prep_recv(sqe, fd, NULL, 0, 0);
  sqe->buf_group = (uint16_t)group;
}
static inline void ur_prep_send(ur_sqe *sqe, int fd, const void *bytes, uint32_t count, int msg_flags, bool poll_first) {
  io_uring_prep_send(sqe, fd, bytes, count, msg_flags);
  if (poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}
static inline void ur_prep_sendmsg(ur_sqe *sqe, int fd, const struct msghdr *msg, unsigned msg_flags, bool poll_first) {
  io_uring_prep_sendmsg(sqe, fd, msg, msg_flags);
  if (poll_first) sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}
static inline void ur_prep_close(ur_sqe *sqe, int fd) { io_uring_prep_close(sqe, fd); }
static inline void ur_prep_poll(ur_sqe *sqe, int fd, unsigned mask) { io_uring_prep_poll_add(sqe, fd, mask); }
static inline void ur_prep_poll_multishot(ur_sqe *sqe, int fd, unsigned mask) { io_uring_prep_poll_multishot(sqe, fd, mask); }
static inline void ur_prep_cancel(ur_sqe *sqe, uint64_t user_data) { io_uring_prep_cancel64(sqe, user_data, 0); }
static inline void ur_prep_cancel_fd(ur_sqe *sqe, int fd) { io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL); }
static inline void ur_prep_read(ur_sqe *sqe, int fd, void *into, uint32_t count, uint64_t offset) {
  io_uring_prep_read(sqe, fd, into, count, offset);
}
static inline void ur_prep_write(ur_sqe *sqe, int fd, const void *from, uint32_t count, uint64_t offset) {
  io_uring_prep_write(sqe, fd, from, count, offset);
}
// Receive into the caller's memory, for who knows whose turn it is.
static inline void ur_prep_recv_into(ur_sqe *sqe, int fd, void *into, uint32_t count) { io_uring_prep_recv(sqe, fd, into, count, 0); }
// The address is the caller's until the completion.
static inline void ur_prep_connect(ur_sqe *sqe, int fd, const struct sockaddr *address, uint32_t length) {
  io_uring_prep_connect(sqe, fd, address, length);
}
static inline void ur_prep_openat2(ur_sqe *sqe, int dir, const char *path, const struct open_how *how) {
  io_uring_prep_openat2(sqe, dir, path, (struct open_how *)how);
}
// Posts a completion (res = value, user_data = data) on another ring.
static inline void ur_prep_msg_ring(ur_sqe *sqe, int ring_fd, uint32_t value, uint64_t data) {
  io_uring_prep_msg_ring(sqe, ring_fd, value, data, 0);
}

static inline void ur_buf_ring_init(ur_buf_ring *ring) { io_uring_buf_ring_init(ring); }
static inline void ur_buf_ring_add(ur_buf_ring *ring, void *bytes, uint32_t count, uint16_t id, uint32_t mask, int offset) {
  io_uring_buf_ring_add(ring, bytes, count, id, (int)mask, offset);
}
static inline void ur_buf_ring_advance(ur_buf_ring *ring, int count) { io_uring_buf_ring_advance(ring, count); }
// For the simulated kernel and the epoll kernel, which read the ring as Linux does.
static inline uint16_t ur_buf_ring_tail(const ur_buf_ring *ring) { return __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE); }
static inline const struct io_uring_buf *ur_buf_ring_at(const ur_buf_ring *ring, uint32_t index) {
  return &((const struct io_uring_buf *)ring)[index];
}

// Lays out a ring in the caller's memory, with no kernel behind it: the simulated kernel, or the epoll kernel, consumes and produces.
// `words` has room for 8 unsigned; entries and cq_entries are powers of two.
static inline void ur_simulated_ring(ur_ring *ring, unsigned *words, ur_sqe *sqes, unsigned entries, ur_cqe *cqes, unsigned cq_entries) {
  __builtin_memset(ring, 0, sizeof *ring);
  ring->sq.khead = &words[0]; ring->sq.ktail = &words[1]; ring->sq.kflags = &words[2]; ring->sq.kdropped = &words[3];
  ring->sq.sqes = sqes; ring->sq.ring_entries = entries; ring->sq.ring_mask = entries - 1;
  ring->cq.khead = &words[4]; ring->cq.ktail = &words[5]; ring->cq.kflags = &words[6]; ring->cq.koverflow = &words[7];
  ring->cq.cqes = cqes; ring->cq.ring_entries = cq_entries; ring->cq.ring_mask = cq_entries - 1;
  ring->ring_fd = ring->enter_ring_fd = -1;
}
static inline unsigned ur_sim_sq_head(const ur_ring *ring) { return *ring->sq.khead; }
static inline void ur_sim_sq_consume(ur_ring *ring, unsigned count) { *ring->sq.khead += count; }
static inline ur_sqe *ur_sim_sq_at(ur_ring *ring, unsigned offset) {
  return &ring->sq.sqes[(*ring->sq.khead + offset) & ring->sq.ring_mask];
}
// false when the completion queue is full.
static inline bool ur_sim_cq_push(ur_ring *ring, uint64_t user_data, int32_t res, uint32_t flags) {
  unsigned tail = *ring->cq.ktail;
  if (tail - *ring->cq.khead == ring->cq.ring_entries) return false;
  ur_cqe *cqe = &ring->cq.cqes[tail & ring->cq.ring_mask];
  cqe->user_data = user_data; cqe->res = res; cqe->flags = flags;
  *ring->cq.ktail = tail + 1;
  return true;
}
static inline void ur_sim_set_overflow(ur_ring *ring, bool on) {
  if (on) *ring->sq.kflags |= IORING_SQ_CQ_OVERFLOW; else *ring->sq.kflags &= ~IORING_SQ_CQ_OVERFLOW;
}
// Fields of an entry that sit in unions, for the simulated kernel and the epoll kernel.
static inline uint64_t ur_sqe_addr(const ur_sqe *sqe) { return sqe->addr; }
static inline uint64_t ur_sqe_off(const ur_sqe *sqe) { return sqe->off; }
static inline uint32_t ur_sqe_msg_flags(const ur_sqe *sqe) { return sqe->msg_flags; }
static inline uint32_t ur_sqe_cancel_flags(const ur_sqe *sqe) { return sqe->cancel_flags; }
static inline uint32_t ur_sqe_poll_mask(const ur_sqe *sqe) { return sqe->poll32_events; }
static inline uint16_t ur_sqe_buf_group(const ur_sqe *sqe) { return sqe->buf_group; }

// System calls without a Glibc overlay in Swift. Each returns its result or -errno.
int ur_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve);
int ur_openat2_how(int dir, const char *path, const struct open_how *how);
int ur_accept4(int fd, int flags);
long ur_preadv2_nowait(int fd, void *into, size_t count, int64_t offset);
// tcpi_rtt of tcp(7), microseconds; 0 when it is no TCP socket or nothing was measured.
uint32_t ur_round_trip_us(int fd);
