// The conformance test of the seam: each script runs on the ring, on epoll and on the simulated kernel and must be seen to do the same.

import CUring
import Glibc
import Testing
import UringRing
import UringSimulation

/// What scripts queue most.
enum Flag {
    static let link: UInt32 = 1 << 2
    static let select: UInt32 = 1 << 5
    static let skip: UInt32 = 1 << 6
}
let dontWaitAll = Int32(MSG_DONTWAIT) | Int32(MSG_WAITALL) | Int32(MSG_NOSIGNAL)

/// Whether this machine lets us have a ring at all; without one there is nothing to compare with.
private let hasRing: Bool = { if case .some = try? UringKernel.make() { true } else { false } }()

/// Violations that scripts commit on purpose.
private let allowed = ["operation 26 on descriptor 900, which is not open", "cancel by descriptor 900, which is not open"]

/// Runs the script in both worlds and compares what it sees with what we believe, and so with each other.
func conforms(_ expected: [String], _ script: (Seam) -> Void, _ location: SourceLocation = #_sourceLocation) {
    let world = SimulatedWorld()
    let simulated = Seam(world)
    script(simulated)
    // The kernel goes before the buffers that it may fill.
    world.simulated.destroy()
    #expect(simulated.seen == expected, "simulated", sourceLocation: location)
    #expect(world.simulation.violations.filter { !allowed.contains($0) } == [], sourceLocation: location)
    conformsOnLinux(expected, script, location)
}

/// As `conforms`, for what is not simulated: on the ring, where there is one, and on epoll.
func conformsOnLinux(_ expected: [String], _ script: (Seam) -> Void, _ location: SourceLocation = #_sourceLocation) {
    for backend in LinuxWorld.Backend.allCases where backend == .epoll || hasRing {
        guard let world = try? LinuxWorld(backend) else {
            Issue.record("no kernel of \(backend)", sourceLocation: location)
            continue
        }
        let real = Seam(world)
        script(real)
        #expect(real.seen == expected, "\(backend)", sourceLocation: location)
    }
}

extension Seam {
    /// The result of the last line, which was about `tag`; the line goes.
    func takeResult(of tag: UInt64) -> Int {
        let line = takeLast()
        precondition(line.hasPrefix("\(tag): "), "BUG: '\(line)' is not about \(tag)")
        let text = line.dropFirst("\(tag): ".count)
        return Int(text) ?? -Int(codes.first { "-\(SystemError.text(of: $0))" == text } ?? 0)
    }
    private var codes: [Int32] { Array(1...133) }
}
