// OpenSSL's macros under names that Swift can import, and nothing else: constants come through the header itself. No policy;
// Sources/tls and Tests/tls call this on whatever thread owns the object.
// <features.h> first: the Glibc module must see the same fd_set.
#pragma once
#include <features.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdint.h>

// SSL_OP_ values are shifts, which Swift does not import.
static const uint64_t urtls_op_no_renegotiation = SSL_OP_NO_RENEGOTIATION;
static const uint64_t urtls_op_no_compression = SSL_OP_NO_COMPRESSION;
static const uint64_t urtls_op_server_preference = SSL_OP_CIPHER_SERVER_PREFERENCE;
static const uint64_t urtls_op_prioritize_chacha = SSL_OP_PRIORITIZE_CHACHA;
static const uint64_t urtls_op_no_ticket = SSL_OP_NO_TICKET;
static const int urtls_error_internal = ERR_R_INTERNAL_ERROR;
static const int urtls_error_memory = ERR_R_MALLOC_FAILURE;

// SSL_CTX settings.
static inline long urtls_ctx_set_mode(SSL_CTX *ctx, long mode) { return SSL_CTX_set_mode(ctx, mode); }
static inline long urtls_ctx_set_min_version(SSL_CTX *ctx, int version) { return SSL_CTX_set_min_proto_version(ctx, version); }
static inline long urtls_ctx_set_max_version(SSL_CTX *ctx, int version) { return SSL_CTX_set_max_proto_version(ctx, version); }
static inline long urtls_ctx_set_groups(SSL_CTX *ctx, const char *list) { return SSL_CTX_set1_groups_list(ctx, list); }
static inline long urtls_ctx_set_sigalgs(SSL_CTX *ctx, const char *list) { return SSL_CTX_set1_sigalgs_list(ctx, list); }
static inline long urtls_ctx_set_session_cache_mode(SSL_CTX *ctx, long mode) { return SSL_CTX_set_session_cache_mode(ctx, mode); }
static inline long urtls_ctx_set_read_ahead(SSL_CTX *ctx, int on) { return SSL_CTX_set_read_ahead(ctx, on); }
static inline long urtls_ctx_set_max_cert_list(SSL_CTX *ctx, long bytes) { return SSL_CTX_set_max_cert_list(ctx, bytes); }
static inline long urtls_ctx_add_chain_certificate(SSL_CTX *ctx, X509 *certificate) { return SSL_CTX_add1_chain_cert(ctx, certificate); }
static inline long urtls_ctx_set_servername_callback(SSL_CTX *ctx, int (*callback)(SSL *, int *, void *), void *argument) {
  return SSL_CTX_set_tlsext_servername_callback(ctx, callback) && SSL_CTX_set_tlsext_servername_arg(ctx, argument);
}
static inline long urtls_ctx_set_status_callback(SSL_CTX *ctx, int (*callback)(SSL *, void *), void *argument) {
  return SSL_CTX_set_tlsext_status_cb(ctx, callback) && SSL_CTX_set_tlsext_status_arg(ctx, argument);
}

// SSL.
static inline long urtls_set_ocsp_response(SSL *ssl, void *bytes, long count) { return SSL_set_tlsext_status_ocsp_resp(ssl, bytes, count); }
static inline long urtls_set_host_name(SSL *ssl, const char *name) { return SSL_set_tlsext_host_name(ssl, name); }
static inline long urtls_set_status_type(SSL *ssl, int type) { return SSL_set_tlsext_status_type(ssl, type); }
static inline long urtls_get_ocsp_response(SSL *ssl, const unsigned char **bytes) { return SSL_get_tlsext_status_ocsp_resp(ssl, bytes); }
static inline void *urtls_openssl_malloc(size_t count) { return OPENSSL_malloc(count); }
static inline void urtls_openssl_free(void *memory) { OPENSSL_free(memory); }
static inline void urtls_clear_free(void *memory, size_t count) { OPENSSL_clear_free(memory, count); }

// BIO.
static inline void urtls_bio_want_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void urtls_bio_clear_retry(BIO *bio) { BIO_clear_retry_flags(bio); }
static inline long urtls_bio_memory(BIO *bio, char **bytes) { return BIO_get_mem_data(bio, bytes); }
static inline size_t urtls_bio_pending(BIO *bio) { return BIO_ctrl_pending(bio); }

// Subject alternative names.
static inline int urtls_names_count(GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }
static inline int urtls_name_type(GENERAL_NAMES *names, int index) { return sk_GENERAL_NAME_value(names, index)->type; }
static inline const ASN1_STRING *urtls_name_dns(GENERAL_NAMES *names, int index) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
  return name->type == GEN_DNS ? name->d.dNSName : NULL;
}
// The text of a DNS name, a URI or a mail address; NULL for other kinds.
static inline const ASN1_STRING *urtls_name_text(GENERAL_NAMES *names, int index) {
  const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
  return name->type == GEN_DNS || name->type == GEN_URI || name->type == GEN_EMAIL ? name->d.ia5 : NULL;
}
static inline void urtls_certificate_names_free(STACK_OF(X509_NAME) *names) { sk_X509_NAME_pop_free(names, X509_NAME_free); }
static inline int urtls_certificate_names_push(STACK_OF(X509_NAME) *names, X509_NAME *name) { return sk_X509_NAME_push(names, name); }
static inline STACK_OF(X509_NAME) *urtls_certificate_names_new(void) { return sk_X509_NAME_new_null(); }

// A name on one line of printable ASCII (RFC 2253).
static inline int urtls_print_name(BIO *bio, const X509_NAME *name) { return X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253); }

// HMAC-SHA256 with this key. In C, because parameters keep pointers to their names, and a Swift string's bytes are gone after the call it is passed to.
static inline int urtls_mac_set_sha256(EVP_MAC_CTX *mac, void *key, size_t count) {
  OSSL_PARAM parameters[] = {OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key, count),
                             OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, parameters);
}

// Keys.
static inline EVP_PKEY *urtls_generate_p256(void) { return EVP_EC_gen("P-256"); }
static inline EVP_PKEY *urtls_generate_rsa(size_t bits) { return EVP_RSA_gen(bits); }
static inline int urtls_error_library(unsigned long code) { return ERR_GET_LIB(code); }
static inline int urtls_error_reason(unsigned long code) { return ERR_GET_REASON(code); }
