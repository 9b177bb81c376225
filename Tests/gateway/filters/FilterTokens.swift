// Tokens for the tests of the JWT filter, signed with HS256 and the key below; good until 2100 unless their name says otherwise.

enum FilterTokens {
    static let secret = "0123456789abcdef0123456789abcdef"
    /// The same key as a JWKS document.
    static let keySet = #"{"keys":[{"kty":"oct","alg":"HS256","k":"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]}"#
    /// Both scopes, `admin` true, `level` 7.
    static let alice = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2kuZXhhbXBsZSIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFsaWNlIiwic2NvcGUiOiJvcmRlcnMucmVhZCBvcmRlcnMud3JpdGUiLCJleHAiOjQxMDI0NDQ4MDAsImFkbWluIjp0cnVlLCJsZXZlbCI6N30.h5ZIng_8BPoxij-x5210chmX1AEa9BfEA1WGDRCX6Ak"
    /// The scope orders.read alone.
    static let bob = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2kuZXhhbXBsZSIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImJvYiIsInNjb3BlIjoib3JkZXJzLnJlYWQiLCJleHAiOjQxMDI0NDQ4MDB9.h7X-AJYrxQKLkcjUNc2TwpjkQFrx_IJ-75VyQ-mdO0w"
    static let expired = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2kuZXhhbXBsZSIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFsaWNlIiwic2NvcGUiOiJvcmRlcnMud3JpdGUiLCJleHAiOjEwMDB9.r2DdBnfE5lVS27FT72SQPdyUSSayr6nGD0-qHhLmWwQ"
    static let otherAudience = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2kuZXhhbXBsZSIsImF1ZCI6ImJpbGxpbmciLCJzdWIiOiJhbGljZSIsInNjb3BlIjoib3JkZXJzLndyaXRlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.75hEukeZ6JFaIW8LUKd7D5IYCAqXbEirdRayjxF54b8"
    static let otherIssuer = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2ouZXhhbXBsZSIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFsaWNlIiwic2NvcGUiOiJvcmRlcnMud3JpdGUiLCJleHAiOjQxMDI0NDQ4MDB9.n0BJPRUQqQbAfVCePYzgDkvpjeJmWr-rXEKy9KBstZo"
    /// `sub` has a line break.
    static let evil = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2kuZXhhbXBsZSIsImF1ZCI6Im9yZGVycyIsInN1YiI6ImFcclxueC1hZG1pbjogMSIsInNjb3BlIjoib3JkZXJzLndyaXRlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.Fiqu7rlvmWVBdAcwOWkKNBe3LbtIRs5CcUru6dbB0ZE"

    // Signed by `openssl pkeyutl -sign -rawin` with Ed25519 keys: for alice, good until 2100.
    static let keyOne = #"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"one","x":"k0GxiXgfE-qskwqypR7gvLeP3z0_QQwJADNjWghUisg"}"#
    static let keyTwo = #"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"two","x":"8sEwnRtxuEvrxK5p1zNHTzqpAnm3UxsgoCbqZ7iC_GI"}"#
    static let byKeyOne = "eyJhbGciOiJFZERTQSIsImtpZCI6Im9uZSJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.7IREQ19F31X9Tkg9jbNyfngi2qO5S0O7qmBq78-tmdUEUTHYRCeASl43F__9-7bDxUwKGW3-a8Ev4hxzbkEVAw"
    static let byKeyTwo = "eyJhbGciOiJFZERTQSIsImtpZCI6InR3byJ9.eyJzdWIiOiJhbGljZSIsImV4cCI6NDEwMjQ0NDgwMH0.V0f3XytkFK16pK3q54ivJcLXWvnpiwW2tROiZSuQTZdABH50DwGvSW9LCl0-s54vl_ajAb4tLMvTEy2QIMfzBg"
    static func document(_ keys: String...) -> String { "{\"keys\":[\(keys.joined(separator: ","))]}" }
}
