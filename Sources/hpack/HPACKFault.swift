// What can be wrong with a field block, and how decoding one ends. Plain values; any thread.

/// Why a block cannot be decoded. Each is a COMPRESSION_ERROR, which ends the connection: the tables of both sides may differ from
/// here on (RFC 7541 2.3, RFC 9113 4.3).
@frozen @usableFromInline package enum HPACKFault: UInt8, Equatable, CaseIterable, Sendable {
    case truncated
    case integerTooLarge
    case indexZero
    case indexBeyondTable
    case stringBeyondBlock
    case huffmanCode
    case huffmanPadding
    case sizeUpdateMisplaced
    case sizeUpdateTooLarge
    case sizeUpdateMissing

    /// For the debug data of GOAWAY and for a log.
    package var reason: StaticString {
        switch self {
        case .truncated: "the field block ends within a field"
        case .integerTooLarge: "an integer is longer than 32 bits"
        case .indexZero: "index 0 names no field"
        case .indexBeyondTable: "an index lies beyond the dynamic table"
        case .stringBeyondBlock: "a string reaches beyond the field block"
        case .huffmanCode: "a string holds the Huffman code of EOS"
        case .huffmanPadding: "the padding of a Huffman string is longer than 7 bits or not all ones"
        case .sizeUpdateMisplaced: "a size update of the dynamic table stands behind a field, or is the third"
        case .sizeUpdateTooLarge: "a size update is above SETTINGS_HEADER_TABLE_SIZE"
        case .sizeUpdateMissing: "SETTINGS_HEADER_TABLE_SIZE was lowered and the block begins without a size update"
        }
    }
}

@frozen @usableFromInline package enum HPACKDecodeOutcome: Equatable, Sendable {
    case complete
    /// A limit of the sink was passed: what came before is in the sink, the dynamic table is right, the connection can go on.
    case tooLarge
    case malformed(HPACKFault)
}
