// Additional connections that stay silent. Each makes one request first, so that the server has done for it whatever it
// does for a connection, and then waits. Opened one after the other, by blocking calls, before anything is measured.
#include "load.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

// One source address has about 28,000 ephemeral ports; connections beyond this go out from 127.0.0.2, 127.0.0.3 and so on.
enum { PER_SOURCE_ADDRESS = 25000 };
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static int *idle_fds;
static unsigned idle_count;

static void bind_source(int fd, unsigned index) {
  unsigned source = index / PER_SOURCE_ADDRESS;
  if (!source || load.peer.ss_family != AF_INET) return;
  int one = 1;
  setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + source)};
  if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0) fail("bind of an idle connection's source address", errno);
}

static bool request_once(int fd) {
  if (send(fd, load.requests, load.request_bytes, MSG_NOSIGNAL) != (ssize_t)load.request_bytes) return false;
  struct response_parser parser = {0};
  enum response_result result = RESPONSE_MORE;
  char bytes[16 * 1024];
  while (result == RESPONSE_MORE) {
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0) break;
    size_t used;
    result = response_parse(&parser, bytes, (size_t)n, &used);
  }
  free(parser.head);
  return result == RESPONSE_DONE;
}

// Stops at the first that fails: how many there are is part of the result.
unsigned idle_open(void) {
  idle_fds = calloc(load.options.idle + 1, sizeof *idle_fds);
  if (!idle_fds) fail("calloc", ENOMEM);
  while (idle_count < load.options.idle) {
    int fd = open_socket();
    bind_source(fd, idle_count);
    struct timeval patience = {.tv_sec = 5};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&load.peer, load.peer_bytes) < 0 || !request_once(fd)) {
      fprintf(stderr, "load: idle connection %u of %u failed: %s\n", idle_count + 1, load.options.idle, strerror(errno));
      close(fd);
      break;
    }
    idle_fds[idle_count++] = fd;
  }
  return idle_count;
}

// How many of them the server has closed meanwhile.
unsigned idle_lost(void) {
  unsigned lost = 0;
  for (unsigned i = 0; i < idle_count; i++) {
    char byte;
    ssize_t n = recv(idle_fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (n >= 0 || errno != EAGAIN) lost++;
  }
  return lost;
}
