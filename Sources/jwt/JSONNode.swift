// JSON text once it has been read: a table of values in the order of the text. Offsets instead of pointers, so that a table can be moved.
// Written by JSONScanner, read through JSONValue; the loop's thread.

package enum JSONKind: UInt8, Equatable, Sendable {
    case null, no, yes, number, string, array, object
}

/// One value. Those within it follow it directly; the next one beside it is at `end`.
struct JSONNode {
    /// Name of a member, decoded; for others nothing.
    var nameOffset: UInt32
    var nameCount: UInt32
    /// Bytes of a string, decoded, or of a number as it was written.
    var offset: UInt32
    /// Bytes of a string or number; values in an array or object.
    var count: UInt32
    var end: UInt32
    var kind: JSONKind
    /// Of the name, to pass over most members that have another.
    var hash: UInt8
}

/// Why a text is not accepted.
package enum JSONFault: UInt8, Error, Equatable, CaseIterable, Sendable {
    case syntax
    /// Not UTF-8, or half of a surrogate pair (RFC 8259 8.1, 8.2).
    case encoding
    /// Two members of one object with the same name (RFC 7515 section 4, RFC 7519 section 4: to be refused).
    case duplicateName
    case tooDeep
    /// More values than there is room for.
    case tooLong

    package var reason: StaticString {
        switch self {
        case .syntax: "is not JSON"
        case .encoding: "is not UTF-8 throughout"
        case .duplicateName: "has a name twice in one object"
        case .tooDeep: "is nested too deep"
        case .tooLong: "has too many values"
        }
    }
}
