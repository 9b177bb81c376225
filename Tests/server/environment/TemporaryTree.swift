// A made-up /proc and /sys in a temporary directory, removed with its owner. Owned by one test each.

import Glibc

@testable import UringServer

final class TemporaryTree {
    let root: String
    private var created: [String] = []
    var files: SystemFiles { SystemFiles(root: root) }

    /// - Parameter contents: absolute path as the machine would have it → text.
    init(_ contents: [String: String] = [:]) {
        var template = Array("/tmp/uring-tree-XXXXXX".utf8CString)
        // mkdtemp writes the name into the template, which the array owns.
        root = unsafe template.withUnsafeMutableBufferPointer { unsafe String(cString: mkdtemp($0.baseAddress!)) }
        for (path, text) in contents { write(path, text) }
    }

    func write(_ path: String, _ text: String) {
        var directory = root
        for component in path.split(separator: "/").dropLast() {
            directory += "/" + component
            if unsafe mkdir(directory, 0o755) == 0 { created.append(directory) }
        }
        let descriptor = unsafe open(root + path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        precondition(descriptor >= 0, "cannot create \(path)")
        created.append(root + path)
        defer { close(descriptor) }
        var text = text
        let length = text.utf8.count
        let written = text.withUTF8 { unsafe Glibc.write(descriptor, $0.baseAddress, $0.count) }
        precondition(written == length)
    }

    deinit {
        // What was made last lies deepest.
        for path in created.reversed() { _ = unsafe remove(path) }
        _ = unsafe rmdir(root)
    }
}
