// Media types by file name extension.
//
// The table is static data in the binary: sorted, immutable, searched without a lock or a reference count.

/// Whether compressing a body of some type is worth the CPU.
package enum CompressionGain: UInt8, Sendable, Equatable {
    /// Text and other redundant formats.
    case worthwhile
    /// Not known from the name: never compressed on the fly, but a precompressed sibling is looked for.
    case unknown
    /// Already compressed: neither compressed nor looked for in compressed form, which saves an openat2 per coding.
    case wasted
}

/// A value of `Content-Type` and what follows from it.
package struct MediaType: Sendable {
    /// The whole field value, parameters included. Text types say `charset=utf-8`: without it browsers guess from the bytes.
    package let name: StaticString
    package let compressionGain: CompressionGain

    package init(name: StaticString, compressionGain: CompressionGain) {
        self.name = name
        self.compressionGain = compressionGain
    }

    /// Whether `.br`, `.zst` and `.gz` siblings are looked for, and `Vary: Accept-Encoding` therefore sent.
    package var mayHaveSiblings: Bool { compressionGain != .wasted }

    /// What a name without a known extension is served as (RFC 9110 section 8.3: better no guess than a wrong one).
    package static let octetStream = MediaType(name: "application/octet-stream", compressionGain: .unknown)

    /// The type of the file that `path` names, by what stands behind the last dot of its last segment, ASCII case ignored.
    /// A name that only begins with a dot (`.profile`) has no extension. For a precompressed sibling ask with the original's name.
    package static func forPath(_ path: Span<UInt8>) -> MediaType {
        var index = path.count
        while index > 0 {
            index &-= 1
            if path[index] == PathNormalizer.slash { break }
            if path[index] == PathNormalizer.dot {
                let isHidden = index == 0 || path[index &- 1] == PathNormalizer.slash
                return isHidden ? octetStream : forExtension(path.extracting((index &+ 1)...))
            }
        }
        return octetStream
    }

    /// The type for an extension without its dot, ASCII case ignored.
    package static func forExtension(_ name: Span<UInt8>) -> MediaType {
        var low = 0
        var high = MediaTypeTable.entries.count
        while low < high {
            let middle = (low &+ high) / 2
            let entry = MediaTypeTable.entries[middle]
            switch MediaTypeTable.compare(name, entry.fileExtension.bytes) {
            case 0: return MediaType(name: entry.name, compressionGain: entry.compressionGain)
            case ..<0: high = middle
            default: low = middle &+ 1
            }
        }
        return octetStream
    }
}
