import Testing

@testable import UringHTTP

private func accept(_ value: String) -> AcceptEncoding { AcceptEncoding(value.utf8Span.span) }

private let all: ContentCodings = [.gzip, .brotli, .zstd]

@Suite struct AcceptEncodingTests {
    @Test(arguments: [
        // RFC 9110 section 12.5.3's examples
        ("compress, gzip", "gzip"),
        ("", "identity"),
        ("*", "br"),
        ("compress;q=0.5, gzip;q=1.0", "gzip"),
        ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip"),
        // Browsers
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate", "gzip"),
        // The client's weights, then the server's order
        ("br;q=0.5, gzip;q=0.8", "gzip"),
        ("br;q=0.5, gzip;q=0.8, zstd;q=0.9", "zstd"),
        ("gzip;q=0.001", "gzip"),
        ("zstd, gzip", "zstd"),
        ("x-gzip", "gzip"),
        ("X-GZIP;Q=0.5", "gzip"),
        ("BR", "br"),
        // Identity named and liked better, equally, less
        ("identity, gzip;q=0.5", "identity"),
        ("identity;q=0.5, gzip;q=0.5", "gzip"),
        ("identity;q=0.2, gzip;q=0.5", "gzip"),
        ("identity", "identity"),
        ("identity;q=0.5, *;q=0.4", "identity"),
        // Wildcards
        ("*;q=0.5", "br"),
        ("br;q=0, *", "zstd"),
        ("br;q=0, zstd;q=0, *;q=0.1", "gzip"),
        ("gzip, *;q=0.5", "gzip"),
        ("gzip;q=0.2, *;q=0.5", "br"),
        ("*;q=0", "406"),
        ("gzip, *;q=0", "gzip"),
        ("identity;q=1, *;q=0", "identity"),
        // Exclusion
        ("gzip;q=0", "identity"),
        ("gzip;q=0.0, br;q=0.00, zstd;q=0.000", "identity"),
        ("identity;q=0", "406"),
        ("identity;q=0, gzip;q=0", "406"),
        ("identity;q=0, deflate", "406"),
        ("identity;q=0, gzip;q=0.1", "gzip"),
        ("identity;q=0, *", "br"),
        // Malformed elements are passed over
        ("gzip;q=2, br", "br"), ("gzip;q=1.001", "identity"), ("gzip;q=1.1", "identity"), ("gzip;q=-1", "identity"), ("gzip;q=", "identity"),
        ("gzip;q", "identity"), ("gzip;", "identity"), ("gzip;q=0.1234", "identity"), ("gzip;q=.5", "identity"), ("gzip;x=1", "identity"),
        ("gzip;q=1;x=1", "identity"), ("gzip br", "identity"), ("gzip;q =1", "identity"), ("gzip;q= 1", "identity"), ("\"gzip\"", "identity"),
        ("gzip/1, zstd", "zstd"), (";q=1, zstd", "zstd"), ("=, zstd", "zstd"), ("gzipx", "identity"), ("xgzip", "identity"), ("gz", "identity"),
        ("**", "identity"),
        // Well-formed in unusual ways
        ("gzip;q=1.", "gzip"), ("gzip;q=0.", "identity"), ("gzip;q=1.000", "gzip"), (",, gzip ,,", "gzip"), ("\tgzip ; q=0.5\t", "gzip"),
        ("gzip;q=0, gzip;q=1", "gzip"), ("gzip;q=1, gzip;q=0", "identity"), ("gzip ;q=0.3,br;  q=0.4", "br"),
    ])
    func chooses(value: String, expected: String) {
        let choice = accept(value).choose(among: all)
        let name =
            switch choice {
            case .identity: "identity"
            case .notAcceptable: "406"
            case .coded(let coding): text(coding.token)
            }
        #expect(name == expected)
    }

    @Test func onlyWhatExists() {
        let browser = accept("gzip, deflate, br, zstd")
        #expect(browser.choose(among: []) == .identity)
        #expect(browser.choose(among: .gzip) == .coded(.gzip))
        #expect(browser.choose(among: [.gzip, .zstd]) == .coded(.zstd))
        #expect(accept("br").choose(among: .gzip) == .identity)
        #expect(accept("br, identity;q=0").choose(among: .gzip) == .notAcceptable)
        #expect(accept("*").choose(among: .gzip) == .coded(.gzip))
        #expect(AcceptEncoding().choose(among: all) == .identity)
        #expect(AcceptEncoding().acceptsIdentity)
    }

    @Test func serverOrderBreaksTies() {
        let value = accept("gzip, br, zstd")
        #expect(value.choose(among: all, order: [.gzip, .brotli, .zstd]) == .coded(.gzip))
        #expect(value.choose(among: all, order: [.zstd, .brotli, .gzip]) == .coded(.zstd))
        let list = accept("gzip;q=0.5, br;q=0.1, zstd;q=0.5").preferences(order: [.brotli, .gzip, .zstd])
        #expect((0..<list.count).map { list[$0] } == [.gzip, .zstd, .brotli])
        #expect(accept("gzip;q=0").preferences().count == 0)
    }

    @Test func weights() {
        #expect(accept("gzip;q=0.123").weight(of: .gzip) == 123)
        #expect(accept("gzip;q=0.1").weight(of: .gzip) == 100)
        #expect(accept("gzip").weight(of: .gzip) == 1000)
        #expect(accept("gzip").weight(of: .brotli) == 0)
        #expect(accept("*;q=0.3").weight(of: .brotli) == 300)
    }

    /// What is chosen exists, has a weight above zero, and no other that exists has a higher one.
    @Test(arguments: [51, 52] as [UInt64])
    func randomFieldsChooseTheBest(seed: UInt64) {
        var random = FileTestRandom(state: seed)
        let alphabet = ["gzip", "br", "zstd", "identity", "*", ",", ",", ";q=", ";q=0.5", ";q=0", "1", "0.25", " ", "x-gzip", ";", "=", "0."]
        for _ in 0..<20_000 {
            let bytes = random.text(from: alphabet, piecesMax: 14)
            let field = AcceptEncoding(bytes.span)
            let available = ContentCodings(rawValue: UInt8(random.below(8)))
            let existing = ContentCoding.allCases.filter { available.contains(ContentCodings($0)) }
            switch field.choose(among: available) {
            case .coded(let coding):
                #expect(existing.contains(coding) && field.weight(of: coding) > 0)
                #expect(existing.allSatisfy { field.weight(of: $0) <= field.weight(of: coding) })
                #expect((field.identity ?? 0) <= field.weight(of: coding))
            case .identity:
                #expect(field.acceptsIdentity)
                #expect(existing.allSatisfy { field.weight(of: $0) == 0 || field.weight(of: $0) < field.identity ?? 0 })
            case .notAcceptable:
                #expect(!field.acceptsIdentity && existing.allSatisfy { field.weight(of: $0) == 0 })
            }
        }
    }

    /// A field cut anywhere says at most what its whole elements say, and never traps; cut at a comma into two lines and joined again it says the same.
    @Test func cutAtEveryByte() {
        let field = Array("gzip;q=0.5 , br ; q=0.25,zstd;Q=1.000, identity;q=0, *;q=0.125".utf8)
        let whole = AcceptEncoding(field.span)
        for cut in 0...field.count {
            let part = AcceptEncoding(Array(field[..<cut]).span)
            for coding in ContentCoding.allCases { #expect((0...1000).contains(part.weight(of: coding))) }
            if part.identity != nil { #expect(part.zstd == whole.zstd && part.brotli == whole.brotli) }
            guard cut < field.count, field[cut] == UInt8(ascii: ",") else { continue }
            let joined = Array(field[..<cut]) + Array(", ".utf8) + Array(field[(cut + 1)...])
            #expect(AcceptEncoding(joined.span) == whole)
        }
    }
}
