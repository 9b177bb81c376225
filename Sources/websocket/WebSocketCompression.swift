// zlib's memory for the WebSockets of one loop: states that connections borrow, and the room where messages are inflated. The loop owns it, at a fixed
// place that outlives its connections; on the loop's thread only.
//
// A state is lent for a message, and for the life of a connection only when context takeover was agreed upon. So without takeover, which is the
// default, idle connections hold none, and a loop needs as many as messages are between their first and their last byte at one time: often one.
// Both numbers are bounded, and with them the memory: see `bytes`.

internal import CUringZ

/// How a loop compresses, and what it may hold.
@frozen @usableFromInline package struct WebSocketCompressionOptions: Equatable, Sendable {
    /// Messages below this are sent plain. 256 bytes: what is shorter hardly shrinks without earlier messages to refer to.
    @usableFromInline package var thresholdBytes = 256
    /// zlib's level, 1…9; others count as the nearest. 1, the fastest: time is the loop's.
    @usableFromInline package var level: Int32 = 1
    /// zlib's memory level, 5…9: below, data that cannot be compressed would grow beyond `deflatedBytesMax`. 6: a reset clears a hash table of 16 KiB
    /// in place of 64.
    @usableFromInline package var memoryLevel: Int32 = 6
    /// Inflaters lent at one time: 1013 for a compressed message beyond. 256 of up to 40 KiB.
    @usableFromInline package var inflatersMax = 256
    /// Deflaters lent at one time: messages go out plain beyond. 256 of up to 170 KiB.
    @usableFromInline package var deflatersMax = 256
    /// States of each kind that are kept when nobody has them, so that a message does not have to make one.
    @usableFromInline package var idleMax = 4

    @inlinable package init() {}
}

/// The states of one loop.
@safe package struct WebSocketCompression: ~Copyable {
    package let options: WebSocketCompressionOptions
    /// Where inflated content lies until the next call of `WebSocketConnection.next` on any connection of the loop.
    package let room: UnsafeMutablePointer<UInt8>
    /// A piece of an inflated message is no larger. 64 KiB: most messages are one piece.
    package static var roomBytes: Int { 65_536 }
    let roomBytes: Int

    private var inflaters = StateList()
    private var deflaters = StateList()

    /// `roomBytes` is smaller in tests.
    package init(options: WebSocketCompressionOptions, roomBytes: Int = WebSocketCompression.roomBytes) {
        self.options = options
        self.roomBytes = max(roomBytes, 1)
        // Owned by this value until `deinit`.
        unsafe room = UnsafeMutablePointer<UInt8>.allocate(capacity: self.roomBytes)
    }

    deinit {
        if inflaters.lent + deflaters.lent > 0 { preconditionFailure("BUG: a connection outlives its loop's compression") }
        // Nobody has them.
        unsafe inflaters.forEachIdle { unsafe curing_z_close_inflate($0) }
        unsafe deflaters.forEachIdle { unsafe curing_z_close_deflate($0) }
        unsafe room.deallocate()
    }

    /// Inflaters and deflaters that connections hold.
    package var lentInflaters: Int { inflaters.lent }
    package var lentDeflaters: Int { deflaters.lent }
    /// What zlib has allocated, lent or not, as far as is known: what lent states have grown by since is counted when they come back.
    package var bytes: Int { inflaters.bytes &+ deflaters.bytes }

    mutating func borrowInflater(windowBits: Int32) -> UnsafeMutablePointer<curing_z>? {
        guard inflaters.lent < options.inflatersMax else { return nil }
        if let state = unsafe inflaters.take(windowBits: windowBits) {
            // Reset when it came back.
            return unsafe state
        }
        guard let state = unsafe curing_z_open_inflate(windowBits) else { return nil }
        unsafe inflaters.lend(new: state)
        return unsafe state
    }

    mutating func borrowDeflater(windowBits: Int32) -> UnsafeMutablePointer<curing_z>? {
        guard deflaters.lent < options.deflatersMax else { return nil }
        if let state = unsafe deflaters.take(windowBits: windowBits) { return unsafe state }
        guard let state = unsafe curing_z_open_deflate(min(max(options.level, 1), 9), windowBits, min(max(options.memoryLevel, 5), 9)) else { return nil }
        unsafe deflaters.lend(new: state)
        return unsafe state
    }

    mutating func giveBackInflater(_ state: UnsafeMutablePointer<curing_z>) {
        // Nothing of one connection's messages may be within reach of another's: a reset forgets the window.
        let isClean = unsafe curing_z_reset_inflate(state, state.pointee.window_bits) == Z_OK
        let isKept = unsafe inflaters.giveBack(state, idleMax: isClean ? options.idleMax : 0)
        if !isKept { unsafe curing_z_close_inflate(state) }
    }

    mutating func giveBackDeflater(_ state: UnsafeMutablePointer<curing_z>) {
        let isClean = unsafe curing_z_reset_deflate(state) == Z_OK
        let isKept = unsafe deflaters.giveBack(state, idleMax: isClean ? options.idleMax : 0)
        if !isKept { unsafe curing_z_close_deflate(state) }
    }
}

/// States of one kind: those that wait in a list, and the number of those that are lent.
@safe private struct StateList {
    private var first: UnsafeMutablePointer<curing_z>?
    private var idle = 0
    private(set) var lent = 0
    private var idleBytes = 0
    private var lentBytes = 0

    var bytes: Int { idleBytes &+ lentBytes }

    init() { unsafe first = nil }

    /// Lends one with such windows, if there is one. The list is short: `idleMax`.
    mutating func take(windowBits: Int32) -> UnsafeMutablePointer<curing_z>? {
        // Owned by the list while they are in it.
        var before: UnsafeMutablePointer<curing_z>?
        var state = unsafe first
        while let found = unsafe state {
            if unsafe found.pointee.window_bits == windowBits {
                if let before = unsafe before { unsafe before.pointee.next = found.pointee.next } else { unsafe first = found.pointee.next }
                unsafe leave(found)
                unsafe lend(new: found)
                return unsafe found
            }
            unsafe before = found
            unsafe state = found.pointee.next
        }
        return nil
    }

    /// For the end of the list: `body` may free what it gets.
    func forEachIdle(_ body: (UnsafeMutablePointer<curing_z>) -> Void) {
        // Owned by the list until `body`.
        var state = unsafe first
        while let found = unsafe state {
            unsafe state = found.pointee.next
            unsafe body(found)
        }
    }

    private mutating func leave(_ state: UnsafeMutablePointer<curing_z>) {
        idle &-= 1
        unsafe idleBytes &-= Int(state.pointee.bytes)
        unsafe state.pointee.next = nil
    }

    mutating func lend(new state: UnsafeMutablePointer<curing_z>) {
        lent &+= 1
        // zlib makes an inflater's window when it needs it; what it had when it was lent has to be taken off again.
        unsafe state.pointee.lent_bytes = state.pointee.bytes
        unsafe lentBytes &+= Int(state.pointee.bytes)
    }

    /// False when the caller has to close it.
    mutating func giveBack(_ state: UnsafeMutablePointer<curing_z>, idleMax: Int) -> Bool {
        lent &-= 1
        unsafe lentBytes &-= Int(state.pointee.lent_bytes)
        guard idle < idleMax else { return false }
        unsafe state.pointee.next = first
        unsafe first = state
        idle &+= 1
        unsafe idleBytes &+= Int(state.pointee.bytes)
        return true
    }
}
