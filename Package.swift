// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target is built in Swift 6 language mode with strict memory safety: each unchecked operation is marked
/// `unsafe` and says who keeps the memory alive. `Lifetimes` gives `Request` and its views compile-time lifetimes.
let swiftSettings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
]

let package = Package(
    name: "uring-server",
    products: [
        .library(name: "UringServer", targets: ["UringServer"]),
        // Apart from UringServer, so that a program without it needs none of the compression libraries.
        .library(name: "UringServerCompression", targets: ["UringServerCompression"]),
        .library(name: "UringServerJWT", targets: ["UringServerJWT"]),
        .library(name: "UringTesting", targets: ["UringTesting"]),
        .executable(name: "uringd", targets: ["uringd"]),
        .library(name: "UringLog", targets: ["UringLog"]),
        .library(name: "UringMetrics", targets: ["UringMetrics"]),
        .library(name: "UringTracing", targets: ["UringTracing"]),
        .library(name: "UringLifecycle", targets: ["UringLifecycle"]),
        .library(name: "UringHTTPTypes", targets: ["UringHTTPTypes"]),
        .library(name: "UringHummingbird", targets: ["UringHummingbird"]),
    ],
    // SwiftPM fetches every dependency of a package, also for who takes one product that needs none of them. Programs that link `UringServer` say
    // `traits: []` and fetch nothing (docs/ARCHITECTURE.md, "What a user resolves").
    traits: [
        .trait(name: "Uringd", description: "The program uringd, and the packages that it needs"),
        // One for each adapter, and off without a word: what it needs is fetched and built for those alone who enable it.
        .trait(name: "Log", description: "UringLog: swift-log"),
        .trait(name: "Metrics", description: "UringMetrics: swift-metrics"),
        .trait(name: "Tracing", description: "UringTracing: swift-distributed-tracing"),
        .trait(name: "Lifecycle", description: "UringLifecycle: swift-service-lifecycle"),
        .trait(name: "HTTPTypes", description: "UringHTTPTypes: swift-http-types"),
        .trait(name: "Hummingbird", description: "UringHummingbird: Hummingbird 2", enabledTraits: ["HTTPTypes", "Lifecycle", "Log"]),
        .default(enabledTraits: ["Uringd"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.5.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.6.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.3.0", traits: []),
        // Its own traits are the user's to choose.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    ],
    targets: [
        // CShims: only what Swift cannot call itself. No policy.
        .target(name: "CUringBase", path: "CShims/CUringBase"),
        .target(name: "CUring", path: "CShims/CUring", linkerSettings: [.linkedLibrary("uring")]),
        .target(name: "CUringTLS", path: "CShims/CUringTLS", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        // The program for the kernel is not built here: its instructions are committed (CShims/CUringBPF/generate).
        .target(name: "CUringBPF", path: "CShims/CUringBPF", exclude: ["generate", "tcptrace.bpf.c"]),
        .target(name: "CUringZ", path: "CShims/CUringZ", linkerSettings: [.linkedLibrary("z")]),
        .target(name: "CUringCompression", path: "CShims/CUringCompression", linkerSettings: [.linkedLibrary("z"), .linkedLibrary("brotlienc"), .linkedLibrary("zstd")]),
        .target(name: "CUringJWT", path: "CShims/CUringJWT", linkerSettings: [.linkedLibrary("crypto")]),
        .target(name: "CUringYAML", path: "CShims/CUringYAML", linkerSettings: [.linkedLibrary("yaml")]),

        // Layer 1
        .target(name: "UringBase", dependencies: ["CUringBase"], path: "Sources/base", swiftSettings: swiftSettings),
        // Layer 2
        .target(name: "UringRing", dependencies: ["UringBase", "CUring", "CUringBase"], path: "Sources/ring", swiftSettings: swiftSettings),
        .target(name: "UringSimulation", dependencies: ["UringBase", "UringRing", "CUring"], path: "Sources/simulation", swiftSettings: swiftSettings),
        .target(name: "UringTLS", dependencies: ["UringBase", "CUringTLS"], path: "Sources/tls", swiftSettings: swiftSettings),
        .target(name: "UringHTTP", dependencies: ["UringBase"], path: "Sources/http", swiftSettings: swiftSettings),
        .target(name: "UringTCPTrace", dependencies: ["UringBase", "CUringBPF"], path: "Sources/tcptrace", swiftSettings: swiftSettings),
        // Layer 3
        .target(name: "UringHTTP1", dependencies: ["UringBase", "UringHTTP", "CUringBase"], path: "Sources/http1", swiftSettings: swiftSettings),
        .target(name: "UringHPACK", dependencies: ["UringBase", "UringHTTP", "CUringBase"], path: "Sources/hpack", swiftSettings: swiftSettings),
        // HTTP/2 stands on field compression.
        .target(name: "UringHTTP2", dependencies: ["UringBase", "UringHTTP", "UringHPACK", "CUringBase"], path: "Sources/http2", swiftSettings: swiftSettings),
        // libcrypto for SHA-1, zlib for permessage-deflate.
        .target(name: "UringWebSocket", dependencies: ["UringHTTP", "CUringTLS", "CUringZ"], path: "Sources/websocket", swiftSettings: swiftSettings),
        .target(name: "UringPolicy", dependencies: ["UringBase"], path: "Sources/policy", swiftSettings: swiftSettings),
        .target(name: "UringJWT", dependencies: ["CUringJWT"], path: "Sources/jwt", swiftSettings: swiftSettings),
        .target(
            name: "UringServer",
            dependencies: ["UringBase", "UringRing", "UringTLS", "UringHTTP", "UringHTTP1", "UringHTTP2", "UringWebSocket", "CUringBase", "CUring"],
            path: "Sources/server", swiftSettings: swiftSettings),
        .target(name: "UringCompression", dependencies: ["UringHTTP", "CUringCompression"], path: "Sources/compression", swiftSettings: swiftSettings),
        // Beside the product: what programs test their handlers with.
        .target(
            name: "UringTesting", dependencies: ["UringServer", "UringSimulation", "UringRing", "UringHTTP"], path: "Sources/testing",
            swiftSettings: swiftSettings),
        // Layer 5
        .target(name: "UringServerJWT", dependencies: ["UringServer", "UringJWT", "UringHTTP"], path: "Sources/serverjwt", swiftSettings: swiftSettings),
        .target(
            name: "UringServerCompression", dependencies: ["UringServer", "UringCompression", "UringHTTP"], path: "Sources/servercompression",
            swiftSettings: swiftSettings),
        .target(
            name: "UringGateway",
            dependencies: [
                "UringBase", "UringTLS", "UringHTTP", "UringHTTP1", "UringPolicy", "UringTCPTrace", "UringServer", "UringServerCompression", "UringServerJWT", "UringJWT", "CUringBase", "CUringYAML",
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Uringd"])),
            ],
            path: "Sources/gateway", swiftSettings: swiftSettings),
        // Layer 5 too: the server in other packages' terms. Without its trait such a module is empty.
        .target(
            name: "UringLog",
            dependencies: ["UringServer", .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Log"]))],
            path: "Sources/adapters/log", swiftSettings: swiftSettings),
        .target(
            name: "UringMetrics",
            dependencies: ["UringServer", .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Metrics"]))],
            path: "Sources/adapters/metrics", swiftSettings: swiftSettings),
        .target(
            name: "UringTracing",
            dependencies: ["UringServer", .product(name: "Tracing", package: "swift-distributed-tracing", condition: .when(traits: ["Tracing"]))],
            path: "Sources/adapters/tracing", swiftSettings: swiftSettings),
        .target(
            name: "UringLifecycle",
            dependencies: ["UringServer", .product(name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["Lifecycle"]))],
            path: "Sources/adapters/lifecycle", swiftSettings: swiftSettings),
        .target(
            name: "UringHTTPTypes",
            dependencies: ["UringServer", .product(name: "HTTPTypes", package: "swift-http-types", condition: .when(traits: ["HTTPTypes"]))],
            path: "Sources/adapters/httptypes", swiftSettings: swiftSettings),
        .target(
            name: "UringHummingbird",
            dependencies: [
                "UringServer", "UringHTTPTypes", "UringLifecycle", "UringLog",
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Hummingbird"])),
                .product(name: "HummingbirdCore", package: "hummingbird", condition: .when(traits: ["Hummingbird"])),
                .product(name: "HTTPTypes", package: "swift-http-types", condition: .when(traits: ["Hummingbird"])),
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Hummingbird"])),
                .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Hummingbird"])),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio", condition: .when(traits: ["Hummingbird"])),
                .product(name: "NIOPosix", package: "swift-nio", condition: .when(traits: ["Hummingbird"])),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["Hummingbird"])),
                .product(name: "UnixSignals", package: "swift-service-lifecycle", condition: .when(traits: ["Hummingbird"])),
            ],
            path: "Sources/adapters/hummingbird", swiftSettings: swiftSettings),
        // Layer 7
        .executableTarget(
            name: "uringd",
            dependencies: [
                "UringServer", "UringGateway", "UringTCPTrace",
                .product(name: "ArgumentParser", package: "swift-argument-parser", condition: .when(traits: ["Uringd"])),
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Uringd"])),
            ],
            path: "Sources/uringd", swiftSettings: swiftSettings),

        // Tests mirror Sources.
        .target(name: "TestSupport", dependencies: ["UringBase"], path: "Tests/Support", exclude: ["WithoutUring"], swiftSettings: swiftSettings),
        .testTarget(name: "UringBaseTests", dependencies: ["UringBase", "TestSupport"], path: "Tests/base", swiftSettings: swiftSettings),
        .testTarget(name: "UringRingTests", dependencies: ["UringRing", "UringSimulation", "UringBase", "CUring", "TestSupport"], path: "Tests/ring", swiftSettings: swiftSettings),
        .testTarget(name: "UringHTTPTests", dependencies: ["UringHTTP", "UringBase", "TestSupport"], path: "Tests/http", swiftSettings: swiftSettings),
        .testTarget(name: "UringHTTP1Tests", dependencies: ["UringHTTP1", "UringHTTP", "UringBase", "TestSupport"], path: "Tests/http1", swiftSettings: swiftSettings),
        .testTarget(name: "UringTLSTests", dependencies: ["UringTLS", "UringBase", "CUringTLS", "TestSupport"], path: "Tests/tls", swiftSettings: swiftSettings),
        // The oracle of the HPACK tests (libnghttp2-dev); nothing under Sources/ uses it.
        .systemLibrary(name: "CNGHTTP2", path: "Tests/hpack/CNGHTTP2"),
        .testTarget(name: "UringHPACKTests", dependencies: ["UringHPACK", "UringHTTP", "UringBase", "CUringBase", "CNGHTTP2", "TestSupport"], path: "Tests/hpack", exclude: ["CNGHTTP2"], swiftSettings: swiftSettings),
        .testTarget(name: "UringHTTP2Tests", dependencies: ["UringHTTP2", "UringHPACK", "UringHTTP", "UringBase", "CNGHTTP2", "TestSupport"], path: "Tests/http2", swiftSettings: swiftSettings),
        .testTarget(name: "UringWebSocketTests", dependencies: ["UringWebSocket", "UringHTTP1", "UringHTTP", "CUringZ"], path: "Tests/websocket", exclude: ["peer.py"], swiftSettings: swiftSettings),
        .testTarget(name: "UringJWTTests", dependencies: ["UringJWT", "CUringJWT"], path: "Tests/jwt", exclude: ["oracle.py"], swiftSettings: swiftSettings),
        .testTarget(name: "UringPolicyTests", dependencies: ["UringPolicy", "UringBase", "TestSupport"], path: "Tests/policy", swiftSettings: swiftSettings),
        .testTarget(name: "UringTCPTraceTests", dependencies: ["UringTCPTrace", "UringServer", "UringBase", "TestSupport"], path: "Tests/tcptrace", exclude: ["run"], swiftSettings: swiftSettings),
        .testTarget(name: "UringCompressionTests", dependencies: ["UringCompression", "UringHTTP"], path: "Tests/compression", swiftSettings: swiftSettings),
        .testTarget(
            name: "UringServerCompressionTests", dependencies: ["UringServerCompression", "UringServer", "UringHTTP", "TestSupport"],
            path: "Tests/servercompression", swiftSettings: swiftSettings),
        .testTarget(name: "UringServerJWTTests", dependencies: ["UringServerJWT", "UringServer", "UringHTTP", "TestSupport"], path: "Tests/serverjwt", swiftSettings: swiftSettings),
        .testTarget(name: "UringTestingTests", dependencies: ["UringTesting", "UringServer"], path: "Tests/testing", swiftSettings: swiftSettings),
        .testTarget(name: "UringServerTests", dependencies: ["UringServer", "UringTLS", "UringRing", "UringBase", "UringHTTP", "TestSupport"], path: "Tests/server", exclude: ["websocket/peer.py"], swiftSettings: swiftSettings),
        .testTarget(name: "UringGatewayTests", dependencies: ["UringGateway", "UringServer", "UringWebSocket", "UringPolicy", "UringTCPTrace", "UringTLS", "UringHTTP", "UringBase", "TestSupport"], path: "Tests/gateway", swiftSettings: swiftSettings),
        .testTarget(name: "SimulationTests", dependencies: ["UringSimulation", "UringServer", "UringRing", "UringTLS", "UringHTTP", "UringHTTP1", "UringHTTP2", "UringBase", "CUring", "CUringTLS", "CNGHTTP2", "TestSupport"], path: "Tests/Simulation", swiftSettings: swiftSettings),
        // Runs `uringd` where io_uring is refused.
        .executableTarget(name: "without-uring", path: "Tests/Support/WithoutUring"),
        .testTarget(name: "ConformanceTests", dependencies: ["TestSupport"], path: "Tests/Conformance", swiftSettings: swiftSettings),
        // What a request allocates is counted on this program (Tests/Allocation/run).
        .target(name: "CAllocationCount", path: "Tests/Allocation/Counter"),
        // What a WebSocket message allocates is counted on this one (AllocationTests in Tests/websocket).
        .executableTarget(name: "websocket-probe", dependencies: ["UringWebSocket", "CAllocationCount"], path: "Tests/Allocation/WebSocketProbe", swiftSettings: swiftSettings),
        .executableTarget(name: "alloc-probe", dependencies: ["UringServer", "UringServerCompression", "UringServerJWT", "CAllocationCount"], path: "Tests/Allocation/Probe", swiftSettings: swiftSettings),
        .testTarget(name: "LifetimesTests", dependencies: ["UringServer", "UringServerCompression", "UringServerJWT", "UringTesting", "TestSupport"], path: "Tests/Lifetimes", swiftSettings: swiftSettings),
        // Without the traits it has no tests. `Tests/run adapters` builds it with all of them, and with it the programs of bench/hummingbird and examples/hummingbird.
        .testTarget(
            name: "UringAdaptersTests",
            dependencies: [
                "UringServer", "UringLog", "UringMetrics", "UringTracing", "UringLifecycle", "UringHTTPTypes", "UringHummingbird", "TestSupport",
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Log"])),
                .product(name: "InMemoryLogging", package: "swift-log", condition: .when(traits: ["Log"])),
                .product(name: "CoreMetrics", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
                .product(name: "MetricsTestKit", package: "swift-metrics", condition: .when(traits: ["Metrics"])),
                .product(name: "Tracing", package: "swift-distributed-tracing", condition: .when(traits: ["Tracing"])),
                .product(name: "InMemoryTracing", package: "swift-distributed-tracing", condition: .when(traits: ["Tracing"])),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle", condition: .when(traits: ["Lifecycle"])),
                .product(name: "HTTPTypes", package: "swift-http-types", condition: .when(traits: ["HTTPTypes"])),
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Hummingbird"])),
                .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Hummingbird"])),
            ],
            path: "Tests/adapters", swiftSettings: swiftSettings),
        // What async handlers cost (bench/async/run).
        .executableTarget(name: "async-bench", dependencies: ["UringServer", "UringBase"], path: "bench/async", exclude: ["run"], swiftSettings: swiftSettings),
        // A token and a JSON answer, beside Go's servers (bench/jwtjson/run).
        .executableTarget(name: "jwtjson-bench", dependencies: ["UringServer", "UringServerJWT"], path: "bench/jwtjson", exclude: ["go", "run"], swiftSettings: swiftSettings),
        // What each layer costs, down to nanoseconds (bench/layers/run). Some files are those of other benchmarks, by symbolic links. Everything there lives as long as
        // the process and nothing of it is served: no `unsafe`, and Swift 5 for its globals.
        .target(name: "CLayersCallgrind", path: "bench/layers/Callgrind"),
        .executableTarget(
            name: "layers-bench",
            dependencies: [
                "UringBase", "UringRing", "UringHTTP", "UringHTTP1", "UringHPACK", "UringHTTP2", "UringTLS", "UringJWT", "UringPolicy", "UringServer", "UringGateway", "UringSimulation", "CUring",
                "CUringBase", "CUringJWT", "CUringTLS", "CAllocationCount", "CLayersCallgrind",
            ],
            path: "bench/layers", exclude: ["run", "table", "Callgrind"],
            swiftSettings: [.swiftLanguageMode(.v5), .enableExperimentalFeature("Lifetimes"), .enableUpcomingFeature("InternalImportsByDefault")]),
        // What compressors take and hold (bench/compression/run).
        .executableTarget(
            name: "compression-bench", dependencies: ["UringCompression", "UringHTTP", "CAllocationCount"], path: "bench/compression", exclude: ["run"], swiftSettings: swiftSettings,
            linkerSettings: [.linkedLibrary("crypto")]),
        .testTarget(name: "LayeringTests", dependencies: ["TestSupport"], path: "Tests/Layering", swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .gnu11
)

// For runs that need a part of the tests (sanitizers, release mode): URING_TEST_TARGETS=A,B builds these test targets and the library, without `uringd` and what it
// depends on. Half the build. With a scratch path of its own, as in Tests/run.
if let wanted = Context.environment["URING_TEST_TARGETS"]?.split(separator: ",").map(String.init) {
    var unneeded: Set<String> = ["UringGateway", "uringd", "alloc-probe", "websocket-probe", "async-bench", "jwtjson-bench", "compression-bench", "layers-bench", "CLayersCallgrind", "CAllocationCount", "CUringYAML", "without-uring"]
    // Its tests run the program.
    if wanted.contains("UringWebSocketTests") { unneeded.subtract(["websocket-probe", "CAllocationCount"]) }
    let adapters: Set<String> = ["UringLog", "UringMetrics", "UringTracing", "UringLifecycle", "UringHTTPTypes", "UringHummingbird"]
    if wanted.contains("UringAdaptersTests") {
        // Programs of packages of their own, compiled here so that they do not rot and Hummingbird is built once.
        package.targets += [
            .executableTarget(
                name: "hummingbird-bench",
                dependencies: ["UringHummingbird", .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Hummingbird"])), .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Hummingbird"]))],
                path: "bench/hummingbird/servers/Sources/App"),
            .executableTarget(
                name: "hummingbird-example",
                dependencies: ["UringHummingbird", .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Hummingbird"])), .product(name: "NIOCore", package: "swift-nio", condition: .when(traits: ["Hummingbird"]))],
                path: "examples/hummingbird-app/Sources/App"),
        ]
        package.dependencies.removeAll { if case .sourceControl(_, let location, _) = $0.kind { location.hasSuffix("argument-parser") } else { false } }
    } else if wanted.contains("UringGatewayTests") {
        unneeded.formUnion(adapters)
        unneeded.subtract(["UringGateway", "CUringYAML"])
        package.traits = [.trait(name: "Uringd"), .default(enabledTraits: ["Uringd"])]
        package.dependencies.removeAll { if case .sourceControl(_, let location, _) = $0.kind { !location.hasSuffix("swift-log") } else { false } }
    } else {
        unneeded.formUnion(adapters)
        // The same flags as the whole package has, so that a release build of the program serves the tests too.
        package.traits = [.trait(name: "Uringd"), .default(enabledTraits: ["Uringd"])]
        package.dependencies = []
    }
    package.targets.removeAll { unneeded.contains($0.name) || $0.type == .test && !wanted.contains($0.name) }
    package.products.removeAll { $0.name == "uringd" || unneeded.contains($0.name) }
}

// For `URING_DOCC=1 swift package generate-documentation --target UringServer`. Not for everybody: whoever links this package would fetch the plugin. docs/build does without.
if Context.environment["URING_DOCC"] != nil {
    package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"))
}
