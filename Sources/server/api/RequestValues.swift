// RequestValues: what middleware leaves for handlers, under typed keys, for the life of one request. Part of the response's state, so that it goes where that goes (a
// body's receiver, an async handler). The loop's thread.

internal import Synchronization

/// Names a value that middleware leaves for handlers: who asks, what was verified.
///
///     enum Keys { static let user = RequestKey<UInt64>() }
///
///     router.use { request, response, next in
///         response[Keys.user] = 42
///         try next(request, &response)
///     }
///     router.get("/me") { request, response in
///         guard let user = response[Keys.user] else { throw HTTPError(.unauthorized) }
///         response.write("\(user)\n")
///     }
///
/// Make each key once, as a static: every `init` makes another one.
public struct RequestKey<Value>: Sendable {
    let number: UInt64

    /// A key like no other.
    public init() { number = RequestKeyNumbers.next() }
}

private enum RequestKeyNumbers {
    private static let last = Atomic<UInt64>(0)
    static func next() -> UInt64 { last.add(1, ordering: .relaxed).newValue }
}

extension Response {
    /// The value that was left under this key for this request; nil when none was. It is there from the middleware that sets it to the last call for this request:
    /// handler, body receiver, async handler and steps (`beforeSending`); `restart` and errors keep it.
    ///
    /// Values without references (numbers, structs of such) cost a copy; others a retain and release, no allocation. A value is looked for among those of its request.
    public subscript<Value>(key: RequestKey<Value>) -> Value? {
        get { unsafe state.pointee.values.find(key.number)?.assumingMemoryBound(to: Value.self).pointee }
        nonmutating set { unsafe state.pointee.values.set(key.number, newValue) }
    }

    /// Memory for `bytes` bytes that lives as long as the values of this request, aligned to 16, not initialised.
    package func valueMemory(_ bytes: Int) -> UnsafeMutableRawPointer { unsafe state.pointee.values.allocate(bytes) }
}

/// How values of a type end. A metatype of it costs no reference.
private protocol ValueEnd {
    static func destroy(_ memory: UnsafeMutableRawPointer)
}

private enum EndOf<Value>: ValueEnd {
    static func destroy(_ memory: UnsafeMutableRawPointer) { unsafe memory.assumingMemoryBound(to: Value.self).deinitialize(count: 1) }
}

/// The values of one request. Keeps its first block from request to request; none until the first value.
@unsafe
struct RequestValues {
    @unsafe private struct Entry {
        let number: UInt64
        /// nil: removed.
        var memory: UnsafeMutableRawPointer?
        /// Of values that hold references.
        let end: (any ValueEnd.Type)?
    }

    /// Claims of a token and a few numbers; what is more comes from malloc, and is freed with the request.
    private static let blockBytes = 4096
    private static let entriesFirst = 8

    private var block: UnsafeMutableRawPointer?
    private var used = 0
    private var entries: UnsafeMutablePointer<Entry>?
    private var count = 0
    private var capacity = 0
    /// Beyond the block, linked by their first word.
    private var extra: UnsafeMutableRawPointer?

    /// Nothing to drop.
    var isEmpty: Bool { unsafe used == 0 && extra == nil }

    func find(_ number: UInt64) -> UnsafeMutableRawPointer? {
        for index in unsafe 0..<count where unsafe entries![index].number == number { return unsafe entries![index].memory }
        return nil
    }

    mutating func set<Value>(_ number: UInt64, _ value: Value?) {
        for index in unsafe 0..<count where unsafe entries![index].number == number { return unsafe replace(index, value) }
        guard let value else { return }
        let memory = unsafe place(for: Value.self)
        unsafe memory.initializeMemory(as: Value.self, to: value)
        if unsafe count == capacity { unsafe grow() }
        unsafe (entries! + count).initialize(to: Entry(number: number, memory: memory, end: Self.end(of: Value.self)))
        unsafe count &+= 1
    }

    private mutating func replace<Value>(_ index: Int, _ value: Value?) {
        let old = unsafe entries![index].memory
        if let old = unsafe old { unsafe entries![index].end?.destroy(old) }
        unsafe entries![index].memory = nil
        guard let value else { return }
        let memory = unsafe old ?? place(for: Value.self)
        unsafe memory.initializeMemory(as: Value.self, to: value)
        unsafe entries![index].memory = unsafe memory
    }

    private static func end<Value>(of: Value.Type) -> (any ValueEnd.Type)? { _isPOD(Value.self) ? nil : EndOf<Value>.self }

    private mutating func place<Value>(for: Value.Type) -> UnsafeMutableRawPointer {
        precondition(MemoryLayout<Value>.alignment <= 16, "BUG: a request value with an alignment beyond 16")
        return unsafe allocate(MemoryLayout<Value>.size)
    }

    @inline(never)
    private mutating func grow() {
        let wanted = unsafe max(Self.entriesFirst, capacity * 2)
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: wanted)
        if let entries = unsafe entries {
            unsafe larger.moveInitialize(from: entries, count: count)
            unsafe entries.deallocate()
        }
        unsafe (entries, capacity) = unsafe (larger, wanted)
    }

    /// Aligned to 16; valid until `removeAll`.
    mutating func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        let needed = (max(1, bytes) &+ 15) & ~15
        if unsafe block == nil { unsafe block = .allocate(byteCount: Self.blockBytes, alignment: 16) }
        if unsafe needed <= Self.blockBytes &- used {
            defer { unsafe used &+= needed }
            return unsafe block! + used
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: needed + 16, alignment: 16)
        unsafe memory.storeBytes(of: extra, as: UnsafeMutableRawPointer?.self)
        unsafe extra = unsafe memory
        return unsafe memory + 16
    }

    mutating func removeAll() {
        for index in unsafe 0..<count {
            if let end = unsafe entries![index].end, let memory = unsafe entries![index].memory { unsafe end.destroy(memory) }
        }
        unsafe (count, used) = (0, 0)
        while let memory = unsafe extra {
            unsafe extra = unsafe memory.load(as: UnsafeMutableRawPointer?.self)
            unsafe memory.deallocate()
        }
    }

    mutating func destroy() {
        unsafe removeAll()
        unsafe block?.deallocate()
        unsafe entries?.deallocate()
    }
}
