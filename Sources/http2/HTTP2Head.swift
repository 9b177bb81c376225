// Where the engine puts a decoded request head: storage of the caller, one for all connections of a loop. Plain data.

public import UringHTTP

/// Memory for one decoded head. Filled by an event `request` or `trailers`, rewritten by the next header block of any connection that uses it;
/// offsets in `request` and `fields` count from `text`.
@unsafe @frozen @usableFromInline package struct HTTP2Head {
    @usableFromInline package let request: UnsafeMutablePointer<RequestHead>
    /// As the decoder fills them, pseudo-header fields first.
    @usableFromInline let slots: UnsafeMutablePointer<FieldSlot>
    @usableFromInline let slotCapacity: Int
    @usableFromInline package let text: UnsafeMutablePointer<UInt8>
    @usableFromInline package let textCapacity: Int

    /// Slots in front of the regular fields: method, scheme, authority and path of almost every request, which so need not move.
    @inlinable package static var pseudoSlots: Int { 4 }

    /// The regular fields: `request.fieldCount` of them.
    @inlinable package var fields: UnsafeMutablePointer<FieldSlot> { unsafe slots + Self.pseudoSlots }

    /// All memory is the caller's and outlives the calls that are given this head.
    ///
    /// - Parameters:
    ///   - slotCapacity: `slots(limits:)` never cuts short what the limits allow; more than `pseudoSlots`.
    ///   - textCapacity: the same for `textBytes(limits:settings:)`.
    @inlinable package init(
        request: UnsafeMutablePointer<RequestHead>, slots: UnsafeMutablePointer<FieldSlot>, slotCapacity: Int,
        text: UnsafeMutablePointer<UInt8>, textCapacity: Int
    ) {
        unsafe precondition(slotCapacity > Self.pseudoSlots, "BUG: no room for the pseudo-header fields")
        unsafe self.request = request
        unsafe self.slots = slots
        unsafe self.slotCapacity = slotCapacity
        unsafe self.text = text
        unsafe self.textCapacity = textCapacity
    }

    /// Room for the fields that the limits allow: as many with the pseudo-header fields of a request, and to move trailers, which have none.
    @inlinable package static func slots(limits: HTTP2Limits) -> Int { unsafe limits.fieldCountMax + 2 * pseudoSlots }

    /// Room for the list, once more for cookies that are joined, and for the decoder's copies in blocks.
    @inlinable package static func textBytes(limits: HTTP2Limits) -> Int { 2 * limits.headerListBytesMax + 64 }
}
