// FilterPass: what the filters of one request tell each other, and the proxy behind them. A value on the stack of `Routes.answer`; the loop's thread.

internal import UringJWT
internal import UringPolicy

/// Gathered while a request passes its route's filters.
struct FilterPass {
    /// Of the token that was accepted. They lie in the loop's memory, which the next token overwrites: good until the handler returns.
    var claims: JWTClaims?
    /// Which name of the client's certificate was wanted: its place in `Request.clientNames`.
    var clientName: Range<Int>?
    /// Whose key it was, by the number in the filter's list.
    var apiKey: Int?
    /// Of the route's breaker, which waits for the outcome.
    var admission: BreakerAdmission?
    /// When a filter began to wait, ns on the loop's clock: the request's time goes on meanwhile. 0: none did.
    var began: UInt64 = 0
}

/// What becomes of a request at its filters.
enum FilterVerdict {
    case pass
    /// A filter has to wait for its decision, by its place in the chain: `FilterChain.wait`, in an async handler.
    case waits(Int)
    /// A filter has written the response.
    case answered
    /// The answer of another route, by its number.
    case fallback(Int)
}
