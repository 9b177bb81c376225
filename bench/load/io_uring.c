// I/O on a ring: multishot receive, one send per connection and turn that posts nothing when it takes all.
#include "load.h"
#include "../ring/ring.h"

const char *const io_name = "io_uring";

enum { SQ_ENTRIES = 4096, CQ_ENTRIES = 65536, BUFFERS = 16, BUFFER_BYTES = 256 * 1024 };
enum op { OP_CONNECT = 1, OP_RECEIVE, OP_SEND, OP_REST };

static struct ring ring;
static struct ring_buffers buffers;
static unsigned starved[CONNECTIONS_MAX], starved_count;  // receives that ended for want of buffers

static uint64_t tag(enum op op, const struct connection *c) {
  return (uint64_t)op << 56 | (uint64_t)(c->generation & 0xffffff) << 32 | (uint64_t)(c - load.connections);
}

void io_open(void) {
  ring_open(&ring, SQ_ENTRIES, CQ_ENTRIES);
  ring_buffers_open(&ring, &buffers, BUFFERS, BUFFER_BYTES);
}

void io_connect(struct connection *c) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  io_uring_prep_connect(s, c->fd, (struct sockaddr *)&load.peer, load.peer_bytes);
  s->user_data = tag(OP_CONNECT, c);
}

static void arm_receive(struct connection *c) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  io_uring_prep_recv_multishot(s, c->fd, 0, 0, 0);
  s->flags |= IOSQE_BUFFER_SELECT;
  s->buf_group = 0;
  s->user_data = tag(OP_RECEIVE, c);
}

void io_send(struct connection *c) {
  size_t at = c->position % load.request_bytes, n = (size_t)c->owed;  // at most a pipeline: fits behind `at`
  struct io_uring_sqe *s = ring_sqe(&ring);
  io_uring_prep_send(s, c->fd, load.requests + at, n, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
  s->flags |= IOSQE_CQE_SKIP_SUCCESS;
  s->user_data = tag(OP_SEND, c);
  c->position += n;
  c->owed -= n;
  c->given = n;
}

// What was not taken at once.
static void send_rest(struct connection *c, size_t n) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  io_uring_prep_send(s, c->fd, load.requests + (c->position - n) % load.request_bytes, n, MSG_NOSIGNAL | MSG_WAITALL);
  s->ioprio |= IORING_RECVSEND_POLL_FIRST;
  s->user_data = tag(OP_REST, c);
  c->given = n;
  c->sending_rest = true;
}

void io_close(struct connection *c) {
  // Ends the receive that may still be armed: its completion finds another generation and gives its buffer back.
  shutdown(c->fd, SHUT_RDWR);
  close(c->fd);
  c->fd = -1;
  c->generation++;
}

static void on_receive(struct connection *c, const struct io_uring_cqe *cqe) {
  uint32_t generation = c->generation;
  if (cqe->res > 0) on_data(c, ring_buffers_bytes(&buffers, cqe), (size_t)cqe->res);
  if (cqe->flags & IORING_CQE_F_BUFFER) ring_buffers_done(&buffers, cqe->flags);
  if ((cqe->flags & IORING_CQE_F_MORE) || c->generation != generation) return;
  if (cqe->res > 0) arm_receive(c);
  else if (cqe->res == 0) on_end(c);
  else if (cqe->res == -ENOBUFS) starved[starved_count++] = (unsigned)(c - load.connections);
  else on_lost(c, ERROR_READ);
}

static void on_completion(const struct io_uring_cqe *cqe) {
  struct connection *c = &load.connections[(uint32_t)cqe->user_data];
  if ((cqe->user_data >> 32 & 0xffffff) != (c->generation & 0xffffff)) {
    if (!(cqe->flags & IORING_CQE_F_BUFFER)) return;
    ring_buffers_bytes(&buffers, cqe);
    ring_buffers_done(&buffers, cqe->flags);
    return;
  }
  switch ((enum op)(cqe->user_data >> 56)) {
    case OP_CONNECT:
      if (cqe->res == 0) arm_receive(c);
      on_connected(c, -cqe->res);
      break;
    case OP_RECEIVE: on_receive(c, cqe); break;
    case OP_SEND:
      if (cqe->res >= 0 || cqe->res == -EAGAIN) send_rest(c, c->given - (size_t)(cqe->res > 0 ? cqe->res : 0));
      else on_lost(c, ERROR_WRITE);
      break;
    case OP_REST:
      c->sending_rest = false;
      if (cqe->res < 0) on_lost(c, ERROR_WRITE);
      else if ((size_t)cqe->res < c->given) send_rest(c, c->given - (size_t)cqe->res);
      else if (c->owed) io_send(c);
      break;
  }
}

void io_turn(uint64_t deadline) {
  uint64_t now = clock_ns();
  uint64_t wait = deadline > now ? deadline - now : 0;
  struct io_uring_cqe *cqe;
  int n;
  if (wait) {
    struct __kernel_timespec t = {.tv_sec = (long long)(wait / 1000000000u), .tv_nsec = (long long)(wait % 1000000000u)};
    n = io_uring_submit_and_wait_timeout(&ring.uring, &cqe, 1, &t, 0);
  } else {
    io_uring_submit(&ring.uring);
    n = io_uring_get_events(&ring.uring);
  }
  if (n < 0 && n != -ETIME && n != -EINTR && n != -EBUSY && n != -EAGAIN) ring_die("load: io_uring_enter", -n);
  load.now_ns = clock_ns();
  unsigned head, seen = 0;
  io_uring_for_each_cqe(&ring.uring, head, cqe) {
    on_completion(cqe);
    seen++;
  }
  io_uring_cq_advance(&ring.uring, seen);
  for (unsigned i = 0; i < starved_count; i++) {
    struct connection *c = &load.connections[starved[i]];
    if (c->state == CONNECTION_OPEN) arm_receive(c);
  }
  starved_count = 0;
}
