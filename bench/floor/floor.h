// What both floors share: options, the fixed response, the search for blank lines, the listener.
// A floor is the cheapest HTTP server that can be written honestly: it finds where each request ends and answers bytes
// made before. Single-threaded; everything here is owned by main() of the floor that includes it.
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct options {
  int port;
  size_t body_bytes;  // 0: the JSON of the other servers, {"status":"ok"}
  bool close;         // one request per connection
  bool malloc;        // allocate once per request, so that bench/alloc can be seen to fail
  const char *file;   // answer this file by sendfile(2)
};

static void die(const char *what) {
  fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
  exit(1);
}

static struct options parse_options(int argc, char **argv) {
  static const struct option table[] = {
    {"port", required_argument, 0, 'p'}, {"body-bytes", required_argument, 0, 'b'}, {"close", no_argument, 0, 'c'},
    {"malloc", no_argument, 0, 'm'},     {"file", required_argument, 0, 'f'},       {0}};
  struct options o = {.port = 8080};
  for (int c; (c = getopt_long(argc, argv, "", table, 0)) != -1;) {
    switch (c) {
      case 'p': o.port = atoi(optarg); break;
      case 'b': o.body_bytes = strtoull(optarg, 0, 10); break;
      case 'c': o.close = true; break;
      case 'm': o.malloc = true; break;
      case 'f': o.file = optarg; break;
      default:
        fprintf(stderr, "usage: %s [--port N] [--body-bytes N | --file PATH] [--close] [--malloc]\n", argv[0]);
        exit(2);
    }
  }
  if (o.close && o.file) {
    fprintf(stderr, "floor: --close and --file do not go together\n");
    exit(2);
  }
  signal(SIGPIPE, SIG_IGN);
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  return o;
}

// ---- the response ----------------------------------------------------------------------------------------------------

// The response repeated end to end, so that the answers to pipelined requests leave in one send without being copied.
// A connection's position in its endless stream of responses is a byte count modulo `length`.
struct response {
  char *bytes;
  size_t length;      // one response; with --file the head alone
  size_t total;       // a whole number of responses
  size_t date_at;     // offset of the 29-byte date within one response
  time_t date_second;
  int file;           // -1 without --file
  size_t file_bytes;
};

enum { RESPONSE_BUFFER_BYTES = 64 * 1024, DATE_BYTES = 29 };

static struct response make_response(const struct options *o) {
  struct response r = {.file = -1};
  size_t body_bytes = o->body_bytes;
  if (o->file) {
    r.file = open(o->file, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (r.file < 0 || fstat(r.file, &st) < 0) die(o->file);
    r.file_bytes = (size_t)st.st_size;
  }
  static const char json[] = "{\"status\":\"ok\"}";
  size_t announced = o->file ? r.file_bytes : body_bytes ? body_bytes : sizeof json - 1;
  char head[512];
  int n = snprintf(head, sizeof head,
                   "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nContent-Type: %s\r\nContent-Length: %zu\r\n%s\r\n",
                   o->file ? "application/octet-stream" : "application/json", announced,
                   o->close ? "Connection: close\r\n" : "");
  r.date_at = (size_t)(strstr(head, "Thu,") - head);
  size_t in_memory = o->file ? 0 : announced;
  r.length = (size_t)n + in_memory;
  size_t copies = r.length >= RESPONSE_BUFFER_BYTES ? 1 : RESPONSE_BUFFER_BYTES / r.length;
  r.total = copies * r.length;
  r.bytes = malloc(r.total);
  if (!r.bytes) die("malloc");
  memcpy(r.bytes, head, (size_t)n);
  if (!o->file) {
    if (body_bytes) memset(r.bytes + n, 'x', body_bytes);
    else memcpy(r.bytes + n, json, sizeof json - 1);
    if (body_bytes > 8) {  // still JSON, since the type says so
      memcpy(r.bytes + n, "{\"d\":\"", 6);
      memcpy(r.bytes + n + body_bytes - 2, "\"}", 2);
    }
  }
  for (size_t i = 1; i < copies; i++) memcpy(r.bytes + i * r.length, r.bytes, r.length);
  return r;
}

// Once per wake, at most once a second: a date that is right when it is sent, at a price that does not show.
static inline void refresh_date(struct response *r) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == r->date_second) return;
  r->date_second = now.tv_sec;
  struct tm tm;
  gmtime_r(&now.tv_sec, &tm);
  char date[64];
  strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
  for (size_t at = r->date_at; at < r->total; at += r->length) memcpy(r->bytes + at, date, DATE_BYTES);
}

// ---- where requests end ----------------------------------------------------------------------------------------------

// How many bytes of CR LF CR LF have been matched, carried from one receive to the next.
static inline unsigned blank_line_step(unsigned matched, char c) {
  if (c == '\n') return matched == 1 ? 2 : matched == 3 ? 4 : 0;
  if (c == '\r') return matched == 2 ? 3 : 1;
  return 0;
}

// Counts the blank lines in `p[0..<n]`. Within the text it looks at every fourth byte until one can belong to a blank line.
static inline unsigned count_blank_lines(const char *p, size_t n, unsigned *matched) {
  const char *end = p + n;
  unsigned found = 0, m = *matched;
  while (p < end && m != 0) {
    m = blank_line_step(m, *p++);
    if (m == 4) { found++; m = 0; }
  }
  while (end - p >= 4) {
    char c = p[3];
    if (c == '\n') {
      if (p[0] == '\r' && p[1] == '\n' && p[2] == '\r') { found++; p += 4; }
      else p += 2;
    } else if (c == '\r') {
      p += 1;
    } else {
      p += 4;
    }
  }
  while (p < end) {
    m = blank_line_step(m, *p++);
    if (m == 4) { found++; m = 0; }
  }
  *matched = m;
  return found;
}

// The allocation of --malloc. Volatile, or the compiler removes the pair.
static inline void allocate_for(unsigned requests) {
  for (unsigned i = 0; i < requests; i++) {
    void *volatile p = malloc(64);
    free(p);
  }
}

// ---- the listener ----------------------------------------------------------------------------------------------------

// TCP_NODELAY is inherited by accepted sockets. With --close the kernel hands a connection over when its request is here.
static int open_listener(const struct options *o, int extra_flags) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | extra_flags, 0);
  if (fd < 0) die("socket");
  int one = 1, seconds = 5;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (o->close) setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)o->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)&a, sizeof a) < 0) die("bind");
  if (listen(fd, 4096) < 0) die("listen");
  return fd;
}
