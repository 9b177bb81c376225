// zlib for raw DEFLATE (RFC 1951), as far as Swift cannot call it itself: macros, and memory that is counted. No policy; Sources/websocket
// calls this on the thread of the loop that owns the state.
#pragma once
#include <features.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

/// One inflate or deflate state. It lies where `curing_z_open…` put it: zlib keeps its address.
struct curing_z {
  z_stream stream;
  /// What zlib has allocated for it, without this struct.
  size_t bytes;
  /// What it had when its owner lent it.
  size_t lent_bytes;
  /// For lists of the owner.
  struct curing_z *_Nullable next;
  int window_bits;
};

/// A state that reads raw DEFLATE with windows up to 2^bits, 8…15. NULL when there is no memory.
struct curing_z *_Nullable curing_z_open_inflate(int window_bits);
/// A state that writes raw DEFLATE with windows of 2^bits, 9…15. NULL when there is no memory.
struct curing_z *_Nullable curing_z_open_deflate(int level, int window_bits, int memory_level);
void curing_z_close_inflate(struct curing_z *_Nonnull z);
void curing_z_close_deflate(struct curing_z *_Nonnull z);

/// Forgets everything that was read, the window too.
int curing_z_reset_inflate(struct curing_z *_Nonnull z, int window_bits);
/// Begins another stream behind one that has ended, and keeps the window.
int curing_z_continue_inflate(struct curing_z *_Nonnull z);
int curing_z_reset_deflate(struct curing_z *_Nonnull z);

/// One call of inflate or deflate with Z_SYNC_FLUSH. `*input` and `*output` advance, the counts shrink by as much.
int curing_z_inflate(struct curing_z *_Nonnull z, const uint8_t *_Nullable *_Nonnull input, size_t *_Nonnull input_count,
                     uint8_t *_Nullable *_Nonnull output, size_t *_Nonnull output_count);
int curing_z_deflate(struct curing_z *_Nonnull z, const uint8_t *_Nullable *_Nonnull input, size_t *_Nonnull input_count,
                     uint8_t *_Nullable *_Nonnull output, size_t *_Nonnull output_count);

/// Whether all that was read ends where a block does, on a byte border, and was not the last block of a stream.
static inline bool curing_z_at_block_border(const struct curing_z *_Nonnull z) { return (z->stream.data_type & 0xff) == 128; }
