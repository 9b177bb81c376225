// Where a decoded field section goes: memory of the caller, filled by HPACKDecoder on a loop's thread, read by HTTP/2.

public import UringHTTP

/// A pseudo-header field (RFC 9113 8.3, RFC 8441) as a number; `none` is a regular field.
@frozen @usableFromInline package enum PseudoField: UInt8, Sendable {
    case none, method, scheme, authority, path, status, `protocol`
    /// A name that begins with a colon and is none of these.
    case unknown
}

/// What makes a field section malformed (RFC 9113 8.1.1), found while decoding: errors of the stream, not of the connection.
/// For a field of the dynamic table it was found when the field came in, and costs nothing when it is used again.
@frozen @usableFromInline package struct FieldSectionFlaws: OptionSet, Sendable {
    @usableFromInline package let rawValue: UInt8
    @inlinable package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// A pseudo-header field that RFC 9113 and RFC 8441 do not define.
    @inlinable package static var unknownPseudo: FieldSectionFlaws { FieldSectionFlaws(rawValue: 1) }
    /// The same pseudo-header field twice.
    @inlinable package static var repeatedPseudo: FieldSectionFlaws { FieldSectionFlaws(rawValue: 2) }
    /// A pseudo-header field behind a regular one.
    @inlinable package static var latePseudo: FieldSectionFlaws { FieldSectionFlaws(rawValue: 4) }
    /// A name that is empty, holds an upper-case letter or a byte that is no token character (8.2.1).
    @inlinable package static var name: FieldSectionFlaws { FieldSectionFlaws(rawValue: 8) }
    /// A value that holds a control character other than tab, or begins or ends with white space. RFC 9113 8.2.1 asks for NUL, CR and LF
    /// at least; the rule of HTTP/1 (RFC 9110 5.5) is applied to both versions, so that a field can be passed on from one to the other.
    @inlinable package static var value: FieldSectionFlaws { FieldSectionFlaws(rawValue: 16) }
    /// Connection, Proxy-Connection, Keep-Alive, Transfer-Encoding or Upgrade, or TE with anything but "trailers" (8.2.2).
    @inlinable package static var connectionSpecific: FieldSectionFlaws { FieldSectionFlaws(rawValue: 32) }
}

/// The caller's memory and limits for one field section, and what was found in it. All pointers stay the caller's and must be valid
/// during each call of `HPACKDecoder.decode`; only `reset` and the decoder write the rest.
@frozen @unsafe @usableFromInline package struct HPACKFieldSink {
    /// Copies are made in blocks of 16 bytes: so much of `text` stays unused behind the last field.
    @inlinable package static var textSlack: Int { 16 }

    /// Names and values behind each other. `FieldSlot` counts from here.
    @usableFromInline package var text: UnsafeMutablePointer<UInt8>
    @usableFromInline let textUsable: Int
    @usableFromInline package var textCount = 0

    /// One for each field, pseudo-header fields included, in the order of the block.
    @usableFromInline package var slots: UnsafeMutablePointer<FieldSlot>
    @usableFromInline let slotCapacity: Int
    @usableFromInline package var slotCount = 0

    /// How many slots at the beginning are pseudo-header fields. In a valid section the regular fields begin here.
    @usableFromInline package var pseudoCount = 0
    /// For each `PseudoField` its slot counted from 1, or 0.
    @usableFromInline var pseudoSlots: InlineArray<8, UInt16> = InlineArray(repeating: 0)
    @usableFromInline var pseudoStatics: InlineArray<8, UInt8> = InlineArray(repeating: 0)

    @usableFromInline package var flaws: FieldSectionFlaws = []
    /// Set when a limit was passed; nothing is stored any more.
    @usableFromInline package var isTooLarge = false

    /// Size of the section as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 6.5.2): name, value and 32 for each field.
    @usableFromInline package var listBytes = 0
    @usableFromInline package var listBytesMax: Int

    /// - Parameter textCapacity: bytes of `text`, `textSlack` included.
    @inlinable package init(
        text: UnsafeMutablePointer<UInt8>, textCapacity: Int, slots: UnsafeMutablePointer<FieldSlot>, slotCapacity: Int, listBytesMax: Int
    ) {
        // Offsets are 32 bits wide and slots are counted in 16.
        unsafe self.text = text
        unsafe self.textUsable = min(textCapacity, Int(Int32.max)) &- Self.textSlack
        unsafe self.slots = slots
        unsafe self.slotCapacity = min(slotCapacity, 0xfffe)
        unsafe self.listBytesMax = listBytesMax
    }

    /// Empties the sink for another section; memory and limits stay.
    @inlinable package mutating func reset() {
        unsafe textCount = 0
        unsafe slotCount = 0
        unsafe pseudoCount = 0
        unsafe pseudoSlots = InlineArray(repeating: 0)
        unsafe pseudoStatics = InlineArray(repeating: 0)
        unsafe flaws = []
        unsafe isTooLarge = false
        unsafe listBytes = 0
    }

    /// The slot of a pseudo-header field, the last one if it was repeated; nil when the section has none.
    @inlinable package func slot(of pseudo: PseudoField) -> FieldSlot? {
        let place = unsafe Int(pseudoSlots[Int(pseudo.rawValue)])
        // A slot that was counted was written.
        return unsafe place == 0 ? nil : slots[place &- 1]
    }

    /// Whether the section has this pseudo-header field.
    @inlinable package func has(_ pseudo: PseudoField) -> Bool { unsafe pseudoSlots[Int(pseudo.rawValue)] != 0 }

    /// The index in the static table when the pseudo-header field came as one of its whole entries, else 0: 2 is `:method: GET`, 3 POST,
    /// 4 `:path: /`, 5 `/index.html`, 6 `:scheme: http`, 7 https. A peer may always spell the value out: 0 says nothing about it.
    @inlinable package func staticIndex(of pseudo: PseudoField) -> UInt8 { unsafe pseudoStatics[Int(pseudo.rawValue)] }

    /// Notes the field whose bytes lie at `text + textCount`. The caller has checked the limits.
    @inline(__always)
    mutating func append(nameLength: Int, valueLength: Int, known: KnownField, traits: FieldTraits, staticIndex: Int) {
        let offset = unsafe UInt32(truncatingIfNeeded: textCount)
        let slot = FieldSlot(
            nameOffset: offset, valueOffset: offset &+ UInt32(truncatingIfNeeded: nameLength),
            valueLength: UInt32(truncatingIfNeeded: valueLength), nameLength: UInt16(truncatingIfNeeded: nameLength), known: known)
        // Below `slotCapacity`, which `admits` has checked.
        unsafe slots.advanced(by: slotCount).initialize(to: slot)
        if traits.pseudo != 0 { unsafe notePseudo(traits.pseudo, staticIndex: staticIndex) }
        unsafe slotCount &+= 1
        unsafe textCount &+= nameLength &+ valueLength
        unsafe flaws.formUnion(traits.flaws)
    }

    @inline(__always)
    private mutating func notePseudo(_ pseudo: Int, staticIndex: Int) {
        if unsafe pseudoSlots[pseudo] != 0 { unsafe flaws.insert(.repeatedPseudo) }
        if unsafe pseudoCount != slotCount { unsafe flaws.insert(.latePseudo) } else { unsafe pseudoCount &+= 1 }
        unsafe pseudoSlots[pseudo] = UInt16(truncatingIfNeeded: slotCount &+ 1)
        unsafe pseudoStatics[pseudo] = UInt8(truncatingIfNeeded: staticIndex)
    }

    /// Counts a field and answers whether it may be stored; the first that may not ends storing.
    @inline(__always)
    mutating func admits(nameLength: Int, valueLength: Int) -> Bool {
        let length = nameLength &+ valueLength
        // Each field takes at least a byte of a block, and a length is below 2^32: no sum gets near 2^63.
        unsafe listBytes &+= length &+ 32
        if unsafe listBytes <= listBytesMax && slotCount < slotCapacity && length <= textUsable &- textCount && nameLength <= 0xffff && !isTooLarge {
            return true
        }
        unsafe isTooLarge = true
        return false
    }
}

/// What is known of a field beyond its bytes, in one byte: which pseudo-header field it is, and its flaws.
@frozen @usableFromInline struct FieldTraits {
    @usableFromInline var rawValue: UInt8

    @inline(__always) init(rawValue: UInt8) { self.rawValue = rawValue }
    @inline(__always) init(_ pseudo: PseudoField) { rawValue = pseudo.rawValue }

    /// Raw value of a `PseudoField`, 0…7.
    @inline(__always) var pseudo: Int { Int(rawValue & 7) }
    @inline(__always) var flaws: FieldSectionFlaws {
        FieldSectionFlaws(rawValue: rawValue & 0xf8 | (rawValue & 7 == PseudoField.unknown.rawValue ? 1 : 0))
    }
    @inline(__always) mutating func insert(_ flaw: FieldSectionFlaws) { rawValue |= flaw.rawValue }
}
