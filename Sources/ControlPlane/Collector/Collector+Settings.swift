import Batching

/// What the configuration means for the stages.
extension Collector {
    var batchSettings: BatchSettings {
        let from = configuration.batching
        // Both were checked when the configuration was read.
        guard let topic = try? TopicTemplate(configuration.sink.topic),
            let orderingKey = try? TopicTemplate(configuration.sink.orderingKey)
        else { preconditionFailure("a template was not checked") }
        var settings = BatchSettings(
            topic: topic, orderingKey: configuration.sink.orderingKey.isEmpty ? nil : orderingKey,
            markets: configuration.exchanges.map { .init(exchange: $0.exchange, market: $0.market) })
        settings.maxEvents = from.maxEvents
        settings.maxBytes = from.maxBytes
        settings.maxDelayNanos = from.maxDelayNanos
        // Standard output is for people and pipes: plain lines.
        let isPlain = from.compression == .none || configuration.sink.type == .stdout
        settings.compressionLevel = isPlain ? nil : from.level
        // Files hold either: what belongs together would go into two.
        settings.compressMinBytes = configuration.sink.type == .file ? 0 : from.compressMinBytes
        settings.compressionWindow = from.windowBytes == 0 ? 0 : from.windowBytes.trailingZeroBitCount
        settings.dictionaries = dictionaries
        settings.payload = from.payload
        settings.closeWhenIdle = from.closeWhenIdle
        let hasSpool = configuration.sink.type == .pubsub && configuration.spool.isEnabled
        settings.waitingDelayNanos = hasSpool ? configuration.spool.batchDelay : 0
        return settings
    }
}
