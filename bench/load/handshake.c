// TLS handshakes as load: N connections at a time, each connects, shakes hands, optionally makes one HTTP/1.1 request, closes
// properly and begins again. One thread, epoll. What matters is what the server spends (--watch); the client's own work, which
// for a full handshake is more than the server's, only has to keep the server from sleeping too long.
//
// Per connection:
//   HANDSHAKE -> (REQUEST ->) CLOSING -> next
//   CLOSING  close_notify and FIN are sent, behind the client's Finished; tickets are read until the server closes as well
#define _GNU_SOURCE 1
#include "response.h"
#include "tls.h"
#include "window.h"
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { SLOTS_MAX = 4096, TIMEOUT_MS = 5000 };

enum slot_state { SLOT_HANDSHAKE, SLOT_REQUEST, SLOT_CLOSING };

struct slot {
  int fd;
  enum slot_state state;
  SSL *ssl;
  struct tls_session kept;
  bool seeded;  // had a session to offer, or needs none: its handshakes count
  uint64_t began_ns, shaken_ns;
  struct response_parser parser;
};

static struct options {
  struct sockaddr_in address;
  unsigned connections;
  double seconds, warmup;
  int version;
  enum tls_resumption resumption;
  const char *request_path;  // 0: no request
} options = {.connections = 16, .seconds = 2, .version = TLS1_3_VERSION};

static struct slot slots[SLOTS_MAX];
static unsigned unseeded;
static int epoll_fd;
static SSL_CTX *context;
static struct window window;
static struct histogram latency;
static uint64_t done, full, resumed, wrong_mode, failed, resets;
static uint64_t consecutive_failures;  // none succeeds: it is no use to go on
static char request[1024];
static char cipher[64];

static void begin(struct slot *s);

// ---- one connection ends ---------------------------------------------------------------------------------------------

// When the server's close_notify is missing, OpenSSL forgets that ours was sent, and SSL_free would then mark the session as not
// resumable.
static void release(struct slot *s) {
  SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(s->ssl);
  close(s->fd);
  s->ssl = 0;
}

static void give_up(struct slot *s, const char *what) {
  failed++;
  if (failed == 1) {
    const char *reason = ERR_reason_error_string(ERR_peek_error());
    fprintf(stderr, "load: the first failed connection: %s: %s\n", what, reason ? reason : strerror(errno));
  }
  if (++consecutive_failures > 3 * options.connections + 20) {
    fprintf(stderr, "load: no connection succeeds\n");
    exit(1);
  }
  ERR_clear_error();
  release(s);
  begin(s);
}

static void finish(struct slot *s) {
  consecutive_failures = 0;
  if (s->seeded) {
    done++;
    histogram_add(&latency, s->shaken_ns - s->began_ns, 1);
    bool reused = SSL_session_reused(s->ssl);
    *(reused ? &resumed : &full) += 1;
    if (!tls_as_wanted(s->ssl, options.resumption)) wrong_mode++;
  } else if (s->kept.session) {
    s->seeded = true;
    unseeded--;
  } else {
    give_up(s, "the server issues no session that could be resumed");
    return;
  }
  release(s);
  begin(s);
}

// ---- steps; each is repeated when the socket has news ----------------------------------------------------------------

static bool would_block(struct slot *s, int result) {
  int e = SSL_get_error(s->ssl, result);
  return e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE;
}

// Tickets of TLS 1.3 come after the handshake, and only now is it known that the server took the client's Finished: an alert
// is a failure. After its close_notify the server owes the FIN.
static void closing(struct slot *s) {
  char bytes[4096];
  int n;
  while ((n = SSL_read(s->ssl, bytes, sizeof bytes)) > 0) {}
  int error = SSL_get_error(s->ssl, n);
  if (error == SSL_ERROR_WANT_READ) return;
  if (error == SSL_ERROR_SSL) {
    give_up(s, "after the handshake");
    return;
  }
  ssize_t rest;
  while ((rest = recv(s->fd, bytes, sizeof bytes, 0)) > 0) {}
  if (rest < 0 && errno == EAGAIN) return;
  if (rest < 0) resets++;  // a server that closes without reading our close_notify resets; the handshake was complete
  finish(s);
}

static void begin_closing(struct slot *s) {
  s->state = SLOT_CLOSING;
  SSL_shutdown(s->ssl);
  shutdown(s->fd, SHUT_WR);
  closing(s);
}

static void await_response(struct slot *s) {
  char bytes[16384];
  for (;;) {
    int n = SSL_read(s->ssl, bytes, sizeof bytes);
    if (n <= 0 && would_block(s, n)) return;
    if (n <= 0) {
      give_up(s, "the connection ended before the response");
      return;
    }
    size_t used;
    enum response_result r = response_parse(&s->parser, bytes, (size_t)n, &used);
    if (r == RESPONSE_MORE) continue;
    if (r == RESPONSE_DONE && s->parser.status == 200) begin_closing(s);
    else give_up(s, "the response is not 200");
    return;
  }
}

static void shaken(struct slot *s) {
  s->shaken_ns = window_clock_ns();
  if (!cipher[0]) snprintf(cipher, sizeof cipher, "%s %s", SSL_get_version(s->ssl), SSL_get_cipher_name(s->ssl));
  if (options.request_path) {
    s->state = SLOT_REQUEST;
    int n = SSL_write(s->ssl, request, (int)strlen(request));
    if (n == (int)strlen(request)) await_response(s);
    else give_up(s, "the request could not be sent");
  } else {
    begin_closing(s);
  }
}

static void handshake(struct slot *s) {
  int n = SSL_do_handshake(s->ssl);
  if (n == 1) shaken(s);
  else if (!would_block(s, n)) give_up(s, "handshake");
}

static void progress(struct slot *s) {
  switch (s->state) {
    case SLOT_HANDSHAKE: handshake(s); break;
    case SLOT_REQUEST: await_response(s); break;
    case SLOT_CLOSING: closing(s); break;
  }
}

// Edge-triggered for both directions: one epoll_ctl per connection, and every step reads until it would block. The handshake
// begins with the first event, when the connection is there.
static void begin(struct slot *s) {
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int one = 1;
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = s};
  if (s->fd < 0 || setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
      (connect(s->fd, (struct sockaddr *)&options.address, sizeof options.address) && errno != EINPROGRESS)) {
    fprintf(stderr, "load: connect: %s\n", strerror(errno));
    exit(1);
  }
  s->state = SLOT_HANDSHAKE;
  s->parser = (struct response_parser){.head = s->parser.head};
  s->ssl = SSL_new(context);
  if (!s->ssl || !SSL_set_fd(s->ssl, s->fd)) tls_fail("SSL_new");
  SSL_set_connect_state(s->ssl);
  SSL_set_tlsext_host_name(s->ssl, "localhost");
  tls_resume(s->ssl, &s->kept, options.resumption);
  s->began_ns = window_clock_ns();
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &e)) {
    fprintf(stderr, "load: epoll_ctl: %s\n", strerror(errno));
    exit(1);
  }
}

// ---- phases ----------------------------------------------------------------------------------------------------------

// A slot has one descriptor, closed at the end of its turn, and at most one event per wait: an event never meets a successor.
static void turn(void) {
  struct epoll_event events[256];
  int n = epoll_wait(epoll_fd, events, 256, 100);
  for (int i = 0; i < n; i++) progress(events[i].data.ptr);
  uint64_t now = window_clock_ns();
  if (n > 0) return;
  for (unsigned i = 0; i < options.connections; i++) {
    errno = ETIMEDOUT;
    if (now > slots[i].began_ns + TIMEOUT_MS * 1000000ull) give_up(&slots[i], "no progress");
  }
}

static void run(double seconds) {
  uint64_t until = window_clock_ns() + (uint64_t)(seconds * 1e9);
  while (window_clock_ns() < until) turn();
}

static void clear_counts(void) {
  done = full = resumed = wrong_mode = failed = resets = 0;
  memset(&latency, 0, sizeof latency);
}

static const char usage[] =
  "usage: handshake [options] HOST:PORT\n"
  "  --connections N   at a time (default 16)            --duration S   measured seconds (default 2)\n"
  "  --tls 1.2|1.3     exactly this version (1.3)        --warmup S     unmeasured seconds before (default 0)\n"
  "  --resumption full|psk|ticket|session-id             what each handshake must be (full); others count as errors\n"
  "  --request PATH    one HTTP/1.1 request each         --watch PID    report PID's CPU time in the window (repeatable)\n";

static void parse_options(int argc, char **argv) {
  static const struct option table[] = {{"connections", 1, 0, 'n'}, {"duration", 1, 0, 'd'}, {"warmup", 1, 0, 'w'},  {"tls", 1, 0, 't'},
                                        {"resumption", 1, 0, 'r'},  {"request", 1, 0, 'q'},  {"watch", 1, 0, 'W'}, {0}};
  for (int c; (c = getopt_long(argc, argv, "", table, 0)) != -1;) {
    switch (c) {
      case 'n': options.connections = (unsigned)window_number("--connections", optarg, 1, SLOTS_MAX); break;
      case 'd': options.seconds = window_number("--duration", optarg, 0.01, 86400); break;
      case 'w': options.warmup = window_number("--warmup", optarg, 0, 3600); break;
      case 't': options.version = tls_version_named(optarg); break;
      case 'r': options.resumption = tls_resumption_named(optarg); break;
      case 'q': options.request_path = optarg; break;
      case 'W': window_watch(&window, optarg); break;
      default: fputs(usage, stderr); exit(2);
    }
  }
  if (optind != argc - 1 || (options.version == TLS1_3_VERSION && options.resumption > TLS_PSK) ||
      (options.version == TLS1_2_VERSION && options.resumption == TLS_PSK)) {
    fputs(usage, stderr);
    exit(2);
  }
  options.address = window_address(argv[optind]);
}

int main(int argc, char **argv) {
  parse_options(argc, argv);
  signal(SIGPIPE, SIG_IGN);
  if (options.request_path)
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", options.request_path);
  context = tls_client(options.version, options.resumption, "\x08http/1.1");
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  for (unsigned i = 0; i < options.connections; i++) {
    slots[i].seeded = options.resumption == TLS_FULL;
    unseeded += !slots[i].seeded;
    begin(&slots[i]);
  }
  while (unseeded) turn();
  run(options.warmup);
  clear_counts();
  window_open(&window);
  run(options.seconds);
  window_close(&window);
  window_print(&window, done, failed + wrong_mode, &latency);
  printf(",\"full\":%llu,\"resumed\":%llu,\"wrong_mode\":%llu,\"failed\":%llu,\"resets\":%llu,\"cipher\":\"%s\",\"response_bytes\":0}\n",
         (unsigned long long)full, (unsigned long long)resumed, (unsigned long long)wrong_mode, (unsigned long long)failed,
         (unsigned long long)resets, cipher);
  if (wrong_mode) fprintf(stderr, "load: %llu handshakes were not what --resumption asks for\n", (unsigned long long)wrong_mode);
  return done && !wrong_mode && !failed ? 0 : 1;
}
