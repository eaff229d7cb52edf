import Batching
import Foundation
import Glibc
import MarketData

/// Dictionaries on disk: `<type>.zdict` in a directory, each as zstd's own tools take it. Older ones of a type are kept
/// beside it as `<type>.<id>.zdict`, for readers of what was compressed with them.
public enum DictionaryFiles {
    static let suffix = ".zdict"

    /// Files that cannot be used.
    public struct Failure: Error, CustomStringConvertible {
        /// The file and what is wrong with it.
        public let description: String
    }

    /// The current dictionaries of a directory, by type.
    public static func load(directory: String) throws(Failure) -> [CompressionDictionary] {
        let names = try DictionaryFiles.names(directory)
        var found: [CompressionDictionary] = []
        for kind in EventKind.allCases where names.contains(kind.name + suffix) {
            found.append(try read("\(directory)/\(kind.name)\(suffix)", kind: kind))
        }
        guard !found.isEmpty else {
            let known = EventKind.allCases.map(\.name).joined(separator: ", ")
            throw Failure(
                description: "\(directory): holds no <type>\(suffix), where <type> is one of \(known)")
        }
        return found
    }

    /// What a reader may need: all dictionaries of a directory, old ones too, or the one of a file.
    public static func all(at path: String) throws(Failure) -> [CompressionDictionary] {
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw Failure(description: "\(path): \(FileReading.text(errno))")
        }
        // Readers tell them apart by their ids, so a name says nothing here.
        guard status.st_mode & S_IFMT == S_IFDIR else { return [try read(path, kind: .trade)] }
        var found: [CompressionDictionary] = []
        for name in try names(path) { found.append(try read("\(path)/\(name)", kind: .trade)) }
        guard !found.isEmpty else { throw Failure(description: "\(path): holds no *\(suffix)") }
        return found
    }

    /// Writes the current dictionary of its type. One of another id that was there is kept under its id.
    ///
    /// - Returns: the path.
    @discardableResult
    public static func write(_ dictionary: CompressionDictionary, to directory: String) throws(Failure)
        -> String
    {
        let path = "\(directory)/\(dictionary.kind.name)\(suffix)"
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            if let old = try? read(path, kind: dictionary.kind), old.id != dictionary.id {
                let kept = "\(directory)/\(dictionary.kind.name).\(old.id)\(suffix)"
                try Data(old.bytes).write(to: URL(filePath: kept), options: .atomic)
            }
            try Data(dictionary.bytes).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw Failure(description: "\(path) cannot be written: \(error.localizedDescription)")
        }
        return path
    }

    private static func names(_ directory: String) throws(Failure) -> [String] {
        guard let handle = opendir(directory) else {
            throw Failure(description: "\(directory): \(FileReading.text(errno))")
        }
        closedir(handle)
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasSuffix(suffix) && !$0.hasPrefix(".") }.sorted()
    }

    private static func read(_ path: String, kind: EventKind) throws(Failure) -> CompressionDictionary {
        switch FileReading.read(path) {
        case .failure(let failure): throw Failure(description: "\(path): \(failure.reason)")
        case .success(let bytes):
            do { return try CompressionDictionary(kind: kind, bytes: bytes) } catch {
                throw Failure(description: "\(path) \(error)")
            }
        }
    }
}

extension Configuration.DictionarySource {
    /// The dictionaries that are meant.
    public func load() throws(DictionaryFiles.Failure) -> [CompressionDictionary] {
        switch self {
        case .none: []
        case .embedded: CompressionDictionary.embedded
        case .directory(let path): try DictionaryFiles.load(directory: path)
        }
    }
}
