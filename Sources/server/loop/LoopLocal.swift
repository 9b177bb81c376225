// LoopLocal: what middleware keeps for each loop by itself: compressors, tables of counts, verifiers. Never shared, so never locked. Made by the loop that first asks.

/// An object of each loop's own, made when the loop first needs it, and released when the application is replaced or the loop ends.
package final class LoopLocal<Value: AnyObject>: Sendable {
    private let make: @Sendable () -> Value

    package init(_ make: @escaping @Sendable () -> Value) { self.make = make }

    /// Calls `body` with the object of the response's loop. No reference is counted.
    package func with<Result>(_ response: borrowing Response, _ body: (Value) -> Result) -> Result {
        // SAFETY: the loop is the one that runs this; its table keeps the object until the application is replaced, which no handler call can do.
        unsafe response.context.pointee.loop._withUnsafeGuaranteedRef { loop in
            let found = unsafe loop.state.pointee.locals.find(self) ?? loop.state.pointee.locals.add(self, make())
            return unsafe found._withUnsafeGuaranteedRef { unsafe body(unsafeDowncast($0, to: Value.self)) }
        }
    }
}

/// A loop's objects. There are as many as the application has middleware that needs one: a list is searched as fast as anything else.
@unsafe
struct LoopLocals {
    @unsafe private struct Entry {
        /// Retained, so that no other can have its address.
        let key: Unmanaged<AnyObject>
        let value: Unmanaged<AnyObject>
    }

    private var entries: [Entry] = unsafe []

    func find(_ key: AnyObject) -> Unmanaged<AnyObject>? {
        let address = unsafe Unmanaged.passUnretained(key).toOpaque()
        for index in unsafe 0..<entries.count where unsafe entries[index].key.toOpaque() == address { return unsafe entries[index].value }
        return nil
    }

    @inline(never)
    mutating func add(_ key: AnyObject, _ value: AnyObject) -> Unmanaged<AnyObject> {
        let kept = unsafe Unmanaged.passRetained(value)
        unsafe entries.append(Entry(key: .passRetained(key), value: kept))
        return unsafe kept
    }

    mutating func removeAll() {
        guard unsafe !entries.isEmpty else { return }
        for index in unsafe 0..<entries.count {
            unsafe entries[index].value.release()
            unsafe entries[index].key.release()
        }
        unsafe entries = unsafe []
    }
}
