// A load generator that is light enough not to be what is measured: one thread, many connections, no work per response
// beyond finding its end. Phases: open the idle connections, connect, warm up, (gate,) measure, report.
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

struct load load;

enum { TICK_NS = 50 * 1000 * 1000, SPIN_NS = 200 * 1000 };

void fail(const char *what, int error) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(error));
  exit(1);
}

// ---- set-up ----------------------------------------------------------------------------------------------------------

static void resolve(const struct options *o) {
  if (o->unix_path) {
    struct sockaddr_un *u = (struct sockaddr_un *)&load.peer;
    if (strlen(o->unix_path) >= sizeof u->sun_path) fail(o->unix_path, ENAMETOOLONG);
    u->sun_family = AF_UNIX;
    strcpy(u->sun_path, o->unix_path);
    load.peer_bytes = sizeof *u;
    return;
  }
  char host[64];
  const char *colon = strrchr(o->address, ':');
  struct sockaddr_in *a = (struct sockaddr_in *)&load.peer;
  a->sin_family = AF_INET;
  load.peer_bytes = sizeof *a;
  size_t n = colon ? (size_t)(colon - o->address) : 0;
  if (!n || n >= sizeof host) fail("the address must be HOST:PORT with an IPv4 address", EINVAL);
  memcpy(host, o->address, n);
  host[n] = 0;
  int port = atoi(colon + 1);
  if (inet_pton(AF_INET, host, &a->sin_addr) != 1 || port < 1 || port > 65535)
    fail("the address must be HOST:PORT with an IPv4 address", EINVAL);
  a->sin_port = htons((uint16_t)port);
}

static void make_requests(const struct options *o) {
  static char one[REQUEST_BYTES_MAX];
  int n = snprintf(one, sizeof one, "GET %s HTTP/1.1\r\nHost: %s\r\n%s%s\r\n", o->path, o->host, o->headers,
                   o->close ? "Connection: close\r\n" : "");
  if (n < 0 || (size_t)n >= sizeof one) fail("the request", E2BIG);
  load.request_bytes = (size_t)n;
  size_t copies = o->pipeline;
  load.requests = malloc(copies * load.request_bytes);
  if (!load.requests) fail("malloc", ENOMEM);
  for (size_t i = 0; i < copies; i++) memcpy(load.requests + i * load.request_bytes, one, load.request_bytes);
}

static void raise_descriptor_limit(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// ---- clocks ----------------------------------------------------------------------------------------------------------

// User and system time of a process with all its threads, in nanoseconds, exact to the moment (clock_getcpuclockid(3)).
static double cpu_seconds(int pid) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) return 0;
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct result window;
static uint64_t window_began_ns;

static void window_begin(void) {
  memset(&load.counts, 0, sizeof load.counts);
  memset(&load.latency, 0, sizeof load.latency);
  for (unsigned i = 0; i < load.options.watch_count; i++) window.watched_cpu_seconds[i] = -cpu_seconds(load.options.watch[i]);
  window.load_cpu_seconds = -cpu_seconds(0);
  window_began_ns = clock_ns();
}

static void window_end(void) {
  window.seconds = (double)(clock_ns() - window_began_ns) / 1e9;
  window.load_cpu_seconds += cpu_seconds(0);
  for (unsigned i = 0; i < load.options.watch_count; i++) window.watched_cpu_seconds[i] += cpu_seconds(load.options.watch[i]);
}

// ---- phases ----------------------------------------------------------------------------------------------------------

static uint64_t next_tick_ns;

// One turn of the loop; `until` bounds the wait.
static void turn(uint64_t until) {
  drive_flush();
  uint64_t deadline = until < next_tick_ns ? until : next_tick_ns;
  uint64_t arrival = drive_next_arrival_ns();
  if (arrival < deadline) deadline = arrival;
  // A sleep that ends for an arrival ends late, which would count as the server's latency: the last stretch is spun.
  uint64_t now = clock_ns();
  if (!load.options.no_spin && arrival == deadline && arrival != UINT64_MAX) deadline = arrival > now + SPIN_NS ? arrival - SPIN_NS : now;
  io_turn(deadline);
  if (load.options.rate > 0) drive_arrivals(load.now_ns);
  if (load.now_ns >= next_tick_ns) {
    drive_tick(load.now_ns);
    next_tick_ns = load.now_ns + TICK_NS;
  }
}

static void connect_all(void) {
  uint64_t until = clock_ns() + (uint64_t)(load.options.timeout * 1e9);
  load.now_ns = clock_ns();
  drive_start();
  while (!load.options.close && load.open < load.options.connections) {
    turn(until);
    if (load.now_ns < until) continue;
    fprintf(stderr, "load: only %u of %u connections could be opened\n", load.open, load.options.connections);
    exit(1);
  }
}

static void schedule_from_now(double seconds) {
  load.schedule_ns = clock_ns();
  load.schedule_end_ns = load.schedule_ns + (uint64_t)(seconds * 1e9);
  load.arrivals = 0;
  for (unsigned i = 0; i < load.options.connections; i++) load.connections[i].next = load.connections[i].done = 0;
}

static void begin_issuing(double seconds) {
  load.issuing = true;
  load.now_ns = clock_ns();
  schedule_from_now(seconds);
  if (load.options.rate <= 0) drive_kick();
}

static void run_until(uint64_t until) {
  do turn(until);
  while (load.now_ns < until);
}

static void finish_in_flight(void) {
  uint64_t until = clock_ns() + (uint64_t)(load.options.timeout * 2e9);
  while (load.in_flight && load.now_ns < until) turn(until);
}

// Everything is answered, then someone outside attaches probes or reads memory, then it goes on.
static void wait_at_gate(void) {
  fprintf(stderr, "ready\n");
  fflush(stderr);
  char line[16];
  if (read(STDIN_FILENO, line, sizeof line) < 0) fail("standard input", errno);
}

static void wait_for_end_of_input(void) {
  char bytes[256];
  while (read(STDIN_FILENO, bytes, sizeof bytes) > 0) {}
}

static void measure_closed(const struct options *o) {
  if (!load.issuing) {
    load.limit = o->requests ? o->requests : UINT64_MAX;
    window_begin();
    begin_issuing(0);
  } else {
    window_begin();
  }
  uint64_t until = window_began_ns + (uint64_t)(o->seconds * 1e9);
  if (!o->requests) {
    run_until(until);
  } else {
    while (load.limit || load.in_flight) turn(UINT64_MAX);
  }
  window_end();
}

// The schedule covers warm-up and window in one, so that nothing is special about the window's first request.
static void measure_rate(const struct options *o) {
  begin_issuing(o->warmup + o->seconds);
  load.record_from_ns = load.schedule_ns + (uint64_t)(o->warmup * 1e9);
  if (o->warmup > 0) run_until(load.record_from_ns);
  window_begin();
  run_until(load.schedule_end_ns);
  uint64_t until = load.schedule_end_ns + (uint64_t)(o->timeout * 1e9);
  // A connection that is behind still issues what was due within the window.
  while (drive_is_behind() && load.now_ns < until) turn(until);
  load.issuing = false;
  window_end();
  drive_abandon(clock_ns());
}

int main(int argc, char **argv) {
  struct options *o = &load.options;
  parse_options(argc, argv, o);
  signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  resolve(o);
  make_requests(o);
  load.connections = calloc(o->connections + 1, sizeof *load.connections);
  if (!load.connections) fail("calloc", ENOMEM);
  window.idle = o->idle ? idle_open() : 0;
  if (o->hold) {
    fprintf(stderr, "ready\n");
    wait_for_end_of_input();
  } else {
    io_open();
    load.limit = UINT64_MAX;
    connect_all();
    if (o->rate > 0) {
      if (o->gate) wait_at_gate();
      measure_rate(o);
    } else {
      if (o->warmup > 0) {
        begin_issuing(0);
        run_until(clock_ns() + (uint64_t)(o->warmup * 1e9));
      }
      if (o->gate || o->requests) {
        load.issuing = false;
        finish_in_flight();
      }
      if (o->gate) wait_at_gate();
      measure_closed(o);
    }
  }
  window.idle_lost = idle_lost();
  report(&window);
  if (o->gate) wait_for_end_of_input();
  bool failed = window.idle < o->idle || (!o->hold && !load.counts.requests);
  return failed ? 1 : 0;
}
