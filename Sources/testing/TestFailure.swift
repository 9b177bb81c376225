// TestFailure: why a test cannot go on, as a sentence. Plain value; any thread.

/// What went wrong between a test and its server: a response that is malformed or does not come, a connection that ended, a test that asks for something that cannot be.
/// The sentence says what the server waits for where it waits.
public struct TestFailure: Error, CustomStringConvertible, Sendable {
    /// The sentence.
    public let description: String
    init(_ description: String) { self.description = description }
}
