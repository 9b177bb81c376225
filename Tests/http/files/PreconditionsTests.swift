import Testing

@testable import UringHTTP

/// The conditional fields of a test request, as text.
struct ConditionFields {
    var ifMatch: String?
    var ifNoneMatch: String?
    var ifRange: String?
    var ifModifiedSince: Int64?
    var ifUnmodifiedSince: Int64?
    var ifRangeDate: Int64?

    func with<R>(_ body: (Preconditions) -> R) -> R {
        let match = Array((ifMatch ?? "").utf8)
        let noneMatch = Array((ifNoneMatch ?? "").utf8)
        let range = Array((ifRange ?? "").utf8)
        return body(
            Preconditions(
                ifMatch: ifMatch == nil ? nil : match.span, ifNoneMatch: ifNoneMatch == nil ? nil : noneMatch.span,
                ifRange: ifRange == nil ? nil : range.span, ifModifiedSince: ifModifiedSince, ifUnmodifiedSince: ifUnmodifiedSince,
                ifRangeDate: ifRangeDate))
    }
}

private let modified: Int64 = 1_700_000_000
private let tag = EntityTag(stat: .regular(1234))
private let strong = text(tag)
private func matches(_ value: [UInt8], _ current: EntityTag?, _ comparison: EntityTagComparison) -> Bool {
    EntityTagList.matches(value.span, current, comparison)
}

private func matches(_ value: String, _ current: EntityTag?, _ comparison: EntityTagComparison) -> Bool {
    matches(Array(value.utf8), current, comparison)
}

private let validators = Validators(entityTag: tag, lastModified: modified)

@Suite struct EntityTagTests {
    @Test func form() {
        #expect(strong == #""6553f100.75bcd15-4d2""#)
        #expect(text(EntityTag(stat: .regular(1234), coding: .brotli)) == #""6553f100.75bcd15-4d2-br""#)
        #expect(text(EntityTag(stat: .regular(1234), coding: .gzip, isWeak: true)) == #"W/"6553f100.75bcd15-4d2-gz""#)
        #expect(text(EntityTag(stat: .regular(0, mtime: 0, nanoseconds: 0))) == #""0.0-0""#)
    }

    @Test func longestFits() {
        let stat = FileStat.regular(.max, mtime: -1, nanoseconds: .max)
        let longest = text(EntityTag(stat: stat, coding: .zstd, isWeak: true))
        #expect(longest == #"W/"ffffffffffffffff.ffffffff-ffffffffffffffff-zst""#)
        #expect(longest.utf8.count == EntityTag.bytesMax)
    }

    @Test func everythingThatMayDifferShows() {
        let stats = [
            FileStat.regular(10), .regular(11), .regular(10, mtime: modified + 1), .regular(10, nanoseconds: 0), .regular(10, mtime: -1),
            .regular(0x10), .regular(10, nanoseconds: 1),
        ]
        var tags: [String] = []
        for stat in stats {
            tags.append(text(EntityTag(stat: stat)))
            for coding in ContentCoding.allCases { tags.append(text(EntityTag(stat: stat, coding: coding))) }
        }
        #expect(Set(tags).count == tags.count)
    }

    /// RFC 9110 section 8.8.3.2's table, with our tag as one side.
    @Test func comparison() {
        let weak = EntityTag(stat: .regular(1234), isWeak: true)
        #expect(!matches("W/" + strong, weak, .strong) && matches("W/" + strong, weak, .weak))
        #expect(!matches(#"W/"other""#, weak, .strong) && !matches(#"W/"other""#, weak, .weak))
        #expect(!matches("W/" + strong, tag, .strong) && matches("W/" + strong, tag, .weak))
        #expect(!matches(strong, weak, .strong) && matches(strong, weak, .weak))
        #expect(matches(strong, tag, .strong) && matches(strong, tag, .weak))
    }

    @Test(arguments: [
        ("*", true), (" * ", true), ("\(strong)", true), ("  \(strong)\t", true), (#""a", \#(strong)"#, true), (#""a",\#(strong),"b""#, true),
        (#",, "a" ,, \#(strong) ,"#, true), (#"W/"a", W/\#(strong)"#, true), (#""a,b", \#(strong)"#, true), (#""", \#(strong)"#, true),
        (#""\u{e4}", \#(strong)"#, true), (#""a\\", \#(strong)"#, true),
        ("", false), (",", false), ("**", false), ("*, \(strong)", false), (#""a""#, false), (String(strong.dropLast()), false),
        (String(strong.dropFirst()), false), (strong.uppercased(), false), ("w/\(strong)", false), ("W\(strong)", false),
        ("W/ \(strong)", false), (#""x\#(strong)"#, false), (#""a b", \#(strong)"#, false), (#""a" \#(strong)"#, false),
        ("6553f100.75bcd15-4d2", false), ("abc, \(strong)", false), (#"", \#(strong)"#, false), (#""a"; \#(strong)"#, false),
        (#""6553f100.75bcd15-4d2-br""#, false),
    ])
    func lists(value: String, expected: Bool) {
        #expect(matches(value, tag, .weak) == expected)
    }

    @Test func withoutATagOnlyTheWildcardMatches() {
        #expect(matches("*", nil, .strong))
        #expect(!matches(strong, nil, .weak))
    }

    @Test func randomListsNeverTrap() {
        var random = FileTestRandom(state: 41)
        let alphabet = ["\"", "\"", ",", " ", "W/", "*", "a", "\"a\"", strong, "W/\(strong)", "\u{7f}", "\\"]
        var matched = 0
        for _ in 0..<20_000 {
            let value = random.text(from: alphabet, piecesMax: 10)
            let isMatch = matches(value, tag, .weak)
            if isMatch { matched += 1 }
            // A strong match is a weak match.
            #expect(!matches(value, tag, .strong) || isMatch)
            // What matches contains the tag, or is the wildcard.
            #expect(!isMatch || value.contains(0x2A) || contains(value, Array(strong.utf8)))
            if EntityTagList.matchesSingle(value.span, tag) == true { #expect(isMatch) }
        }
        #expect(matched > 100)
    }

    private func contains(_ bytes: [UInt8], _ part: [UInt8]) -> Bool {
        bytes.indices.contains { bytes[$0...].starts(with: part) }
    }
}

@Suite struct PreconditionsTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var fields: @Sendable () -> ConditionFields
        var expected: PreconditionOutcome
        var unsafeMethod: PreconditionOutcome
        var name: String
        var testDescription: String { name }

        init(
            _ name: String, _ expected: PreconditionOutcome, unsafe: PreconditionOutcome? = nil,
            _ fields: @escaping @Sendable @autoclosure () -> ConditionFields
        ) {
            self.name = name
            self.expected = expected
            self.unsafeMethod = unsafe ?? expected
            self.fields = fields
        }
    }

    @Test(arguments: [
        Case("nothing", .proceed, ConditionFields()),
        Case("If-Match equal", .proceed, ConditionFields(ifMatch: strong)),
        Case("If-Match *", .proceed, ConditionFields(ifMatch: "*")),
        Case("If-Match list", .proceed, ConditionFields(ifMatch: #""x", \#(strong)"#)),
        Case("If-Match other", .failed, ConditionFields(ifMatch: #""x""#)),
        Case("If-Match weak is no strong match", .failed, ConditionFields(ifMatch: "W/\(strong)")),
        Case("If-Match empty", .failed, ConditionFields(ifMatch: "")),
        Case("If-Unmodified-Since same", .proceed, ConditionFields(ifUnmodifiedSince: modified)),
        Case("If-Unmodified-Since later", .proceed, ConditionFields(ifUnmodifiedSince: modified + 1)),
        Case("If-Unmodified-Since earlier", .failed, ConditionFields(ifUnmodifiedSince: modified - 1)),
        Case("If-Match decides over If-Unmodified-Since", .proceed, ConditionFields(ifMatch: strong, ifUnmodifiedSince: 0)),
        Case("If-Match fails in spite of If-Unmodified-Since", .failed, ConditionFields(ifMatch: #""x""#, ifUnmodifiedSince: .max)),
        Case("If-None-Match equal", .notModified, unsafe: .failed, ConditionFields(ifNoneMatch: strong)),
        Case("If-None-Match weak", .notModified, unsafe: .failed, ConditionFields(ifNoneMatch: "W/\(strong)")),
        Case("If-None-Match *", .notModified, unsafe: .failed, ConditionFields(ifNoneMatch: "*")),
        Case("If-None-Match list", .notModified, unsafe: .failed, ConditionFields(ifNoneMatch: #"W/"a", \#(strong)"#)),
        Case("If-None-Match other", .proceed, ConditionFields(ifNoneMatch: #""x""#)),
        Case("If-None-Match empty", .proceed, ConditionFields(ifNoneMatch: "")),
        Case("If-Modified-Since same", .notModified, unsafe: .proceed, ConditionFields(ifModifiedSince: modified)),
        Case("If-Modified-Since later", .notModified, unsafe: .proceed, ConditionFields(ifModifiedSince: modified + 1)),
        Case("If-Modified-Since earlier", .proceed, ConditionFields(ifModifiedSince: modified - 1)),
        Case("If-None-Match decides over If-Modified-Since", .proceed, ConditionFields(ifNoneMatch: #""x""#, ifModifiedSince: .max)),
        Case("If-None-Match malformed still silences If-Modified-Since", .proceed, ConditionFields(ifNoneMatch: "?", ifModifiedSince: .max)),
        Case("If-None-Match decides, equal", .notModified, unsafe: .failed, ConditionFields(ifNoneMatch: strong, ifModifiedSince: 0)),
        Case("If-Match then If-None-Match", .notModified, unsafe: .failed, ConditionFields(ifMatch: strong, ifNoneMatch: strong)),
        Case("If-Match fails before If-None-Match", .failed, ConditionFields(ifMatch: #""x""#, ifNoneMatch: strong)),
        Case("If-Match then If-Modified-Since", .notModified, unsafe: .proceed, ConditionFields(ifMatch: "*", ifModifiedSince: modified)),
        Case("If-Unmodified-Since fails before If-None-Match", .failed, ConditionFields(ifNoneMatch: strong, ifUnmodifiedSince: 0)),
        Case("If-Unmodified-Since then If-None-Match", .notModified, unsafe: .failed,
            ConditionFields(ifNoneMatch: strong, ifUnmodifiedSince: modified)),
        Case("If-Unmodified-Since then If-Modified-Since", .notModified, unsafe: .proceed,
            ConditionFields(ifModifiedSince: modified, ifUnmodifiedSince: modified)),
        Case("dates at the limits", .proceed, ConditionFields(ifModifiedSince: .min, ifUnmodifiedSince: .max)),
    ])
    func order(_ test: Case) {
        test.fields().with { fields in
            #expect(fields.evaluate(validators, isGetOrHead: true) == test.expected)
            #expect(fields.evaluate(validators, isGetOrHead: false) == test.unsafeMethod)
        }
    }

    @Test func withoutValidators() {
        let none = Validators(entityTag: nil, lastModified: nil)
        func outcome(_ fields: ConditionFields) -> PreconditionOutcome {
            fields.with { $0.evaluate(none, isGetOrHead: true) }
        }
        #expect(outcome(ConditionFields(ifMatch: strong)) == .failed)
        #expect(outcome(ConditionFields(ifMatch: "*")) == .proceed)
        #expect(outcome(ConditionFields(ifNoneMatch: strong)) == .proceed)
        #expect(outcome(ConditionFields(ifNoneMatch: "*")) == .notModified)
        #expect(outcome(ConditionFields(ifModifiedSince: .max)) == .proceed)
        #expect(outcome(ConditionFields(ifUnmodifiedSince: .min)) == .proceed)
        #expect(ConditionFields(ifRange: strong).with { $0.allowsRange(none) } == false)
        #expect(ConditionFields(ifRange: "date", ifRangeDate: modified).with { $0.allowsRange(none) } == false)
    }

    @Test func ifRange() {
        func allows(_ value: String?, date: Int64? = nil, _ current: Validators = validators) -> Bool {
            ConditionFields(ifRange: value, ifRangeDate: date).with { $0.allowsRange(current) }
        }
        #expect(allows(nil))
        #expect(allows(strong))
        #expect(allows(" \(strong) "))
        #expect(!allows("W/\(strong)"))
        #expect(!allows(#""x""#))
        #expect(!allows("\(strong), \(strong)"))
        #expect(!allows("*"))
        #expect(!allows(""))
        #expect(!allows("nonsense"))
        #expect(allows("Tue, 14 Nov 2023 22:13:20 GMT", date: modified))
        #expect(!allows("Tue, 14 Nov 2023 22:13:21 GMT", date: modified + 1))
        #expect(!allows("Tue, 14 Nov 2023 22:13:19 GMT", date: modified - 1))
        // An entity-tag is never read as a date, whatever the caller's date parser made of it.
        #expect(!allows(#""x""#, date: modified))
        let weak = Validators(entityTag: EntityTag(stat: .regular(1234), isWeak: true), lastModified: modified)
        #expect(!allows("W/\(strong)", weak))
        #expect(!allows(strong, weak))
    }
}
