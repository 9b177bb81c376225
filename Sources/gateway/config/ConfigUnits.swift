// Numbers with units as operators write them: 10s, 32KiB, 240B/s. Both directions, since messages, the schema and the
// reference page show the limits in the same spelling that the file uses.

enum ConfigUnit: Sendable {
    /// Value in nanoseconds.
    case duration
    /// Value in bytes.
    case size
    /// Value in bytes per second.
    case rate
    /// Value in hundredths of a percent.
    case percent

    /// Multiples from the smallest to the largest.
    var suffixes: [(name: String, factor: UInt64)] {
        switch self {
        case .duration:
            [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60_000_000_000),
             ("h", 3_600_000_000_000), ("d", 86_400_000_000_000)]
        case .size:
            [("B", 1), ("KB", 1_000), ("KiB", 1 << 10), ("MB", 1_000_000), ("MiB", 1 << 20),
             ("GB", 1_000_000_000), ("GiB", 1 << 30), ("TB", 1_000_000_000_000), ("TiB", 1 << 40)]
        case .rate: Self.size.suffixes.map { ($0.name + "/s", $0.factor) }
        case .percent: [("%", 100)]
        }
    }

    var accepted: String {
        switch self {
        case .duration: "a duration such as 500ms, 10s, 2m or 1h30m"
        case .size: "a size such as 4096, 32KiB, 10MiB or 1MB"
        case .rate: "a rate such as 240B/s or 10KiB/s"
        case .percent: "a share such as 5% or 0.5%"
        }
    }

    /// Pattern for JSON Schema: what `parse` takes, besides a plain 0 (and, for sizes, a plain number).
    var pattern: String {
        switch self {
        case .duration: "^(0|([0-9]+(ns|us|ms|s|m|h|d))+)$"
        case .size: "^[0-9]+(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)?$"
        case .rate: "^(0|[0-9]+(B|KB|KiB|MB|MiB|GB|GiB|TB|TiB)/s)$"
        case .percent: "^(0|[0-9]+(\\.[0-9]{1,2})?%)$"
        }
    }

    enum Parsed: Equatable {
        /// Saturates at UInt64.max, which every range refuses.
        case value(UInt64)
        /// What the writer probably meant, or nil.
        case malformed(suggestion: String?)
    }

    func parse(_ text: String) -> Parsed {
        if self == .percent { return Self.parsePercent(text) }
        var rest = Array(text.utf8)[...]
        var total: UInt64 = 0
        var lastFactor = UInt64.max
        repeat {
            guard let number = Self.takeNumber(&rest) else { return .malformed(suggestion: nil) }
            let unit = String(decoding: rest.prefix { !Self.isDigit($0) }, as: UTF8.self)
            rest = rest.dropFirst(unit.utf8.count)
            guard let factor = factor(of: unit, number: number) else {
                return .malformed(suggestion: rest.isEmpty && total == 0 ? suggestion(unit: unit, number: number) : nil)
            }
            // 1h30m is a duration, 30m1h a slip; sizes have one part.
            guard factor < lastFactor, self == .duration || lastFactor == .max else { return .malformed(suggestion: nil) }
            lastFactor = factor
            let (product, overflow) = number.multipliedReportingOverflow(by: factor)
            let (sum, carry) = total.addingReportingOverflow(product)
            total = overflow || carry ? .max : sum
        } while !rest.isEmpty
        return .value(total)
    }

    private static func parsePercent(_ text: String) -> Parsed {
        if text == "0" { return .value(0) }
        var rest = Array(text.utf8)[...]
        guard let whole = takeNumber(&rest) else { return .malformed(suggestion: nil) }
        var hundredths: UInt64 = 0
        var decimals = 0
        if rest.first == UInt8(ascii: ".") {
            let digits = rest.dropFirst().prefix(while: isDigit)
            decimals = digits.count
            rest = rest.dropFirst(1 + decimals)
            guard (1...2).contains(decimals) else { return .malformed(suggestion: nil) }
            for digit in digits { hundredths = hundredths * 10 + UInt64(digit &- UInt8(ascii: "0")) }
            if decimals == 1 { hundredths *= 10 }
        }
        if rest.isEmpty {
            // 5 means 5%, and 0.05 too.
            return .malformed(suggestion: decimals == 0 ? "\(whole)%" : whole == 0 && hundredths > 0 ? "\(hundredths)%" : nil)
        }
        guard rest.elementsEqual([UInt8(ascii: "%")]) else { return .malformed(suggestion: nil) }
        let (product, overflow) = whole.multipliedReportingOverflow(by: 100)
        let (sum, carry) = product.addingReportingOverflow(hundredths)
        return .value(overflow || carry ? .max : sum)
    }

    /// The largest unit that says the value exactly.
    func format(_ value: UInt64) -> String {
        guard value > 0 else { return "0" }
        if self == .percent {
            let (whole, hundredths) = (value / 100, value % 100)
            let decimals = hundredths == 0 ? "" : hundredths % 10 == 0 ? ".\(hundredths / 10)" : ".\(hundredths < 10 ? "0" : "")\(hundredths)"
            return "\(whole)\(decimals)%"
        }
        // Powers of two first: 1024 is 1KiB, and 1000000 is 1MB.
        let fitting = suffixes.filter { value % $0.factor == 0 }
        let best = fitting.max { value / $0.factor > value / $1.factor } ?? suffixes[0]
        return "\(value / best.factor)\(best.name)"
    }

    private func factor(of unit: String, number: UInt64) -> UInt64? {
        if unit.isEmpty { return self == .size || number == 0 ? 1 : nil }
        return suffixes.first { $0.name == unit }?.factor
    }

    private func suggestion(unit: String, number: UInt64) -> String? {
        let known = suffixes.map(\.name)
        let bare = unit.utf8.first == UInt8(ascii: " ") ? String(unit.drop { $0 == " " }) : unit
        switch self {
        case .duration:
            if bare.isEmpty { return "\(number)s` or `\(number)ms" }
            let words = ["sec": "s", "secs": "s", "second": "s", "seconds": "s", "min": "m", "mins": "m", "minute": "m",
                         "minutes": "m", "hour": "h", "hours": "h", "day": "d", "days": "d", "msec": "ms", "µs": "us"]
            let unit = known.contains(bare) ? bare : words[bare] ?? known.first { $0 == bare.lowercased() }
            return unit.map { "\(number)\($0)" }
        case .percent: return nil
        case .size, .rate:
            if bare.isEmpty { return "\(number)B/s" }
            let folded = bare.lowercased()
            if let exact = known.first(where: { $0.lowercased() == folded }) { return "\(number)\(exact)" }
            let perSecond = self == .rate
            let stem = perSecond && folded.hasSuffix("/s") ? String(folded.dropLast(2)) : folded
            let ending = perSecond ? "/s" : ""
            let binary = ["k": "KiB", "m": "MiB", "g": "GiB", "t": "TiB", "": "B"]
            if let unit = binary[stem] { return "\(number)\(unit)\(ending)" }
            return known.first { $0.lowercased() == stem + ending }.map { "\(number)\($0)" }
        }
    }

    private static func takeNumber(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        let digits = rest.prefix(while: isDigit)
        guard !digits.isEmpty else { return nil }
        rest = rest[digits.endIndex...]
        return digits.reduce(0) { value, digit in
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit &- UInt8(ascii: "0")))
            return overflow || carry || value == .max ? .max : sum
        }
    }

    private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
}
