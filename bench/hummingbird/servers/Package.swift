// swift-tools-version: 6.2
import PackageDescription

// A package of its own: Hummingbird with its own server beside this one.
let package = Package(
    name: "hummingbird-bench",
    dependencies: [
        .package(name: "uring-server", path: "../../..", traits: ["Hummingbird"]),
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    ],
    targets: [
        .executableTarget(
            name: "hummingbird-bench",
            dependencies: [
                .product(name: "UringHummingbird", package: "uring-server"), .product(name: "Hummingbird", package: "hummingbird"), .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/App")
    ]
)
