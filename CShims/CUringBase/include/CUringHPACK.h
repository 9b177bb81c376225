// The constant tables of HPACK (RFC 7541 appendices A and B): C, because only C promises tables that need no initialisation at run time.
// Read by Sources/hpack on a loop's thread; CUringHPACK.c says how they are made. No policy.
#pragma once
#include <features.h>
#include <stdint.h>

#define CURING_HPACK_STATIC_TEXT_BYTES 684
#define CURING_HUFFMAN_BITS 11
#define CURING_HUFFMAN_LONG_SYMBOLS 175
#define CURING_HUFFMAN_LENGTHS 15

struct curing_hpack_static {
  uint16_t offset;
  uint8_t name_length, value_length, known, pseudo;
};

struct curing_huffman_length {
  uint32_t limit, first;
  uint16_t symbol, length;
};

extern const char curing_hpack_static_text[CURING_HPACK_STATIC_TEXT_BYTES + 16];
extern const struct curing_hpack_static curing_hpack_static_table[62];
extern const uint8_t curing_hpack_name_index[128];
extern const uint32_t curing_huffman_pairs[1 << CURING_HUFFMAN_BITS];
extern const uint16_t curing_huffman_long_symbols[CURING_HUFFMAN_LONG_SYMBOLS];
extern const struct curing_huffman_length curing_huffman_lengths[CURING_HUFFMAN_LENGTHS];

// Swift takes an array for a tuple: these give it pointers.
static inline const uint8_t *_Nonnull curing_hpack_text(void) { return (const uint8_t *)curing_hpack_static_text; }
static inline const struct curing_hpack_static *_Nonnull curing_hpack_entries(void) { return curing_hpack_static_table; }
static inline const uint8_t *_Nonnull curing_hpack_names(void) { return curing_hpack_name_index; }
static inline const uint32_t *_Nonnull curing_huffman_table(void) { return curing_huffman_pairs; }
static inline const uint16_t *_Nonnull curing_huffman_symbols(void) { return curing_huffman_long_symbols; }
static inline const struct curing_huffman_length *_Nonnull curing_huffman_long_lengths(void) { return curing_huffman_lengths; }
