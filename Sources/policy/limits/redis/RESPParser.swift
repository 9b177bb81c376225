// Replies of Redis, as tokens: RESP2 and RESP3 (redis.io/docs/latest/develop/reference/protocol-spec). Sans-I/O: input is the caller's, a few counters are kept between calls. A loop's thread.
//
// A reply is a tree; what is open is on a stack of counters, so that neither a deep nor a wide one costs memory.

/// Reads replies from bytes that arrive in pieces of any size. After `malformed` it is used up.
package struct RESPParser: Sendable {
    /// Ranges are within the input of the call. An aggregate is followed by its elements; maps and attributes have two for each pair.
    package enum Token: Equatable, Sendable {
        case simple(Range<Int>)
        case error(Range<Int>)
        case integer(Int64)
        case bulk(Range<Int>)
        case null
        case boolean(Bool)
        case double(Range<Int>)
        case bigNumber(Range<Int>)
        /// With its three letters and colon: `txt:…`.
        case verbatim(Range<Int>)
        case array(Int)
        case set(Int)
        case map(pairs: Int)
        /// Out of band: no answer to any request.
        case push(Int)
        /// In front of the value that it is about, which follows its pairs.
        case attribute(pairs: Int)
    }

    package enum Step: Equatable, Sendable {
        /// - Parameter isLast: with this token the reply is complete.
        case token(Token, isLast: Bool, consumed: Int)
        /// Nothing was consumed: call again with more behind the same bytes.
        case needMore
        case malformed(Fault)
    }

    package enum Fault: Equatable, Sendable { case unknownType, badLine, badNumber, badLength, lineTooLong, bulkTooLong, tooManyElements, tooDeep }

    /// The longest line, that of an error: Redis puts the traceback of a script into it.
    package static var lineBytesMax: Int { 4096 }
    /// Replies that a policy asks for are two deep.
    package static var depthMax: Int { 8 }
    /// In one aggregate.
    package static var elementsMax: Int { 1024 }

    private let bulkBytesMax: Int
    /// Elements that each open aggregate still waits for. An attribute's are negative: its end completes nothing.
    private var open = InlineArray<8, Int>(repeating: 0)
    private var depth = 0
    /// Bytes of the line under way that have no end in them.
    private var scanned = 0

    /// - Parameter bulkBytesMax: the longest string; the caller's buffer must hold it with its line.
    package init(bulkBytesMax: Int = 16_384) { self.bulkBytesMax = bulkBytesMax }

    /// The token that `input` begins with. Call again with what lies behind it.
    package mutating func next(_ input: Span<UInt8>) -> Step {
        guard !input.isEmpty else { return .needMore }
        let line: Range<Int>
        switch scanLine(input) {
        case .success(nil): return .needMore
        case .success(let found?): line = found
        case .failure(let fault): return .malformed(fault)
        }
        switch input[0] {
        case 0x2b: return end(.simple(line), line)  // +
        case 0x2d: return end(.error(line), line)  // -
        case 0x2c: return isDouble(input, line) ? end(.double(line), line) : .malformed(.badNumber)  // ,
        case 0x28: return isInteger(input, line) ? end(.bigNumber(line), line) : .malformed(.badNumber)  // (
        case 0x3a:  // :
            guard let number = integer(input, line) else { return .malformed(.badNumber) }
            return end(.integer(number), line)
        case 0x5f: return line.isEmpty ? end(.null, line) : .malformed(.badLine)  // _
        case 0x23:  // #
            guard line.count == 1, input[1] == 0x74 || input[1] == 0x66 else { return .malformed(.badLine) }
            return end(.boolean(input[1] == 0x74), line)
        case 0x24, 0x21, 0x3d: return string(input, line)  // $ ! =
        case 0x2a, 0x7e, 0x25, 0x3e, 0x7c: return aggregate(input, line)  // * ~ % > |
        default: return .malformed(.unknownType)
        }
    }

    // MARK: Lines

    /// What stands between the type and CR LF.
    private mutating func scanLine(_ input: Span<UInt8>) -> Result<Range<Int>?, Fault> {
        guard Self.isType(input[0]) else { return .failure(.unknownType) }
        var at = max(1, min(scanned, input.count))
        let end = min(input.count, Self.lineBytesMax)
        while at < end {
            if input[at] == 0x0a { return .failure(.badLine) }
            if input[at] == 0x0d {
                guard at + 1 < input.count else { break }
                guard input[at + 1] == 0x0a else { return .failure(.badLine) }
                scanned = 0
                return .success(1..<at)
            }
            at += 1
        }
        if at >= Self.lineBytesMax { return .failure(.lineTooLong) }
        scanned = at
        return .success(nil)
    }

    private static func isType(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x2b, 0x2d, 0x2c, 0x28, 0x3a, 0x5f, 0x23, 0x24, 0x21, 0x3d, 0x2a, 0x7e, 0x25, 0x3e, 0x7c: true
        default: false
        }
    }

    // MARK: Kinds

    private mutating func string(_ input: Span<UInt8>, _ line: Range<Int>) -> Step {
        guard let length = integer(input, line), length >= -1 else { return .malformed(.badLength) }
        if length == -1 { return input[0] == 0x24 ? end(.null, line) : .malformed(.badLength) }
        guard length <= Int64(bulkBytesMax) else { return .malformed(.bulkTooLong) }
        let start = line.upperBound + 2
        let finish = start + Int(length)
        // Its end is looked at as soon as it is there.
        if input.count > finish, input[finish] != 0x0d { return .malformed(.badLine) }
        guard input.count >= finish + 2 else { return .needMore }
        guard input[finish + 1] == 0x0a else { return .malformed(.badLine) }
        let content = start..<finish
        switch input[0] {
        case 0x24: return end(.bulk(content), content)
        case 0x21: return end(.error(content), content)
        default: return content.count >= 4 && input[start + 3] == 0x3a ? end(.verbatim(content), content) : .malformed(.badLine)
        }
    }

    private mutating func aggregate(_ input: Span<UInt8>, _ line: Range<Int>) -> Step {
        guard let count = integer(input, line), count >= -1 else { return .malformed(.badLength) }
        if count == -1 { return input[0] == 0x2a ? end(.null, line) : .malformed(.badLength) }
        guard count <= Int64(Self.elementsMax) else { return .malformed(.tooManyElements) }
        let number = Int(count)
        let consumed = line.upperBound + 2
        switch input[0] {
        case 0x2a: return begin(.array(number), number, consumed)
        case 0x7e: return begin(.set(number), number, consumed)
        case 0x25: return begin(.map(pairs: number), 2 * number, consumed)
        case 0x3e: return depth == 0 ? begin(.push(number), number, consumed) : .malformed(.unknownType)
        default: return begin(.attribute(pairs: number), -2 * number, consumed)
        }
    }

    // MARK: The tree

    private mutating func begin(_ token: Token, _ elements: Int, _ consumed: Int) -> Step {
        if elements == 0 {
            // An attribute without pairs is nothing.
            if case .attribute = token { return .token(token, isLast: false, consumed: consumed) }
            return .token(token, isLast: complete(), consumed: consumed)
        }
        guard depth < Self.depthMax else { return .malformed(.tooDeep) }
        open[depth] = elements
        depth += 1
        return .token(token, isLast: false, consumed: consumed)
    }

    private mutating func end(_ token: Token, _ content: Range<Int>) -> Step { .token(token, isLast: complete(), consumed: content.upperBound + 2) }

    /// A value is complete, and with it what it was the last element of.
    private mutating func complete() -> Bool {
        while depth > 0 {
            let left = open[depth - 1]
            if left > 1 || left < -1 {
                open[depth - 1] = left > 0 ? left - 1 : left + 1
                return false
            }
            depth -= 1
            if left < 0 { return false }
        }
        return true
    }

    // MARK: Numbers

    /// A sign, one digit at least, nothing else.
    private func isInteger(_ input: Span<UInt8>, _ line: Range<Int>) -> Bool {
        let start = !line.isEmpty && (input[line.lowerBound] == 0x2d || input[line.lowerBound] == 0x2b) ? line.lowerBound + 1 : line.lowerBound
        guard start < line.upperBound else { return false }
        for at in start..<line.upperBound where input[at] < 0x30 || input[at] > 0x39 { return false }
        return true
    }

    private func integer(_ input: Span<UInt8>, _ line: Range<Int>) -> Int64? {
        guard isInteger(input, line) else { return nil }
        let isNegative = input[line.lowerBound] == 0x2d
        var number: Int64 = 0
        for at in line where input[at] >= 0x30 {
            let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
            let digit = Int64(input[at] - 0x30)
            let (sum, more) = isNegative ? tens.subtractingReportingOverflow(digit) : tens.addingReportingOverflow(digit)
            if overflow || more { return nil }
            number = sum
        }
        return number
    }

    /// What a number consists of, `inf` and `nan` included; its value is the reader's business.
    private func isDouble(_ input: Span<UInt8>, _ line: Range<Int>) -> Bool {
        guard !line.isEmpty, line.count <= 64 else { return false }
        for at in line {
            switch input[at] {
            case 0x30...0x39, 0x2b, 0x2d, 0x2e, 0x65, 0x45, 0x69, 0x6e, 0x66, 0x61: break
            default: return false
            }
        }
        return true
    }
}

extension RESPParser.Fault: Error {}
