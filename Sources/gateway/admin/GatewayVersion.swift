// GatewayVersion: what the program calls itself.

package enum GatewayVersion {
    /// The project has made no release yet.
    package static let current = "0.1.0-dev"
}
