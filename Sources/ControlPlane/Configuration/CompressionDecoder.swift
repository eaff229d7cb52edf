/// `batching.window` and `batching.dictionary`.
extension ConfigurationDecoder {
    /// zstd's own readers take windows of up to 128 MiB without being told.
    private static let windows = 1 << 10...128 << 20

    func decodeWindow(_ section: ConfigurationSection) -> Int {
        guard let scalar = section.scalar("window"), scalar.text != "0" else { return 0 }
        let bytes = section.bytes("window", default: 0, in: Self.windows)
        if bytes & (bytes - 1) != 0 {
            section.error(
                "window", "\(scalar.shown) is no power of two; write for example 64KiB, or 0 for zstd's own")
            return 0
        }
        return bytes
    }

    func decodeDictionary(_ section: ConfigurationSection) -> Configuration.DictionarySource {
        guard let scalar = section.scalar("dictionary") else { return .none }
        let source: Configuration.DictionarySource
        switch scalar.text {
        case "none": return .none
        case "embedded": source = .embedded
        default: source = .directory(scalar.text)
        }
        do {
            _ = try source.load()
        } catch {
            section.error(
                "dictionary", "\(error); write none, embedded, or a directory that train-dictionary made")
        }
        return source
    }
}
