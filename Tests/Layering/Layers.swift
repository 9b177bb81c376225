// The layer table: what each target may import. The written form of "nothing in a lower layer knows that a higher one exists".
// A change here is a change of the architecture: docs/ARCHITECTURE.md says why each line is as it is.

/// One target under Sources/.
struct Layer {
    let module: String
    /// The directory under Sources/.
    let directory: String
    /// A target imports only targets of lower levels, and `exceptions`.
    let level: Int
    /// The package's own Swift modules.
    let imports: Set<String>
    /// C shims and modules of other packages.
    let foreign: Set<String>
    /// Modules of the toolchain. Protocol code has none: it is bytes in, actions and bytes out, without sockets or clocks.
    let system: Set<String>

    var allowed: Set<String> { imports.union(foreign).union(system) }
}

enum Layers {
    private static let platform: Set<String> = ["Glibc", "Synchronization"]

    static let all = [
        Layer(module: "UringBase", directory: "base", level: 1, imports: [], foreign: ["CUringBase"], system: platform),
        Layer(module: "UringRing", directory: "ring", level: 2, imports: ["UringBase"], foreign: ["CUringBase", "CUring"], system: platform),
        Layer(
            module: "UringSimulation", directory: "simulation", level: 2, imports: ["UringBase", "UringRing"],
            foreign: ["CUringBase", "CUring"], system: platform),
        Layer(
            module: "UringTLS", directory: "tls", level: 2, imports: ["UringBase"], foreign: ["CUringBase", "CUringTLS"], system: platform),
        // Asks the kernel to count; knows no connection of ours.
        Layer(module: "UringTCPTrace", directory: "tcptrace", level: 2, imports: ["UringBase"], foreign: ["CUringBPF"], system: platform),
        Layer(module: "UringHTTP", directory: "http", level: 2, imports: ["UringBase"], foreign: ["CUringBase"], system: []),
        Layer(
            module: "UringHTTP1", directory: "http1", level: 3, imports: ["UringBase", "UringHTTP"], foreign: ["CUringBase"], system: []),
        Layer(
            module: "UringHPACK", directory: "hpack", level: 3, imports: ["UringBase", "UringHTTP"], foreign: ["CUringBase"], system: []),
        Layer(
            module: "UringHTTP2", directory: "http2", level: 3, imports: ["UringBase", "UringHTTP", "UringHPACK"], foreign: ["CUringBase"],
            system: []),
        // libcrypto for SHA-1, zlib for permessage-deflate: computation, no I/O.
        Layer(
            module: "UringWebSocket", directory: "websocket", level: 3, imports: ["UringBase", "UringHTTP"],
            foreign: ["CUringBase", "CUringTLS", "CUringZ"], system: []),
        // What decides about requests and servers: time and events in, decisions out.
        Layer(module: "UringPolicy", directory: "policy", level: 3, imports: ["UringBase"], foreign: [], system: ["Synchronization"]),
        // OpenSSL computes; nothing here does I/O or asks for the time.
        Layer(module: "UringJWT", directory: "jwt", level: 3, imports: [], foreign: ["CUringJWT"], system: []),
        Layer(
            module: "UringCompression", directory: "compression", level: 3, imports: ["UringHTTP"], foreign: ["CUringCompression"],
            // malloc alone, which brotli's blocks come from.
            system: ["Glibc"]),
        Layer(
            module: "UringServerJWT", directory: "serverjwt", level: 5, imports: ["UringHTTP", "UringServer", "UringJWT"], foreign: [], system: []),
        Layer(
            module: "UringServerCompression", directory: "servercompression", level: 5,
            imports: ["UringHTTP", "UringServer", "UringCompression"], foreign: [], system: []),
        Layer(
            module: "UringServer", directory: "server", level: 4,
            imports: ["UringBase", "UringRing", "UringTLS", "UringHTTP", "UringHTTP1", "UringHTTP2", "UringWebSocket"],
            foreign: ["CUringBase", "CUring"], system: platform),
        Layer(
            module: "UringTesting", directory: "testing", level: 5, imports: ["UringRing", "UringSimulation", "UringHTTP", "UringServer"], foreign: [],
            system: platform),
        Layer(
            module: "UringGateway", directory: "gateway", level: 6,
            // UringHTTP1 reads what the administration answers, for commands.
            imports: ["UringBase", "UringTLS", "UringHTTP", "UringHTTP1", "UringPolicy", "UringTCPTrace", "UringServer", "UringServerCompression", "UringServerJWT", "UringJWT"],
            foreign: ["CUringBase", "CUringYAML", "Logging"], system: platform),
        Layer(module: "UringLog", directory: "adapters/log", level: 5, imports: ["UringServer"], foreign: ["Logging"], system: platform),
        Layer(module: "UringMetrics", directory: "adapters/metrics", level: 5, imports: ["UringServer"], foreign: ["CoreMetrics"], system: platform),
        Layer(module: "UringTracing", directory: "adapters/tracing", level: 5, imports: ["UringServer"], foreign: ["Tracing"], system: platform),
        Layer(module: "UringLifecycle", directory: "adapters/lifecycle", level: 5, imports: ["UringServer"], foreign: ["ServiceLifecycle"], system: platform),
        Layer(module: "UringHTTPTypes", directory: "adapters/httptypes", level: 5, imports: ["UringServer"], foreign: ["HTTPTypes"], system: platform),
        Layer(
            module: "UringHummingbird", directory: "adapters/hummingbird", level: 6, imports: ["UringServer", "UringHTTPTypes", "UringLifecycle", "UringLog"],
            foreign: ["Hummingbird", "HummingbirdCore", "HTTPTypes", "Logging", "NIOCore", "NIOConcurrencyHelpers", "NIOPosix", "ServiceLifecycle", "UnixSignals"],
            system: platform),
        Layer(
            module: "uringd", directory: "uringd", level: 7, imports: ["UringBase", "UringHTTP", "UringTCPTrace", "UringServer", "UringGateway"],
            foreign: ["ArgumentParser", "Logging"], system: platform),
    ]

    /// Imports within one level: the simulated kernel stands behind the ring's seam, HTTP/2 on field compression.
    static let exceptions: [String: Set<String>] = ["UringSimulation": ["UringRing"], "UringHTTP2": ["UringHPACK"]]

    /// Modules that need no declaration in Package.swift.
    static let toolchain: Set<String> = ["Glibc", "Musl", "Synchronization", "Foundation", "Testing", "Swift", "_Concurrency"]

    /// Longer files have two subjects.
    static let fileLinesMax = 700
}
