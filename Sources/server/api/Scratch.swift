// Scratch: memory of a request, from its loop's arena. Inside handlers; gone when the next handler is called.

internal import UringBase
internal import UringHTTP

extension Request {
    /// `count` bytes of zeroes that belong to this request: no malloc, nothing to free, freed all at once after the handler. nil when memory
    /// is refused, or `count` is beyond `scratchBytesMax` in all (a request must not take the loop's memory).
    ///
    /// Debug builds put a red zone behind every allocation and trap when it was written to.
    @_lifetime(borrow self)
    public func scratch(_ count: Int) -> MutableSpan<UInt8>? {
        guard let memory = unsafe allocate(count) else { return nil }
        unsafe memory.initialize(repeating: 0, count: count)
        let span = unsafe MutableSpan<UInt8>(_unsafeStart: memory, count: count)
        // SAFETY: the arena is reset before the next handler call on this loop, and the request does not outlive its own.
        return unsafe _overrideLifetime(span, borrowing: self)
    }

    /// Most bytes that one request may take by `scratch` and `decoded`: 1 MiB.
    public static var scratchBytesMax: Int { 1 << 20 }

    /// A view without its percent-encoding, in scratch memory: `%2F` becomes a slash, `+` stays. nil when a `%` is not followed by two
    /// hexadecimal digits, when it stands for NUL, or when memory is refused.
    @_lifetime(borrow self)
    public func decoded(_ view: ByteView) -> ByteView? {
        let count = view.count
        guard count > 0, let memory = unsafe allocate(count) else {
            return count == 0 ? unsafe ByteView(_overrideLifetime(Span<UInt8>(), borrowing: self)) : nil
        }
        // SAFETY: the view's bytes are readable during this call; the target has room for as many, and the result is never longer.
        let outcome = unsafe view.span.withUnsafeBufferPointer {
            unsafe PercentDecoder.decode($0.baseAddress!, count: count, into: memory, capacity: count)
        }
        guard case .decoded(let length) = outcome else { return nil }
        let span = unsafe Span<UInt8>(_unsafeStart: UnsafePointer(memory), count: length)
        // SAFETY: as in `scratch`.
        return unsafe ByteView(_overrideLifetime(span, borrowing: self))
    }

    func allocate(_ count: Int) -> UnsafeMutablePointer<UInt8>? {
        unsafe context.pointee.liveLoop?._withUnsafeGuaranteedRef { loop in
            guard let arena = unsafe context.pointee.worker.map({ unsafe $0.takeUnretainedValue().scratch(loop.pool) }) ?? loop.arena else { return nil }
            guard count >= 0, count <= Self.scratchBytesMax, unsafe arena.pointee.used &+ count <= Self.scratchBytesMax else { return nil }
            return unsafe arena.pointee.allocate(count)?.bindMemory(to: UInt8.self, capacity: count)
        }
    }
}
