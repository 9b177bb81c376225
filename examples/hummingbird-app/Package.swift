// swift-tools-version: 6.2
import PackageDescription

let package = Package(
    name: "hummingbird-app",
    dependencies: [
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        // In a program of your own: .package(url: "https://…/uring-server", from: "0.1.0", traits: ["Hummingbird"])
        .package(name: "uring-server", path: "../..", traits: ["Hummingbird"]),
    ],
    targets: [
        .executableTarget(
            name: "App",
            dependencies: [
                .product(name: "Hummingbird", package: "hummingbird"), .product(name: "NIOCore", package: "swift-nio"), .product(name: "UringHummingbird", package: "uring-server"),
            ])
    ]
)
