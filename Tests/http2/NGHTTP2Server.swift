// A server made of libnghttp2, in memory: the other side of the client's interoperation tests.

import CNGHTTP2

/// One request as the server saw it.
struct ServedRequest: Equatable {
    var fields: [String] = []
    var body: [UInt8] = []
    var trailers: [String] = []
    var ended = false
    /// Of RST_STREAM or of the stream's regular end; nil while it is open.
    var closedWith: UInt32?
}

/// What to answer.
struct ServedAnswer {
    var interim: UInt16?
    var status = "200"
    var fields: [(String, String)] = []
    var body: [UInt8] = []
    var trailers: [(String, String)] = []
}

@safe final class NGHTTP2Server {
    private var session: OpaquePointer?
    private(set) var requests: [Int32: ServedRequest] = [:]
    /// What is left to send.
    private var rest: [Int32: ServedAnswer] = [:]
    /// Frames that the library found wrong.
    private(set) var complaints: [String] = []
    /// Asked at the end of each request.
    var answer: (Int32, ServedRequest) -> ServedAnswer? = { _, _ in ServedAnswer() }

    init(window: UInt32 = 65_535, streamsMax: UInt32 = 100, frameBytesMax: UInt32 = 16_384, tableBytes: UInt32 = 4096, connectProtocol: Bool = false) {
        var callbacks: OpaquePointer?
        unsafe nghttp2_session_callbacks_new(&callbacks)
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, frame, name, nameLength, value, valueLength, _, user in
            let server = unsafe Unmanaged<NGHTTP2Server>.fromOpaque(user!).takeUnretainedValue()
            let text = unsafe String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self) + ": "
                + String(decoding: UnsafeBufferPointer(start: value, count: valueLength), as: UTF8.self)
            let isRequest = unsafe frame!.pointee.headers.cat == NGHTTP2_HCAT_REQUEST
            let stream = unsafe frame!.pointee.hd.stream_id
            if isRequest {
                server.requests[stream, default: ServedRequest()].fields.append(text)
            } else {
                server.requests[stream, default: ServedRequest()].trailers.append(text)
            }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, count, user in
            let server = unsafe Unmanaged<NGHTTP2Server>.fromOpaque(user!).takeUnretainedValue()
            unsafe server.requests[stream, default: ServedRequest()].body += Array(UnsafeBufferPointer(start: bytes, count: count))
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
            let server = unsafe Unmanaged<NGHTTP2Server>.fromOpaque(user!).takeUnretainedValue()
            let header = unsafe frame!.pointee.hd
            if header.type <= 1, header.flags & 1 == 1 { server.requestEnded(header.stream_id) }
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, user in
            let server = unsafe Unmanaged<NGHTTP2Server>.fromOpaque(user!).takeUnretainedValue()
            server.requests[stream, default: ServedRequest()].closedWith = code
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, frame, code, user in
            let server = unsafe Unmanaged<NGHTTP2Server>.fromOpaque(user!).takeUnretainedValue()
            unsafe server.complaints.append("invalid frame \(frame!.pointee.hd.type): \(code)")
            return 0
        }
        unsafe nghttp2_session_server_new(&session, callbacks, Unmanaged.passUnretained(self).toOpaque())
        unsafe nghttp2_session_callbacks_del(callbacks)
        var settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: window),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: streamsMax),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_FRAME_SIZE.rawValue), value: frameBytesMax),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE.rawValue), value: tableBytes),
        ]
        if connectProtocol {
            settings.append(nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL.rawValue), value: 1))
        }
        unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    }

    deinit { unsafe nghttp2_session_del(session) }

    private func requestEnded(_ stream: Int32) {
        requests[stream]?.ended = true
        guard let request = requests[stream], let answer = answer(stream, request) else { return }
        respond(stream, answer)
    }

    func respond(_ stream: Int32, _ answer: ServedAnswer) {
        if let interim = answer.interim { submit(stream, [(":status", "\(interim)")], end: false, isInterim: true) }
        rest[stream] = answer
        submit(stream, [(":status", answer.status)] + answer.fields, end: answer.body.isEmpty && answer.trailers.isEmpty, isInterim: false)
    }

    private func submit(_ stream: Int32, _ fields: [(String, String)], end: Bool, isInterim: Bool) {
        unsafe Self.withList(fields) { list in
            if isInterim {
                unsafe nghttp2_submit_headers(session, 0, stream, nil, list, fields.count, nil)
                return
            }
            if end {
                unsafe nghttp2_submit_response(session, stream, list, fields.count, nil)
                return
            }
            var provider = unsafe nghttp2_data_provider()
            unsafe provider.read_callback = { session, stream, out, capacity, flags, _, user in
                let server = unsafe Unmanaged<NGHTTP2Server>.fromOpaque(user!).takeUnretainedValue()
                let body = server.rest[stream]?.body ?? []
                let count = min(capacity, body.count)
                for index in 0..<count { unsafe out![index] = body[index] }
                server.rest[stream]?.body.removeFirst(count)
                guard count == body.count else { return count }
                unsafe flags!.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
                if let trailers = server.rest[stream]?.trailers, !trailers.isEmpty {
                    unsafe flags!.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
                    unsafe NGHTTP2Server.withList(trailers) { list in unsafe _ = nghttp2_submit_trailer(session, stream, list, trailers.count) }
                }
                return count
            }
            unsafe nghttp2_submit_response(session, stream, list, fields.count, &provider)
        }
    }

    /// Fields as the library takes them, which copies them.
    private static func withList(_ fields: [(String, String)], _ body: ([nghttp2_nv]) -> Void) {
        let text = fields.flatMap { Array($0.0.utf8) + Array($0.1.utf8) }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count + 1)
        unsafe memory.initialize(from: text, count: text.count)
        defer { unsafe memory.deallocate() }
        var at = 0
        let list = unsafe fields.map { field in
            let (name, value) = (field.0.utf8.count, field.1.utf8.count)
            defer { at += name + value }
            return unsafe nghttp2_nv(
                name: memory + at, value: memory + at + name, namelen: name, valuelen: value, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        }
        unsafe body(list)
    }

    /// What it has to send now.
    func output() -> [UInt8] {
        var bytes: [UInt8] = []
        while true {
            var data: UnsafePointer<UInt8>?
            let count = unsafe nghttp2_session_mem_send(session, &data)
            guard count > 0, let data = unsafe data else { return bytes }
            unsafe bytes += Array(UnsafeBufferPointer(start: data, count: count))
        }
    }

    func receive(_ bytes: [UInt8]) {
        let count = unsafe nghttp2_session_mem_recv(session, bytes, bytes.count)
        if count != bytes.count { complaints.append("took \(count) of \(bytes.count)") }
    }

    func ping() { unsafe nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil) }
    func reset(_ stream: Int32, _ code: UInt32) { unsafe nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, code) }
    /// GOAWAY in two steps, as servers drain.
    func shutdownNotice() { unsafe nghttp2_submit_shutdown_notice(session) }
    func goAway(_ last: Int32, _ code: UInt32 = 0) { unsafe nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, code, nil, 0) }
    func settings(_ id: nghttp2_settings_id, _ value: UInt32) {
        let entry = [nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: value)]
        unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), entry, 1)
    }
    var lastProcessed: Int32 { unsafe nghttp2_session_get_last_proc_stream_id(session) }
}
