// OpenSSL's macros under names that Swift can import, and the table of base64url; the rest comes through OpenSSL's headers. No policy;
// Sources/jwt and Tests/jwt call this on whatever thread owns the object.
// <features.h> first: the Glibc module must see the same fd_set.
#pragma once
#include <features.h>
// The plain SHA functions are deprecated in OpenSSL 3, and used for a measured reason (Sources/jwt/SHA2.swift).
#ifndef OPENSSL_SUPPRESS_DEPRECATED
#define OPENSSL_SUPPRESS_DEPRECATED
#endif
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>

// The value of each character of base64url (RFC 4648 section 5), 255 for every other byte.
extern const uint8_t urjwt_base64url_values[256];
// Swift imports arrays as tuples, whose address it cannot take.
static inline const uint8_t *_Nonnull urjwt_base64url(void) { return urjwt_base64url_values; }

static inline void urjwt_openssl_free(void *_Nullable memory) { OPENSSL_free(memory); }
static inline void urjwt_clear_free(void *_Nullable memory, size_t count) { OPENSSL_clear_free(memory, count); }
