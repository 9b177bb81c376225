// Scratch memory of a request: zeroed, bounded, gone with the request; percent-decoding into it.

import TestSupport
import Testing
import UringServer

@Suite struct ScratchTests {
    @Test func scratchIsZeroedForEveryRequestAndCounted() throws {
        let server = try TestServer { request, response in
            guard var bytes = request.scratch(10_000), var more = request.scratch(100) else { return response.restart(.serviceUnavailable) }
            var sum = 0
            for index in bytes.indices { sum += Int(bytes[index]) }
            for index in more.indices { sum += Int(more[index]) }
            for index in bytes.indices { bytes[index] = 0xFF }
            for index in more.indices { more[index] = 0xFF }
            response.write("\(sum)")
        }
        for _ in 0..<5 {
            let response = try server.get("/")
            #expect(response.status == 200 && String(decoding: response.body, as: UTF8.self) == "0")
        }
        let loop = try #require(server.running.snapshots().first)
        #expect(loop.arenaHighWater >= 10_100)
        #expect(loop.arenaOversized == 0)
        #expect(loop.chunksOutstanding == 0)
    }

    @Test func aRequestMeetsTheLimitAndTheNextHasItsOwn() throws {
        let server = try TestServer { request, response in
            let most = request.scratch(Request.scratchBytesMax) != nil
            let beyond = request.scratch(1) != nil
            let negative = request.scratch(-1) != nil
            response.write("\(most) \(beyond) \(negative)")
        }
        for _ in 0..<3 { #expect(String(decoding: try server.get("/").body, as: UTF8.self) == "true false false") }
        let loop = try #require(server.running.snapshots().first)
        #expect(loop.arenaOversized == 3)
    }

    @Test(arguments: [
        ("/a%20b", "/a b"), ("/", "/"), ("/%C3%A4%2Fx", "/ä/x"), ("/a+b", "/a+b"), ("/%zz", "-"), ("/%4", "-"), ("/%00", "-"),
    ])
    func decoding(target: String, expected: String) throws {
        let server = try TestServer { request, response in
            if let path = request.decoded(request.path) { response.write(path) } else { response.write("-") }
        }
        #expect(String(decoding: try server.get(target).body, as: UTF8.self) == expected)
    }
}
