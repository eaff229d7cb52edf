import Glibc
import MarketData
import Wire

/// A failure, as a sentence.
struct ComparisonFailure: Error, CustomStringConvertible { let description: String }

/// A decoder in C or C++; see `rivals/events.h`.
struct Rival {
    typealias Decode =
        @convention(c) (
            UnsafeMutableRawPointer?, UnsafeRawPointer, UnsafeRawPointer, Int, Int64, UnsafeMutableRawPointer
        ) -> Int
    private typealias Make =
        @convention(c) (UnsafePointer<UnsafePointer<CChar>?>, Int) -> UnsafeMutableRawPointer?
    private typealias Name = @convention(c) () -> UnsafePointer<CChar>?

    let name: String
    private let decode: Decode
    private let decoder: UnsafeMutableRawPointer?

    /// The decoder `prefix` of a shared object, for those symbols.
    init(_ library: UnsafeMutableRawPointer, prefix: String, symbols: [String]) throws {
        let make = try Rival.function(library, "\(prefix)_make", as: Make.self)
        decode = try Rival.function(library, "\(prefix)_decode", as: Decode.self)
        name =
            try Rival.function(library, "\(prefix)_name", as: Name.self)().map { String(cString: $0) }
            ?? prefix
        let names = symbols.map { UnsafePointer<CChar>(strdup($0)) }
        decoder = names.withUnsafeBufferPointer { names in
            names.baseAddress.flatMap { make($0, names.count) }
        }
        for name in names { free(UnsafeMutablePointer(mutating: name)) }
        guard decoder != nil else { throw ComparisonFailure(description: "\(name) could not be made") }
    }

    /// Decodes a run's frames, their events one behind the other at `out`; their bytes, 0 where a frame cannot be read.
    @inline(__always)
    func decode(_ run: UnsafeMutableRawPointer, to out: UnsafeMutableRawPointer) -> Int {
        let header = run.load(as: FrameRunHeader.self)
        return decode(
            decoder, run, run + Int(header.tableOffset), Int(header.frameCount), header.receivedTime, out)
    }

    static func function<Function>(
        _ library: UnsafeMutableRawPointer, _ name: String, as type: Function.Type
    ) throws -> Function {
        guard let symbol = dlsym(library, name) else {
            throw ComparisonFailure(description: "rivals.so has no \(name); build it with rivals/build")
        }
        return unsafeBitCast(symbol, to: type)
    }

    /// Loads `rivals.so`.
    static func load(_ path: String) throws -> UnsafeMutableRawPointer {
        guard let library = dlopen(path, RTLD_NOW) else {
            throw ComparisonFailure(
                description: dlerror().map { String(cString: $0) } ?? "cannot load \(path)")
        }
        return library
    }
}

/// The fields of an event by name, so that a difference can be told.
enum EventFields {
    /// Name and value of each field of the event at `event`; nil where no rival reads this kind.
    static func of(_ event: UnsafeRawPointer) -> [(name: String, value: String)]? {
        let value: Any
        switch event.load(as: EventHeader.self).kind {
        case .trade: value = event.load(as: Trade.self)
        case .kline: value = event.load(as: Kline.self)
        case .ticker: value = event.load(as: Ticker.self)
        default: return nil
        }
        return flatten(value, "")
    }

    /// Bytes until the next event where they lie one behind the other.
    static func stride(of event: UnsafeRawPointer) -> Int? {
        switch event.load(as: EventHeader.self).kind {
        case .trade: MemoryLayout<Trade>.stride
        case .kline: MemoryLayout<Kline>.stride
        case .ticker: MemoryLayout<Ticker>.stride
        default: nil
        }
    }

    private static func flatten(_ value: Any, _ prefix: String) -> [(name: String, value: String)] {
        Mirror(reflecting: value).children.flatMap { child -> [(name: String, value: String)] in
            let name = prefix + (child.label ?? "")
            if child.value is EventHeader { return flatten(child.value, "header.") }
            if let decimal = child.value as? Decimal {
                return [(name, "\(decimal) (\(decimal.low), \(decimal.high))")]
            }
            return [(name, "\(child.value)")]
        }
    }
}
