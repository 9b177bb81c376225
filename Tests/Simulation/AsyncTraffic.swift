// AsyncTraffic: the application of Traffic with async handlers: the same answers, after waits of every kind, from bodies read and content written piece by piece.

import UringHTTP
import UringServer

enum AsyncTraffic {
    /// - Parameter directory: of `Traffic.makeFiles`.
    static func handler(directory: Int32) -> HandlerBox {
        let answer: AsyncHandler = { request, response in
            var id = 0
            if let text = request.headers["x-id"] { id = Int(text.decimal ?? 0) }
            response.headers["x-id"] = String(id)
            try await Self.answer(request, &response, directory, id)
        }
        // What a request asks for decides whether its body is streamed, and both ways are taken for most.
        return HandlerBox(
            handle: { _, response in response.run(answer) },
            wantsStream: { $0.path == "/sum" || $0.methodName == "PUT" || ($0.headers["x-id"]?.decimal ?? 0) % 2 == 0 })
    }

    /// Waits in one of the ways that there are, or not at all. What is chosen depends on nothing else, so that a seed stays a seed.
    private static func rest(_ loop: ServerLoop, _ choice: Int) async throws {
        switch choice % 7 {
        case 0: await Task.yield()
        case 1: try await loop.sleep(for: .microseconds(choice % 900))
        case 2: for _ in 0..<20 { await Task.yield() }
        case 3:
            async let first: Void = loop.sleep(for: .microseconds(300))
            async let second: Void = loop.sleep(for: .milliseconds(2))
            _ = try await (first, second)
        case 4:
            // The slower is cancelled.
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await loop.sleep(for: .seconds(1000)) }
                group.addTask { try await loop.sleep(for: .microseconds(200)) }
                try await group.next()
                group.cancelAll()
            }
        default: break
        }
    }

    private static func answer(_ request: borrowing Request, _ response: inout Response, _ directory: Int32, _ id: Int) async throws {
        let loop = request.loop
        let path = String(request.path)
        try await rest(loop, id &* 31 &+ path.utf8.count)
        switch path {
        case "/small": response.write("small \(id)\n")
        case "/none": response.status = .noContent
        case "/ignore": response.write("ignored")
        case "/fail": throw SimulatedFailure()
        case "/shared": try await send(Traffic.sharedBody, &response, loop, id, pieces: 9000)
        case "/echo": try await echo(request, &response, loop, id)
        case "/sum":
            var (count, sum) = (0, 0)
            for try await piece in try request.bodyStream {
                for byte in piece { sum = (sum &* 31 &+ Int(byte)) & 0xFFFF_FFFF }
                count += piece.count
                try await rest(loop, count)
            }
            response.write("\(count) \(sum)")
        default:
            if path.hasPrefix("/exchange/") {
                _ = try await request.bodyStream.collect(upTo: 1 << 20)
                return Traffic.sendFile(path, &response, directory)
            }
            if path.hasPrefix("/file/") || path.hasPrefix("/parts/") { return Traffic.sendFile(path, &response, directory) }
            if path.hasPrefix("/bytes/"), let count = Int(path.dropFirst(7)) {
                // Every other one knows its length and writes it piece by piece; HEAD needs the length.
                if id % 2 == 0 { return response.write(Traffic.pattern(id, count)) }
                return try await send(Traffic.pattern(id, count), &response, loop, id, length: UInt64(count), pieces: 2500)
            }
            let hasTrailers = path.hasPrefix("/trailed/")
            guard hasTrailers || path.hasPrefix("/stream/"), let count = Int(path.dropFirst(hasTrailers ? 9 : 8)) else { return response.restart(.notFound) }
            try await send(Traffic.pattern(id, count), &response, loop, id, trailers: hasTrailers ? [("x-sum", String(count))] : [], pieces: 3000)
        }
    }

    private static func send(
        _ content: [UInt8], _ response: inout Response, _ loop: ServerLoop, _ id: Int, length: UInt64? = nil, trailers: [(String, String)] = [], pieces: Int
    ) async throws {
        let stream = try response.startStream(length: length)
        var position = 0
        while position < content.count {
            let end = min(content.count, position + pieces)
            try await stream.write(Array(content[position..<end]))
            position = end
            try await rest(loop, position &+ id)
        }
        for (name, value) in trailers { try await stream.addTrailer(name, value) }
        try await rest(loop, id)
    }

    /// Whole, or each piece as it comes.
    private static func echo(_ request: borrowing Request, _ response: inout Response, _ loop: ServerLoop, _ id: Int) async throws {
        let body = try request.bodyStream
        if id % 3 == 0 { return response.write(try await body.collect(upTo: 1 << 20)) }
        let stream = try response.startStream()
        for try await piece in body {
            try await rest(loop, piece.count)
            try await stream.write(piece)
        }
    }
}
