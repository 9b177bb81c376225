// Reading the three date forms that a recipient must understand (RFC 9110 5.6.7). Any thread, no state.

extension HTTPDate {
    /// Seconds since 1970 of an IMF-fixdate, an RFC 850 date or an asctime date; nil for anything else, for days that do not
    /// exist and for times past 23:59:60. The name of the day is checked to be one, not to be the right one. A leap second
    /// counts as the second after it.
    ///
    /// - Parameter now: seconds since 1970, for the two-digit year of RFC 850: a date that would lie more than 50 years ahead
    ///   is taken to be 100 years earlier.
    package static func parse(_ bytes: UnsafePointer<UInt8>, count: Int, now: Int64) -> Int64? {
        // Caller's memory: `bytes[..<count]` is readable for this call; the reader checks every index.
        var reader = unsafe DateReader(bytes: bytes, count: count)
        guard count >= 24, count <= 33 else { return nil }
        if count == 24, unsafe bytes[3] == 0x20 { return unsafe reader.asctime() }
        if count == 29, unsafe bytes[3] == 0x2c { return unsafe reader.fixdate() }
        return unsafe reader.rfc850(now: now)
    }
}

/// A cursor over a date. Lives within one call of `HTTPDate.parse`, whose caller keeps the bytes.
@unsafe private struct DateReader {
    let bytes: UnsafePointer<UInt8>
    let count: Int
    var at = 0

    init(bytes: UnsafePointer<UInt8>, count: Int) {
        unsafe self.bytes = bytes
        unsafe self.count = count
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    mutating func fixdate() -> Int64? {
        guard unsafe name(of: HTTPDate.dayNames) != nil, unsafe literal(", "), let day = unsafe digits(2), unsafe literal(" "),
            let month = unsafe name(of: HTTPDate.monthNames), unsafe literal(" "), let year = unsafe digits(4), unsafe literal(" "),
            let time = unsafe timeOfDay(), unsafe literal(" GMT"), unsafe at == count
        else { return nil }
        return unsafe seconds(year: year, month: month + 1, day: day, time: time)
    }

    /// `Sunday, 06-Nov-94 08:49:37 GMT`
    mutating func rfc850(now: Int64) -> Int64? {
        guard unsafe longDayName(), unsafe literal(", "), let day = unsafe digits(2), unsafe literal("-"),
            let month = unsafe name(of: HTTPDate.monthNames), unsafe literal("-"), let shortYear = unsafe digits(2), unsafe literal(" "),
            let time = unsafe timeOfDay(), unsafe literal(" GMT"), unsafe at == count
        else { return nil }
        let clamped = min(max(now, HTTPDate.secondsMin), HTTPDate.secondsMax)
        let thisYear = HTTPDate.civilDate(days: HTTPDate.floorDivide(clamped, 86_400)).year
        var year = thisYear - thisYear % 100 + shortYear
        if year > thisYear + 50 { year -= 100 }
        if year <= thisYear - 50 { year += 100 }
        return unsafe seconds(year: year, month: month + 1, day: day, time: time)
    }

    /// `Sun Nov  6 08:49:37 1994`
    mutating func asctime() -> Int64? {
        guard unsafe name(of: HTTPDate.dayNames) != nil, unsafe literal(" "), let month = unsafe name(of: HTTPDate.monthNames), unsafe literal(" ")
        else { return nil }
        let padded = unsafe literal(" ")
        guard let day = unsafe digits(padded ? 1 : 2), unsafe literal(" "), let time = unsafe timeOfDay(), unsafe literal(" "),
            let year = unsafe digits(4), unsafe at == count
        else { return nil }
        return unsafe seconds(year: year, month: month + 1, day: day, time: time)
    }

    private func seconds(year: Int, month: Int, day: Int, time: Int64) -> Int64? {
        guard day >= 1, day <= HTTPDate.daysInMonth(year: year, month: month) else { return nil }
        return HTTPDate.dayNumber(year: year, month: month, day: day) * 86_400 + time
    }

    private mutating func timeOfDay() -> Int64? {
        guard let hour = unsafe digits(2), unsafe literal(":"), let minute = unsafe digits(2), unsafe literal(":"), let second = unsafe digits(2),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        return Int64(hour * 3600 + minute * 60 + second)
    }

    private mutating func digits(_ length: Int) -> Int? {
        guard unsafe count - at >= length else { return nil }
        var value = 0
        for _ in 0..<length {
            let digit = unsafe bytes[at] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + Int(digit)
            unsafe at += 1
        }
        return value
    }

    /// Consumes the literal if it stands here.
    private mutating func literal(_ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        guard unsafe count - at >= length else { return false }
        for index in 0..<length where unsafe bytes[at + index] != text.utf8Start[index] { return false }
        unsafe at += length
        return true
    }

    /// The index of a three-letter name; case matters (RFC 9110 5.6.7).
    private mutating func name(of names: StaticString) -> Int? {
        guard unsafe count - at >= 3 else { return nil }
        for index in 0..<names.utf8CodeUnitCount / 3 {
            let candidate = unsafe names.utf8Start + 3 * index
            if unsafe bytes[at] == candidate[0] && bytes[at + 1] == candidate[1] && bytes[at + 2] == candidate[2] {
                unsafe at += 3
                return index
            }
        }
        return nil
    }

    private mutating func longDayName() -> Bool {
        // Written out so that no array is allocated.
        unsafe literal("Sunday") || literal("Monday") || literal("Tuesday") || literal("Wednesday") || literal("Thursday")
            || literal("Friday") || literal("Saturday")
    }
}
