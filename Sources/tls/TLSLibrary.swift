// TLSLibrary: which OpenSSL this process has loaded, for reports. Any thread.

internal import CUringTLS

package enum TLSLibrary {
    /// `OpenSSL 3.0.19 27 Jan 2026`: of the library that runs, which may be newer than the one that was compiled with.
    package static var version: String {
        // A constant of the library's.
        unsafe String(cString: OpenSSL_version(OPENSSL_VERSION))
    }
}
