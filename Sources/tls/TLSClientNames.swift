// The names in a client's verified certificate, as rules are written about them. Loop's thread; called when somebody wants to know, so it may allocate.
//
// A certificate's texts are lengths and bytes: an authority may have signed what a C program would read up to a NUL, or a reader up to the end of a line. Names that are not what
// their kind can be (RFC 5280 section 4.2.1.6) are no names, and a certificate with such is trusted with none.

internal import CUringTLS
internal import Glibc

package enum TLSClientNames: Sendable, Equatable {
    /// There is no verified certificate.
    case none
    /// A name is not what it says that it is, or there are too many.
    case malformed
    /// `CN=…`, `DNS:…`, `URI:…` and `EMAIL:…` in the certificate's order, the common name first, a NUL behind each. Without control characters; hosts in lower case. The common name, the only one that need not be ASCII, is UTF-8.
    case texts([UInt8])

    /// A certificate with more names, or more bytes of them, is no client's.
    package static let countMax = 256
    package static let bytesMax = 16 * 1024
}

extension TLSSession {
    package var clientNames: TLSClientNames {
        guard let certificate = unsafe clientCertificate else { return .none }
        // The session's certificate, which stays during the call.
        return unsafe ClientNameReader.read(certificate)
    }
}

private enum ClientNameReader {
    static func read(_ certificate: OpaquePointer) -> TLSClientNames {
        var texts: [UInt8] = []
        guard unsafe addCommonName(certificate, &texts), unsafe addAlternativeNames(certificate, &texts), texts.count <= TLSClientNames.bytesMax else { return .malformed }
        return .texts(texts)
    }

    /// With several common names it is not said which is the client's: then none is.
    private static func addCommonName(_ certificate: OpaquePointer, _ texts: inout [UInt8]) -> Bool {
        // All of the certificate's, but for `utf8`, which is ours and freed here.
        guard let subject = unsafe X509_get_subject_name(certificate) else { return true }
        let at = unsafe X509_NAME_get_index_by_NID(subject, NID_commonName, -1)
        guard at >= 0, unsafe X509_NAME_get_index_by_NID(subject, NID_commonName, at) < 0, let data = unsafe X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)) else { return true }
        var utf8: UnsafeMutablePointer<UInt8>?
        let count = unsafe ASN1_STRING_to_UTF8(&utf8, data)
        guard count > 0, let utf8 = unsafe utf8 else { return false }
        defer { unsafe urtls_openssl_free(utf8) }
        let name = unsafe Array(UnsafeBufferPointer(start: utf8, count: Int(count)))
        guard ClientNameText.isCommonName(name) else { return false }
        texts += "CN=".utf8
        texts += name + [0]
        return true
    }

    private static func addAlternativeNames(_ certificate: OpaquePointer, _ texts: inout [UInt8]) -> Bool {
        var found: CInt = 0
        guard let raw = unsafe X509_get_ext_d2i(certificate, NID_subject_alt_name, &found, nil) else { return found == -1 }
        // Ours, freed here.
        let names = OpaquePointer(raw)
        defer { unsafe GENERAL_NAMES_free(names) }
        let count = unsafe urtls_names_count(names)
        guard count <= TLSClientNames.countMax else { return false }
        for index in 0..<max(count, 0) {
            guard let text = unsafe urtls_name_text(names, index) else { continue }
            let length = unsafe ASN1_STRING_length(text)
            guard length > 0, let data = unsafe ASN1_STRING_get0_data(text) else { return false }
            let bytes = unsafe Array(UnsafeBufferPointer(start: data, count: Int(length)))
            let name: [UInt8]?
            switch unsafe urtls_name_type(names, index) {
            case GEN_DNS: name = ClientNameText.host(bytes).map { Array("DNS:".utf8) + $0 }
            case GEN_URI: name = ClientNameText.uri(bytes).map { Array("URI:".utf8) + $0 }
            default: name = ClientNameText.email(bytes).map { Array("EMAIL:".utf8) + $0 }
            }
            guard let name else { return false }
            texts += name + [0]
        }
        return true
    }
}

/// What the kinds of names can be; each as it is compared, or nil.
package enum ClientNameText {
    package static func isCommonName(_ bytes: [UInt8]) -> Bool {
        guard let first = bytes.first, let last = bytes.last, first != 0x20, last != 0x20 else { return false }
        return String(validating: bytes, as: UTF8.self) != nil && !bytes.contains { $0 < 0x20 || $0 == 0x7f }
    }

    /// Letters, digits, `-` and `_` between dots, in lower case; the first label may be a star.
    package static func host(_ bytes: [UInt8]) -> [UInt8]? {
        guard bytes.count <= 253 else { return nil }
        for (index, label) in bytes.split(separator: 0x2e, omittingEmptySubsequences: false).enumerated() {
            if index == 0, label.elementsEqual([0x2a]) { continue }
            guard !label.isEmpty, label.count <= 63, label.allSatisfy(isHostByte) else { return nil }
        }
        return bytes.map(lowered)
    }

    /// Visible ASCII with a scheme. Compared byte by byte, so a path with `.` and `..` is none: what it means is not what it begins with.
    package static func uri(_ bytes: [UInt8]) -> [UInt8]? {
        guard let colon = bytes.firstIndex(of: 0x3a), colon > 0, isLetter(bytes[0]), bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else { return nil }
        let path = bytes.prefix { $0 != 0x3f && $0 != 0x23 }
        let hasDots = path.split(separator: 0x2f).contains { $0.elementsEqual([0x2e]) || $0.elementsEqual([0x2e, 0x2e]) }
        return hasDots ? nil : bytes
    }

    /// Visible ASCII around one `@`, the host in lower case.
    package static func email(_ bytes: [UInt8]) -> [UInt8]? {
        guard let at = bytes.firstIndex(of: 0x40), at > 0, bytes[..<at].allSatisfy({ $0 > 0x20 && $0 < 0x7f }), let host = host(Array(bytes[(at + 1)...])), host.first != 0x2a
        else { return nil }
        return bytes[...at] + host
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (byte | 0x20) >= 0x61 && (byte | 0x20) <= 0x7a }
    private static func isHostByte(_ byte: UInt8) -> Bool { isLetter(byte) || byte >= 0x30 && byte <= 0x39 || byte == 0x2d || byte == 0x5f }
    private static func lowered(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }
}
