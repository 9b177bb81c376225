// I/O by readiness: the fall-back where io_uring is not allowed, and the measure of what the ring saves the generator.
#define _GNU_SOURCE 1
#include "load.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

const char *const io_name = "epoll";

static int epoll_fd;
static char buffer[256 * 1024];

static void watch(struct connection *c, int operation, uint32_t events) {
  uint32_t slot = (uint32_t)(c - load.connections);
  struct epoll_event e = {.events = events, .data.u64 = (uint64_t)c->generation << 32 | slot};
  if (epoll_ctl(epoll_fd, operation, c->fd, &e) < 0) fail("epoll_ctl", errno);
}

void io_open(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail("epoll_create1", errno);
}

// Errors come with the event: a socket that failed to connect is writable too.
void io_connect(struct connection *c) {
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  connect(c->fd, (struct sockaddr *)&load.peer, load.peer_bytes);
  watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

void io_send(struct connection *c) {
  while (c->owed) {
    size_t at = c->position % load.request_bytes;  // owed is at most a pipeline: fits behind `at`
    ssize_t sent = send(c->fd, load.requests + at, (size_t)c->owed, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      c->position += (uint64_t)sent;
      c->owed -= (uint64_t)sent;
    } else if (errno == EAGAIN) {
      if (!c->sending_rest) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
      c->sending_rest = true;
      return;
    } else {
      on_lost(c, ERROR_WRITE);
      return;
    }
  }
}

void io_close(struct connection *c) {
  close(c->fd);
  c->fd = -1;
  c->generation++;
}

static void on_event(struct connection *c, uint32_t events) {
  uint32_t generation = c->generation;
  if (c->state == CONNECTION_CONNECTING) {
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n);
    if (!error) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    on_connected(c, error);
    return;
  }
  if ((events & EPOLLOUT) && c->sending_rest) {
    c->sending_rest = false;
    watch(c, EPOLL_CTL_MOD, EPOLLIN);
    io_send(c);
    if (c->generation != generation) return;
  }
  if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  ssize_t n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (n > 0) on_data(c, buffer, (size_t)n);
  else if (n == 0) on_end(c);
  else if (errno != EAGAIN && errno != EINTR) on_lost(c, ERROR_READ);
}

void io_turn(uint64_t deadline) {
  uint64_t now = clock_ns(), wait = deadline > now ? deadline - now : 0;
  struct timespec t = {.tv_sec = (time_t)(wait / 1000000000u), .tv_nsec = (long)(wait % 1000000000u)};
  struct epoll_event events[512];
  int n = epoll_pwait2(epoll_fd, events, 512, &t, 0);
  if (n < 0 && errno != EINTR) fail("epoll_pwait2", errno);
  load.now_ns = clock_ns();
  for (int i = 0; i < n; i++) {
    struct connection *c = &load.connections[(uint32_t)events[i].data.u64];
    if ((uint32_t)(events[i].data.u64 >> 32) == c->generation) on_event(c, events[i].events);
  }
}
