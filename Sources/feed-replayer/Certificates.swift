import CTLS
import Glibc

/// Makes certificates for a server of this machine.
enum Certificates {
    /// Names that the server is known by here.
    static let localNames = ["localhost", "127.0.0.1", "::1"]

    /// Writes ca.pem, server.pem and server-key.pem into `directory`, which is made where it is missing.
    static func write(directory: String, names: [String], isExpired: Bool) throws(ReplayerError)
        -> CertificateFiles
    {
        try makeDirectory(directory)
        var text = [CChar](repeating: 0, count: 1024)
        var pointers = names.map { UnsafePointer<CChar>(strdup($0)) }
        defer { for pointer in pointers { free(UnsafeMutableRawPointer(mutating: pointer)) } }
        let result = ct_certificate_write(
            directory, &pointers, Int32(pointers.count), isExpired ? 1 : 0, &text, text.count)
        guard result == 0 else { throw .output(text.withUnsafeBufferPointer { readText($0) }) }
        return files(directory)
    }

    /// Makes the directory and what is missing above it.
    private static func makeDirectory(_ path: String) throws(ReplayerError) {
        if access(path, F_OK) == 0 { return }
        let parent = path[..<(path.lastIndex(of: "/") ?? path.startIndex)]
        if !parent.isEmpty { try makeDirectory(String(parent)) }
        if mkdir(path, 0o700) != 0, errno != EEXIST {
            throw .output("directory \(path) cannot be made: \(errorText(Int(errno)))")
        }
    }

    /// The files of a directory.
    static func files(_ directory: String) -> CertificateFiles {
        CertificateFiles(
            authority: "\(directory)/ca.pem", certificate: "\(directory)/server.pem",
            key: "\(directory)/server-key.pem")
    }

    /// The files of a directory that has them all; made otherwise. No directory: a new temporary one.
    static func prepare(directory: String?) throws(ReplayerError) -> CertificateFiles {
        guard let directory else {
            var template = Array("\(temporaryRoot)/feed-replayer-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else {
                throw .output("no temporary directory can be made: \(errorText(Int(errno)))")
            }
            let made = template.withUnsafeBufferPointer { readText($0) }
            var files = try write(directory: made, names: localNames, isExpired: false)
            files.temporaryDirectory = made
            return files
        }
        let files = files(absolute(directory))
        let all = [files.authority ?? "", files.certificate, files.key]
        if all.allSatisfy({ access($0, R_OK) == 0 }) { return files }
        return try write(directory: absolute(directory), names: localNames, isExpired: false)
    }

    /// Removes a temporary directory and what was written into it; leaves any other.
    static func remove(_ files: CertificateFiles?) {
        guard let files, let directory = files.temporaryDirectory else { return }
        for path in [files.authority ?? "", files.certificate, files.key] { unlink(path) }
        rmdir(directory)
    }

    private static var temporaryRoot: String { getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }

    /// The path from the root on, so that a reader in another directory finds it.
    static func absolute(_ path: String) -> String {
        guard !path.hasPrefix("/"), let current = getcwd(nil, 0) else { return path }
        defer { free(current) }
        return String(cString: current) + "/" + path
    }
}
