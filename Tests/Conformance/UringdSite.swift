// A directory tree of one test, and what tests of files ask of it. Removed with its object.

import Glibc
import TestSupport

final class Site {
    let path: String

    init() throws {
        var template = Array("/tmp/uringd-site-XXXXXX".utf8CString)
        // mkdtemp writes the name into the template, which the array owns.
        path = unsafe template.withUnsafeMutableBufferPointer { unsafe String(cString: mkdtemp($0.baseAddress!)) }
    }

    deinit { Site.remove(path) }

    /// Writes a file; directories on its way are made.
    func write(_ name: String, _ bytes: some Collection<UInt8>) throws {
        makeDirectories(above: name)
        // A failed write shows in the test: the file is not what it should be.
        guard let file = unsafe fopen(path + "/" + name, "w") else { throw RawClientError.system(call: "fopen", errno: errno) }
        let bytes = Array(bytes)
        // The array owns the bytes through the call; the stream is ours until fclose.
        _ = unsafe bytes.withUnsafeBytes { unsafe fwrite($0.baseAddress ?? UnsafeRawPointer(file), 1, $0.count, file) }
        unsafe fclose(file)
    }

    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

    /// A file of this size without blocks: reads as zeros, takes no room.
    func writeSparse(_ name: String, bytes: Int) throws {
        try write(name, "")
        try resize(name, to: bytes)
    }

    func resize(_ name: String, to bytes: Int) throws {
        guard unsafe truncate(path + "/" + name, bytes) == 0 else { throw RawClientError.system(call: "truncate", errno: errno) }
    }

    func link(_ name: String, to target: String) throws {
        makeDirectories(above: name)
        guard unsafe symlink(target, path + "/" + name) == 0 else { throw RawClientError.system(call: "symlink", errno: errno) }
    }

    func makePipe(_ name: String) throws {
        guard unsafe mkfifo(path + "/" + name, 0o644) == 0 else { throw RawClientError.system(call: "mkfifo", errno: errno) }
    }

    func rename(_ from: String, to: String) throws {
        guard unsafe Glibc.rename(path + "/" + from, path + "/" + to) == 0 else { throw RawClientError.system(call: "rename", errno: errno) }
    }

    func exists(_ name: String) -> Bool { unsafe access(path + "/" + name, F_OK) == 0 }

    func read(_ name: String) throws -> String {
        guard let file = unsafe fopen(path + "/" + name, "r") else { throw RawClientError.system(call: "fopen", errno: errno) }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            // The array owns the bytes through the call.
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe fread($0.baseAddress, 1, $0.count, file) }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk.prefix(count)
        }
    }

    private func makeDirectories(above name: String) {
        var at = path
        for part in name.split(separator: "/").dropLast() {
            at += "/" + part
            _ = unsafe mkdir(at, 0o755)
        }
    }

    /// Removes a tree; links are removed, not followed.
    private static func remove(_ path: String) {
        if let directory = unsafe opendir(path) {
            // The entry is valid until the next readdir; its name is copied.
            while let entry = unsafe readdir(directory) {
                let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) { raw in
                    unsafe String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name == "." || name == ".." { continue }
                var status = stat()
                let child = path + "/" + name
                guard unsafe lstat(child, &status) == 0 else { continue }
                if status.st_mode & S_IFMT == S_IFDIR { remove(child) } else { unsafe unlink(child) }
            }
            unsafe closedir(directory)
        }
        _ = unsafe rmdir(path)
    }
}

/// A run of curl: what it wrote, and its exit status.
enum Curl {
    static func run(_ arguments: [String]) throws -> (output: String, exit: ServerProcess.Exit) {
        let curl = try ServerProcess(["--silent", "--show-error", "--max-time", "60"] + arguments, listeners: 0, binary: "/usr/bin/curl")
        let exit = try curl.waitForExit()
        return (curl.output, exit)
    }

    /// The body of a response that must be a 2xx.
    static func get(_ url: String, _ arguments: String...) throws -> String {
        let (output, exit) = try run(["--fail"] + arguments + [url])
        guard exit == .code(0) else { throw RawClientError.malformed("curl ended with \(exit)", received: output) }
        return output
    }
}

extension RawClient {
    /// Sends a request and reads its response.
    func ask(_ request: String, toHead: Bool = false) throws -> RawResponse {
        try send(request)
        return try readResponse(toHead: toHead)
    }
}

/// One request on a connection of its own.
func ask(_ server: ServerProcess, _ request: String, toHead: Bool = false) throws -> RawResponse {
    try RawClient(server.endpoint).ask(request, toHead: toHead)
}

/// Repeats until the condition holds; false when it does not within 20 s. For what a process does in its own time after a signal.
func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
    var time = timespec()
    unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    let deadline = time.tv_sec + 20
    repeat {
        if try condition() { return true }
        sched_yield()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
    } while time.tv_sec < deadline
    return try condition()
}
