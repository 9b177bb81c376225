import Foundation

let simulationShare = max(Int(ProcessInfo.processInfo.environment["SIMULATION_SHARE"] ?? "") ?? 1, 1)
