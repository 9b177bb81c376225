// GatewayVersion: what the program calls itself, and of what it is made.

internal import UringServer
internal import UringTLS

package enum GatewayVersion {
    /// The project has made no release yet.
    package static let current = "0.1.0-dev"

    /// How it was built.
    static var mode: String {
        #if DEBUG
            "debug"
        #else
            "release"
        #endif
    }

    /// The compiler tells its version to conditions alone.
    static var swift: String {
        #if compiler(>=6.5)
            "6.5 or newer"
        #elseif compiler(>=6.4)
            "6.4"
        #elseif compiler(>=6.3)
            "6.3"
        #else
            "6.2 or older"
        #endif
    }

    /// Libraries, as they are loaded.
    static var openSSL: String { TLSLibrary.version }
    static var liburing: String { RingLibrary.version ?? "of unknown version" }

    /// What `uringd --version` prints.
    package static var text: String { "uringd \(current)\nSwift \(swift), \(mode) build\n\(openSSL)\nliburing \(liburing)" }
}
