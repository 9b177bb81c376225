// Fuzz target: the chunked decoder. A property that fails traps, which the fuzzer reports with the input.
//
// 1. No crash, no read outside the input.
// 2. The way the bytes arrive changes neither the body nor the fault, and in-place decoding gives the same body.
// 3. A decoded body, encoded again in one chunk, decodes to itself.

import UringHTTP
import UringHTTP1

private struct Result: Equatable {
    var body: [UInt8] = []
    /// Position behind the body, nil when it did not end.
    var end: Int?
    var trailerCount = 0
    var fault: RequestFault?
}

private let bodyBytesMax: UInt64 = 1 << 20

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

/// Decodes with `step` more bytes at a time, each piece in an allocation of its own size.
private func decode(_ bytes: [UInt8], step: Int) -> Result {
    var decoder = ChunkedDecoder(bodyBytesMax: bodyBytesMax)
    var result = Result()
    var from = 0
    var available = 0
    while true {
        let input = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: available - from)
        defer { input.deallocate() }
        _ = input.initialize(from: bytes[from..<available])
        let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: 32)
        defer { slots.deallocate() }
        let base = UnsafePointer(input.baseAddress ?? UnsafeMutablePointer(bitPattern: 16)!)
        switch decoder.decode(base, count: input.count, trailers: slots, trailerCapacity: 32) {
        case .data(let start, let length):
            check(length > 0 && start >= 0 && start + length <= input.count, "data outside the input")
            result.body += input[start..<start + length]
            from += start + length
        case .needMore(let consumed):
            check(consumed >= 0 && consumed <= input.count, "consumed more than the input")
            from += consumed
            if available == bytes.count { return result }
            available = min(bytes.count, available + step)
        case .end(let consumed, let trailerCount):
            check(consumed <= input.count, "consumed more than the input")
            for index in 0..<trailerCount {
                let slot = slots[index]
                check(Int(slot.nameOffset) + Int(slot.nameLength) < input.count && slot.nameLength > 0, "a trailer name outside the input")
                check(Int(slot.valueOffset) + Int(slot.valueLength) < input.count, "a trailer value outside the input")
                check(!slot.known.isForbiddenInTrailers, "a forbidden trailer")
            }
            result.end = from + consumed
            result.trailerCount = trailerCount
            return result
        case .malformed(let fault):
            result.fault = fault
            return result
        }
    }
}

private func decodeInPlace(_ bytes: [UInt8]) -> (body: [UInt8], step: ChunkedDecoder.Step) {
    let copy = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    defer { copy.deallocate() }
    _ = copy.initialize(from: bytes)
    var decoder = ChunkedDecoder(bodyBytesMax: bodyBytesMax)
    let (length, step) = decoder.decodeInPlace(copy.baseAddress!, count: bytes.count)
    return (Array(copy[..<length]), step)
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    // The first byte chooses how to split.
    let choice = Int(data[0])
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: size - 1))
    let whole = decode(bytes, step: max(bytes.count, 1))
    let steps = decode(bytes, step: 1 + choice % 19)
    // A fault in an unfinished trailer line may be told later when bytes trickle in.
    let isLate = whole.fault != nil && steps.fault == nil && steps.end == nil
    check(isLate || steps == whole, "bytes that arrive in pieces give another answer")
    check(UInt64(whole.body.count) <= bodyBytesMax, "the body is longer than the limit")

    let inPlace = decodeInPlace(bytes)
    check(inPlace.body == whole.body, "in-place decoding gives another body")
    switch inPlace.step {
    case .end(let consumed, _): check(whole.end == consumed, "in-place decoding ends elsewhere")
    case .malformed(let fault): check(whole.fault == fault, "in-place decoding gives another fault")
    case .needMore: check(whole.end == nil && whole.fault == nil, "in-place decoding needs more")
    case .data: check(false, "in-place decoding answers data")
    }

    if whole.end != nil {
        var encoded = [UInt8](repeating: 0, count: ResponseEncoder.chunkHeaderBytesMax)
        let length = ResponseEncoder.writeChunkHeader(size: UInt64(whole.body.count), to: &encoded)
        encoded = Array(encoded[..<length]) + whole.body + (length > 0 ? Array("\r\n".utf8) : []) + Array("0\r\n\r\n".utf8)
        let again = decode(encoded, step: 64)
        check(again == Result(body: whole.body, end: encoded.count), "a body, encoded again, decodes differently")
    }
    return 0
}
