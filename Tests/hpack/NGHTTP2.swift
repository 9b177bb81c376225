// nghttp2's HPACK as an oracle: for the differential tests and the fuzz targets. One object for each connection and direction.

import CNGHTTP2

/// nghttp2's inflater: the decoder of one connection.
@safe final class Inflater {
    private var inflater: OpaquePointer?
    init() { precondition(unsafe nghttp2_hd_inflate_new(&inflater) == 0) }
    deinit { unsafe nghttp2_hd_inflate_del(inflater) }

    func setTableBytesMax(_ max: Int) { _ = unsafe nghttp2_hd_inflate_change_table_size(inflater, max) }

    /// nil: it refuses the block.
    func decode(_ block: [UInt8]) -> [Field]? {
        var fields: [Field] = []
        // The buffer lives for the closure; a field's strings until the next call of nghttp2.
        return unsafe block.withUnsafeBufferPointer { buffer in
            var at = 0
            while true {
                var field = unsafe nghttp2_nv()
                var flags: Int32 = 0
                let rest = unsafe buffer.baseAddress.map { unsafe $0 + at }
                let used = unsafe nghttp2_hd_inflate_hd2(inflater, &field, &flags, rest, buffer.count - at, 1)
                guard used >= 0 else { return nil }
                at += used
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = unsafe text(UnsafeBufferPointer(start: field.name, count: field.namelen))
                    unsafe fields.append(Field(name, bytes: Array(UnsafeBufferPointer(start: field.value, count: field.valuelen))))
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                    unsafe nghttp2_hd_inflate_end_headers(inflater)
                    return fields
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) == 0, at == buffer.count { return nil }
            }
        }
    }
}

/// nghttp2's deflater: the encoder of one connection.
@safe final class Deflater {
    private var deflater: OpaquePointer?
    init() { precondition(unsafe nghttp2_hd_deflate_new(&deflater, 4096) == 0) }
    deinit { unsafe nghttp2_hd_deflate_del(deflater) }

    func setTableBytesMax(_ max: Int) { _ = unsafe nghttp2_hd_deflate_change_table_size(deflater, max) }

    func encode(_ fields: [Field]) -> [UInt8] {
        var text = fields.flatMap { field -> [UInt8] in Array(field.name.utf8) + field.value } + [0]
        return unsafe text.withUnsafeMutableBufferPointer { text in
            var at = 0
            var list: [nghttp2_nv] = unsafe []
            for field in fields {
                // nghttp2 only reads them, and only in the call below.
                let name = unsafe text.baseAddress! + at
                let count = field.name.utf8.count
                unsafe list.append(nghttp2_nv(name: name, value: name + count, namelen: count, valuelen: field.value.count, flags: 0))
                at += count + field.value.count
            }
            var out = [UInt8](repeating: 0, count: unsafe nghttp2_hd_deflate_bound(deflater, list, list.count))
            let count = unsafe nghttp2_hd_deflate_hd(deflater, &out, out.count, list, list.count)
            return Array(out.prefix(count))
        }
    }
}
