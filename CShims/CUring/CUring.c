#define _GNU_SOURCE
#include "CUring.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

int ur_setup(unsigned entries, unsigned cq_entries, unsigned flags, ur_ring *ring) {
  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  params.flags = flags | IORING_SETUP_CQSIZE;
  params.cq_entries = cq_entries;
  long fd = syscall(__NR_io_uring_setup, entries, &params);
  if (fd < 0) return -errno;
  int rc = io_uring_queue_mmap((int)fd, &params, ring);
  if (rc < 0) {
    close((int)fd);
    return rc;
  }
  if (!(flags & UR_SETUP_NO_SQARRAY))
    for (unsigned i = 0; i < ring->sq.ring_entries; i++) ring->sq.array[i] = i;
  ring->features = params.features;
  ring->flags = params.flags;
  ring->ring_fd = ring->enter_ring_fd = (int)fd;
  return 0;
}

// Linux 5.11: struct io_uring_getevents_arg carries the timeout.
int ur_enter(ur_ring *ring, unsigned min_complete, int64_t timeout_ns) {
  unsigned queued = ur_sq_flush(ring);
  long rc;
  if (timeout_ns < 0 || min_complete == 0) {
    rc = syscall(__NR_io_uring_enter, ring->enter_ring_fd, queued, min_complete, IORING_ENTER_GETEVENTS, NULL, 0);
  } else {
    struct __kernel_timespec ts = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    struct io_uring_getevents_arg arg = {.ts = (uint64_t)(uintptr_t)&ts};
    rc = syscall(__NR_io_uring_enter, ring->enter_ring_fd, queued, min_complete,
                 IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
  }
  return rc < 0 ? -errno : (int)rc;
}

int ur_probe(ur_ring *ring, uint64_t supported[2]) {
  struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
  supported[0] = supported[1] = 0;
  if (!probe) return -EINVAL;
  for (int op = 0; op < 128; op++)
    if (io_uring_opcode_supported(probe, op)) supported[op / 64] |= 1ULL << (op % 64);
  io_uring_free_probe(probe);
  return 0;
}

int ur_register_buf_ring(ur_ring *ring, ur_buf_ring *memory, unsigned entries, int group) {
  struct io_uring_buf_reg reg;
  memset(&reg, 0, sizeof reg);
  reg.ring_addr = (uint64_t)(uintptr_t)memory;
  reg.ring_entries = entries;
  reg.bgid = (uint16_t)group;
  return io_uring_register_buf_ring(ring, &reg, 0);
}

int ur_openat2(int dir, const char *path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  return ur_openat2_how(dir, path, &how);
}

int ur_openat2_how(int dir, const char *path, const struct open_how *how) {
  long rc = syscall(__NR_openat2, dir, path, how, sizeof *how);
  return rc < 0 ? -errno : (int)rc;
}

int ur_accept4(int fd, int flags) {
  int accepted = accept4(fd, NULL, NULL, flags);
  return accepted < 0 ? -errno : accepted;
}

// Linux 4.14: RWF_NOWAIT reads what is in the page cache and never waits for a disk.
long ur_preadv2_nowait(int fd, void *into, size_t count, int64_t offset) {
  struct iovec iov = {.iov_base = into, .iov_len = count};
  ssize_t rc = preadv2(fd, &iov, 1, offset, RWF_NOWAIT);
  return rc < 0 ? -errno : (long)rc;
}

uint32_t ur_round_trip_us(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  memset(&info, 0, sizeof info);
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  return info.tcpi_rtt;
}

// liburing 2.5 has functions that tell. Before that the file's name does: liburing.so.2 is a link to liburing.so.2.3.
bool ur_library_version(char *text, size_t size) {
  int (*major)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "io_uring_major_version");
  int (*minor)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "io_uring_minor_version");
  if (major && minor) {
    snprintf(text, size, "%d.%d", major(), minor());
    return true;
  }
  Dl_info info;
  char path[PATH_MAX];
  if (!dladdr((void *)io_uring_queue_init_params, &info) || !info.dli_fname || !realpath(info.dli_fname, path)) return false;
  const char *name = strstr(path, "/liburing.so.");
  if (!name) return false;
  snprintf(text, size, "%s", name + strlen("/liburing.so."));
  return true;
}
