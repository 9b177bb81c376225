// Where the fields that concern a file stand in a request. The loop's thread, within one handler call.

internal import UringHTTP
internal import UringHTTP1

/// Positions of field lines, found in one pass. The values are taken from the request when they are needed.
struct FileFields {
    struct Place {
        /// Index of the first line of that name; means nothing when `count` is 0.
        var first = 0
        var count = 0
        mutating func note(_ index: Int) {
            if count == 0 { first = index }
            count &+= 1
        }
    }

    var acceptEncoding = Place()
    var ifMatch = Place()
    var ifNoneMatch = Place()
    var ifRange = Place()
    var ifModifiedSince = Place()
    var ifUnmodifiedSince = Place()
    var range = Place()

    init(_ request: borrowing Request) {
        for index in 0..<request.headers.count {
            // SAFETY: the index is within the head's fields, which the loop keeps until the handler has returned.
            switch unsafe request.context.pointee.fields[index].known {
            case .acceptEncoding: acceptEncoding.note(index)
            case .ifMatch: ifMatch.note(index)
            case .ifNoneMatch: ifNoneMatch.note(index)
            case .ifRange: ifRange.note(index)
            case .ifModifiedSince: ifModifiedSince.note(index)
            case .ifUnmodifiedSince: ifUnmodifiedSince.note(index)
            case .range: range.note(index)
            default: break
            }
        }
    }

    /// All lines of one name as one list (RFC 9110 section 5.3); empty, and without an allocation, for the usual single line.
    static func joined(_ place: Place, _ request: borrowing Request) -> [UInt8] {
        guard place.count > 1 else { return [] }
        var list: [UInt8] = []
        // SAFETY: as in init.
        let known = unsafe request.context.pointee.fields[place.first].known
        for index in place.first..<request.headers.count where unsafe request.context.pointee.fields[index].known == known {
            if !list.isEmpty { list += [UInt8(ascii: ","), UInt8(ascii: " ")] }
            list += [UInt8](request.headers.value(at: index))
        }
        return list
    }

    /// The value of a field: the one line's, or `list`, which `joined` made.
    @_lifetime(borrow request, borrow list)
    static func value(_ place: Place, _ request: borrowing Request, _ list: borrowing [UInt8]) -> Span<UInt8>? {
        switch place.count {
        case 0: return nil
        case 1: return request.headers.value(at: place.first).span
        default: return list.span
        }
    }

    /// Seconds since 1970 of a field that holds one date; nil when it is absent, malformed or given twice.
    static func date(_ place: Place, _ request: borrowing Request, now: Int64) -> Int64? {
        guard place.count == 1 else { return nil }
        // SAFETY: the span is readable through the call.
        return unsafe request.headers.value(at: place.first).span.withUnsafeBufferPointer {
            guard let base = $0.baseAddress else { return nil }
            return unsafe HTTPDate.parse(base, count: $0.count, now: now)
        }
    }
}
