// The resolver with answers of the test's making: caching, coalescing, limits, cancellation, the end; and with the system's, for names that
// every machine has.

import Foundation
import Glibc
import Synchronization
import Testing
import UringBase
import UringRing
@testable import UringServer

private typealias Answer = Result<[SocketAddress], ResolutionFailure>

private func addresses(_ texts: String...) -> Answer { .success(texts.map { NameResolver.literal($0, port: 0)! }) }

/// Stands for a loop: what is posted runs when the test says so.
private final class Inbox: Sendable {
    private let blocks = Locked<[@Sendable () -> Void]>([])
    private let arrived = DispatchSemaphore(value: 0)
    let isOpen = Locked(true)
    private let results = Locked<[Answer]>([])

    func post(_ block: @escaping @Sendable () -> Void) -> Bool {
        guard isOpen.withLock({ $0 }) else { return false }
        blocks.withLock { $0.append(block) }
        arrived.signal()
        return true
    }

    /// Waits for a block, runs it, and answers what was told since the last time.
    func run() -> [Answer] {
        arrived.wait()
        blocks.withLock { $0.removeFirst() }()
        return results.withLock { results in
            defer { results = [] }
            return results
        }
    }

    func resolve(_ resolver: NameResolver, _ name: String, port: UInt16 = 80) -> NameResolver.Outcome {
        resolver.resolve(name, port: port, post: { self.post($0) }, { answer in self.results.withLock { $0.append(answer) } })
    }
}

/// A source whose answers wait for the test, and the clock.
private final class World: Sendable {
    let asked = Locked<[String]>([])
    let answers = Locked<[String: Answer]>([:])
    let now = Atomic<UInt64>(1000)
    let isBlocked = Atomic<Bool>(false)
    let gate = DispatchSemaphore(value: 0)
    let entered = DispatchSemaphore(value: 0)

    func resolver(_ change: (inout NameResolverOptions) -> Void = { _ in }) -> NameResolver {
        var options = NameResolverOptions()
        options.timeToLiveNs = 100
        options.negativeTimeToLiveNs = 10
        options.staleNs = 0
        change(&options)
        return NameResolver(
            options,
            source: { name in
                self.asked.withLock { $0.append(name) }
                self.entered.signal()
                if self.isBlocked.load(ordering: .relaxed) { self.gate.wait() }
                return self.answers.withLock { $0[name] } ?? .failure(.notFound)
            }, clock: { self.now.load(ordering: .relaxed) })
    }

    func advance(_ nanoseconds: UInt64) { now.wrappingAdd(nanoseconds, ordering: .relaxed) }
    var questions: [String] { asked.withLock { $0 } }
}

extension NameResolver.Outcome {
    fileprivate var answer: Answer? { if case .now(let answer) = self { answer } else { nil } }
    fileprivate var request: ResolutionRequest? { if case .later(let request) = self { request } else { nil } }
}

@Suite struct NameResolverTests {
    @Test func answersAreKeptForTheirTime() {
        let world = World(), inbox = Inbox(), resolver = world.resolver()
        world.answers.withLock { $0["a.example"] = addresses("1.2.3.4", "::1") }
        #expect(inbox.resolve(resolver, "A.example", port: 443).request != nil)
        let told = inbox.run()
        #expect(told == [addresses("1.2.3.4", "::1").map { $0.map { $0.with(port: 443) } }])
        // The port is the asker's.
        let kept = inbox.resolve(resolver, "a.EXAMPLE", port: 8080).answer
        #expect(try! kept?.get().map(\.description) == ["1.2.3.4:8080", "[::1]:8080"])
        world.advance(99)
        #expect(inbox.resolve(resolver, "a.example").answer != nil)
        world.advance(1)
        #expect(inbox.resolve(resolver, "a.example").request != nil)
        _ = inbox.run()
        #expect(world.questions == ["a.example", "a.example"])
    }

    /// Whoever follows changes is told what there is now; an answer is kept for others, and an old one stays theirs when there is none.
    @Test func askingAnew() async throws {
        let world = World(), resolver = world.resolver { $0.staleNs = 1000 }
        world.answers.withLock { $0["a"] = addresses("1.2.3.4") }
        #expect(await resolver.ask("a") == addresses("1.2.3.4"))
        world.answers.withLock { $0["a"] = addresses("5.6.7.8") }
        #expect(await resolver.ask("A") == addresses("5.6.7.8"))
        world.answers.withLock { $0["a"] = .failure(.temporary) }
        #expect(await resolver.ask("a") == .failure(.temporary))
        #expect(await resolver.ask("not a name") == .failure(.invalidName))
        #expect(world.questions == ["a", "a", "a"])
        #expect(Inbox().resolve(resolver, "a", port: 0).answer == addresses("5.6.7.8"))
        resolver.shutDown()
        #expect(await resolver.ask("a") == .failure(.shutDown))
    }

    @Test func failuresAreKeptForLess() {
        let world = World(), inbox = Inbox(), resolver = world.resolver()
        #expect(inbox.resolve(resolver, "none.example").request != nil)
        #expect(inbox.run() == [.failure(.notFound)])
        world.advance(9)
        #expect(inbox.resolve(resolver, "none.example").answer == .failure(.notFound))
        world.advance(1)
        #expect(inbox.resolve(resolver, "none.example").request != nil)
        _ = inbox.run()
    }

    @Test func equalQuestionsAreAskedOnce() {
        let world = World(), inbox = Inbox(), other = Inbox(), resolver = world.resolver()
        world.isBlocked.store(true, ordering: .relaxed)
        world.answers.withLock { $0["a"] = addresses("1.2.3.4") }
        for _ in 0..<3 { #expect(inbox.resolve(resolver, "a").request != nil) }
        #expect(other.resolve(resolver, "a", port: 1).request != nil)
        world.gate.signal()
        #expect(inbox.run() + inbox.run() + inbox.run() == Array(repeating: addresses("1.2.3.4").map { $0.map { $0.with(port: 80) } }, count: 3))
        #expect(other.run().count == 1)
        #expect(world.questions == ["a"])
    }

    @Test func staleAnswersWhileItAsks() {
        let world = World(), inbox = Inbox(), resolver = world.resolver { $0.staleNs = 1000 }
        world.answers.withLock { $0["a"] = addresses("1.2.3.4") }
        #expect(inbox.resolve(resolver, "a").request != nil)
        _ = inbox.run()
        world.entered.wait()
        world.advance(100)
        world.isBlocked.store(true, ordering: .relaxed)
        // The resolver is down: the old answer stands, and the next question waits for the time of failures.
        world.answers.withLock { $0["a"] = .failure(.temporary) }
        for _ in 0..<3 { #expect(inbox.resolve(resolver, "a").answer == addresses("1.2.3.4").map { $0.map { $0.with(port: 80) } }) }
        world.entered.wait()
        world.isBlocked.store(false, ordering: .relaxed)
        world.gate.signal()
        while resolver.usage.threads > 0 { sched_yield() }
        #expect(world.questions.count == 2)
        #expect(inbox.resolve(resolver, "a").answer == addresses("1.2.3.4").map { $0.map { $0.with(port: 80) } })
        #expect(world.questions.count == 2)
        // It is back, with another address.
        world.advance(10)
        world.answers.withLock { $0["a"] = addresses("5.6.7.8") }
        #expect(inbox.resolve(resolver, "a").answer == addresses("1.2.3.4").map { $0.map { $0.with(port: 80) } })
        while resolver.usage.threads > 0 { sched_yield() }
        #expect(inbox.resolve(resolver, "a").answer == addresses("5.6.7.8").map { $0.map { $0.with(port: 80) } })
        // The name is gone: that is an answer.
        world.advance(100)
        world.answers.withLock { $0["a"] = .failure(.notFound) }
        _ = inbox.resolve(resolver, "a")
        while resolver.usage.threads > 0 { sched_yield() }
        #expect(inbox.resolve(resolver, "a").answer == .failure(.notFound))
        // Too old for anybody.
        world.answers.withLock { $0["b"] = addresses("1.2.3.4") }
        _ = inbox.resolve(resolver, "b")
        _ = inbox.run()
        world.advance(1100)
        #expect(inbox.resolve(resolver, "b").request != nil)
        _ = inbox.run()
    }

    @Test func threadsAndQuestionsAreBounded() {
        let world = World(), inbox = Inbox()
        let resolver = world.resolver {
            $0.threadsMax = 2
            $0.questionsMax = 3
        }
        world.isBlocked.store(true, ordering: .relaxed)
        #expect(inbox.resolve(resolver, "a").request != nil)
        #expect(inbox.resolve(resolver, "b").request != nil)
        world.entered.wait()
        world.entered.wait()
        for name in ["c", "d", "e"] { #expect(inbox.resolve(resolver, name).request != nil) }
        #expect(inbox.resolve(resolver, "f").answer == .failure(.overloaded))
        // Waiting for what is asked already costs no place.
        #expect(inbox.resolve(resolver, "a").request != nil)
        #expect(resolver.usage.questions == 3 && resolver.usage.threads == 2)
        for _ in 0..<5 { world.gate.signal() }
        for _ in 0..<6 { #expect(inbox.run().count == 1) }
        while resolver.usage.threads > 0 { sched_yield() }
        #expect(Set(world.questions) == ["a", "b", "c", "d", "e"])
    }

    @Test func namesAreBounded() {
        let world = World(), inbox = Inbox()
        let resolver = world.resolver { $0.namesMax = 3 }
        for name in ["a", "b", "c", "d", "e"] {
            world.advance(1)
            _ = inbox.resolve(resolver, name)
            _ = inbox.run()
        }
        #expect(resolver.usage.names == 3)
        #expect(inbox.resolve(resolver, "e").answer != nil)
        resolver.forget()
        #expect(resolver.usage.names == 0)
    }

    @Test func cancelled() {
        let world = World(), inbox = Inbox(), resolver = world.resolver()
        world.isBlocked.store(true, ordering: .relaxed)
        let first = inbox.resolve(resolver, "a").request
        _ = inbox.resolve(resolver, "a")
        first?.cancel()
        world.gate.signal()
        // The cancelled one's block says nothing, wherever it stands.
        #expect((inbox.run() + inbox.run()).count == 1)
        // Cancelled when the answer is posted already.
        world.gate.signal()
        let late = inbox.resolve(resolver, "b").request
        while resolver.usage.threads > 0 { sched_yield() }
        late?.cancel()
        #expect(inbox.run().isEmpty)
    }

    @Test func endDoesNotWait() {
        let world = World(), inbox = Inbox()
        let resolver = world.resolver { $0.threadsMax = 1 }
        world.isBlocked.store(true, ordering: .relaxed)
        _ = inbox.resolve(resolver, "a")
        world.entered.wait()
        _ = inbox.resolve(resolver, "b")
        resolver.shutDown()
        #expect(inbox.run() + inbox.run() == [.failure(.shutDown), .failure(.shutDown)])
        #expect(inbox.resolve(resolver, "c").answer == .failure(.shutDown))
        resolver.shutDown()
        // The thread comes back from the system's resolver, and finds nobody.
        world.gate.signal()
        while resolver.usage.threads > 0 { sched_yield() }
        #expect(world.questions == ["a"])
    }

    @Test func anAskerThatIsGone() {
        let world = World(), inbox = Inbox(), resolver = world.resolver()
        world.isBlocked.store(true, ordering: .relaxed)
        _ = inbox.resolve(resolver, "a")
        inbox.isOpen.withLock { $0 = false }
        world.gate.signal()
        while resolver.usage.threads > 0 { sched_yield() }
        #expect(resolver.usage.names == 1)
    }

    @Test func withoutThreads() {
        let world = World(), inbox = Inbox()
        let resolver = world.resolver { $0.threadsMax = 0 }
        world.answers.withLock { $0["a"] = addresses("1.2.3.4") }
        #expect(inbox.resolve(resolver, "a", port: 0).answer == addresses("1.2.3.4"))
        #expect(inbox.resolve(resolver, "a", port: 0).answer == addresses("1.2.3.4"))
        #expect(world.questions == ["a"])
        world.advance(100)
        world.answers.withLock { $0["a"] = .failure(.temporary) }
        #expect(inbox.resolve(resolver, "a").answer == .failure(.temporary))
    }

    @Test(arguments: ["", ".", "a b", "a\u{0}b", "é", "a/b", "a:b", String(repeating: "a", count: 255)])
    func invalidNames(name: String) {
        let world = World(), inbox = Inbox(), resolver = world.resolver()
        #expect(inbox.resolve(resolver, name).answer == .failure(.invalidName))
        #expect(world.questions.isEmpty)
    }

    @Test func literals() {
        #expect(NameResolver.literal("127.0.0.1", port: 80)?.description == "127.0.0.1:80")
        #expect(NameResolver.literal("::1", port: 80)?.description == "[::1]:80")
        #expect(NameResolver.literal("unix:/run/x.sock", port: 80)?.description == "unix:/run/x.sock")
        for name in ["", "*", "localhost", "a.example", "[::1]", "1.2.3", "::g", "unix:"] { #expect(NameResolver.literal(name, port: 80) == nil, "\(name)") }
    }

    @Test func familiesTakeTurns() {
        let list = ["::1", "::2", "::3", "1.1.1.1"].map { NameResolver.literal($0, port: 1)! }
        #expect(NameResolver.interleaved(list).map(\.host) == ["::1", "1.1.1.1", "::2", "::3"])
        #expect(NameResolver.interleaved([]).isEmpty)
    }

    // MARK: The system's resolver

    @Test func theHostsFile() throws {
        let inbox = Inbox(), resolver = NameResolver()
        #expect(inbox.resolve(resolver, "localhost", port: 7).request != nil)
        let found = try #require(inbox.run().first).get().map(\.description)
        #expect(found.contains("127.0.0.1:7") || found.contains("[::1]:7"))
        #expect(Set(found).count == found.count)
        #expect(inbox.resolve(resolver, "LOCALHOST", port: 7).answer != nil)
    }

    /// RFC 6761 6.4: nobody has this name. What kind of failure it is depends on whether a resolver can be reached.
    @Test func aNameThatDoesNotResolve() {
        let inbox = Inbox(), resolver = NameResolver()
        _ = inbox.resolve(resolver, "nobody.invalid")
        guard case .failure = inbox.run().first else { Issue.record("nobody.invalid has an address"); return }
    }
}
