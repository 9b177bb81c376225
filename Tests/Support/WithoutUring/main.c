// without-uring ERRNO PROGRAM [ARGUMENT…]: runs a program to which io_uring's three calls answer ERRNO, as container runtimes' default seccomp
// profiles do: 1 (EPERM, Docker since 25) or 38 (ENOSYS). For tests; the program cannot undo it.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

// The same numbers on every architecture: io_uring is younger than the common table.
enum { io_uring_setup_number = 425, io_uring_register_number = 427 };

int main(int count, char **arguments) {
  int code = count > 2 ? atoi(arguments[1]) : 0;
  if (code <= 0 || code > 4095) {
    fprintf(stderr, "usage: without-uring ERRNO PROGRAM [ARGUMENT...]\n");
    return 64;
  }
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, io_uring_setup_number, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, io_uring_register_number, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)code),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    perror("without-uring: installing the filter");
    return 1;
  }
  execvp(arguments[2], arguments + 2);
  perror(arguments[2]);
  return 1;
}
