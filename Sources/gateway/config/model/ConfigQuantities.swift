// Small values that several parts of the configuration share: shares, request rates, ranges of status codes, secrets. Plain values without a
// trace of YAML; parsed at load time, read by any thread.

/// A share or growth, exact to a hundredth of a percent, so that configurations compare and print without rounding.
package struct Percentage: Sendable, Hashable, Comparable {
    /// 10,000 is 100 %.
    package let hundredths: UInt32

    package init(hundredths: UInt32) { self.hundredths = hundredths }
    package init(percent: UInt32) { hundredths = percent * 100 }

    /// 1 for 100 %.
    package var fraction: Double { Double(hundredths) / 10_000 }

    package static let zero = Percentage(hundredths: 0)
    package static let hundred = Percentage(hundredths: 10_000)

    package static func < (a: Self, b: Self) -> Bool { a.hundredths < b.hundredths }
}

/// `100/s`: so many in each period.
package struct RequestRate: Sendable, Hashable {
    /// 1 to `countMax`.
    package let count: UInt64
    /// A second, a minute, an hour or a day.
    package let perNs: UInt64

    /// More than a machine answers; ten million days in nanoseconds do not overflow a word either.
    static let countMax: UInt64 = 10_000_000

    package init(count: UInt64, perNs: UInt64) {
        self.count = count
        self.perNs = perNs
    }

    private static let periods: [(name: String, ns: UInt64)] = [
        ("s", 1_000_000_000), ("m", 60_000_000_000), ("h", 3_600_000_000_000), ("d", 86_400_000_000_000),
    ]

    package static func parse(_ text: String) -> Result<RequestRate, TextProblem> {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return .failure(TextProblem(reason: "no period after a slash")) }
        guard let period = periods.first(where: { $0.name == parts[1] }) else { return .failure(TextProblem(reason: "a period is s, m, h or d")) }
        guard parts[0].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let count = UInt64(parts[0]), (1...countMax).contains(count) else {
            return .failure(TextProblem(reason: "the count is a number from 1 to \(countMax)"))
        }
        return .success(RequestRate(count: count, perNs: period.ns))
    }
}

extension RequestRate: CustomStringConvertible {
    package var description: String { "\(count)/\(Self.periods.first { $0.ns == perNs }?.name ?? "\(perNs)ns")" }
}

/// Status codes: `404`, `500-599` or `5xx`.
package struct StatusRange: Sendable, Hashable {
    package let first: UInt16
    package let last: UInt16

    package func contains(_ status: UInt16) -> Bool { status >= first && status <= last }

    package static func parse(_ text: String) -> Result<StatusRange, TextProblem> {
        let bytes = Array(text.utf8)
        if bytes.count == 3, bytes[1...].elementsEqual("xx".utf8), (0x31...0x35).contains(bytes[0]) {
            let first = UInt16(bytes[0] - 0x30) * 100
            return .success(StatusRange(first: first, last: first + 99))
        }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map(status)
        guard (1...2).contains(parts.count), let first = parts[0], let last = parts[parts.count - 1] else {
            return .failure(TextProblem(reason: "not a status from 100 to 599, two of them, or 5xx"))
        }
        return first <= last ? .success(StatusRange(first: first, last: last)) : .failure(TextProblem(reason: "the first status is greater than the last"))
    }

    private static func status(_ text: Substring) -> UInt16? {
        guard text.utf8.count == 3, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else { return nil }
        return UInt16(text).flatMap { (100...599).contains($0) ? $0 : nil }
    }
}

/// What must not be printed. It says so itself, so that no log line or message shows it by accident.
package struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package let bytes: [UInt8]

    package init(bytes: [UInt8]) { self.bytes = bytes }

    static let placeholder = "[redacted]"
    package var description: String { Self.placeholder }
    package var debugDescription: String { Self.placeholder }
    /// `dump` and string interpolation of whatever holds a secret go by the mirror.
    package var customMirror: Mirror { Mirror(self, children: []) }
}

/// A header field of a configuration.
package struct HeaderField: Sendable, Hashable {
    package var name: String
    package var value: String

    package init(name: String, value: String) {
        self.name = name
        self.value = value
    }
}

/// What is done to the fields of a message, in this order: remove, set (replaces all of the name), add.
package struct HeaderEdits: Sendable, Equatable {
    package var remove: [String] = []
    package var set: [HeaderField] = []
    package var add: [HeaderField] = []

    package init(remove: [String] = [], set: [HeaderField] = [], add: [HeaderField] = []) {
        self.remove = remove
        self.set = set
        self.add = add
    }

    package var isEmpty: Bool { remove.isEmpty && set.isEmpty && add.isEmpty }
}
