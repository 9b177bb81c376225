// The notifications that systemd asks for by NOTIFY_SOCKET (sd_notify(3)): a datagram per state on a unix socket. The main thread.

import Glibc

struct ServiceManager {
    /// Path of the socket; a leading "@" names the abstract namespace. nil: nobody asked.
    private let path: String?

    init() {
        // The environment's text lives until it is changed; it is copied here.
        path = unsafe getenv("NOTIFY_SOCKET").map { unsafe String(cString: $0) }
    }

    /// `READY=1`, `STOPPING=1`, `RELOADING=1`…, lines. A manager that is gone is no reason to fail.
    func tell(_ state: String) {
        guard let path, path.hasPrefix("/") || path.hasPrefix("@") else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var name = Array(path.utf8)
        if path.hasPrefix("@") { name[0] = 0 }
        let start = MemoryLayout<sa_family_t>.size
        guard name.count < MemoryLayout<sockaddr_un>.size - start else { return }
        let socket = Glibc.socket(AF_UNIX, CInt(SOCK_DGRAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        // Both the address and the text live through the call.
        unsafe withUnsafeMutableBytes(of: &address) { raw in
            unsafe UnsafeMutableRawBufferPointer(rebasing: raw[start...]).copyBytes(from: name)
            let target = unsafe raw.baseAddress!.assumingMemoryBound(to: sockaddr.self)
            let text = Array(state.utf8)
            _ = unsafe text.withUnsafeBytes {
                unsafe sendto(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL), target, socklen_t(start + name.count))
            }
        }
    }
}
