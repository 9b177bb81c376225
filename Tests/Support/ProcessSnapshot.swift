// What a process is doing and holds, from /proc: said when a test waited for its end in vain.

import Glibc

package enum ProcessSnapshot {
    /// One line for each thread (name, state, where it waits in the kernel) and for each TCP socket (state, queues, timer; proc_net_tcp).
    package static func text(of pid: Int32) -> String {
        let root = "/proc/\(pid)"
        var lines = ["", "state of process \(pid):"]
        for task in names(root + "/task") {
            let status = file("\(root)/task/\(task)/status").split(separator: "\n").first { $0.hasPrefix("State:") } ?? ""
            lines.append("thread \(task) \(file("\(root)/task/\(task)/comm").prefix { $0 != "\n" }) \(status) \(file("\(root)/task/\(task)/wchan"))")
        }
        let targets = names(root + "/fd").map { link("\(root)/fd/\($0)") }
        lines.append("descriptors: " + targets.filter { !$0.hasPrefix("socket:") }.joined(separator: " "))
        let inodes = Set(targets.filter { $0.hasPrefix("socket:[") }.map { String($0.dropFirst(8).dropLast()) })
        for table in ["tcp", "tcp6"] {
            for line in file("\(root)/net/\(table)").split(separator: "\n").dropFirst() {
                let columns = line.split(separator: " ", omittingEmptySubsequences: true).map(String.init)
                if columns.count > 9, inodes.contains(columns[9]) {
                    lines.append("socket \(columns[1]) → \(columns[2]) state \(columns[3]) queues \(columns[4]) timer \(columns[5]) retransmits \(columns[6])")
                }
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func names(_ directory: String) -> [String] {
        // The stream is ours until closedir; an entry lives until the next readdir, and its name is copied.
        guard let stream = unsafe opendir(directory) else { return [] }
        defer { _ = unsafe closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { unsafe String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }

    private static func link(_ path: String) -> String {
        var buffer = [CChar](repeating: 0, count: 4096)
        // The array owns the buffer through the call.
        let length = unsafe readlink(path, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func file(_ path: String) -> String {
        // The stream is ours until fclose.
        guard let stream = unsafe fopen(path, "r") else { return "" }
        defer { _ = unsafe fclose(stream) }
        var text = ""
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe fread(&bytes, 1, bytes.count, stream)
            guard count > 0 else { return text }
            text += String(decoding: bytes.prefix(count), as: UTF8.self)
        }
    }
}
