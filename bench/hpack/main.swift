// Our HPACK against nghttp2's on the same fields, in turns, in one process. Run it with ./run.
//
// Ours does more when decoding: names get their numbers, and what makes a message malformed is found. The figure is the fastest and the median
// round, so that a neighbour's burst does not count.

import CNGHTTP2
import Glibc
import UringHPACK
import UringHTTP

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC_RAW, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

let text = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 128)
let output = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)

let curl = [
    (":method", "GET"), (":scheme", "https"), (":authority", "www.example.com"), (":path", "/v1/orders/42"), ("user-agent", "curl/8.5.0"), ("accept", "*/*"),
]
let browser = [
    (":method", "GET"), (":authority", "www.example.com"), (":scheme", "https"), (":path", "/assets/app.js?v=3"),
    ("sec-ch-ua", "\"Chromium\";v=\"124\", \"Google Chrome\";v=\"124\", \"Not-A.Brand\";v=\"99\""), ("sec-ch-ua-mobile", "?0"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36"),
    ("sec-ch-ua-platform", "\"Linux\""), ("accept", "*/*"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "script"),
    ("referer", "https://www.example.com/"), ("accept-encoding", "gzip, deflate, br, zstd"), ("accept-language", "en-US,en;q=0.9"),
]
let response = [(":status", "200"), ("date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("content-length", "1234"), ("content-type", "application/json")]

/// Fields as nghttp2 takes them. Their memory is never freed.
func list(_ fields: [(String, String)]) -> [nghttp2_nv] {
    func copy(_ string: String) -> UnsafeMutablePointer<UInt8> {
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: string.utf8.count + 1)
        for (index, byte) in string.utf8.enumerated() { bytes[index] = byte }
        return bytes
    }
    return fields.map { nghttp2_nv(name: copy($0.0), value: copy($0.1), namelen: $0.0.utf8.count, valuelen: $0.1.utf8.count, flags: 0) }
}

func newDeflater() -> OpaquePointer {
    var deflater: OpaquePointer?
    precondition(nghttp2_hd_deflate_new(&deflater, 4096) == 0)
    return deflater!
}

func newInflater() -> OpaquePointer {
    var inflater: OpaquePointer?
    precondition(nghttp2_hd_inflate_new(&inflater) == 0)
    return inflater!
}

/// The blocks of the same fields sent so many times over one connection.
func blocks(_ fields: [(String, String)], _ count: Int) -> [[UInt8]] {
    let deflater = newDeflater()
    defer { nghttp2_hd_deflate_del(deflater) }
    let fields = list(fields)
    return (0..<count).map { _ in Array(UnsafeBufferPointer(start: output, count: nghttp2_hd_deflate_hd(deflater, output, 1 << 16, fields, fields.count))) }
}

@inline(never) func inflate(_ inflater: OpaquePointer, _ block: UnsafeBufferPointer<UInt8>) -> Int {
    var at = 0
    var sum = 0
    var field = nghttp2_nv()
    var flags: Int32 = 0
    while true {
        let used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, block.baseAddress! + at, block.count - at, 1)
        precondition(used >= 0)
        at += used
        if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
            // A server needs the bytes beyond the next call.
            memcpy(text + sum, field.name, field.namelen)
            memcpy(text + sum + field.namelen, field.value, field.valuelen)
            sum += field.namelen + field.valuelen
        }
        if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
    }
    nghttp2_hd_inflate_end_headers(inflater)
    return sum
}

@inline(never) func decode(_ decoder: inout HPACKDecoder, _ sink: inout HPACKFieldSink, _ block: UnsafeBufferPointer<UInt8>) -> Int {
    sink.reset()
    guard decoder.decode(block.baseAddress!, count: block.count, into: &sink) == .complete else { fatalError("ours refuses it") }
    return sink.textCount
}

let lines: [UInt8] = Array("content-type: application/json\r\n".utf8)
let date: [UInt8] = Array(response[1].1.utf8)

@inline(never) func encode(_ encoder: inout HPACKEncoder, _ lines: UnsafeBufferPointer<UInt8>, _ date: UnsafePointer<UInt8>) -> Int {
    encoder.begin(output, capacity: 1 << 16)
    encoder.status(200)
    encoder.date(date)
    encoder.contentLength(1234)
    encoder.fields(text: lines.baseAddress!, count: lines.count)
    return encoder.end()
}

func pad(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
func tenths(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

let rounds = CommandLine.arguments.count > 1 ? Int(CommandLine.arguments[1]) ?? 31 : 31
print("what                            bytes   nghttp2 ns (median)      ours ns (median)  ours/nghttp2")

/// Both in turns; each answers a checksum.
func compare(_ name: String, bytes: Int, repeats: Int, theirs: (Int) -> Int, ours: (Int) -> Int) {
    var times: (theirs: [Double], ours: [Double]) = ([], [])
    var checksum = 0
    for _ in 0..<rounds {
        let before = nanoseconds()
        checksum &+= theirs(repeats)
        let between = nanoseconds()
        checksum &+= ours(repeats)
        let after = nanoseconds()
        times.theirs.append(Double(between - before) / Double(repeats))
        times.ours.append(Double(after - between) / Double(repeats))
    }
    times.theirs.sort()
    times.ours.sort()
    print(
        "\(name)\(pad("\(bytes)", 37 - name.count))\(pad(tenths(times.theirs[0]), 12)) \(pad("(\(tenths(times.theirs[rounds / 2])))", 9))"
            + "\(pad(tenths(times.ours[0]), 12)) \(pad("(\(tenths(times.ours[rounds / 2])))", 9))\(pad("\((times.ours[0] / times.theirs[0] * 100).rounded() / 100)", 14))   \(checksum)")
}

func decodeFirst(_ name: String, _ fields: [(String, String)]) {
    let block = blocks(fields, 1)[0]
    block.withUnsafeBufferPointer { block in
        compare(
            name, bytes: block.count, repeats: 4000,
            theirs: { repeats in
                var sum = 0
                for _ in 0..<repeats {
                    let inflater = newInflater()
                    sum &+= inflate(inflater, block)
                    nghttp2_hd_inflate_del(inflater)
                }
                return sum
            },
            ours: { repeats in
                var sum = 0
                var sink = HPACKFieldSink(text: text, textCapacity: 1 << 16, slots: slots, slotCapacity: 128, listBytesMax: 1 << 16)
                for _ in 0..<repeats {
                    var decoder = HPACKDecoder()
                    sum &+= decode(&decoder, &sink, block)
                }
                return sum
            })
    }
}

func decodeAgain(_ name: String, _ fields: [(String, String)]) {
    let both = blocks(fields, 3)
    let inflater = newInflater()
    defer { nghttp2_hd_inflate_del(inflater) }
    // Closures do not capture what is not copied: both lie in memory of their own.
    let place = UnsafeMutablePointer<HPACKDecoder>.allocate(capacity: 1)
    place.initialize(to: HPACKDecoder())
    let sinkPlace = UnsafeMutablePointer<HPACKFieldSink>.allocate(capacity: 1)
    sinkPlace.initialize(to: HPACKFieldSink(text: text, textCapacity: 1 << 16, slots: slots, slotCapacity: 128, listBytesMax: 1 << 16))
    for block in both.dropLast() {
        block.withUnsafeBufferPointer { precondition(inflate(inflater, $0) == decode(&place.pointee, &sinkPlace.pointee, $0)) }
    }
    both[2].withUnsafeBufferPointer { block in
        compare(
            name, bytes: block.count, repeats: 40_000,
            theirs: { var sum = 0; for _ in 0..<$0 { sum &+= inflate(inflater, block) }; return sum },
            ours: { var sum = 0; for _ in 0..<$0 { sum &+= decode(&place.pointee, &sinkPlace.pointee, block) }; return sum })
        place.deinitialize(count: 1)
        place.deallocate()
        sinkPlace.deallocate()
    }
}

decodeFirst("decode curl, first", curl)
decodeAgain("decode curl, again", curl)
// nghttp2 never indexes a path: with this one, which is in the static table, all fields are indexed.
decodeAgain("decode curl of /, again", curl.map { $0.0 == ":path" ? ($0.0, "/") : $0 })
decodeFirst("decode browser, first", browser)
decodeAgain("decode browser, again", browser)

let deflater = newDeflater()
let encoder = UnsafeMutablePointer<HPACKEncoder>.allocate(capacity: 1)
encoder.initialize(to: HPACKEncoder())
let fields = list(response)
lines.withUnsafeBufferPointer { lines in
    date.withUnsafeBufferPointer { date in
        _ = encode(&encoder.pointee, lines, date.baseAddress!)
        compare(
            "encode response, again", bytes: encode(&encoder.pointee, lines, date.baseAddress!), repeats: 40_000,
            theirs: { var sum = 0; for _ in 0..<$0 { sum &+= nghttp2_hd_deflate_hd(deflater, output, 1 << 16, fields, fields.count) }; return sum },
            ours: { var sum = 0; for _ in 0..<$0 { sum &+= encode(&encoder.pointee, lines, date.baseAddress!) }; return sum })
    }
}
