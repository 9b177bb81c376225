// AuthAnswerCache: good answers of an authorisation server, for a short time and not more than so many. One for each loop and route (LoopLocal), on the loop's thread.

internal import UringServer
internal import UringTLS

final class AuthAnswerCache {
    private struct Entry {
        let fields: [UInt8]
        let until: UInt64
    }

    /// Answers with more are not remembered, so that the number of entries bounds memory.
    static let fieldBytesMax = 2048

    /// Two generations of half the entries each: the older goes when the younger is full, without a list of who was used when.
    private let generationMax: Int
    private var young: [KeyedDigest.Code: Entry] = [:]
    private var old: [KeyedDigest.Code: Entry] = [:]

    var count: Int { young.count + old.count }

    init(entriesMax: Int) { generationMax = max(1, entriesMax / 2) }

    /// - Parameter now: ns of a clock that never jumps.
    func find(_ code: KeyedDigest.Code, now: UInt64) -> [UInt8]? {
        guard let entry = young[code] ?? old[code], now < entry.until else { return nil }
        return entry.fields
    }

    func add(_ code: KeyedDigest.Code, _ fields: [UInt8], until: UInt64) {
        if young.count >= generationMax, young[code] == nil { (old, young) = (young, [:]) }
        young[code] = Entry(fields: fields, until: until)
    }

    /// How long an answer holds: as configured, or less where it says so (RFC 9111 section 5.2.2). Nil: not at all.
    static func lifetime(_ longest: UInt64, _ fields: [(name: [UInt8], value: [UInt8])]) -> UInt64? {
        var lifetime = longest
        for (name, value) in fields where ByteView(name.span).equalsIgnoringCase("cache-control") {
            for directive in String(decoding: value, as: UTF8.self).lowercased().split(separator: ",") {
                let word = directive.drop { $0 == " " || $0 == "\t" }.prefix { $0 != " " && $0 != "\t" }
                if word == "no-store" || word == "no-cache" { return nil }
                if word.hasPrefix("max-age="), let seconds = UInt64(word.dropFirst(8)) {
                    let (ns, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
                    if !overflow { lifetime = min(lifetime, ns) }
                }
            }
        }
        return lifetime > 0 ? lifetime : nil
    }
}
