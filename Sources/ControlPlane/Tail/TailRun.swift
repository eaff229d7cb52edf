import Batching
import CKernel
import Foundation
import Glibc

/// Shows events until the source ends, the limit is reached, or a stop is asked for. Blocks its thread.
public final class TailRun {
    private let settings: TailSettings
    private let stop: StopRequest
    private let output: Int32
    private var text: [UInt8] = []
    private var dictionaries: [CompressionDictionary] = []
    /// Events shown.
    public private(set) var count = 0
    private var isOver = false

    /// `output`: a descriptor.
    public init(_ settings: TailSettings, stop: StopRequest, output: Int32 = STDOUT_FILENO) {
        self.settings = settings
        self.stop = stop
        self.output = output
    }

    /// Shows events. `warn` takes sentences that are no errors.
    public func run(warn: (String) -> Void) throws(TailError) {
        if let path = settings.dictionaries {
            do { dictionaries = try DictionaryFiles.all(at: path) } catch {
                throw TailError(.noInput, "\(error); name a dictionary or a directory of them")
            }
        }
        switch settings.source {
        case .files(let path, let follow): try readFiles(path, follow: follow, warn: warn)
        case .emulator(let host, let port, let project, let topic):
            let reader = try EmulatorReader(
                host: host, port: port, project: project, topic: topic, dictionaries: dictionaries)
            do throws(TailError) {
                try readTopic(reader)
            } catch {
                try? reader.close()
                throw error
            }
            try reader.close()
        }
    }

    private func readFiles(_ path: String, follow: Bool, warn: (String) -> Void) throws(TailError) {
        let reader = try SegmentReader(
            path: path, dictionaries: dictionaries,
            times: settings.hasTimes ? (settings.from, settings.to) : nil)
        let isEmpty = try reader.segments().isEmpty
        if isEmpty, !follow {
            throw TailError(
                .noInput, "\(path): no segments (*.ndjson.zst, *.ndjson); --follow waits for some")
        }
        while !isOver, !stop.isRequested {
            let isNew = try reader.readNew { lines throws(TailError) in
                try show(lines)
                return !isOver && !stop.isRequested
            }
            if isNew { continue }
            guard follow else { break }
            ck_sleep_nanos(100_000_000)
        }
        guard !follow, !isOver else { return }
        for (segment, bytes) in reader.leftovers {
            warn(
                "\(segment): its last \(bytes) bytes are not complete: it is being written, or its writer was killed"
            )
        }
    }

    private func readTopic(_ reader: EmulatorReader) throws(TailError) {
        while !isOver, !stop.isRequested {
            let lines = try reader.read()
            if lines.isEmpty { ck_sleep_nanos(100_000_000) } else { try show(lines[...]) }
        }
    }

    /// Shows whole lines.
    func show(_ lines: ArraySlice<UInt8>) throws(TailError) {
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            let isPlain =
                settings.isJSON && settings.types.isEmpty && settings.symbols.isEmpty && !settings.hasTimes
            if isPlain {
                text += line
            } else {
                guard let event = EventText(json: line) else {
                    throw TailError(
                        .data,
                        "event \(count + 1) is not a JSON object: \(EventText.printable(String(decoding: line.prefix(200), as: UTF8.self)))"
                    )
                }
                guard settings.types.isEmpty || settings.types.contains(event.type),
                    settings.symbols.isEmpty || settings.symbols.contains(event.symbol),
                    event.time >= settings.from, event.time <= settings.to
                else { continue }
                text += settings.isJSON ? Array(line) : Array(event.line().utf8)
            }
            text.append(UInt8(ascii: "\n"))
            count += 1
            if text.count > 64 << 10 { try flush() }
            if let limit = settings.limit, count >= limit {
                isOver = true
                break
            }
        }
        try flush()
    }

    private func flush() throws(TailError) {
        var rest = text[...]
        while !rest.isEmpty {
            let written = rest.withUnsafeBytes { write(output, $0.baseAddress, $0.count) }
            if written > 0 {
                rest = rest.dropFirst(written)
            } else if errno == EPIPE {
                isOver = true  // Whoever read this has enough, as `head` has.
                break
            } else if errno != EINTR {
                throw TailError(.io, "writing failed (errno \(errno)); is the disk full?")
            }
        }
        text.removeAll(keepingCapacity: true)
    }
}
