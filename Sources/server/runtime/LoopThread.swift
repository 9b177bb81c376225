// LoopThread: the pinned OS thread of one loop. Everything of the loop is created, used and destroyed on it.

internal import CUringBase
internal import Glibc
internal import UringBase
internal import UringRing

final class LoopThread: Sendable {
    private let port: LoopPort
    private let thread: pthread_t
    /// What the loop writes its last events to; nil: it does not. Outlives the loop.
    let recorder: FlightRing?
    /// Sent when the loop has ended; never when it could not start.
    private let figures: Answer<LoopSnapshot>

    private final class Start: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// Starts the thread and waits until its loop accepts connections.
    /// - Parameter core: what the thread is pinned to; nil = not pinned.
    init(
        index: Int, core: Int?, listeners: [LoopListener], configuration: LoopConfiguration, handler: HandlerBox, mailbox: LoopMailbox,
        kernels: KernelChoice
    ) throws(SystemError) {
        let port = LoopPort(mailbox: mailbox)
        self.port = port
        let recorder = configuration.flightEvents > 0 ? FlightRing(events: configuration.flightEvents) : nil
        self.recorder = recorder
        let figures = Answer<LoopSnapshot>()
        self.figures = figures
        let signal = Answer<Result<Void, SystemError>>()
        let start = Start {
            if let core { try? ThreadAffinity.pin(to: core) }
            unsafe ur_name_thread("loop-\(index)")
            do throws(SystemError) {
                let kernel = try kernels.makeKernel()
                let loop = try Loop(index: index, kernel: kernel, listeners: listeners, configuration: configuration, handler: handler, port: port, recorder: recorder)
                signal.send(.success(()))
                loop.run()
                figures.send(loop.snapshot())
                while !port.close() { loop.takeLastMessages() }
                loop.takeLastMessages()
            } catch {
                signal.send(.failure(error))
            }
        }
        var thread = pthread_t()
        let code = unsafe pthread_create(
            &thread, nil,
            { argument in
                unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue().body()
                return nil
            }, unsafe Unmanaged.passRetained(start).toOpaque())
        guard code == 0 else {
            throw SystemError("starting the thread of loop \(index)", code: code, remedy: "raise the limit of processes (ulimit -u)")
        }
        self.thread = thread
        switch signal.wait() {
        case .success: break
        case .failure(let error):
            pthread_join(thread, nil)
            throw error
        }
    }

    /// False when the loop has ended: the message was dropped.
    @discardableResult
    func post(_ content: LoopMessage.Content) -> Bool { port.post(content) }

    func join() { pthread_join(thread, nil) }

    /// The figures of a loop that has ended, with its last; nil while it runs.
    var lastFigures: LoopSnapshot? { figures.wait(milliseconds: 0) }
}
