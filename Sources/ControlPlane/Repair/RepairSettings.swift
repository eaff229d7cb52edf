/// How holes of one market are filled: `exchanges[].repair:`.
public struct RepairSettings: Sendable, Equatable {
    /// Whether they are.
    public var isEnabled: Bool
    /// What may be asked for in a minute, in the exchange's weights.
    public var weightPerMinute: Int
    /// How long events wait for those before them, ns; later ones are published late.
    public var holdNanos: Int64 = 2_000_000_000
    /// A hole is given up at this age, ns.
    public var giveUpNanos: Int64 = 600_000_000_000
    /// Larger holes are not filled, ids.
    public var maxIDs: Int64 = 200_000
    /// For an answer, ns.
    public var timeoutNanos: Int64 = 10_000_000_000

    /// The defaults.
    public init(isEnabled: Bool = false, weightPerMinute: Int = 0) {
        self.isEnabled = isEnabled
        self.weightPerMinute = weightPerMinute
    }
}
