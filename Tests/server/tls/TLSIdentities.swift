// Certificates for the tests of listeners with TLS, made by openssl in a directory that goes with its object, and the clients that people use.

import Glibc
import TestSupport
import Testing

/// A directory with certificates in it.
final class Identities {
    let path: String

    init() throws {
        var template = Array("/tmp/uring-identities-XXXXXX".utf8CString)
        // The template is written during the call only, and terminated.
        try #require(unsafe mkdtemp(&template) != nil)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { _ = try? shell("rm -r \(path)") }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// `NAME.pem` and `NAME.key`, an authority of its own; `NAME.key` is written new each time.
    func make(_ name: String, for host: String, rsa: Bool = false) throws {
        let kind = rsa ? "rsa:2048" : "ec -pkeyopt ec_paramgen_curve:prime256v1"
        let output = try shell(
            "openssl req -x509 -newkey \(kind) -nodes -days 30 -subj /CN=\(host) -addext subjectAltName=DNS:\(host) -keyout \(self("\(name).key")) -out \(self("\(name).pem")) 2>&1; chmod 600 \(self("\(name).pem"))")
        guard unsafe access(self("\(name).pem"), R_OK) == 0 else { throw RawClientError.malformed("no certificate", received: output) }
    }

    func read(_ name: String) throws -> [UInt8] {
        let file = unsafe try #require(unsafe fopen(self(name), "r"))
        defer { unsafe fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        // The array owns the bytes through the call.
        let count = unsafe bytes.withUnsafeMutableBytes { unsafe fread($0.baseAddress, 1, $0.count, file) }
        return Array(bytes.prefix(count))
    }

    func write(_ name: String, _ text: String, mode: mode_t = 0o600) throws {
        let file = unsafe try #require(unsafe fopen(self(name), "w"))
        unsafe fputs(text, file)
        unsafe fclose(file)
        unsafe chmod(self(name), mode)
    }

    func fingerprint(_ name: String) throws -> String {
        let output = try shell("openssl x509 -in \(self("\(name).pem")) -noout -fingerprint -sha256")
        return String(output.split(separator: "=")[1].prefix { $0 != "\n" })
    }
}

/// Runs a line of shell; answers everything it wrote to standard output.
func shell(_ line: String) throws -> String {
    let process = try ServerProcess(["-c", line], listeners: 0, binary: "/bin/sh")
    try process.waitForExit()
    return process.output
}

/// `s_client`, its input from `input`; to the end of the connection.
func secureClient(_ address: String, _ options: String, input: String = #"printf 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'"#) throws -> String {
    try shell("\(input) | timeout 20 openssl s_client -connect \(address) -ign_eof \(options) 2>&1")
}

func curl(_ arguments: String) throws -> String { try shell("curl --silent --show-error --max-time 20 \(arguments) 2>&1") }

/// A change that another thread carries out is seen within the time that a healthy server takes on a busy machine.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    for _ in 0..<200 {
        if try condition() { return true }
        usleep(20_000)
    }
    return try condition()
}
