// The measured window of the generators that are one file each (handshake.c, streams.c): wall clock, own CPU time and the CPU
// time of the watched processes at both ends.
#pragma once
#include "histogram.h"
#include <errno.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WATCHED_MAX = 64 };

struct window {
  int watched[WATCHED_MAX];
  unsigned watched_count;
  uint64_t began_ns;
  double seconds, own_cpu_seconds, watched_cpu_seconds;
};

static inline uint64_t window_clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// User and system time of a process with all its threads, exact to the moment (clock_getcpuclockid(3)).
static inline double window_cpu_seconds(int pid) {
  clockid_t clock;
  struct timespec t;
  if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t)) return 0;
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static inline double window_watched(const struct window *w) {
  double sum = 0;
  for (unsigned i = 0; i < w->watched_count; i++) sum += window_cpu_seconds(w->watched[i]);
  return sum;
}

static inline void window_open(struct window *w) {
  w->watched_cpu_seconds = -window_watched(w);
  w->own_cpu_seconds = -window_cpu_seconds(0);
  w->began_ns = window_clock_ns();
}

static inline void window_close(struct window *w) {
  w->seconds = (double)(window_clock_ns() - w->began_ns) / 1e9;
  w->own_cpu_seconds += window_cpu_seconds(0);
  w->watched_cpu_seconds += window_watched(w);
}

// The fields that bench/run reads from every generator, without the closing brace.
static inline void window_print(const struct window *w, uint64_t requests, uint64_t errors, const struct histogram *latency) {
  printf("{\"requests\":%llu,\"errors\":%llu,\"seconds\":%.6f,\"rps\":%.1f", (unsigned long long)requests, (unsigned long long)errors,
         w->seconds, w->seconds > 0 ? (double)requests / w->seconds : 0);
  printf(",\"p50_us\":%.2f,\"p99_us\":%.2f,\"load_cpu_seconds\":%.6f,\"watched_cpu_seconds\":%.6f",
         (double)histogram_quantile(latency, .5) / 1000, (double)histogram_quantile(latency, .99) / 1000, w->own_cpu_seconds,
         w->watched_cpu_seconds);
}

static inline void window_watch(struct window *w, const char *text) {
  if (w->watched_count == WATCHED_MAX) {
    fprintf(stderr, "load: more than %d --watch\n", WATCHED_MAX);
    exit(2);
  }
  w->watched[w->watched_count++] = atoi(text);
}

static inline struct sockaddr_in window_address(const char *text) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  char host[64] = "";
  int port = 0;
  if (sscanf(text, "%63[0-9.]:%d", host, &port) != 2 || inet_pton(AF_INET, host, &a.sin_addr) != 1 || port < 1 || port > 65535) {
    fprintf(stderr, "load: the address must be HOST:PORT with an IPv4 address, not '%s'\n", text);
    exit(2);
  }
  a.sin_port = htons((uint16_t)port);
  return a;
}

static inline double window_number(const char *name, const char *text, double min, double max) {
  char *end;
  double v = strtod(text, &end);
  if (end != text && !*end && v >= min && v <= max) return v;
  fprintf(stderr, "load: %s must be %g...%g, not '%s'\n", name, min, max, text);
  exit(2);
}
