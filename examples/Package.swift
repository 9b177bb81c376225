// swift-tools-version: 6.2
// A package of its own, as a program that uses the library is one. A directory for each example; what an example needs beyond the library, its target
// names, and nobody who links the library fetches it.
import PackageDescription

let package = Package(
    name: "examples",
    dependencies: [.package(name: "uring-server", path: "..", traits: [])],
    targets: ["hello", "json", "transfer", "events", "proxy", "chat"].map { name in
        .executableTarget(name: name, dependencies: [.product(name: "UringServer", package: "uring-server")], path: name)
    } + [
        .executableTarget(
            name: "jwt",
            dependencies: [.product(name: "UringServer", package: "uring-server"), .product(name: "UringServerJWT", package: "uring-server")], path: "jwt")
    ]
)
