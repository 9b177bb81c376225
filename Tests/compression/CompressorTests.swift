// Compressors against the decoders that everybody uses: Python's gzip, and the tools brotli and zstd.

import Foundation
import Testing
import UringHTTP

@testable import UringCompression

enum Decoder {
    struct Failure: Error { let text: String }

    /// What the reference implementation makes of `bytes`; it refuses what is cut or followed by anything.
    static func decode(_ bytes: [UInt8], _ coding: ContentCoding) throws -> [UInt8] {
        let command =
            switch coding {
            case .gzip: ["gzip", "-dc"]
            case .brotli: ["brotli", "-dc"]
            // What a client must bear at least (RFC 9659 section 3) is 8 MiB; we promise less.
            case .zstd: ["zstd", "-dcq", "--memory=1MB"]
            }
        let directory = FileManager.default.temporaryDirectory.appending(path: "uring-coding-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (from, to) = (directory.appending(path: "in"), directory.appending(path: "out"))
        try Data(bytes).write(to: from)
        _ = FileManager.default.createFile(atPath: to.path, contents: nil)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let (input, output) = (try FileHandle(forReadingFrom: from), try FileHandle(forWritingTo: to))
        process.standardInput = input
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw Failure(text: "\(command[0]) refused \(bytes.count) bytes") }
        return [UInt8](try Data(contentsOf: to))
    }
}

extension Compressor {
    /// All output of one operation, in rooms of `room` bytes.
    func all(_ input: [UInt8], _ operation: CompressorOperation, room: Int = 4096) throws -> [UInt8] {
        var (used, result) = (0, [UInt8]())
        var out = [UInt8](repeating: 0, count: room)
        for _ in 0..<10_000_000 {
            let step = unsafe input[used...].withUnsafeBufferPointer { bytes in
                unsafe out.withUnsafeMutableBufferPointer { unsafe self.step(bytes.baseAddress, bytes.count, operation, into: $0.baseAddress!, room: room) }
            }
            let done = try #require(step)
            used += done.consumed
            result += out[..<done.produced]
            if done.isDone {
                #expect(used == input.count)
                return result
            }
        }
        Issue.record("it does not end")
        return result
    }
}

@Suite struct CompressorTests {
    static let text = Array(String(repeating: "It was the best of times, it was the worst of times, ", count: 40).utf8)

    static func noise(_ count: Int) -> [UInt8] {
        var state: UInt64 = 7
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 56)
        }
    }

    @Test(arguments: ContentCoding.allCases)
    func wholeBodies(_ coding: ContentCoding) throws {
        let compressor = try #require(Compressor(coding))
        for body in [[], [0], Self.text, Self.noise(10_000), Array(repeating: 65, count: 1_000_000), Self.noise(300_000)] {
            try #require(compressor.begin(size: body.count))
            let coded = try compressor.all(body, .finish)
            #expect(try Decoder.decode(coded, coding) == body)
            #expect(coded.count <= Compressor.bound(body.count))
        }
        try #require(compressor.begin(size: Self.text.count))
        #expect(try compressor.all(Self.text, .finish).count < Self.text.count / 10)
    }

    /// Every place where a body can be cut in two, with and without a flush there.
    @Test(arguments: ContentCoding.allCases, [CompressorOperation.run, .flush])
    func everyCut(_ coding: ContentCoding, _ operation: CompressorOperation) throws {
        let body = Array(Self.text.prefix(60))
        let compressor = try #require(Compressor(coding))
        for cut in 0...body.count {
            try #require(compressor.begin(size: nil))
            let coded = try compressor.all(Array(body[..<cut]), operation) + compressor.all(Array(body[cut...]), .finish)
            #expect(try Decoder.decode(coded, coding) == body, "cut at \(cut)")
        }
    }

    /// Rooms of every small size.
    @Test(arguments: ContentCoding.allCases)
    func everyRoom(_ coding: ContentCoding) throws {
        let body = Self.noise(600) + Self.text.prefix(200)
        let compressor = try #require(Compressor(coding))
        for room in 64...90 {
            try #require(compressor.begin(size: nil))
            var coded = try compressor.all(Array(body[..<300]), .run, room: room)
            coded += try compressor.all(Array(body[300..<600]), .flush, room: room)
            coded += try compressor.all([], .flush, room: room)
            coded += try compressor.all(Array(body[600...]), .finish, room: room)
            #expect(try Decoder.decode(coded, coding) == body, "room \(room)")
        }
    }

    /// After a flush a decoder has all that was written, before the stream goes on.
    @Test(arguments: ContentCoding.allCases)
    func flushed(_ coding: ContentCoding) throws {
        // The tool refuses a stream that is cut before it puts anything out: the library does not.
        let brotli = """
            import ctypes, sys
            library = ctypes.CDLL("libbrotlidec.so.1")
            library.BrotliDecoderCreateInstance.restype = ctypes.c_void_p
            data = sys.stdin.buffer.read()
            out = ctypes.create_string_buffer(1000)
            count, room = ctypes.c_size_t(len(data)), ctypes.c_size_t(1000)
            source, target = ctypes.c_char_p(data), ctypes.cast(out, ctypes.c_char_p)
            library.BrotliDecoderDecompressStream(
                ctypes.c_void_p(library.BrotliDecoderCreateInstance(None, None, None)), ctypes.byref(count), ctypes.byref(source), ctypes.byref(room),
                ctypes.byref(target), None)
            sys.stdout.buffer.write(out.raw[: 1000 - room.value])
            """
        let gzip = """
            import sys, zlib
            sys.stdout.buffer.write(zlib.decompressobj(31).decompress(sys.stdin.buffer.read()))
            """
        let compressor = try #require(Compressor(coding))
        try #require(compressor.begin(size: nil))
        let first = try compressor.all(Array("data: 1\n\n".utf8), .flush)
        #expect(!first.isEmpty)
        let command = coding == .zstd ? ["zstd", "-dcq"] : ["python3", "-c", coding == .gzip ? gzip : brotli]
        #expect(try Self.output(command, first) == Array("data: 1\n\n".utf8))
        let rest = try compressor.all(Array("data: 2\n\n".utf8), .finish)
        #expect(try Decoder.decode(first + rest, coding) == Array("data: 1\n\ndata: 2\n\n".utf8))
    }

    private static func output(_ command: [String], _ input: [UInt8]) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        let (from, to) = (Pipe(), Pipe())
        (process.standardInput, process.standardOutput, process.standardError) = (from, to, FileHandle.nullDevice)
        try process.run()
        try from.fileHandleForWriting.write(contentsOf: Data(input))
        try from.fileHandleForWriting.close()
        let result = try to.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return [UInt8](result)
    }

    /// A stream that is given up leaves nothing to the next.
    @Test(arguments: ContentCoding.allCases)
    func givenUp(_ coding: ContentCoding) throws {
        let compressor = try #require(Compressor(coding))
        for _ in 0..<20 {
            try #require(compressor.begin(size: nil))
            _ = try compressor.all(Self.noise(5000), .run)
        }
        try #require(compressor.begin(size: 4))
        #expect(try Decoder.decode(try compressor.all([1, 2, 3, 4], .finish), coding) == [1, 2, 3, 4])
    }

    /// Every level is taken, and those out of range count as the nearest.
    @Test(arguments: ContentCoding.allCases)
    func levels(_ coding: ContentCoding) throws {
        for level in [-5, 0, 1, 4, 9, 11, 19, 100] {
            let compressor = try #require(Compressor(coding, CompressorSettings(gzipLevel: level, brotliLevel: level, zstdLevel: level)))
            try #require(compressor.begin(size: nil))
            #expect(try Decoder.decode(try compressor.all(Self.text, .finish), coding) == Self.text)
        }
    }
}
