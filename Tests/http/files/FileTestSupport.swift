// What the static-file tests share: bytes from literals, results out of caller storage, a seeded generator.

@testable import UringHTTP

/// SplitMix64: small, seeded, the same everywhere.
struct FileTestRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    mutating func below(_ bound: Int) -> Int { Int(next() % UInt64(bound)) }

    /// Bytes joined from random pieces of `alphabet`: reaches deeper than uniformly random bytes.
    mutating func text(from alphabet: [String], piecesMax: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<below(piecesMax + 1) {
            if below(12) == 0 {
                bytes.append(UInt8(truncatingIfNeeded: next()))
            } else {
                bytes += Array(alphabet[below(alphabet.count)].utf8)
            }
        }
        return bytes
    }

    /// Numbers around the places where arithmetic breaks.
    mutating func edgeNumber() -> UInt64 {
        let edges: [UInt64] = [
            0, 1, 2, 9, 10, 99, 100, 499, 500, 10_000, 1 << 31, 1 << 32, 1 << 53, UInt64(Int64.max) - 1, UInt64(Int64.max),
            UInt64(Int64.max) + 1, .max - 1, .max, next(),
        ]
        return edges[below(edges.count)]
    }
}

struct NormalizedText: Equatable, CustomStringConvertible {
    var outcome: PathOutcome
    /// Without the NUL.
    var bytes: [UInt8]
    /// Whether the byte behind the result is the NUL and nothing follows.
    var isTerminated: Bool

    var text: String { String(decoding: bytes, as: UTF8.self) }
    var description: String { "\(outcome) \(text)" }
}

func normalize(
    _ path: [UInt8], hiddenFiles: HiddenFiles = .deny, capacity: Int = PathNormalizer.resultBytesMax
) -> NormalizedText {
    var outcome = PathOutcome.refused(.ok)
    let storage = [UInt8](capacity: capacity) { out in
        precondition(out.freeCapacity == capacity)
        outcome = PathNormalizer.normalize(path.span, hiddenFiles: hiddenFiles, into: &out)
    }
    guard case .resolved(let count, _) = outcome else {
        return NormalizedText(outcome: outcome, bytes: storage, isTerminated: false)
    }
    return NormalizedText(
        outcome: outcome, bytes: Array(storage.prefix(count)), isTerminated: storage.count == count + 1 && storage.last == 0)
}

func normalize(_ path: String, hiddenFiles: HiddenFiles = .deny) -> NormalizedText {
    normalize(Array(path.utf8), hiddenFiles: hiddenFiles)
}

/// Runs `body` on fresh storage of `capacity` bytes; the text, or nil when `body` says that it does not fit.
func rendered(capacity: Int = 8192, _ body: (inout OutputSpan<UInt8>) -> Bool) -> String? {
    var fits = false
    let bytes = [UInt8](capacity: capacity) { out in
        fits = body(&out)
        precondition(fits || out.isEmpty, "a renderer that fails leaves its storage alone")
    }
    return fits ? String(decoding: bytes, as: UTF8.self) : nil
}

func text(_ tag: EntityTag) -> String {
    let bytes = tag.bytes
    return String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)
}

func text(_ literal: StaticString) -> String { literal.description }

extension FileStat {
    static func regular(_ size: UInt64, mtime: Int64 = 1_700_000_000, nanoseconds: UInt32 = 123_456_789) -> FileStat {
        FileStat(kind: .regular, size: size, mtimeSeconds: mtime, mtimeNanoseconds: nanoseconds)
    }
}
