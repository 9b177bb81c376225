#include "CUringZ.h"
#include <limits.h>
#include <stdlib.h>

// Each block has its size in front of it, so that freeing can be counted.
static voidpf counted_alloc(voidpf owner, uInt items, uInt size) {
  struct curing_z *z = owner;
  size_t bytes = (size_t)items * size;
  size_t *block = malloc(bytes + 16);
  if (!block) return Z_NULL;
  *block = bytes;
  z->bytes += bytes;
  return (char *)block + 16;
}

static void counted_free(voidpf owner, voidpf memory) {
  struct curing_z *z = owner;
  size_t *block = (size_t *)((char *)memory - 16);
  z->bytes -= *block;
  free(block);
}

static struct curing_z *new_state(int window_bits) {
  struct curing_z *z = calloc(1, sizeof *z);
  if (!z) return NULL;
  z->stream.zalloc = counted_alloc;
  z->stream.zfree = counted_free;
  z->stream.opaque = z;
  z->window_bits = window_bits;
  return z;
}

// A negative number of bits means raw DEFLATE, without zlib's header and checksum.
struct curing_z *curing_z_open_inflate(int window_bits) {
  struct curing_z *z = new_state(window_bits);
  if (z && inflateInit2(&z->stream, -window_bits) != Z_OK) {
    free(z);
    return NULL;
  }
  return z;
}

struct curing_z *curing_z_open_deflate(int level, int window_bits, int memory_level) {
  struct curing_z *z = new_state(window_bits);
  if (z && deflateInit2(&z->stream, level, Z_DEFLATED, -window_bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
    free(z);
    return NULL;
  }
  return z;
}

void curing_z_close_inflate(struct curing_z *z) {
  inflateEnd(&z->stream);
  free(z);
}

void curing_z_close_deflate(struct curing_z *z) {
  deflateEnd(&z->stream);
  free(z);
}

int curing_z_reset_inflate(struct curing_z *z, int window_bits) {
  z->window_bits = window_bits;
  return inflateReset2(&z->stream, -window_bits);
}

int curing_z_continue_inflate(struct curing_z *z) { return inflateResetKeep(&z->stream); }
int curing_z_reset_deflate(struct curing_z *z) { return deflateReset(&z->stream); }

static int work(struct curing_z *z, int (*call)(z_streamp, int), const uint8_t **input, size_t *input_count, uint8_t **output, size_t *output_count) {
  uInt in = *input_count > UINT_MAX ? UINT_MAX : (uInt)*input_count;
  uInt out = *output_count > UINT_MAX ? UINT_MAX : (uInt)*output_count;
  z->stream.next_in = (Bytef *)*input;
  z->stream.avail_in = in;
  z->stream.next_out = *output;
  z->stream.avail_out = out;
  int result = call(&z->stream, Z_SYNC_FLUSH);
  *input = z->stream.next_in;
  *input_count -= in - z->stream.avail_in;
  *output = z->stream.next_out;
  *output_count -= out - z->stream.avail_out;
  // The caller's memory is not kept.
  z->stream.next_in = Z_NULL;
  z->stream.next_out = Z_NULL;
  return result;
}

int curing_z_inflate(struct curing_z *z, const uint8_t **input, size_t *input_count, uint8_t **output, size_t *output_count) {
  return work(z, inflate, input, input_count, output, output_count);
}

int curing_z_deflate(struct curing_z *z, const uint8_t **input, size_t *input_count, uint8_t **output, size_t *output_count) {
  return work(z, deflate, input, input_count, output, output_count);
}
