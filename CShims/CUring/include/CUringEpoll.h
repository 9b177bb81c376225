// What the epoll kernel calls: epoll, event descriptors, and variants of calls whose answer is a result or -errno. No policy.
#pragma once
#include <features.h>
#include <stddef.h>
#include <stdint.h>

// struct epoll_event, laid out as the kernel does (uapi/linux/eventpoll.h). <sys/epoll.h> would take declarations away from Swift's Glibc module.
typedef struct {
  uint32_t events;
  uint64_t data;
}
#ifdef __x86_64__
__attribute__((packed))
#endif
ur_epoll_event;

// An epoll descriptor, or -errno.
int ur_epoll_create(void);
// epoll_ctl(2): op is EPOLL_CTL_ADD (1), _DEL (2) or _MOD (3). 0, or -errno.
int ur_epoll_control(int epoll, int op, int fd, uint32_t events, uint64_t data);
// Events that have come, or -errno. timeout_ns < 0 waits without limit. Linux 5.11 has a wait in nanoseconds; where it lacks or is forbidden,
// the time is rounded up to milliseconds.
int ur_epoll_wait(int epoll, ur_epoll_event *events, int max, int64_t timeout_ns);

// The structure is packed on x86-64: read through these.
static inline uint32_t ur_epoll_events(const ur_epoll_event *events, int index) { return events[index].events; }
static inline uint64_t ur_epoll_data(const ur_epoll_event *events, int index) { return events[index].data; }

// An event descriptor that does not block, or -errno.
int ur_eventfd(void);
// Wakes whoever waits for it.
void ur_eventfd_signal(int fd);

// Linux 4.14 and file system permitting: writes what can be written without waiting. A result or -errno.
long ur_pwritev2_nowait(int fd, const void *from, size_t count, int64_t offset);
// A duplicate at the lowest free number from 3, closed by exec, or -errno.
int ur_duplicate(int fd);
// Whether the descriptor is open.
int ur_is_open(int fd);
// fcntl(2) F_SETFL without O_NONBLOCK. 0, or -errno.
int ur_clear_nonblock(int fd);
