// nghttp2 as the oracle, in both directions over one connection's context.

import Testing
@testable import UringHPACK

@Suite struct HPACKDifferentialTests {
    @Test(arguments: 1...15 as ClosedRange<UInt64>) func itUnderstandsOurEncoder(_ seed: UInt64) {
        var random = SeededRandom(seed)
        let (inflater, encoder) = (Inflater(), TestEncoder())
        for _ in 0..<60 {
            if Int.random(in: 0..<20, using: &random) == 0 {
                // It allows up to 4096 as long as we say nothing else.
                encoder.setPeerTableBytesMax(Int.random(in: 0...4096, using: &random))
            }
            let fields = randomFields(&random)
            let expected = [Field(":status", "203"), Field("content-length", "123456")] + fields
            #expect(inflater.decode(encoder.encode(status: 203, contentLength: 123_456, fields)) == expected)
        }
    }

    @Test(arguments: 1...15 as ClosedRange<UInt64>) func weUnderstandItsEncoder(_ seed: UInt64) {
        var random = SeededRandom(seed &+ 1000)
        let (deflater, decoder) = (Deflater(), TestDecoder(textCapacity: 1 << 18))
        for _ in 0..<60 {
            if Int.random(in: 0..<20, using: &random) == 0 {
                let size = Int.random(in: 0...4096, using: &random)
                deflater.setTableBytesMax(size)
                decoder.setTableBytesMax(size)
            }
            let fields = [Field(":method", "GET"), Field(":path", "/\(Int.random(in: 0..<5, using: &random))")] + randomFields(&random)
            #expect(decoder.decode(deflater.encode(fields)) == .fields(fields))
        }
    }

    /// A sink without room for most fields keeps the table right all the same.
    @Test(arguments: 1...15 as ClosedRange<UInt64>) func tooLargeListsKeepTheTable(_ seed: UInt64) {
        var random = SeededRandom(seed &+ 3000)
        let (deflater, decoder) = (Deflater(), TestDecoder(listBytesMax: 200, textCapacity: 128, slotCapacity: 3))
        var complete = 0
        for _ in 0..<80 {
            let fields = randomFields(&random)
            switch decoder.decode(deflater.encode(fields)) {
            case .fields(let decoded, _):
                #expect(decoded == fields)
                complete += 1
            case .tooLarge: break
            case .malformed(let fault): Issue.record("\(fault)")
            }
        }
        #expect(complete > 0)
    }

    /// Blocks that somebody has damaged: both refuse, or both read the same. Allowed to differ: integers of more than 32 bits or with more than
    /// five octets behind the prefix, and a third size update, which we refuse.
    @Test(arguments: 1...15 as ClosedRange<UInt64>) func damagedBlocks(_ seed: UInt64) {
        var random = SeededRandom(seed &+ 2000)
        for _ in 0..<80 {
            let fields = [Field(":method", "GET")] + randomFields(&random).filter { $0.value.count < 400 }
            var block = Bool.random(using: &random) ? Deflater().encode(fields) : TestEncoder().encode(status: 201, Array(fields.dropFirst()))
            for _ in 0..<Int.random(in: 1...3, using: &random) { block[Int.random(in: 0..<block.count, using: &random)] = UInt8.random(in: 0...255, using: &random) }
            let theirs = Inflater().decode(block)
            switch TestDecoder().decode(block) {
            case .malformed(let fault):
                if theirs != nil, fault != .integerTooLarge, fault != .sizeUpdateMisplaced { Issue.record("refused (\(fault)): \(block)") }
            case .tooLarge: break
            case .fields(let decoded, _): #expect(theirs == decoded, "\(block)")
            }
        }
    }
}
