#include "load.h"
#include <stdio.h>

static const char *const kinds[ERROR_KINDS] = {"connect", "read", "write", "timeout", "status", "protocol"};

static double quantile_us(double q) { return (double)histogram_quantile(&load.latency, q) / 1000; }

static void print_text(const struct result *r, uint64_t errors) {
  const struct counts *c = &load.counts;
  fprintf(stderr, "%llu requests in %.3f s: %.0f/s, %.1f MB/s, %llu errors\n", (unsigned long long)c->requests, r->seconds,
          (double)c->requests / r->seconds, (double)c->bytes / r->seconds / 1e6, (unsigned long long)errors);
  fprintf(stderr, "latency µs: p50 %.1f  p90 %.1f  p99 %.1f  p99.9 %.1f  max %.1f\n", quantile_us(.5), quantile_us(.9), quantile_us(.99),
          quantile_us(.999), (double)load.latency.max / 1000);
  for (unsigned i = 0; i < load.options.watch_count; i++)
    fprintf(stderr, "process %d: %.3f s CPU, %.3f µs per request\n", load.options.watch[i], r->watched_cpu_seconds[i],
            c->requests ? r->watched_cpu_seconds[i] * 1e6 / (double)c->requests : 0);
}

void report(const struct result *r) {
  const struct counts *c = &load.counts;
  uint64_t errors = 0;
  double watched = 0;
  for (int i = 0; i < ERROR_KINDS; i++) errors += c->errors[i];
  for (unsigned i = 0; i < load.options.watch_count; i++) watched += r->watched_cpu_seconds[i];
  printf("{\"requests\":%llu,\"errors\":%llu,\"error_kinds\":{", (unsigned long long)c->requests, (unsigned long long)errors);
  for (int i = 0; i < ERROR_KINDS; i++) printf("%s\"%s\":%llu", i ? "," : "", kinds[i], (unsigned long long)c->errors[i]);
  printf("},\"reconnects\":%llu,\"seconds\":%.6f,\"rps\":%.1f,\"bytes\":%llu", (unsigned long long)c->reconnects, r->seconds,
         r->seconds > 0 ? (double)c->requests / r->seconds : 0, (unsigned long long)c->bytes);
  printf(",\"p50_us\":%.2f,\"p90_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"p9999_us\":%.2f,\"max_us\":%.2f", quantile_us(.5), quantile_us(.9),
         quantile_us(.99), quantile_us(.999), quantile_us(.9999), (double)load.latency.max / 1000);
  printf(",\"load_cpu_seconds\":%.6f,\"watched_cpu_seconds\":%.6f", r->load_cpu_seconds, watched);
  printf(",\"response_bytes\":%llu,\"varied\":%llu,\"idle\":%u,\"idle_lost\":%u,\"io\":\"%s\"}\n", (unsigned long long)load.first_length,
         (unsigned long long)load.varied, r->idle, r->idle_lost, io_name);
  fflush(stdout);
  if (load.varied && !load.options.allow_vary)
    fprintf(stderr, "load: warning: %llu responses differ in length from the first (%llu bytes); --allow-vary accepts that\n",
            (unsigned long long)load.varied, (unsigned long long)load.first_length);
  if (load.first_bad_status) fprintf(stderr, "load: warning: the first status outside 2xx was %llu\n", (unsigned long long)load.first_bad_status);
  if (load.options.text) print_text(r, errors);
}
