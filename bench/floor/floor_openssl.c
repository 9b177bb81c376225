// What a handshake costs in OpenSSL alone: client and server in one thread over a BIO pair, no sockets, and only the thread's
// CPU time around the server's calls is counted (SSL_new to SSL_free). The floor of every server that uses OpenSSL. Prints the line
// that the load generators print.
#define _GNU_SOURCE 1
#include "../load/tls.h"
#include "../load/window.h"
#include <getopt.h>

static int version = TLS1_3_VERSION;
static enum tls_resumption resumption = TLS_FULL;
static SSL_CTX *client_context, *server_context;
static struct tls_session kept;
static struct histogram server_times;
static uint64_t handshakes, wrong_mode, server_ns, clock_cost_ns;

// ---- the server's CPU time -------------------------------------------------------------------------------------------

static uint64_t thread_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

// Reading that clock is a system call, and a part of it lies between the two readings.
static void calibrate(void) {
  enum { TIMES = 20000 };
  uint64_t sum = 0;
  for (int i = 0; i < TIMES; i++) {
    uint64_t t = thread_ns();
    sum += thread_ns() - t;
  }
  clock_cost_ns = sum / TIMES;
}

static uint64_t spent_ns, entered_ns;

static void enter(void) { entered_ns = thread_ns(); }

static void leave(void) {
  uint64_t t = thread_ns() - entered_ns;
  spent_ns += t > clock_cost_ns ? t - clock_cost_ns : 0;
}

// ---- one handshake ---------------------------------------------------------------------------------------------------

static int choose_protocol(SSL *ssl, const uint8_t **out, uint8_t *out_bytes, const uint8_t *in, unsigned in_bytes, void *unused) {
  (void)ssl, (void)unused;
  static const uint8_t ours[] = "\x02h2\x08http/1.1";
  int r = SSL_select_next_proto((uint8_t **)out, out_bytes, ours, sizeof ours - 1, in, in_bytes);
  return r == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void make_server(const char *certificate, const char *key) {
  SSL_CTX *c = server_context = SSL_CTX_new(TLS_server_method());
  if (!c || !SSL_CTX_use_certificate_chain_file(c, certificate) || !SSL_CTX_use_PrivateKey_file(c, key, SSL_FILETYPE_PEM) ||
      !SSL_CTX_set_cipher_list(c, TLS12_CIPHERS) || !SSL_CTX_set_ciphersuites(c, TLS13_CIPHERS) || !SSL_CTX_set1_groups_list(c, TLS_GROUPS) ||
      !SSL_CTX_set_session_id_context(c, (const uint8_t *)"floor", 5))
    tls_fail("server context");
  SSL_CTX_set_options(c, SSL_OP_CIPHER_SERVER_PREFERENCE | (resumption == TLS_SESSION_ID ? SSL_OP_NO_TICKET : 0));
  SSL_CTX_set_session_cache_mode(c, resumption == TLS_SESSION_ID ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
  SSL_CTX_set_alpn_select_cb(c, choose_protocol, 0);
}

// True when it is finished.
static bool step(SSL *ssl, const char *who) {
  int n = SSL_do_handshake(ssl);
  if (n == 1) return true;
  int e = SSL_get_error(ssl, n);
  if (e != SSL_ERROR_WANT_READ && e != SSL_ERROR_WANT_WRITE) tls_fail(who);
  return false;
}

static SSL *new_server(BIO *bio) {
  SSL *server = SSL_new(server_context);
  if (!server) tls_fail("SSL_new");
  SSL_set_bio(server, bio, bio);
  SSL_set_accept_state(server);
  return server;
}

static void close_both(SSL *client, SSL *server) {
  char byte;
  SSL_read(client, &byte, 1);  // takes the tickets
  SSL_shutdown(client);
  enter();
  SSL_read(server, &byte, 1);
  SSL_shutdown(server);
  SSL_free(server);
  leave();
  SSL_free(client);
  ERR_clear_error();
}

static void handshake(void) {
  BIO *a, *b;
  if (!BIO_new_bio_pair(&a, 0, &b, 0)) tls_fail("BIO_new_bio_pair");
  spent_ns = 0;
  SSL *client = SSL_new(client_context);
  if (!client) tls_fail("SSL_new");
  SSL_set_bio(client, a, a);
  SSL_set_connect_state(client);
  SSL_set_tlsext_host_name(client, "localhost");
  tls_resume(client, &kept, resumption);
  bool client_done = step(client, "client");
  enter();
  SSL *server = new_server(b);
  leave();
  for (bool server_done = false; !server_done || !client_done;) {
    enter();
    server_done = step(server, "server");
    leave();
    client_done = step(client, "client");
  }
  bool wanted = tls_as_wanted(client, resumption);
  close_both(client, server);
  handshakes++;
  wrong_mode += !wanted;
  server_ns += spent_ns;
  histogram_add(&server_times, spent_ns, 1);
}

static void run(double seconds) {
  uint64_t until = window_clock_ns() + (uint64_t)(seconds * 1e9);
  do handshake();
  while (window_clock_ns() < until);
}

int main(int argc, char **argv) {
  static const struct option table[] = {{"cert", 1, 0, 'c'}, {"key", 1, 0, 'k'},        {"duration", 1, 0, 'd'}, {"warmup", 1, 0, 'w'},
                                        {"tls", 1, 0, 't'},  {"resumption", 1, 0, 'r'}, {0}};
  const char *certificate = 0, *key = 0;
  double seconds = 2, warmup = 0.1;
  for (int c; (c = getopt_long(argc, argv, "", table, 0)) != -1;) {
    switch (c) {
      case 'c': certificate = optarg; break;
      case 'k': key = optarg; break;
      case 'd': seconds = window_number("--duration", optarg, 0.01, 86400); break;
      case 'w': warmup = window_number("--warmup", optarg, 0, 3600); break;
      case 't': version = tls_version_named(optarg); break;
      case 'r': resumption = tls_resumption_named(optarg); break;
      default: return 2;
    }
  }
  if (!certificate || !key) {
    fprintf(stderr, "usage: floor_openssl --cert PEM --key PEM [--tls 1.2|1.3] [--resumption full|psk|ticket|session-id] [--duration S]\n");
    return 2;
  }
  calibrate();
  make_server(certificate, key);
  client_context = tls_client(version, resumption, "\x08http/1.1");
  run(warmup);
  handshake();  // whatever the warm-up's length, a session is there now
  handshakes = wrong_mode = server_ns = 0;
  memset(&server_times, 0, sizeof server_times);
  struct window window = {0};
  window_open(&window);
  run(seconds);
  window_close(&window);
  window.watched_cpu_seconds = (double)server_ns / 1e9;
  window_print(&window, handshakes, wrong_mode, &server_times);
  printf(",\"response_bytes\":0}\n");
  return handshakes && !wrong_mode ? 0 : 1;
}
