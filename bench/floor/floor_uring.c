// The io_uring floor: the best combination found by measuring. Multishot accept into direct
// descriptors, multishot receive from incrementally consumed buffers, one send per connection and batch that posts a
// completion only when it could not take everything. With --close: single-shot receive, and send linked to close.
#include "floor.h"
#include "../ring/ring.h"
#include <poll.h>
#include <sys/sendfile.h>

enum { SQ_ENTRIES = 4096, CQ_ENTRIES = 32768, CONNECTIONS_MAX = 65536, BUFFERS = 16, BUFFER_BYTES = 64 * 1024 };
enum op { OP_ACCEPT = 1, OP_RECEIVE, OP_SEND, OP_REST, OP_WRITABLE, OP_LINKED, OP_CLOSE };

// Indexed by slot of the direct-descriptor table (by descriptor with --file); reset when the slot is accepted again.
struct connection {
  uint64_t sent;        // position in the endless response stream, counting what a send in flight was given
  uint64_t owed;        // bytes not given to a send yet
  size_t in_flight;     // bytes given to the last send
  uint32_t generation;  // completions of the slot's previous connection carry the previous number
  unsigned matched;     // of the blank line
  bool dirty;           // in the batch's list
  bool blocked;         // waits for the completion of OP_REST or OP_WRITABLE
  bool closing;         // shut down; the last operation's completion closes the slot
  bool closed;
  bool receives;        // a receive is armed
};

static struct ring ring;
static struct ring_buffers buffers;
static struct response response;
static struct options options;
static struct connection *connections;
static unsigned *dirty;
static unsigned dirty_count;
static unsigned *starved;  // connections whose receive ended for want of buffers
static unsigned starved_count;
static int listener;
static bool direct;  // accepted sockets are direct descriptors; sendfile(2) needs ordinary ones

static uint64_t tag(enum op op, unsigned slot) {
  return (uint64_t)op << 56 | (uint64_t)(connections[slot].generation & 0xffffff) << 32 | slot;
}

static struct io_uring_sqe *socket_sqe(struct io_uring_sqe *s, enum op op, unsigned slot) {
  if (direct) s->flags |= IOSQE_FIXED_FILE;
  s->user_data = tag(op, slot);
  return s;
}

static void arm_accept(void) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  if (direct) io_uring_prep_multishot_accept_direct(s, listener, 0, 0, 0);
  else io_uring_prep_multishot_accept(s, listener, 0, 0, SOCK_CLOEXEC);
  s->user_data = (uint64_t)OP_ACCEPT << 56;
}

static void arm_receive(unsigned slot) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  if (options.close) io_uring_prep_recv(s, (int)slot, 0, 0, 0);
  else io_uring_prep_recv_multishot(s, (int)slot, 0, 0, 0);
  socket_sqe(s, OP_RECEIVE, slot);
  s->flags |= IOSQE_BUFFER_SELECT;
  s->buf_group = 0;
  connections[slot].receives = true;
}

static void submit_close(unsigned slot, enum op op) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  if (direct) io_uring_prep_close_direct(s, slot);
  else io_uring_prep_close(s, (int)slot);
  s->user_data = tag(op, slot);
  s->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

// No shutdown before: IORING_OP_SHUTDOWN always runs on a worker thread and, unlinked, may meet the slot's next connection.
// Whatever made a send fail ends the multishot receive as well, and its last completion closes the slot.
static void drop(unsigned slot) {
  struct connection *c = &connections[slot];
  c->closing = true;
  c->owed = 0;
  if (c->receives || c->blocked || c->closed) return;
  c->closed = true;
  submit_close(slot, OP_CLOSE);
}

// From the first copy of the response: bytes that belong together then leave together, however many were sent before.
static void submit_send(unsigned slot) {
  struct connection *c = &connections[slot];
  size_t at = c->sent % response.length, n = response.total - at;
  struct io_uring_sqe *s = ring_sqe(&ring);
  if (n >= c->owed) {
    n = c->owed;
    io_uring_prep_send(s, (int)slot, response.bytes + at, n, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
    socket_sqe(s, OP_SEND, slot)->flags |= IOSQE_CQE_SKIP_SUCCESS;
  } else {  // more than the buffer holds: the completion starts the next
    io_uring_prep_send(s, (int)slot, response.bytes + at, n, MSG_NOSIGNAL | MSG_WAITALL);
    socket_sqe(s, OP_REST, slot);
    c->blocked = true;
  }
  c->sent += n;
  c->owed -= n;
  c->in_flight = n;
}

// What the kernel did not take inline: wait for room first, then the whole rest in one operation.
static void submit_rest(unsigned slot, size_t n) {
  struct connection *c = &connections[slot];
  struct io_uring_sqe *s = ring_sqe(&ring);
  io_uring_prep_send(s, (int)slot, response.bytes + (c->sent - n) % response.length, n, MSG_NOSIGNAL | MSG_WAITALL);
  s->ioprio |= IORING_RECVSEND_POLL_FIRST;
  socket_sqe(s, OP_REST, slot);
  c->in_flight = n;
  c->blocked = true;
}

static void send_file(unsigned slot) {
  struct connection *c = &connections[slot];
  while (c->owed) {
    uint64_t at = c->sent % (response.length + response.file_bytes);
    ssize_t n;
    if (at < response.length) {
      n = send((int)slot, response.bytes + at, response.length - at, MSG_DONTWAIT | MSG_NOSIGNAL);
    } else {
      // An accepted socket is blocking for sendfile(2), unlike for the ring; hence O_NONBLOCK at accept.
      off_t offset = (off_t)(at - response.length);
      n = sendfile((int)slot, response.file, &offset, response.file_bytes - (size_t)offset);
    }
    if (n > 0) {
      c->sent += (uint64_t)n;
      c->owed -= (uint64_t)n;
    } else if (n < 0 && errno == EAGAIN) {
      struct io_uring_sqe *s = ring_sqe(&ring);
      io_uring_prep_poll_add(s, (int)slot, POLLOUT);
      socket_sqe(s, OP_WRITABLE, slot);
      c->blocked = true;
      return;
    } else {
      drop(slot);
      return;
    }
  }
}

static void answer_and_close(unsigned slot) {
  struct io_uring_sqe *s = ring_sqe(&ring);
  // A chain must be submitted whole.
  if (io_uring_sq_space_left(&ring.uring) < 2) {
    io_uring_prep_nop(s);
    s->user_data = 0;
    io_uring_submit(&ring.uring);
    s = ring_sqe(&ring);
  }
  // A hard link: whatever becomes of the send, the connection is closed. No receive is armed, so the close sends the FIN.
  io_uring_prep_send(s, (int)slot, response.bytes, response.length, MSG_NOSIGNAL | MSG_WAITALL);
  socket_sqe(s, OP_LINKED, slot)->flags |= IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_HARDLINK;
  submit_close(slot, OP_LINKED);
}

static void mark_dirty(unsigned slot) {
  if (connections[slot].dirty) return;
  connections[slot].dirty = true;
  dirty[dirty_count++] = slot;
}

static void on_accept(const struct io_uring_cqe *cqe) {
  if (cqe->res >= 0) {
    unsigned slot = (unsigned)cqe->res;
    if (slot >= CONNECTIONS_MAX) {
      close((int)slot);
    } else {
      uint32_t generation = connections[slot].generation + 1;
      connections[slot] = (struct connection){.generation = generation};
      if (options.file) fcntl((int)slot, F_SETFL, O_NONBLOCK);
      arm_receive(slot);
    }
  }
  if (!(cqe->flags & IORING_CQE_F_MORE)) arm_accept();
}

static void on_receive(unsigned slot, const struct io_uring_cqe *cqe) {
  struct connection *c = &connections[slot];
  unsigned requests = 0;
  if (cqe->res > 0) requests = count_blank_lines(ring_buffers_bytes(&buffers, cqe), (size_t)cqe->res, &c->matched);
  if (cqe->flags & IORING_CQE_F_BUFFER) ring_buffers_done(&buffers, cqe->flags);
  c->receives = cqe->flags & IORING_CQE_F_MORE;
  if (requests && options.malloc) allocate_for(requests);
  if (options.close && cqe->res > 0) {
    if (requests) answer_and_close(slot);
    else arm_receive(slot);
    return;
  }
  if (requests && !c->closing) {
    c->owed += requests * (uint64_t)(response.length + response.file_bytes);
    mark_dirty(slot);
  }
  if (c->receives) return;
  if (cqe->res == -ENOBUFS) starved[starved_count++] = slot;
  else if (cqe->res > 0 && !c->closing) arm_receive(slot);
  else drop(slot);
}

static void on_completion(const struct io_uring_cqe *cqe) {
  enum op op = (enum op)(cqe->user_data >> 56);
  unsigned slot = (unsigned)cqe->user_data;
  if (op == OP_ACCEPT) {
    on_accept(cqe);
    return;
  }
  if (op == 0 || op == OP_CLOSE || op == OP_LINKED) return;
  if ((cqe->user_data >> 32 & 0xffffff) != (connections[slot].generation & 0xffffff)) {
    if (cqe->flags & IORING_CQE_F_BUFFER) {
      ring_buffers_bytes(&buffers, cqe);
      ring_buffers_done(&buffers, cqe->flags);
    }
    return;
  }
  struct connection *c = &connections[slot];
  switch (op) {
    case OP_RECEIVE: on_receive(slot, cqe); break;
    case OP_SEND:
      // Only what failed or came up short posts a completion, and does so before the enter returns: nothing was sent after it.
      if (cqe->res >= 0 || cqe->res == -EAGAIN) submit_rest(slot, c->in_flight - (size_t)(cqe->res > 0 ? cqe->res : 0));
      else drop(slot);
      break;
    case OP_REST:
      c->blocked = false;
      if (c->closing || cqe->res < 0) drop(slot);
      else if ((size_t)cqe->res < c->in_flight) submit_rest(slot, c->in_flight - (size_t)cqe->res);
      else mark_dirty(slot);
      break;
    case OP_WRITABLE:
      c->blocked = false;
      if (c->closing || cqe->res < 0) drop(slot);
      else mark_dirty(slot);
      break;
    default: break;
  }
}

int main(int argc, char **argv) {
  options = parse_options(argc, argv);
  response = make_response(&options);
  direct = !options.file;
  connections = calloc(CONNECTIONS_MAX, sizeof *connections);
  dirty = calloc(CONNECTIONS_MAX, sizeof *dirty);
  starved = calloc(CONNECTIONS_MAX, sizeof *starved);
  if (!connections || !dirty || !starved) die("calloc");
  ring_open(&ring, SQ_ENTRIES, CQ_ENTRIES);
  ring_buffers_open(&ring, &buffers, BUFFERS, BUFFER_BYTES);
  if (direct) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);  // bounds the table of direct descriptors too
    int error = io_uring_register_files_sparse(&ring.uring, limit.rlim_cur < CONNECTIONS_MAX ? (unsigned)limit.rlim_cur : CONNECTIONS_MAX);
    if (error) ring_die("io_uring_register_files", -error);
  }
  listener = open_listener(&options, 0);
  arm_accept();
  printf("floor-uring: listening on 127.0.0.1:%d (%s, %s buffers)\n", options.port, ring.no_sqarray ? "NO_SQARRAY" : "SQ array",
         buffers.incremental ? "incremental" : "whole");
  fflush(stdout);
  for (;;) {
    int n = io_uring_submit_and_wait(&ring.uring, 1);
    if (n < 0 && n != -EINTR && n != -EBUSY && n != -EAGAIN) ring_die("io_uring_enter", -n);
    refresh_date(&response);
    unsigned head, seen = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring.uring, head, cqe) {
      on_completion(cqe);
      seen++;
    }
    io_uring_cq_advance(&ring.uring, seen);
    // The batch's buffers are back by now.
    for (unsigned i = 0; i < starved_count; i++)
      if (!connections[starved[i]].closing) arm_receive(starved[i]);
    starved_count = 0;
    for (unsigned i = 0; i < dirty_count; i++) {
      unsigned slot = dirty[i];
      struct connection *c = &connections[slot];
      c->dirty = false;
      if (c->blocked || c->closing || !c->owed) continue;
      if (options.file) send_file(slot);
      else submit_send(slot);
    }
    dirty_count = 0;
  }
}
