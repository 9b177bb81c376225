// Steps: what is done to a response when its head is about to be written, whoever made it: the handler before it returned, or what it left behind to go on (a body's
// receiver, an async handler). Registered and run on the loop's thread.
//
// This is how middleware sees finished responses: code behind `next` runs when the handler has returned, which may be long before its response is there.

/// Something that is done to finished responses, when status, fields and content are known and nothing has been sent: compression, fields that every response has.
///
/// Made once, with the middleware that uses it, and registered for each response:
///
///     let stamp = ResponseStep { response, note in response.headers["x-served-by"] = "me" }
///     router.use { request, response, next in
///         response.beforeSending(stamp)
///         try next(request, &response)
///     }
public final class ResponseStep: Sendable {
    /// - Parameter note: what `beforeSending` was given.
    public typealias Run = @Sendable (_ response: inout Response, _ note: UInt64) -> Void

    let run: Run

    /// A step; `run` is called on the response's loop.
    public init(_ run: @escaping Run) { self.run = run }
}

extension Response {
    /// Has `step` called when this response is complete and its head is about to be written: for plain, streamed and file responses, and for errors that were
    /// thrown; not for answers that the server gives without a handler (malformed requests, time limits), nor when the client has gone. On the loop's thread.
    ///
    /// The step registered last runs first, as code behind `next` would. The request is gone by then: what a step has to know of it goes into `note`, or into a value
    /// by `RequestKey`. `restart`, `redirect` and errors keep steps registered.
    ///
    /// Costs one retain and release of the step, no allocation; a response without steps costs nothing.
    public func beforeSending(_ step: ResponseStep, note: UInt64 = 0) {
        unsafe state.pointee.steps.append(step, note)
        unsafe state.pointee.hasSteps = true
    }
}

/// The steps of one response. Keeps its memory from request to request; none until the first step.
@unsafe
struct ResponseSteps {
    @unsafe private struct Entry {
        /// Retained: the application that made it may be replaced while its response waits.
        let step: Unmanaged<ResponseStep>
        let note: UInt64
    }

    private var base: UnsafeMutablePointer<Entry>?
    private var count = 0
    private var capacity = 0

    mutating func append(_ step: ResponseStep, _ note: UInt64) {
        if unsafe count == capacity { unsafe grow() }
        unsafe (base! + count).initialize(to: Entry(step: .passRetained(step), note: note))
        unsafe count &+= 1
    }

    @inline(never)
    private mutating func grow() {
        let wanted = unsafe max(8, capacity * 2)
        let larger = UnsafeMutablePointer<Entry>.allocate(capacity: wanted)
        if let base = unsafe base {
            unsafe larger.update(from: base, count: count)
            unsafe base.deallocate()
        }
        unsafe (base, capacity) = unsafe (larger, wanted)
    }

    /// The step registered last, and its note. The caller releases it.
    mutating func takeLast() -> (Unmanaged<ResponseStep>, UInt64)? {
        guard unsafe count > 0, let base = unsafe base else { return nil }
        unsafe count &-= 1
        return unsafe (base[count].step, base[count].note)
    }

    mutating func removeAll() {
        while let (step, _) = unsafe takeLast() { unsafe step.release() }
    }

    mutating func destroy() {
        unsafe removeAll()
        unsafe base?.deallocate()
    }
}

extension Loop {
    /// Runs the steps of a response that is complete but for them.
    @inline(never)
    func runSteps() {
        unsafe response.pointee.hasSteps = false
        // Steps are to see what will be sent: 1xx is no answer.
        if unsafe response.pointee.status.code < 200, unsafe response.pointee.upgrade == nil && response.pointee.tunnel == nil { unsafe response.pointee.restart(.internalServerError) }
        while let (step, note) = unsafe response.pointee.steps.takeLast() {
            var response = unsafe Response(self.response, context)
            unsafe step._withUnsafeGuaranteedRef { $0.run(&response, note) }
            unsafe step.release()
        }
        unsafe response.pointee.hasSteps = false
        if unsafe response.pointee.refusedField { refusedField() }
    }

    /// The same where it is not decided yet whether the response goes the short way, which steps may change; what goes the long way in any case is left to that.
    @inline(never)
    func runStepsEarly() {
        if unsafe response.pointee.receiver == nil && response.pointee.upgrade == nil && !response.pointee.needsColdFile { runSteps() }
    }
}
