// The small parts: units, near misses, addresses, excerpts, and files that cannot be read.

import Glibc
import Testing

@testable import UringGateway

@Suite struct ConfigPartsTests {
    @Test(arguments: [
        ("0", 0), ("0s", 0), ("1ns", 1), ("3us", 3000), ("500ms", 500_000_000), ("10s", 10_000_000_000), ("2m", 120_000_000_000),
        ("1h30m", 5_400_000_000_000), ("1d2h3m4s5ms6us7ns", 93_784_005_006_007), ("18446744073709551615ns", UInt64.max),
        ("18446744073709551616ns", UInt64.max), ("99999999999d", UInt64.max),
    ] as [(String, UInt64)])
    func durations(text: String, ns: UInt64) {
        #expect(ConfigUnit.duration.parse(text) == .value(ns))
    }

    @Test(arguments: [
        ("0", 0), ("4096", 4096), ("5B", 5), ("1KB", 1000), ("32KiB", 32768), ("1MB", 1_000_000), ("10MiB", 10_485_760),
        ("1TiB", 1 << 40),
    ] as [(String, UInt64)])
    func sizes(text: String, bytes: UInt64) {
        #expect(ConfigUnit.size.parse(text) == .value(bytes))
    }

    @Test func rates() {
        #expect(ConfigUnit.rate.parse("240B/s") == .value(240))
        #expect(ConfigUnit.rate.parse("10KiB/s") == .value(10240))
        #expect(ConfigUnit.rate.parse("0") == .value(0))
        #expect(ConfigUnit.rate.parse("10k") == .malformed(suggestion: "10KiB/s"))
    }

    @Test(arguments: ["", "s", "1.5s", "1s1s", "1s2", "1s 2ms", "-1s", "+1s", "1S2", "1_000s", "1s1m", "１s"])
    func malformedDurations(text: String) {
        guard case .malformed = ConfigUnit.duration.parse(text) else {
            Issue.record("\(text) was taken")
            return
        }
    }

    @Test func formatsAreTheLargestExactUnit() {
        #expect(ConfigUnit.duration.format(90_000_000_000) == "90s")
        #expect(ConfigUnit.duration.format(0) == "0")
        #expect(ConfigUnit.size.format(1024) == "1KiB")
        #expect(ConfigUnit.size.format(1_000_000) == "1MB")
        #expect(ConfigUnit.size.format(1500) == "1500B")
        #expect(ConfigUnit.rate.format(1 << 30) == "1GiB/s")
    }

    @Test(arguments: [
        ("timeout", "timeouts"), ("lisen", "listen"), ("acces_log", "access-log"), ("conn", "connections"), ("routse", "routes"),
    ])
    func nearMisses(word: String, expected: String) {
        #expect(NearMiss.find(word, in: ["timeouts", "listen", "access-log", "connections", "routes"]) == expected)
    }

    @Test func farMissesAreNone() {
        #expect(NearMiss.find("xyzzy", in: ["timeouts", "listen"]) == nil)
        #expect(NearMiss.find("", in: ["timeouts"]) == nil)
        #expect(NearMiss.find(String(repeating: "timeouts", count: 6), in: ["timeouts"]) == nil)
        #expect(NearMiss.distance(Array("abcd".utf8), Array("abdc".utf8)) == 1)
    }

    @Test(arguments: [
        ("127.0.0.1:80", "127.0.0.1:80"), ("[0:0:0::1]:65535", "[::1]:65535"), ("[fe80::1%eth0]:0", "[fe80::1%eth0]:0"),
        ("Example.COM:443", "example.com:443"), ("unix:/run/a:b.sock", "unix:/run/a:b.sock"), ("a_b:00080", "a_b:80"),
    ])
    func addressesHaveOneSpelling(text: String, canonical: String) throws {
        let address = try ListenAddress.parse(text).get()
        #expect(address.description == canonical)
        #expect(try ListenAddress.parse(canonical).get() == address)
    }

    @Test func excerptsPointAtTheColumn() {
        let result = load("listen: [{ address: 127.0.0.1:1 }]\r\nroutes: []\nlog: { level: \"é\", lvl: 1 }\n")
        #expect(
            result.render(excerpts: true) == """
                test.yaml:3:15: log.level: found the text "é", accepted: trace, debug, info, notice, warning, error or critical
                    log: { level: "é", lvl: 1 }
                                  ^
                test.yaml:3:20: unknown key `lvl` in `log`; accepted: level
                    log: { level: "é", lvl: 1 }
                                       ^

                """)
    }

    @Test func longLinesAreCutAroundTheColumn() {
        let text = "listen: []\nroutes: [" + String(repeating: " ", count: 500) + "x" + String(repeating: " ", count: 500) + "]"
        let lines = load(text).render(excerpts: true).split(separator: "\n")
        #expect(lines[4] == "    " + String(repeating: " ", count: 60) + "x" + String(repeating: " ", count: 59))
        #expect(lines[5] == "    " + String(repeating: " ", count: 60) + "^")
    }

    // MARK: The file system

    @Test func aMissingFileIsOneError() {
        let result = ConfigLoader.load(path: "/nonexistent/uringd.yaml")
        #expect(result.configuration == nil)
        #expect(result.render() == "/nonexistent/uringd.yaml:1:1: cannot open the configuration: No such file or directory\n")
    }

    @Test func aDirectoryIsNoFile() {
        #expect(ConfigLoader.load(path: "/tmp").render() == "/tmp:1:1: cannot read the configuration: Is a directory\n")
    }

    @Test func aFileIsReadAndItsPathsAreChecked() throws {
        let directory = try TemporaryDirectory()
        let file = directory.path + "/uringd.yaml"
        try directory.write(
            "uringd.yaml",
            """
            listen: [{ address: "unix:s" }]
            access-log: { path: none/access.log }
            routes:
              - { name: a, match: { path: /a }, files: { root: missing } }
              - { name: b, match: { path: /b }, files: { root: uringd.yaml } }
              - { name: c, match: { path: /c }, files: { root: . } }
            """)
        let base = directory.path
        #expect(
            ConfigLoader.load(path: file).render() == """
                \(file):2:21: access-log.path: cannot look at the directory `\(base)/none`: No such file or directory
                \(file):4:52: files.root: cannot look at `\(base)/missing`: No such file or directory
                \(file):5:52: files.root: `\(base)/uringd.yaml` is not a directory

                """)
        try directory.write("uringd.yaml", "listen: [{ address: \"unix:s\" }]\naccess-log: { path: . }\nroutes: []\n")
        #expect(ConfigLoader.load(path: file).render() == "\(file):2:21: access-log.path: `\(base)/.` is a directory\n")
        try directory.write("uringd.yaml", "listen: [{ address: \"unix:s\" }]\naccess-log: { path: new.log }\nroutes: []\n")
        let good = ConfigLoader.load(path: file)
        #expect(good.render() == "")
        #expect(good.configuration?.accessLog?.path == base + "/new.log")
        #expect(good.configuration?.listeners[0].address == .unix(path: base + "/s"))
    }
}

/// A directory that goes away with the test.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("/tmp/uringd-config-XXXXXX".utf8CString)
        // mkdtemp changes the six letters in place; `template` lives through the call.
        guard unsafe mkdtemp(&template) != nil else { throw TemporaryDirectoryError.errno(errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        guard let directory = unsafe opendir(path) else { return }
        while let entry = unsafe readdir(directory) {
            // The entry is valid until the next readdir; d_name is terminated.
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) {
                unsafe $0.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
            }
            if name != "." && name != ".." { unsafe unlink(path + "/" + name) }
        }
        unsafe closedir(directory)
        unsafe rmdir(path)
    }

    func write(_ name: String, _ text: String) throws {
        let descriptor = unsafe open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        guard descriptor >= 0 else { throw TemporaryDirectoryError.errno(errno) }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count else { throw TemporaryDirectoryError.errno(errno) }
    }

    func read(_ name: String) -> String? {
        guard case .success(let bytes) = ConfigFileChecks.read(path + "/" + name) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}

enum TemporaryDirectoryError: Error { case errno(CInt) }
