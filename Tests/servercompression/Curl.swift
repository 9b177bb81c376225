// Requests by curl, which speaks HTTP/2 too, to a server in the test's process.

import Foundation
import Testing
import UringServer

enum Version: String, CaseIterable, Sendable {
    case http11 = "--http1.1"
    case http2 = "--http2-prior-knowledge"
}

struct Answer {
    let status: Int
    /// Names in lower case.
    let fields: [(name: String, value: String)]
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    func values(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }
    func value(_ name: String) -> String? { values(name).first }
}

final class CurlServer: Sendable {
    let running: RunningServer
    let port: String

    init(_ router: Router) throws {
        var options = ServerOptions()
        options.loops = .count(1)
        options.stallThreshold = .zero
        running = try Server(listen: ["127.0.0.1:0"], options: options, router: router).start()
        port = try #require(running.addresses[0].split(separator: ":").last.map(String.init))
    }

    deinit { running.stop(within: .seconds(20)) }

    func ask(_ version: Version, _ path: String, _ options: [String] = []) throws -> Answer {
        let directory = FileManager.default.temporaryDirectory.appending(path: "uring-curl-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (head, body) = (directory.appending(path: "head"), directory.appending(path: "body"))
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["curl", "-s", "--max-time", "20", version.rawValue, "-D", head.path, "-o", body.path] + options + ["http://127.0.0.1:\(port)\(path)"]
        try process.run()
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "curl ended with \(process.terminationStatus)")
        let lines = try String(contentsOf: head, encoding: .utf8).replacingOccurrences(of: "\r", with: "").split(separator: "\n")
        let status = try #require(lines.first?.split(separator: " ").dropFirst().first.flatMap { Int($0) })
        let fields = lines.dropFirst().compactMap { line -> (name: String, value: String)? in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            return (line[..<colon].lowercased(), line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces))
        }
        return Answer(status: status, fields: fields, body: (try? Data(contentsOf: body)).map { [UInt8]($0) } ?? [])
    }
}
