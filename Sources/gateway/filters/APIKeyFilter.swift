// APIKeyFilter: demands a key in a header. The keys are read at start and on reloads, hashed under a secret, so that comparing says nothing of them. The loops' threads; no allocation per request.

internal import UringHTTP
internal import UringPolicy
internal import UringServer

@safe
final class APIKeyFilter: Sendable {
    /// A file with more is no list of keys any more.
    private static let keysMax = 100_000

    private let header: FixedBytes
    private let isBearer: Bool
    private let hasher = RateKeyHasher()
    /// By hash; SipHash with a secret, so nobody can find a key by the time that looking it up takes.
    private let keys: [RateKey: Int]
    private let names: FixedList
    /// Empty: the name goes nowhere.
    private let forwardHeader: FixedBytes
    let removed: [String]

    /// - Throws: for a file that cannot be read, or a line in it that is none.
    init(_ configuration: APIKeyConfiguration, route: String) throws {
        header = FixedBytes(configuration.header)
        isBearer = configuration.header == "authorization"
        forwardHeader = FixedBytes(configuration.forwardHeader ?? "")
        removed = [configuration.forwardHeader?.lowercased()].compactMap { $0 }
        switch ConfigFileChecks.read(configuration.file, "the API keys") {
        case .failure(let problem): throw GatewayError("api-keys of the route \(route): \(configuration.file): \(problem.reason)")
        case .success(let bytes):
            let entries = try Self.parse(bytes, "api-keys of the route \(route): \(configuration.file)")
            var keys: [RateKey: Int] = [:]
            for (index, entry) in entries.enumerated() {
                let key = entry.key
                keys[hasher.key(key.span, policy: 0)] = index
            }
            self.keys = keys
            names = FixedList(entries.map(\.name))
        }
    }

    /// Lines of `NAME:KEY`; empty ones and those that begin with `#` are passed over.
    static func parse(_ bytes: [UInt8], _ source: String) throws -> [(name: [UInt8], key: [UInt8])] {
        var entries: [(name: [UInt8], key: [UInt8])] = []
        for (number, line) in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).enumerated() {
            let line = line.last == 0x0d ? line.dropLast() : line
            if line.isEmpty || line.first == 0x23 { continue }
            guard let colon = line.firstIndex(of: 0x3a), colon > line.startIndex, colon + 1 < line.endIndex else {
                throw GatewayError("\(source):\(number + 1): not a line of NAME:KEY")
            }
            entries.append((Array(line[..<colon]), Array(line[(colon + 1)...])))
            if entries.count > keysMax { throw GatewayError("\(source): more than \(keysMax) keys") }
        }
        guard !entries.isEmpty else { throw GatewayError("\(source): no key, so nobody could pass") }
        return entries
    }

    /// On a loop's thread. Leaves in `pass` whose key it was.
    func admits(_ request: borrowing Request, _ response: inout Response, _ pass: inout FilterPass) -> Bool {
        var lines = 0
        var found: Int?
        // SAFETY: the name is this object's.
        for index in 0..<request.headers.count where unsafe request.headers.name(at: index).equalsIgnoringCase(Span(_unsafeElements: header.buffer)) {
            lines &+= 1
            let value = request.headers.value(at: index)
            found = keys[hasher.key(value.span.extracting(start(value)...), policy: 0)]
        }
        // A second line would let this check and the upstream read different keys.
        if lines == 1, let found {
            pass.apiKey = found
            return true
        }
        response.problem(.unauthorized, lines == 0 ? "an API key is needed" : "the API key is not accepted")
        // RFC 9110 section 15.5.2: a 401 has a challenge. There is no registered scheme for keys in a header.
        if isBearer { response.headers.add("www-authenticate", "Bearer") } else { response.headers.add("www-authenticate", "ApiKey") }
        return false
    }

    /// Where the key begins: in Authorization a scheme may stand before it.
    private func start(_ field: ByteView) -> Int {
        let scheme = 7
        return isBearer && field.count > scheme && ByteView(field.span.extracting(..<scheme)).equalsIgnoringCase("bearer ") ? scheme : 0
    }

    func forward(_ pass: FilterPass, to forwarded: ProxyRequest) {
        guard forwardHeader.count > 0, let index = pass.apiKey else { return }
        // SAFETY: both are this object's.
        unsafe forwarded.addField(Span(_unsafeElements: forwardHeader.buffer), Span(_unsafeElements: names.buffer(index)))
    }
}
