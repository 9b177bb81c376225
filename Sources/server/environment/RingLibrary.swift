// RingLibrary: which liburing this process has loaded, for reports. Any thread.

internal import CUring

package enum RingLibrary {
    /// `2.3`; nil when it cannot be told: liburing before 2.5 says so by the name of its file alone.
    package static var version: String? {
        var text = [CChar](repeating: 0, count: 64)
        // The array lives through the call, which writes at most so many bytes with the zero.
        guard unsafe ur_library_version(&text, text.count) else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
