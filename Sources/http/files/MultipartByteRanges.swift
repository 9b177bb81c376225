// The framing of a multipart/byteranges body (RFC 9110 section 14.6, RFC 2046 section 5.1).
//
// Owns nothing. The server sends, for each part, its header from the caller's storage and then the file's bytes; last the trailer.

/// Several ranges of one file as one body of a length known beforehand.
package struct MultipartByteRanges: Sendable {
    package let ranges: ByteRangeSet
    /// Size of the whole file, bytes.
    package let size: UInt64
    /// The Content-Type that each part repeats.
    package let mediaType: MediaType
    /// Sixteen hexadecimal digits. The server draws it per answer from its random source, so that nobody can put it into a file.
    package let boundary: UInt64

    package init(ranges: ByteRangeSet, size: UInt64, mediaType: MediaType, boundary: UInt64) {
        self.ranges = ranges
        self.size = size
        self.mediaType = mediaType
        self.boundary = boundary
    }

    static let boundaryCount = 16
    private static let contentTypeStart: StaticString = "multipart/byteranges; boundary="

    /// Bytes of `renderContentType`.
    package static let contentTypeCount = 31 + boundaryCount

    /// Bytes of a part's header at most, with the longest media type of ours (73) and three numbers of 20 digits.
    package static let partHeaderBytesMax = 256

    /// Bytes of `renderTrailer`.
    package static let trailerCount = 8 + boundaryCount

    /// Appends the answer's Content-Type. False when it does not fit, with `out` as it was.
    package func renderContentType(into out: inout OutputSpan<UInt8>) -> Bool {
        guard out.freeCapacity >= MultipartByteRanges.contentTypeCount else { return false }
        out.appendText(MultipartByteRanges.contentTypeStart)
        out.appendHexadecimal(boundary, digits: MultipartByteRanges.boundaryCount)
        return true
    }

    /// Bytes of part `index`'s header; the first has no line break before its boundary.
    package func partHeaderCount(_ index: Int) -> Int {
        let boundaryLine = (index == 0 ? 2 : 4) &+ MultipartByteRanges.boundaryCount
        let contentType = 16 &+ mediaType.name.utf8CodeUnitCount
        let contentRange = 17 &+ partRange(index).renderedCount
        return boundaryLine &+ contentType &+ contentRange &+ 4
    }

    /// Appends part `index`'s header, blank line included. False when it does not fit, with `out` as it was.
    package func renderPartHeader(_ index: Int, into out: inout OutputSpan<UInt8>) -> Bool {
        guard out.freeCapacity >= partHeaderCount(index) else { return false }
        out.appendText(index == 0 ? "--" : "\r\n--")
        out.appendHexadecimal(boundary, digits: MultipartByteRanges.boundaryCount)
        out.appendText("\r\nContent-Type: ")
        out.appendText(mediaType.name)
        out.appendText("\r\nContent-Range: ")
        partRange(index).appendChecked(to: &out)
        out.appendText("\r\n\r\n")
        return true
    }

    /// Appends what follows the last part. False when it does not fit, with `out` as it was.
    package func renderTrailer(into out: inout OutputSpan<UInt8>) -> Bool {
        guard out.freeCapacity >= MultipartByteRanges.trailerCount else { return false }
        out.appendText("\r\n--")
        out.appendHexadecimal(boundary, digits: MultipartByteRanges.boundaryCount)
        out.appendText("--\r\n")
        return true
    }

    /// The exact Content-Length; nil when it exceeds `UInt64`, which no file that fstat can describe does.
    package var contentLength: UInt64? {
        var total = UInt64(MultipartByteRanges.trailerCount)
        for index in 0..<ranges.count {
            let (withHeader, headerOverflow) = total.addingReportingOverflow(UInt64(partHeaderCount(index)))
            let (withBody, bodyOverflow) = withHeader.addingReportingOverflow(ranges[index].count)
            if headerOverflow || bodyOverflow { return nil }
            total = withBody
        }
        return total
    }

    private func partRange(_ index: Int) -> ContentRange {
        .satisfied(ranges[index], size: size)
    }
}
