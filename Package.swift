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
        .executable(name: "uringd", targets: ["uringd"]),
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
        .target(
            name: "UringServer",
            dependencies: ["UringBase", "UringRing", "UringTLS", "UringHTTP", "UringHTTP1", "UringHTTP2", "CUringBase", "CUring"],
            path: "Sources/server", swiftSettings: swiftSettings),
        // Layer 5
        .target(
            name: "UringGateway",
            dependencies: [
                "UringBase", "UringTLS", "UringHTTP", "UringServer", "CUringBase", "CUringYAML",
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/gateway", swiftSettings: swiftSettings),
        // Layer 6
        .executableTarget(
            name: "uringd",
            dependencies: [
                "UringServer", "UringGateway",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
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
        .testTarget(name: "UringServerTests", dependencies: ["UringServer", "UringTLS", "UringRing", "UringBase", "UringHTTP", "TestSupport"], path: "Tests/server", swiftSettings: swiftSettings),
        .testTarget(name: "UringGatewayTests", dependencies: ["UringGateway", "UringServer", "UringTLS", "UringHTTP", "UringBase", "TestSupport"], path: "Tests/gateway", swiftSettings: swiftSettings),
        .testTarget(name: "SimulationTests", dependencies: ["UringSimulation", "UringServer", "UringRing", "UringTLS", "UringHTTP", "UringHTTP1", "UringHTTP2", "UringBase", "CUring", "CUringTLS", "CNGHTTP2", "TestSupport"], path: "Tests/Simulation", swiftSettings: swiftSettings),
        .testTarget(name: "ConformanceTests", dependencies: ["TestSupport"], path: "Tests/Conformance", swiftSettings: swiftSettings),
        // What a request allocates is counted on this program (Tests/Allocation/run).
        .target(name: "CAllocationCount", path: "Tests/Allocation/Counter"),
        .executableTarget(name: "alloc-probe", dependencies: ["UringServer", "CAllocationCount"], path: "Tests/Allocation/Probe", swiftSettings: swiftSettings),
        // What async handlers cost (bench/async/run).
        .executableTarget(name: "async-bench", dependencies: ["UringServer"], path: "bench/async", exclude: ["run"], swiftSettings: swiftSettings),
        .testTarget(name: "LifetimesTests", dependencies: ["UringServer"], path: "Tests/Lifetimes", swiftSettings: swiftSettings),
        .testTarget(name: "LayeringTests", dependencies: ["TestSupport"], path: "Tests/Layering", swiftSettings: swiftSettings),
    ],
    cLanguageStandard: .gnu11
)

// For runs that need a part of the tests (sanitizers, release mode): URING_TEST_TARGETS=A,B builds these test targets and the library, without `uringd` and what it
// depends on. Half the build. With a scratch path of its own, as in Tests/run.
if let wanted = Context.environment["URING_TEST_TARGETS"]?.split(separator: ",").map(String.init) {
    let unneeded: Set<String> = ["UringGateway", "uringd", "alloc-probe", "async-bench", "CAllocationCount", "CUringYAML"]
    package.targets.removeAll { unneeded.contains($0.name) || $0.type == .test && !wanted.contains($0.name) }
    package.products.removeAll { $0.name == "uringd" }
    package.dependencies = []
}
