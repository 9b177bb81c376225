#define _GNU_SOURCE
#include "CUringEpoll.h"
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(ur_epoll_event) == sizeof(struct epoll_event), "the kernel's layout");

int ur_epoll_create(void) {
  int fd = epoll_create1(EPOLL_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int ur_epoll_control(int epoll, int op, int fd, uint32_t events, uint64_t data) {
  struct epoll_event event = {.events = events, .data.u64 = data};
  return epoll_ctl(epoll, op, fd, &event) < 0 ? -errno : 0;
}

// 441 on every architecture; older headers do not name it.
#ifndef __NR_epoll_pwait2
#define __NR_epoll_pwait2 441
#endif
static atomic_bool lacks_nanoseconds;

int ur_epoll_wait(int epoll, ur_epoll_event *events, int max, int64_t timeout_ns) {
  if (timeout_ns > 0 && !atomic_load_explicit(&lacks_nanoseconds, memory_order_relaxed)) {
    // What the system call takes, whatever time_t is in C: two 64-bit numbers.
    int64_t time[2] = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    long count = syscall(__NR_epoll_pwait2, epoll, events, max, time, NULL, 0);
    if (count >= 0) return (int)count;
    if (errno != ENOSYS && errno != EPERM) return -errno;
    atomic_store_explicit(&lacks_nanoseconds, 1, memory_order_relaxed);
  }
  int64_t ms = timeout_ns < 0 ? -1 : timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
  int count = epoll_wait(epoll, (struct epoll_event *)events, max, ms > 0x7fffffff ? 0x7fffffff : (int)ms);
  return count < 0 ? -errno : count;
}

int ur_eventfd(void) {
  int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

void ur_eventfd_signal(int fd) { eventfd_write(fd, 1); }

long ur_pwritev2_nowait(int fd, const void *from, size_t count, int64_t offset) {
  struct iovec iov = {.iov_base = (void *)from, .iov_len = count};
  ssize_t rc = pwritev2(fd, &iov, 1, offset, RWF_NOWAIT);
  return rc < 0 ? -errno : (long)rc;
}

int ur_duplicate(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return copy < 0 ? -errno : copy;
}

int ur_is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

int ur_clear_nonblock(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0) return -errno;
  return 0;
}
