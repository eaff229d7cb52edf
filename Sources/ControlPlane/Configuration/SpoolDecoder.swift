import Publishing

/// Decodes `spool:`.
struct SpoolDecoder {
    let section: ConfigurationSection

    func decode() -> Configuration.Spool {
        var spool = Configuration.Spool()
        spool.isEnabled = section.bool("enabled", default: spool.isEnabled)
        spool.maxBytes = section.bytes("maxBytes", default: spool.maxBytes, in: 4 << 20...1 << 44)
        let second: Int64 = 1_000_000_000
        spool.maxAge = section.duration("maxAge", default: spool.maxAge, in: 0...8_760 * 3_600 * second)
        spool.segmentBytes = section.bytes(
            "segmentBytes", default: spool.segmentBytes, in: 1 << 20...256 << 20)
        spool.fsync = section.choice("fsync", default: spool.fsync)
        spool.fsyncInterval = section.duration(
            "fsyncInterval", default: spool.fsyncInterval, in: 1_000_000...3_600 * second)
        spool.whenFull = section.choice("whenFull", default: spool.whenFull)
        spool.after = section.duration("after", default: spool.after, in: 10_000_000...60 * second)
        spool.warnAge = section.duration("warnAge", default: spool.warnAge, in: second...86_400 * second)
        spool.batchDelay = section.duration("batchDelay", default: spool.batchDelay, in: 0...second)
        if spool.maxBytes < 4 * spool.segmentBytes {
            let key = section.has("maxBytes") ? "maxBytes" : "segmentBytes"
            section.error(
                key,
                "\(ConfigurationUnits.text(bytes: spool.maxBytes)) is too little for segments of"
                    + " \(ConfigurationUnits.text(bytes: spool.segmentBytes)); write a maxBytes of at least four segments"
            )
        }
        return spool
    }
}
