// Finding the first byte of a class, 16 bytes at a time. Only the byte classes live here; what a stop means is the parser's
// business. Called by Sources/http1 on a loop's thread; no state.
//
// <emmintrin.h> clashes with the Glibc module that Swift imports, so this uses compiler vector types, which also give the
// NEON code on arm64. Only the baseline instruction set of each architecture is used: the package may not pass -m flags.
// `swift test -Xcc -DCURING_PORTABLE_SIMD` runs the tests on x86 with the gathering of masks that arm64 uses.
#pragma once
#include <features.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t curing_u8x16 __attribute__((vector_size(16)));
typedef int8_t curing_i8x16 __attribute__((vector_size(16)));
typedef char curing_c8x16 __attribute__((vector_size(16)));
typedef uint64_t curing_u64x2 __attribute__((vector_size(16)));

#define CURING_INLINE static inline __attribute__((always_inline, unused))

CURING_INLINE curing_u8x16 curing_splat(uint8_t b) {
    return (curing_u8x16){b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b};
}

// Bit i of the answer is the top bit of byte i. The multiplication gathers eight 0/1 bytes into the product's top byte; no
// two terms meet in one bit, so nothing carries.
CURING_INLINE uint32_t curing_movemask_portable(curing_u8x16 lanes) {
    curing_u64x2 words = (curing_u64x2)(lanes & curing_splat(0x80)) >> 7;
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "CUringSIMD.h assumes a little-endian machine"
#endif
    uint32_t low = (uint32_t)((words[0] * 0x0102040810204080ULL) >> 56);
    uint32_t high = (uint32_t)((words[1] * 0x0102040810204080ULL) >> 56);
    return low | (high << 8);
}

CURING_INLINE uint32_t curing_movemask(curing_u8x16 lanes) {
#if defined(__SSE2__) && !defined(CURING_PORTABLE_SIMD)
    return (uint32_t)__builtin_ia32_pmovmskb128((curing_c8x16)lanes);
#else
    return curing_movemask_portable(lanes);
#endif
}

CURING_INLINE curing_u8x16 curing_load16(const uint8_t *_Nonnull p) {
    curing_u8x16 v;
    __builtin_memcpy(&v, p, 16);
    return v;
}

CURING_INLINE curing_u8x16 curing_is_alnum(curing_u8x16 v) {
    curing_u8x16 letter = (curing_u8x16)(((v | curing_splat(0x20)) - curing_splat('a')) <= curing_splat(25));
    curing_u8x16 digit = (curing_u8x16)((v - curing_splat('0')) <= curing_splat(9));
    return letter | digit;
}

// Not a letter, digit or "-". A superset of the stops of a field name: the caller looks at the rarer token characters itself.
CURING_INLINE curing_u8x16 curing_stops_name(curing_u8x16 v) {
    return ~(curing_is_alnum(v) | (curing_u8x16)(v == curing_splat('-')));
}

// Not a lower-case letter, digit or "-". A superset of the stops of a field name of HTTP/2 (RFC 9113 8.2.1).
CURING_INLINE curing_u8x16 curing_stops_lowername(curing_u8x16 v) {
    curing_u8x16 letter = (curing_u8x16)((v - curing_splat('a')) <= curing_splat(25));
    curing_u8x16 digit = (curing_u8x16)((v - curing_splat('0')) <= curing_splat(9));
    return ~(letter | digit | (curing_u8x16)(v == curing_splat('-')));
}

// Not a letter, digit, "-" or ".". A superset of the stops of a host name.
CURING_INLINE curing_u8x16 curing_stops_host(curing_u8x16 v) {
    // '-' is 0x2d and '.' is 0x2e.
    return ~(curing_is_alnum(v) | (curing_u8x16)((v - curing_splat('-')) <= curing_splat(1)));
}

// A control character, tab included, or DEL (RFC 9110 5.5).
CURING_INLINE curing_u8x16 curing_stops_value(curing_u8x16 v) {
    return (curing_u8x16)(v <= curing_splat(0x1f)) | (curing_u8x16)(v == curing_splat(0x7f));
}

// Not a visible US-ASCII character, or one of `"` `#` `<` `>`: ends or spoils a query (RFC 3986 2, WHATWG URL query set).
CURING_INLINE curing_u8x16 curing_stops_query(curing_u8x16 v) {
    // Adding one wraps DEL to -128, so one signed comparison rejects it together with bytes from 0x80 and with controls.
    curing_u8x16 visible = (curing_u8x16)((curing_i8x16)(v + curing_splat(1)) > (curing_i8x16)curing_splat(0x21));
    return ~visible | (curing_u8x16)((v & curing_splat(0xfe)) == curing_splat('"'))
        | (curing_u8x16)((v & curing_splat(0xfd)) == curing_splat('<'));
}

// The stops of a query, and "?" and "\", which end and spoil a path.
CURING_INLINE curing_u8x16 curing_stops_path(curing_u8x16 v) {
    return curing_stops_query(v) | (curing_u8x16)(v == curing_splat('?')) | (curing_u8x16)(v == curing_splat('\\'));
}

// curing_scan_X(p, end, floor): the first stop of class X in [p, end), or end. Reads only [floor, end), where floor <= p:
// the last partial block is read as the 16 bytes that end at `end`, so nothing is read past the end and no bytes are
// looked at one by one unless the whole buffer is shorter than a block.
#define CURING_DEFINE_SCAN(CLASS)                                                                                    \
    CURING_INLINE const uint8_t *_Nonnull curing_scan_##CLASS(                                                       \
        const uint8_t *_Nonnull p, const uint8_t *_Nonnull end, const uint8_t *_Nonnull floor) {                     \
        while (end - p >= 16) {                                                                                      \
            uint32_t mask = curing_movemask(curing_stops_##CLASS(curing_load16(p)));                                 \
            if (mask != 0) return p + __builtin_ctz(mask);                                                           \
            p += 16;                                                                                                 \
        }                                                                                                            \
        size_t rest = (size_t)(end - p);                                                                             \
        if (rest == 0) return end;                                                                                   \
        uint32_t mask;                                                                                               \
        if (end - floor >= 16) {                                                                                     \
            mask = curing_movemask(curing_stops_##CLASS(curing_load16(end - 16))) >> (16 - rest);                    \
        } else {                                                                                                     \
            uint8_t block[16] = {0};                                                                                 \
            for (size_t i = 0; i < rest; i++) block[i] = p[i];                                                       \
            mask = curing_movemask(curing_stops_##CLASS(curing_load16(block))) & ((1u << rest) - 1);                 \
        }                                                                                                            \
        return mask != 0 ? p + __builtin_ctz(mask) : end;                                                            \
    }

CURING_DEFINE_SCAN(name)
CURING_DEFINE_SCAN(lowername)
CURING_DEFINE_SCAN(host)
CURING_DEFINE_SCAN(value)
CURING_DEFINE_SCAN(query)
CURING_DEFINE_SCAN(path)

#undef CURING_DEFINE_SCAN
