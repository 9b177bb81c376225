// Dates both ways, against known moments and against each other.

import Testing
import UringHTTP

private func format(_ seconds: Int64) -> String {
    // The array lives for the closure.
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 29) { buffer, count in
        unsafe HTTPDate.write(unixSeconds: seconds, to: buffer.baseAddress!)
        count = 29
    }
    return String(decoding: bytes, as: UTF8.self)
}

private func parse(_ text: String, now: Int64 = 1_700_000_000) -> Int64? {
    // The array lives for the closure.
    unsafe (Array(text.utf8) + [0]).withUnsafeBufferPointer { unsafe HTTPDate.parse($0.baseAddress!, count: $0.count - 1, now: now) }
}

@Suite struct HTTPDateTests {
    @Test(arguments: [
        (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT"), (-1, "Wed, 31 Dec 1969 23:59:59 GMT"), (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
        (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"), (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"), (2_147_483_648, "Tue, 19 Jan 2038 03:14:08 GMT"),
        (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"), (-62_167_219_200, "Sat, 01 Jan 0000 00:00:00 GMT"),
    ] as [(Int64, String)])
    func knownMoments(seconds: Int64, text: String) {
        #expect(format(seconds) == text)
        #expect(parse(text) == seconds)
    }

    @Test func secondsOutOfRangeAreClamped() {
        #expect(format(.max) == "Fri, 31 Dec 9999 23:59:59 GMT")
        #expect(format(.min) == "Sat, 01 Jan 0000 00:00:00 GMT")
    }

    @Test func allThreeForms() {
        #expect(parse("Sun, 06 Nov 1994 08:49:37 GMT") == 784_111_777)
        #expect(parse("Sunday, 06-Nov-94 08:49:37 GMT") == 784_111_777)
        #expect(parse("Wednesday, 09-Nov-94 08:49:37 GMT") == 784_370_977)
        #expect(parse("Sun Nov  6 08:49:37 1994") == 784_111_777)
        #expect(parse("Sat Nov 26 08:49:37 1994") == 785_839_777)
        #expect(parse("Sat, 31 Dec 2016 23:59:60 GMT") == 1_483_228_800)
    }

    @Test func twoDigitYearsLieWithinFiftyYears() {
        // Now is 2023.
        #expect(parse("Sunday, 06-Nov-73 00:00:00 GMT") == 3_277_152_000, "2073")
        #expect(parse("Sunday, 06-Nov-74 00:00:00 GMT") == 152_928_000, "1974")
        #expect(parse("Sunday, 06-Nov-00 00:00:00 GMT") == 973_468_800, "2000")
        // Now is 2090: "05" is closer ahead than behind.
        #expect(parse("Sunday, 06-Nov-05 00:00:00 GMT", now: 3_800_000_000).map { $0 > 4_000_000_000 } == true)
        #expect(parse("Sunday, 06-Nov-05 00:00:00 GMT", now: .max) != nil)
    }

    @Test(arguments: [
        "", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC", "sun, 06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT", "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Sun, 00 Nov 1994 08:49:37 GMT", "Thu, 29 Feb 2023 00:00:00 GMT",
        "Sun, 06 Nov -994 08:49:37 GMT", "Sun, 06 Nov 19x4 08:49:37 GMT", "Xyz, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT ", " Sun, 06 Nov 1994 08:49:37 GMT", "Sun Nov 06 08:49:37 GMT 1994",
        "Sunday, 06-Nov-1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 94", "Sunday, 06 Nov 94 08:49:37 GMT", "784111777", "Sun Nov   608:49:37 1994",
    ])
    func refused(text: String) {
        #expect(parse(text) == nil)
    }

    @Test func roundTripOverTheYears() {
        // 86,399 seconds and 11 days apart, so that every month, weekday and hour is met.
        var seconds: Int64 = -62_167_219_200
        var rounds = 0
        while seconds <= 253_402_300_799 {
            #expect(parse(format(seconds)) == seconds)
            seconds += 11 * 86_400 * 97 + 86_399
            rounds += 1
        }
        #expect(rounds > 3000)
    }

    @Test func everyPrefixAndEveryChangedByteIsHarmless() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            for length in 0..<text.utf8.count { #expect(parse(String(text.prefix(length))) == nil) }
            for position in 0..<text.utf8.count {
                for byte in UInt8.min...UInt8.max {
                    var bytes = Array(text.utf8)
                    bytes[position] = byte
                    let seconds = unsafe bytes.withUnsafeBufferPointer { unsafe HTTPDate.parse($0.baseAddress!, count: $0.count, now: 0) }
                    if let seconds { #expect(seconds >= HTTPDate.secondsMin && seconds <= HTTPDate.secondsMax) }
                }
            }
        }
    }
}
