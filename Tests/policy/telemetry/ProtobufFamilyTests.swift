// The protobuf exposition: bytes against the wire format's definition, and read back by a decoder of the test's own.

import Foundation
import Testing
import UringBase

@testable import UringPolicy

@Suite struct ProtobufFamilyTests {
    private struct Cut: Error {}

    /// Fields of a message, in their order.
    private struct Message {
        enum Value { case number(UInt64), bytes(ArraySlice<UInt8>) }
        var fields: [(number: UInt64, value: Value)] = []

        init(_ bytes: ArraySlice<UInt8>) throws {
            var rest = bytes
            while !rest.isEmpty {
                let tag = try Self.varint(&rest)
                switch tag & 7 {
                case 0: fields.append((tag >> 3, .number(try Self.varint(&rest))))
                case 1:
                    try #require(rest.count >= 8)
                    fields.append((tag >> 3, .number(rest.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) })))
                    rest = rest.dropFirst(8)
                case 2:
                    let count = Int(try Self.varint(&rest))
                    try #require(rest.count >= count)
                    fields.append((tag >> 3, .bytes(rest.prefix(count))))
                    rest = rest.dropFirst(count)
                default: Issue.record("a type that nobody writes: \(tag & 7)")
                }
            }
        }

        static func varint(_ rest: inout ArraySlice<UInt8>) throws -> UInt64 {
            var (value, shift): (UInt64, UInt64) = (0, 0)
            while true {
                guard let byte = rest.popFirst() else { throw Cut() }
                value |= UInt64(byte & 0x7f) << shift
                shift += 7
                if byte & 0x80 == 0 { return value }
            }
        }

        func numbers(_ number: UInt64) -> [UInt64] { fields.compactMap { if $0.number == number, case .number(let value) = $0.value { value } else { nil } } }
        func doubles(_ number: UInt64) -> [Double] { numbers(number).map { Double(bitPattern: $0) } }
        func signed(_ number: UInt64) -> [Int64] { numbers(number).map { Int64(bitPattern: $0 >> 1) ^ -Int64($0 & 1) } }
        func texts(_ number: UInt64) -> [String] { bytes(number).map { String(decoding: $0, as: UTF8.self) } }
        func bytes(_ number: UInt64) -> [ArraySlice<UInt8>] { fields.compactMap { if $0.number == number, case .bytes(let value) = $0.value { value } else { nil } } }
        func messages(_ number: UInt64) throws -> [Message] { try bytes(number).map { try Message($0) } }
    }

    private func page(_ write: (inout MetricsWriter, inout ByteSink) -> Void) throws -> [Message] {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 16_384)
        defer { unsafe memory.deallocate() }
        var sink = unsafe ByteSink(memory, capacity: 16_384)
        var writer = MetricsWriter(.protobuf)
        write(&writer, &sink)
        writer.finish(to: &sink)
        if sink.isTruncated { throw Cut() }
        var rest = sink.withBytes { bytes in (0..<bytes.count).map { bytes[$0] } }[...]
        var families: [Message] = []
        while !rest.isEmpty {
            let count = Int(try Message.varint(&rest))
            families.append(try Message(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
        return families
    }

    @Test func aFamilyByteByByte() {
        var family = ProtobufFamily("a_total", help: "b", .counter)
        family.sample([.init("c", "d")], .counter, 1)
        #expect(family.delimited == [35, 10, 7, 97, 95, 116, 111, 116, 97, 108, 18, 1, 98, 24, 0, 34, 19, 10, 6, 10, 1, 99, 18, 1, 100, 26, 9, 9, 0, 0, 0, 0, 0, 0, 240, 63])
    }

    @Test func varintsAndZigzag() {
        func bytes(_ value: UInt64) -> [UInt8] {
            var made = ProtobufBytes()
            made.varint(value)
            return made.bytes
        }
        #expect(bytes(0) == [0] && bytes(127) == [127] && bytes(128) == [0x80, 1] && bytes(300) == [0xac, 2])
        #expect(bytes(.max) == [UInt8](repeating: 0xff, count: 9) + [1])
        #expect([0, -1, 1, -2, 2147483647, .min].map { ProtobufBytes.zigzag($0) } == [0, 1, 2, 3, 4294967294, .max])
    }

    @Test func countersAndGauges() throws {
        let families = try page { writer, sink in
            writer.begin("uringd_requests", .counter, help: "Requests\nand \"more\".", to: &sink)
            writer.sample([.init("route", "a\"b"), .init("code", "2xx")], 300 as UInt64, to: &sink)
            writer.sample([.init("route", "ü")], 0 as UInt64, to: &sink)
            writer.begin("uringd_up_seconds", .gauge, unit: "seconds", help: "Up.", to: &sink)
            writer.sample(nanoseconds: 1_500_000_000, to: &sink)
            writer.sample(signed: -5, to: &sink)
        }
        #expect(families.count == 2)
        #expect(families[0].texts(1) == ["uringd_requests_total"] && families[0].texts(2) == ["Requests\nand \"more\"."] && families[0].numbers(3) == [0])
        let metrics = try families[0].messages(4)
        #expect(metrics.count == 2)
        #expect(try metrics[0].messages(1).map { $0.texts(1) + $0.texts(2) } == [["route", "a\"b"], ["code", "2xx"]])
        #expect(try metrics[0].messages(3).first?.doubles(1) == [300] && metrics[1].messages(3).first?.doubles(1) == [0])
        #expect(families[1].texts(1) == ["uringd_up_seconds"] && families[1].numbers(3) == [1])
        #expect(try families[1].messages(4).flatMap { try $0.messages(2).flatMap { $0.doubles(1) } } == [1.5, -5])
    }

    @Test func histogramsAreClassicAndNative() throws {
        let native = NativeBuckets(schema: 2, counts: [(-8, 3), (-7, 1), (-3, 5), (4, 2)])
        let families = try page { writer, sink in
            writer.begin("uringd_wait_seconds", .histogram, unit: "seconds", help: "Waits.", to: &sink)
            writer.histogram([.init("loop", "0")], counts: [4, 5, 2], bounds: [1_000_000, 1_000_000_000], sum: 2_500_000_000, isTime: true, native: native, to: &sink)
            writer.histogram([.init("loop", "1")], counts: [0, 0, 0], bounds: [1_000_000, 1_000_000_000], sum: 0, isTime: true, native: NativeBuckets(schema: 2, counts: []), to: &sink)
            writer.begin("uringd_depth", .histogram, help: "Depths.", to: &sink)
            writer.histogram([], counts: [1, 2], bounds: [8], sum: 77, isTime: false, to: &sink)
        }
        #expect(families[0].numbers(3) == [4])
        let both = try families[0].messages(4).map { try #require(try $0.messages(7).first) }
        #expect(both[0].numbers(1) == [11] && both[0].doubles(2) == [2.5])
        #expect(try both[0].messages(3).map { $0.numbers(1) } == [[4], [9], [11]])
        #expect(try both[0].messages(3).flatMap { $0.doubles(2) } == [0.001, 1, .infinity])
        #expect(both[0].signed(5) == [2] && both[0].doubles(6) == [0x1p-128] && both[0].numbers(7) == [0])
        // -8 and -7; three left out, then -3; six left out, then 4.
        #expect(try both[0].messages(12).map { $0.signed(1) + $0.numbers(2).map { Int64($0) } } == [[-8, 2], [3, 1], [6, 1]])
        var (packed, deltas) = (try #require(both[0].bytes(13).first), [Int64]())
        while !packed.isEmpty {
            let value = try Message.varint(&packed)
            deltas.append(Int64(bitPattern: value >> 1) ^ -Int64(value & 1))
        }
        #expect(deltas == [3, -2, 4, -3])
        // Without values it is known as a native one by its zero bucket.
        #expect(both[1].numbers(1) == [0] && both[1].doubles(6) == [0x1p-128] && both[1].bytes(12).isEmpty)
        let plain = try #require(try families[1].messages(4).first?.messages(7).first)
        #expect(plain.numbers(1) == [3] && plain.doubles(2) == [77] && plain.numbers(5).isEmpty && plain.numbers(6).isEmpty)
    }

    @Test func theTypeIsTheOneThatPrometheusAsksFor() {
        #expect("\(MetricsWriter(.protobuf).contentType)" == "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
    }
}
