/// Buckets for keys that are all known beforehand, few and small enough for the cache next to the processor.
///
/// Keys fall into groups; each group is moved by a displacement of its own, chosen so that its keys find free buckets:
/// hash and displace, after Pagh, *Hash and Displace: Efficient Evaluation of Minimal Perfect Hash Functions*, 1999. The
/// few keys for which there is none, such as two that are equal, go to the next free bucket. Raw memory, so that
/// reading it costs neither retains nor exclusivity checks; whoever makes it must ``free()`` it.
struct LayoutHash: BitwiseCopyable {
    /// Index of the key plus 1; 0: none.
    let buckets: UnsafeMutablePointer<UInt32>
    private let displacements: UnsafeMutablePointer<UInt32>
    private let mask: UInt64
    private let groupShift: UInt64

    /// Buckets tried for a group at most: where that is not enough its keys go to the next free ones.
    private static var triesMax: UInt32 { 4_096 }

    init(_ keys: [UInt64]) {
        var bits: UInt64 = 6
        while 5 << bits < keys.count << 3 { bits += 1 }
        mask = 1 << bits - 1
        groupShift = 64 - (bits - 2)
        let groupCount = 1 << Int(bits - 2)
        buckets = .allocate(capacity: 1 << Int(bits))
        buckets.initialize(repeating: 0, count: 1 << Int(bits))
        displacements = .allocate(capacity: groupCount)
        displacements.initialize(repeating: 0, count: groupCount)

        var groups: [[Int]] = Array(repeating: [], count: groupCount)
        for (index, key) in keys.enumerated() { groups[group(LayoutHash.mixed(key))].append(index) }
        var homeless: [Int] = []
        // The largest first, while there is room.
        for number in groups.indices.sorted(by: { groups[$0].count > groups[$1].count }) {
            let members = groups[number]
            guard !members.isEmpty else { break }
            let tries = UInt32(min(mask, UInt64(LayoutHash.triesMax - 1)))
            let found = (0...tries).first { displacement in
                displacements[number] = displacement
                let slots = members.map { slot(keys[$0]) }
                return Set(slots).count == slots.count && slots.allSatisfy { buckets[$0] == 0 }
            }
            guard found != nil else {
                displacements[number] = 0
                homeless += members
                continue
            }
            for member in members { buckets[slot(keys[member])] = UInt32(member + 1) }
        }
        for member in homeless {
            var slot = slot(keys[member])
            while buckets[slot] != 0 { slot = next(slot) }
            buckets[slot] = UInt32(member + 1)
        }
    }

    /// Gives the memory back.
    func free() {
        buckets.deallocate()
        displacements.deallocate()
    }

    /// The bucket of a key.
    @inline(__always)
    func slot(_ key: UInt64) -> Int {
        let mixed = LayoutHash.mixed(key)
        return Int(truncatingIfNeeded: (mixed ^ UInt64(displacements[group(mixed)])) & mask)
    }

    /// The bucket that is tried after that one.
    @inline(__always)
    func next(_ slot: Int) -> Int { (slot &+ 1) & Int(truncatingIfNeeded: mask) }

    @inline(__always)
    private func group(_ mixed: UInt64) -> Int { Int(truncatingIfNeeded: mixed &>> groupShift) }

    /// Every bit of the result depends on every bit of the key: the finisher of SplitMix64 (Steele, Lea, Flood, *Fast
    /// Splittable Pseudorandom Number Generators*, 2014).
    @inline(__always)
    private static func mixed(_ key: UInt64) -> UInt64 {
        let first = (key ^ key &>> 30) &* 0xBF58_476D_1CE4_E5B9
        let second = (first ^ first &>> 27) &* 0x94D0_49BB_1331_11EB
        return second ^ second &>> 31
    }
}
