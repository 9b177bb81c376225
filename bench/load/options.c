#include "load.h"
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
  "usage: load [options] [HOST:PORT]\n"
  "  --connections N   connections that work (default 64)       --pipeline P    requests sent together (default 1)\n"
  "  --duration S      measured seconds (default 2)              --warmup S      unmeasured seconds before (default 0)\n"
  "  --requests N      stop after exactly N requests instead     --rate R        requests per second in all, sent on a fixed\n"
  "  --close           a connection per request                                  schedule; latency counts from when a request\n"
  "  --path P --host H --header 'K: V'                                           was due (no coordinated omission)\n"
  "  --unix PATH       connect to a Unix socket                  --timeout S     without progress is an error (default 5)\n"
  "  --idle N          keep N more connections open and silent   --hold          only that, until standard input ends\n"
  "  --gate            after the warm-up print 'ready' on standard error and wait for a line of standard input; at the\n"
  "                    end keep the connections open until standard input ends\n"
  "  --watch PID       report the CPU time PID spends in the measured window (repeatable)\n"
  "  --no-spin         sleep until a request is due: late by a timer's slack, but the core is left to others\n"
  "  --allow-vary      responses may differ in length            --text          also print the result for people\n";

_Noreturn static void misuse(const char *what, const char *value) {
  fprintf(stderr, "load: %s '%s'\n%s", what, value, usage);
  exit(2);
}

static double number(const char *name, const char *text, double min, double max) {
  char *end;
  double v = strtod(text, &end);
  if (*end || end == text || !(v >= min && v <= max)) misuse(name, text);
  return v;
}

static void add_header(struct options *o, const char *text) {
  size_t have = strlen(o->headers);
  if (!strchr(text, ':') || strpbrk(text, "\r\n") || have + strlen(text) + 3 > sizeof o->headers) misuse("bad --header", text);
  snprintf(o->headers + have, sizeof o->headers - have, "%s\r\n", text);
}

void parse_options(int argc, char **argv, struct options *o) {
  static const struct option table[] = {
    {"connections", 1, 0, 'n'}, {"pipeline", 1, 0, 'p'}, {"duration", 1, 0, 'd'},   {"warmup", 1, 0, 'w'}, {"requests", 1, 0, 'r'},
    {"rate", 1, 0, 'R'},        {"close", 0, 0, 'c'},    {"path", 1, 0, 'P'},       {"host", 1, 0, 'H'},   {"header", 1, 0, 'h'},
    {"unix", 1, 0, 'u'},        {"timeout", 1, 0, 't'},  {"idle", 1, 0, 'i'},       {"hold", 0, 0, 'o'},   {"gate", 0, 0, 'g'},
    {"watch", 1, 0, 'W'},       {"allow-vary", 0, 0, 'v'}, {"text", 0, 0, 'T'},
    {"no-spin", 0, 0, 'S'},     {0}};
  *o = (struct options){.address = "127.0.0.1:8080", .path = "/", .connections = 64, .pipeline = 1, .seconds = 2, .timeout = 5};
  for (int c; (c = getopt_long(argc, argv, "", table, 0)) != -1;) {
    switch (c) {
      case 'n': o->connections = (unsigned)number("--connections 0...65536:", optarg, 0, CONNECTIONS_MAX); break;
      case 'p': o->pipeline = (unsigned)number("--pipeline 1...1024:", optarg, 1, PIPELINE_MAX); break;
      case 'd': o->seconds = number("--duration 0.01...86400:", optarg, 0.01, 86400); break;
      case 'w': o->warmup = number("--warmup 0...3600:", optarg, 0, 3600); break;
      case 'r': o->requests = (uint64_t)number("--requests 1...1e12:", optarg, 1, 1e12); break;
      case 'R': o->rate = number("--rate 0.1...1e8:", optarg, 0.1, 1e8); break;
      case 'c': o->close = true; break;
      case 'P': o->path = optarg; break;
      case 'H': o->host = optarg; break;
      case 'h': add_header(o, optarg); break;
      case 'u': o->unix_path = optarg; break;
      case 't': o->timeout = number("--timeout 0.01...3600:", optarg, 0.01, 3600); break;
      case 'i': o->idle = (unsigned)number("--idle 0...1000000:", optarg, 0, 1000000); break;
      case 'o': o->hold = true; break;
      case 'g': o->gate = true; break;
      case 'W':
        if (o->watch_count == WATCH_MAX) misuse("too many --watch", optarg);
        o->watch[o->watch_count++] = (int)number("--watch:", optarg, 1, 1 << 22);
        break;
      case 'v': o->allow_vary = true; break;
      case 'T': o->text = true; break;
      case 'S': o->no_spin = true; break;
      default: fputs(usage, stderr); exit(2);
    }
  }
  if (optind < argc) o->address = argv[optind++];
  if (optind < argc) misuse("unexpected argument", argv[optind]);
  if (o->close && o->pipeline > 1) misuse("--close and --pipeline do not go together:", "--pipeline");
  if (o->rate > 0 && o->requests) misuse("--rate ends by --duration:", "--requests");
  if (!o->connections && !o->hold) misuse("--connections 0 needs", "--hold");
  if (!o->host) o->host = o->unix_path ? "localhost" : o->address;
}
