// Bans as lines of text, for a file that people read and edit. Off the loops.
//
//     # a comment
//     192.0.2.0/24   # denied for good; this is the reason
//     allow 192.0.2.7
//     deny 203.0.113.7 until=2026-01-02T03:04:05Z source=rule reason=20 malformed requests
//     deny 198.51.100.0/22 until=never source=admin reason=

package enum BanFile {
    /// What a line may be, for whoever has written another.
    package static let accepted = "a prefix like 203.0.113.0/24, `deny PREFIX until=TIME reason=TEXT`, `allow PREFIX`, or a comment behind `#`"

    package struct Line: Equatable, Sendable {
        package let number: Int
        package let message: String
    }

    /// Everything that holds, in order.
    package static func write(_ list: BanList, now: UInt64) -> String {
        var text = "# Bans of uringd. until: UTC; everything behind reason= is the reason.\n"
        for prefix in list.allowed { text += "allow \(prefix)\n" }
        for entry in list.list(now: now) {
            text += "deny \(entry.prefix) until=\(entry.isPermanent ? "never" : UTCTime.text(entry.until)) source=\(entry.source.rawValue) reason=\(entry.reason)\n"
        }
        return text
    }

    /// Reads a file. Lines that are wrong are told and left out; the others count.
    ///
    /// - Parameter now: bans that are over are left out.
    package static func read(_ text: String, now: UInt64, into list: inout BanList) -> [Line] {
        var problems: [Line] = []
        // By bytes: CR LF is one character.
        for (index, bytes) in text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            if let message = read(Substring(bytes.last == 0x0d ? bytes.dropLast() : bytes), now, &list) { problems.append(Line(number: index + 1, message: message)) }
        }
        return problems
    }

    private static func read(_ line: Substring, _ now: UInt64, _ list: inout BanList) -> String? {
        var rest = line.drop { $0 == " " || $0 == "\t" }
        if rest.isEmpty || rest.first == "#" { return nil }
        var verb = rest.prefix { $0 != " " && $0 != "\t" }
        if verb == "deny" || verb == "allow" { verb = word(&rest) } else if verb.contains(where: { $0 == "." || $0 == ":" }) { verb = "deny" } else {
            return "'\(verb)' is neither deny, allow nor a prefix"
        }
        let prefix: Prefix
        switch Prefix.strict(String(word(&rest))) {
        case .success(let found): prefix = found
        case .failure(let error): return error.description
        }
        if verb == "allow" {
            guard rest.isEmpty || rest.first == "#" else { return "'\(rest)' behind allow \(prefix)" }
            if !list.allowed.contains(prefix) { list.allowed.append(prefix) }
            return nil
        }
        var entry = BanEntry(prefix, source: .file)
        if let message = read(options: &rest, into: &entry) { return message }
        guard entry.until > now else { return nil }
        return list.add(entry, now: now) == .full ? "no room for more bans" : nil
    }

    private static func read(options rest: inout Substring, into entry: inout BanEntry) -> String? {
        var reason = ""
        while !rest.isEmpty {
            if rest.hasPrefix("reason=") {
                reason = String(rest.dropFirst("reason=".count))
                break
            }
            if rest.first == "#" {
                reason = String(rest.drop { $0 == "#" })
                break
            }
            let option = word(&rest)
            let parts = option.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2 else { return "'\(option)' is no NAME=VALUE" }
            switch parts[0] {
            case "until":
                guard let time = parts[1] == "never" ? .max : UTCTime.parse(parts[1]) else { return "until: '\(parts[1])' is neither never nor a time like 2026-01-02T03:04:05Z" }
                entry.until = time
            case "source":
                guard let source = BanSource(rawValue: String(parts[1])) else { return "source: '\(parts[1])' is none of \(BanSource.allCases.map(\.rawValue).joined(separator: ", "))" }
                entry.source = source
            default: return "'\(parts[0])' is none of until, source, reason"
            }
        }
        entry = BanEntry(entry.prefix, until: entry.until, source: entry.source, reason: reason)
        return nil
    }

    private static func word(_ rest: inout Substring) -> Substring {
        let word = rest.prefix { $0 != " " && $0 != "\t" }
        rest = rest[word.endIndex...].drop { $0 == " " || $0 == "\t" }
        return word
    }
}

/// Times as RFC 3339 writes them, in whole seconds of UTC, from 1970 to 2553.
package enum UTCTime {
    private static let nanoseconds: UInt64 = 1_000_000_000

    /// - Parameter time: ns since 1970; rounded up, so that a ban is no shorter for having been written down.
    package static func text(_ time: UInt64) -> String {
        let seconds = time / nanoseconds + (time % nanoseconds == 0 ? 0 : 1)
        let (year, month, day) = date(days: seconds / 86_400)
        let ofDay = seconds % 86_400
        func two(_ number: UInt64) -> String { (number < 10 ? "0" : "") + "\(number)" }
        return "\(year)-\(two(month))-\(two(day))T\(two(ofDay / 3600)):\(two(ofDay / 60 % 60)):\(two(ofDay % 60))Z"
    }

    package static func parse(_ text: Substring) -> UInt64? {
        let bytes = Array(text.utf8)
        let pattern = Array("0000-00-00T00:00:00Z".utf8)
        guard bytes.count == pattern.count else { return nil }
        for (byte, expected) in zip(bytes, pattern) {
            guard expected == 0x30 ? (0x30...0x39).contains(byte) : byte == expected else { return nil }
        }
        func number(_ range: Range<Int>) -> UInt64 { range.reduce(0) { $0 * 10 + UInt64(bytes[$1] - 0x30) } }
        let (year, month, day) = (number(0..<4), number(5..<7), number(8..<10))
        let (hour, minute, second) = (number(11..<13), number(14..<16), number(17..<19))
        guard (1970...2553).contains(year), (1...12).contains(month), day >= 1, day <= length(month, year), hour < 24, minute < 60, second < 60 else { return nil }
        return (days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second) * nanoseconds
    }

    private static func isLeap(_ year: UInt64) -> Bool { year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) }

    private static func length(_ month: UInt64, _ year: UInt64) -> UInt64 {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func days(_ year: UInt64, _ month: UInt64, _ day: UInt64) -> UInt64 {
        let before = year - 1
        let leaps = before / 4 - before / 100 + before / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400)
        return (year - 1970) * 365 + leaps + (1..<month).reduce(0) { $0 + length($1, year) } + day - 1
    }

    private static func date(days: UInt64) -> (UInt64, UInt64, UInt64) {
        var (year, rest): (UInt64, UInt64) = (1970, days)
        while rest >= (isLeap(year) ? 366 : 365) {
            rest -= isLeap(year) ? 366 : 365
            year += 1
        }
        var month: UInt64 = 1
        while rest >= length(month, year) {
            rest -= length(month, year)
            month += 1
        }
        return (year, month, rest + 1)
    }
}
