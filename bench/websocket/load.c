// Load for bench/websocket/echo: connections that send so many messages at once, and the next when all are back. One thread.
// Usage: load PORT CONNECTIONS AT-ONCE BYTES SECONDS PATH [idle]      prints how many messages came back; `idle`: opens the sockets, prints `open`, and waits for
// the end of its standard input
#define _GNU_SOURCE 1
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
  perror(what);
  exit(1);
}

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static int open_socket(int port, const char *path) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  char request[1024];
  int length = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n", path);
  if (length >= (int)sizeof request || write(fd, request, length) != length) die("write");
  char answer[4096];
  size_t got = 0;
  while (got < 4 || memcmp(answer + got - 4, "\r\n\r\n", 4)) {
    ssize_t n = read(fd, answer + got, 1);
    if (n <= 0 || ++got == sizeof answer) die("handshake");
  }
  if (memcmp(answer, "HTTP/1.1 101", 12)) die("no 101");
  return fd;
}

int main(int argc, char **argv) {
  if (argc < 7) return 2;
  int port = atoi(argv[1]), connections = atoi(argv[2]), at_once = atoi(argv[3]), bytes = atoi(argv[4]);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  // One masked binary message, as often as it is sent at once.
  size_t head = bytes < 126 ? 6 : 8, back = (bytes < 126 ? 2 : 4) + (size_t)bytes;
  size_t run = (head + bytes) * at_once;
  uint8_t *out = malloc(run), *in = malloc(1 << 20);
  for (int i = 0; i < at_once; i++) {
    uint8_t *frame = out + i * (head + bytes);
    frame[0] = 0x82;
    frame[1] = 0x80 | (bytes < 126 ? bytes : 126);
    if (bytes >= 126) frame[2] = bytes >> 8, frame[3] = bytes & 255;
    memcpy(frame + head - 4, "\x01\x02\x03\x04", 4);
    for (int j = 0; j < bytes; j++) frame[head + j] = (uint8_t)(j * 7) ^ (uint8_t)(1 + (j & 3));
  }
  int *fds = calloc(connections, sizeof *fds), poller = epoll_create1(0);
  size_t *left = calloc(connections, sizeof *left);
  for (int i = 0; i < connections; i++) {
    fds[i] = open_socket(port, argv[6]);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
    epoll_ctl(poller, EPOLL_CTL_ADD, fds[i], &event);
  }
  if (argc > 7) {
    puts("open");
    fflush(stdout);
    char byte;
    return read(0, &byte, 1) < 0;
  }
  for (int i = 0; i < connections; i++) {
    left[i] = back * at_once;
    if (write(fds[i], out, run) != (ssize_t)run) die("write");
  }
  uint64_t messages = 0;
  double end = seconds() + atof(argv[5]);
  while (seconds() < end) {
    struct epoll_event events[256];
    int count = epoll_wait(poller, events, 256, 100);
    for (int e = 0; e < count; e++) {
      int i = events[e].data.u32;
      ssize_t n = read(fds[i], in, 1 << 20);
      if (n <= 0) die("read");
      if ((size_t)n > left[i]) die("more came back than was sent");
      if ((left[i] -= n)) continue;
      messages += at_once;
      left[i] = back * at_once;
      if (write(fds[i], out, run) != (ssize_t)run) die("write");
    }
  }
  printf("%llu\n", (unsigned long long)messages);
}
