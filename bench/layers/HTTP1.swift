// HTTP/1.1: parsing heads, in one piece and beside picohttpparser; a body of 10 KB as slices and in growing buffers; chunks; heads of responses.

import Glibc
import UringHTTP
import UringHTTP1

/// The parser with its storage, as a loop has them.
private struct Parser {
    private let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 128)
    let head = UnsafeMutablePointer<RequestHead>.allocate(capacity: 1)
    private let limits = ParserLimits()

    init() { head.initialize(to: RequestHead()) }

    func parse(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        let outcome = RequestParser.parse(bytes, count: count, alreadyScanned: 0, head: head, fields: slots, fieldCapacity: 128, limits: limits)
        guard outcome == .complete else { fatalError("\(outcome)") }
        return head.pointee.headLength &+ head.pointee.fieldCount
    }
}

func http1Benchmarks() -> [Benchmark] {
    let parser = Parser()
    let samples = [("small", SampleRequests.small), ("browser", SampleRequests.browser), ("large", SampleRequests.large)].map { ($0.0, bytes($0.1)) }
    var list = samples.map { name, bytes in
        Benchmark(name: "parse.\(name)", size: bytes.count) { count in
            var sum: UInt64 = 0
            for _ in 0..<count { sum &+= UInt64(parser.parse(UnsafePointer(bytes.baseAddress!), bytes.count)) }
            return sum
        }
    }
    if let pico = Pico() {
        list += samples.map { name, bytes in
            Benchmark(name: "parse.\(name).pico", size: bytes.count) { count in
                var sum: UInt64 = 0
                for _ in 0..<count { sum &+= UInt64(pico.parse(UnsafePointer(bytes.baseAddress!), bytes.count)) }
                return sum
            }
        }
    }
    return list + bodyBenchmarks(parser) + chunkBenchmarks() + [responseBenchmark()]
}

/// picohttpparser as Debian's libh2o-evloop-dev has it, looked for at run time: the package builds without it.
private struct Pico {
    /// `struct phr_header` is four words.
    private typealias Parse = @convention(c) (
        UnsafePointer<UInt8>, Int, UnsafeMutablePointer<UnsafeRawPointer?>, UnsafeMutablePointer<Int>, UnsafeMutablePointer<UnsafeRawPointer?>, UnsafeMutablePointer<Int>,
        UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int>, UnsafeMutablePointer<Int>, Int
    ) -> Int32
    private let function: Parse
    private let headers = UnsafeMutablePointer<Int>.allocate(capacity: 4 * 128)

    init?() {
        guard let library = dlopen("libh2o-evloop.so", RTLD_NOW), let symbol = dlsym(library, "phr_parse_request") else { return nil }
        function = unsafeBitCast(symbol, to: Parse.self)
    }

    func parse(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Int {
        var (method, path): (UnsafeRawPointer?, UnsafeRawPointer?) = (nil, nil)
        var (methodCount, pathCount, minor, headerCount) = (0, 0, Int32(0), 128)
        let length = function(bytes, count, &method, &methodCount, &path, &pathCount, &minor, headers, &headerCount, 0)
        guard length > 0 else { fatalError("pico: \(length)") }
        return Int(length) &+ headerCount
    }
}

// MARK: a body of 10 KB

private func bodyBenchmarks(_ parser: Parser) -> [Benchmark] {
    let body = (0..<10_000).map { UInt8(truncatingIfNeeded: 97 + $0 % 26) }
    let request = Array("POST /api/v1/orders HTTP/1.1\r\nHost: api.example.com\r\nContent-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body
    let received = bytes(request)
    return [
        // Head and body are views of the buffer that the kernel has filled.
        Benchmark(name: "body-10k.slices", size: request.count) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                let start = UnsafePointer(received.baseAddress!)
                let headCount = parser.parse(start, received.count) &- parser.head.pointee.fieldCount
                let slice = UnsafeBufferPointer(start: start + headCount, count: received.count &- headCount)
                sum &+= UInt64(slice.count) &+ UInt64(slice[0]) &+ UInt64(slice[slice.count &- 1])
            }
            return sum
        },
        // What a program does that reads into a buffer of its own, 1460 bytes at a time (an Ethernet frame's worth), and hands out copies.
        Benchmark(name: "body-10k.growing", size: request.count) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                var buffer: [UInt8] = []
                var at = 0
                while at < received.count {
                    let end = min(received.count, at + 1460)
                    buffer.append(contentsOf: UnsafeBufferPointer(rebasing: received[at..<end]))
                    at = end
                }
                let headCount = buffer.withUnsafeBufferPointer { parser.parse($0.baseAddress!, $0.count) } &- parser.head.pointee.fieldCount
                let copy = Array(buffer[headCount...])
                sum &+= UInt64(copy.count) &+ UInt64(copy[0]) &+ UInt64(copy[copy.count &- 1])
            }
            return sum
        },
    ]
}

// MARK: chunks

private func chunkBenchmarks() -> [Benchmark] {
    let data = [UInt8](repeating: 0x61, count: 1024)
    let body = (0..<16).flatMap { _ in Array("400\r\n".utf8) + data + Array("\r\n".utf8) } + Array("0\r\n\r\n".utf8)
    let input = bytes(body)
    let output = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
    return [
        Benchmark(name: "chunked.decode-16x1k", size: body.count) { count in
            var sum: UInt64 = 0
            for _ in 0..<count {
                var decoder = ChunkedDecoder()
                var at = 0
                decoding: while true {
                    switch decoder.decode(UnsafePointer(input.baseAddress!) + at, count: input.count - at) {
                    case .data(let start, let length):
                        sum &+= UInt64(length)
                        at += start + length
                    case .end: break decoding
                    default: fatalError("a good body is refused")
                    }
                }
            }
            return sum
        },
        Benchmark(name: "chunked.header") { count in
            var sum: UInt64 = 0
            for index in 0..<count { sum &+= UInt64(ResponseEncoder.writeChunkHeader(size: UInt64(1024 + index & 0xffff), to: output)) }
            return sum
        },
    ]
}

private func responseBenchmark() -> Benchmark {
    let output = UnsafeMutablePointer<UInt8>.allocate(capacity: 1024)
    let date = bytes("Mon, 21 Oct 2013 20:13:21 GMT".utf8)
    let field = bytes("content-type: application/json\r\n".utf8)
    func encode(_ length: Int) -> Int {
        var at = ResponseEncoder.encodeHead(
                into: output, capacity: 1024, status: .ok, date: date.baseAddress!, framing: .length(UInt64(length)), connection: .implicit)!
        (output + at).update(from: field.baseAddress!, count: field.count)
        at += field.count
        return at + ResponseEncoder.endHead(output + at)
    }
    return Benchmark(name: "response.head", size: encode(1000)) { count in
        var sum: UInt64 = 0
        for index in 0..<count { sum &+= UInt64(encode(1000 + index & 511)) }
        return sum
    }
}
