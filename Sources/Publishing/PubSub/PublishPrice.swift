/// What Pub/Sub bills for publishing (https://cloud.google.com/pubsub/pricing): the bytes of messages, and of each
/// request at least so many. Delivery to each subscription is billed the same way again.
public enum PublishPrice {
    /// Of a request at least, bytes.
    public static let leastRequestBytes = 1_000
    /// What each message weighs beside its data, attributes and ordering key, bytes: a timestamp of 20, and an id of 16
    /// (seen ids have 16 or 17 digits).
    public static let messageBytes = 36
    /// US dollars for a TiB, without the free 10 GiB of each month.
    public static let dollarsPerTiB = 40.0

    /// What a request of so many messages, whose contents have so many bytes in all, is billed as, bytes.
    public static func billed(messages: Int, contentBytes: Int) -> Int {
        max(leastRequestBytes, contentBytes + messages * messageBytes)
    }

    /// US dollars for so many bytes.
    public static func dollars(bytes: Double) -> Double { bytes / 1_099_511_627_776 * dollarsPerTiB }
}
