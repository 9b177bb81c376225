import Testing

@testable import UringPolicy

@Suite("Prefixes")
struct PrefixTests {
    private func prefix(_ text: String) -> Prefix { try! Prefix.strict(text).get() }

    @Test("are read and written", arguments: [
        ("10.0.0.0/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"), ("192.0.2.1", "192.0.2.1"), ("192.0.2.1/32", "192.0.2.1"), ("::/0", "::/0"), ("2001:DB8::/32", "2001:db8::/32"),
        ("2001:db8::1/128", "2001:db8::1"), ("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.0.0.1", "10.0.0.1"), ("10.0.0.0/008", "10.0.0.0/8"),
    ])
    func text(_ given: String, _ expected: String) throws {
        let prefix = try Prefix.strict(given).get()
        #expect("\(prefix)" == expected)
        #expect(try Prefix.strict(expected).get() == prefix)
    }

    @Test("are refused with what is wrong", arguments: [
        ("10.0.0.0/33", "10.0.0.0/33: the prefix length is 0 to 32 for IPv4"), ("::/129", "::/129: the prefix length is 0 to 128 for IPv6"),
        ("10.0.0.1/8", "10.0.0.1/8: bits behind the prefix length are set: the network is 10.0.0.0/8, the address alone is 10.0.0.1"),
        ("10.0.0/8", "10.0.0/8: '10.0.0' is not an IP address"), ("10.0.0.0/", "10.0.0.0/: the prefix length '' is not a number"), ("10.0.0.0/+8", "10.0.0.0/+8: the prefix length '+8' is not a number"),
        ("10.0.0.0/8/8", "10.0.0.0/8/8: the prefix length '8/8' is not a number"), ("10.0.0.0/9999", "10.0.0.0/9999: the prefix length '9999' is not a number"), ("", ": an IP address or a prefix like 10.0.0.0/8 is expected"),
        ("/8", "/8: an IP address or a prefix like 10.0.0.0/8 is expected"), ("fe80::1%eth0/64", "fe80::1%eth0/64: a zone ('%') has no meaning in a prefix"),
    ])
    func refused(_ text: String, _ message: String) {
        guard case .failure(let error) = Prefix.strict(text) else { return #expect(Bool(false), "\(text) is taken") }
        #expect(error.description == message)
    }

    @Test("with bits behind their length are taken where that is wanted, and say so")
    func hostBits() throws {
        let lenient = try Prefix.parse("10.1.2.3/8").get()
        #expect(lenient.hadHostBits && lenient.prefix == prefix("10.0.0.0/8"))
        #expect(try Prefix.parse("10.0.0.0/8").get().hadHostBits == false)
        #expect(prefix("10.0.0.0/8").last == address("10.255.255.255") && prefix("::/0").last == IPAddress(high: .max, low: .max))
        #expect(prefix("2001:db8::/64").last == address("2001:db8::ffff:ffff:ffff:ffff") && prefix("192.0.2.1").last == address("192.0.2.1"))
        #expect(prefix("::/0").contains(address("::1")) && !prefix("::/0").contains(address("192.0.2.1")) && prefix("0.0.0.0/0").contains(address("192.0.2.1")))
    }

    @Test("the longest of a set wins")
    func longest() {
        let prefixes = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "0.0.0.0/0", "255.255.255.255", "2001:db8::/32", "2001:db8:1::/48", "10.1.0.0/16", "ffff:ffff:ffff:ffff::/64"].map(prefix)
        let set = PrefixSet(prefixes)
        for (text, expected) in [
            ("10.1.2.3", 3), ("10.1.2.4", 2), ("10.1.3.0", 1), ("10.2.0.0", 0), ("11.0.0.0", 4), ("0.0.0.0", 4), ("255.255.255.255", 5), ("255.255.255.254", 4), ("2001:db8::", 6), ("2001:db8:1:ffff::", 7),
            ("2001:db8:2::", 6), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 9),
        ] { #expect(set.match(address(text)) == expected, "\(text)") }
        for text in ["2001:db9::", "::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff"] { #expect(set.match(address(text)) == nil, "\(text)") }
        #expect(set.parent(of: 3) == 2 && set.parent(of: 2) == 1 && set.parent(of: 1) == 0 && set.parent(of: 0) == 4 && set.parent(of: 4) == nil && set.parent(of: 6) == nil)
        #expect(PrefixSet.empty.match(address("::1")) == nil && PrefixSet.empty.isEmpty)
    }

    @Test("a set answers what looking at each prefix answers", arguments: 0..<20)
    func property(seed: UInt64) {
        var random = PolicyRandom(seed: seed)
        // Few bits, so that prefixes nest, touch and reach the ends of the address space.
        func any() -> IPAddress {
            func word() -> UInt64 { [0, .max, 0xffff_0000_0000_0000, 1, 0x8000_0000_0000_0000][Int(random.below(5))] ^ (random.below(2) == 0 ? 0 : 1 << random.below(64)) }
            return random.below(2) == 0 ? IPAddress(ipv4: UInt32(truncatingIfNeeded: word())) : IPAddress(high: word(), low: word())
        }
        let prefixes = (0..<random.below(60)).map { _ in
            let address = any()
            return Prefix(address, length: address.isIPv4 && random.below(10) > 0 ? 96 + Int(random.below(33)) : Int(random.below(129)))
        }
        let set = PrefixSet(prefixes)
        func naive(_ address: IPAddress, below length: Int = 129) -> Int? {
            var best: Int?
            for (index, prefix) in prefixes.enumerated() where prefix.contains(address) && Int(prefix.length) < length && Int(prefix.length) > best.map({ Int(prefixes[$0].length) }) ?? -1 { best = index }
            return best
        }
        var probes = (0..<200).map { _ in any() }
        for prefix in prefixes {
            probes += [prefix.address, prefix.last]
            if let next = prefix.last.successor { probes.append(next) }
        }
        for probe in probes {
            let match = set.match(probe)
            #expect(match == naive(probe), "\(probe)")
            if let match { #expect(set.parent(of: match) == naive(probe, below: Int(prefixes[match].length)), "around \(prefixes[match])") }
        }
    }
}

@Suite("Bans")
struct BanTests {
    private func entry(_ text: String, until: UInt64 = .max, _ source: BanSource = .admin, reason: String = "") -> BanEntry {
        BanEntry(try! Prefix.strict(text).get(), until: until, source: source, reason: reason)
    }

    @Test("hold until their time, the longest that holds first, and never for the allowed")
    func verdicts() {
        var list = BanList(allowed: [try! Prefix.strict("10.1.1.0/24").get()])
        #expect(list.add(entry("10.0.0.0/8", until: 100), now: 0) == .added)
        #expect(list.add(entry("10.1.0.0/16", until: 50), now: 0) == .added)
        #expect(list.add(entry("2001:db8::/32"), now: 0) == .added)
        let snapshot = list.snapshot(now: 0)
        #expect(snapshot.verdict(address("10.1.2.3"), now: 49) == .banned(index: 1, until: 50))
        #expect(snapshot.verdict(address("10.1.2.3"), now: 50) == .banned(index: 0, until: 100))
        #expect(snapshot.verdict(address("10.1.2.3"), now: 100) == .pass)
        #expect(snapshot.verdict(address("10.1.1.3"), now: 0) == .allowed)
        #expect(snapshot.verdict(address("11.1.1.3"), now: 0) == .pass)
        #expect(snapshot.verdict(address("2001:db8::7"), now: .max - 1) == .banned(index: 2, until: .max))
        #expect(snapshot.entry(2).prefix.description == "2001:db8::/32" && snapshot.count == 3)
        #expect(list.list(now: 60).map { "\($0.prefix)" } == ["10.0.0.0/8", "2001:db8::/32"])
        #expect(list.expire(now: 60) == 1 && list.count == 2)
        #expect(list.remove(try! Prefix.strict("10.0.0.0/8").get())?.until == 100)
        #expect(list.remove(try! Prefix.strict("10.0.0.0/8").get()) == nil)
        #expect(BanSnapshot.empty.verdict(address("::1"), now: 0) == .pass)
    }

    @Test("are replaced by people, and only made longer by rules")
    func replacing() {
        var list = BanList(entriesMax: 2)
        #expect(list.add(entry("192.0.2.1", until: 100), now: 0) == .added)
        #expect(list.add(entry("192.0.2.1", until: 99, .rule), now: 0) == .kept)
        #expect(list.add(entry("192.0.2.1", until: 101, .rule), now: 0) == .replaced)
        #expect(list.add(entry("192.0.2.1", until: 50), now: 0) == .replaced)
        #expect(list.add(entry("192.0.2.2"), now: 0) == .added)
        #expect(list.add(entry("192.0.2.3"), now: 0) == .full)
        #expect(list.add(entry("192.0.2.3"), now: 50) == .added)
    }

    @Test("have reasons of one line and a bounded length")
    func reasons() {
        #expect(entry("::1", reason: "  a\nb\u{7}c \r\n").reason == "a b c")
        for length in 195...205 {
            let reason = entry("::1", reason: String(repeating: "a", count: length) + "ü€🙂").reason
            #expect(reason.utf8.count <= BanEntry.reasonBytesMax && reason.hasPrefix(String(repeating: "a", count: min(length, 195))) && !reason.contains("\u{fffd}"))
        }
    }

    @Test("survive being written to a file and read again")
    func file() {
        var list = BanList(allowed: [try! Prefix.strict("10.1.1.0/24").get()])
        let base: UInt64 = 1_767_323_045 * second
        for item in [entry("10.0.0.0/8", until: base + second, .rule, reason: "20 × until=never source=admin"), entry("2001:db8::1", until: .max, .redis), entry("192.0.2.1", until: base, .admin)] {
            _ = list.add(item, now: 0)
        }
        let text = BanFile.write(list, now: base)
        #expect(text.split(separator: "\n").dropFirst() == ["allow 10.1.1.0/24", "deny 10.0.0.0/8 until=2026-01-02T03:04:06Z source=rule reason=20 × until=never source=admin", "deny 2001:db8::1 until=never source=redis reason="])
        var again = BanList()
        #expect(BanFile.read(text, now: base, into: &again) == [])
        #expect(again.list(now: base) == list.list(now: base) && again.allowed == list.allowed)
    }

    @Test("lines that are wrong are named, the others count")
    func fileErrors() {
        var list = BanList(entriesMax: 2)
        let text = """
            # comment
              deny 192.0.2.1
            deny 10.0.0.0/33 until=never
            drop 192.0.2.1
            allow 10.0.0.0/8 x
            deny ::1 until=tomorrow
            deny ::1 source=me
            deny ::1 reason
            deny ::1 why=because
            deny ::2 until=1970-01-01T00:00:00Z
            deny ::3\tsource=admin  reason=  x\r
            deny ::4
            """
        let problems = BanFile.read(text, now: 1, into: &list)
        #expect(problems.map(\.number) == [3, 4, 5, 6, 7, 8, 9, 12])
        #expect(problems[1].message == "'drop' is neither deny, allow nor a prefix")
        #expect(problems.first?.message == "10.0.0.0/33: the prefix length is 0 to 32 for IPv4")
        #expect(problems[4].message == "source: 'me' is none of config, admin, file, redis, rule")
        #expect(list.list(now: 1).map(\.reason) == ["x", ""])
    }

    @Test("a prefix alone is denied for good, and a comment is its reason")
    func bareLines() {
        var list = BanList()
        let text = "192.0.2.0/24\n  2001:db8::/32  # a botnet\nallow 192.0.2.7 # ours\ndeny 10.0.0.1 until=never # by hand\n192.0.2.9 until=1970-01-01T00:00:10Z\n192.0.2.300\n10.0.0.1/8"
        let problems = BanFile.read(text, now: 1, into: &list)
        #expect(problems.map(\.number) == [6, 7])
        #expect(problems.map(\.message) == ["192.0.2.300: '192.0.2.300' is not an IP address", "10.0.0.1/8: bits behind the prefix length are set: the network is 10.0.0.0/8, the address alone is 10.0.0.1"])
        #expect(list.list(now: 1).map { "\($0.prefix) \($0.reason) \($0.isPermanent)" } == ["10.0.0.1 by hand true", "192.0.2.0/24  true", "192.0.2.9  false", "2001:db8::/32 a botnet true"])
        #expect(list.allowed.map(\.description) == ["192.0.2.7"])
    }

    @Test("two lists are one, with the longer ban of a prefix that is in both")
    func merging() {
        let (one, two, three) = (try! Prefix.strict("192.0.2.1").get(), try! Prefix.strict("192.0.2.2").get(), try! Prefix.strict("192.0.2.3").get())
        var (file, live) = (BanList(), BanList())
        for (prefix, until) in [(one, 10), (two, 30), (three, 5)] as [(Prefix, UInt64)] { _ = file.add(BanEntry(prefix, until: until, source: .file), now: 0) }
        for (prefix, until) in [(one, 20), (two, 20)] as [(Prefix, UInt64)] { _ = live.add(BanEntry(prefix, until: until, source: .admin), now: 0) }
        func text(_ entries: [BanEntry]) -> Set<String> { Set(entries.map { "\($0.prefix) \($0.until) \($0.source)" }) }
        #expect(text(file.merged(with: live, now: 5)) == ["192.0.2.1 20 admin", "192.0.2.2 30 file"])
        #expect(text(live.merged(with: file, now: 5)) == ["192.0.2.1 20 admin", "192.0.2.2 30 file"])
        #expect(file[three]?.until == 5 && file[one]?.source == .file && live[three] == nil)
    }

    @Test("times are those of the calendar")
    func times() {
        for (text, seconds) in [("1970-01-01T00:00:00Z", 0), ("2000-02-29T12:00:00Z", 951_825_600), ("2026-11-26T21:56:04Z", 1_795_730_164), ("2100-03-01T00:00:00Z", 4_107_542_400), ("2553-12-31T23:59:59Z", 18429292799)] as [(String, UInt64)] {
            #expect(UTCTime.parse(text[...]) == seconds * second, "\(text)")
            #expect(UTCTime.text(seconds * second) == text)
        }
        #expect(UTCTime.text(1) == "1970-01-01T00:00:01Z" && UTCTime.text(.max - 1).hasPrefix("2554-"))
        for text in ["", "2026-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "1969-12-31T23:59:59Z", "2554-01-01T00:00:00Z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00z"] {
            #expect(UTCTime.parse(text[...]) == nil, "\(text)")
        }
    }
}

@Suite("Bans by rule")
struct OffenceTests {
    private let rule = BanRule(offences: 3, within: 10 * second, ban: 60 * second, growth: 2, longest: 200 * second, forgetAfter: 600 * second)!
    private let hasher = RateKeyHasher(secret: (1, 2))
    private func key(_ number: Int) -> RateKey { hasher.key(IPAddress(ipv4: UInt32(number)), policy: 0) }

    @Test("come with the last offence of a window, and grow")
    func growing() {
        var table = OffenceTable(rule, clients: 16)
        var now: UInt64 = 1000 * second
        for (strike, length) in [60, 120, 200, 200].enumerated() {
            #expect(table.record(key(1), now: now) == nil && table.record(key(1), now: now) == nil)
            let ban = table.record(key(1), now: now)
            #expect(ban == OffenceTable.Ban(until: now + UInt64(length) * second, strike: UInt32(strike + 1)))
            #expect(table.record(key(1), weight: 100, now: now + 1) == nil, "banned already")
            #expect(table.bannedUntil(key(1), now: now) == ban?.until && table.bannedUntil(key(2), now: now) == nil)
            now += UInt64(length) * second
            #expect(table.bannedUntil(key(1), now: now) == nil)
        }
        now += 600 * second
        #expect(table.record(key(1), weight: 3, now: now)?.strike == 1, "forgotten")
        table.pardon(key(1))
        #expect(table.bannedUntil(key(1), now: now) == nil)
        #expect(table.record(key(1), weight: 3, now: now)?.strike == 1)
    }

    @Test("do not come from offences that wear off, nor for nothing")
    func wearingOff() {
        var table = OffenceTable(rule, clients: 16)
        for step in 0..<100 { #expect(table.record(key(1), now: UInt64(step) * 5 * second) == nil) }
        for _ in 0..<100 { #expect(table.record(key(1), weight: 0, now: 0) == nil) }
        var strict = OffenceTable(BanRule(offences: 1, within: second, ban: second, longest: second, forgetAfter: 0)!, clients: 1)
        #expect(strict.record(key(1), now: 0)?.until == second)
        #expect(strict.record(key(1), weight: .max, now: second)?.strike == 1)
    }

    @Test("remember a bounded number of clients: those with most to their account")
    func bounded() {
        var table = OffenceTable(rule, clients: 4)
        #expect(table.record(key(1), weight: 3, now: 0) != nil)
        for number in 2..<100 { #expect(table.record(key(number), now: 0) == nil) }
        #expect(table.forgotten > 80 && table.bannedUntil(key(1), now: 0) != nil)
        #expect(table.bans == 1)
    }

    @Test("have bounds")
    func bounds() {
        #expect(BanRule(offences: 0, within: 1, ban: 1, longest: 1, forgetAfter: 0) == nil)
        #expect(BanRule(offences: 1, within: 0, ban: 1, longest: 1, forgetAfter: 0) == nil)
        #expect(BanRule(offences: 1, within: second, ban: 2, longest: 1, forgetAfter: 0) == nil)
        #expect(BanRule(offences: 1, within: second, ban: 1, growth: 0, longest: 1, forgetAfter: 0) == nil)
        #expect(BanRule(offences: 1, within: second, ban: 1, longest: .max, forgetAfter: 0) == nil)
        let rule = BanRule(offences: 1, within: second, ban: 1, growth: .max, longest: 1 << 60, forgetAfter: 0)!
        #expect(rule.length(strike: 0) == 1 && rule.length(strike: 1) == 1 && rule.length(strike: 2) == 1 << 60 && rule.length(strike: .max) == 1 << 60)
    }
}
