import CKernel
import MarketData

/// Which closed bar of each instrument and interval came last, and which before it are missing. Touched only when a bar
/// closes. Bars go by their numbers, see `Interval.number(opening:)`.
@usableFromInline final class ClosedBars {
    /// Bars that were told as missing and about which nothing is known yet.
    struct Hole {
        var instrument: UInt32
        var interval: UInt8
        var numbers: ClosedRange<Int64>

        func isOf(_ instrument: UInt32, _ interval: UInt8) -> Bool {
            self.instrument == instrument && self.interval == interval
        }
    }

    /// 0: none came. Below 0: the number's opposite, of an earlier run.
    private let numbers: UnsafeMutablePointer<Int64>
    private let instruments: Int
    /// Places in `numbers` that are in use.
    private var active: [Int] = []
    /// Bars that are missing, in no order.
    private(set) var holes: [Hole] = []

    init(instrumentCapacity: Int) {
        instruments = instrumentCapacity + 1
        let count = Interval.allCases.count * instruments
        guard let memory = ck_zeroed(count, MemoryLayout<Int64>.stride) else {
            preconditionFailure("no address space for the bars of \(instruments) instruments")
        }
        numbers = memory.bindMemory(to: Int64.self, capacity: count)
        // Address space: the first bars of one interval to close allocate nothing.
        active.reserveCapacity(instruments)
    }

    deinit { ck_zeroed_free(numbers) }

    private func place(_ instrument: UInt32, _ interval: UInt8) -> Int {
        Int(interval & 15) * instruments + Int(instrument)
    }

    /// The last closed bar's number; 0: none came.
    func last(_ instrument: UInt32, _ interval: UInt8) -> Int64 { abs(numbers[place(instrument, interval)]) }

    /// Whether that one came in an earlier run.
    func isResumed(_ instrument: UInt32, _ interval: UInt8) -> Bool {
        numbers[place(instrument, interval)] < 0
    }

    func setLast(_ number: Int64, _ instrument: UInt32, _ interval: UInt8, isResumed: Bool = false) {
        let place = place(instrument, interval)
        if numbers[place] == 0 { active.append(place) }
        numbers[place] = isResumed ? -number : number
    }

    /// Nothing is known any longer of what came. What was told as missing stays so until it is settled.
    func forgetLast(_ instrument: UInt32, _ interval: UInt8) {
        let place = place(instrument, interval)
        numbers[place] = 0
        active.removeAll { $0 == place }
    }

    /// The last closed bar of everything.
    func each(_ body: (_ instrument: UInt32, _ interval: UInt8, _ number: Int64) -> Void) {
        for place in active {
            body(UInt32(place % instruments), UInt8(place / instruments), abs(numbers[place]))
        }
    }

    func add(_ hole: Hole) { holes.append(hole) }

    func isMissing(_ number: Int64, _ instrument: UInt32, _ interval: UInt8) -> Bool {
        holes.contains { $0.isOf(instrument, interval) && $0.numbers.contains(number) }
    }

    /// In how many pieces bars of a range are missing.
    func pieces(of numbers: ClosedRange<Int64>, _ instrument: UInt32, _ interval: UInt8) -> Int {
        holes.reduce(0) { $0 + ($1.isOf(instrument, interval) && $1.numbers.overlaps(numbers) ? 1 : 0) }
    }

    /// Bars of a range are settled: `each` is called for every piece of it that was missing, rising.
    ///
    /// - Returns: by how much the number of holes has changed.
    func settle(
        _ range: ClosedRange<Int64>, _ instrument: UInt32, _ interval: UInt8,
        _ each: (ClosedRange<Int64>) -> Void
    ) -> Int {
        let before = holes.count
        var gone: [ClosedRange<Int64>] = []
        var place = 0
        while place < holes.count {
            let numbers = holes[place].numbers
            guard holes[place].isOf(instrument, interval), numbers.overlaps(range) else {
                place += 1
                continue
            }
            gone.append(numbers.clamped(to: range))
            let below = numbers.lowerBound < range.lowerBound
            let above = numbers.upperBound > range.upperBound
            if below, above {
                holes.append(
                    Hole(
                        instrument: instrument, interval: interval,
                        numbers: (range.upperBound + 1)...numbers.upperBound))
            }
            if below {
                holes[place].numbers = numbers.lowerBound...(range.lowerBound - 1)
            } else if above {
                holes[place].numbers = (range.upperBound + 1)...numbers.upperBound
            } else {
                holes.remove(at: place)
                continue
            }
            place += 1
        }
        for piece in gone.sorted(by: { $0.lowerBound < $1.lowerBound }) { each(piece) }
        return holes.count - before
    }
}
