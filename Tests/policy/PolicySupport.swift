@testable import UringPolicy

/// What `body` writes, in room of exactly `capacity` bytes; nil when it did not fit.
func written(capacity: Int = 4096, _ body: (inout ByteSink) -> Void) -> [UInt8]? {
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(capacity, 1))
    defer { unsafe memory.deallocate() }
    var sink = unsafe ByteSink(memory, capacity: capacity)
    body(&sink)
    return sink.isTruncated ? nil : unsafe Array(UnsafeBufferPointer(start: memory, count: sink.count))
}

func text(capacity: Int = 4096, _ body: (inout ByteSink) -> Void) -> String? { written(capacity: capacity, body).map { String(decoding: $0, as: UTF8.self) } }

/// A copy in an allocation of exactly its size, so that the address sanitizer sees reads beyond it.
func exactly<R>(_ bytes: some Collection<UInt8>, _ body: (Span<UInt8>) -> R) -> R {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: bytes.count)
    defer { unsafe memory.deallocate() }
    _ = unsafe memory.initialize(from: bytes)
    return unsafe body(Span(_unsafeElements: UnsafeBufferPointer(memory)))
}

func exactly<R>(_ text: String, _ body: (Span<UInt8>) -> R) -> R { exactly(Array(text.utf8), body) }

func address(_ text: String) -> IPAddress { IPAddress(text)! }

let second: UInt64 = 1_000_000_000
