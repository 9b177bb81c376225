// Decoding and encoding with lists of names and values, for tests. Blocks and memory are exactly as large as promised, so that a sanitizer
// or a trap meets whoever goes beyond.

import UringHTTP
import UringHPACK

struct Field: Equatable, CustomStringConvertible {
    var name: String
    var value: [UInt8]
    init(_ name: String, _ value: String) { (self.name, self.value) = (name, Array(value.utf8)) }
    init(_ name: String, bytes: [UInt8]) { (self.name, self.value) = (name, bytes) }
    var description: String { "\(name): \(String(decoding: value, as: UTF8.self))" }
}

enum Decoded: Equatable {
    case fields([Field], FieldSectionFlaws)
    case tooLarge
    case malformed(HPACKFault)

    static func fields(_ fields: [Field]) -> Decoded { .fields(fields, []) }
}

@safe final class TestDecoder {
    private var decoder: HPACKDecoder
    private let listBytesMax: Int
    private let textCapacity: Int
    private let slotCapacity: Int
    /// Index of each pseudo-header field in the static table, from the last block.
    private(set) var staticIndexes: [PseudoField: UInt8] = [:]

    init(tableBytesMax: Int = 4096, listBytesMax: Int = 1 << 20, textCapacity: Int = 1 << 16, slotCapacity: Int = 200) {
        decoder = HPACKDecoder(tableBytesMax: tableBytesMax)
        (self.listBytesMax, self.textCapacity, self.slotCapacity) = (listBytesMax, textCapacity, slotCapacity)
    }

    // None of these is inlined: Swift 6.3's optimiser crashes (CopyPropagation) where a property that is not copyable is changed in a caller's copy of
    // them.
    var tableBytes: Int { @inline(never) get { decoder.tableBytes } }
    @inline(never) func setTableBytesMax(_ max: Int) { decoder.setTableBytesMax(max) }

    @inline(never)
    func decode(_ block: [UInt8]) -> Decoded {
        // Exactly of its size; freed at the end of this call, as the other two.
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: max(block.count, 1))
        let text = UnsafeMutablePointer<UInt8>.allocate(capacity: textCapacity)
        let slots = UnsafeMutablePointer<FieldSlot>.allocate(capacity: slotCapacity)
        defer {
            unsafe bytes.deallocate()
            unsafe text.deallocate()
            unsafe slots.deallocate()
        }
        for (index, byte) in block.enumerated() { unsafe bytes[index] = byte }
        var sink = unsafe HPACKFieldSink(text: text, textCapacity: textCapacity, slots: slots, slotCapacity: slotCapacity, listBytesMax: listBytesMax)
        switch unsafe decoder.decode(bytes, count: block.count, into: &sink) {
        case .malformed(let fault): return .malformed(fault)
        case .tooLarge: return .tooLarge
        case .complete: break
        }
        let fields = unsafe (0..<sink.slotCount).map { unsafe field(slots[$0], text, checked: !sink.flaws.contains(.name)) }
        precondition(unsafe sink.listBytes == fields.reduce(0) { $0 + $1.name.unicodeScalars.count + $1.value.count + 32 }, "the size of the list")
        unsafe note(sink, fields)
        return unsafe .fields(fields, sink.flaws)
    }

    private func field(_ slot: FieldSlot, _ base: UnsafePointer<UInt8>, checked: Bool) -> Field {
        // Within the text of the sink.
        func piece(_ offset: UInt32, _ count: Int) -> [UInt8] { unsafe Array(UnsafeBufferPointer(start: base + Int(offset), count: count)) }
        let name = piece(slot.nameOffset, Int(slot.nameLength))
        if checked {
            let known = unsafe name.withUnsafeBufferPointer { unsafe KnownField.lookup($0.baseAddress!, count: $0.count) }
            precondition(known == slot.known, "the number of \(name)")
        }
        return Field(text(name), bytes: piece(slot.valueOffset, Int(slot.valueLength)))
    }

    private func note(_ sink: HPACKFieldSink, _ fields: [Field]) {
        staticIndexes = [:]
        for (pseudo, name) in [
            (PseudoField.method, ":method"), (.scheme, ":scheme"), (.authority, ":authority"), (.path, ":path"), (.status, ":status"), (.protocol, ":protocol"),
        ] {
            precondition(unsafe sink.has(pseudo) == fields.contains { $0.name == name }, "the slot of \(name)")
            if unsafe sink.has(pseudo) { staticIndexes[pseudo] = unsafe sink.staticIndex(of: pseudo) }
        }
    }
}

@safe final class TestEncoder {
    private var encoder = HPACKEncoder()
    var tableBytes: Int { encoder.tableBytes }

    func setPeerTableBytesMax(_ max: Int) { encoder.setPeerTableBytesMax(max) }

    /// A response head in exactly the room that is promised to be enough.
    func encode(status: UInt16? = nil, date: String? = nil, contentLength: UInt64? = nil, _ fields: [Field]) -> [UInt8] {
        let lines: [UInt8] = fields.flatMap { field -> [UInt8] in Array("\(field.name): ".utf8) + field.value + [13, 10] }
        return block(room: HPACKEncoder.bound(textBytes: lines.count)) { encoder in
            if let status { encoder.status(status) }
            if let date { unsafe Array(date.utf8).withUnsafeBufferPointer { unsafe encoder.date($0.baseAddress!) } }
            if let contentLength { encoder.contentLength(contentLength) }
            unsafe lines.withUnsafeBufferPointer { lines in
                if lines.count > 0 { unsafe encoder.fields(text: lines.baseAddress!, count: lines.count) }
            }
        }
    }

    /// The same fields one by one.
    func encodeSingly(_ fields: [Field], isSensitive: Bool = false) -> [UInt8] {
        block(room: HPACKEncoder.bound(textBytes: fields.reduce(0) { $0 + $1.name.utf8.count + $1.value.count + 4 })) { encoder in
            for field in fields {
                unsafe Array(field.name.utf8).withUnsafeBufferPointer { name in
                    // The empty array's pointer is nil: any other will do for no bytes.
                    unsafe field.value.withUnsafeBufferPointer { value in
                        unsafe encoder.field(
                            name: name.baseAddress!, nameCount: name.count, value: value.baseAddress ?? name.baseAddress!, count: value.count,
                            isSensitive: isSensitive)
                    }
                }
            }
        }
    }

    private func block(room: Int, _ write: (inout HPACKEncoder) -> Void) -> [UInt8] {
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
        // Freed at the end of this call.
        defer { unsafe out.deallocate() }
        unsafe encoder.begin(out, capacity: room)
        write(&encoder)
        return unsafe Array(UnsafeBufferPointer(start: out, count: encoder.end()))
    }
}

/// A name's bytes as a string, one scalar each, so that no two names become equal.
func text(_ bytes: some Sequence<UInt8>) -> String {
    var scalars = String.UnicodeScalarView()
    for byte in bytes { scalars.append(Unicode.Scalar(byte)) }
    return String(scalars)
}

func bytes(hex: String) -> [UInt8] {
    let digits = hex.filter { $0 != " " }
    return stride(from: 0, to: digits.count, by: 2).map { at in
        let start = digits.index(digits.startIndex, offsetBy: at)
        return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16)!
    }
}

/// The same numbers for the same seed, everywhere (splitmix64).
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed &>> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed &>> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed &>> 31)
    }
}
