// OpenSSL's macros under names Swift can import. No policy.
// <features.h> first: the Glibc module must see the same fd_set.
#pragma once
#include <features.h>
#include <openssl/ssl.h>
