// The requests that tests and the measurement share: a minimal one, one as browsers send it, and one with heavy cookies.

enum SampleRequests {
    /// 40 bytes.
    static let small = Array("GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n".utf8)

    /// The same with a path that has to be searched for its end.
    static let path = Array("GET /api/v1/health?full=1 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n".utf8)

    /// 692 bytes.
    static let browser: [UInt8] = {
        let lines = [
            "GET /wp-content/uploads/2010/03/hello-kitty-darth-vader-pink.jpg HTTP/1.1", "Host: www.kittyhell.example",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "Accept-Language: de-DE,de;q=0.8,en;q=0.5",
            "Accept-Encoding: gzip, deflate, br, zstd", "Connection: keep-alive", "Upgrade-Insecure-Requests: 1", "Sec-Fetch-Dest: document",
            "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin", "Cache-Control: max-age=0", "Pragma: no-cache",
        ]
        let start = lines.joined(separator: "\r\n") + "\r\nCookie: wp_session="
        let cookie = String(repeating: "0123456789abcdef", count: 16).prefix(692 - start.utf8.count - 4)
        return Array((start + cookie + "\r\n\r\n").utf8)
    }()

    /// 45 fields, 9 KB.
    static let large: [UInt8] = {
        var text = "POST /api/v2/orders/search?customer=12345&status=open&sort=-created HTTP/1.1\r\nHost: api.example.com\r\nContent-Length: 512\r\n"
        text += "Content-Type: application/json\r\nAuthorization: Bearer " + String(repeating: "eyJhbGciOiJSUzI1NiJ9.", count: 40) + "\r\n"
        for index in 0..<40 {
            text += "X-Forwarded-Attribute-\(index): " + String(repeating: "value-\(index);", count: 20) + "\r\n"
        }
        text += "Cookie: " + String(repeating: "name=value; ", count: 8) + "\r\n\r\n"
        return Array(text.utf8)
    }()
}

/// The bytes of a text of Latin-1 characters.
func latin1Bytes(_ text: String) -> [UInt8] { text.unicodeScalars.map { UInt8($0.value) } }
