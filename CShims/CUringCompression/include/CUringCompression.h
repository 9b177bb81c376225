// What Swift needs of zlib, libbrotlienc and libzstd: their headers, and deflateInit2, which is a macro.
#ifndef CURING_COMPRESSION_H
#define CURING_COMPRESSION_H

#include <features.h>

#include <brotli/encode.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>
#include <zstd.h>

/// A gzip stream (RFC 1952) at `level`, with the window and the memory that zlib's manual calls windowBits 15 and memLevel 8. Z_OK or zlib's error.
int uc_gzip_init(z_stream *stream, int level);

#endif
