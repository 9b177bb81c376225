// The load generator's parts and what they call of each other. One thread; all state belongs to it.
//   options.c  the command line                    io_uring.c, io_epoll.c  the two ways of doing I/O, chosen at build time
//   load.c     phases and main()                   drive.c  what each connection does next, and what is counted
//   idle.c     additional connections that wait    report.c  the line of JSON, the text
//   response.c where responses end                 histogram.h  latencies
#pragma once
#include "histogram.h"
#include "response.h"
#include <sys/socket.h>
#include <time.h>

enum { CONNECTIONS_MAX = 65536, PIPELINE_MAX = 1024, WATCH_MAX = 64, REQUEST_BYTES_MAX = 16 * 1024 };

struct options {
  const char *address;    // HOST:PORT, IPv4
  const char *unix_path;  // instead of the address
  const char *path, *host;
  char headers[8192];     // "K: V\r\n" each
  unsigned connections, pipeline, idle;
  double seconds, warmup, timeout, rate;  // rate in requests per second over all connections; 0: closed loop
  uint64_t requests;      // stop after as many; 0: after `seconds`
  bool close, gate, hold, allow_vary, text, no_spin;
  int watch[WATCH_MAX];   // processes whose CPU time is read at both ends of the measured window
  unsigned watch_count;
};

enum error_kind { ERROR_CONNECT, ERROR_READ, ERROR_WRITE, ERROR_TIMEOUT, ERROR_STATUS, ERROR_PROTOCOL, ERROR_KINDS };

struct counts {
  uint64_t requests, errors[ERROR_KINDS], bytes, reconnects;
};

enum connection_state { CONNECTION_FREE, CONNECTION_CONNECTING, CONNECTION_OPEN };

struct connection {
  int fd;
  uint32_t generation;      // counts what the slot was used for, so that late completions are known as such
  enum connection_state state;
  unsigned in_flight;       // requests issued and not answered
  bool dirty;               // has bytes to hand to io_send
  bool answered_last;       // --close: the response is here, the server's close is not
  bool sending_rest;        // I/O layer: waits for room
  bool retry;               // connecting failed; tried again at the next tick
  uint64_t started_ns;      // closed loop: when the requests in flight were sent (with --close: when connecting began)
  uint64_t active_ns;       // last time something was sent or came, for the timeout
  uint64_t next, done;      // fixed rate: how many of this connection's arrivals were issued, answered
  uint64_t position, owed;  // in the endless stream of requests: given to the kernel; still to give
  size_t given;             // I/O layer: size of the last send
  struct response_parser parser;
};

struct load {
  struct options options;
  struct sockaddr_storage peer;
  socklen_t peer_bytes;
  char *requests;           // the request repeated, so that a pipeline is one send
  size_t request_bytes;
  struct connection *connections;
  struct counts counts;
  struct histogram latency;
  uint64_t first_length, varied, first_bad_status;
  bool issuing;             // new requests may be issued
  uint64_t limit;           // requests that may still be issued (--requests); UINT64_MAX without
  uint64_t schedule_ns;     // fixed rate: time of arrival 0
  uint64_t schedule_end_ns; // no arrival at or after it
  uint64_t arrivals;        // arrivals that have been handed to their connections
  uint64_t record_from_ns;  // fixed rate: arrivals due earlier are warm-up
  uint64_t in_flight;       // over all connections
  unsigned open;
  uint64_t now_ns;          // when the current batch of completions was taken
};

extern struct load load;

static inline uint64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

_Noreturn void fail(const char *what, int error);

// options.c
void parse_options(int argc, char **argv, struct options *o);

// The I/O layer. io_turn submits, waits until something happened or `deadline_ns`, and calls the on_ functions.
extern const char *const io_name;
void io_open(void);
void io_connect(struct connection *c);  // c->fd is a new socket
void io_send(struct connection *c);     // all that is owed; calls on_lost if it fails
void io_close(struct connection *c);    // nothing is heard of c's descriptor afterwards
void io_turn(uint64_t deadline_ns);

// drive.c, called by the I/O layer
void on_connected(struct connection *c, int error);
void on_data(struct connection *c, const char *p, size_t n);
void on_lost(struct connection *c, enum error_kind kind);
void on_end(struct connection *c);  // the server closed

// drive.c, called by load.c
int open_socket(void);
void drive_start(void);                 // opens all connections
void drive_kick(void);                  // lets every connection issue what it may
void drive_arrivals(uint64_t now_ns);   // fixed rate: hands out what is due
uint64_t drive_next_arrival_ns(void);   // UINT64_MAX when there is none
void drive_flush(void);                 // hands everything owed to the I/O layer
void drive_tick(uint64_t now_ns);       // timeouts, connections to try again
bool drive_is_behind(void);             // fixed rate: something that was due before the end is unanswered
void drive_abandon(uint64_t now_ns);    // fixed rate: what is still unanswered counts as timed out

// idle.c
unsigned idle_open(void);
unsigned idle_lost(void);

// report.c
struct result {
  double seconds, load_cpu_seconds;
  double watched_cpu_seconds[WATCH_MAX];
  unsigned idle, idle_lost;
};
void report(const struct result *r);
