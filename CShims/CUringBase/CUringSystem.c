#include <features.h>
#include "CUringSystem.h"
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

// Raw calls: glibc's wrappers take a cpu_set_t and hide how many bytes the kernel wrote.
long ur_sched_getaffinity(int tid, unsigned long *words, size_t word_count) {
    long written = syscall(SYS_sched_getaffinity, tid, word_count * sizeof *words, words);
    return written < 0 ? -(long)errno : written;
}

int ur_sched_setaffinity(int tid, const unsigned long *words, size_t word_count) {
    return syscall(SYS_sched_setaffinity, tid, word_count * sizeof *words, words) < 0 ? -errno : 0;
}

int ur_gettid(void) { return (int)syscall(SYS_gettid); }
