import CKernel
import Rings

/// Which stage runs on which thread.
struct ThreadPlan {
    /// How stages are put together.
    enum Grouping: String {
        /// A thread for each stage.
        case stage
        /// One thread for the stages of a lane; with one lane, batching too. The publisher has a thread of its own.
        case lane
        /// One thread for everything.
        case single
    }

    let grouping: Grouping
    /// In the order of a message's way: of each lane its I/O and parser thread, batching, publishing. Stages on one
    /// thread share its control block.
    let wire: [StageControl]
    let parse: [StageControl]
    let batch: StageControl
    let publish: StageControl
    /// The CPU of each thread, by name.
    private let cpus: [String: Int]

    init(_ settings: Configuration.Collector) throws {
        let available = Int(ck_allowed_cpus(nil, 0))
        let lanes = settings.lanes
        switch settings.threads {
        case .stage: grouping = .stage
        case .lane: grouping = .lane
        case .single:
            guard lanes == 1 else {
                throw CollectorError(
                    "collector.threads: single goes with lanes: 1, not \(lanes); use lane or stage")
            }
            grouping = .single
        case .auto: grouping = available >= 2 * lanes + 2 ? .stage : .lane
        }
        let grouping = grouping
        wire = try (0..<lanes).map {
            try StageControl(
                name: grouping == .single ? "collect" : grouping == .lane ? "lane-\($0)" : "wire-\($0)")
        }
        parse = grouping == .stage ? try (0..<lanes).map { try StageControl(name: "parse-\($0)") } : wire
        let sharesBatch = grouping == .single || grouping == .lane && lanes == 1
        batch = sharesBatch ? wire[0] : try StageControl(name: "batch")
        publish = grouping == .single ? wire[0] : try StageControl(name: "publish")

        var cpus: [String: Int] = [:]
        var rest = settings.pinsByCpuset ? ThreadPlan.exclusiveCPUs()[...] : settings.pin[...]
        for control in ThreadPlan.distinct(zip(wire, parse).flatMap { [$0, $1] } + [batch, publish]) {
            if let cpu = rest.popFirst() { cpus[control.name] = cpu }
        }
        self.cpus = cpus
    }

    /// The CPUs that the process was given for itself, without the last one, which is left for everything that is no
    /// stage thread. Kubernetes' static CPU manager gives a container of the guaranteed class a cpuset of its own; where
    /// the process may use the whole machine, it shares it with others, and pinning would only keep its threads from
    /// CPUs that are free.
    ///
    /// - Parameters:
    ///   - allowed: the process's CPUs (sched_getaffinity, which a cgroup's cpuset narrows).
    ///   - online: how many the machine has.
    static func exclusiveCPUs(allowed: [Int] = CPUSet.allowed(), online: Int = CPUSet.online()) -> [Int] {
        allowed.count < online ? allowed.dropLast() : []
    }

    /// Every thread once.
    var controls: [StageControl] {
        ThreadPlan.distinct(zip(wire, parse).flatMap { [$0, $1] } + [batch, publish])
    }

    func cpu(of control: StageControl) -> Int? { cpus[control.name] }

    /// Keeps everything that is no stage thread off the CPUs that stage threads are pinned to, where others are left: what
    /// runs there in between makes the messages of that moment late. To be called before the stage threads start; those that
    /// are not pinned keep off them too.
    func leavePinnedCPUs() {
        let pinned = controls.compactMap { cpu(of: $0).map { Int32($0) } }
        // Where it cannot be done all run as before.
        if !pinned.isEmpty { _ = ck_leave_cpus(pinned, Int32(pinned.count)) }
    }

    private static func distinct(_ controls: [StageControl]) -> [StageControl] {
        var seen: Set<String> = []
        return controls.filter { seen.insert($0.name).inserted }
    }
}
