// A client made of libnghttp2, in memory: the other side of interoperation tests.

import CNGHTTP2

/// One response as the client saw it.
struct ClientResponse: Equatable {
    var fields: [String] = []
    var body: [UInt8] = []
    /// Of RST_STREAM or of the stream's regular end; nil while it is open.
    var closedWith: UInt32?
    /// What is left to send of the request's body.
    var upload: [UInt8] = []
}

@safe final class NGHTTP2Client {
    private var session: OpaquePointer?
    private(set) var responses: [Int32: ClientResponse] = [:]
    /// Frames that the library found wrong, and GOAWAY.
    private(set) var complaints: [String] = []

    /// - Parameter window: the initial window of its streams.
    init(window: UInt32, frameBytesMax: UInt32 = 16_384, tableBytes: UInt32 = 4096) {
        var callbacks: OpaquePointer?
        unsafe nghttp2_session_callbacks_new(&callbacks)
        unsafe nghttp2_session_callbacks_set_on_header_callback(callbacks) { _, frame, name, nameLength, value, valueLength, _, user in
            let client = unsafe Unmanaged<NGHTTP2Client>.fromOpaque(user!).takeUnretainedValue()
            let text = unsafe String(decoding: UnsafeBufferPointer(start: name, count: nameLength), as: UTF8.self) + ": "
                + String(decoding: UnsafeBufferPointer(start: value, count: valueLength), as: UTF8.self)
            unsafe client.responses[frame!.pointee.hd.stream_id, default: ClientResponse()].fields.append(text)
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) { _, _, stream, bytes, count, user in
            let client = unsafe Unmanaged<NGHTTP2Client>.fromOpaque(user!).takeUnretainedValue()
            unsafe client.responses[stream, default: ClientResponse()].body += Array(UnsafeBufferPointer(start: bytes, count: count))
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, code, user in
            let client = unsafe Unmanaged<NGHTTP2Client>.fromOpaque(user!).takeUnretainedValue()
            client.responses[stream, default: ClientResponse()].closedWith = code
            return 0
        }
        unsafe nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks) { _, frame, code, user in
            let client = unsafe Unmanaged<NGHTTP2Client>.fromOpaque(user!).takeUnretainedValue()
            unsafe client.complaints.append("invalid frame \(frame!.pointee.hd.type): \(code)")
            return 0
        }
        unsafe nghttp2_session_client_new(&session, callbacks, Unmanaged.passUnretained(self).toOpaque())
        unsafe nghttp2_session_callbacks_del(callbacks)
        let settings = [
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: window),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_MAX_FRAME_SIZE.rawValue), value: frameBytesMax),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_HEADER_TABLE_SIZE.rawValue), value: tableBytes),
        ]
        unsafe nghttp2_submit_settings(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), settings, settings.count)
    }

    deinit { unsafe nghttp2_session_del(session) }

    /// Submits a request; answers its stream.
    func request(_ method: String, _ path: String, fields: [(String, String)] = [], body: [UInt8]? = nil) -> Int32 {
        let all = [(":method", method), (":scheme", "https"), (":authority", "example.com"), (":path", path)] + fields
        // One text with all names and values, which lives to the end of this function; the library copies it.
        let text = all.flatMap { Array($0.0.utf8) + Array($0.1.utf8) }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: text.count)
        unsafe memory.initialize(from: text, count: text.count)
        defer { unsafe memory.deallocate() }
        var at = 0
        let list = unsafe all.map { field in
            let (name, value) = (field.0.utf8.count, field.1.utf8.count)
            defer { at += name + value }
            return unsafe nghttp2_nv(
                name: memory + at, value: memory + at + name, namelen: name, valuelen: value, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
        }
        guard let body else { return unsafe nghttp2_submit_request(session, nil, list, list.count, nil, nil) }
        var provider = unsafe nghttp2_data_provider()
        unsafe provider.read_callback = { _, stream, out, capacity, flags, _, user in
            let client = unsafe Unmanaged<NGHTTP2Client>.fromOpaque(user!).takeUnretainedValue()
            let upload = client.responses[stream]?.upload ?? []
            let count = min(capacity, upload.count)
            for index in 0..<count { unsafe out![index] = upload[index] }
            client.responses[stream]?.upload.removeFirst(count)
            if count == upload.count { unsafe flags!.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue) }
            return count
        }
        let stream = unsafe nghttp2_submit_request(session, nil, list, list.count, &provider, nil)
        responses[stream, default: ClientResponse()].upload = body
        return stream
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
    func reset(_ stream: Int32) { unsafe nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, 8) }
}
