// PreparedResponse: a fixed answer, rendered once. Made at start or on reload on any thread; sent from all loops.

public import UringHTTP
internal import Glibc
internal import UringHTTP1

/// A fixed response: status, fields and content are checked and rendered when it is made, so that sending it is two copies and costs
/// neither an allocation nor a reference count.
@safe
public final class PreparedResponse: Sendable {
    /// The status that it answers with.
    public let status: HTTPStatus
    /// Whole field lines; owned by this object from init to deinit and never written after init.
    nonisolated(unsafe) private let fields: UnsafeMutableBufferPointer<UInt8>
    private let setFields: ResponseState.SetFields
    /// Owned like `fields`. Empty when the content is large: then `large` has it.
    nonisolated(unsafe) private let content: UnsafeMutableBufferPointer<UInt8>
    private let large: SharedBytes?

    /// - Parameters:
    ///   - status: 200 and above.
    ///   - body: copied once.
    ///   - headers: `Content-Length`, `Transfer-Encoding`, `Connection` and `Keep-Alive` are the server's and are left out.
    /// - Throws: `ServerError` when a name is not a token or a value could end its line; for a status below 200.
    public init(status: HTTPStatus = .ok, headers: [(name: String, value: String)] = [], body: [UInt8] = []) throws {
        guard status.code >= 200 else { throw ServerError("status \(status.code) is not a final response: 200 to 599 are") }
        var lines: [UInt8] = []
        var flags: ResponseState.SetFields = []
        for (name, value) in headers {
            if let problem = Self.problem(name: name, value: value) { throw ServerError(problem) }
            switch name.lowercased() {
            case "content-length", "transfer-encoding", "connection", "keep-alive": continue
            case "date": flags.insert(.date)
            case "server": flags.insert(.server)
            case "content-type": flags.insert(.contentType)
            default: break
            }
            lines += Array("\(name): \(value)\r\n".utf8)
        }
        self.status = status
        setFields = flags
        unsafe fields = .allocate(capacity: lines.count)
        _ = unsafe fields.initialize(from: lines)
        let isLarge = unsafe body.count > ResponseState.copiedBodyMax
        large = isLarge ? SharedBytes(body) : nil
        unsafe content = .allocate(capacity: isLarge ? 0 : body.count)
        if !isLarge { _ = unsafe content.initialize(from: body) }
    }

    deinit {
        unsafe fields.deallocate()
        unsafe content.deallocate()
    }

    /// Why a field cannot be sent; nil when it can (RFC 9110 sections 5.1 and 5.5).
    package static func problem(name: String, value: String) -> String? {
        // SAFETY: both arrays live through the calls.
        guard unsafe Array(name.utf8).withUnsafeBufferPointer({ unsafe $0.count > 0 && FieldValidation.isName($0) }) else {
            return "'\(name)' is not a header name: letters, digits and !#$%&'*+-.^_`|~ are allowed"
        }
        guard unsafe Array(value.utf8).withUnsafeBufferPointer({ unsafe $0.count == 0 || FieldValidation.isValue($0) }) else {
            return "the value of header '\(name)' contains a control character"
        }
        return nil
    }

    fileprivate func write(to state: UnsafeMutablePointer<ResponseState>) {
        unsafe state.pointee.status = status
        unsafe state.pointee.setFields.formUnion(setFields)
        if let base = unsafe fields.baseAddress, unsafe fields.count > 0 { unsafe state.pointee.fields.append(base, fields.count) }
        unsafe state.pointee.body.count = 0
        if let large {
            unsafe state.pointee.content = .shared(large)
            unsafe state.pointee.hasSpecialContent = true
        } else if let base = unsafe content.baseAddress, unsafe content.count > 0 {
            unsafe state.pointee.body.append(base, content.count)
        }
    }
}

extension Response {
    /// Makes a prepared response this one's status and content, and adds its fields to those already set.
    public func send(_ prepared: PreparedResponse) { unsafe prepared.write(to: state) }
}
