// ResponseState: the response under construction. One per loop, reused for every request; the loop's thread only.

internal import Glibc
internal import UringBase
internal import UringHTTP

/// Where the bytes of a response's content come from.
enum ResponseContent {
    /// What was written: `ResponseState.body`.
    case written
    case shared(SharedBytes)
    /// Parts of an open file, between pieces of text (multipart/byteranges) where there are several.
    case file(FileContent)
    /// Produced piece by piece while the connection takes it.
    case produced(ResponseProducer, length: UInt64?)
    /// Comes by `ResponderLink.relay` while the connection takes it, through an encoder if there is one.
    case relayed(length: UInt64?, through: RelayEncoder? = nil)
    /// None: the protocol changes behind the head.
    case tunnel(any Tunnel)
}

/// Buffers and flags of the response that a handler is filling in. Between requests it is empty and keeps its memory, so that the
/// steady state allocates nothing.
@unsafe
struct ResponseState {
    /// Text of the header fields, `name: value\r\n` each; rendered when they are set, copied once into the output.
    var fields: GrowingBytes
    var body: GrowingBytes
    /// Room for the name of a file while it is looked for: `PathNormalizer.resultBytesMax` bytes.
    let pathRoom: UnsafeMutablePointer<UInt8>
    var status: HTTPStatus = .ok
    var content: ResponseContent = .written
    /// `content` is not `.written`: one flag to test on the fast path instead of an enum with references.
    var hasSpecialContent = false
    var setFields: SetFields = []
    var closesConnection = false
    var isHead = false
    /// A field name or value that could not be sent (not a token, CR, LF or NUL inside); the response becomes a 500.
    var refusedField = false
    var receiver: RequestBodyReceiver?
    var upgrade: UpgradeHandler?
    /// What goes on with the request when its handler has returned. `hasSpecialContent` is set with it.
    var asyncHandler: AsyncHandlerBox?
    /// Who answers in place of the handler. `hasSpecialContent` is set with it.
    var responder: Responder?
    var untimed = false
    var requestIsStreaming = false
    var routeName: RouteName?
    /// Numbers for whoever observes the exchange.
    var mark: (UInt64, UInt64) = (0, 0)
    /// Where the request stands in a trace.
    var trace = ExchangeTrace()
    /// Of a call of gRPC, for whoever observes the exchange.
    var grpcStatus = GRPC.statusNone
    /// Of the head that was written last, for the access log.
    var headBytes: UInt64 = 0
    /// A file that the handler needs and that would have to be waited for.
    var coldPath: ColdPath?
    var needsColdFile = false
    /// What is done when the head is about to be written; `hasSteps` is the flag that the fast path looks at.
    var steps = unsafe ResponseSteps()
    var hasSteps = false
    /// What middleware left for handlers.
    var values = unsafe RequestValues()

    /// Fields whose presence the serialiser has to know of.
    struct SetFields: OptionSet {
        let rawValue: UInt8
        static let contentLength = SetFields(rawValue: 1)
        static let date = SetFields(rawValue: 2)
        static let server = SetFields(rawValue: 4)
        static let contentType = SetFields(rawValue: 8)
    }

    init() {
        unsafe fields = GrowingBytes(capacity: 2048)
        unsafe body = GrowingBytes(capacity: 8192)
        unsafe pathRoom = .allocate(capacity: PathNormalizer.resultBytesMax)
    }

    /// Before each handler call.
    mutating func begin(isHead: Bool, streaming: Bool) {
        if unsafe hasSteps || !values.isEmpty { unsafe dropAttachments() }
        unsafe clear(isHead: isHead, streaming: streaming)
    }

    @inline(never)
    private mutating func dropAttachments() {
        unsafe hasSteps = false
        unsafe steps.removeAll()
        unsafe values.removeAll()
    }

    private mutating func clear(isHead: Bool, streaming: Bool) {
        unsafe fields.count = 0
        unsafe body.count = 0
        unsafe status = .ok
        if unsafe hasSpecialContent { unsafe forgetContent() }
        unsafe setFields = []
        unsafe closesConnection = false
        unsafe refusedField = false
        unsafe untimed = false
        unsafe self.isHead = isHead
        unsafe requestIsStreaming = streaming
        unsafe routeName = nil
        unsafe mark = (0, 0)
        unsafe trace.clear()
        unsafe grpcStatus = GRPC.statusNone
        if unsafe needsColdFile { unsafe (needsColdFile, coldPath) = (false, nil) }
        if unsafe receiver != nil { unsafe receiver = nil }
        if unsafe upgrade != nil { unsafe upgrade = nil }
    }

    mutating func forgetContent() {
        unsafe content = .written
        unsafe asyncHandler = nil
        unsafe responder = nil
        unsafe hasSpecialContent = false
    }

    /// An empty response with this status: what a handler wrote so far is forgotten; `Connection: close`, and what middleware left here, are not.
    mutating func restart(_ status: HTTPStatus) {
        let (closes, head, route, mark, trace) = unsafe (closesConnection, isHead, routeName, mark, trace)
        unsafe clear(isHead: head, streaming: requestIsStreaming)
        unsafe (closesConnection, routeName, self.status, self.mark, self.trace) = (closes, route, status, mark, trace)
    }

    /// Lets go of what a response holds beside its bytes, and of memory that only a large one needs.
    mutating func discard(keeping bytesMax: Int) {
        if unsafe hasSpecialContent || receiver != nil || upgrade != nil || needsColdFile { unsafe begin(isHead: false, streaming: false) }
        if unsafe body.capacity > bytesMax { unsafe body.shrink(to: 8192) }
        if unsafe fields.capacity > bytesMax { unsafe fields.shrink(to: 2048) }
    }

    mutating func destroy() {
        unsafe pathRoom.deallocate()
        unsafe steps.destroy()
        unsafe values.destroy()
        unsafe fields.destroy()
        unsafe body.destroy()
    }
}

/// A growing run of bytes on the heap that keeps its memory from request to request.
@unsafe
package struct GrowingBytes {
    package private(set) var base: UnsafeMutablePointer<UInt8>
    package var count = 0
    package private(set) var capacity: Int

    package init(capacity: Int) {
        unsafe base = .allocate(capacity: capacity)
        unsafe self.capacity = capacity
    }

    @inline(__always)
    package mutating func reserve(_ more: Int) {
        if unsafe capacity &- count < more { unsafe grow(more) }
    }

    @inline(never)
    private mutating func grow(_ more: Int) {
        let wanted = unsafe max(capacity * 2, count + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
        unsafe larger.update(from: base, count: count)
        unsafe base.deallocate()
        unsafe (base, capacity) = (larger, wanted)
    }

    @inline(__always)
    mutating func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        unsafe reserve(length)
        unsafe memcpy(base + count, bytes, length)
        unsafe count &+= length
    }

    @inline(__always)
    mutating func append(_ byte: UInt8) {
        unsafe reserve(1)
        unsafe base[count] = byte
        unsafe count &+= 1
    }

    @inline(__always)
    mutating func append(_ literal: StaticString) { unsafe append(literal.utf8Start, literal.utf8CodeUnitCount) }

    mutating func append(_ view: ByteView) {
        // SAFETY: the view's memory is readable during this call; its bytes are copied.
        unsafe view.span.withUnsafeBufferPointer { if $0.count > 0 { unsafe append($0.baseAddress!, $0.count) } }
    }

    mutating func append(_ text: String) {
        // A span borrows the string where withUTF8 would copy it. SAFETY: readable during this call; its bytes are copied.
        unsafe text.utf8.span.withUnsafeBufferPointer { if $0.count > 0 { unsafe append($0.baseAddress!, $0.count) } }
    }

    mutating func appendDecimal(_ value: UInt64) {
        unsafe reserve(20)
        unsafe count &+= ByteWriting.writeDecimal(value, to: base + count)
    }

    /// `more` bytes behind the last were written by the caller, into room that was reserved.
    package mutating func wrote(_ more: Int) {
        unsafe precondition(more >= 0 && more <= capacity &- count, "BUG: more written than was reserved")
        unsafe count &+= more
    }

    /// Hands the memory to the caller, who frees it, and starts over with a fresh one.
    mutating func detach(replacement: Int) -> (UnsafeMutablePointer<UInt8>, Int) {
        let taken = unsafe (base, count)
        unsafe base = .allocate(capacity: replacement)
        unsafe (count, capacity) = (0, replacement)
        return unsafe taken
    }

    /// Forgets the content, and has that much memory from now on.
    mutating func shrink(to capacity: Int) {
        unsafe base.deallocate()
        unsafe base = .allocate(capacity: capacity)
        unsafe (count, self.capacity) = (0, capacity)
    }

    mutating func destroy() { unsafe base.deallocate() }
}
