// HTTP2Session: libnghttp2 as a client, in memory. It shares no code with the server's engine, and judges every frame.

import CNGHTTP2

/// One stream as the client sees it.
struct HTTP2StreamSeen {
    var status = 0
    /// Fields of the final head but `:status` and `date`, in order.
    var fields: [String] = []
    var trailers: [String] = []
    var dates = 0
    var interim = 0
    var body: [UInt8] = []
    /// Nil while it is open.
    var closedWith: UInt32?
    /// Of the final head; what follows are trailers.
    fileprivate var isHeadWhole = false
    fileprivate var upload: [UInt8] = []
    fileprivate var uploadStart = 0
    fileprivate var uploadTrailers: [(String, String)] = []
}

@safe final class HTTP2Session {
    private var session: OpaquePointer?
    fileprivate(set) var streams: [Int32: HTTP2StreamSeen] = [:]
    /// What the library found wrong.
    fileprivate(set) var complaints: [String] = []
    /// The server opens no more; the code of its last GOAWAY.
    fileprivate(set) var goAway: UInt32?
    /// Called when a stream has got something, and when it has ended.
    var onStream: ((Int32) -> Void)?
    /// How much of an upload leaves at a time: of as much as may be; 0 = wait until `resume`.
    var uploadBytes: (Int) -> Int = { $0 }
    /// A stream whose upload waits.
    var onUploadWaits: ((Int32) -> Void)?

    /// - Parameters:
    ///   - window: the initial window of its streams.
    ///   - connectionWindow: of all of them together, if it is to be another than the protocol's first.
    init(window: UInt32, connectionWindow: Int32?, frameBytesMax: UInt32 = 16_384, tableBytes: UInt32 = 4096) {
        var callbacks: OpaquePointer?
        unsafe nghttp2_session_callbacks_new(&callbacks)
        unsafe Self.set(callbacks)
        unsafe nghttp2_session_client_new(&session, callbacks, Unmanaged.passUnretained(self).toOpaque())
        unsafe nghttp2_session_callbacks_del(callbacks)
        submitSettings([
            (NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window), (NGHTTP2_SETTINGS_MAX_FRAME_SIZE, frameBytesMax), (NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, tableBytes),
        ])
        if let connectionWindow { unsafe nghttp2_session_set_local_window_size(session, 0, 0, connectionWindow) }
    }

    deinit { unsafe nghttp2_session_del(session) }

    /// The session is the user data of its callbacks, and outlives them.
    private static func of(_ user: UnsafeMutableRawPointer?) -> HTTP2Session { unsafe Unmanaged<HTTP2Session>.fromOpaque(user!).takeUnretainedValue() }

    private static func set(_ callbacks: OpaquePointer?) {
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, frame, name, nameCount, value, valueCount, _, user in
            let name = unsafe String(decoding: UnsafeBufferPointer(start: name, count: nameCount), as: UTF8.self)
            let value = unsafe String(decoding: UnsafeBufferPointer(start: value, count: valueCount), as: UTF8.self)
            unsafe HTTP2Session.of(user).field(frame!.pointee.hd.stream_id, name, value)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, count, user in
            let session = unsafe HTTP2Session.of(user)
            unsafe session.streams[stream, default: HTTP2StreamSeen()].body += UnsafeBufferPointer(start: bytes, count: count)
            session.onStream?(stream)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, user in
            let session = unsafe HTTP2Session.of(user)
            session.streams[stream, default: HTTP2StreamSeen()].closedWith = code
            session.onStream?(stream)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            let session = unsafe HTTP2Session.of(user)
            let header = unsafe frame!.pointee.hd
            if header.type == UInt8(NGHTTP2_HEADERS.rawValue), session.streams[header.stream_id]?.status ?? 0 >= 200 {
                session.streams[header.stream_id]?.isHeadWhole = true
            }
            if header.type == UInt8(NGHTTP2_GOAWAY.rawValue) { 
                let goAway = unsafe frame!.pointee.goaway
                session.goAway = unsafe goAway.error_code
                let text = unsafe String(decoding: UnsafeBufferPointer(start: goAway.opaque_data, count: goAway.opaque_data_len), as: UTF8.self)
                if unsafe goAway.error_code != 0 { unsafe session.complaints.append("GOAWAY with \(goAway.error_code): \(text)") }
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, frame, code, user in
            unsafe HTTP2Session.of(user).complaints.append("invalid frame of type \(frame!.pointee.hd.type): \(code)")
            return 0
        }
    }

    private func field(_ id: Int32, _ name: String, _ value: String) {
        var stream = streams[id, default: HTTP2StreamSeen()]
        if name == ":status" {
            stream.status = Int(value) ?? 0
            if stream.status < 200 { stream.interim += 1 }
        } else if stream.status >= 200, !stream.isHeadWhole {
            if name == "date" { stream.dates += 1 } else { stream.fields.append("\(name): \(value)") }
        } else if stream.status >= 200 {
            stream.trailers.append("\(name): \(value)")
        }
        streams[id] = stream
    }

    // MARK: what it does

    private func withFields<Result>(_ fields: [(String, String)], _ body: (UnsafeMutablePointer<nghttp2_nv>, Int) -> Result) -> Result {
        // One text with all names and values, which lives to the end of this function; the library copies it.
        let text = fields.flatMap { Array($0.0.utf8) + Array($0.1.utf8) }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(text.count, 1))
        unsafe memory.initialize(from: text, count: text.count)
        defer { unsafe memory.deallocate() }
        var at = 0
        var list = unsafe fields.map { field in
            let (name, value) = (field.0.utf8.count, field.1.utf8.count)
            defer { at += name + value }
            return unsafe nghttp2_nv(name: memory + at, value: memory + at + name, namelen: name, valuelen: value, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        }
        let count = unsafe list.count
        return unsafe list.withUnsafeMutableBufferPointer { unsafe body($0.baseAddress!, count) }
    }

    /// Submits a request; answers its stream, or a negative number when the connection takes no more.
    func request(_ fields: [(String, String)], body: [UInt8]?, trailers: [(String, String)] = []) -> Int32 {
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.read_callback = { session, stream, out, capacity, flags, _, user in
            unsafe HTTP2Session.of(user).read(stream, out!, capacity, flags!)
        }
        let stream = unsafe withFields(fields) { list, count in
            if body == nil { return unsafe nghttp2_submit_request(session, nil, list, count, nil, nil) }
            return unsafe nghttp2_submit_request(session, nil, list, count, &provider, nil)
        }
        guard stream > 0 else { return stream }
        streams[stream] = HTTP2StreamSeen(upload: body ?? [], uploadTrailers: trailers)
        return stream
    }

    private func read(_ id: Int32, _ out: UnsafeMutablePointer<UInt8>, _ capacity: Int, _ flags: UnsafeMutablePointer<UInt32>) -> Int {
        guard let stream = streams[id] else { return 0 }
        let left = stream.upload.count - stream.uploadStart
        let count = left == 0 ? 0 : min(left, capacity, uploadBytes(min(left, capacity)))
        if left > 0, count == 0 {
            onUploadWaits?(id)
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        for index in 0..<count { unsafe out[index] = stream.upload[stream.uploadStart + index] }
        streams[id]?.uploadStart += count
        if count == left {
            unsafe flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
            if !stream.uploadTrailers.isEmpty {
                unsafe flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
                unsafe withFields(stream.uploadTrailers) { list, count in _ = unsafe nghttp2_submit_trailer(session, id, list, count) }
            }
        }
        return count
    }

    /// Drops what is known of a stream that has ended.
    func forget(_ stream: Int32) { streams[stream] = nil }

    func resumeUpload(_ stream: Int32) { unsafe nghttp2_session_resume_data(session, stream) }

    /// What it has to send now.
    func output() -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            var data: UnsafePointer<UInt8>?
            let count = unsafe nghttp2_session_mem_send(session, &data)
            if count < 0 { complaints.append("cannot send: \(count)") }
            guard count > 0, let data = unsafe data else { return bytes }
            unsafe bytes += UnsafeBufferPointer(start: data, count: count)
        }
    }

    func receive(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        let count = unsafe nghttp2_session_mem_recv(session, bytes, bytes.count)
        if count != bytes.count { complaints.append("took \(count) of \(bytes.count)") }
    }

    func submitSettings(_ settings: [(nghttp2_settings_id, UInt32)]) {
        let entries = settings.map { nghttp2_settings_entry(settings_id: Int32($0.0.rawValue), value: $0.1) }
        unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count)
    }
    func setWindow(_ bytes: UInt32) { submitSettings([(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, bytes)]) }
    func ping() { unsafe nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil) }
    func reset(_ stream: Int32) { unsafe nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, UInt32(NGHTTP2_CANCEL.rawValue)) }
    /// GOAWAY.
    func terminate() { unsafe nghttp2_session_terminate_session(session, UInt32(NGHTTP2_NO_ERROR.rawValue)) }
}
