// System calls about threads and cores that Swift cannot call: syscall(2) is variadic, and glibc's cpu_set_t stops at 1024 cores.
// Each answers a negative errno on failure, so that no caller reads a stale errno. No policy.
#pragma once
#include <features.h>
#include <stddef.h>

/// sched_getaffinity(2) of thread `tid` (0: the caller) into `words`, bit N of the whole = core N. Answers the number of bytes the
/// kernel wrote (the rest of `words` is untouched), or -EINVAL when the kernel's mask is longer than `words`.
long ur_sched_getaffinity(int tid, unsigned long *words, size_t word_count);

/// sched_setaffinity(2) of thread `tid` (0: the caller). Answers 0, or -EINVAL when no core of the mask may be used.
int ur_sched_setaffinity(int tid, const unsigned long *words, size_t word_count);

/// Names the calling thread in ps and top: at most 15 bytes count.
void ur_name_thread(const char *name);

/// gettid(2): the kernel's identity of the calling thread. Cannot fail.
int ur_gettid(void);

/// What runs on the calling thread now, set and read by whoever runs it; NULL when nothing was set. One for each thread.
void *ur_current_loop(void);
void ur_set_current_loop(void *loop);

/// malloc_usable_size(3): how many bytes memory from malloc has.
size_t ur_usable_bytes(void *memory);

/// Two ends of a unix socket of packets, closed on exec. Answers 0 or -errno.
int ur_packet_pair(int ends[2]);

/// Sends `length` bytes with `count` descriptors (at most 128) on a unix socket of packets (unix(7), SCM_RIGHTS). Answers the number of bytes, or -errno. Never raises SIGPIPE.
long ur_send_descriptors(int socket, const void *bytes, size_t length, const int *descriptors, size_t count);

/// Receives a packet and its descriptors, at most `*count`, which have close-on-exec set; `*count` is how many came. Answers the number of bytes, 0 when the other end is closed, or -errno.
long ur_receive_descriptors(int socket, void *bytes, size_t length, int *descriptors, size_t *count);
