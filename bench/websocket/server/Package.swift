// swift-tools-version: 6.2
// The echo server of bench/websocket/echo. A package of its own, so that users of the library never see it.
import PackageDescription

let package = Package(
    name: "websocket-echo",
    dependencies: [.package(name: "uring-server", path: "../../..")],
    targets: [.executableTarget(name: "websocket-echo", dependencies: [.product(name: "UringServer", package: "uring-server")], path: ".", exclude: [], sources: ["main.swift"])]
)
