// Content negotiation over Accept-Encoding (RFC 9110 section 12.5.3).
//
// Owns nothing: a parsed field is a few integers, made and used within one request.

/// A set of content codings, for instance the precompressed siblings that exist.
package struct ContentCodings: OptionSet, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package init(_ coding: ContentCoding) { rawValue = 1 << coding.rawValue }

    package static let gzip = ContentCodings(.gzip)
    package static let brotli = ContentCodings(.brotli)
    package static let zstd = ContentCodings(.zstd)
}

/// What a file is sent as.
package enum EncodingChoice: Sendable, Equatable {
    case identity
    case coded(ContentCoding)
    /// The client excluded the plain file (`identity;q=0` or `*;q=0`) and accepts no coding there is: 406.
    case notAcceptable
}

/// A parsed `Accept-Encoding`.
package struct AcceptEncoding: Sendable, Equatable {
    /// Weights in thousandths, 0…1000; nil when the client did not name the coding.
    package private(set) var gzip: Int?
    package private(set) var brotli: Int?
    package private(set) var zstd: Int?
    package private(set) var identity: Int?
    /// The weight of `*`: every coding not named.
    package private(set) var wildcard: Int?

    /// No field: any coding is acceptable by the letter, but what is not asked for is not sent, as every server does.
    package init() {}

    /// Parses one field value; several field lines are joined with commas first (RFC 9110 section 5.3). An element with an unknown
    /// coding, a malformed weight or another parameter is passed over; of a coding named twice the last counts. An empty value is
    /// the same as none.
    package init(_ value: Span<UInt8>) {
        var scanner = FieldScanner(value)
        while true {
            _ = scanner.skipListSeparators()
            if scanner.isAtEnd { return }
            parseElement(&scanner)
            scanner.skipToComma()
        }
    }

    private mutating func parseElement(_ scanner: inout FieldScanner) {
        let name = scanner.token()
        guard !name.isEmpty, let weight = AcceptEncoding.weight(&scanner) else { return }
        if scanner.matches(name, "gzip") || scanner.matches(name, "x-gzip") {
            gzip = weight
        } else if scanner.matches(name, "br") {
            brotli = weight
        } else if scanner.matches(name, "zstd") {
            zstd = weight
        } else if scanner.matches(name, "identity") {
            identity = weight
        } else if name.count == 1 && scanner.byte(at: name.lowerBound) == UInt8(ascii: "*") {
            wildcard = weight
        }
    }

    /// `OWS ";" OWS "q=" qvalue`, or nothing (1000). Nil when malformed; the element must end behind it.
    private static func weight(_ scanner: inout FieldScanner) -> Int? {
        scanner.skipWhitespace()
        var weight = 1000
        if scanner.accept(UInt8(ascii: ";")) {
            scanner.skipWhitespace()
            guard scanner.accept(UInt8(ascii: "q")) || scanner.accept(UInt8(ascii: "Q")),
                scanner.accept(UInt8(ascii: "=")), let value = qvalue(&scanner)
            else { return nil }
            weight = value
            scanner.skipWhitespace()
        }
        guard scanner.isAtEnd || scanner.peek() == UInt8(ascii: ",") else { return nil }
        return weight
    }

    /// qvalue of RFC 9110 section 12.4.2: 0 or 1 with up to three decimals, none above 1.
    private static func qvalue(_ scanner: inout FieldScanner) -> Int? {
        guard let first = scanner.peek(), first == UInt8(ascii: "0") || first == UInt8(ascii: "1") else { return nil }
        scanner.advance()
        var value = Int(first &- 0x30) &* 1000
        guard scanner.accept(PathNormalizer.dot) else { return value }
        var unit = 100
        while unit > 0, let digit = scanner.peek(), FieldScanner.isDigit(digit) {
            value &+= Int(digit &- 0x30) &* unit
            unit /= 10
            scanner.advance()
        }
        return value <= 1000 ? value : nil
    }

    /// The weight the client gives `coding`, 0…1000; 0 is unacceptable.
    package func weight(of coding: ContentCoding) -> Int {
        let named =
            switch coding {
            case .gzip: gzip
            case .brotli: brotli
            case .zstd: zstd
            }
        return named ?? wildcard ?? 0
    }

    /// Whether the plain file may be sent: always, unless excluded by `identity;q=0`, or by `*;q=0` without naming identity.
    package var acceptsIdentity: Bool {
        (identity ?? wildcard ?? 1) > 0
    }

    /// Smallest first, by what the compressors reach on web text at their best level; that is what siblings are made with.
    package static let serverOrder: [3 of ContentCoding] = [.brotli, .zstd, .gzip]

    /// The codings worth looking for, best first: the client's weight decides, then `order`. A coding the client likes less than
    /// an `identity` it named is left out, as the plain file always exists.
    package func preferences(order: [3 of ContentCoding] = AcceptEncoding.serverOrder) -> CodingPreferences {
        var list = CodingPreferences()
        let floor = max(identity ?? 0, 1)
        for index in order.indices {
            let weight = weight(of: order[index])
            if weight >= floor { list.insert(order[index], weight: weight) }
        }
        return list
    }

    /// The choice among the siblings that exist.
    package func choose(
        among available: ContentCodings, order: [3 of ContentCoding] = AcceptEncoding.serverOrder
    ) -> EncodingChoice {
        let list = preferences(order: order)
        for index in 0..<list.count where available.contains(ContentCodings(list[index])) {
            return .coded(list[index])
        }
        return acceptsIdentity ? .identity : .notAcceptable
    }
}

/// Up to three codings, best first.
package struct CodingPreferences: Sendable {
    private var codings: [3 of ContentCoding] = [.gzip, .gzip, .gzip]
    private var weights: [3 of Int] = [0, 0, 0]
    package private(set) var count = 0

    /// Stable: of equal weights the one inserted first stays first. The caller inserts at most three, each once.
    fileprivate mutating func insert(_ coding: ContentCoding, weight: Int) {
        var index = count
        while index > 0 && weights[index &- 1] < weight {
            codings[index] = codings[index &- 1]
            weights[index] = weights[index &- 1]
            index &-= 1
        }
        codings[index] = coding
        weights[index] = weight
        count &+= 1
    }

    /// - Parameter index: 0..<count.
    package subscript(index: Int) -> ContentCoding {
        precondition(index < count, "BUG: coding preference out of range")
        return codings[index]
    }
}
