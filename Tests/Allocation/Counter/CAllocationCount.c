// What an executable defines takes precedence over what its shared libraries define, so its calls of malloc and swift_retain come here
// without a tracer or a privilege, and go on to the original. Calls within a library that do not go through its symbol table are not
// seen: bench/alloc, which patches the functions themselves, sees those too. The runtime's own hooks (_swift_retain) are no way: in
// Swift 6.3 they crash on the bits that mark a small string.
#define _GNU_SOURCE
#include "CAllocationCount.h"
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

static _Atomic uint64_t allocations, frees, retains, releases, openssl, asked;
#define COUNT(counter) atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed)
#define ALLOCATION(bytes) (COUNT(allocations), atomic_fetch_add_explicit(&asked, (bytes), memory_order_relaxed))

struct ac_counts ac_read(void) { return (struct ac_counts){allocations, frees, retains, releases, openssl, asked}; }

uint64_t ac_held_bytes(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

// The sanitizers bring a malloc of their own.
#if !__has_feature(address_sanitizer) && !__has_feature(thread_sanitizer)
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

// libcrypto, which the program has in any case (crypto.h).
extern int CRYPTO_set_mem_functions(void *(*)(size_t, const char *, int), void *(*)(void *, size_t, const char *, int), void (*)(void *, const char *, int));
static void *openssl_malloc(size_t bytes, const char *file, int line) { COUNT(openssl); return __libc_malloc(bytes); }
static void *openssl_realloc(void *old, size_t bytes, const char *file, int line) { COUNT(openssl); return __libc_realloc(old, bytes); }
static void openssl_free(void *memory, const char *file, int line) { __libc_free(memory); }
bool ac_separate_openssl(void) { return CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1; }

void *malloc(size_t bytes) { ALLOCATION(bytes); return __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { ALLOCATION(count * bytes); return __libc_calloc(count, bytes); }
void *realloc(void *old, size_t bytes) { ALLOCATION(bytes); return __libc_realloc(old, bytes); }
void *memalign(size_t alignment, size_t bytes) { ALLOCATION(bytes); return __libc_memalign(alignment, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { ALLOCATION(bytes); return __libc_memalign(alignment, bytes); }
int posix_memalign(void **result, size_t alignment, size_t bytes) {
  ALLOCATION(bytes);
  if (alignment % sizeof(void *) != 0 || alignment == 0 || (alignment & (alignment - 1)) != 0) return EINVAL;
  void *memory = __libc_memalign(alignment, bytes);
  if (!memory) return ENOMEM;
  *result = memory;
  return 0;
}
void free(void *memory) {
  if (memory) COUNT(frees);
  __libc_free(memory);
}

// On some targets the runtime promises its callers that these functions keep nearly all registers; keeping them is right on every target.
#define KEEPS_REGISTERS __attribute__((preserve_most, visibility("default")))

// Looked up at the first call, which may come before any initialiser of this file.
static void *original(_Atomic(void *) *known, const char *name) {
  void *function = atomic_load_explicit(known, memory_order_relaxed);
  if (function) return function;
  function = dlsym(RTLD_NEXT, name);
  if (!function) abort();
  atomic_store_explicit(known, function, memory_order_relaxed);
  return function;
}
#define ORIGINAL(name) static _Atomic(void *) known; void *function = original(&known, #name)

#define RETAIN(name) KEEPS_REGISTERS void *name(void *object) { \
  COUNT(retains); ORIGINAL(name); return ((void *(*)(void *))function)(object); }
#define RETAIN_N(name) KEEPS_REGISTERS void *name(void *object, uint32_t n) { \
  COUNT(retains); ORIGINAL(name); return ((void *(*)(void *, uint32_t))function)(object, n); }
#define RELEASE(name) KEEPS_REGISTERS void name(void *object) { \
  COUNT(releases); ORIGINAL(name); ((void (*)(void *))function)(object); }
#define RELEASE_N(name) KEEPS_REGISTERS void name(void *object, uint32_t n) { \
  COUNT(releases); ORIGINAL(name); ((void (*)(void *, uint32_t))function)(object, n); }

RETAIN(swift_retain)
RETAIN(swift_bridgeObjectRetain)
RETAIN(swift_errorRetain)
RETAIN_N(swift_retain_n)
RETAIN_N(swift_bridgeObjectRetain_n)
RELEASE(swift_release)
RELEASE(swift_bridgeObjectRelease)
RELEASE(swift_errorRelease)
RELEASE_N(swift_release_n)
RELEASE_N(swift_bridgeObjectRelease_n)
#else
bool ac_separate_openssl(void) { return false; }
#endif
