/// RFC 1951 as it is written, a bit at a time, for comparing: what one message of permessage-deflate holds.
struct ReferenceInflate {
    enum Failure: Error { case corrupt, tooLarge }

    private var bytes: [UInt8] = []
    private var position = 0
    /// Everything so far, for references back.
    private var history: [UInt8] = []
    /// The first byte of it that may be referred to. As zlib has it, which checks the window only for what it no longer
    /// has at hand: within a stretch that it writes in one go, references may go further back.
    private var reach = 0
    private let window: Int
    private let keepsWindow: Bool

    init(window: Int, keepsWindow: Bool) {
        self.window = window
        self.keepsWindow = keepsWindow
    }

    mutating func inflate(_ payload: [UInt8], room: Int) throws(Failure) -> [UInt8] {
        bytes = payload + [0, 0, 0xFF, 0xFF]
        position = 0
        if !keepsWindow { history = [] }
        let begin = history.count
        let limit = begin + room
        reach = max(0, begin - window)
        while position < bytes.count * 8 {
            let isFinal = try bits(1) == 1
            switch try bits(2) {
            case 0: try stored(limit)
            case 1: try codes(ReferenceInflate.fixedLengths, ReferenceInflate.fixedDistances, limit)
            case 2:
                let (lengths, distances) = try dynamic()
                try codes(lengths, distances, limit)
            default: throw .corrupt
            }
            guard isFinal else { continue }
            position = (position + 7) & ~7
            reach = max(reach, history.count - window)
        }
        return Array(history[begin...])
    }

    private mutating func bits(_ count: Int) throws(Failure) -> Int {
        guard position + count <= bytes.count * 8 else { throw .corrupt }
        var value = 0
        for index in 0..<count {
            value |= Int(bytes[position >> 3] >> UInt8(position & 7) & 1) << index
            position += 1
        }
        return value
    }

    private mutating func put(_ byte: UInt8, _ limit: Int) throws(Failure) {
        guard history.count < limit else { throw .tooLarge }
        history.append(byte)
    }

    private mutating func stored(_ limit: Int) throws(Failure) {
        position = (position + 7) & ~7
        let count = try bits(16)
        guard try bits(16) == ~count & 0xFFFF else { throw .corrupt }
        for _ in 0..<count { try put(UInt8(try bits(8)), limit) }
    }

    /// A canonical Huffman code.
    struct Code {
        var counts = [Int](repeating: 0, count: 16)
        var symbols: [Int] = []

        /// Nil where the lengths make no code; one that is not complete is allowed where it has a single symbol.
        init?(_ lengths: [Int], mayBeIncomplete: Bool) {
            for length in lengths { counts[length] += 1 }
            let used = lengths.count - counts[0]
            counts[0] = 0
            var left = 1
            for length in 1...15 {
                left = left * 2 - counts[length]
                if left < 0 { return nil }
            }
            if left > 0, !(mayBeIncomplete && (used == 0 || used == 1 && counts[1] == 1)) { return nil }
            for length in 1...15 {
                for (symbol, has) in lengths.enumerated() where has == length { symbols.append(symbol) }
            }
        }
    }

    private static let fixedLengths = Code(
        (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 }, mayBeIncomplete: false)
    private static let fixedDistances = Code([Int](repeating: 5, count: 32), mayBeIncomplete: false)

    private mutating func symbol(_ code: Code) throws(Failure) -> Int {
        var (value, first, index) = (0, 0, 0)
        for length in 1...15 {
            value |= try bits(1)
            let count = code.counts[length]
            if value - first < count { return code.symbols[index + value - first] }
            index += count
            first = (first + count) << 1
            value <<= 1
        }
        throw .corrupt
    }

    private mutating func dynamic() throws(Failure) -> (Code?, Code?) {
        let (lengthCount, distanceCount, codeCount) = (try bits(5) + 257, try bits(5) + 1, try bits(4) + 4)
        guard lengthCount <= 286, distanceCount <= 30 else { throw .corrupt }
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        var lengths = [Int](repeating: 0, count: 19)
        for index in 0..<codeCount { lengths[order[index]] = try bits(3) }
        guard let code = Code(lengths, mayBeIncomplete: false) else { throw .corrupt }
        var all: [Int] = []
        while all.count < lengthCount + distanceCount {
            let symbol = try symbol(code)
            if symbol < 16 {
                all.append(symbol)
                continue
            }
            guard symbol != 16 || !all.isEmpty else { throw .corrupt }
            let value = symbol == 16 ? all[all.count - 1] : 0
            let count = symbol == 16 ? try bits(2) + 3 : symbol == 17 ? try bits(3) + 3 : try bits(7) + 11
            all += [Int](repeating: value, count: count)
            guard all.count <= lengthCount + distanceCount else { throw .corrupt }
        }
        guard all[256] != 0, let literals = Code(Array(all[..<lengthCount]), mayBeIncomplete: true),
            let distances = Code(Array(all[lengthCount...]), mayBeIncomplete: true)
        else { throw .corrupt }
        return (literals, distances)
    }

    private mutating func codes(_ lengths: Code?, _ distances: Code?, _ limit: Int) throws(Failure) {
        guard let lengths, let distances else { throw .corrupt }
        let bases = [
            3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
            163, 195,
            227, 258,
        ]
        while true {
            let symbol = try symbol(lengths)
            if symbol == 256 { return }
            if symbol < 256 {
                try put(UInt8(symbol), limit)
                continue
            }
            guard symbol - 257 < bases.count else { throw .corrupt }
            let extra = symbol < 265 || symbol == 285 ? 0 : (symbol - 261) / 4
            let length = bases[symbol - 257] + (try bits(extra))
            let far = try self.symbol(distances)
            guard far < 30 else { throw .corrupt }
            let distanceExtra = far < 4 ? 0 : (far - 2) / 2
            let base = far < 4 ? far + 1 : 1 + (2 + far & 1) << distanceExtra
            let distance = base + (try bits(distanceExtra))
            guard distance <= history.count - reach else { throw .corrupt }
            for _ in 0..<length { try put(history[history.count - distance], limit) }
        }
    }
}
