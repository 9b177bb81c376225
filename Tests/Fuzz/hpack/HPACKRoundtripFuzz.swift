// Fuzz target: the encoder. A property that fails traps, which the fuzzer reports with the input.
//
// The input is a program of table sizes and field lists for one connection. What our encoder writes is read back by our decoder and by
// nghttp2; what nghttp2 writes of the same fields is read by our decoder. Both give the fields, and both sides' tables stay equal.

import UringHPACK

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

private let names = ["content-type", "server", "x-a", "x-long-name-of-a-field", "etag", "cookie", "set-cookie", "vary", "a", "location"]

/// Takes the program from the front.
private struct Program {
    var rest: ArraySlice<UInt8>

    mutating func byte() -> Int { Int(rest.popFirst() ?? 0) }

    /// A name of the list, or one of token characters; upper case comes in as lower case is expected back.
    mutating func field() -> Field {
        let choice = byte()
        let own = 1 + choice / 16
        let name = choice % 11 < names.count
            ? names[choice % 11] : String(decoding: rest.prefix(own).map { UInt8(0x61) + $0 % 26 } + [0x78], as: UTF8.self)
        let length = byte()
        // Some are long enough for lengths of several octets.
        let count = length < 0xf0 ? length % 64 : 100 + (length - 0xf0) * 1200
        let pattern = rest.prefix(min(count, 8))
        rest = rest.dropFirst(pattern.count)
        var value = (0..<count).map { pattern.isEmpty ? UInt8(0x62) : 0x21 + pattern[pattern.startIndex + $0 % pattern.count] % 94 }
        if value.count > 4 && choice & 1 == 1 { (value[1], value[2], value[3]) = (0x20, 0x09, 0xe4) }
        return Field(name, bytes: value)
    }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    var program = Program(rest: Array(UnsafeBufferPointer(start: data, count: size))[...])
    let (encoder, decoder, inflater) = (TestEncoder(), TestDecoder(textCapacity: 1 << 17), Inflater())
    let (deflater, reader) = (Deflater(), TestDecoder(textCapacity: 1 << 17))
    while !program.rest.isEmpty {
        let command = program.byte()
        if command & 0x80 != 0 {
            let bytesMax = command & 0x40 != 0 ? program.byte() : program.byte() * 17
            encoder.setPeerTableBytesMax(bytesMax)
            deflater.setTableBytesMax(min(bytesMax, 4096))
            reader.setTableBytesMax(min(bytesMax, 4096))
        }
        let fields = (0..<command % 8).map { _ in program.field() }
        let block = command & 0x20 != 0 ? encoder.encode(fields) : encoder.encodeSingly(fields)
        check(decoder.decode(block) == .fields(fields), "our decoder reads something else")
        check(decoder.tableBytes == encoder.tableBytes, "the tables differ")
        check(inflater.decode(block) == fields, "nghttp2 reads something else")
        check(reader.decode(deflater.encode(fields)) == .fields(fields), "nghttp2's block is read as something else")
    }
    return 0
}
