// FileSystem: a read-only tree of files, directories and symbolic links for a simulated server to serve. Filled by the test.

internal import Glibc

package final class FileSystemNode {
    enum Content {
        case file([UInt8])
        case directory([String: FileSystemNode])
        case link(String)
        /// Neither: a FIFO, a device.
        case special
    }
    let name: String
    let inode: UInt64
    var content: Content
    var modifiedSeconds: Int64 = 1_700_000_000
    var modifiedNanoseconds: UInt32 = 0
    var isReadable = true

    init(name: String, inode: UInt64, content: Content) { (self.name, self.inode, self.content) = (name, inode, content) }

    /// Bytes of a file; nil for everything else.
    var bytes: [UInt8]? {
        if case .file(let bytes) = content { return bytes }
        return nil
    }
    var isDirectory: Bool {
        if case .directory = content { return true }
        return false
    }
    func child(_ name: String) -> FileSystemNode? {
        if case .directory(let children) = content { return children[name] }
        return nil
    }
}

package final class FileSystem {
    private let root = FileSystemNode(name: "/", inode: 2, content: .directory([:]))
    private var inodes: UInt64 = 2

    // MARK: filling it. Directories of the way are made.

    package func write(_ path: String, _ bytes: [UInt8], modifiedSeconds: Int64 = 1_700_000_000, nanoseconds: UInt32 = 0) {
        let node = put(path, .file(bytes))
        node.modifiedSeconds = modifiedSeconds
        node.modifiedNanoseconds = nanoseconds
    }
    package func makeDirectory(_ path: String) { _ = walk(path) }
    package func link(_ path: String, to target: String) { _ = put(path, .link(target)) }
    package func makeSpecial(_ path: String) { _ = put(path, .special) }
    package func forbid(_ path: String) { node(path)?.isReadable = false }
    /// Cuts or extends an open file under its reader, as another program might.
    package func truncate(_ path: String, to count: Int) {
        guard let node = node(path), let bytes = node.bytes else { return }
        node.content = .file(Array(bytes.prefix(count)) + [UInt8](repeating: 0, count: max(0, count - bytes.count)))
    }
    /// Descriptors that name it go on reading it.
    package func remove(_ path: String) {
        var parts = Self.split(path)
        guard let last = parts.popLast() else { return }
        let parent = walk(parts.joined(separator: "/"))
        if case .directory(var children) = parent.content {
            children[last] = nil
            parent.content = .directory(children)
        }
    }

    private static func split(_ path: String) -> [String] { path.split(separator: "/", omittingEmptySubsequences: true).map(String.init) }

    private func add(_ name: String, _ content: FileSystemNode.Content, to parent: FileSystemNode) -> FileSystemNode {
        inodes += 1
        let node = FileSystemNode(name: name, inode: inodes, content: content)
        guard case .directory(var children) = parent.content else { preconditionFailure("BUG: \(parent.name) is not a directory") }
        children[name] = node
        parent.content = .directory(children)
        return node
    }

    private func put(_ path: String, _ content: FileSystemNode.Content) -> FileSystemNode {
        var parts = Self.split(path)
        guard let last = parts.popLast() else { preconditionFailure("BUG: no name in '\(path)'") }
        return add(last, content, to: walk(parts.joined(separator: "/")))
    }

    private func walk(_ path: String) -> FileSystemNode {
        Self.split(path).reduce(root) { parent, name in parent.child(name) ?? add(name, .directory([:]), to: parent) }
    }

    private func node(_ path: String) -> FileSystemNode? { Self.split(path).reduce(root) { $0?.child($1) } }

    func directory(_ path: String) -> FileSystemNode? { node(path).flatMap { $0.isDirectory ? $0 : nil } }

    // MARK: openat2(2) with RESOLVE_BENEATH

    /// Most symbolic links in one path, as in Linux.
    private static let linksMax = 40

    /// - Returns: the node that `path` names beneath `directory`, or a positive errno.
    func resolve(_ path: String, beneath directory: FileSystemNode, mustBeDirectory: Bool) -> Result<FileSystemNode, FileError> {
        guard !path.isEmpty else { return .failure(FileError(code: ENOENT)) }
        guard path.utf8.count < 4096 else { return .failure(FileError(code: ENAMETOOLONG)) }
        var ancestors = [directory]
        // Components still to walk, the next one last.
        var rest: [Substring] = []
        var links = 0
        func push(_ text: String) -> Bool {
            guard !text.hasPrefix("/") else { return false }
            rest += text.split(separator: "/", omittingEmptySubsequences: true).reversed()
            return true
        }
        guard push(path) else { return .failure(FileError(code: EXDEV)) }
        var current = directory
        while let part = rest.popLast() {
            guard current.isDirectory else { return .failure(FileError(code: ENOTDIR)) }
            guard current.isReadable else { return .failure(FileError(code: EACCES)) }
            if part == "." { continue }
            if part == ".." {
                guard ancestors.count > 1 else { return .failure(FileError(code: EXDEV)) }
                ancestors.removeLast()
                current = ancestors[ancestors.count - 1]
                continue
            }
            guard part.utf8.count <= 255 else { return .failure(FileError(code: ENAMETOOLONG)) }
            guard let child = current.child(String(part)) else { return .failure(FileError(code: ENOENT)) }
            if case .link(let target) = child.content {
                links += 1
                guard links <= Self.linksMax else { return .failure(FileError(code: ELOOP)) }
                guard push(target) else { return .failure(FileError(code: EXDEV)) }
                continue
            }
            current = child
            if current.isDirectory { ancestors.append(current) }
        }
        guard current.isDirectory || !(mustBeDirectory || path.hasSuffix("/")) else { return .failure(FileError(code: ENOTDIR)) }
        guard current.isReadable else { return .failure(FileError(code: EACCES)) }
        return .success(current)
    }
}

struct FileError: Error {
    let code: Int32
}
