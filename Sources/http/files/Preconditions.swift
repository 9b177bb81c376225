// Conditional requests (RFC 9110 section 13).
//
// Owns nothing; looks at field values in the request's memory. Dates come in parsed, so that this file knows no date format: an
// absent date and a malformed one are the same nil, because a recipient ignores a malformed one.

/// The validators of the selected representation.
package struct Validators: Sendable {
    package var entityTag: EntityTag?
    /// Seconds since 1970, as sent in Last-Modified.
    package var lastModified: Int64?

    package init(entityTag: EntityTag?, lastModified: Int64?) {
        self.entityTag = entityTag
        self.lastModified = lastModified
    }
}

package enum PreconditionOutcome: Sendable, Equatable {
    case proceed
    /// 304
    case notModified
    /// 412
    case failed
}

/// The conditional fields of one request. Views into the request's memory.
package struct Preconditions: ~Escapable {
    /// Field values, several lines joined with commas; nil when absent. An empty value is present.
    let ifMatch: Span<UInt8>?
    let ifNoneMatch: Span<UInt8>?
    let ifRange: Span<UInt8>?
    /// Seconds since 1970; nil when absent, malformed or given twice.
    let ifModifiedSince: Int64?
    let ifUnmodifiedSince: Int64?
    /// If-Range read as a date; nil when it is none.
    let ifRangeDate: Int64?

    @_lifetime(copy ifMatch, copy ifNoneMatch, copy ifRange)
    package init(
        ifMatch: Span<UInt8>?, ifNoneMatch: Span<UInt8>?, ifRange: Span<UInt8>?,
        ifModifiedSince: Int64?, ifUnmodifiedSince: Int64?, ifRangeDate: Int64?
    ) {
        self.ifMatch = ifMatch
        self.ifNoneMatch = ifNoneMatch
        self.ifRange = ifRange
        self.ifModifiedSince = ifModifiedSince
        self.ifUnmodifiedSince = ifUnmodifiedSince
        self.ifRangeDate = ifRangeDate
    }

    /// Steps 1 to 4 of section 13.2.2, for a representation that exists (without one the answer is 404 before any condition).
    ///
    /// - Parameter isGetOrHead: other methods get 412 where GET gets 304, and do not know If-Modified-Since.
    package func evaluate(_ current: Validators, isGetOrHead: Bool) -> PreconditionOutcome {
        if let ifMatch {
            guard EntityTagList.matches(ifMatch, current.entityTag, .strong) else { return .failed }
        } else if let ifUnmodifiedSince, let lastModified = current.lastModified {
            guard lastModified <= ifUnmodifiedSince else { return .failed }
        }
        if let ifNoneMatch {
            guard EntityTagList.matches(ifNoneMatch, current.entityTag, .weak) else { return .proceed }
            return isGetOrHead ? .notModified : .failed
        }
        if isGetOrHead, let ifModifiedSince, let lastModified = current.lastModified {
            return lastModified <= ifModifiedSince ? .notModified : .proceed
        }
        return .proceed
    }

    /// Step 5: whether a Range field is to be honoured. True without If-Range. An If-Range that is neither one entity-tag nor a date
    /// is false: the whole file is always a right answer, a part of another version never.
    ///
    /// A date must be equal, not just later (section 13.1.5). Whether it is a strong validator cannot be known here, as the Date the
    /// client got it with is unknown; like other servers we take equality.
    package func allowsRange(_ current: Validators) -> Bool {
        guard let ifRange else { return true }
        if let matches = EntityTagList.matchesSingle(ifRange, current.entityTag) { return matches }
        guard let ifRangeDate, let lastModified = current.lastModified else { return false }
        return ifRangeDate == lastModified
    }
}
