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
    ],
    // SwiftPM fetches every dependency of a package, also for who takes one product that needs none of them. Programs that link `UringServer` say
    // `traits: []` and fetch nothing (docs/ARCHITECTURE.md, "What a user resolves").
    traits: [
        .trait(name: "Uringd", description: "The program uringd, and the packages that it needs"),
        .default(enabledTraits: ["Uringd"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    ],
    targets: [
        // CShims: only what Swift cannot call itself. No policy.
        .target(name: "CUringBase", path: "CShims/CUringBase"),
        .target(name: "CUring", path: "CShims/CUring", linkerSettings: [.linkedLibrary("uring")]),
        .target(name: "CUringTLS", path: "CShims/CUringTLS", linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
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
        // Layer 3
        .target(name: "UringHTTP1", dependencies: ["UringBase", "UringHTTP", "CUringBase"], path: "Sources/http1", swiftSettings: swiftSettings),
        .target(name: "UringHPACK", dependencies: ["UringBase", "UringHTTP", "CUringBase"], path: "Sources/hpack", swiftSettings: swiftSettings),
        // HTTP/2 stands on field compression.
        .target(name: "UringHTTP2", dependencies: ["UringBase", "UringHTTP", "UringHPACK", "CUringBase"], path: "Sources/http2", swiftSettings: swiftSettings),
        // libcrypto for SHA-1, zlib for permessage-deflate.
        .target(name: "UringWebSocket", dependencies: ["UringHTTP", "CUringTLS", "CUringZ"], path: "Sources/websocket", swiftSettings: swiftSettings),
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
                "UringBase", "UringTLS", "UringHTTP", "UringServer", "CUringBase", "CUringYAML",
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Uringd"])),
            ],
            path: "Sources/gateway", swiftSettings: swiftSettings),
        // Layer 6
        .executableTarget(
            name: "uringd",
            dependencies: [
                "UringServer", "UringGateway",
                .product(name: "ArgumentParser", package: "swift-argument-parser", condition: .when(traits: ["Uringd"])),
                .product(name: "Logging", package: "swift-log", condition: .when(traits: ["Uringd"])),
            ],
            path: "Sources/uringd", swiftSettings: swiftSettings),

        // Tests mirror Sources.
        .target(name: "TestSupport", dependencies: ["UringBase"], path: "Tests/Support", swiftSettings: swiftSettings),
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
        .testTarget(name: "UringCompressionTests", dependencies: ["UringCompression", "UringHTTP"], path: "Tests/compression", swiftSettings: swiftSettings),
        .testTarget(
            name: "UringServerCompressionTests", dependencies: ["UringServerCompression", "UringServer", "UringHTTP", "TestSupport"],
            path: "Tests/servercompression", swiftSettings: swiftSettings),
        .testTarget(name: "UringServerJWTTests", dependencies: ["UringServerJWT", "UringServer", "UringHTTP", "TestSupport"], path: "Tests/serverjwt", swiftSettings: swiftSettings),
        .testTarget(name: "UringTestingTests", dependencies: ["UringTesting", "UringServer"], path: "Tests/testing", swiftSettings: swiftSettings),
        .testTarget(name: "UringServerTests", dependencies: ["UringServer", "UringTLS", "UringRing", "UringBase", "UringHTTP", "TestSupport"], path: "Tests/server", exclude: ["websocket/peer.py"], swiftSettings: swiftSettings),
        .testTarget(name: "UringGatewayTests", dependencies: ["UringGateway", "UringServer", "UringTLS", "UringHTTP", "UringBase", "TestSupport"], path: "Tests/gateway", swiftSettings: swiftSettings),
        .testTarget(name: "SimulationTests", dependencies: ["UringSimulation", "UringServer", "UringRing", "UringTLS", "UringHTTP", "UringHTTP1", "UringHTTP2", "UringBase", "CUring", "CUringTLS", "CNGHTTP2", "TestSupport"], path: "Tests/Simulation", swiftSettings: swiftSettings),
        .testTarget(name: "ConformanceTests", dependencies: ["TestSupport"], path: "Tests/Conformance", swiftSettings: swiftSettings),
        // What a request allocates is counted on this program (Tests/Allocation/run).
        .target(name: "CAllocationCount", path: "Tests/Allocation/Counter"),
        // What a WebSocket message allocates is counted on this one (AllocationTests in Tests/websocket).
        .executableTarget(name: "websocket-probe", dependencies: ["UringWebSocket", "CAllocationCount"], path: "Tests/Allocation/WebSocketProbe", swiftSettings: swiftSettings),
        .executableTarget(name: "alloc-probe", dependencies: ["UringServer", "UringServerCompression", "UringServerJWT", "CAllocationCount"], path: "Tests/Allocation/Probe", swiftSettings: swiftSettings),
        .testTarget(name: "LifetimesTests", dependencies: ["UringServer", "UringServerCompression", "UringServerJWT", "UringTesting"], path: "Tests/Lifetimes", swiftSettings: swiftSettings),
        .testTarget(name: "LayeringTests", dependencies: ["TestSupport"], path: "Tests/Layering", swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .gnu11
)

// For runs that need a part of the tests (sanitizers, release mode): URING_TEST_TARGETS=A,B builds these test targets and the library, without `uringd` and what it
// depends on. Half the build. With a scratch path of its own, as in Tests/run.
if let wanted = Context.environment["URING_TEST_TARGETS"]?.split(separator: ",").map(String.init) {
    var unneeded: Set<String> = ["UringGateway", "uringd", "alloc-probe", "websocket-probe", "CAllocationCount", "CUringYAML"]
    // Its tests run the program.
    if wanted.contains("UringWebSocketTests") { unneeded.subtract(["websocket-probe", "CAllocationCount"]) }
    package.targets.removeAll { unneeded.contains($0.name) || $0.type == .test && !wanted.contains($0.name) }
    package.products.removeAll { $0.name == "uringd" }
    package.dependencies = []
}

// For `URING_DOCC=1 swift package generate-documentation --target UringServer`. Not for everybody: whoever links this package would fetch the plugin. docs/build does without.
if Context.environment["URING_DOCC"] != nil {
    package.dependencies.append(.package(url: "https://github.com/swiftlang/swift-docc-plugin", from: "1.5.0"))
}
