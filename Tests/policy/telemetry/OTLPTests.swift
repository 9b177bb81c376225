import Foundation
import Testing

@testable import UringPolicy

@Suite("Spans for a collector")
struct OTLPTests {
    private let context = TraceContext(trace: TraceID(high: 0x0102_0304_0506_0708, low: 9)!, span: 0xaabb, flags: 3)!

    private func record(_ batch: inout SpanBatch, _ number: Int) {
        let name = Array("GET /v1/orders/*".utf8)
        let path = Array("/v1/orders/\(number)".utf8)
        let span = SpanRecord(context, parent: number == 0 ? 0 : 7, kind: .server, start: 1_700_000_000_000_000_000, end: 1_700_000_000_000_000_000 + UInt64(number), status: number == 0 ? .unset : .error)
        batch.record(span, name: name.span) {
            $0.add("http.response.status_code", Int64(200 + number))
            $0.add("url.path", path.span)
            $0.add("negative", -1)
            $0.add("uring.retried", number > 0)
        }
    }

    private func request(_ spans: Int) -> [UInt8]? {
        var batch = SpanBatch(capacity: 65_536)
        for number in 0..<spans { record(&batch, number) }
        let resource = written { SpanBatch.encodeResource([("service.name", "edge"), ("host.name", "ü")], to: &$0) }!
        let room = batch.requestBytes(resource.span)
        return written(capacity: room) { _ = batch.takeRequest(resource: resource.span, to: &$0) }
    }

    @Test("are dropped and counted when there is no room, and never cut")
    func bounded() {
        var batch = SpanBatch(capacity: 1000)
        for number in 0..<10 { record(&batch, number) }
        let (count, dropped, bytes, isHalfFull) = (batch.count, batch.dropped, batch.bytes, batch.isHalfFull)
        #expect(count > 2 && count + Int(dropped) == 10 && bytes <= 1000 && isHalfFull)
        let resource: [UInt8] = []
        let less = batch.requestBytes(resource.span) - 1
        var isTaken = true
        #expect(written(capacity: less) { isTaken = batch.takeRequest(resource: resource.span, to: &$0) } == [])
        #expect(!isTaken)
        #expect(written(capacity: less + 1) { isTaken = batch.takeRequest(resource: resource.span, to: &$0) } != nil)
        let isEmpty = batch.isEmpty
        #expect(isTaken && isEmpty)
        #expect(written { isTaken = batch.takeRequest(resource: resource.span, to: &$0) } == [])
        #expect(!isTaken)
    }

    private static let script = """
        import sys
        try:
            from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as R
        except ImportError:
            sys.exit(75)
        r = R.FromString(open(sys.argv[1], 'rb').read())
        assert r.SerializeToString() and len(r.resource_spans) == 1
        rs = r.resource_spans[0]
        assert [(a.key, a.value.string_value) for a in rs.resource.attributes] == [('service.name', 'edge'), ('host.name', '\\u00fc')]
        assert rs.scope_spans[0].scope.name == 'uring-server'
        spans = rs.scope_spans[0].spans
        assert len(spans) == 100
        for n, s in enumerate(spans):
            assert s.trace_id.hex() == '01020304050607080000000000000009' and s.span_id.hex() == '000000000000aabb' and s.flags == 3
            assert s.parent_span_id.hex() == ('' if n == 0 else '0000000000000007')
            assert s.name == 'GET /v1/orders/*' and s.kind == 2 and s.start_time_unix_nano == 1700000000000000000 and s.end_time_unix_nano - s.start_time_unix_nano == n
            assert s.status.code == (0 if n == 0 else 2)
            a = {x.key: x.value for x in s.attributes}
            assert len(a) == 4 and a['http.response.status_code'].int_value == 200 + n and a['url.path'].string_value == '/v1/orders/%d' % n
            assert a['negative'].int_value == -1 and a['uring.retried'].bool_value == (n > 0)
        """

    @Test("are what the protocol's own definitions read (skipped without pip's opentelemetry-proto)")
    func oracle() throws {
        let bytes = try #require(request(100))
        let base = FileManager.default.temporaryDirectory.appendingPathComponent("otlp-\(UInt32.random(in: 0 ... .max))").path
        defer { for ending in ["", ".py", ".out"] { try? FileManager.default.removeItem(atPath: base + ending) } }
        try Data(bytes).write(to: URL(fileURLWithPath: base))
        try Self.script.write(toFile: base + ".py", atomically: true, encoding: .utf8)
        let status = unsafe system("python3 \(base).py \(base) > \(base).out 2>&1") >> 8
        // 75: without the definitions; 127: without Python.
        if status == 75 || status == 127 { return print("skipped: pip install opentelemetry-proto protobuf") }
        let said = try String(contentsOfFile: base + ".out", encoding: .utf8)
        #expect(status == 0, "\(said)")
    }
}
