// The client's side of TLS, the same for every server: one version, AES-128-GCM, X25519, no verification of the chain. What the
// client offers decides, so that no server can win by choosing something cheaper. Used by handshake.c, streams.c and
// ../floor/floor_openssl.c; one thread.
#pragma once
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TLS12_CIPHERS "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"
#define TLS13_CIPHERS "TLS_AES_128_GCM_SHA256"
#define TLS_GROUPS "X25519:P-256"  // TLS 1.2 takes the certificate's curve from the same list (RFC 8422 section 5.1)

enum tls_resumption { TLS_FULL, TLS_PSK, TLS_TICKET, TLS_SESSION_ID };

// What a connection keeps for the next one, reached through the SSL's application data.
struct tls_session {
  SSL_SESSION *session;
};

_Noreturn static inline void tls_fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, ERR_reason_error_string(ERR_peek_error()) ?: "OpenSSL gives no reason");
  exit(1);
}

// TLS 1.2: once, after a full handshake, or when the server renews the ticket. TLS 1.3: for each ticket.
static inline int tls_on_session(SSL *ssl, SSL_SESSION *session) {
  struct tls_session *s = SSL_get_app_data(ssl);
  if (!s) return 0;
  SSL_SESSION_free(s->session);
  s->session = session;
  return 1;  // the reference is ours
}

// `version` is TLS1_2_VERSION or TLS1_3_VERSION; `alpn` a list of length-prefixed names.
static inline SSL_CTX *tls_client(int version, enum tls_resumption resumption, const char *alpn) {
  SSL_CTX *c = SSL_CTX_new(TLS_client_method());
  if (!c || !SSL_CTX_set_min_proto_version(c, version) || !SSL_CTX_set_max_proto_version(c, version) ||
      !SSL_CTX_set_cipher_list(c, TLS12_CIPHERS) || !SSL_CTX_set_ciphersuites(c, TLS13_CIPHERS) ||
      !SSL_CTX_set1_groups_list(c, TLS_GROUPS) || SSL_CTX_set_alpn_protos(c, (const uint8_t *)alpn, (unsigned)strlen(alpn)))
    tls_fail("client context");
  SSL_CTX_set_verify(c, SSL_VERIFY_NONE, 0);
  SSL_CTX_set_options(c, SSL_OP_IGNORE_UNEXPECTED_EOF);  // a server that closes without close_notify is not what is tested
  SSL_CTX_set_mode(c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(c, tls_on_session);
  if (resumption == TLS_SESSION_ID) SSL_CTX_set_options(c, SSL_OP_NO_TICKET);
  return c;
}

// Offers the session that is kept. A ticket of TLS 1.3 should be used once (RFC 8446 section C.4): the handshake brings its
// successor, which replaces it. h2o sends none when it resumes, so with h2o the first stays in use; hence a copy, since OpenSSL
// marks what it has used as not resumable.
static inline void tls_resume(SSL *ssl, struct tls_session *s, enum tls_resumption resumption) {
  SSL_set_app_data(ssl, s);
  if (!s->session || resumption == TLS_FULL) return;
  SSL_SESSION *copy = SSL_SESSION_dup(s->session);
  if (!copy || !SSL_set_session(ssl, copy)) tls_fail("SSL_set_session");
  SSL_SESSION_free(copy);
}

// Whether a finished handshake was what was asked for. A session that is resumed without a ticket was found by its id.
static inline bool tls_as_wanted(SSL *ssl, enum tls_resumption resumption) {
  if (resumption == TLS_FULL) return !SSL_session_reused(ssl);
  if (!SSL_session_reused(ssl)) return false;
  bool ticket = SSL_SESSION_has_ticket(SSL_get_session(ssl));
  return resumption == TLS_PSK || ticket == (resumption == TLS_TICKET);
}

static inline enum tls_resumption tls_resumption_named(const char *name) {
  static const char *const names[] = {"full", "psk", "ticket", "session-id"};
  for (int i = 0; i < 4; i++)
    if (!strcmp(name, names[i])) return (enum tls_resumption)i;
  fprintf(stderr, "load: --resumption full, psk, ticket or session-id, not '%s'\n", name);
  exit(2);
}

static inline int tls_version_named(const char *name) {
  if (!strcmp(name, "1.2")) return TLS1_2_VERSION;
  if (!strcmp(name, "1.3")) return TLS1_3_VERSION;
  fprintf(stderr, "load: --tls 1.2 or 1.3, not '%s'\n", name);
  exit(2);
}
