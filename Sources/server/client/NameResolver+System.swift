// What a resolver asks: getaddrinfo, on a thread that may block; and what is no question at all. No state.

internal import CUring
internal import Glibc
package import UringRing

extension NameResolver {
    /// The address that `host` is, if it is one: IPv4, IPv6 without brackets, or `unix:PATH` (the port is ignored). Nil for names.
    package static func literal(_ host: String, port: UInt16) -> SocketAddress? {
        if host.hasPrefix("unix:") { return try? SocketAddress.parse(host).get() }
        // The forms of SocketAddress, which knows one name besides.
        let text = host.utf8.contains(0x3a) ? "[\(host)]:\(port)" : "\(host):\(port)"
        guard !host.isEmpty, host != "*", host.utf8.allSatisfy({ $0 != 0x5b && $0 != 0x5d }), host != "localhost" else { return nil }
        return try? SocketAddress.parse(text).get()
    }

    /// Addresses of both families in turns, beginning with the first one's (RFC 8305 4), as a connector should try them.
    package static func interleaved(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let first = addresses.first?.family else { return [] }
        let own = addresses.filter { $0.family == first }
        let other = addresses.filter { $0.family != first }
        var mixed: [SocketAddress] = []
        for index in 0..<max(own.count, other.count) {
            if index < own.count { mixed.append(own[index]) }
            if index < other.count { mixed.append(other[index]) }
        }
        return mixed
    }

    /// The name as it is kept: lower case. Nil for what is no name, which no resolver need see.
    static func normalised(_ host: String) -> String? {
        guard !host.isEmpty, host != ".", host.utf8.count <= 254 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(host.utf8.count)
        for byte in host.utf8 {
            switch byte {
            case 0x41...0x5a: bytes.append(byte | 0x20)
            case 0x61...0x7a, 0x30...0x39, 0x2d, 0x2e, 0x5f: bytes.append(byte)
            default: return nil
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// getaddrinfo(3). Without AI_ADDRCONFIG, which hides `::1` on machines with loopback alone: an address that cannot be reached costs the
    /// connector one attempt.
    package static let system: Source = { name in
        var hints = unsafe addrinfo()
        unsafe hints.ai_family = AF_UNSPEC
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let code = unsafe getaddrinfo(name, nil, &hints, &list)
        guard code == 0 else { return .failure(failure(code)) }
        // The list is ours until it is freed at the end.
        defer { unsafe freeaddrinfo(list) }
        var found: [SocketAddress] = []
        var next = unsafe list
        while let info = unsafe next {
            unsafe next = info.pointee.ai_next
            guard let address = unsafe info.pointee.ai_addr, let converted = unsafe convert(address, info.pointee.ai_addrlen) else { continue }
            if !found.contains(converted) { found.append(converted) }
        }
        return found.isEmpty ? .failure(.notFound) : .success(found)
    }

    private static func convert(_ address: UnsafeMutablePointer<sockaddr>, _ count: socklen_t) -> SocketAddress? {
        var storage = sockaddr_storage()
        // At most as many bytes as either has.
        unsafe withUnsafeMutableBytes(of: &storage) { unsafe $0.baseAddress!.copyMemory(from: address, byteCount: min(Int(count), $0.count)) }
        return SocketAddress(storage)
    }

    /// EAI_NODATA and EAI_ADDRFAMILY of glibc, whose header shows them to GNU sources alone: the name exists and has no address.
    private static let noData: Int32 = -5
    private static let noSuchFamily: Int32 = -9

    private static func failure(_ code: Int32) -> ResolutionFailure {
        switch code {
        case EAI_NONAME, noData, noSuchFamily: .notFound
        case EAI_AGAIN: .temporary
        default: .failed(code: code)
        }
    }

    package static let monotonicNs: @Sendable () -> UInt64 = {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }
}
