// UpstreamKey: by what an upstream with `balance: hash` tells requests apart. Made with the upstream, immutable; asked on the loops' threads.

internal import UringBase
internal import UringHTTP
internal import UringPolicy
internal import UringServer

struct UpstreamKey: Sendable {
    private enum Source: Sendable {
        case none
        case address
        case header([UInt8])
        case cookie([UInt8])
        case path
    }

    private let source: Source
    private let hash = KeyHash()

    init(_ balance: BalanceConfiguration) {
        source =
            switch balance {
            case .hash(.address): .address
            case .hash(.header(let name)): .header(Array(name.utf8))
            case .hash(.cookie(let name)): .cookie(Array(name.utf8))
            case .hash(.path): .path
            case .roundRobin, .leastRequests, .randomTwo: .none
            }
    }

    /// 0 where requests are not told apart. Who has no such field, or an empty one, is told apart by address.
    func value(_ request: borrowing Request, trusted: TrustedProxies) -> UInt64 {
        switch source {
        case .none: return 0
        case .address: break
        case .header(let name):
            for index in 0..<request.headers.count where request.headers.name(at: index).equalsIgnoringCase(name) {
                let value = request.headers.value(at: index)
                if value.count > 0 { return hash.hash(value.span) }
            }
        case .cookie(let name):
            for index in 0..<request.headers.count where request.headers.isField(.cookie, at: index) {
                let line = request.headers.value(at: index)
                if let range = Self.cookie(line.span, name), !range.isEmpty { return hash.hash(line.span.extracting(range)) }
            }
        case .path:
            if RoutePath.isNormal(request.path.span) { return hash.hash(request.path.span) }
            let path = RoutePath.normalized(request.path.span) ?? [0x2f]
            return hash.hash(path.span)
        }
        return address(trusted.client(of: request))
    }

    private func address(_ address: IPAddress?) -> UInt64 {
        // All peers on Unix sockets are one.
        guard let address else { return hash.hash(0) }
        return hash.hash(address.low) ^ (address.high == 0 ? 0 : hash.hash(~address.high))
    }

    /// Where the value of a cookie stands in a line (RFC 6265 section 5.4); names compare exactly.
    static func cookie(_ line: Span<UInt8>, _ name: [UInt8]) -> Range<Int>? {
        var start = 0
        while start < line.count {
            while start < line.count, line[start] == 0x20 || line[start] == 0x09 || line[start] == 0x3b { start += 1 }
            var end = start
            while end < line.count, line[end] != 0x3b { end += 1 }
            let next = end
            while end > start, line[end - 1] == 0x20 || line[end - 1] == 0x09 { end -= 1 }
            let equals = start + name.count
            if equals < end, line[equals] == 0x3d {
                var index = 0
                while index < name.count, line[start + index] == name[index] { index += 1 }
                if index == name.count { return equals + 1..<end }
            }
            start = next
        }
        return nil
    }
}
