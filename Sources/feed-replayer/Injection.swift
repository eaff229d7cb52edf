/// A text frame that is sent to every connection when the feed begins, whatever it holds.
struct InjectedFrame: Equatable {
    /// The line of the file that asked for it; it stands in the ground truth for the bytes.
    var line: [UInt8]
    var bytes: [UInt8]

    init(line: [UInt8], bytes: [UInt8]) {
        self.line = line
        self.bytes = bytes
    }

    /// Largest frame that `huge:` makes.
    static let sizeLimit = 1 << 30

    /// Reads a file of frames: a line is sent as it stands, `hex:0011ff` as those bytes, `huge:16777216` as that
    /// many.
    static func read(path: String) throws(ReplayerError) -> [InjectedFrame] {
        let file = try FeedFile(path: path)
        var frames: [InjectedFrame] = []
        var number = 0
        try file.forEachLine { line throws(ReplayerError) in
            number += 1
            frames.append(try InjectedFrame(line: Array(line), place: "\(path):\(number)"))
        }
        return frames
    }

    init(line: [UInt8], place: String) throws(ReplayerError) {
        self.line = line
        let text = String(decoding: line, as: UTF8.self)
        if text.hasPrefix("hex:") {
            let digits = line.dropFirst(4).map(hexDigit)
            guard digits.count % 2 == 0 else {
                throw .data("\(place): hex: needs an even number of digits")
            }
            bytes = []
            for index in stride(from: 0, to: digits.count, by: 2) {
                guard let high = digits[index], let low = digits[index + 1] else {
                    throw .data("\(place): hex: holds a character that is no hexadecimal digit")
                }
                bytes.append(high << 4 | low)
            }
        } else if text.hasPrefix("huge:") {
            guard let size = Int(text.dropFirst(5)), (0...InjectedFrame.sizeLimit).contains(size) else {
                throw .data("\(place): huge: needs a size from 0 to \(InjectedFrame.sizeLimit) bytes")
            }
            bytes = [UInt8](repeating: UInt8(ascii: "a"), count: size)
        } else {
            bytes = line
        }
    }
}
