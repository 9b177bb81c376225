// RouteName: a route's name as requests carry it: an address and a length, no reference count. Any thread.

internal import Glibc
internal import UringBase

/// The name of a route, for stall reports, logs and metrics. Its bytes live as long as the process, so that a request, a log line or a
/// response that outlasts a reload can hold it at no cost.
@safe
public struct RouteName: Sendable, CustomStringConvertible {
    /// Valid as long as the process.
    nonisolated(unsafe) private let base: UnsafePointer<UInt8>
    /// Length in bytes.
    public let count: Int

    private init(base: UnsafePointer<UInt8>, count: Int) {
        unsafe self.base = unsafe base
        self.count = count
    }

    /// The name of a literal; costs nothing.
    public init(_ literal: StaticString) { unsafe self.init(base: literal.utf8Start, count: literal.utf8CodeUnitCount) }

    /// A name known at run time only. The first use of each name takes its bytes for good: names of a configuration are few, and a
    /// reload brings mostly the same ones. Not for text that clients choose.
    public init(registering name: String) {
        self = Self.registered.withLock { names in
            if let known = names[name] { return known }
            let bytes = Array(name.utf8)
            // Never freed: see above.
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: bytes.count + 1)
            unsafe memory[bytes.count] = 0
            unsafe bytes.withUnsafeBufferPointer { if let from = $0.baseAddress { unsafe memory.update(from: from, count: $0.count) } }
            let made = unsafe RouteName(base: UnsafePointer(memory), count: bytes.count)
            names[name] = made
            return made
        }
    }

    /// For memory that has room for one word. Addresses have at most 47 bits on the machines that this runs on, 48 on arm64.
    var address: UInt64 { unsafe UInt64(UInt(bitPattern: base)) }

    /// The name whose `address` it is: literals and registered names alike end with a NUL.
    static func text(at address: UInt) -> String {
        // SAFETY: names live as long as the process.
        guard let base = unsafe UnsafePointer<CChar>(bitPattern: address) else { return "" }
        return unsafe String(cString: base)
    }

    private static let registered = Locked<[String: RouteName]>([:])

    /// Of requests that were none, and of those beyond a limit: no handler saw them.
    package static let fault = RouteName("fault")

    /// Of names that were made by `init(registering:)`: whether they are equal.
    package func isSame(as other: RouteName) -> Bool { unsafe base == other.base }

    /// The name's UTF-8.
    public var bytes: Span<UInt8> {
        @_lifetime(immortal)
        get {
            let span = unsafe Span(_unsafeStart: base, count: count)
            // SAFETY: the bytes are never freed.
            return unsafe _overrideLifetime(span, copying: ())
        }
    }

    /// The name as text; makes a String.
    public var description: String { unsafe String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self) }
}
