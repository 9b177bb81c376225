// Fuzz target: the decoder against nghttp2's inflater. A property that fails traps, which the fuzzer reports with the input.
//
// The input is blocks of one connection: a byte of length and so many bytes, the last one as it is. Two decoders of ours read them, one with
// room for everything and one with little; both keep the same table.
//
// 1. No crash, no read outside a block (copies are exactly as long as the bytes; the sanitizer watches).
// 2. What both accept they read the same. We accept nothing that nghttp2 refuses.
// 3. We refuse what nghttp2 accepts only for an integer of more than 32 bits or five octets behind its prefix, and for a size update that
//    is the third.
// 4. A sink that is too small changes neither the verdict nor the table.

import UringHPACK

private func check(_ condition: Bool, _ text: StaticString) {
    if !condition { fatalError("\(text)") }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 {
    guard let data, size > 0 else { return 0 }
    var rest = Array(UnsafeBufferPointer(start: data, count: size))[...]
    let (large, small, inflater) = (
        TestDecoder(textCapacity: 1 << 16, slotCapacity: 1 << 10), TestDecoder(listBytesMax: 300, textCapacity: 200, slotCapacity: 5), Inflater()
    )
    while let first = rest.popFirst() {
        let block = Array(rest.prefix(Int(first)))
        rest = rest.dropFirst(Int(first))
        let (ours, little, theirs) = (large.decode(block), small.decode(block), inflater.decode(block))
        check(large.tableBytes == small.tableBytes, "a small sink gives another table")
        switch ours {
        case .malformed(let fault):
            check(little == ours, "a small sink gives another fault")
            check(theirs == nil || fault == .integerTooLarge || fault == .sizeUpdateMisplaced, "refused what nghttp2 accepts")
            return 0
        case .tooLarge: check(little == .tooLarge, "a small sink takes what a large one does not")
        case .fields(let fields, _):
            check(little == ours || little == .tooLarge, "a small sink gives other fields")
            check(theirs != nil, "accepted what nghttp2 refuses")
            check(theirs == fields, "other fields than nghttp2")
        }
    }
    return 0
}
