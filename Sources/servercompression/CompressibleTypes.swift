// Which media types are worth compressing. Immutable after init; any thread.

internal import UringHTTP

struct CompressibleTypes: Sendable {
    /// Besides `text/*`, and types whose name ends in one of `suffixes` (RFC 6839).
    private static let names: [StaticString] = [
        "application/json", "application/javascript", "application/x-javascript", "application/ecmascript", "application/xml", "application/wasm",
        "application/x-ndjson", "application/jsonl", "application/json-seq", "application/yaml", "application/toml", "application/graphql", "application/sql",
        "application/rtf", "application/x-sh", "application/x-tar", "application/manifest", "application/vnd.ms-fontobject", "application/x-www-form-urlencoded",
        "application/cbor", "application/msgpack", "application/protobuf", "font/ttf", "font/otf", "font/collection", "image/bmp", "image/x-icon",
        "image/vnd.microsoft.icon", "model/obj", "model/stl",
    ]
    private static let suffixes: [StaticString] = ["+json", "+xml", "+yaml", "+cbor", "+json-seq"]

    /// In lower case.
    private let additional: [[UInt8]]

    init(additional: [String]) { self.additional = additional.map { Array($0.lowercased().utf8) } }

    /// - Parameter value: of `Content-Type`, parameters included.
    func contains(_ value: UnsafeBufferPointer<UInt8>) -> Bool {
        guard let base = value.baseAddress else { return false }
        var count = 0
        // SAFETY: all offsets are below the value's count, which the caller keeps readable.
        while unsafe count < value.count && base[count] != UInt8(ascii: ";") && base[count] != 0x20 && base[count] != 0x09 { count += 1 }
        if count > 5, unsafe equalsIgnoringCase(base, count: 5, "text/") { return true }
        for name in Self.names where unsafe equalsIgnoringCase(base, count: count, name) { return true }
        for suffix in Self.suffixes where count > suffix.utf8CodeUnitCount {
            let length = suffix.utf8CodeUnitCount
            if unsafe equalsIgnoringCase(base + (count - length), count: length, suffix) { return true }
        }
        return additional.contains { name in
            name.count == count && name.indices.allSatisfy { unsafe lowercasedASCII(base[$0]) == name[$0] }
        }
    }
}
