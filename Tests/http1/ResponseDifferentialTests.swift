// The response parser and body reader against Python's http.client, on many generated responses: what we accept, it must read the same.
// It accepts more (bare line feeds, folded lines, two lengths), which is why only our good answers are compared.

import Foundation
import Testing
import UringHTTP
import UringHTTP1

private let pythonPath = "/usr/bin/python3"

/// Reads lines `METHOD HEX`, answers `STATUS HEX(reason) HEX(body) HEX(fields)` or `-`.
private let oracle = """
    import sys, io, http.client
    class Socket:
        def __init__(self, data): self.data = data
        def makefile(self, *a): return io.BytesIO(self.data)
        def close(self): pass
    for line in sys.stdin:
        method, data = line.rstrip("\\n").split(" ")
        try:
            response = http.client.HTTPResponse(Socket(bytes.fromhex(data)), method=method)
            response.begin()
            body = response.read()
            fields = "\\n".join(k.lower() + ":" + v.strip(" \\t") for k, v in response.getheaders())
            print(response.status, "x" + response.reason.encode("latin1").hex(), "x" + body.hex(), "x" + fields.encode("latin1", "replace").hex())
        except Exception as e:
            print("-", type(e).__name__)
    """

private let statusLines = ["HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.0 200 OK", "HTTP/1.1 204 X", "HTTP/1.1 304 X", "HTTP/1.1 500", "HTTP/1.1 299 ", "HTTP/1.1 100 C", "HTTP/1.1 700 X", "HTTP/2.0 200 OK"]
private let lines = ["Server: x", "A:", "B: c \t", "Connection: close", "Connection: keep-alive", "Set-Cookie: a=b", "X-Y: \u{e9}", "D : e", " folded", "E", "Content-Length: 7", "Transfer-Encoding: gzip"]
private let endings = [
    ("Content-Length: 5\r\n", "hello"), ("Content-Length: 0\r\n", ""), ("", "until the end"), ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n"),
    ("transfer-encoding:Chunked\r\n", "A\r\n0123456789\r\n0\r\nT: u\r\n\r\n"), ("Content-Length: 9\r\n", "short"), ("Transfer-Encoding: chunked\r\n", "3\r\nab"), ("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
]

@Suite struct ResponseDifferentialTests {
    private struct Case {
        let method: HTTPMethod
        let bytes: [UInt8]
    }

    private static func generate(_ random: inout SeededGenerator) -> Case {
        var text = ""
        if Int.random(in: 0..<8, using: &random) == 0 { text += "HTTP/1.1 100 Continue\r\n\r\n" }
        let (framing, body) = endings.randomElement(using: &random)!
        text += statusLines.randomElement(using: &random)! + "\r\n"
        for _ in 0..<Int.random(in: 0...3, using: &random) { text += lines[Int.random(in: 0..<(Int.random(in: 0..<4, using: &random) == 0 ? lines.count : 7), using: &random)] + "\r\n" }
        text += framing + "\r\n" + body
        var bytes = latin1Bytes(text)
        if Int.random(in: 0..<4, using: &random) == 0 {
            let at = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: bytes[at] = Array("\r\n :x0\t".utf8).randomElement(using: &random)!
            case 1: bytes.remove(at: at)
            default: bytes.insert(Array("\r\n :x0\t".utf8).randomElement(using: &random)!, at: at)
            }
        }
        return Case(method: [.get, .get, .get, .head].randomElement(using: &random)!, bytes: bytes)
    }

    /// The answer in the oracle's form; nil for what we refuse or what is not whole.
    private static func ours(_ given: Case) -> String? {
        var bytes = given.bytes[...]
        while true {
            guard case .complete(let response) = parseResponse(Array(bytes), method: given.method) else { return nil }
            bytes = bytes.dropFirst(response.head.headLength)
            if response.head.isInterim { continue }
            // It reads chunks where RFC 9112 6.3 (1) knows no body.
            if response.head.status.forbidsContent, response.fields.contains(where: { $0.known == .transferEncoding }) { return nil }
            var reader = ResponseBodyReader(response.head.framing)
            var body: [UInt8] = []
            reading: while true {
                let rest = Array(bytes)
                // The array lives to the end of the call.
                let step = unsafe rest.withUnsafeBufferPointer { buffer -> ResponseBodyReader.Step in
                    var none: UInt8 = 0
                    return unsafe buffer.baseAddress.map { unsafe reader.next($0, count: buffer.count) } ?? reader.next(&none, count: 0)
                }
                switch step {
                case .data(let start, let length):
                    body += rest[start..<start + length]
                    bytes = bytes.dropFirst(start + length)
                case .needMore:
                    guard reader.endOfConnection == .assumedComplete else { return nil }
                    break reading
                case .end: break reading
                case .malformed: return nil
                }
            }
            let fields = response.fields.map { "\($0.name.lowercased()):\($0.value)" }.joined(separator: "\n")
            func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }
            // It strips the phrase.
            let reason = response.reason.trimmingCharacters(in: CharacterSet(charactersIn: " \t"))
            return "\(response.head.status.code) x\(hex(latin1Bytes(reason))) x\(hex(body)) x\(hex(latin1Bytes(fields)))"
        }
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: pythonPath))) func agreesWithPython() throws {
        var random = SeededGenerator(state: 20_261_126)
        let cases = (0..<4000).map { _ in Self.generate(&random) }
        let input = FileManager.default.temporaryDirectory.appendingPathComponent("responses-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: input) }
        let names = cases.map { "\($0.method.name) " + $0.bytes.map { String(format: "%02x", $0) }.joined() }
        try Data((names.joined(separator: "\n") + "\n").utf8).write(to: input)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: pythonPath)
        process.arguments = ["-c", oracle]
        process.standardInput = try FileHandle(forReadingFrom: input)
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let answers = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self).split(separator: "\n")
        process.waitUntilExit()
        try #require(answers.count == cases.count)
        var accepted = 0
        for (given, answer) in zip(cases, answers) {
            guard let mine = Self.ours(given) else { continue }
            accepted += 1
            if mine != String(answer) { Issue.record("\(given.method) \(latin1(given.bytes).debugDescription): ours \(mine), python \(answer)") }
        }
        #expect(accepted > 1000, "the generator makes too few good responses: \(accepted)")
    }
}
