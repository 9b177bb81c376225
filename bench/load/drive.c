// What each connection does next, and what is counted. Closed loop: a connection sends its pipeline, and again when all of
// it was answered. Fixed rate: arrival i is due at i/R and belongs to connection i mod N, whether or not that is free.
#include "load.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static unsigned dirty[CONNECTIONS_MAX], dirty_count;

static unsigned index_of(const struct connection *c) { return (unsigned)(c - load.connections); }

// When the connection's arrival number `k` is due.
static uint64_t due_ns(const struct connection *c, uint64_t k) {
  double i = (double)index_of(c) + (double)k * (double)load.options.connections;
  return load.schedule_ns + (uint64_t)(i * 1e9 / load.options.rate);
}

int open_socket(void) {
  int fd = socket(load.peer.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket (is ulimit -n high enough?)", errno);
  int one = 1;
  if (load.peer.ss_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void start_connecting(struct connection *c) {
  c->fd = open_socket();
  c->generation++;
  c->state = CONNECTION_CONNECTING;
  c->answered_last = c->sending_rest = c->retry = false;
  c->position = c->owed = 0;
  char *head = c->parser.head;
  c->parser = (struct response_parser){.head = head};
  c->active_ns = load.now_ns;
  io_connect(c);
}

static void owe(struct connection *c, unsigned requests) {
  c->owed += requests * (uint64_t)load.request_bytes;
  if (c->dirty) return;
  c->dirty = true;
  dirty[dirty_count++] = index_of(c);
}

// How many requests the connection may issue now.
static unsigned may_issue(const struct connection *c) {
  if (!load.issuing) return 0;
  if (load.options.rate > 0) {
    unsigned n = 0;
    while (c->in_flight + n < load.options.pipeline) {
      uint64_t due = due_ns(c, c->next + n);
      if (due > load.now_ns || due >= load.schedule_end_ns) break;
      n++;
    }
    return n;
  }
  if (c->in_flight) return 0;
  return load.limit < load.options.pipeline ? (unsigned)load.limit : load.options.pipeline;
}

static void issue(struct connection *c) {
  if (c->answered_last || c->state == CONNECTION_CONNECTING || c->retry) return;
  if (load.options.close && c->in_flight) return;
  unsigned n = may_issue(c);
  if (!n) return;
  c->in_flight += n;
  c->next += n;
  load.in_flight += n;
  if (load.limit != UINT64_MAX) load.limit -= n;
  if (c->state == CONNECTION_OPEN) {
    owe(c, n);
    return;
  }
  c->started_ns = clock_ns();
  start_connecting(c);
}

static bool recorded(const struct connection *c, uint64_t *began) {
  if (load.options.rate <= 0) {  // the counts were cleared when the window began
    *began = c->started_ns;
    return true;
  }
  *began = due_ns(c, c->done);
  return *began >= load.record_from_ns;
}

// The requests in flight will not be answered.
static void give_up(struct connection *c, enum error_kind kind) {
  uint64_t began;
  unsigned n = c->in_flight;
  if (n) {
    for (unsigned i = 0; i < n; i++) {
      if (recorded(c, &began)) load.counts.errors[kind]++;
      c->done++;
    }
  } else if (kind == ERROR_CONNECT) {
    load.counts.errors[kind]++;
  }
  load.in_flight -= n;
  c->in_flight = 0;
}

static void disconnect(struct connection *c) {
  if (c->state == CONNECTION_OPEN) load.open--;
  if (c->state != CONNECTION_FREE) io_close(c);
  c->state = CONNECTION_FREE;
  c->owed = 0;
}

static void reconnect(struct connection *c) {
  disconnect(c);
  c->answered_last = false;
  if (load.options.close) issue(c);
  else start_connecting(c);
}

void on_connected(struct connection *c, int error) {
  if (error) {
    give_up(c, ERROR_CONNECT);
    disconnect(c);
    c->retry = true;
    return;
  }
  c->state = CONNECTION_OPEN;
  load.open++;
  if (c->in_flight) owe(c, c->in_flight);
  else issue(c);
}

static void count_answer(struct connection *c) {
  uint64_t began;
  const struct response_parser *r = &c->parser;
  c->in_flight--;
  load.in_flight--;
  bool counts = recorded(c, &began);
  c->done++;
  if (!load.first_length) load.first_length = r->length;
  if (r->length != load.first_length) load.varied++;
  if (!counts) return;
  load.counts.requests++;
  load.counts.bytes += r->length;
  histogram_add(&load.latency, load.now_ns > began ? load.now_ns - began : 0, 1);
  if (r->status < 200 || r->status > 299) {
    load.counts.errors[ERROR_STATUS]++;
    if (!load.first_bad_status) load.first_bad_status = r->status;
  }
}

void on_data(struct connection *c, const char *p, size_t n) {
  c->active_ns = load.now_ns;
  while (n) {
    if (!c->in_flight) {  // bytes nobody asked for
      load.counts.errors[ERROR_PROTOCOL]++;
      reconnect(c);
      return;
    }
    size_t used;
    enum response_result result = response_parse(&c->parser, p, n, &used);
    p += used;
    n -= used;
    if (result == RESPONSE_MORE) return;
    if (result == RESPONSE_BAD) {
      give_up(c, ERROR_PROTOCOL);
      reconnect(c);
      return;
    }
    count_answer(c);
    if (load.options.close) {
      c->answered_last = true;
    } else if (c->parser.closes) {
      load.counts.reconnects++;
      give_up(c, ERROR_READ);
      reconnect(c);
      return;
    }
  }
  issue(c);
}

void on_end(struct connection *c) {
  if (c->in_flight && response_ended_by_close(&c->parser)) {
    c->parser.state = RESPONSE_HEAD;
    count_answer(c);
  } else if (c->in_flight) {
    give_up(c, ERROR_READ);
  }
  if (!load.options.close) load.counts.reconnects++;
  reconnect(c);
}

void on_lost(struct connection *c, enum error_kind kind) {
  give_up(c, kind);
  if (!load.options.close) load.counts.reconnects++;
  reconnect(c);
}

void drive_start(void) {
  for (unsigned i = 0; i < load.options.connections; i++)
    if (!load.options.close) start_connecting(&load.connections[i]);
}

void drive_kick(void) {
  for (unsigned i = 0; i < load.options.connections; i++) issue(&load.connections[i]);
}

void drive_arrivals(uint64_t now) {
  if (!load.issuing || now < load.schedule_ns) return;
  unsigned n = load.options.connections;
  uint64_t due = (uint64_t)((double)(now - load.schedule_ns) * load.options.rate / 1e9) + 1;
  if (due > load.arrivals + n) load.arrivals = due - n;  // each connection once is enough: it takes all that is due to it
  for (; load.arrivals < due; load.arrivals++) issue(&load.connections[load.arrivals % n]);
}

uint64_t drive_next_arrival_ns(void) {
  if (!load.issuing || load.options.rate <= 0) return UINT64_MAX;
  uint64_t at = load.schedule_ns + (uint64_t)((double)load.arrivals * 1e9 / load.options.rate);
  return at < load.schedule_end_ns ? at : UINT64_MAX;
}

void drive_flush(void) {
  if (!dirty_count) return;
  uint64_t now = clock_ns();
  // A send that fails at once makes its connection connect anew, which dirties nothing before the next turn.
  for (unsigned i = 0; i < dirty_count; i++) {
    struct connection *c = &load.connections[dirty[i]];
    c->dirty = false;
    if (c->state != CONNECTION_OPEN || !c->owed) continue;
    if (!load.options.close) c->started_ns = now;
    c->active_ns = now;
    if (!c->sending_rest) io_send(c);
  }
  dirty_count = 0;
}

void drive_tick(uint64_t now) {
  uint64_t patience = (uint64_t)(load.options.timeout * 1e9);
  for (unsigned i = 0; i < load.options.connections; i++) {
    struct connection *c = &load.connections[i];
    if (c->retry) {
      c->retry = false;
      if (load.options.close) issue(c);
      else start_connecting(c);
      continue;
    }
    bool waits = c->in_flight || c->answered_last || c->state == CONNECTION_CONNECTING;
    if (!waits || now < c->active_ns + patience) continue;
    // A server that answered and never closes is at fault as well (--close).
    if (c->answered_last) load.counts.errors[ERROR_TIMEOUT]++;
    give_up(c, c->state == CONNECTION_CONNECTING ? ERROR_CONNECT : ERROR_TIMEOUT);
    reconnect(c);
  }
}

bool drive_is_behind(void) {
  for (unsigned i = 0; i < load.options.connections; i++)
    if (due_ns(&load.connections[i], load.connections[i].done) < load.schedule_end_ns) return true;
  return false;
}

void drive_abandon(uint64_t now) {
  for (unsigned i = 0; i < load.options.connections; i++) {
    struct connection *c = &load.connections[i];
    for (uint64_t due; (due = due_ns(c, c->done)) < load.schedule_end_ns; c->done++) {
      if (due < load.record_from_ns) continue;
      load.counts.errors[ERROR_TIMEOUT]++;
      histogram_add(&load.latency, now - due, 1);  // at least so long
    }
  }
}
