// Conformance of files: open, read, status, sendfile. See Conformance.swift.

import CUring
import Glibc
import Testing
import UringBase
import UringRing
import UringSimulation

@Suite struct FileConformanceTests {
    @Test func queuedOpenAndRead() {
        let cases: [(UInt64, String)] = [
            (30, "file"), (31, "sub/inner"), (32, "inside-link"), (33, "sub/up"), (34, "sub/../file"), (35, "../outside"), (36, "outside-link"),
            (37, "absolute-link"), (38, "/etc/passwd"), (39, "loop"), (40, "none"), (41, "file/x"), (42, "file/"), (43, "sub/../../root/file"),
        ]
        conforms([
            "30: contents of the file", "31: inner", "32: inner", "33: contents of the file", "34: contents of the file",
            "35: -Invalid cross-device link", "36: -Invalid cross-device link", "37: -Invalid cross-device link", "38: -Invalid cross-device link",
            "39: -Too many levels of symbolic links", "40: -No such file or directory", "41: -Not a directory", "42: -Not a directory",
            "43: -Invalid cross-device link",
            // The same at once.
            "30: contents of the file", "31: inner", "32: inner", "33: contents of the file", "34: contents of the file",
            "35: -Invalid cross-device link", "36: -Invalid cross-device link", "37: -Invalid cross-device link", "38: -Invalid cross-device link",
            "39: -Too many levels of symbolic links", "40: -No such file or directory", "41: -Not a directory", "42: -Not a directory",
            "43: -Invalid cross-device link",
        ]) { seam in
            for (tag, path) in cases {
                var how = open_how(flags: Kernel.openFlags, mode: 0, resolve: Kernel.openResolve)
                let fd = unsafe path.withCString { path in
                    unsafe withUnsafePointer(to: &how) { how in
                        seam.queue(tag) { unsafe ur_prep_openat2($0, seam.world.directory, path, how) }
                        seam.collect(1)
                        return Int32(seam.takeResult(of: tag))
                    }
                }
                guard fd >= 0 else {
                    seam.note("\(tag): -\(SystemError.text(of: -fd))")
                    continue
                }
                var memory = [UInt8](repeating: 0, count: 64)
                let count = unsafe memory.withUnsafeMutableBytes { into in
                    seam.queue(tag) { unsafe ur_prep_read($0, fd, into.baseAddress!, 64, 0) }
                    seam.collect(1)
                    return seam.takeResult(of: tag)
                }
                seam.note("\(tag): \(String(decoding: memory.prefix(max(0, count)), as: UTF8.self))")
                seam.kernel.close(fd)
            }
            for (tag, path) in cases {
                let fd = unsafe path.withCString { unsafe seam.kernel.openFile(directory: seam.world.directory, path: $0, cachedOnly: false) }
                guard fd >= 0 else {
                    seam.note("\(tag): -\(SystemError.text(of: -fd))")
                    continue
                }
                var memory = [UInt8](repeating: 0, count: 64)
                // A file system without RWF_NOWAIT answers that; then the ring's read is what remains.
                var count = unsafe memory.withUnsafeMutableBytes { unsafe seam.kernel.readCached(fd, into: $0.baseAddress!, count: 64, offset: 0) }
                if count == -Int(EOPNOTSUPP) || count == -Int(EAGAIN) {
                    count = unsafe memory.withUnsafeMutableBytes { unsafe pread(fd, $0.baseAddress!, 64, 0) }
                }
                seam.note("\(tag): \(String(decoding: memory.prefix(max(0, count)), as: UTF8.self))")
                seam.kernel.close(fd)
            }
        }
    }

    @Test func fileStatusAndSendFile() {
        conforms(["20 regular", "directory", "9", "peer: the file", "0", "0"]) { seam in
            func open(_ path: String) -> Int32 {
                unsafe path.withCString { unsafe seam.kernel.openFile(directory: seam.world.directory, path: $0, cachedOnly: false) }
            }
            let file = open("file")
            let directory = open("sub")
            if case .success(let status) = seam.kernel.fileStatus(file) { seam.note("\(status.size)\(status.isRegular ? " regular" : "")") }
            if case .success(let status) = seam.kernel.fileStatus(directory) { seam.note(status.isDirectory ? "directory" : "?") }
            let (fd, peer) = seam.pair()
            seam.note("\(seam.kernel.sendFile(fd, file: file, offset: 12, count: 9) + 1)")
            seam.note("peer: " + String(decoding: peer.read(100), as: UTF8.self))
            seam.note("\(seam.kernel.sendFile(fd, file: file, offset: 20, count: 9))")
            seam.note("\(seam.kernel.sendFile(fd, file: file, offset: 2000, count: 9))")
            for fd in [file, directory, fd] { seam.kernel.close(fd) }
        }
    }
}
