// Dates of HTTP fields: writing the one form that is sent. Reading all three is in HTTPDate+Parsing.swift.
// Sans-I/O: the caller brings the clock. Any thread, no state.

@usableFromInline package enum HTTPDate {
    /// Length of an IMF-fixdate, `Sun, 06 Nov 1994 08:49:37 GMT`.
    @inlinable package static var bytes: Int { 29 }

    /// Seconds since 1970 of the first and last moment that four digits of year can say: 0000-01-01 and 9999-12-31.
    package static var secondsMin: Int64 { -62_167_219_200 }
    package static var secondsMax: Int64 { 253_402_300_799 }

    /// Writes 29 bytes of IMF-fixdate (RFC 9110 5.6.7). Seconds outside the years 0000…9999 are clamped.
    package static func write(unixSeconds: Int64, to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for 29 bytes, for this call.
        let seconds = min(max(unixSeconds, secondsMin), secondsMax)
        let days = floorDivide(seconds, 86_400)
        let second = seconds - days * 86_400
        let date = civilDate(days: days)
        // 1970-01-01 was a Thursday; Sunday is 0.
        let weekday = Int(((days % 7) + 7 + 4) % 7)
        unsafe writeName(dayNames, index: weekday, to: out)
        unsafe out[3] = 0x2c
        unsafe out[4] = 0x20
        unsafe ByteWriting.writeDecimal(UInt32(date.day), digits: 2, to: out + 5)
        unsafe out[7] = 0x20
        unsafe writeName(monthNames, index: date.month - 1, to: out + 8)
        unsafe out[11] = 0x20
        unsafe ByteWriting.writeDecimal(UInt32(date.year), digits: 4, to: out + 12)
        unsafe out[16] = 0x20
        unsafe ByteWriting.writeDecimal(UInt32(second / 3600), digits: 2, to: out + 17)
        unsafe out[19] = 0x3a
        unsafe ByteWriting.writeDecimal(UInt32(second / 60 % 60), digits: 2, to: out + 20)
        unsafe out[22] = 0x3a
        unsafe ByteWriting.writeDecimal(UInt32(second % 60), digits: 2, to: out + 23)
        _ = unsafe ByteWriting.write(" GMT", to: out + 25)
    }

    static var dayNames: StaticString { "SunMonTueWedThuFriSat" }
    static var monthNames: StaticString { "JanFebMarAprMayJunJulAugSepOctNovDec" }

    private static func writeName(_ names: StaticString, index: Int, to out: UnsafeMutablePointer<UInt8>) {
        // Caller's memory: room for 3 bytes. The index is within the literal's names.
        unsafe out.update(from: names.utf8Start + 3 * index, count: 3)
    }

    static func floorDivide(_ value: Int64, _ divisor: Int64) -> Int64 {
        let quotient = value / divisor
        return value % divisor < 0 ? quotient - 1 : quotient
    }

    /// Gregorian date of a day counted from 1970-01-01. The year is taken to begin in March, so that the leap day is its
    /// last day and every month before it has a fixed place.
    static func civilDate(days: Int64) -> (year: Int, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = floorDivide(shifted, 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (Int(year), Int(month), Int(day))
    }

    /// Days from 1970-01-01 to a Gregorian date with `month` in 1…12.
    static func dayNumber(year: Int, month: Int, day: Int) -> Int64 {
        let shiftedYear = Int64(month <= 2 ? year - 1 : year)
        let era = floorDivide(shiftedYear, 400)
        let yearOfEra = shiftedYear - era * 400
        let monthFromMarch = Int64(month > 2 ? month - 3 : month + 9)
        let dayOfYear = (153 * monthFromMarch + 2) / 5 + Int64(day) - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }

    /// Days in a month of 1…12.
    static func daysInMonth(year: Int, month: Int) -> Int {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
        default: 31
        }
    }
}
