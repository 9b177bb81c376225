// What a loop asks the keep-alive machine beside its events. The loop's thread.

internal import UringHTTP1

extension KeepAliveMachine {
    /// The last response is complete or the connection is gone: input is of no interest any more.
    var isEnding: Bool {
        switch writing {
        case .closing, .lingering, .closed, .upgraded: true
        case .none, .handling, .responding, .answered, .multiplexed: false
        }
    }
    var isUpgrading: Bool { writing == .upgraded }

    /// A request could begin but for the output that has to leave first.
    func isWaitingForRoom(_ policy: KeepAlivePolicy) -> Bool { isBetweenExchanges && !hasRoom(policy) }
}
