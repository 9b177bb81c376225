#include <features.h>
#include "CUringSystem.h"
#include <errno.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <malloc.h>

// Raw calls: glibc's wrappers take a cpu_set_t and hide how many bytes the kernel wrote.
long ur_sched_getaffinity(int tid, unsigned long *words, size_t word_count) {
    long written = syscall(SYS_sched_getaffinity, tid, word_count * sizeof *words, words);
    return written < 0 ? -(long)errno : written;
}

int ur_sched_setaffinity(int tid, const unsigned long *words, size_t word_count) {
    return syscall(SYS_sched_setaffinity, tid, word_count * sizeof *words, words) < 0 ? -errno : 0;
}

int ur_gettid(void) { return (int)syscall(SYS_gettid); }

void ur_name_thread(const char *name) {
  char text[16] = {0};
  for (int i = 0; i < 15 && name[i]; i++) text[i] = name[i];
  prctl(PR_SET_NAME, text);
}

static __thread void *current_loop;
void *ur_current_loop(void) { return current_loop; }
void ur_set_current_loop(void *loop) { current_loop = loop; }

size_t ur_usable_bytes(void *memory) { return malloc_usable_size(memory); }
