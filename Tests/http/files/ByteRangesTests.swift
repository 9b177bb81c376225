import Testing

@testable import UringHTTP

/// A comparable form of `RangeOutcome`.
private enum Ranges: Equatable, CustomStringConvertible {
    case whole, unsatisfiable
    case parts([ByteRange])

    var description: String {
        switch self {
        case .whole: "whole"
        case .unsatisfiable: "416"
        case .parts(let ranges): ranges.map { "\($0.first)-\($0.last)" }.joined(separator: " ")
        }
    }
}

private func parse(_ value: [UInt8], _ size: UInt64) -> Ranges {
    switch ByteRangeField.parse(value.span, size: size) {
    case .whole: return .whole
    case .unsatisfiable: return .unsatisfiable
    case .single(let range): return .parts([range])
    case .multiple(let set): return .parts((0..<set.count).map { set[$0] })
    }
}

private func parse(_ value: String, _ size: UInt64) -> String { parse(Array(value.utf8), size).description }

private func set(_ ranges: [ByteRange]) -> ByteRangeSet {
    var set = ByteRangeSet()
    for range in ranges { set.add(range) }
    return set
}

@Suite struct ByteRangesTests {
    /// RFC 9110 section 14.1.2's examples, for a representation of 10000 bytes.
    @Test(arguments: [
        ("bytes=0-499", "0-499"),
        ("bytes=500-999", "500-999"),
        ("bytes=-500", "9500-9999"),
        ("bytes=9500-", "9500-9999"),
        ("bytes=0-0,-1", "0-0 9999-9999"),
        ("bytes= 0-999, 4500-5499, -1000", "0-999 4500-5499 9000-9999"),
        ("bytes=500-600,601-999", "500-999"),
        ("bytes=500-700,601-999", "500-999"),
    ])
    func examplesOfTheRFC(value: String, expected: String) {
        #expect(parse(value, 10_000) == expected)
    }

    @Test(arguments: [
        ("bytes=0-", 10, "0-9"),
        ("bytes=0-9", 10, "0-9"),
        ("bytes=0-10", 10, "0-9"),
        ("bytes=9-", 10, "9-9"),
        ("bytes=9-9", 10, "9-9"),
        ("bytes=-10", 10, "0-9"),
        ("bytes=-11", 10, "0-9"),
        ("bytes=-1", 1, "0-0"),
        ("BYTES=0-1", 10, "0-1"),
        ("Bytes=0-1", 10, "0-1"),
        ("  bytes=0-1\t", 10, "0-1"),
        ("bytes=,0-1,,\t, 4-5 ,", 10, "0-1 4-5"),
        ("bytes=007-008", 10, "7-8"),
        // Some satisfiable
        ("bytes=0-1,20-30", 10, "0-1"),
        ("bytes=20-30,-1", 10, "9-9"),
        ("bytes=-0,3-4", 10, "3-4"),
        // Order kept; overlap and contact joined at the first one's place
        ("bytes=8-9,0-1", 10, "8-9 0-1"),
        ("bytes=8-9,0-1,4-5", 10, "8-9 0-1 4-5"),
        ("bytes=8-9,0-1,2-7", 10, "0-9"),
        ("bytes=6-7,0-1,3-4,2-2", 10, "6-7 0-4"),
        ("bytes=0-1,4-5,8-9,1-4", 10, "0-5 8-9"),
        ("bytes=0-,0-,0-,0-", 10, "0-9"),
        ("bytes=0-1,3-4", 10, "0-1 3-4"),
        // Unsatisfiable
        ("bytes=10-", 10, "416"),
        ("bytes=10-20", 10, "416"),
        ("bytes=10-20,30-", 10, "416"),
        ("bytes=-0", 10, "416"),
        ("bytes=0-", 0, "416"),
        ("bytes=0-0", 0, "416"),
        ("bytes=-0", 0, "416"),
        // A suffix of an empty file cannot be said in Content-Range.
        ("bytes=-1", 0, "whole"),
        ("bytes=0-,-5", 0, "whole"),
        // Malformed or another unit
        ("", 10, "whole"), ("bytes", 10, "whole"), ("bytes=", 10, "whole"), ("bytes=,", 10, "whole"), ("bytes=-", 10, "whole"),
        ("bytes =0-1", 10, "whole"), ("bytes0-1", 10, "whole"), ("bytes:0-1", 10, "whole"), ("byte=0-1", 10, "whole"),
        ("items=0-1", 10, "whole"), ("=0-1", 10, "whole"), ("0-1", 10, "whole"), ("bytes=1", 10, "whole"), ("bytes=a-b", 10, "whole"),
        ("bytes=1-0", 10, "whole"), ("bytes=5-4,0-1", 10, "whole"), ("bytes=0-1,x", 10, "whole"), ("bytes=0 -1", 10, "whole"),
        ("bytes=0- 1", 10, "whole"), ("bytes=0-1 2-3", 10, "whole"), ("bytes=0-1;2-3", 10, "whole"), ("bytes=--1", 10, "whole"),
        ("bytes=-1-2", 10, "whole"), ("bytes=+1-2", 10, "whole"), ("bytes=0x1-2", 10, "whole"), ("bytes=1-2-3", 10, "whole"),
        ("bytes=1.0-2", 10, "whole"), ("bytes=0-1\u{0}", 10, "whole"), ("bytes=bytes=0-1", 10, "whole"), ("bytes=0-1,20-10", 10, "whole"),
    ] as [(String, UInt64, String)])
    func parses(value: String, size: UInt64, expected: String) {
        #expect(parse(value, size) == expected)
    }

    @Test(arguments: [
        ("bytes=0-18446744073709551615", 10, "0-9"),
        ("bytes=0-18446744073709551616", 10, "0-9"),
        ("bytes=0-99999999999999999999999999999999999999", 10, "0-9"),
        ("bytes=-18446744073709551615", 10, "0-9"),
        ("bytes=-99999999999999999999999", 10, "0-9"),
        ("bytes=18446744073709551615-", 10, "416"),
        ("bytes=99999999999999999999999-", 10, "416"),
        ("bytes=99999999999999999999999-99999999999999999999999", 10, "416"),
        ("bytes=99999999999999999999999-5", 10, "whole"),
        ("bytes=9223372036854775806-", UInt64(Int64.max), "9223372036854775806-9223372036854775806"),
        ("bytes=-1", UInt64(Int64.max), "9223372036854775806-9223372036854775806"),
        ("bytes=0-", UInt64.max, "0-18446744073709551614"),
        ("bytes=0-0,-1", UInt64.max, "0-0 18446744073709551614-18446744073709551614"),
        ("bytes=18446744073709551614-,0-18446744073709551613", UInt64.max, "0-18446744073709551614"),
        ("bytes=18446744073709551615-", UInt64.max, "416"),
        // Above UInt64.max, and small once wrapped around
        ("bytes=20000000000000000000-", UInt64.max, "416"),
        ("bytes=184467440737095516160-", UInt64.max, "416"),
        ("bytes=-20000000000000000000", UInt64.max, "0-18446744073709551614"),
    ] as [(String, UInt64, String)])
    func numbersAtTheLimits(value: String, size: UInt64, expected: String) {
        #expect(parse(value, size) == expected)
    }

    @Test func countLimit() {
        let specs = (0..<ByteRangeSet.capacity).map { "\($0 * 10)-\($0 * 10 + 1)" }
        #expect(parse("bytes=" + specs.joined(separator: ","), 10_000) == specs.joined(separator: " "))
        #expect(parse("bytes=" + (specs + ["900-901"]).joined(separator: ","), 10_000) == "whole")
        // CVE-2011-3192's request.
        let killer = "bytes=0-," + (0..<1300).map { "5-\($0)" }.joined(separator: ",")
        #expect(parse(killer, 10_000) == "whole")
        // Joined and unsatisfiable ones count too: it is the work and not the result that is limited.
        #expect(parse("bytes=" + Array(repeating: "0-", count: 16).joined(separator: ","), 100) == "0-99")
        #expect(parse("bytes=" + Array(repeating: "0-", count: 17).joined(separator: ","), 100) == "whole")
    }

    /// Against a model: the union of bytes asked for is the bytes sent, none twice.
    @Test(arguments: [11, 12, 13] as [UInt64])
    func randomSetsMatchTheModel(seed: UInt64) {
        var random = FileTestRandom(state: seed)
        for _ in 0..<5_000 {
            let size = random.below(40)
            var specs: [String] = []
            var wanted = Set<Int>()
            for _ in 0...random.below(16) {
                let first = random.below(45)
                let last = first + random.below(12)
                switch random.below(4) {
                case 0:
                    specs.append("\(first)-")
                    if first < size { wanted.formUnion(first..<size) }
                case 1:
                    let suffix = first + 1
                    specs.append("-\(suffix)")
                    wanted.formUnion(max(0, size - suffix)..<size)
                default:
                    specs.append("\(first)-\(last)")
                    if first < size { wanted.formUnion(first..<min(last + 1, size)) }
                }
            }
            if specs.count > ByteRangeSet.capacity { specs.removeLast(specs.count - ByteRangeSet.capacity) }
            let outcome = parse(Array("bytes=\(specs.joined(separator: ","))".utf8), UInt64(size))
            guard case .parts(let ranges) = outcome else {
                #expect(wanted.isEmpty, "seed \(seed) \(specs) of \(size): \(outcome)")
                continue
            }
            let sent = ranges.flatMap { Int($0.first)...Int($0.last) }
            #expect(Set(sent) == wanted && sent.count == wanted.count, "seed \(seed) \(specs) of \(size): \(outcome)")
            let sorted = ranges.sorted { $0.first < $1.first }
            #expect(zip(sorted, sorted.dropFirst()).allSatisfy { $0.last + 1 < $1.first })
        }
    }

    @Test(arguments: [21, 22, 23] as [UInt64])
    func randomBytesNeverTrap(seed: UInt64) {
        var random = FileTestRandom(state: seed)
        for _ in 0..<20_000 {
            let alphabet = ["bytes=", "-", ",", " ", "0", "1", "9", "\(random.edgeNumber())", "\(random.edgeNumber())-\(random.edgeNumber())", "\(random.edgeNumber())-", "-\(random.edgeNumber())"]
            let value = Array((random.below(5) == 0 ? "" : "bytes=").utf8) + random.text(from: alphabet, piecesMax: 20)
            let size = random.edgeNumber()
            guard case .parts(let ranges) = parse(value, size) else { continue }
            #expect(!ranges.isEmpty && ranges.count <= ByteRangeSet.capacity)
            #expect(ranges.allSatisfy { $0.first <= $0.last && $0.last < size })
        }
    }

    @Test func contentRange() {
        #expect(rendered { ContentRange.satisfied(ByteRange(first: 0, last: 499), size: 1234).render(into: &$0) } == "bytes 0-499/1234")
        #expect(rendered { ContentRange.unsatisfied(size: 1234).render(into: &$0) } == "bytes */1234")
        #expect(rendered { ContentRange.unsatisfied(size: 0).render(into: &$0) } == "bytes */0")
        let longest = ContentRange.satisfied(ByteRange(first: .max - 1, last: .max - 1), size: .max)
        #expect(longest.renderedCount == ContentRange.bytesMax)
        #expect(rendered(capacity: 68) { longest.render(into: &$0) } == "bytes 18446744073709551614-18446744073709551614/18446744073709551615")
        #expect(rendered(capacity: 67) { longest.render(into: &$0) } == nil)
    }
}

@Suite struct MultipartByteRangesTests {
    private func body(_ parts: MultipartByteRanges, _ file: [UInt8]) -> [UInt8] {
        var body: [UInt8] = []
        for index in 0..<parts.ranges.count {
            let header = rendered(capacity: parts.partHeaderCount(index)) { parts.renderPartHeader(index, into: &$0) }
            #expect(header?.utf8.count == parts.partHeaderCount(index))
            body += Array((header ?? "").utf8)
            body += file[Int(parts.ranges[index].first)...Int(parts.ranges[index].last)]
        }
        let trailer = rendered(capacity: MultipartByteRanges.trailerCount) { parts.renderTrailer(into: &$0) }
        return body + Array((trailer ?? "").utf8)
    }

    @Test func exactBytes() {
        let parts = MultipartByteRanges(
            ranges: set([ByteRange(first: 1, last: 2), ByteRange(first: 9, last: 9)]), size: 10,
            mediaType: MediaType(name: "text/plain", compressionGain: .worthwhile), boundary: 0xABC)
        let expected =
            "--0000000000000abc\r\nContent-Type: text/plain\r\nContent-Range: bytes 1-2/10\r\n\r\n12"
            + "\r\n--0000000000000abc\r\nContent-Type: text/plain\r\nContent-Range: bytes 9-9/10\r\n\r\n9"
            + "\r\n--0000000000000abc--\r\n"
        #expect(body(parts, Array("0123456789".utf8)) == Array(expected.utf8))
        #expect(parts.contentLength == UInt64(expected.utf8.count))
        #expect(
            rendered(capacity: MultipartByteRanges.contentTypeCount) { parts.renderContentType(into: &$0) }
                == "multipart/byteranges; boundary=0000000000000abc")
        #expect(rendered(capacity: MultipartByteRanges.contentTypeCount - 1) { parts.renderContentType(into: &$0) } == nil)
        #expect(rendered(capacity: MultipartByteRanges.trailerCount - 1) { parts.renderTrailer(into: &$0) } == nil)
        #expect(rendered(capacity: parts.partHeaderCount(1) - 1) { parts.renderPartHeader(1, into: &$0) } == nil)
    }

    @Test func computedLengthIsTheLengthSent() {
        var random = FileTestRandom(state: 31)
        let file = (0..<2000).map { UInt8(truncatingIfNeeded: $0) }
        var multiparts = 0
        for _ in 0..<500 {
            let specs = (0...random.below(12)).map { _ in
                let first = random.below(2000)
                return "\(first)-\(first + random.below(100))"
            }
            let value = Array("bytes=\(specs.joined(separator: ","))".utf8)
            guard case .multiple(let ranges) = ByteRangeField.parse(value.span, size: 2000) else { continue }
            multiparts += 1
            let parts = MultipartByteRanges(ranges: ranges, size: 2000, mediaType: .octetStream, boundary: random.next())
            #expect(parts.contentLength == UInt64(body(parts, file).count))
        }
        #expect(multiparts > 300)
    }

    @Test func lengthNearTheLimit() {
        let largest = UInt64(Int64.max)
        let halves = set([ByteRange(first: 0, last: largest / 2), ByteRange(first: largest / 2 + 2, last: largest - 1)])
        let parts = MultipartByteRanges(ranges: halves, size: largest, mediaType: .octetStream, boundary: .max)
        #expect(parts.contentLength.map { $0 > largest - 1 && $0 < largest + 1000 } == true)
        let tooLarge = set([ByteRange(first: 0, last: .max - 4), ByteRange(first: .max - 2, last: .max - 1)])
        #expect(MultipartByteRanges(ranges: tooLarge, size: .max, mediaType: .octetStream, boundary: 0).contentLength == nil)
    }

    @Test func headerBoundCoversEveryType() {
        let ranges = set([ByteRange(first: 0, last: 0), ByteRange(first: .max - 1, last: .max - 1)])
        for index in MediaTypeTable.entries.indices {
            let entry = MediaTypeTable.entries[index]
            let type = MediaType(name: entry.name, compressionGain: entry.compressionGain)
            let parts = MultipartByteRanges(ranges: ranges, size: .max, mediaType: type, boundary: 0)
            #expect(parts.partHeaderCount(1) <= MultipartByteRanges.partHeaderBytesMax)
        }
    }
}
