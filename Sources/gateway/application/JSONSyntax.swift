// Whether bytes are a JSON text (RFC 8259). For arguments of the command line; makes no value.

enum JSONSyntax {
    /// Deeper nesting is refused: the check recurses.
    static let depthMax = 128

    static func isValid(_ bytes: [UInt8]) -> Bool {
        guard String(validating: bytes, as: UTF8.self) != nil else { return false }
        var reader = Reader(bytes: bytes)
        reader.skipSpace()
        guard reader.value(depth: 0) else { return false }
        reader.skipSpace()
        return reader.at == bytes.count
    }

    private struct Reader {
        let bytes: [UInt8]
        var at = 0

        private var next: UInt8? { at < bytes.count ? bytes[at] : nil }

        private mutating func take(_ byte: UInt8) -> Bool {
            guard next == byte else { return false }
            at += 1
            return true
        }

        private mutating func take(_ literal: String) -> Bool {
            guard bytes[at...].starts(with: literal.utf8) else { return false }
            at += literal.utf8.count
            return true
        }

        mutating func skipSpace() {
            while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { at += 1 }
        }

        mutating func value(depth: Int) -> Bool {
            guard depth < JSONSyntax.depthMax, let byte = next else { return false }
            switch byte {
            case UInt8(ascii: "{"): return members(depth: depth)
            case UInt8(ascii: "["): return elements(depth: depth)
            case UInt8(ascii: "\""): return string()
            case UInt8(ascii: "t"): return take("true")
            case UInt8(ascii: "f"): return take("false")
            case UInt8(ascii: "n"): return take("null")
            default: return number()
            }
        }

        private mutating func members(depth: Int) -> Bool {
            at += 1
            skipSpace()
            if take(UInt8(ascii: "}")) { return true }
            repeat {
                skipSpace()
                guard string() else { return false }
                skipSpace()
                guard take(UInt8(ascii: ":")) else { return false }
                skipSpace()
                guard value(depth: depth + 1) else { return false }
                skipSpace()
            } while take(UInt8(ascii: ","))
            return take(UInt8(ascii: "}"))
        }

        private mutating func elements(depth: Int) -> Bool {
            at += 1
            skipSpace()
            if take(UInt8(ascii: "]")) { return true }
            repeat {
                skipSpace()
                guard value(depth: depth + 1) else { return false }
                skipSpace()
            } while take(UInt8(ascii: ","))
            return take(UInt8(ascii: "]"))
        }

        private mutating func string() -> Bool {
            guard take(UInt8(ascii: "\"")) else { return false }
            while let byte = next {
                at += 1
                switch byte {
                case UInt8(ascii: "\""): return true
                case 0..<0x20: return false
                case UInt8(ascii: "\\"): if !escape() { return false }
                default: break
                }
            }
            return false
        }

        private mutating func escape() -> Bool {
            guard let byte = next else { return false }
            at += 1
            guard byte == UInt8(ascii: "u") else { return "\"\\/bfnrt".utf8.contains(byte) }
            for _ in 0..<4 {
                guard let digit = next, Character(Unicode.Scalar(digit)).isHexDigit else { return false }
                at += 1
            }
            return true
        }

        private mutating func number() -> Bool {
            _ = take(UInt8(ascii: "-"))
            if !take(UInt8(ascii: "0")) { guard digits() else { return false } }
            if take(UInt8(ascii: ".")) { guard digits() else { return false } }
            if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
                if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
                return digits()
            }
            return true
        }

        private mutating func digits() -> Bool {
            let start = at
            while let byte = next, byte >= 0x30, byte <= 0x39 { at += 1 }
            return at > start
        }
    }
}
