// The epoll floor: level-triggered, one receive and one send per connection and wake. Readiness first, then plain calls,
// as a tight C server does it today.
#define _GNU_SOURCE 1  // accept4
#include "floor.h"
#include <sys/epoll.h>
#include <sys/sendfile.h>

// Owned by the table below, indexed by descriptor, reset when the descriptor is accepted again.
struct connection {
  uint64_t sent;      // bytes of the endless response stream that have left, modulo one response (and its file)
  uint64_t owed;      // bytes still to send
  unsigned matched;   // of the blank line
  bool waits_to_write;
  bool close_after;
};

static struct connection *connections;
static size_t connections_max;
static struct response response;
static struct options options;
static int epoll_fd;
static char receive_buffer[64 * 1024];

static void drop(int fd) { close(fd); }

// Sends from where the stream of responses stands; with --file a response is the head and the file after it.
static ssize_t send_some(int fd, struct connection *c) {
  if (response.file < 0) {
    size_t at = c->sent % response.total;
    size_t n = response.total - at;
    if (n > c->owed) n = c->owed;
    return send(fd, response.bytes + at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
  }
  uint64_t at = c->sent % (response.length + response.file_bytes);
  if (at < response.length) return send(fd, response.bytes + at, response.length - at, MSG_DONTWAIT | MSG_NOSIGNAL);
  off_t offset = (off_t)(at - response.length);
  return sendfile(fd, response.file, &offset, response.file_bytes - (size_t)offset);
}

// Returns false when the connection is gone.
static bool flush(int fd, struct connection *c) {
  while (c->owed) {
    ssize_t n = send_some(fd, c);
    if (n > 0) {
      c->sent += (uint64_t)n;
      c->owed -= (uint64_t)n;
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      if (!c->waits_to_write) {
        struct epoll_event e = {.events = EPOLLOUT, .data.fd = fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &e);
        c->waits_to_write = true;
      }
      return true;
    }
    drop(fd);
    return false;
  }
  if (c->waits_to_write) {
    struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &e);
    c->waits_to_write = false;
  }
  if (c->close_after) {
    drop(fd);
    return false;
  }
  return true;
}

enum received { GONE, NOTHING, SOME };

static enum received receive(int fd, struct connection *c) {
  ssize_t n = recv(fd, receive_buffer, sizeof receive_buffer, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return NOTHING;
  if (n <= 0) {
    drop(fd);
    return GONE;
  }
  unsigned requests = count_blank_lines(receive_buffer, (size_t)n, &c->matched);
  if (!requests) return SOME;
  if (options.malloc) allocate_for(requests);
  if (options.close) {
    requests = 1;
    c->close_after = true;
  }
  c->owed += requests * (uint64_t)(response.length + response.file_bytes);
  return flush(fd, c) ? SOME : GONE;
}

static void accept_all(int listener) {
  for (;;) {
    int fd = accept4(listener, 0, 0, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if ((size_t)fd >= connections_max) {
      close(fd);
      continue;
    }
    connections[fd] = (struct connection){0};
    // The request is already here (TCP_DEFER_ACCEPT): answered without ever entering the interest list.
    if (options.close && receive(fd, &connections[fd]) == GONE) continue;
    bool waits = connections[fd].owed > 0;
    connections[fd].waits_to_write = waits;
    struct epoll_event e = {.events = waits ? EPOLLOUT : EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) drop(fd);
  }
}

int main(int argc, char **argv) {
  options = parse_options(argc, argv);
  response = make_response(&options);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  connections_max = limit.rlim_cur < (1u << 20) ? (size_t)limit.rlim_cur : 1u << 20;
  connections = calloc(connections_max, sizeof *connections);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (!connections || epoll_fd < 0) die("set-up");
  int listener = open_listener(&options, SOCK_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &e) < 0) die("epoll_ctl");
  printf("floor-epoll: listening on 127.0.0.1:%d\n", options.port);
  fflush(stdout);
  struct epoll_event events[256];
  for (;;) {
    int n = epoll_wait(epoll_fd, events, 256, -1);
    if (n < 0 && errno != EINTR) die("epoll_wait");
    refresh_date(&response);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) {
        accept_all(listener);
        continue;
      }
      struct connection *c = &connections[fd];
      // What is owed is written before more is read, or a client that never reads would make `owed` grow for ever.
      if (c->waits_to_write) flush(fd, c);
      else receive(fd, c);
    }
  }
}
