// From the bytes of a field name to its `KnownField`: one multiplicative hash, one table byte, one comparison. The tables are
// string literals, so they sit in read-only data and need no initialisation. Called by the parsers on a loop's thread.
//
// After adding a name to KnownField, run `swift test --filter KnownFieldTests`: it prints the tables to paste here.

extension KnownField {
    /// No listed name is longer; each row of `nameTable` has this many bytes.
    @usableFromInline static var nameBytesMax: Int { 32 }

    /// The known field whose name equals `name[..<count]` without regard to case.
    ///
    /// `name` must hold only token characters: the comparison folds bit 5 of every byte, which among token characters merges
    /// nothing but the two cases of a letter for the letters, digits and hyphens that the listed names consist of.
    @inlinable @inline(__always)
    package static func lookup(_ name: UnsafePointer<UInt8>, count: Int) -> KnownField {
        // Caller's memory: `name[..<count]` is readable for this call. The tables are constants.
        guard count >= 2, count <= nameBytesMax else { return .other }
        let candidate = unsafe indexTable[hash(name, count: count)]
        guard candidate != 0 else { return .other }
        let expected = unsafe nameTable + (Int(candidate) &- 1) &* nameBytesMax
        guard unsafe lengthTable[Int(candidate)] == UInt8(truncatingIfNeeded: count),
            unsafe equalFolded(name, expected, count: count)
        else { return .other }
        // Raw values count up from 0 without gaps, and a test compares the table with them.
        return unsafe unsafeBitCast(candidate, to: KnownField.self)
    }

    /// 0…511 for a name of 2…32 bytes.
    @inlinable @inline(__always)
    package static func hash(_ name: UnsafePointer<UInt8>, count: Int) -> Int {
        // Each index is below `count`, which the caller has made readable.
        let first = unsafe UInt32(name[0] | 0x20)
        let last = unsafe UInt32(name[count &- 1] | 0x20)
        let inner = unsafe UInt32(name[count &- 2] | 0x20)
        let length = UInt32(truncatingIfNeeded: count)
        let mixed = first &* 33855 &+ last &* 3169 &+ inner &* 44755 &+ length &* 52680
        return Int((mixed &>> 7) & 511)
    }

    /// Whether both are equal when bit 5 of each byte is ignored; `count` in 2…32. Reads `count` bytes of each.
    @inlinable @inline(__always)
    static func equalFolded(_ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, count: Int) -> Bool {
        // Overlapping words: the last one always ends at `count`, so nothing beyond it is read.
        if count >= 8 {
            var at = 0
            while at < count &- 8 {
                if unsafe differs(a + at, b + at, as: UInt64.self, fold: 0x2020_2020_2020_2020) { return false }
                at &+= 8
            }
            return unsafe !differs(a + (count &- 8), b + (count &- 8), as: UInt64.self, fold: 0x2020_2020_2020_2020)
        }
        if count >= 4 {
            return unsafe !differs(a, b, as: UInt32.self, fold: 0x2020_2020)
                && !differs(a + (count &- 4), b + (count &- 4), as: UInt32.self, fold: 0x2020_2020)
        }
        return unsafe !differs(a, b, as: UInt16.self, fold: 0x2020)
            && !differs(a + (count &- 2), b + (count &- 2), as: UInt16.self, fold: 0x2020)
    }

    @inlinable @inline(__always)
    static func differs<Word: FixedWidthInteger & BitwiseCopyable>(
        _ a: UnsafePointer<UInt8>, _ b: UnsafePointer<UInt8>, as type: Word.Type, fold: Word
    ) -> Bool {
        let left = unsafe UnsafeRawPointer(a).loadUnaligned(as: Word.self)
        let right = unsafe UnsafeRawPointer(b).loadUnaligned(as: Word.self)
        return left | fold != right | fold
    }

    /// Hash to raw value; 0 where no listed name hashes to.
    @inlinable static var indexTable: UnsafePointer<UInt8> {
        // A literal lives as long as the program.
        unsafe indexLiteral.utf8Start
    }

    /// Raw value to the length of the name.
    @inlinable static var lengthTable: UnsafePointer<UInt8> {
        // A literal lives as long as the program.
        unsafe lengthLiteral.utf8Start
    }

    /// The names from raw value 1 on, each padded with spaces to `nameBytesMax`.
    @inlinable static var nameTable: UnsafePointer<UInt8> {
        // A literal lives as long as the program.
        unsafe nameLiteral.utf8Start
    }

    @inlinable package static var indexLiteral: StaticString {
        """
        \u{0}8\u{0}+\u{0}\u{0}\u{0}\u{0}\u{B}\u{0}\u{0}\u{0}\u{0}\u{1}\u{7}\u{0}\u{0}HM\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}-\u{0}\u{0}\u{0}\u{D}\u{0}\u{0}\
        L\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}%\u{0}\u{0}\u{1A}\u{0}\u{5}\u{0}\u{0}[\u{0}\u{0}\u{15}\u{10}\u{0}\u{0}\u{0}\u{0}E\u{0}\u{0}\u{1F}\u{0}\
        \u{18}\u{0}\u{0}\u{0}7\u{0}\u{0}\u{0}\u{0}\u{0}\u{6}A\u{0}\u{0}\u{0}\u{0}\u{1B}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}Z\u{0}\u{0}\u{0}\u{0}\u{0}\
        1\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}Q\u{0}\u{0}\u{0}!\u{0}:\u{0}\u{0}\u{0}\u{16}\u{0}\u{0};\u{0}\u{0}XO\u{0}\u{0}\u{0}\u{0}\
        \u{0}5\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{3}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}.\u{13}\u{0}\u{0}\u{0}'\u{0}\
        \u{0}P\u{0}\u{0}\u{0}\u{0}\u{0}\u{0})\u{0}\u{0}\u{0}\"\u{0}\u{0}/\u{0}Y\u{0}\u{0}\u{0}U3\u{0}\u{0}V\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\
        \u{0}\u{0}C\u{0}\u{0}\u{0}\u{0}\u{4}\u{0}\u{0}\u{0}(\u{0}\u{0}\u{0}\u{0}9F\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}4\u{0}\u{0}\u{0}T\
        \u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{8}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}K\u{0}\u{0}\
        \u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{14}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1C}\u{0}\u{0}\u{0}\u{0}\
        \u{0}\u{0}\u{0}\u{0}I\u{0}\u{0}\u{0}B\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0} \u{0}\u{12}\u{0}\u{0}\u{0}\u{0}\
        \u{0}\u{0}\u{0}J\u{0}\u{C}\u{0}\u{0}\u{17}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{11}\u{0}\u{F}\u{0}\
        \u{0}N\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}G\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}#\u{0}\u{0}\u{0}\u{E}\u{0}\u{0}\u{0}\
        \u{0}\u{0}\u{0}\u{0}\u{0}\u{0}@S\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0},\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1E}\u{0}>02\u{0}\u{0}\
        \u{0}\u{19}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{A}?\u{9}\u{0}6\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}R\
        \u{0}\u{0}&\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}*D\u{0}\u{0}\u{0}\u{0}<\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\
        \u{0}\u{0}\u{0}\u{0}\u{2}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{1D}\u{0}\u{0}$\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}W\u{0}=
        """
    }

    @inlinable package static var lengthLiteral: StaticString {
        """
        \u{0}\u{6}\u{E}\u{F}\u{F}\u{D}\u{20}\u{1C}\u{1C}\u{1B}\u{1D}\u{16}\u{1E}\u{1D}\u{3}\u{5}\u{7}\u{D}\u{D}\u{A}\u{13}\u{10}\u{10}\u{E}\u{10}\u{D}\u{17}\u{C}\u{6}\u{4}\u{3}\u{A}\
        \u{4}\u{6}\u{7}\u{9}\u{4}\u{4}\u{E}\u{8}\u{11}\u{D}\u{8}\u{13}\u{A}\u{D}\u{4}\u{8}\u{C}\u{6}\u{6}\u{8}\u{12}\u{13}\u{10}\u{5}\u{7}\u{F}\u{B}\u{9}\u{10}\u{12}\u{E}\u{E}\
        \u{E}\u{E}\u{14}\u{18}\u{11}\u{16}\u{15}\u{6}\u{A}\u{19}\u{2}\u{B}\u{A}\u{7}\u{11}\u{7}\u{19}\u{A}\u{4}\u{3}\u{10}\u{16}\u{F}\u{10}\u{11}\u{9}\u{C}\u{10}
        """
    }

    @inlinable package static var nameLiteral: StaticString {
        """
        accept                          accept-charset                  accept-encoding                 \
        accept-language                 accept-ranges                   access-control-allow-credentials\
        access-control-allow-headers    access-control-allow-methods    access-control-allow-origin     \
        access-control-expose-headers   access-control-max-age          access-control-request-headers  \
        access-control-request-method   age                             allow                           \
        alt-svc                         authorization                   cache-control                   \
        connection                      content-disposition             content-encoding                \
        content-language                content-length                  content-location                \
        content-range                   content-security-policy         content-type                    \
        cookie                          date                            dnt                             \
        early-data                      etag                            expect                          \
        expires                         forwarded                       from                            \
        host                            http2-settings                  if-match                        \
        if-modified-since               if-none-match                   if-range                        \
        if-unmodified-since             keep-alive                      last-modified                   \
        link                            location                        max-forwards                    \
        origin                          pragma                          priority                        \
        proxy-authenticate              proxy-authorization             proxy-connection                \
        range                           referer                         referrer-policy                 \
        retry-after                     sec-ch-ua                       sec-ch-ua-mobile                \
        sec-ch-ua-platform              sec-fetch-dest                  sec-fetch-mode                  \
        sec-fetch-site                  sec-fetch-user                  sec-websocket-accept            \
        sec-websocket-extensions        sec-websocket-key               sec-websocket-protocol          \
        sec-websocket-version           server                          set-cookie                      \
        strict-transport-security       te                              traceparent                     \
        tracestate                      trailer                         transfer-encoding               \
        upgrade                         upgrade-insecure-requests       user-agent                      \
        vary                            via                             www-authenticate                \
        x-content-type-options          x-forwarded-for                 x-forwarded-host                \
        x-forwarded-proto               x-real-ip                       x-request-id                    \
        x-requested-with                
        """
    }
}
