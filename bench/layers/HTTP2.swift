// HPACK and HTTP/2: field blocks there and back, and a whole exchange of the server's engine, frames included.

import UringHPACK
import UringHTTP
import UringHTTP2

private let fieldSlots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 128)
private let fieldMemory = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)
private let blockMemory = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 16)

func http2Benchmarks() -> [Benchmark] { hpackBenchmarks() + [exchange(streams: 1), exchange(streams: 100)] }

private func hpackBenchmarks() -> [Benchmark] {
    let lines = bytes("content-type: application/json\r\nserver: bench\r\n".utf8)
    let date = bytes("Mon, 21 Oct 2013 20:13:21 GMT".utf8)
    let encoder = place(HPACKEncoder())
    func encode() -> Int {
        encoder.pointee.begin(blockMemory, capacity: 1 << 16)
        encoder.pointee.status(200)
        encoder.pointee.date(date.baseAddress!)
        encoder.pointee.contentLength(1234)
        encoder.pointee.fields(text: lines.baseAddress!, count: lines.count)
        return encoder.pointee.end()
    }
    // RFC 7541 C.4: three requests of one connection, with Huffman; and the third once more, all of it from the table by then.
    let requests = ["828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf"].map(block)
    let again = block("828785bfbe")
    let decoder = place(HPACKDecoder())
    let sink = UnsafeMutablePointer<HPACKFieldSink>.allocate(capacity: 1)
    sink.initialize(to: HPACKFieldSink(text: fieldMemory, textCapacity: 1 << 16, slots: fieldSlots, slotCapacity: 128, listBytesMax: 1 << 16))
    func decode(_ decoder: UnsafeMutablePointer<HPACKDecoder>, _ block: UnsafeMutableBufferPointer<UInt8>) -> UInt64 {
        sink.pointee.reset()
        guard decoder.pointee.decode(UnsafePointer(block.baseAddress!), count: block.count, into: &sink.pointee) == .complete else { fatalError("a good block is refused") }
        return UInt64(sink.pointee.textCount)
    }
    for request in requests { _ = decode(decoder, request) }
    let first = place(HPACKDecoder())
    return [
        Benchmark(name: "hpack.encode-response") { count in
            var sum: UInt64 = 0
            for _ in 0..<count { sum &+= UInt64(encode()) }
            return sum
        },
        Benchmark(name: "hpack.decode-literal", size: requests[0].count) { count in
            var sum: UInt64 = 0
            for _ in 0..<count { sum &+= decode(first, requests[0]) }
            return sum
        },
        Benchmark(name: "hpack.decode-indexed", size: again.count) { count in
            var sum: UInt64 = 0
            for _ in 0..<count { sum &+= decode(decoder, again) }
            return sum
        },
    ]
}

private func block(_ hexadecimal: String) -> UnsafeMutableBufferPointer<UInt8> {
    let digits = hexadecimal.compactMap(\.hexDigitValue)
    return bytes(stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) })
}

/// What the server's engine takes for a request and its answer: HEADERS in, HEADERS and DATA out, settings and windows. The client's engine is not counted.
private func exchange(streams: Int) -> Benchmark {
    let world = World(Workload(name: "GET", streams: streams, isRPC: false))
    return Benchmark(name: "http2.exchange-\(streams)", multiple: streams, countsOwn: true) { count in
        let before = world.received
        for _ in 0..<count / streams {
            world.sendRequests()
            own.begin()
            world.serve()
            own.end()
            world.readResponses()
        }
        return UInt64(world.received - before)
    }
}
