#include <features.h>
#include "CUringSystem.h"
#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
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

int ur_packet_pair(int ends[2]) { return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0 ? 0 : -errno; }

enum { descriptors_max = 128 };

long ur_send_descriptors(int socket, const void *bytes, size_t length, const int *descriptors, size_t count) {
  if (count > descriptors_max) return -EINVAL;
  union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int) * descriptors_max)]; } control;
  struct iovec part = {.iov_base = (void *)bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.room;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
  }
  ssize_t sent;
  do sent = sendmsg(socket, &message, MSG_NOSIGNAL); while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

long ur_receive_descriptors(int socket, void *bytes, size_t length, int *descriptors, size_t *count) {
  union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int) * descriptors_max)]; } control;
  struct iovec part = {.iov_base = bytes, .iov_len = length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
  size_t room = *count;
  *count = 0;
  ssize_t received;
  do received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC); while (received < 0 && errno == EINTR);
  if (received < 0) return -errno;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t found = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int *numbers = (int *)CMSG_DATA(header);
    for (size_t i = 0; i < found; i++) {
      if (*count < room) descriptors[(*count)++] = numbers[i];
      else close(numbers[i]);
    }
  }
  return received;
}
