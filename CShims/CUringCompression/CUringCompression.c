#include "CUringCompression.h"

int uc_gzip_init(z_stream *stream, int level) {
    // 16 more than the window's bits asks for the gzip format instead of zlib's.
    return deflateInit2(stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
}
