// compression-bench: what bench/compression/run prints, of one file: how long compressors take for 128 KiB at once, what a stream holds at most, and what flushes cost.

import CAllocationCount
import Glibc
import UringCompression
import UringHTTP

guard CommandLine.arguments.count == 3, let rounds = Int(CommandLine.arguments[2]) else { fatalError("usage: compression-bench FILE ROUNDS") }

/// 1 MiB: the file, again and again. What lies further back than the window of 256 KiB is of no use to a compressor.
let text = read(CommandLine.arguments[1])
let atOnce = 128 * 1024

func read(_ path: String) -> [UInt8] {
    guard let file = unsafe fopen(path, "r") else { fatalError("\(path) cannot be read") }
    defer { unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 1 << 20)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    guard count >= atOnce else { fatalError("\(path) has fewer than \(atOnce) bytes") }
    for index in count..<bytes.count { bytes[index] = bytes[index - count] }
    return bytes
}

func nanoseconds() -> Int {
    var now = timespec()
    unsafe clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return now.tv_sec * 1_000_000_000 + now.tv_nsec
}

nonisolated(unsafe) let output = UnsafeMutablePointer<UInt8>.allocate(capacity: 2 << 20)
let outputBytes = 2 << 20

/// Compresses `bytes` in pieces, each followed by `operation`, the last by the end. Returns the size; `look` is called after each piece.
func compress(_ compressor: Compressor, _ bytes: ArraySlice<UInt8>, piece: Int, _ operation: CompressorOperation, size: Int?, _ look: () -> Void = {}) -> Int {
    guard compressor.begin(size: size) else { fatalError("no memory") }
    var (at, produced) = (0, 0)
    repeat {
        let count = min(piece, bytes.count - at)
        let isLast = at + count == bytes.count
        var used = 0
        while true {
            // SAFETY: the bytes outlive the call and the output is never freed; `used` is at most `count`, `produced` at most the output's size.
            let step = unsafe bytes.withUnsafeBufferPointer { input in
                unsafe compressor.step(input.baseAddress! + at + used, count - used, isLast ? .finish : operation, into: output + produced, room: outputBytes - produced)
            }
            guard let step else { fatalError("a compressor failed") }
            (used, produced) = (used + step.consumed, produced + step.produced)
            if step.isDone { break }
        }
        at += count
        look()
    } while at < bytes.count
    return produced
}

/// What a compressor holds at most while a stream passes through it, its first.
func most(_ coding: ContentCoding, _ settings: CompressorSettings, _ bytes: ArraySlice<UInt8>, size: Int?) -> Int {
    let before = Int(ac_held_bytes())
    guard let compressor = Compressor(coding, settings) else { fatalError("no memory") }
    var most = 0
    _ = compress(compressor, bytes, piece: 16384, .run, size: size) { most = max(most, Int(ac_held_bytes()) - before) }
    return most
}

func measure(_ name: String, _ coding: ContentCoding, _ settings: CompressorSettings) {
    let streamed = most(coding, settings, text[...], size: nil)
    let known = most(coding, settings, text[...], size: text.count)
    let small = most(coding, settings, text[..<8192], size: 8192)
    guard let compressor = Compressor(coding, settings) else { fatalError("no memory") }
    let page = text[..<atOnce]
    var times: [Int] = []
    var size = 0
    for _ in 0..<rounds {
        let began = nanoseconds()
        size = compress(compressor, page, piece: atOnce, .run, size: atOnce)
        times.append(nanoseconds() - began)
    }
    times.sort()
    let short = text[..<32768]
    let whole = compress(compressor, short, piece: 32768, .run, size: nil)
    let flushed = compress(compressor, short, piece: 328, .flush, size: nil)
    let ms = { (ns: Int) in "\(ns / 1_000_000).\(String(1000 + ns / 1000 % 1000).dropFirst())" }
    print("\(name): \(ms(times[rounds / 2])) ms (\(ms(times[0]))…\(ms(times[rounds - 1]))), to \(size * 100 / atOnce) %; holds \(streamed >> 10) KiB for a stream, \(known >> 10) for 1 MiB, \(small >> 10) for 8 KiB; 100 flushes in 32 KiB: +\((flushed - whole) * 100 / whole) %")
}

for level in [1, 5, 9] { measure("gzip \(level)", .gzip, CompressorSettings(gzipLevel: level)) }
for level in [1, 4, 5, 6, 7, 9, 11] { measure("brotli \(level)", .brotli, CompressorSettings(brotliLevel: level)) }
for level in [1, 3, 9, 19] { measure("zstd \(level)", .zstd, CompressorSettings(zstdLevel: level)) }
