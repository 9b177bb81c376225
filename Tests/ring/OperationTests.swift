// Operation and the errno table.

import Glibc
import Testing
import UringBase
import UringRing

@Suite struct OperationTests {
    @Test(arguments: [
        (UInt32(0), UInt32(1)), (1, 0xFF_FFFF), (.max, 1), (0x1234_5678, 0x9A_BCDE),
    ]) func packs(_ index: UInt32, _ generation: UInt32) {
        for kind in [OperationKind.accept, .receive, .send, .close, .poll, .open, .read, .cancel, .message, .batchSend] {
            let operation = Operation(kind, Handle(index: index, generation: generation))
            let back = Operation(raw: operation.raw)
            #expect(back.kind == kind)
            #expect(back.handle == Handle(index: index, generation: generation))
            #expect(back == operation)
        }
    }

    @Test func bitsNobodyMadeHaveNoKind() {
        #expect(Operation(raw: 0).kind == nil)
        #expect(Operation(raw: .max).kind == nil)
    }

    @Test func generationsBeyond24BitsAreCut() {
        #expect(Handle(index: 1, generation: 0x0100_0002) == Handle(index: 1, generation: 2))
    }

    @Test(arguments: [
        (EAGAIN, "again"), (EINTR, "again"), (ECONNRESET, "peerGone"), (EPIPE, "peerGone"), (ENOBUFS, "noBuffers"), (ECANCELED, "cancelled"),
        (EMFILE, "exhausted"), (ENFILE, "exhausted"), (ENOMEM, "exhausted"), (EBADF, "programming"), (EFAULT, "programming"), (4095, "unknown"),
    ]) func errno(_ code: Int32, _ meaning: String) {
        #expect("\(SocketFailure(code))" == meaning)
    }

    @Test func systemErrorsSayWhatToDo() {
        #expect(SystemError("bind *:80", code: EACCES, remedy: "be root").description == "bind *:80: Permission denied (errno 13); be root")
        #expect(SystemError("read", code: EIO).description == "read: Input/output error (errno 5)")
    }
}
