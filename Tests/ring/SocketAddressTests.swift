// SocketAddress: every accepted form parses to itself, every refusal says why, and the kernel's form is right.

import Glibc
import Testing
import UringRing

@Suite struct SocketAddressTests {
    @Test(arguments: [
        ("127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1", 8080), ("0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", 0),
        ("255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255", 65535), ("localhost:80", "127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:443", "[::1]:443", "::1", 443), ("[2001:db8::1:0:0:ff]:9", "[2001:db8::1:0:0:ff]:9", "2001:db8::1:0:0:ff", 9),
        ("[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4", 1), ("*:8080", "[::]:8080", "::", 8080), (":8080", "[::]:8080", "::", 8080),
        ("unix:/run/x.sock", "unix:/run/x.sock", "unix:/run/x.sock", 0), ("unix:@abstract", "unix:@abstract", "unix:@abstract", 0),
    ]) func accepted(_ text: String, _ description: String, _ host: String, _ port: UInt16) throws {
        let address = try SocketAddress.parse(text).get()
        #expect(address.description == description)
        #expect(address.host == host)
        #expect(address.port == port)
        // The text form parses back to the same address.
        #expect(try SocketAddress.parse(address.description).get() == address)
    }

    @Test(arguments: [
        ("", "no port: expected HOST:PORT, [V6]:PORT or unix:PATH"), ("127.0.0.1", "no port: expected HOST:PORT, [V6]:PORT or unix:PATH"),
        ("127.0.0.1:", "port '' is not a number from 0 to 65535"), ("127.0.0.1:65536", "port '65536' is not a number from 0 to 65535"),
        ("127.0.0.1:-1", "port '-1' is not a number from 0 to 65535"), ("127.0.0.1:+1", "port '+1' is not a number from 0 to 65535"),
        ("127.0.0.1:8o", "port '8o' is not a number from 0 to 65535"), ("::1:80", "an IPv6 address stands in brackets: [::1]:80"),
        ("[::1:80", "'[' without ']'"), ("[::g]:80", "'::g' is not an IPv6 address"), ("[127.0.0.1]:80", "'127.0.0.1' is not an IPv6 address"),
        ("256.0.0.1:80", "'256.0.0.1' is not an IP address (names are not looked up)"),
        ("example.com:80", "'example.com' is not an IP address (names are not looked up)"), ("unix:", "the path after 'unix:' is empty"),
        ("unix:/a\u{0}b", "the path contains a NUL byte"), ("unix:/" + String(repeating: "a", count: 107), "a unix socket path has at most 107 bytes"),
    ]) func refused(_ text: String, _ reason: String) {
        guard case .failure(let error) = SocketAddress.parse(text) else {
            Issue.record("'\(text)' was accepted")
            return
        }
        #expect(error.reason == reason)
        #expect(error.description == "address '\(text)': \(reason)")
    }

    @Test func longestUnixPath() throws {
        let path = "/" + String(repeating: "a", count: 106)
        #expect(try SocketAddress.parse("unix:" + path).get().path == path)
    }

    @Test func kernelForm() throws {
        for text in ["1.2.3.4:5678", "[2001:db8::17]:5678"] {
            let address = try SocketAddress.parse(text).get()
            let back = unsafe address.withSockaddr { pointer, length -> SocketAddress? in
                var storage = sockaddr_storage()
                unsafe memcpy(&storage, pointer, Int(length))
                return SocketAddress(storage)
            }
            #expect(back == address)
        }
        let bytes = unsafe try SocketAddress.parse("1.2.3.4:256").get().withSockaddr { pointer, length in
            unsafe Array(UnsafeRawBufferPointer(start: pointer, count: Int(length)).dropFirst(2).prefix(6))
        }
        #expect(bytes == [1, 0, 1, 2, 3, 4])
    }

    @Test func kernelFormOfUnixSockets() throws {
        let path = unsafe try SocketAddress.parse("unix:/a").get().withSockaddr { pointer, length in
            unsafe Array(UnsafeRawBufferPointer(start: pointer, count: Int(length)).dropFirst(2))
        }
        #expect(path == [47, 97, 0])
        // An abstract name begins with NUL and has no terminator (unix(7)).
        let abstract = unsafe try SocketAddress.parse("unix:@a").get().withSockaddr { pointer, length in
            unsafe Array(UnsafeRawBufferPointer(start: pointer, count: Int(length)).dropFirst(2))
        }
        #expect(abstract == [0, 97])
    }

    @Test func otherPort() throws {
        let address = try SocketAddress.parse("[::1]:0").get()
        #expect(address.with(port: 99).description == "[::1]:99")
        #expect(address.with(port: 99) != address)
    }
}
