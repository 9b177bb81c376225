// Starts `uringd` for one test and speaks to it. Owned by the test that starts it.

import Glibc
import Testing
import TestSupport

/// The body that `uringd respond` answers in these tests.
let answer = "hello"

enum Uringd {
    /// `uringd respond`, answering 200 and `hello` to everything.
    static func respond(_ options: [String] = [], listen: String = "127.0.0.1:0") throws -> ServerProcess {
        try ServerProcess(["respond", "--listen", listen, "--body", answer] + options)
    }

    /// `uringd serve` with a configuration of this text.
    static func serve(_ configuration: String) throws -> ServerProcess {
        let directory = try TemporaryDirectory()
        try directory.write("uringd.yaml", configuration)
        // Read once at start: the directory may go when the server listens.
        return try withExtendedLifetime(directory) { try ServerProcess(["serve", "--config", directory.path + "/uringd.yaml"]) }
    }
}

/// A directory of one test, removed with its object.
final class TemporaryDirectory {
    let path: String
    private var files: [String] = []

    init() throws {
        var template = Array("/tmp/uringd-XXXXXX".utf8CString)
        // mkdtemp writes the name into the template, which the array owns.
        path = unsafe template.withUnsafeMutableBufferPointer { unsafe String(cString: mkdtemp($0.baseAddress!)) }
    }

    func write(_ name: String, _ text: String) throws {
        // The stream is ours until fclose; the strings live through each call.
        guard let file = unsafe fopen(path + "/" + name, "w") else { throw RawClientError.system(call: "fopen", errno: errno) }
        files.append(name)
        unsafe fputs(text, file)
        unsafe fclose(file)
    }

    deinit {
        for name in files + ["socket"] { _ = unsafe unlink(path + "/" + name) }
        _ = unsafe rmdir(path)
    }
}

/// `GET /next` with nothing else: what follows a request on its connection, to see whether the server still knows where requests begin.
let nextRequest = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n"

func get(_ target: String = "/", _ fields: String...) -> String {
    "GET \(target) HTTP/1.1\r\nHost: a\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n"
}

func post(_ body: String, _ fields: String...) -> String {
    "POST / HTTP/1.1\r\nHost: a\r\n" + fields.map { $0 + "\r\n" }.joined() + "\r\n" + body
}

/// A chunked request whose body is written out by the test.
func chunked(_ rest: String) -> String {
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + rest
}

/// The answer of `respond`, as any request that is in order gets it.
func expectAnswer(_ response: RawResponse, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(response.status == 200, "\(name)", sourceLocation: sourceLocation)
    #expect(response.version == "HTTP/1.1", "\(name)", sourceLocation: sourceLocation)
    #expect(response.bodyText == answer, "\(name)", sourceLocation: sourceLocation)
    #expect(response.values("content-length") == ["\(answer.utf8.count)"], "\(name)", sourceLocation: sourceLocation)
    #expect(response.values("date").count == 1, "\(name)", sourceLocation: sourceLocation)
}

/// The connection ends in order and without another byte.
func expectEnd(_ client: RawClient, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) {
    do {
        let rest = try client.readToEnd()
        #expect(rest.isEmpty, "\(name): more came: \(String(decoding: rest.prefix(500), as: UTF8.self))", sourceLocation: sourceLocation)
    } catch {
        Issue.record("\(name): \(error)", sourceLocation: sourceLocation)
    }
}
